//! Redemptions: RD-1 to RD-10, INC-7.

use alloy_primitives::U256;
use bitcoin::Amount;
use coxswain_rules::{Cause, Reason, RedemptionRecord, RuleId, WalletState, units::UnixTime};

use crate::{
    common::{DAY, MAX_FEE, NOW, redeemer_script, redemption},
    rules::{assert_accepted, assert_rejected, assert_states, first, n},
};

#[test]
fn rd_1_wallet_state() {
    assert_states(redemption(1), RuleId::Rd1, &[WalletState::Live, WalletState::MovingFunds]);
}

#[test]
fn rd_2_no_request() {
    assert_rejected(&redemption(0), RuleId::Rd2, Reason::RedemptionEmpty);
    assert_accepted(&redemption(1));
}

#[test]
fn rd_3_number_of_requests() {
    let reason = Reason::RedemptionTooLarge { size: n(21), max_size: n(20) };
    assert_rejected(&redemption(21), RuleId::Rd3, reason);
    assert_accepted(&redemption(20));
}

#[test]
fn rd_4_fee_zero() {
    let mut world = redemption(2);
    world.redemption().fee = Amount::ZERO;
    assert_rejected(&world, RuleId::Rd4, Reason::FeeZero);
    world.redemption().fee = Amount::from_sat(1);
    assert_accepted(&world);
}

#[test]
fn rd_5_total_fee() {
    let mut world = redemption(2);
    world.redemption().fee = MAX_FEE + Amount::from_sat(1);
    let reason = Reason::FeeTooHigh { fee: n(100_001), max_fee: n(100_000) };
    assert_rejected(&world, RuleId::Rd5, reason);
    world.redemption().fee = MAX_FEE;
    assert_accepted(&world);
}

#[test]
fn rd_6_not_pending() {
    let mut world = redemption(2);
    *world.request(1) = RedemptionRecord::default();
    assert_rejected(&world, RuleId::Rd6, Reason::RedemptionNotPending { index: n(1) });
    *world.request(1) = RedemptionRecord { requested_at: 1, ..world.request(0).clone() };
    assert_eq!(first(&world).unwrap().rule, Some(RuleId::Rd8));
}

#[test]
fn rd_7_minimum_age() {
    for delay in [0, 600] {
        let mut world = redemption(2);
        *world.delay(1) = delay;
        world.request(1).requested_at = NOW - 600;
        let reason = Reason::RedemptionTooYoung { index: n(1), eligible_after: n(NOW.into()) };
        assert_rejected(&world, RuleId::Rd7, reason);
        world.request(1).requested_at = NOW - 601;
        assert_accepted(&world);
    }
}

#[test]
fn rd_7_watchtower_delay() {
    let mut world = redemption(2);
    *world.delay(1) = 601;
    world.request(1).requested_at = NOW - 601;
    let reason = Reason::RedemptionTooYoung { index: n(1), eligible_after: n(NOW.into()) };
    assert_rejected(&world, RuleId::Rd7, reason);
    world.request(1).requested_at = NOW - 602;
    assert_accepted(&world);
    // Without a watchtower, only the minimum age counts.
    world.request(1).requested_at = NOW - 601;
    world.snapshot.watchtower_delays = None;
    assert_accepted(&world);
}

#[test]
fn rd_8_timeout_too_close() {
    let mut world = redemption(2);
    world.request(1).requested_at = NOW - 5 * DAY + 7_200;
    let reason = Reason::RedemptionTimeoutTooClose { index: n(1), eligible_before: n(NOW.into()) };
    assert_rejected(&world, RuleId::Rd8, reason);
    world.request(1).requested_at += 1;
    assert_accepted(&world);
}

#[test]
fn rd_9_fee_share() {
    let mut world = redemption(3);
    world.redemption().fee = Amount::from_sat(11);
    world.request(0).tx_max_fee = Amount::from_sat(2);
    let reason = Reason::RedemptionFeeShareTooHigh { index: n(0), share: n(3), max_share: n(2) };
    assert_rejected(&world, RuleId::Rd9, reason);
    world.request(0).tx_max_fee = Amount::from_sat(3);
    assert_accepted(&world);
    // The last one bears the remainder too.
    world.request(2).tx_max_fee = Amount::from_sat(4);
    let reason = Reason::RedemptionFeeShareTooHigh { index: n(2), share: n(5), max_share: n(4) };
    assert_rejected(&world, RuleId::Rd9, reason);
    world.request(2).tx_max_fee = Amount::from_sat(5);
    assert_accepted(&world);
}

#[test]
fn rd_10_repeated_request() {
    let mut world = redemption(3);
    world.redemption().scripts[2] = redeemer_script(0);
    let reason = Reason::RedemptionDuplicated { index: n(2), first_index: n(0) };
    assert_rejected(&world, RuleId::Rd10, reason);
    world.redemption().scripts[2] = redeemer_script(2);
    assert_accepted(&world);
}

#[test]
fn inc_7_request_time_that_would_wrap() {
    let mut world = redemption(1);
    // The minimum age.
    *world.delay(0) = 0;
    world.snapshot.redemption_parameters.redemption_timeout = 0;
    world.snapshot.timestamp = UnixTime(u64::MAX);
    world.request(0).requested_at = u32::MAX - 599;
    let young = Reason::RedemptionTooYoung { index: n(0), eligible_after: U256::MAX };
    assert_eq!(first(&world).unwrap().cause, Cause::Reason(young.clone()));
    world.request(0).requested_at = u32::MAX - 600;
    assert_eq!(first(&world).unwrap().rule, Some(RuleId::Rd8));
    // The watchtower's delay.
    world.request(0).requested_at = NOW;
    *world.delay(0) = u32::MAX - NOW + 1;
    assert_eq!(first(&world).unwrap().cause, Cause::Reason(young));
    *world.delay(0) = u32::MAX - NOW;
    assert_eq!(first(&world).unwrap().rule, Some(RuleId::Rd8));
}

#[test]
fn inc_7_timeout_that_would_wrap() {
    let mut world = redemption(1);
    let late = Reason::RedemptionTimeoutTooClose { index: n(0), eligible_before: n(0) };
    let requested_at = world.request(0).requested_at;
    world.snapshot.redemption_parameters.redemption_timeout = u32::MAX - requested_at + 1;
    assert_rejected(&world, RuleId::Rd8, late.clone());
    world.snapshot.redemption_parameters.redemption_timeout = u32::MAX - requested_at;
    assert_accepted(&world);
    // A sum below its margin.
    world.snapshot.timestamp = UnixTime(8_000);
    world.request(0).requested_at = 1;
    *world.delay(0) = 0;
    for timeout in [0, 7_198, 7_199] {
        world.snapshot.redemption_parameters.redemption_timeout = timeout;
        assert_rejected(&world, RuleId::Rd8, late.clone());
    }
    world.snapshot.redemption_parameters.redemption_timeout = 7_200;
    let late = Reason::RedemptionTimeoutTooClose { index: n(0), eligible_before: n(1) };
    assert_rejected(&world, RuleId::Rd8, late);
}
