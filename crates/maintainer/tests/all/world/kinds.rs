//! The four kinds, from a wallet's first sweep to its retirement.

use bitcoin::OutPoint;
use coxswain_bindings::Bridge;
use coxswain_rules::{Action, Amount, RedemptionKey, WalletState};
use coxswain_testkit::{DepositSpec, standard_scripts};

use super::unproven::{FEE, Kind, TestMaintainer, Unproven, item, minutes, sent};

pub(crate) const REDEEMED: Amount = Amount::from_sat(2_000_000);

/// A pass that proves just this transaction, as one of this kind.
async fn proves(
    unproven: &Unproven,
    maintainer: &mut TestMaintainer,
    transaction: &bitcoin::Transaction,
    action: Action,
) {
    unproven.settle().await;
    let pass = maintainer.pass(minutes(0)).await.unwrap();
    assert!(pass.unknown.is_empty(), "{:?}", pass.unknown);
    let item = item(&pass, transaction);
    assert_eq!(item.kind.map(|kind| kind.action()), Some(action), "{item:?}");
    assert_eq!(sent(&pass), [transaction.compute_txid()], "{pass:?}");
}

pub(crate) async fn nothing_left(unproven: &Unproven, maintainer: &mut TestMaintainer) {
    unproven.settle().await;
    let pass = maintainer.pass(minutes(0)).await.unwrap();
    assert!(pass.items.is_empty() && pass.unknown.is_empty(), "{pass:?}");
}

pub(crate) async fn each_kind_is_found_proven_and_booked(kind: Kind) {
    let mut unproven = Unproven::new(kind).await;
    unproven.world.proves = false;
    let [wallet, target] = [1, 2].map(|seed| unproven.world.wallet(seed));
    let (wallet, target) = (wallet.await.unwrap(), target.await.unwrap());
    let mut maintainer = unproven.maintainer(0).await;
    nothing_left(&unproven, &mut maintainer).await;

    // The first sweep: the wallet has no main UTXO. Of its deposits one is funded nowhere, and one was not swept.
    let world = &mut unproven.world;
    let spec = DepositSpec { vault: world.vault, ..DepositSpec::default() };
    let absent = DepositSpec { funding: coxswain_testkit::Funding::Absent, ..DepositSpec::default() };
    world.reveal(&wallet, absent).await.unwrap();
    world.reveal(&wallet, DepositSpec::default()).await.unwrap();
    let deposits =
        [world.reveal(&wallet, spec.clone()).await.unwrap(), world.reveal(&wallet, spec).await.unwrap()];
    nothing_left(&unproven, &mut maintainer).await;
    let sweep = unproven.world.sweep(&wallet, &deposits, FEE).await.unwrap();
    assert!(!unproven.is_in_step(&wallet).await);
    proves(&unproven, &mut maintainer, &sweep, Action::DepositSweep).await;
    assert!(unproven.is_in_step(&wallet).await);
    nothing_left(&unproven, &mut maintainer).await;

    // The next one spends that.
    let deposit = unproven.world.reveal(&wallet, DepositSpec::default()).await.unwrap();
    let sweep = unproven.world.sweep(&wallet, &[deposit], FEE).await.unwrap();
    proves(&unproven, &mut maintainer, &sweep, Action::DepositSweep).await;
    assert!(unproven.is_in_step(&wallet).await);

    // Redemptions.
    let [first, second, ..] = standard_scripts(1);
    let redeemer = unproven.world.depositor;
    let mut requests = Vec::new();
    for script in [first, second] {
        requests.push(unproven.world.request_redemption(&wallet, redeemer, script, REDEEMED).await.unwrap());
    }
    let paid = unproven.world.redeem(&wallet, &requests, FEE).await.unwrap();
    proves(&unproven, &mut maintainer, &paid, Action::Redemption).await;
    assert!(unproven.is_in_step(&wallet).await);
    assert_eq!(unproven.record(&wallet).await.pending_redemptions_value, Amount::ZERO);
    let key = RedemptionKey::new(wallet.key_hash(), &requests[0].script);
    let pending = unproven
        .world
        .bridge
        .ask(&Bridge::pendingRedemptionsCall { redemptionKey: key.to_u256() })
        .await
        .unwrap();
    assert_eq!(pending.requestedAt, 0);

    // Retirement: the funds go to the other wallet, which takes them in.
    unproven.world.retire(&wallet).await.unwrap();
    unproven.world.commit_targets(&wallet, &[target.key_hash()]).await.unwrap();
    let moved = unproven.world.move_funds(&wallet, &[target.key_hash()], FEE).await.unwrap();
    assert_eq!(unproven.record(&target).await.pending_moved_funds_sweep_requests_count, 0);
    proves(&unproven, &mut maintainer, &moved, Action::MovingFunds).await;
    assert_eq!(unproven.record(&wallet).await.state, WalletState::Closing);
    assert_eq!(unproven.record(&target).await.pending_moved_funds_sweep_requests_count, 1);
    let moved = OutPoint::new(moved.compute_txid(), 0);
    let merged = unproven.world.sweep_moved_funds(&target, moved, FEE).await.unwrap();
    proves(&unproven, &mut maintainer, &merged, Action::MovedFundsSweep).await;
    assert_eq!(unproven.record(&target).await.pending_moved_funds_sweep_requests_count, 0);
    assert!(unproven.is_in_step(&target).await);
    nothing_left(&unproven, &mut maintainer).await;
}

#[tokio::test]
async fn each_kind_is_found_proven_and_booked_through_electrum() {
    each_kind_is_found_proven_and_booked(Kind::Electrum).await;
}

#[tokio::test]
async fn each_kind_is_found_proven_and_booked_through_core() {
    each_kind_is_found_proven_and_booked(Kind::Core).await;
}
