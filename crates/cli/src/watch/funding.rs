//! When a deposit's funding was deep enough to be swept, as far as Bitcoin tells today.

use bitcoin::Transaction;
use coxswain_bitcoin::{Backend, BackendError, Known, Output};
use coxswain_ethereum::ChainError;
use coxswain_proposals::{
    FUNDING_CONFIRMATIONS, Why,
    deposits::{Answer, Candidate, judge},
};
use coxswain_rules::{
    KeyHash, OutPoint, Snapshot,
    units::{Confirmations, UnixTime},
};

use super::outcome::BITCOIN_CLOCK;

/// What Bitcoin says today of a deposit's funding.
#[derive(Clone, Debug)]
pub(super) enum Funding {
    /// Neither a block nor the mempool has it.
    Absent,
    /// It is there.
    Found {
        transaction: Transaction,
        confirmations: Confirmations,
        /// The time of the block that made it deep enough; `None` if Bitcoin's clock is not Ethereum's, or it isn't.
        deep: Option<UnixTime>,
        /// Whether something else than a sweep of the wallet has spent it.
        is_spent: bool,
    },
    /// There is no usable answer.
    Unanswered(String),
}

/// What a deposit's funding was at a window.
pub(super) enum Funds {
    /// Deep enough.
    There,
    /// Not deep enough yet.
    Young,
    /// Not to be swept.
    Wanting(Why),
    /// It can't be told.
    Open(String),
}

impl Funding {
    /// What it was at the snapshot's time.
    pub(super) fn at(
        &self,
        snapshot: &Snapshot,
        wallet: KeyHash,
        candidate: &Candidate,
    ) -> Result<Funds, ChainError> {
        let (transaction, confirmations, deep, is_spent) = match self {
            // What a reorganisation has taken away isn't told apart from what never was.
            Self::Absent => return Ok(Funds::Wanting(Why::NotFound)),
            Self::Unanswered(why) => return Ok(Funds::Open(why.clone())),
            Self::Found { transaction, confirmations, deep, is_spent } => {
                (transaction, *confirmations, *deep, *is_spent)
            }
        };
        let known = Known { transaction: transaction.clone(), confirmations };
        if let Answer::Wanting(why) = judge(snapshot, wallet, candidate, Some(&known))? {
            return Ok(Funds::Wanting(why));
        }
        if is_spent {
            return Ok(Funds::Open("its output is spent by now; since when can't be told".to_owned()));
        }
        let now = snapshot.timestamp;
        Ok(match deep {
            None => Funds::Open("when its funding became deep enough can't be told here".to_owned()),
            Some(deep) if deep.saturating_add(BITCOIN_CLOCK) <= now => Funds::There,
            Some(deep) if now < deep.saturating_sub(BITCOIN_CLOCK) => Funds::Young,
            Some(_) => Funds::Open("its funding became deep enough about then".to_owned()),
        })
    }
}

/// Asks Bitcoin about deposits, each with whether the Bridge has it as swept. `has_clock`: its clock is Ethereum's.
pub(super) async fn look_up<B: Backend>(
    bitcoin: &B,
    deposits: &[(OutPoint, bool)],
    has_clock: bool,
) -> Result<Vec<(OutPoint, Funding)>, BackendError> {
    if deposits.is_empty() {
        return Ok(Vec::new());
    }
    let tip = bitcoin.tip().await?.height;
    let outpoints: Vec<_> = deposits.iter().map(|(outpoint, _)| *outpoint).collect();
    let answers = bitcoin.transactions(&outpoints).await?;
    let mut unswept = Vec::new();
    let mut found = Vec::new();
    for (&(outpoint, is_swept), answer) in deposits.iter().zip(answers) {
        let funding = match answer.map(|answer| answer.fact) {
            Err(error) => Funding::Unanswered(error.to_string()),
            Ok(None) => Funding::Absent,
            Ok(Some(Known { transaction, confirmations })) => {
                let output =
                    usize::try_from(outpoint.vout).ok().and_then(|vout| transaction.output.get(vout));
                if let Some(output) = output.filter(|_| !is_swept) {
                    unswept.push(Output { outpoint, script: output.script_pubkey.clone() });
                }
                let sixth = confirmations.0.checked_sub(FUNDING_CONFIRMATIONS.0);
                let deep = match sixth.and_then(|above| tip.checked_sub(above)).filter(|_| has_clock) {
                    Some(height) => bitcoin.headers(height, 1).await?.first().map(time),
                    None => None,
                };
                Funding::Found { transaction, confirmations, deep, is_spent: false }
            }
        };
        found.push((outpoint, funding));
    }
    if !unswept.is_empty() {
        let answers = bitcoin.unspent(&unswept).await?;
        for (output, answer) in unswept.into_iter().zip(answers) {
            let Some((_, funding)) = found.iter_mut().find(|(outpoint, _)| *outpoint == output.outpoint)
            else {
                continue;
            };
            match (answer, &mut *funding) {
                (Ok(unspent), Funding::Found { is_spent, .. }) => *is_spent = !unspent.fact,
                (Err(error), _) => *funding = Funding::Unanswered(error.to_string()),
                _ => {}
            }
        }
    }
    Ok(found)
}

/// A header's time.
pub(super) fn time(header: &bitcoin::block::Header) -> UnixTime {
    UnixTime(header.time.into())
}
