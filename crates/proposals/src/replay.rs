//! What was judged before, judged again from answers that were kept: by the contract's code, then by the rules evaluated here. Nothing
//! is asked.

use alloy_primitives::{Address, Bytes};
use coxswain_ethereum::{Block, Called, ContractVerdict, ProposalValidator, SnapshotKeys, SnapshotReader};
use coxswain_rules::{Case, Rejection};

use crate::{SessionError, session::Opinion};

/// A case that was judged again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejudged {
    /// What the contract says.
    pub contract: ContractVerdict,
    /// Why the rules reject it. `None` if they accept it.
    pub rules: Option<Rejection>,
}

/// Judges a case again by the answers that are kept of calls at this block. `None` if one that is needed isn't kept.
///
/// # Errors
/// If an answer is not what it can be, or leaves out what the rules need.
pub fn rejudge(
    case: &Case,
    validator: &ProposalValidator,
    reader: &SnapshotReader,
    block: Block,
    answer: impl Fn(Option<Address>, &Bytes) -> Option<Called>,
) -> Option<Result<Rejudged, SessionError>> {
    let contract = validator.recorded_verdict(case, |input| answer(Some(validator.address()), input))?;
    let snapshot =
        match reader.recorded_snapshot(block, &SnapshotKeys::from(case), |code| answer(None, code))? {
            Ok(snapshot) => snapshot,
            Err(error) => return Some(Err(error.into())),
        };
    let opinion = Opinion::new(case, &snapshot).map_err(SessionError::Missing);
    Some(opinion.map(|opinion| Rejudged { contract, rules: opinion.rejection() }))
}
