//! Redemptions.

use coxswain_bindings::Bridge;
use coxswain_proposals::{ActionOutcome, Item, Nothing, SessionError, Why};
use coxswain_rules::{
    Action, Amount, RuleId, ScriptBuf, network::DustChange, redemption_share, units::Confirmations,
};
use coxswain_testkit::{DepositSpec, Wallet, standard_scripts};

use crate::generator::support::{DAY, HOUR, Stage, outpoints, paid, swept, why};

const MINUTE: u64 = 60;
/// Over a request's minimum age.
const RIPE: u64 = 11 * MINUTE;
const REDEEMED: Amount = Amount::from_sat(2_000_000);

async fn request(stage: &Stage, wallet: &Wallet, seed: u64) -> ScriptBuf {
    request_of(stage, wallet, seed, REDEEMED).await
}

async fn request_of(stage: &Stage, wallet: &Wallet, seed: u64, amount: Amount) -> ScriptBuf {
    let [_, script, ..] = standard_scripts(seed);
    let redeemer = stage.world.depositor;
    stage.world.request_redemption(wallet, redeemer, script, amount).await.unwrap().script
}

#[tokio::test]
async fn inc_4_a_request_close_to_its_timeout_is_left_out() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let late = request(&stage, &wallet, 1).await;
    stage.pass(5 * DAY - HOUR).await;
    let [second, third] = [request(&stage, &wallet, 2).await, request(&stage, &wallet, 3).await];
    stage.pass(RIPE).await;
    let (proposed, excluded) = stage.propose(&wallet, Action::Redemption).await;
    assert_eq!(paid(&proposed), [second, third]);
    assert_eq!(why(&excluded, &Item::Redemption(late)).rule(), Some(RuleId::Rd8));
}

#[tokio::test]
async fn inc_5_a_request_that_can_not_bear_its_share_is_left_out_and_shares_are_computed_again() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let parameters = stage.world.bridge.ask(&Bridge::redemptionParametersCall).await.unwrap();
    let first = request(&stage, &wallet, 1).await;
    // Of four, each bears about 730 sat at 12.5 sat/vB; of three about 850.
    stage.world.change_redemptions(|call| call.redemptionTxMaxFee = 100).await.unwrap();
    let poor = request(&stage, &wallet, 2).await;
    let share_of = |requests: u64| (1_375 + requests * 388) / requests;
    stage.world.change_redemptions(|call| call.redemptionTxMaxFee = share_of(4) + 20).await.unwrap();
    let borderline = request(&stage, &wallet, 3).await;
    stage
        .world
        .change_redemptions(|call| call.redemptionTxMaxFee = parameters.redemptionTxMaxFee)
        .await
        .unwrap();
    let last = request(&stage, &wallet, 4).await;
    stage.pass(RIPE).await;

    let (proposed, excluded) = stage.propose(&wallet, Action::Redemption).await;
    assert_eq!(paid(&proposed), [first, last]);
    for (script, shares) in [(poor, 4), (borderline, 3)] {
        let why = why(&excluded, &Item::Redemption(script));
        assert_eq!(why.rule(), Some(RuleId::Rd9), "{why}");
        let Why::Rule(finding) = why else { panic!("{why}") };
        let Some(coxswain_rules::Value::Number(share)) = finding.actual else { panic!("{why}") };
        let share = u64::try_from(share).unwrap();
        assert!(share.abs_diff(share_of(shares)) < 20, "share of {shares}: {why}");
    }
    let transaction = proposed.transaction.as_ref().unwrap();
    assert!(redemption_share(transaction.fee.amount, 2, 0).unwrap().to_sat() > share_of(3));
    stage.world.carry_out(&wallet, &proposed.case.subject).await.unwrap();
}

#[tokio::test]
async fn inc_6_when_redemption_fails_outright_the_next_action_is_tried() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    request(&stage, &wallet, 1).await;
    let deposit = stage.deposit(&wallet, DepositSpec::default()).await;
    stage.pass(3 * HOUR).await;
    // A watchtower that isn't one.
    let call = Bridge::setRedemptionWatchtowerCall { redemptionWatchtower: stage.world.bank.address() };
    stage.world.govern(&call).await.unwrap();

    let generation = stage.generate(wallet.key_hash(), &[Action::Redemption, Action::DepositSweep]).await;
    let [redemption, sweep] = &generation.attempts[..] else { panic!("{generation:?}") };
    assert!(
        matches!(redemption.outcome, ActionOutcome::Undecided(SessionError::Ethereum(_))),
        "{redemption:?}"
    );
    let ActionOutcome::Proposal(proposed) = &sweep.outcome else { panic!("{sweep:?}") };
    assert_eq!(swept(proposed), outpoints([&deposit]));
    assert!(generation.proposed().is_some() && generation.undecided().is_none());

    // With nothing behind it, it stays undecided: there may be something to pay.
    let generation = stage.generate(wallet.key_hash(), &[Action::Redemption]).await;
    assert!(generation.undecided().is_some());
}

#[tokio::test]
async fn the_oldest_twenty_are_paid_and_the_young_wait() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let mut requests = Vec::new();
    for seed in 0..22 {
        requests.push(request(&stage, &wallet, seed).await);
    }
    stage.pass(RIPE).await;
    let young = request(&stage, &wallet, 50).await;
    stage.pass(9 * MINUTE - 32).await;
    let (proposed, excluded) = stage.propose(&wallet, Action::Redemption).await;
    assert_eq!(paid(&proposed), requests[..20]);
    assert_eq!(why(&excluded, &Item::Redemption(young)).rule(), Some(RuleId::Rd7));
    for waiting in &requests[20..] {
        assert_eq!(*why(&excluded, &Item::Redemption(waiting.clone())), Why::Full);
    }
    let transaction = proposed.transaction.as_ref().unwrap();
    // 12.5 sat/vB: 5/4 of the estimate.
    let fee = (transaction.unsigned.vsize() * 125).div_ceil(10);
    assert_eq!(transaction.fee.amount, Amount::from_sat(fee));
}

#[tokio::test]
async fn what_was_paid_and_asked_for_again_is_paid_once_more() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let [again, once] = [request(&stage, &wallet, 1).await, request(&stage, &wallet, 2).await];
    stage.pass(RIPE).await;
    let (proposed, _) = stage.propose(&wallet, Action::Redemption).await;
    assert_eq!(paid(&proposed), [again.clone(), once]);
    let transaction = stage.world.carry_out(&wallet, &proposed.case.subject).await.unwrap().unwrap();
    stage.bitcoin.buries(&transaction, Confirmations(1));

    let generation = stage.generate(wallet.key_hash(), &[Action::Redemption]).await;
    assert_eq!(generation.attempts[0].outcome, ActionOutcome::Nothing(Nothing::NoneLeft));
    request(&stage, &wallet, 1).await;
    stage.pass(RIPE).await;
    let (proposed, excluded) = stage.propose(&wallet, Action::Redemption).await;
    assert_eq!((paid(&proposed), excluded), (vec![again], vec![]));

    // With events that don't reach back to the request, it can't be told what is pending.
    stage.forget_events().await;
    let generation = stage.generate(wallet.key_hash(), &[Action::Redemption]).await;
    let undecided = generation.undecided();
    assert!(matches!(undecided, Some(SessionError::EventsTooShort { .. })), "{generation:?}");
}

/// A stage where the Bridge's treasury takes nothing, so that requests can take all of a main UTXO.
async fn without_treasury() -> Stage {
    let stage = Stage::new().await;
    let deposits = stage.world.bridge.ask(&Bridge::depositParametersCall).await.unwrap();
    let no_fee = Bridge::updateDepositParametersCall {
        depositDustThreshold: deposits.depositDustThreshold,
        depositTreasuryFeeDivisor: 0,
        depositTxMaxFee: deposits.depositTxMaxFee,
        depositRevealAheadPeriod: deposits.depositRevealAheadPeriod,
    };
    stage.world.govern(&no_fee).await.unwrap();
    stage.world.change_redemptions(|call| call.redemptionTreasuryFeeDivisor = 0).await.unwrap();
    stage
}

/// The dust limit of change, in satoshis.
const LEAST: u64 = 294;

#[tokio::test]
async fn inc_37_the_last_request_goes_if_the_change_would_be_dust() {
    let mut stage = without_treasury().await;
    for (seed, change) in [(1, 0), (2, 1), (3, LEAST - 1), (4, LEAST)] {
        let wallet = stage.funded_wallet(seed).await;
        let all = stage.world.main_utxo(&wallet).unwrap().value;
        let first = request(&stage, &wallet, 2 * seed).await;
        let rest = all - REDEEMED - Amount::from_sat(change);
        let last = request_of(&stage, &wallet, 2 * seed + 1, rest).await;
        stage.pass(RIPE).await;
        let (proposed, excluded) = stage.propose(&wallet, Action::Redemption).await;
        if (1..LEAST).contains(&change) {
            assert_eq!(paid(&proposed), [first], "{change}");
            let dust = Why::DustChange { change: Amount::from_sat(change), least: Amount::from_sat(LEAST) };
            assert_eq!(*why(&excluded, &Item::Redemption(last)), dust);
        } else {
            assert_eq!((paid(&proposed), excluded), (vec![first, last], vec![]), "{change}");
        }
        // It is one that the Bridge takes.
        stage.world.carry_out(&wallet, &proposed.case.subject).await.unwrap();
    }
}

#[tokio::test]
async fn inc_37_where_any_payment_leaves_dust_the_leader_says_which_requests_wait() {
    let mut stage = without_treasury().await;
    let wallet = stage.funded_wallet(1).await;
    let all = stage.world.main_utxo(&wallet).unwrap().value;
    let dusty = request_of(&stage, &wallet, 1, all - Amount::from_sat(LEAST - 1)).await;
    stage.pass(RIPE).await;
    let generation = stage.generate(wallet.key_hash(), &[Action::Redemption]).await;
    let [attempt] = &generation.attempts[..] else { panic!("{generation:?}") };
    assert_eq!(attempt.outcome, ActionOutcome::Nothing(Nothing::DustChange(vec![dusty.clone()])));
    assert!(attempt.outcome.to_string().contains(&format!("{dusty:x}")), "{}", attempt.outcome);
    let dust = Why::DustChange { change: Amount::from_sat(LEAST - 1), least: Amount::from_sat(LEAST) };
    assert_eq!(*why(&attempt.excluded, &Item::Redemption(dusty.clone())), dust);

    // Where the network leaves dust out, it falls to the fee, and the real Bridge takes that.
    stage.network.dust_change = DustChange::LeftOut;
    let (proposed, excluded) = stage.propose(&wallet, Action::Redemption).await;
    assert_eq!((paid(&proposed), excluded), (vec![dusty], vec![]));
    let transaction = proposed.transaction.as_ref().unwrap();
    assert_eq!(transaction.unsigned.transaction().output.len(), 1);
    assert_eq!(transaction.unsigned.fee(), transaction.fee.amount + Amount::from_sat(LEAST - 1));
    stage.world.dust_change = DustChange::LeftOut;
    stage.world.carry_out(&wallet, &proposed.case.subject).await.unwrap();
    assert_eq!(stage.world.main_utxo(&wallet), None);
}

#[tokio::test]
async fn inc_37_change_that_is_left_out_counts_to_the_largest_fee_allowed() {
    let mut stage = without_treasury().await;
    stage
        .world
        .change_redemptions(|call| call.redemptionTxMaxTotalFee = call.redemptionTxMaxFee)
        .await
        .unwrap();
    let wallet = stage.funded_wallet(1).await;
    let all = stage.world.main_utxo(&wallet).unwrap().value;
    request_of(&stage, &wallet, 1, all - Amount::from_sat(LEAST - 1)).await;
    stage.pass(RIPE).await;
    stage.network.dust_change = DustChange::LeftOut;
    // What the next block takes is beyond what the Bridge allows.
    stage.bitcoin.state().rates.next_block = Some(bitcoin::FeeRate::from_sat_per_vb_u32(100_000));
    let maximum =
        stage.world.bridge.ask(&Bridge::redemptionParametersCall).await.unwrap().redemptionTxMaxTotalFee;
    let (proposed, _) = stage.propose(&wallet, Action::Redemption).await;
    let transaction = proposed.transaction.as_ref().unwrap();
    assert!(transaction.fee.is_capped());
    assert_eq!(transaction.unsigned.fee(), Amount::from_sat(maximum));
    stage.world.dust_change = DustChange::LeftOut;
    stage.world.carry_out(&wallet, &proposed.case.subject).await.unwrap();
}
