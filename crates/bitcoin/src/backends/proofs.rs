//! Branches, coinbases and spenders: what a server shows is held against the headers that are known, and where it does not hold
//! the next server is asked. One that lies keeps nobody from a proof.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{TxOut, block::Header};
use coxswain_rules::{Assurance, Assured, units::Height};
use futures_util::FutureExt;

use super::{Backends, exhausted, survey::Survey};
use crate::{
    Answers, BackendError, Coinbase, Cursor, MerkleBranch, Mined, Output, Search, Server, Spender,
    spend::{NextBlock, is_spent_by},
    spender::spends,
};

type Headers = BTreeMap<Height, Assured<Header>>;

impl Backends {
    pub(super) async fn find_branches(&self, mined: &[Mined]) -> Result<Answers<MerkleBranch>, BackendError> {
        if mined.is_empty() {
            return Ok(Vec::new());
        }
        let headers = self.known_headers(mined.iter().map(|mined| mined.height).collect()).await?;
        let mut answers: Answers<MerkleBranch> = Vec::new();
        let mut causes = Vec::new();
        for member in &self.0.members {
            let open: Vec<usize> = match answers.len() {
                0 => (0..mined.len()).collect(),
                _ => answers
                    .iter()
                    .enumerate()
                    .filter(|(_, answer)| answer.is_err())
                    .map(|(at, _)| at)
                    .collect(),
            };
            if open.is_empty() {
                break;
            }
            let asked: Vec<Mined> = open.iter().filter_map(|at| mined.get(*at).copied()).collect();
            match member.ask(self.terms(), &|endpoint| endpoint.branches(&asked).boxed()).await {
                Ok(some) => {
                    let held = asked.iter().zip(some).map(|(mined, branch)| {
                        branch.and_then(|branch| held(&headers, mined, branch, member.name()))
                    });
                    if answers.is_empty() {
                        answers = held.collect();
                        continue;
                    }
                    for (at, new) in open.into_iter().zip(held) {
                        // The preferred server's reason is kept.
                        if let (Some(answer), Ok(_)) = (answers.get_mut(at), &new) {
                            *answer = new;
                        }
                    }
                }
                Err(cause) => causes.push(cause),
            }
        }
        if answers.is_empty() { Err(exhausted(causes)) } else { Ok(answers) }
    }

    pub(super) async fn find_coinbase(&self, height: Height) -> Result<Coinbase, BackendError> {
        let headers = self.known_headers([height].into()).await?;
        let mut causes = Vec::new();
        for member in &self.0.members {
            match member.ask(self.terms(), &|endpoint| endpoint.coinbase(height).boxed()).await {
                Ok(Coinbase { transaction, branch }) => {
                    let mined = Mined { txid: transaction.compute_txid(), height };
                    match held(&headers, &mined, branch, member.name()) {
                        Ok(branch) => return Ok(Coinbase { transaction, branch }),
                        Err(cause) => causes.push(cause),
                    }
                }
                Err(cause) => causes.push(cause),
            }
        }
        Err(exhausted(causes))
    }

    /// One that is in a block wins over one that waits for it, which counts if the output's owner has signed it. Where no server
    /// shows the output, so that nothing can be verified, it is a word. A server whose search goes on keeps nobody from showing one
    /// that is in a block: histories can be made up that have no end.
    pub(super) async fn find_spender(&self, spent: &Output, from: Cursor) -> Result<Search, BackendError> {
        let (mut survey, mut causes) = (None, Vec::new());
        let (mut signed, mut word, mut more, mut ended) = (None, None, None, None);
        for (place, member) in self.0.members.iter().enumerate() {
            match member.ask(self.terms(), &|endpoint| endpoint.spender(spent, from).boxed()).await {
                Ok(Search::Found(found)) => {
                    let survey = match &survey {
                        Some(survey) => survey,
                        None => survey.insert(self.survey().await?),
                    };
                    if !spends(&found.transaction, spent.outpoint) {
                        causes.push(not_shown(spent, &found, member.name()));
                        continue;
                    }
                    if self.how_mined(survey, place, &found).await.is_some() {
                        return Ok(Search::Found(found));
                    }
                    if more.is_some() {
                        continue;
                    }
                    let kept = match self.made_by_any(place, spent).await {
                        None => &mut word,
                        Some(made)
                            if is_spent_by(
                                &found.transaction,
                                spent.outpoint,
                                &made,
                                self.next_block(survey),
                            ) =>
                        {
                            &mut signed
                        }
                        Some(_) => {
                            causes.push(not_shown(spent, &found, member.name()));
                            continue;
                        }
                    };
                    kept.get_or_insert(Spender { height: None, ..*found });
                }
                Ok(Search::More(next)) if signed.is_none() => more = more.or(Some(next)),
                Ok(Search::More(_)) => {}
                Ok(Search::Ended(next)) => ended = ended.or(Some(next)),
                Err(cause) => causes.push(cause),
            }
        }
        if let Some(next) = more {
            return Ok(Search::More(next));
        }
        let found = signed.or(word).map(|spender| Search::Found(Box::new(spender)));
        found.or(ended.map(Search::Ended)).ok_or_else(|| exhausted(causes))
    }

    /// How far it is to be believed that the spender is in a block of the chain, as this server shows it. `None` if it isn't shown.
    pub(super) async fn how_mined(
        &self,
        survey: &Survey,
        place: usize,
        spender: &Spender,
    ) -> Option<Assurance> {
        let (member, height) = (self.0.members.get(place)?, spender.height?);
        let mined = [Mined { txid: spender.transaction.compute_txid(), height }];
        let branches = member.ask(self.terms(), &|endpoint| endpoint.branches(&mined).boxed()).await;
        let branch = branches.ok()?.pop()?.ok()?;
        let headers = self.headers_of(survey, &[height].into()).await;
        let header = headers.get(&height)?;
        branch.prove(&spender.transaction, &header.fact).is_ok().then_some(header.assurance)
    }

    /// The output, with the height of the block that is said to have it. The output itself is a fact, whoever shows it: its id is
    /// the hash of the transaction that made it.
    pub(super) async fn made(&self, place: usize, output: &Output) -> Option<(TxOut, Option<Height>)> {
        let outpoints = [output.outpoint];
        let member = self.0.members.get(place)?;
        let sightings = member.ask(self.terms(), &|endpoint| endpoint.sightings(&outpoints).boxed()).await;
        let sighting = sightings.ok()?.pop()?.ok()??;
        let made = sighting.transaction.output.get(usize::try_from(output.outpoint.vout).ok()?)?;
        // An output with another script is none of those asked about.
        (made.script_pubkey == output.script).then(|| (made.clone(), sighting.height))
    }

    /// The output as any server shows it, this one first.
    async fn made_by_any(&self, place: usize, output: &Output) -> Option<TxOut> {
        let others = (0..self.0.members.len()).filter(|other| *other != place);
        for place in std::iter::once(place).chain(others) {
            if let Some((made, _)) = self.made(place, output).await {
                return Some(made);
            }
        }
        None
    }

    pub(super) fn next_block(&self, survey: &Survey) -> NextBlock {
        let height = survey.tip.height.next();
        let median_time = self.0.headers.as_ref().and_then(|headers| headers.chain().median_time());
        NextBlock { height, median_time }
    }

    async fn known_headers(&self, heights: BTreeSet<Height>) -> Result<Headers, BackendError> {
        let survey = self.survey().await?;
        Ok(self.headers_of(&survey, &heights).await)
    }
}

/// The branch, if it leads from the transaction to the header of the block.
fn held(
    headers: &Headers,
    mined: &Mined,
    branch: MerkleBranch,
    endpoint: &str,
) -> Result<MerkleBranch, BackendError> {
    let Mined { txid, height } = *mined;
    let changed =
        |cause| BackendError::Changed { method: "Merkle branch", endpoint: endpoint.to_owned(), cause };
    let header = headers.get(&height).ok_or_else(|| changed(format!("block {height} is not known")))?;
    branch.lead(txid, &header.fact).map_err(|error| changed(error.to_string()))?;
    Ok(branch)
}

fn not_shown(spent: &Output, found: &Spender, endpoint: &str) -> BackendError {
    let txid = found.transaction.compute_txid();
    let cause = format!("{txid} is in no block, and isn't signed for {}", spent.outpoint);
    BackendError::Changed { method: "spender", endpoint: endpoint.to_owned(), cause }
}
