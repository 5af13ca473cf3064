//! What verdicts rest on, recorded when a proposal was judged, so that it can be judged again offline.

use std::sync::Arc;

use alloy_primitives::{Address, Bytes};
use coxswain_ethereum::{
    ChainError, ConnectError, ContractVerdict, Endpoints, ProposalValidator, SnapshotReader,
    proof::{Recorder, Witness, WitnessError},
};
use coxswain_proposals::{SessionError, rejudge};
use coxswain_protocol::ContentVerdict;
use coxswain_rules::{Assurance, Case, KeyHash, Objection, Rejection, units::BlockNumber};
use coxswain_service::journal::{Journal, ReadError, Reader, Snapshot};
use serde::{Deserialize, Serialize};
use tracing::warn;

/// An address at which nobody is asked: what is kept is read as if it had come from there.
const NOBODY: &str = "http://127.0.0.1:9";

/// What was judged, the verdict, and what it rests on.
#[derive(Debug, Serialize, Deserialize)]
struct Judged {
    case: Case,
    validator: Address,
    bridge: Address,
    verdict: Verdict,
    witness: Witness,
}

/// A verdict as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// There was no objection.
    Valid,
    /// There was this one.
    Rejected(Arc<Objection>),
    /// It could not be told.
    Undecided(String),
}

impl From<&ContentVerdict> for Verdict {
    fn from(verdict: &ContentVerdict) -> Self {
        match verdict {
            ContentVerdict::Valid(_) => Self::Valid,
            ContentVerdict::Rejected { objection, .. } => Self::Rejected(Arc::clone(objection)),
            ContentVerdict::Undecided(why) => Self::Undecided(why.clone()),
        }
    }
}

/// Records what verdicts rest on.
#[derive(Debug)]
pub struct Records {
    /// Where.
    pub journal: Arc<Journal>,
    /// The validator that judges.
    pub validator: Address,
    /// The Bridge that it reads.
    pub bridge: Address,
    /// How far it is to be believed that it does.
    pub assurance: Assurance,
}

impl Records {
    /// Records a verdict on a wallet's proposal, if it rests on anything that was proven. No verdict waits for that to succeed.
    pub(crate) async fn record(
        &self,
        wallet: KeyHash,
        window: u64,
        block: BlockNumber,
        case: &Case,
        verdict: &ContentVerdict,
        recorder: &Recorder,
    ) {
        let Some((witness, codes)) = recorder.finish() else { return };
        let hashes = witness.codes.iter().copied().collect();
        let judged = Judged {
            case: case.clone(),
            validator: self.validator,
            bridge: self.bridge,
            verdict: verdict.into(),
            witness,
        };
        let body = match serde_json::to_string(&judged) {
            Ok(body) => body,
            Err(error) => return warn!(%wallet, %error, "what the verdict rests on can't be written down"),
        };
        let snapshot = Snapshot { wallet, window, block, body, codes: hashes };
        let codes = codes.into_iter().map(|code| code.to_vec()).collect();
        if let Err(error) = self.journal.snapshot(snapshot, codes).await {
            warn!(%wallet, %error, "what the verdict rests on is not recorded");
        }
    }
}

/// A verdict, beside what comes of judging again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// The block that was judged at.
    pub block: BlockNumber,
    /// What was recorded.
    pub recorded: Verdict,
    /// What the contract says, by the code that judged then.
    pub contract: ContractVerdict,
    /// Why the rules here reject it, if they do.
    pub rules: Option<Rejection>,
}

impl Replay {
    /// Whether judging again comes to what was recorded, as far as that follows from the chain's state.
    pub fn is_same(&self) -> bool {
        match (&self.recorded, &self.contract) {
            (Verdict::Valid, contract) => *contract == ContractVerdict::Valid && self.rules.is_none(),
            (Verdict::Rejected(objection), contract) => match (&**objection, contract) {
                (Objection::Contract(then), ContractVerdict::Rejected(now)) => {
                    then == now && self.rules.is_some()
                }
                (Objection::Contract(_), _) => false,
                (Objection::Unspendable(then), _) => self.rules.as_ref() == Some(then),
                // Bitcoin, the fee and the margin are judged after the contract has accepted it.
                (_, contract) => *contract == ContractVerdict::Valid && self.rules.is_none(),
            },
            // Another answer failed, which is not kept. Or the contract and the rules are not of one mind, then as now.
            (Verdict::Undecided(_), ContractVerdict::Valid) => true,
            (Verdict::Undecided(_), ContractVerdict::Rejected(_)) => self.rules.is_none(),
            (Verdict::Undecided(_), ContractVerdict::Undecided(_)) => false,
        }
    }
}

/// Why nothing can be judged again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// Nothing is kept.
    #[error(
        "nothing is kept of what the verdict in that window rests on: nothing was judged, or not on proven state"
    )]
    Nothing,
    /// The row can't be read.
    #[error("the row can't be read, or its checksum doesn't hold")]
    Damaged,
    /// The journal can't be read.
    #[error("the journal can't be read")]
    Read(#[from] ReadError),
    /// What is kept doesn't hold.
    #[error(transparent)]
    Witness(#[from] WitnessError),
    /// The contract was not asked.
    #[error("the proposal was refused before the contract was asked")]
    NotAsked,
    /// What is kept leaves out what the rules need.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The chain's answers can't be read.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// No client can be set up.
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

fn read(snapshot: &Snapshot) -> Result<Judged, ReplayError> {
    serde_json::from_str(&snapshot.body).map_err(|_| ReplayError::Damaged)
}

fn replayed(reader: &Reader, judged: &Judged) -> Result<coxswain_ethereum::proof::Replayed, ReplayError> {
    let code = |hash| reader.code(hash).ok().flatten().map(Bytes::from);
    Ok(judged.witness.replay(code)?)
}

/// Judges the proposal of a wallet's window again, from what is kept.
///
/// # Errors
/// If nothing is kept, or it doesn't hold.
pub fn replay(reader: &Reader, wallet: KeyHash, window: u64) -> Result<Replay, ReplayError> {
    let snapshot = reader.snapshot(wallet, window)?.ok_or(ReplayError::Nothing)?;
    let snapshot = snapshot.map_err(|_| ReplayError::Damaged)?;
    let judged = read(&snapshot)?;
    let answers = replayed(reader, &judged)?;
    let nobody = Endpoints::new(NOBODY.parse().expect("it is a URL"))?;
    let chain_id = judged.witness.chain_id;
    let validator = ProposalValidator::new(nobody.clone(), chain_id, judged.validator);
    let bridge = SnapshotReader::new(nobody, chain_id, judged.bridge);
    let answer = |to, input: &Bytes| answers.answer(to, input);
    let rejudged = rejudge(&judged.case, &validator, &bridge, answers.block(), answer);
    let rejudged = rejudged.ok_or(ReplayError::NotAsked)??;
    Ok(Replay {
        block: snapshot.block,
        recorded: judged.verdict,
        contract: rejudged.contract,
        rules: rejudged.rules,
    })
}

/// Returns what is wrong with a window's snapshot, if anything is.
///
/// # Errors
/// If the journal can't be read.
pub(crate) fn unproven(reader: &Reader, wallet: KeyHash, window: u64) -> Result<Option<String>, ReadError> {
    let Some(Ok(snapshot)) = reader.snapshot(wallet, window)? else { return Ok(None) };
    let held = read(&snapshot).and_then(|judged| replayed(reader, &judged).map(|_| ()));
    Ok(held.err().map(|error| error.to_string()))
}

#[cfg(test)]
mod tests {
    use alloy_primitives::U256;
    use coxswain_rules::{Cause, RuleId};

    use super::*;

    #[test]
    fn what_state_alone_rejects_was_not_undecided_for_something_else() {
        let rejection = |rule| Rejection { rule: Some(rule), cause: Cause::Panic(U256::ONE) };
        let replay = |recorded, contract, rules| Replay { block: BlockNumber(9), recorded, contract, rules };
        let undecided = || Verdict::Undecided("outputs: no Bitcoin server answers".to_owned());
        let [one, other] = [RuleId::Ds1, RuleId::Ds11].map(rejection);
        let rejected = || ContractVerdict::Rejected(one.clone());
        assert!(replay(undecided(), ContractVerdict::Valid, None).is_same());
        assert!(replay(undecided(), ContractVerdict::Valid, Some(one.clone())).is_same());
        assert!(replay(undecided(), rejected(), None).is_same());
        assert!(!replay(undecided(), rejected(), Some(one.clone())).is_same());
        // Of what nobody can spend, the deposit counts.
        let unspendable = || Verdict::Rejected(Arc::new(Objection::Unspendable(other.clone())));
        assert!(replay(unspendable(), ContractVerdict::Valid, Some(other.clone())).is_same());
        assert!(!replay(unspendable(), ContractVerdict::Valid, Some(one.clone())).is_same());
    }
}
