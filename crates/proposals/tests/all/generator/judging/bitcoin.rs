//! Steps 3 and 4: the main UTXO, and what is swept.

use coxswain_proposals::{FUNDING_CONFIRMATIONS, Step};
use coxswain_rules::{
    Amount, Objection, OutPoint,
    units::{Confirmations, UnixTime},
};
use coxswain_testkit::{DepositSpec, standard_scripts};

use super::{FAIR, lifts, moved_funds_sweep, moving_funds, redemption, sweep};
use crate::generator::support::{DAY, FEE, HOUR, Stage, heartbeat};

const RIPE: u64 = 2 * HOUR + 60;

#[tokio::test]
async fn a_main_utxo_that_is_spent_is_an_objection_to_all_that_spend_it() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let deposit = stage.deposit(&wallet, DepositSpec::default()).await;
    let [_, script, ..] = standard_scripts(1);
    let (redeemer, amount) = (stage.world.depositor, Amount::from_sat(2_000_000));
    stage.world.request_redemption(&wallet, redeemer, script.clone(), amount).await.unwrap();
    stage.pass(RIPE).await;
    let main_utxo = stage.world.main_utxo(&wallet).unwrap().outpoint;
    let proposals = [sweep([&deposit], FAIR), redemption(&[script], FAIR)];
    for proposal in &proposals {
        stage.assert_valid(&wallet, proposal).await;
    }
    stage.bitcoin.state().spent.insert(main_utxo);
    // What else is spent is not asked: the deposit is, by the same transaction.
    stage.bitcoin.state().spent.insert(deposit.outpoint);
    for proposal in &proposals {
        let spent = (Step::MainUtxo, Objection::MainUtxoSpent(main_utxo));
        assert_eq!(stage.objection(&wallet, proposal).await, spent);
    }
    // A heartbeat spends nothing.
    stage.assert_valid(&wallet, &heartbeat()).await;
}

#[tokio::test]
async fn an_output_that_is_spent_is_an_objection() {
    let mut stage = Stage::new().await;
    let target = stage.funded_wallet(1).await;
    let deposits = [
        stage.deposit(&target, DepositSpec::default()).await,
        stage.deposit(&target, DepositSpec::default()).await,
    ];
    let source = stage.funded_wallet(2).await;
    stage.world.retire(&source).await.unwrap();
    stage.world.commit_targets(&source, &[target.key_hash()]).await.unwrap();
    let moving = stage.world.move_funds(&source, &[target.key_hash()], FEE).await.unwrap();
    stage.bitcoin.buries(&moving, Confirmations(6));
    let moved = OutPoint::new(moving.compute_txid(), 0);
    stage.pass(RIPE).await;
    let of_deposits = sweep(&deposits, FAIR);
    let of_moved = moved_funds_sweep(moved, FAIR);
    stage.assert_valid(&target, &of_deposits).await;
    stage.assert_valid(&target, &of_moved).await;
    for (proposal, outpoint) in [(of_deposits, deposits[1].outpoint), (of_moved, moved)] {
        stage.bitcoin.state().spent.insert(outpoint);
        let spent = (Step::Funding, Objection::OutputSpent(outpoint));
        assert_eq!(stage.objection(&target, &proposal).await, spent);
    }
}

#[tokio::test]
async fn funding_with_too_few_confirmations_is_an_objection_until_it_has_enough() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let deposit = stage.deposit(&wallet, DepositSpec::default()).await;
    stage.pass(RIPE).await;
    let proposal = sweep([&deposit], FAIR);
    for confirmations in [Confirmations::NONE, Confirmations(FUNDING_CONFIRMATIONS.0 - 1)] {
        stage.bitcoin.state().known.get_mut(&deposit.outpoint.txid).unwrap().confirmations = confirmations;
        let (step, objection) = stage.objection(&wallet, &proposal).await;
        let (outpoint, least) = (deposit.outpoint, FUNDING_CONFIRMATIONS);
        let expected = Objection::OutputUnconfirmed { outpoint, confirmations, least };
        assert_eq!((step, &objection), (Step::Funding, &expected));
        assert!(lifts(&objection));
    }
    stage.bitcoin.funds([&deposit]);
    stage.assert_valid(&wallet, &proposal).await;
}

#[tokio::test]
async fn funds_are_not_moved_before_the_margin_has_passed() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let target = stage.world.wallet(2).await.unwrap();
    stage.world.retire(&wallet).await.unwrap();
    let from = stage.world.chain.now().await.unwrap() + DAY;
    stage.world.commit_targets(&wallet, &[target.key_hash()]).await.unwrap();
    stage.pass(0).await;
    let now = stage.world.chain.now().await.unwrap();
    stage.world.chain.advance(from - 1 - now).await.unwrap();
    let proposal = moving_funds(&target, FAIR);
    let (step, objection) = stage.objection(&wallet, &proposal).await;
    let expected = Objection::MovingFundsTooEarly { from: UnixTime(from), now: UnixTime(from - 1) };
    assert_eq!((step, &objection), (Step::Margin, &expected));
    assert!(lifts(&objection));
    stage.world.chain.advance(1).await.unwrap();
    stage.assert_valid(&wallet, &proposal).await;
}
