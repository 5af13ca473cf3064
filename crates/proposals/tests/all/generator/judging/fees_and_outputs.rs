//! Steps 5 and 6: inputs, outputs and the fee.

use coxswain_bindings::Bridge;
use coxswain_proposals::{Assessment, SessionError, Step};
use coxswain_rules::{
    Amount, Assurance, FeeObjection, FeeRuling, Objection, OutPoint, TransactionError, units::Confirmations,
};
use coxswain_testkit::{DepositSpec, Wallet, standard_scripts};

use super::{FAIR, moved_funds_sweep, redemption, sweep};
use crate::generator::support::{FEE, HOUR, Stage};

const RIPE: u64 = 2 * HOUR + 60;

const fn sat(amount: u64) -> Amount {
    Amount::from_sat(amount)
}

/// A wallet without a main UTXO that others' funds were moved to, and which may sweep them at any fee; what they are worth.
async fn moved(stage: &mut Stage) -> (Wallet, OutPoint, u64) {
    let target = stage.world.wallet(1).await.unwrap();
    let source = stage.funded_wallet(2).await;
    stage.world.retire(&source).await.unwrap();
    stage.world.commit_targets(&source, &[target.key_hash()]).await.unwrap();
    let moving = stage.world.move_funds(&source, &[target.key_hash()], FEE).await.unwrap();
    stage.bitcoin.buries(&moving, Confirmations(6));
    stage.world.change_moving_funds(|call| call.movedFundsSweepTxMaxTotalFee = 1 << 40).await.unwrap();
    stage.pass(0).await;
    (target, OutPoint::new(moving.compute_txid(), 0), moving.output[0].value.to_sat())
}

#[tokio::test]
async fn inputs_that_do_not_pay_and_outputs_that_are_dust_are_objections() {
    let mut stage = Stage::new().await;
    let (target, outpoint, value) = moved(&mut stage).await;
    let too_small = Objection::InputsTooSmall { inputs: sat(value), needed: sat(value + 1) };
    let dust = |left| Objection::DustOutput { index: 0, value: sat(left), least: sat(294) };
    for (fee, expected) in
        [(value + 1, too_small), (value, dust(0)), (value - 1, dust(1)), (value - 293, dust(293))]
    {
        let objection = stage.objection(&target, &moved_funds_sweep(outpoint, sat(fee))).await;
        assert_eq!(objection, (Step::Outputs, expected));
    }
    // From 294 on, a P2WPKH output relays. That this burns nearly everything is the next step's.
    let (step, objection) = stage.objection(&target, &moved_funds_sweep(outpoint, sat(value - 294))).await;
    assert_eq!(step, Step::Fee, "{objection}");
    stage.assert_valid(&target, &moved_funds_sweep(outpoint, FAIR)).await;
}

#[tokio::test]
async fn inc_37_a_redemption_whose_change_is_dust_is_an_objection() {
    for (change, is_dust) in [(1, true), (293, true), (294, false), (0, false)] {
        let mut stage = Stage::new().await;
        let wallet = stage.funded_wallet(1).await;
        // Its depositor can redeem the first one's funds, too.
        stage.funded_wallet(2).await;
        let main_utxo = stage.world.main_utxo(&wallet).unwrap().value.to_sat();
        let treasury = stage.world.bridge.ask(&Bridge::redemptionParametersCall).await.unwrap();
        let divisor = treasury.redemptionTreasuryFeeDivisor;
        let paid = |amount: u64| amount - amount / divisor;
        let wanted = main_utxo - change;
        let amount = (wanted..).find(|amount| paid(*amount) >= wanted).unwrap();
        assert_eq!(paid(amount), wanted);
        let [_, script, ..] = standard_scripts(1);
        let redeemer = stage.world.depositor;
        stage.world.request_redemption(&wallet, redeemer, script.clone(), sat(amount)).await.unwrap();
        stage.pass(RIPE).await;
        let proposal = redemption(&[script], FAIR);
        if is_dust {
            let dust = Objection::DustOutput { index: 0, value: sat(change), least: sat(294) };
            assert_eq!(stage.objection(&wallet, &proposal).await, (Step::Outputs, dust));
        } else {
            stage.assert_valid(&wallet, &proposal).await;
        }
    }
}

#[tokio::test]
async fn a_transaction_that_can_not_be_built_is_an_objection() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    // The treasury takes all of it.
    stage.world.change_redemptions(|call| call.redemptionTreasuryFeeDivisor = 1).await.unwrap();
    let [_, script, ..] = standard_scripts(1);
    let redeemer = stage.world.depositor;
    let amount = sat(2_000_000);
    stage.world.request_redemption(&wallet, redeemer, script.clone(), amount).await.unwrap();
    stage.pass(RIPE).await;
    let deducted = amount + FAIR;
    let error = TransactionError::NegativeOutput { item: Some(0), available: amount, deducted };
    let objection = stage.objection(&wallet, &redemption(&[script], FAIR)).await;
    assert_eq!(objection, (Step::Outputs, Objection::Transaction(error)));
}

#[tokio::test]
async fn inc_23_a_fee_out_of_the_followers_band_is_an_objection() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let deposit = stage.deposit(&wallet, DepositSpec::default()).await;
    stage.pass(RIPE).await;
    let (proposed, _) = stage.propose(&wallet, coxswain_rules::Action::DepositSweep).await;
    let vsize = proposed.transaction.unwrap().unsigned.vsize();
    // 1 sat/vB relays; 5 × 10 + 20 is reasonable.
    let (least, most) = (sat(vsize), sat(70 * vsize));
    let too_low = FeeObjection::TooLow { fee: least - sat(1), least };
    let too_high = FeeObjection::TooHigh { fee: most + sat(1), most };
    for (fee, objection) in [(least - sat(1), too_low), (most + sat(1), too_high)] {
        let expected = (Step::Fee, Objection::Fee(objection));
        assert_eq!(stage.objection(&wallet, &sweep([&deposit], fee)).await, expected);
    }
    stage.assert_valid(&wallet, &sweep([&deposit], most)).await;

    // What relays but is slow is worth a warning, and no reason to refuse.
    let assessment = stage.judge(&wallet, &sweep([&deposit], least)).await;
    let Assessment::Valid { assurance: Assurance::Word, warning: Some(FeeRuling::UnderFloor { fee, .. }) } =
        assessment
    else {
        panic!("{assessment:?}")
    };
    assert_eq!(fee, least);
}

#[tokio::test]
async fn inc_33_without_an_estimate_or_a_fallback_a_fee_is_not_judged() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let deposit = stage.deposit(&wallet, DepositSpec::default()).await;
    stage.pass(RIPE).await;
    let proposal = sweep([&deposit], sat(100_000));
    stage.bitcoin.state().rates.next_block = None;
    stage.assert_valid(&wallet, &proposal).await;
    stage.fallback = None;
    assert_eq!(stage.undecided(&wallet, &proposal).await, (Step::Fee, SessionError::NoFeeRate));
}
