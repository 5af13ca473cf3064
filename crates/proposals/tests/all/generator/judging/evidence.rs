//! Step 1.

use coxswain_proposals::Step;
use coxswain_rules::{
    Amount, Objection, Proposal, RevealedDeposit, RuleId,
    units::{BlockNumber, Blocks, UnixTime},
};
use coxswain_testkit::{DepositSpec, standard_scripts};

use super::{FAIR, lifts, moving_funds, redemption, sweep};
use crate::generator::support::{HOUR, Stage};

const RIPE: u64 = 2 * HOUR + 60;

#[tokio::test]
async fn a_reveal_that_is_not_in_the_block_named_is_an_objection() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let deposit = stage.deposit(&wallet, DepositSpec::default()).await;
    stage.pass(RIPE).await;
    let valid = sweep([&deposit], FAIR);
    let in_block = |reveal_block| {
        let Proposal::DepositSweep(mut proposal) = valid.clone() else { unreachable!() };
        proposal.deposits[0] = RevealedDeposit { reveal_block, ..deposit.revealed() };
        Proposal::DepositSweep(proposal)
    };
    // With the events at hand, and with none: then the endpoint is asked.
    let none = stage.events_from(stage.height().await + 1);
    let all = stage.events.clone();
    for events in [all, none] {
        for block in
            [deposit.reveal_block.saturating_sub(Blocks(1)), deposit.reveal_block.next(), BlockNumber(0)]
        {
            stage.events = events.clone();
            let (step, objection) = stage.objection(&wallet, &in_block(block)).await;
            let expected = Objection::RevealNotInBlock { outpoint: deposit.outpoint, block };
            assert_eq!((step, &objection), (Step::Evidence, &expected));
            assert!(!lifts(&objection));
        }
        stage.events = events.clone();
        stage.assert_valid(&wallet, &valid).await;
    }
    // What was never revealed is in no block.
    let never =
        RevealedDeposit { outpoint: bitcoin::OutPoint::new(deposit.outpoint.txid, 7), ..deposit.revealed() };
    let proposal = coxswain_rules::DepositSweepProposal { deposits: vec![never], fee: FAIR };
    let (_, objection) = stage.objection(&wallet, &Proposal::DepositSweep(proposal)).await;
    assert!(matches!(objection, Objection::RevealNotInBlock { .. }), "{objection}");
}

#[tokio::test]
async fn a_reveal_that_is_not_deep_enough_is_an_objection_until_it_is() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    stage.pass(0).await;
    let deposit = stage.deposit(&wallet, DepositSpec::default()).await;
    stage.world.chain.mine(30).await.unwrap();
    stage.world.chain.advance(RIPE).await.unwrap();
    let proposal = sweep([&deposit], FAIR);
    let too_shallow =
        |depth| Objection::RevealTooShallow { outpoint: deposit.outpoint, depth, least: Blocks(32) };
    let (step, objection) = stage.objection(&wallet, &proposal).await;
    assert_eq!((step, &objection), (Step::Evidence, &too_shallow(Blocks(31))));
    assert!(lifts(&objection));

    // A block that isn't there yet may come to hold the reveal.
    let Proposal::DepositSweep(mut early) = proposal.clone() else { unreachable!() };
    early.deposits[0].reveal_block = BlockNumber(stage.height().await + 1);
    let (step, objection) = stage.objection(&wallet, &Proposal::DepositSweep(early)).await;
    assert_eq!((step, objection), (Step::Evidence, too_shallow(Blocks(0))));

    stage.world.chain.mine(1).await.unwrap();
    stage.assert_valid(&wallet, &proposal).await;
}

#[tokio::test]
async fn a_request_that_is_not_deep_enough_is_an_objection_until_it_is() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let [_, script, ..] = standard_scripts(1);
    let (redeemer, amount) = (stage.world.depositor, Amount::from_sat(2_000_000));
    // On real chains no two blocks have the same time.
    stage.world.chain.space_blocks(Some(1)).await.unwrap();
    stage.world.request_redemption(&wallet, redeemer, script.clone(), amount).await.unwrap();
    stage.world.chain.space_blocks(None).await.unwrap();
    let requested_at = stage.world.chain.now().await.unwrap();
    stage.world.chain.mine(30).await.unwrap();
    stage.world.chain.advance(11 * 60).await.unwrap();
    let proposal = redemption(std::slice::from_ref(&script), FAIR);
    let (step, objection) = stage.objection(&wallet, &proposal).await;
    let Objection::RequestTooShallow { deep, .. } = objection else { panic!("{objection}") };
    let expected = Objection::RequestTooShallow {
        script,
        requested_at: UnixTime(requested_at),
        deep,
        least: Blocks(32),
    };
    assert_eq!((step, &objection), (Step::Evidence, &expected));
    assert!(deep < UnixTime(requested_at) && lifts(&objection));

    stage.world.chain.mine(1).await.unwrap();
    stage.assert_valid(&wallet, &proposal).await;
}

#[tokio::test]
async fn a_funding_transaction_that_bitcoin_does_not_know_is_an_objection() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let deposit = stage.world.reveal(&wallet, DepositSpec::default()).await.unwrap();
    stage.pass(RIPE).await;
    let proposal = sweep([&deposit], FAIR);
    let missing = Objection::OutputMissing(deposit.outpoint);
    assert_eq!(stage.objection(&wallet, &proposal).await, (Step::Evidence, missing));
    stage.bitcoin.funds([&deposit]);
    stage.assert_valid(&wallet, &proposal).await;
}

#[tokio::test]
async fn a_wallet_without_a_main_utxo_can_not_spend_it() {
    let mut stage = Stage::new().await;
    let wallet = stage.world.wallet(1).await.unwrap();
    let [script, ..] = standard_scripts(1);
    let missing = (Step::Evidence, Objection::MainUtxoMissing(wallet.key_hash()));
    assert_eq!(stage.objection(&wallet, &redemption(&[script], FAIR)).await, missing);
    assert_eq!(stage.objection(&wallet, &moving_funds(&wallet, FAIR)).await, missing);
}

#[tokio::test]
async fn nothing_is_looked_up_for_more_items_than_the_contract_allows() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let deposit = stage.deposit(&wallet, DepositSpec::default()).await;
    stage.pass(RIPE).await;
    let [script, ..] = standard_scripts(1);
    let many = sweep(std::iter::repeat_n(&deposit, 21), FAIR);
    let requests = redemption(&vec![script; 21], FAIR);
    for (proposal, rule) in [(many, RuleId::Ds3), (requests, RuleId::Rd3)] {
        stage.bitcoin.state().calls.clear();
        let (step, objection) = stage.objection(&wallet, &proposal).await;
        assert_eq!((step, objection.rule()), (Step::Contract, Some(rule)), "{objection}");
        assert_eq!(stage.bitcoin.state().calls, []);
    }
}

#[tokio::test]
async fn inc_22_a_server_that_fails_is_no_objection() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let deposit = stage.deposit(&wallet, DepositSpec::default()).await;
    stage.pass(RIPE).await;
    let proposal = sweep([&deposit], FAIR);
    stage.bitcoin.state().down = true;
    let (step, undecided) = stage.undecided(&wallet, &proposal).await;
    assert_eq!((step, undecided.kind()), (Step::Evidence, "bitcoin"));
    stage.bitcoin.state().down = false;
    stage.assert_valid(&wallet, &proposal).await;
}
