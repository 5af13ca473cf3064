//! Every rule, broken alone: last rejected, first accepted. A file for each action.

#![allow(clippy::unwrap_used, reason = "only tests here")]

mod deposit_sweep;
mod findings;
mod heartbeat;
mod moved_funds_sweep;
mod moving_funds;
mod redemption;

use crate::common::{DEPOSIT_KINDS, World, deposit_sweep, one_of_each, wallet};
use alloy_primitives::U256;
use coxswain_rules::{Cause, Reason, Rejection, RuleId, WalletState, evaluate};

fn n(number: u64) -> U256 {
    U256::from(number)
}

fn first(world: &World) -> Option<Rejection> {
    evaluate(&world.case, &world.snapshot).unwrap().first()
}

#[track_caller]
fn assert_accepted(world: &World) {
    assert_eq!(first(world), None);
}

/// The rule is the first one broken, for this reason, and no other rule is broken: the world was changed in one place.
#[track_caller]
fn assert_rejected(world: &World, rule: RuleId, reason: Reason) {
    let rejection = Rejection { rule: Some(rule), cause: Cause::Reason(reason.clone()) };
    assert_eq!(first(world), Some(rejection));
    let report = evaluate(&world.case, &world.snapshot).unwrap();
    let broken: Vec<_> = report.findings().iter().filter(|finding| finding.reason().is_some()).collect();
    assert_eq!(broken.len(), 1, "{broken:#?}");
    assert_eq!(reason.rule(world.case.action()), Some(rule));
}

fn sweep(deposits: usize) -> World {
    deposit_sweep(&DEPOSIT_KINDS.into_iter().cycle().take(deposits).collect::<Vec<_>>())
}

/// Checks a rule about the wallet's state in all six states.
fn assert_states(mut world: World, rule: RuleId, allowed: &[WalletState]) {
    use WalletState::{Closed, Closing, Live, MovingFunds, Terminated, Unknown};
    for state in [Unknown, Live, MovingFunds, Closing, Closed, Terminated] {
        world.wallet().state = state;
        if allowed.contains(&state) {
            assert_accepted(&world);
        } else {
            let reason = Reason::WalletStateNotAllowed { wallet: wallet(), state: state as u8 };
            assert_rejected(&world, rule, reason);
        }
    }
}

#[test]
fn the_worlds_to_break_are_valid() {
    for world in one_of_each() {
        assert_accepted(&world);
    }
}
