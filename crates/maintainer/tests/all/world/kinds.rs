//! The four kinds, from a wallet's first sweep to its retirement.

use bitcoin::OutPoint;
use coxswain_rules::{Action, Amount, RedemptionKey, WalletState};
use coxswain_testkit::{DepositSpec, standard_scripts};

use super::bench::{Bench, FEE, Kind, TestMaintainer, item, minutes, sent};

pub(crate) const REDEEMED: Amount = Amount::from_sat(2_000_000);

/// A pass that proves just this transaction, as one of this kind.
async fn proves(
    bench: &Bench,
    maintainer: &mut TestMaintainer,
    transaction: &bitcoin::Transaction,
    action: Action,
) {
    bench.settle().await;
    let pass = maintainer.pass(minutes(0)).await.unwrap();
    assert!(pass.unknown.is_empty(), "{:?}", pass.unknown);
    let item = item(&pass, transaction);
    assert_eq!(item.kind.map(|kind| kind.action()), Some(action), "{item:?}");
    assert_eq!(sent(&pass), [transaction.compute_txid()], "{pass:?}");
}

pub(crate) async fn nothing_left(bench: &Bench, maintainer: &mut TestMaintainer) {
    bench.settle().await;
    let pass = maintainer.pass(minutes(0)).await.unwrap();
    assert!(pass.items.is_empty() && pass.unknown.is_empty(), "{pass:?}");
}

pub(crate) async fn each_kind_is_found_proven_and_booked(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    bench.world.proves = false;
    let [wallet, target] = [1, 2].map(|seed| bench.world.wallet(seed));
    let (wallet, target) = (wallet.await.unwrap(), target.await.unwrap());
    let mut maintainer = bench.maintainer(0).await;
    nothing_left(&bench, &mut maintainer).await;

    // The first sweep: the wallet has no main UTXO. Of its deposits one is funded nowhere, and one was not swept.
    let world = &mut bench.world;
    let spec = DepositSpec { vault: world.vault, ..DepositSpec::default() };
    let absent = DepositSpec { funding: coxswain_testkit::Funding::Absent, ..DepositSpec::default() };
    world.reveal(&wallet, absent).await.unwrap();
    world.reveal(&wallet, DepositSpec::default()).await.unwrap();
    let deposits =
        [world.reveal(&wallet, spec.clone()).await.unwrap(), world.reveal(&wallet, spec).await.unwrap()];
    nothing_left(&bench, &mut maintainer).await;
    let sweep = bench.world.sweep(&wallet, &deposits, FEE).await.unwrap();
    assert!(!bench.is_in_step(&wallet).await);
    proves(&bench, &mut maintainer, &sweep, Action::DepositSweep).await;
    assert!(bench.is_in_step(&wallet).await);
    nothing_left(&bench, &mut maintainer).await;

    // The next one spends that.
    let deposit = bench.world.reveal(&wallet, DepositSpec::default()).await.unwrap();
    let sweep = bench.world.sweep(&wallet, &[deposit], FEE).await.unwrap();
    proves(&bench, &mut maintainer, &sweep, Action::DepositSweep).await;
    assert!(bench.is_in_step(&wallet).await);

    // Redemptions.
    let [first, second, ..] = standard_scripts(1);
    let redeemer = bench.world.depositor;
    let mut requests = Vec::new();
    for script in [first, second] {
        requests.push(bench.world.request_redemption(&wallet, redeemer, script, REDEEMED).await.unwrap());
    }
    let paid = bench.world.redeem(&wallet, &requests, FEE).await.unwrap();
    proves(&bench, &mut maintainer, &paid, Action::Redemption).await;
    assert!(bench.is_in_step(&wallet).await);
    assert_eq!(bench.record(&wallet).await.pending_redemptions_value, Amount::ZERO);
    let key = RedemptionKey::new(wallet.key_hash(), &requests[0].script);
    let pending = bench.world.bridge.pendingRedemptions(key.to_u256()).call().await.unwrap();
    assert_eq!(pending.requestedAt, 0);

    // Retirement: the funds go to the other wallet, which takes them in.
    bench.world.retire(&wallet).await.unwrap();
    bench.world.commit_targets(&wallet, &[target.key_hash()]).await.unwrap();
    let moved = bench.world.move_funds(&wallet, &[target.key_hash()], FEE).await.unwrap();
    assert_eq!(bench.record(&target).await.pending_moved_funds_sweep_requests_count, 0);
    proves(&bench, &mut maintainer, &moved, Action::MovingFunds).await;
    assert_eq!(bench.record(&wallet).await.state, WalletState::Closing);
    assert_eq!(bench.record(&target).await.pending_moved_funds_sweep_requests_count, 1);
    let moved = OutPoint::new(moved.compute_txid(), 0);
    let merged = bench.world.sweep_moved_funds(&target, moved, FEE).await.unwrap();
    proves(&bench, &mut maintainer, &merged, Action::MovedFundsSweep).await;
    assert_eq!(bench.record(&target).await.pending_moved_funds_sweep_requests_count, 0);
    assert!(bench.is_in_step(&target).await);
    nothing_left(&bench, &mut maintainer).await;
}

#[tokio::test]
async fn each_kind_is_found_proven_and_booked_through_electrum() {
    each_kind_is_found_proven_and_booked(Kind::Electrum).await;
}

#[tokio::test]
async fn each_kind_is_found_proven_and_booked_through_core() {
    each_kind_is_found_proven_and_booked(Kind::Core).await;
}
