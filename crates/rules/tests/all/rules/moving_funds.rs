//! Moves of funds: MF-1 to MF-7.

use alloy_primitives::B256;
use bitcoin::{Amount, Txid, hashes::Hash as _};
use coxswain_rules::{KeyHash, Reason, RuleId, WalletState};

use crate::{
    common::{MAX_FEE, moving_funds},
    rules::{assert_accepted, assert_rejected, assert_states, n},
};

#[test]
fn mf_1_wallet_state() {
    assert_states(moving_funds(2), RuleId::Mf1, &[WalletState::MovingFunds]);
}

#[test]
fn mf_2_not_committed() {
    let mut world = moving_funds(2);
    world.wallet().moving_funds_target_wallets_commitment_hash = B256::ZERO;
    assert_rejected(&world, RuleId::Mf2, Reason::TargetWalletsNotCommitted);
}

#[test]
fn mf_3_other_targets() {
    let mut world = moving_funds(2);
    let committed = world.wallet().moving_funds_target_wallets_commitment_hash;
    let [one, two] = [KeyHash([1; 20]), KeyHash([2; 20])];
    for targets in [vec![], vec![one], vec![two, one], vec![one, two, two]] {
        let actual = coxswain_rules::target_wallets_commitment(&targets);
        world.moving_funds().0.targets = targets;
        let reason = Reason::TargetWalletsMismatch { committed, actual };
        assert_rejected(&world, RuleId::Mf3, reason);
    }
    world.moving_funds().0.targets = vec![one, two];
    assert_accepted(&world);
}

#[test]
fn mf_4_other_main_utxo() {
    for change in [
        |utxo: &mut coxswain_rules::Utxo| utxo.outpoint.txid = Txid::all_zeros(),
        |utxo: &mut coxswain_rules::Utxo| utxo.outpoint.vout += 1,
        |utxo: &mut coxswain_rules::Utxo| utxo.value += Amount::from_sat(1),
    ] {
        let mut world = moving_funds(2);
        change(world.moving_funds().1);
        let (expected, utxo) = (world.wallet().main_utxo_hash, *world.moving_funds().1);
        let actual = coxswain_rules::main_utxo_hash(&utxo);
        assert_rejected(&world, RuleId::Mf4, Reason::MainUtxoMismatch { expected, actual });
    }
    // Without one, what is named doesn't matter; only the dust threshold stands in the way.
    let mut world = moving_funds(2).without_main_utxo();
    world.snapshot.moving_funds_parameters.moving_funds_dust_threshold = Amount::ZERO;
    assert_accepted(&world);
}

#[test]
fn mf_5_dust() {
    let mut world = moving_funds(2);
    let value = world.main_utxo.value;
    world.snapshot.moving_funds_parameters.moving_funds_dust_threshold = value + Amount::from_sat(1);
    let reason =
        Reason::BalanceBelowDust { balance: n(value.to_sat()), dust_threshold: n(value.to_sat() + 1) };
    assert_rejected(&world, RuleId::Mf5, reason);
    world.snapshot.moving_funds_parameters.moving_funds_dust_threshold = value;
    assert_accepted(&world);
    // A wallet without a main UTXO has no balance, whatever is named.
    world.snapshot.moving_funds_parameters.moving_funds_dust_threshold = Amount::from_sat(1);
    let reason = Reason::BalanceBelowDust { balance: n(0), dust_threshold: n(1) };
    assert_rejected(&world.without_main_utxo(), RuleId::Mf5, reason);
}

#[test]
fn mf_6_fee_zero() {
    let mut world = moving_funds(2);
    world.moving_funds().0.fee = Amount::ZERO;
    assert_rejected(&world, RuleId::Mf6, Reason::FeeZero);
    world.moving_funds().0.fee = Amount::from_sat(1);
    assert_accepted(&world);
}

#[test]
fn mf_7_fee() {
    let mut world = moving_funds(2);
    world.snapshot.moving_funds_parameters.moved_funds_sweep_tx_max_total_fee = Amount::ZERO;
    world.moving_funds().0.fee = MAX_FEE + Amount::from_sat(1);
    let reason = Reason::FeeTooHigh { fee: n(100_001), max_fee: n(100_000) };
    assert_rejected(&world, RuleId::Mf7, reason);
    world.moving_funds().0.fee = MAX_FEE;
    assert_accepted(&world);
}
