//! Which funds that another wallet has moved to this one are to be swept.

use coxswain_ethereum::{Commitment, CompletedMove};
use coxswain_rules::{
    KeyHash, MissingError, OutPoint, Snapshot, SweepRequestKey, SweepRequestState, units::BlockNumber,
};

/// The outputs that pay the wallet what others have moved, oldest first: each source's target is paid at its position in the
/// commitment.
pub fn outputs(
    commitments: &[Commitment],
    completed: &[CompletedMove],
    wallet: KeyHash,
    head: BlockNumber,
) -> Vec<OutPoint> {
    let mut outputs = Vec::new();
    for completed in completed.iter().filter(|completed| completed.at.block <= head) {
        // A source commits once before it moves.
        let commitment = commitments
            .iter()
            .rev()
            .find(|commitment| commitment.source == completed.source && commitment.at < completed.at);
        let position =
            commitment.and_then(|commitment| commitment.targets.iter().position(|target| *target == wallet));
        let vout = position.and_then(|position| u32::try_from(position).ok());
        outputs.extend(vout.map(|vout| OutPoint::new(completed.txid, vout)));
    }
    outputs
}

/// Those of the outputs that are to be swept still.
///
/// # Errors
/// When the snapshot lacks one.
pub fn pending(
    snapshot: &Snapshot,
    wallet: KeyHash,
    outputs: &[OutPoint],
) -> Result<Vec<OutPoint>, MissingError> {
    let mut pending = Vec::new();
    for &outpoint in outputs {
        let request = snapshot.sweep_request(SweepRequestKey::new(outpoint))?;
        if request.state == SweepRequestState::Pending && request.wallet == wallet {
            pending.push(outpoint);
        }
    }
    Ok(pending)
}
