//! Sweeps of moved funds: MS-1 to MS-5.

use bitcoin::Amount;
use coxswain_rules::{KeyHash, Reason, RuleId, SweepRequestState, WalletState};

use crate::{
    common::{MAX_FEE, moved_funds_sweep},
    rules::{assert_accepted, assert_rejected, assert_states, n},
};

#[test]
fn ms_1_wallet_state() {
    assert_states(moved_funds_sweep(), RuleId::Ms1, &[WalletState::Live, WalletState::MovingFunds]);
}

#[test]
fn ms_2_not_pending() {
    let mut world = moved_funds_sweep();
    for state in [SweepRequestState::Unknown, SweepRequestState::Processed, SweepRequestState::TimedOut] {
        world.sweep_request().state = state;
        assert_rejected(&world, RuleId::Ms2, Reason::SweepRequestNotPending { state: state as u8 });
    }
    world.sweep_request().state = SweepRequestState::Pending;
    assert_accepted(&world);
}

#[test]
fn ms_3_request_of_another_wallet() {
    let mut world = moved_funds_sweep();
    let other = KeyHash([9; 20]);
    world.sweep_request().wallet = other;
    assert_rejected(&world, RuleId::Ms3, Reason::SweepRequestOfOtherWallet { wallet: other });
}

#[test]
fn ms_4_fee_zero() {
    let mut world = moved_funds_sweep();
    world.moved_funds_sweep().fee = Amount::ZERO;
    assert_rejected(&world, RuleId::Ms4, Reason::FeeZero);
    world.moved_funds_sweep().fee = Amount::from_sat(1);
    assert_accepted(&world);
}

#[test]
fn ms_5_fee() {
    let mut world = moved_funds_sweep();
    world.snapshot.moving_funds_parameters.moving_funds_tx_max_total_fee = Amount::ZERO;
    world.moved_funds_sweep().fee = MAX_FEE + Amount::from_sat(1);
    let reason = Reason::FeeTooHigh { fee: n(100_001), max_fee: n(100_000) };
    assert_rejected(&world, RuleId::Ms5, reason);
    world.moved_funds_sweep().fee = MAX_FEE;
    assert_accepted(&world);
}
