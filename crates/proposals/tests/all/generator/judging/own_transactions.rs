//! Step 3 for a wallet without a main UTXO: what of its own may wait shows only in what it alone can spend.

use coxswain_proposals::{SessionError, Step};
use coxswain_rules::{Objection, OutPoint, units::Confirmations};
use coxswain_testkit::{DepositOutput, DepositSpec};

use super::{FAIR, moved_funds_sweep, sweep};
use crate::generator::support::{DAY, FEE, HOUR, Stage};

const RIPE: u64 = 2 * HOUR + 60;

#[tokio::test]
async fn a_transaction_of_its_own_that_waits_is_an_objection() {
    let mut stage = Stage::new().await;
    let wallet = stage.world.wallet(1).await.unwrap();
    let proposed = stage.deposit(&wallet, DepositSpec::default()).await;
    let other = stage.deposit(&wallet, DepositSpec::default()).await;
    // Nobody can have swept these: one is not there, of the other nobody can spend the output.
    stage.world.reveal(&wallet, DepositSpec::default()).await.unwrap();
    let spec = DepositSpec { output: DepositOutput::P2wpkh, ..DepositSpec::default() };
    let unspendable = stage.deposit(&wallet, spec).await;
    stage.bitcoin.state().spent.insert(unspendable.outpoint);
    stage.pass(RIPE).await;
    let proposal = sweep([&proposed], FAIR);
    stage.assert_valid(&wallet, &proposal).await;
    for swept in [&proposed, &other] {
        stage.bitcoin.state().spent = [swept.outpoint].into();
        let waiting = (Step::MainUtxo, Objection::OwnTransactionWaiting(swept.outpoint));
        assert_eq!(stage.objection(&wallet, &proposal).await, waiting);
    }
}

#[tokio::test]
async fn moved_funds_that_are_spent_are_a_transaction_that_waits() {
    let mut stage = Stage::new().await;
    let target = stage.world.wallet(1).await.unwrap();
    let deposit = stage.deposit(&target, DepositSpec::default()).await;
    let source = stage.funded_wallet(2).await;
    stage.world.retire(&source).await.unwrap();
    stage.world.commit_targets(&source, &[target.key_hash()]).await.unwrap();
    let moving = stage.world.move_funds(&source, &[target.key_hash()], FEE).await.unwrap();
    stage.bitcoin.buries(&moving, Confirmations(6));
    let moved = OutPoint::new(moving.compute_txid(), 0);
    stage.pass(RIPE).await;
    let proposals = [sweep([&deposit], FAIR), moved_funds_sweep(moved, FAIR)];
    for proposal in &proposals {
        stage.assert_valid(&target, proposal).await;
    }
    for swept in [deposit.outpoint, moved] {
        stage.bitcoin.state().spent.insert(swept);
        for proposal in &proposals {
            let (step, objection) = stage.objection(&target, proposal).await;
            assert_eq!(step, Step::MainUtxo);
            assert!(matches!(objection, Objection::OwnTransactionWaiting(_)), "{objection}");
        }
        stage.bitcoin.state().spent.remove(&swept);
    }
}

#[tokio::test]
async fn a_deposit_that_may_have_been_refunded_leaves_it_undecided() {
    let mut stage = Stage::new().await;
    let wallet = stage.world.wallet(1).await.unwrap();
    let now = stage.world.chain.now().await.unwrap();
    let refund = now + 16 * DAY;
    let spec =
        DepositSpec { refund_locktime: Some(u32::try_from(refund).unwrap()), ..DepositSpec::default() };
    let refundable = stage.deposit(&wallet, spec).await;
    let deposit = stage.deposit(&wallet, DepositSpec::default()).await;
    stage.pass(RIPE).await;
    stage.bitcoin.state().spent.insert(refundable.outpoint);
    let proposal = sweep([&deposit], FAIR);
    // Over two hours before, nobody but the wallet can have spent it.
    let now = stage.world.chain.now().await.unwrap();
    stage.world.chain.advance(refund - 2 * HOUR - 1 - now).await.unwrap();
    let waiting = (Step::MainUtxo, Objection::OwnTransactionWaiting(refundable.outpoint));
    assert_eq!(stage.objection(&wallet, &proposal).await, waiting);
    stage.world.chain.advance(1).await.unwrap();
    let unclear = (Step::MainUtxo, SessionError::SweptOrRefunded(refundable.outpoint));
    assert_eq!(stage.undecided(&wallet, &proposal).await, unclear);
}

#[tokio::test]
async fn what_bitcoin_can_not_tell_leaves_it_undecided() {
    let mut stage = Stage::new().await;
    let wallet = stage.world.wallet(1).await.unwrap();
    let deposit = stage.deposit(&wallet, DepositSpec::default()).await;
    stage.pass(RIPE).await;
    let proposal = sweep([&deposit], FAIR);
    // Without an index of transactions, what is unspent is found all the same.
    stage.bitcoin.state().unindexed = true;
    stage.assert_valid(&wallet, &proposal).await;
    // But what is absent can't be told from what the wallet has swept.
    let absent = stage.world.reveal(&wallet, DepositSpec::default()).await.unwrap();
    stage.pass(RIPE).await;
    let (step, undecided) = stage.undecided(&wallet, &proposal).await;
    assert_eq!((step, undecided.kind()), (Step::MainUtxo, "bitcoin"));
    stage.bitcoin.state().unindexed = false;
    stage.assert_valid(&wallet, &proposal).await;
    stage.bitcoin.state().unanswerable.insert(absent.outpoint);
    let (step, undecided) = stage.undecided(&wallet, &proposal).await;
    assert_eq!((step, undecided.kind()), (Step::MainUtxo, "bitcoin"));
}

#[tokio::test]
async fn deposits_are_looked_for_since_the_wallets_registration() {
    let mut stage = Stage::new().await;
    let wallet = stage.world.wallet(1).await.unwrap();
    let old = stage.deposit(&wallet, DepositSpec::default()).await;
    let deposit = stage.deposit(&wallet, DepositSpec::default()).await;
    stage.pass(RIPE).await;
    let proposal = sweep([&deposit], FAIR);
    // The events known begin after all of it.
    let events = stage.events_from(stage.height().await);
    stage.events = events.clone();
    stage.assert_valid(&wallet, &proposal).await;
    stage.events = events;
    stage.bitcoin.state().spent.insert(old.outpoint);
    let waiting = (Step::MainUtxo, Objection::OwnTransactionWaiting(old.outpoint));
    assert_eq!(stage.objection(&wallet, &proposal).await, waiting);
}
