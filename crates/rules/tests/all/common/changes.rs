//! Valid worlds with a few random changes, of which many break one rule and some none.

use alloy_primitives::{Address, B256};
use bitcoin::Amount;
use coxswain_rules::{DepositOutputType, DepositScript, KeyHash, Subject, SweepRequestState, WalletState};
use proptest::{prelude::*, sample::Index};

use super::{
    DEPOSIT_KINDS, NOW, World, deposit_sweep, heartbeat, moved_funds_sweep, moving_funds, redemption,
};

/// Any action, any size about the allowed ones, none to five changes.
pub fn changed_world() -> impl Strategy<Value = World> {
    (valid_world(), prop::collection::vec(change(), 0..6)).prop_map(|(mut world, changes)| {
        for change in changes {
            apply(&mut world, change);
        }
        world
    })
}

/// A world, possibly an empty proposal.
fn valid_world() -> impl Strategy<Value = World> {
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
    let near = NOW - 200_000..NOW + 200_000;
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
    match what % 14 {
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
                    6 if item < extra_info.len() && number % 2 == 0 => {
                        world.fund(item, bytes, number % 8 / 2)
                    }
                    6 if item < extra_info.len() => {
                        let vector = outputs(&world.deposit_script(item), &bytes);
                        world.fund(item, vector, number % 8 / 2);
                    }
                    7 if item < extra_info.len() => {
                        world.remake_deposit(item, |info| info.refund_locktime = number.to_le_bytes());
                    }
                    8 if item < extra_info.len() => {
                        world.remake_deposit(item, |info| info.wallet = KeyHash([fill; 20]))
                    }
                    9 => drop(extra_info.pop()),
                    10 => {
                        proposal.deposits[item] = proposal.deposits[other];
                        if number % 2 == 0 && item.max(other) < extra_info.len() {
                            extra_info[item] = extra_info[other].clone();
                        }
                    }
                    11 => world.deposit(item).vault = Address::repeat_byte(fill),
                    12 => world.deposit(item).swept_at = number,
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

/// An output vector that `choices` lead through: outputs that pay to the deposit's script in its two ways, or to its
/// hash in others, or to nothing, behind counts and lengths of all forms.
fn outputs(script: &DepositScript, choices: &[u8]) -> Vec<u8> {
    let compact = |size: usize, form: u8| -> Vec<u8> {
        let size = u64::try_from(size).unwrap().to_le_bytes();
        match form % 8 {
            0 => [&[0xfd], &size[..2]].concat(),
            1 => [&[0xfe], &size[..4]].concat(),
            2 => [&[0xff], &size[..]].concat(),
            _ => vec![size[0]],
        }
    };
    let mut choices = choices.iter().copied().take(12);
    let mut next = || choices.next().unwrap_or(7);
    let count = usize::from(next() % 5);
    let mut vector = compact(count, next());
    for _ in 0..count.max(2) {
        let p2sh = script.output_script(DepositOutputType::P2sh).to_bytes();
        let p2wsh = script.output_script(DepositOutputType::P2wsh).to_bytes();
        let script = match next() % 8 {
            0..3 => p2sh,
            3..6 => p2wsh,
            6 => [&[0, 20], &p2sh[2..22]].concat(),
            _ => vec![0x51; 200],
        };
        vector.extend([0; 8]);
        vector.extend(compact(script.len(), next()));
        vector.extend(script);
    }
    vector
}
