//! MS-1 to MS-5.

use super::{fee_above_zero, fee_at_most, wallet_state};
use crate::{
    Finding, KeyHash, MissingError, MovedFundsSweepProposal, Reason, RuleId, Snapshot, SweepRequestKey,
    SweepRequestState, Value, WalletState,
};

pub(super) fn evaluate(
    snapshot: &Snapshot,
    wallet: KeyHash,
    proposal: &MovedFundsSweepProposal,
) -> Result<Vec<Finding>, MissingError> {
    let record = snapshot.wallet(wallet)?;
    let request = snapshot.sweep_request(SweepRequestKey::new(proposal.outpoint))?;
    let state = request.state as u8;
    let max_fee = snapshot.moving_funds_parameters.moved_funds_sweep_tx_max_total_fee;

    let pending = Finding::new(
        RuleId::Ms2,
        None,
        (
            Some(Value::SweepRequestState(state)),
            Some(Value::SweepRequestState(SweepRequestState::Pending as u8)),
        ),
        (request.state != SweepRequestState::Pending).then_some(Reason::SweepRequestNotPending { state }),
    );
    let of_wallet = if request.state == SweepRequestState::Unknown {
        Finding::not_evaluable(RuleId::Ms3, None, RuleId::Ms2)
    } else {
        Finding::new(
            RuleId::Ms3,
            None,
            (Some(Value::Wallet(request.wallet)), Some(Value::Wallet(wallet))),
            (request.wallet != wallet)
                .then_some(Reason::SweepRequestOfOtherWallet { wallet: request.wallet }),
        )
    };
    Ok(vec![
        wallet_state(RuleId::Ms1, wallet, record, &[WalletState::Live, WalletState::MovingFunds]),
        pending,
        of_wallet,
        fee_above_zero(RuleId::Ms4, proposal.fee),
        fee_at_most(RuleId::Ms5, proposal.fee, max_fee),
    ])
}
