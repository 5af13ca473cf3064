//! What is true of every report, whatever the proposal and the state.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "only tests here")]

mod common;

use alloy_primitives::{Address, B256, U256};
use bitcoin::Amount;
use common::{DEPOSIT_KINDS, World, deposit_sweep, heartbeat, moved_funds_sweep, moving_funds, redemption};
use coxswain_rules::{
    Finding, KeyHash, Outcome, Report, RuleId, Subject, SweepRequestState, WalletState, evaluate,
};
use proptest::{prelude::*, sample::Index};

/// A world, possibly an empty proposal.
fn world() -> impl Strategy<Value = World> {
    prop_oneof![
        Just(heartbeat()),
        (0_usize..=22).prop_map(|size| {
            deposit_sweep(&DEPOSIT_KINDS.into_iter().cycle().take(size).collect::<Vec<_>>())
        }),
        (0_u8..=22).prop_map(redemption),
        (0_u8..=5).prop_map(moving_funds),
        Just(moved_funds_sweep()),
    ]
}

/// One change of any kind. What doesn't fit the action changes nothing.
#[derive(Clone, Debug)]
struct Change {
    what: u8,
    item: Index,
    other: Index,
    number: u32,
    amount: u64,
    bytes: Vec<u8>,
}

fn change() -> impl Strategy<Value = Change> {
    let near = common::NOW - 200_000..common::NOW + 200_000;
    let number = prop_oneof![any::<u32>(), Just(0), near, Just(u32::MAX)];
    let amount = prop_oneof![any::<u64>(), Just(0), 0_u64..200_000];
    let bytes = prop::collection::vec(prop_oneof![any::<u8>(), 0_u8..3], 0..200);
    (any::<u8>(), any::<Index>(), any::<Index>(), number, amount, bytes).prop_map(
        |(what, item, other, number, amount, bytes)| Change { what, item, other, number, amount, bytes },
    )
}

fn apply(world: &mut World, change: Change) {
    let Change { what, item, other, number, amount, bytes } = change;
    let amount = Amount::from_sat(amount);
    let fill = u8::try_from(number % 256).unwrap();
    match what % 12 {
        0 => world.wallet().state = WalletState::try_from(fill % 6).unwrap(),
        1 => world.wallet().main_utxo_hash = B256::repeat_byte(fill % 2),
        2 => world.wallet().moving_funds_target_wallets_commitment_hash = B256::repeat_byte(fill % 2),
        3 => world.snapshot.redemption_parameters.redemption_timeout = number,
        4 => world.snapshot.timestamp = number.into(),
        what => match &mut world.case.subject {
            Subject::Heartbeat(proposal) => proposal.message = bytes,
            Subject::DepositSweep { proposal, .. } if proposal.deposits.is_empty() || what == 5 => {
                proposal.fee = amount;
            }
            Subject::DepositSweep { proposal, extra_info } => {
                let size = proposal.deposits.len();
                let (item, other) = (item.index(size), other.index(size));
                match what {
                    6 if item < extra_info.len() => world.fund(item, bytes, number % 4),
                    7 if item < extra_info.len() => extra_info[item].refund_locktime = number.to_le_bytes(),
                    8 if item < extra_info.len() => extra_info[item].wallet = KeyHash([fill; 20]),
                    9 => drop(extra_info.pop()),
                    10 => proposal.deposits[item] = proposal.deposits[other],
                    11 => world.deposit(item).vault = Address::repeat_byte(fill),
                    6 => world.deposit(item).swept_at = number,
                    _ => world.deposit(item).revealed_at = number,
                }
            }
            Subject::Redemption(proposal) if proposal.scripts.is_empty() || what == 5 => {
                proposal.fee = amount
            }
            Subject::Redemption(proposal) => {
                let size = proposal.scripts.len();
                let (item, other) = (item.index(size), other.index(size));
                match what {
                    6 | 7 => world.request(item).requested_at = number,
                    8 if world.snapshot.watchtower_delays.is_some() => *world.delay(item) = number,
                    9 => world.request(item).tx_max_fee = amount,
                    10 => proposal.scripts[item] = proposal.scripts[other].clone(),
                    _ => world.snapshot.watchtower_delays = None,
                }
            }
            Subject::MovingFunds { proposal, main_utxo } => match what {
                5 | 6 => proposal.fee = amount,
                7 | 8 => main_utxo.value = amount,
                9 => proposal.targets.push(KeyHash([fill; 20])),
                _ => world.snapshot.moving_funds_parameters.moving_funds_dust_threshold = amount,
            },
            Subject::MovedFundsSweep(proposal) => match what {
                5 | 6 => proposal.fee = amount,
                7 | 8 => world.sweep_request().wallet = KeyHash([fill; 20]),
                _ => world.sweep_request().state = SweepRequestState::try_from(fill % 4).unwrap(),
            },
        },
    }
}

fn check(report: &Report, world: &World) -> Result<(), TestCaseError> {
    let action = world.case.action();
    let findings = report.findings();
    let mut broken: Vec<&Finding> = Vec::new();
    for finding in findings {
        match &finding.outcome {
            Outcome::Holds => {}
            Outcome::NotEvaluable(needs) => {
                // A value that is lacking is the item's own, the first deposit's, or the whole proposal's.
                prop_assert!(broken.iter().any(|earlier| earlier.rule == *needs
                    && (earlier.item == finding.item || earlier.item.is_none_or(|item| item == 0))));
                prop_assert_eq!((finding.actual, finding.bound), (None, None));
            }
            Outcome::Broken(reason) => {
                prop_assert_eq!(reason.rule(action), Some(finding.rule));
                prop_assert_eq!(reason.item(), finding.item.map(U256::from));
                if let Some(actual) = reason.actual() {
                    prop_assert_eq!(finding.actual, Some(actual));
                }
                if let Some(bound) = reason.bound() {
                    prop_assert_eq!(finding.bound, Some(bound));
                }
                broken.push(finding);
            }
        }
    }
    let first = report.first();
    prop_assert_eq!(first.as_ref().and_then(|first| first.rule), broken.first().map(|finding| finding.rule));
    prop_assert_eq!(first.is_none(), findings.iter().all(|finding| finding.outcome == Outcome::Holds));

    // The contract's order, and every rule once per item.
    let order: Vec<_> = findings.iter().map(|finding| (finding.item, finding.rule)).collect();
    prop_assert!(order.is_sorted() && order.windows(2).all(|pair| pair[0] != pair[1]));
    let rules = RuleId::ALL.iter().filter(|rule| rule.action() == action);
    for rule in rules {
        prop_assert!(findings.iter().any(|finding| finding.rule == *rule));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn every_report_is_complete_ordered_and_explains_itself(
        mut world in world(),
        changes in prop::collection::vec(change(), 0..6),
    ) {
        for change in changes {
            apply(&mut world, change);
        }
        let report = evaluate(&world.case, &world.snapshot).expect("nothing was taken from the snapshot");
        check(&report, &world)?;
    }
}
