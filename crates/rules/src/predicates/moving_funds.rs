//! MF-1 to MF-7.

use alloy_primitives::U256;
use bitcoin::Amount;

use super::{fee_above_zero, fee_at_most, wallet_state};
use crate::{
    Finding, KeyHash, MissingError, MovingFundsProposal, Reason, RuleId, Snapshot, Utxo, Value, WalletRecord,
    WalletState, main_utxo_hash, target_wallets_commitment,
};

pub(super) fn evaluate(
    snapshot: &Snapshot,
    wallet: KeyHash,
    proposal: &MovingFundsProposal,
    main_utxo: &Utxo,
) -> Result<Vec<Finding>, MissingError> {
    let record = snapshot.wallet(wallet)?;
    let parameters = &snapshot.moving_funds_parameters;
    Ok(vec![
        wallet_state(RuleId::Mf1, wallet, record, &[WalletState::MovingFunds]),
        committed(record),
        targets_as_committed(record, &proposal.targets),
        main_utxo_as_known(record, main_utxo),
        balance_above_dust(record, main_utxo, parameters.moving_funds_dust_threshold),
        fee_above_zero(RuleId::Mf6, proposal.fee),
        fee_at_most(RuleId::Mf7, proposal.fee, parameters.moving_funds_tx_max_total_fee),
    ])
}

fn committed(record: &WalletRecord) -> Finding {
    let commitment = record.moving_funds_target_wallets_commitment_hash;
    let reason = commitment.is_zero().then_some(Reason::TargetWalletsNotCommitted);
    Finding::new(RuleId::Mf2, None, (Some(Value::Hash(commitment)), None), reason)
}

fn targets_as_committed(record: &WalletRecord, targets: &[KeyHash]) -> Finding {
    let committed = record.moving_funds_target_wallets_commitment_hash;
    if committed.is_zero() {
        return Finding::not_evaluable(RuleId::Mf3, None, RuleId::Mf2);
    }
    let actual = target_wallets_commitment(targets);
    let reason = (actual != committed).then_some(Reason::TargetWalletsMismatch { committed, actual });
    Finding::new(RuleId::Mf3, None, (Some(Value::Hash(actual)), Some(Value::Hash(committed))), reason)
}

fn main_utxo_as_known(record: &WalletRecord, main_utxo: &Utxo) -> Finding {
    let expected = record.main_utxo_hash;
    if expected.is_zero() {
        return Finding::new(RuleId::Mf4, None, (None, None), None);
    }
    let actual = main_utxo_hash(main_utxo);
    let reason = (actual != expected).then_some(Reason::MainUtxoMismatch { expected, actual });
    Finding::new(RuleId::Mf4, None, (Some(Value::Hash(actual)), Some(Value::Hash(expected))), reason)
}

fn balance_above_dust(record: &WalletRecord, main_utxo: &Utxo, dust_threshold: Amount) -> Finding {
    let balance = if record.main_utxo_hash.is_zero() { Amount::ZERO } else { main_utxo.value };
    let (actual, bound) = (U256::from(balance.to_sat()), U256::from(dust_threshold.to_sat()));
    let reason = (balance < dust_threshold)
        .then_some(Reason::BalanceBelowDust { balance: actual, dust_threshold: bound });
    Finding::new(RuleId::Mf5, None, (Some(Value::Number(actual)), Some(Value::Number(bound))), reason)
}
