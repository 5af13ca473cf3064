//! Where transactions are: proven by a Merkle branch to a header that is known, or else by what enough servers say.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bitcoin::{OutPoint, block::Header};
use coxswain_rules::{
    Assured,
    units::{Confirmations, Height},
};
use futures_util::FutureExt;
use tokio::time::sleep;

use super::{Backends, exhausted, survey::Survey};
use crate::{Answers, BackendError, Known, MerkleBranch, Mined, Server, Sighting};

/// The pause before what could not be told is asked once more: a block may have come in between.
pub(super) const PAUSE: Duration = Duration::from_millis(300);

/// What each server says of one item, in its place.
type Said<T> = Vec<Result<T, BackendError>>;

impl Backends {
    pub(super) async fn find_transactions(
        &self,
        outpoints: &[OutPoint],
    ) -> Result<Answers<Assured<Option<Known>>>, BackendError> {
        if outpoints.is_empty() {
            return Ok(Vec::new());
        }
        let mut answers = self.transactions_once(outpoints).await?;
        let open = passing(&answers);
        if !open.is_empty() {
            sleep(PAUSE).await;
            let asked: Vec<_> = open.iter().filter_map(|at| outpoints.get(*at).copied()).collect();
            replace(&mut answers, open, self.transactions_once(&asked).await?);
        }
        Ok(answers)
    }

    async fn transactions_once(
        &self,
        outpoints: &[OutPoint],
    ) -> Result<Answers<Assured<Option<Known>>>, BackendError> {
        let survey = self.survey().await?;
        if let Some(error) = survey.too_few() {
            return Err(error);
        }
        let said = self.voters(&survey, |endpoint| endpoint.sightings(outpoints).boxed()).await;
        let mut said = by_item(outpoints.len(), said);
        let proven = self.prove(&survey, &mut said).await;
        for ((outpoint, said), _) in
            outpoints.iter().zip(&said).zip(&proven).filter(|(_, proven)| proven.is_some())
        {
            for (name, said) in self.names().zip(said) {
                if *said == Ok(None) {
                    self.note(name, || {
                        format!("it knows no transaction {}, which is in a block", outpoint.txid)
                    });
                }
            }
        }
        let answers = said.into_iter().zip(proven).map(|(said, proven)| match proven {
            Some(Assured { fact, assurance }) => Ok(Assured { fact: Some(fact), assurance }),
            None => self.unproven(&survey, said),
        });
        Ok(answers.collect())
    }

    /// Proves of what is said to be mined that it is. A server whose proof fails has no say in that item any more.
    async fn prove(
        &self,
        survey: &Survey,
        said: &mut [Said<Option<Sighting>>],
    ) -> Vec<Option<Assured<Known>>> {
        let mut proven: Vec<Option<Assured<Known>>> = said.iter().map(|_| None).collect();
        let heights: BTreeSet<Height> =
            said.iter().flatten().flatten().flatten().filter_map(|sighting| sighting.height).collect();
        if heights.is_empty() {
            return proven;
        }
        let headers = self.headers_of(survey, &heights).await;
        for (place, member) in self.0.members.iter().enumerate() {
            let claims: Vec<(usize, Sighting, Height)> = said
                .iter()
                .enumerate()
                .filter(|(item, _)| proven.get(*item).is_some_and(Option::is_none))
                .filter_map(|(item, said)| {
                    let sighting = said.get(place)?.as_ref().ok()?.as_ref()?;
                    Some((item, sighting.clone(), sighting.height?))
                })
                .collect();
            if claims.is_empty() {
                continue;
            }
            let mined: Vec<_> = claims
                .iter()
                .map(|(_, sighting, height)| Mined {
                    txid: sighting.transaction.compute_txid(),
                    height: *height,
                })
                .collect();
            let branches = member.ask(self.terms(), &|endpoint| endpoint.branches(&mined).boxed()).await;
            let branches =
                branches.unwrap_or_else(|error| mined.iter().map(|_| Err(error.clone())).collect());
            for ((item, sighting, height), branch) in claims.into_iter().zip(branches) {
                let outcome = branch
                    .and_then(|branch| prove(survey, &headers, sighting, height, &branch, member.name()));
                match outcome {
                    Ok(known) => {
                        if let Some(slot) = proven.get_mut(item) {
                            *slot = Some(known);
                        }
                    }
                    Err(error) => {
                        if let Some(slot) = said.get_mut(item).and_then(|said| said.get_mut(place)) {
                            *slot = Err(error);
                        }
                    }
                }
            }
        }
        proven
    }

    /// What is known of a transaction that nobody proves to be mined. One that a server shows is there.
    fn unproven(
        &self,
        survey: &Survey,
        said: Said<Option<Sighting>>,
    ) -> Result<Assured<Option<Known>>, BackendError> {
        let (mut waiting, mut understood, mut causes) = (None, 0, Vec::new());
        for said in said {
            match said {
                Ok(sighting) => {
                    understood += 1;
                    waiting = waiting.or(sighting);
                }
                Err(cause) => causes.push(cause),
            }
        }
        if !survey.enough.is_met_by(understood) {
            let unindexed = causes.iter().all(|cause| matches!(cause, BackendError::Unindexed { .. }));
            // One of many that can't tell for the same reason stands for all.
            causes.truncate(if unindexed { 1 } else { causes.len() });
            return Err(exhausted(causes));
        }
        let fact = waiting
            .map(|Sighting { transaction, .. }| Known { transaction, confirmations: Confirmations::NONE });
        Ok(Assured { fact, assurance: survey.enough.assurance() })
    }
}

/// Holds what a server shows against the header of the block that it names.
fn prove(
    survey: &Survey,
    headers: &BTreeMap<Height, Assured<Header>>,
    sighting: Sighting,
    height: Height,
    branch: &MerkleBranch,
    endpoint: &str,
) -> Result<Assured<Known>, BackendError> {
    let changed = |cause: String| BackendError::Changed {
        method: "Merkle branch",
        endpoint: endpoint.to_owned(),
        cause,
    };
    let header = headers.get(&height).ok_or_else(|| changed(format!("block {height} is not known")))?;
    branch.prove(&sighting.transaction, &header.fact).map_err(|error| changed(error.to_string()))?;
    let confirmations = survey
        .confirmations(height)
        .ok_or_else(|| changed(format!("block {height} is above the newest, {}", survey.tip.height)))?;
    let known = Known { transaction: sighting.transaction, confirmations };
    Ok(Assured { fact: known, assurance: header.assurance })
}

/// What the servers say, by item: an error of a whole answer is one of each item.
pub(super) fn by_item<T>(items: usize, said: Vec<Result<Answers<T>, BackendError>>) -> Vec<Said<T>> {
    let mut by_item: Vec<Said<T>> = (0..items).map(|_| Vec::with_capacity(said.len())).collect();
    for answers in said {
        match answers {
            Ok(answers) if answers.len() == items => {
                by_item.iter_mut().zip(answers).for_each(|(item, answer)| item.push(answer));
            }
            Ok(answers) => {
                let cause = format!("{} answers to {items} questions", answers.len());
                let error =
                    BackendError::Garbage { method: "questions", endpoint: "a server".to_owned(), cause };
                by_item.iter_mut().for_each(|item| item.push(Err(error.clone())));
            }
            Err(error) => by_item.iter_mut().for_each(|item| item.push(Err(error.clone()))),
        }
    }
    by_item
}

/// The items that could not be told for what may pass.
pub(super) fn passing<T>(answers: &Answers<T>) -> Vec<usize> {
    fn passes(error: &BackendError) -> bool {
        match error {
            BackendError::Exhausted(causes) => causes.iter().any(passes),
            BackendError::Changed { .. } | BackendError::Contradiction { .. } => true,
            BackendError::Rpc { .. } => error.is_retryable(),
            _ => false,
        }
    }
    let failed = |answer: &Result<T, BackendError>| answer.as_ref().err().is_some_and(passes);
    answers.iter().enumerate().filter(|(_, answer)| failed(answer)).map(|(at, _)| at).collect()
}

/// Puts newer answers in the places of older ones.
pub(super) fn replace<T>(answers: &mut Answers<T>, places: Vec<usize>, newer: Answers<T>) {
    for (at, new) in places.into_iter().zip(newer) {
        if let Some(answer) = answers.get_mut(at) {
            *answer = new;
        }
    }
}
