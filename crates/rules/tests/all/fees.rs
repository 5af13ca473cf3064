//! Fees of all four transactions, from the leader's build without a fee to the follower's verdict on the whole proposal.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "only tests here")]

use crate::common::{
    DEPOSIT_KINDS, DepositKind, World, deposit_sweep, moved_funds_sweep, moving_funds, redemption,
};
use bitcoin::{Amount, FeeRate};
use coxswain_rules::{
    FeeConditions, FeeRuling, FeeTerms, NextBlock, RelayMinimum, RuleId, Subject, TransactionError,
    UnsignedTransaction, evaluate, main_utxo_hash, network::DustChange,
};
use proptest::{prelude::*, test_runner::FileFailurePersistence};

/// The terms of the world's proposal, as it stands.
fn terms(world: &World, dust_change: DustChange) -> Result<FeeTerms, TransactionError> {
    let (snapshot, wallet) = (&world.snapshot, world.case.wallet);
    Ok(match &world.case.subject {
        Subject::DepositSweep { proposal, extra_info } => {
            let main_utxo = world.main_utxo();
            let unsigned =
                UnsignedTransaction::deposit_sweep(snapshot, wallet, proposal, extra_info, main_utxo)?;
            FeeTerms::deposit_sweep(snapshot, proposal, &unsigned)
        }
        Subject::Redemption(proposal) => {
            let unsigned =
                UnsignedTransaction::redemption(snapshot, wallet, proposal, world.main_utxo, dust_change)?;
            FeeTerms::redemption(snapshot, proposal, &unsigned)
        }
        Subject::MovingFunds { proposal, main_utxo } => {
            let unsigned = UnsignedTransaction::moving_funds(snapshot, wallet, proposal, *main_utxo)?;
            FeeTerms::moving_funds(snapshot, &unsigned)
        }
        Subject::MovedFundsSweep(proposal) => {
            let main_utxo = world.main_utxo();
            let unsigned = UnsignedTransaction::moved_funds_sweep(snapshot, wallet, proposal, main_utxo)?;
            FeeTerms::moved_funds_sweep(snapshot, &unsigned)
        }
        Subject::Heartbeat(_) => unreachable!("a heartbeat has no transaction"),
    })
}

fn fee(world: &mut World) -> &mut Amount {
    match &mut world.case.subject {
        Subject::DepositSweep { proposal, .. } => &mut proposal.fee,
        Subject::Redemption(proposal) => &mut proposal.fee,
        Subject::MovingFunds { proposal, .. } => &mut proposal.fee,
        Subject::MovedFundsSweep(proposal) => &mut proposal.fee,
        Subject::Heartbeat(_) => unreachable!("a heartbeat has no fee"),
    }
}

/// A transaction to price.
#[derive(Clone, Debug)]
enum Kind {
    DepositSweep { kinds: Vec<DepositKind>, with_main_utxo: bool },
    Redemption { requests: u8, change: u64 },
    MovingFunds { targets: u8 },
    MovedFundsSweep { with_main_utxo: bool },
}

fn any_kind() -> impl Strategy<Value = Kind> {
    let kinds = prop::collection::vec(prop::sample::select(&DEPOSIT_KINDS[..]), 1..=20);
    prop_oneof![
        (kinds, any::<bool>())
            .prop_map(|(kinds, with_main_utxo)| Kind::DepositSweep { kinds, with_main_utxo }),
        (1_u8..=20, prop_oneof![0_u64..600, Just(1_000_000)])
            .prop_map(|(requests, change)| Kind::Redemption { requests, change }),
        (1_u8..=5).prop_map(|targets| Kind::MovingFunds { targets }),
        any::<bool>().prop_map(|with_main_utxo| Kind::MovedFundsSweep { with_main_utxo }),
    ]
}

/// A proposal of the kind, without a fee yet, to a Bridge that allows no more than this.
fn world(kind: &Kind, maximum: Amount) -> World {
    let (mut world, with_main_utxo) = match kind {
        Kind::DepositSweep { kinds, with_main_utxo } => (deposit_sweep(kinds), *with_main_utxo),
        Kind::Redemption { requests, change } => {
            let mut world = redemption(*requests);
            world.main_utxo.value = Amount::from_sat(u64::from(*requests) * 1_999_000 + change);
            world.wallet().main_utxo_hash = main_utxo_hash(&world.main_utxo);
            (world, true)
        }
        Kind::MovingFunds { targets } => (moving_funds(*targets), true),
        Kind::MovedFundsSweep { with_main_utxo } => (moved_funds_sweep(), *with_main_utxo),
    };
    world.snapshot.deposit_parameters.deposit_tx_max_fee = maximum;
    world.snapshot.redemption_parameters.redemption_tx_max_total_fee = maximum;
    world.snapshot.moving_funds_parameters.moving_funds_tx_max_total_fee = maximum;
    world.snapshot.moving_funds_parameters.moved_funds_sweep_tx_max_total_fee = maximum;
    *fee(&mut world) = Amount::ZERO;
    if with_main_utxo { world } else { world.without_main_utxo() }
}

fn rate() -> impl Strategy<Value = FeeRate> {
    // Up to 8, and up to 2,000 sat/vB.
    prop_oneof![0_u64..2_000, 0_u64..500_000].prop_map(FeeRate::from_sat_per_kwu)
}

fn any_conditions() -> impl Strategy<Value = FeeConditions> {
    let next_block = prop_oneof![rate().prop_map(NextBlock::Estimated), rate().prop_map(NextBlock::Fallback)];
    let relay_minimum =
        (rate(), rate()).prop_map(|(one, other)| RelayMinimum { low: one.min(other), high: one.max(other) });
    (relay_minimum, next_block)
        .prop_map(|(relay_minimum, next_block)| FeeConditions { relay_minimum, next_block })
}

/// The rules about the fee as a whole.
const ABOUT_FEES: [RuleId; 8] =
    [RuleId::Ds5, RuleId::Ds6, RuleId::Rd4, RuleId::Rd5, RuleId::Mf6, RuleId::Mf7, RuleId::Ms4, RuleId::Ms5];

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("proptest-regressions"))),
        ..ProptestConfig::default()
    })]

    /// Over all four transactions: the follower builds the whole transaction, fee and all, and comes to the same terms.
    #[test]
    fn inc_33_what_a_leader_proposes_a_follower_with_the_same_view_accepts(
        kind in any_kind(), maximum in prop_oneof![0_u64..2_000, 0_u64..200_000], conditions in any_conditions(),
        leave_out: bool,
    ) {
        let dust_change = if leave_out { DustChange::LeftOut } else { DustChange::Refused };
        let mut world = world(&kind, Amount::from_sat(maximum));
        let Ok(of_leader) = terms(&world, dust_change) else {
            // Even without a fee, the change is too much of one.
            prop_assert!(leave_out && maximum < 294);
            return Ok(());
        };
        let Ok(proposed) = conditions.propose(&of_leader) else { return Ok(()) };

        *fee(&mut world) = proposed.amount;
        let of_follower = terms(&world, dust_change).unwrap();
        prop_assert_eq!(of_follower, of_leader);
        let accepted = match proposed.is_capped() {
            true => FeeRuling::UnderFloor { fee: proposed.amount, floor: proposed.floor },
            false => FeeRuling::Reasonable,
        };
        prop_assert_eq!(conditions.judge(proposed.amount, &of_follower), accepted);

        // And so does the contract.
        let report = evaluate(&world.case, &world.snapshot).unwrap();
        let refused = report.findings().iter().find(|finding| {
            ABOUT_FEES.contains(&finding.rule) && finding.reason().is_some()
        });
        prop_assert!(proposed.amount == Amount::ZERO || refused.is_none(), "{:?}", refused);
    }
}
