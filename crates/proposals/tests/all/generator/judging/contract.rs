//! Step 2: the contract, and the rules evaluated here.

use alloy::sol_types::{Panic, PanicKind, SolError};
use alloy_primitives::{B256, Bytes, U256, hex};
use coxswain_bindings::WalletProposalValidator::WalletStateNotAllowed;
use coxswain_ethereum::Endpoints;
use coxswain_proposals::{Assessment, Step};
use coxswain_rules::{
    Amount, Cause, HeartbeatProposal, Objection, Proposal, Reason, Rejection, RuleId, Timing,
};
use coxswain_testkit::{DepositOutput, DepositSpec, FaultyEndpoint, Reply, Wallet, deployed_validator};
use serde_json::{Value, json};

use super::{FAIR, moved_funds_sweep, moving_funds, redemption, sweep};
use crate::generator::support::{HOUR, Stage, heartbeat};

const RIPE: u64 = 2 * HOUR + 60;

/// An endpoint whose validator answers with this.
async fn falsified(stage: &Stage, reply: Reply) -> Endpoints {
    let validator = stage.validator.to_string().to_lowercase();
    let upstream = stage.world.chain.url();
    let meet = move |method: &str, parameters: &Value| {
        let to = parameters[0]["to"].as_str().unwrap_or_default().to_lowercase();
        match method {
            // What it proves would contradict it.
            "eth_getProof" => Reply::Error(json!({ "code": -32000, "message": "missing trie node" })),
            "eth_call" if to == validator => reply.clone(),
            _ => Reply::Forward,
        }
    };
    let node = FaultyEndpoint::start_inspecting(upstream, meet).await.unwrap();
    let endpoint = Endpoints::new(node.url().clone()).unwrap();
    // It is to answer as long as the test runs.
    std::mem::forget(node);
    endpoint
}

fn revert(data: Vec<u8>) -> Reply {
    let data = hex::encode_prefixed(data);
    Reply::Error(json!({ "code": 3, "message": "execution reverted", "data": data }))
}

impl Stage {
    async fn judge_falsified(&mut self, wallet: &Wallet, proposal: &Proposal, reply: Reply) -> Assessment {
        let endpoint = falsified(self, reply).await;
        let bitcoin = self.bitcoin.clone();
        self.judge_through(endpoint, bitcoin, wallet, proposal).await
    }
}

#[tokio::test]
async fn what_the_contract_rejects_is_an_objection_with_its_rule() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let deposit = stage.deposit(&wallet, DepositSpec::default()).await;
    let [_, script, ..] = coxswain_testkit::standard_scripts(1);
    stage.pass(RIPE).await;
    let nowhere = bitcoin::OutPoint::new(deposit.outpoint.txid, 0);
    for (proposal, rule) in [
        (Proposal::Heartbeat(HeartbeatProposal { message: vec![0; 16] }), RuleId::Hb1),
        (sweep([&deposit], Amount::ZERO), RuleId::Ds5),
        (sweep([], FAIR), RuleId::Ds2),
        (sweep([&deposit, &deposit], FAIR), RuleId::Ds15),
        (redemption(&[script], FAIR), RuleId::Rd6),
        (moving_funds(&wallet, FAIR), RuleId::Mf1),
        (moved_funds_sweep(nowhere, FAIR), RuleId::Ms2),
    ] {
        let (step, objection) = stage.objection(&wallet, &proposal).await;
        assert!(matches!(objection, Objection::Contract(_)), "{objection}");
        assert_eq!((step, objection.rule()), (Step::Contract, Some(rule)), "{objection}");
        assert_eq!(objection.timing(), Timing::Lasts);
    }
    stage.assert_valid(&wallet, &heartbeat()).await;
}

#[tokio::test]
async fn a_deposit_that_is_too_young_is_an_objection_that_time_lifts() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let deposit = stage.deposit(&wallet, DepositSpec::default()).await;
    let revealed_at = stage.world.chain.now().await.unwrap();
    stage.pass(0).await;
    let now = stage.world.chain.now().await.unwrap();
    // Valid more than two hours after.
    stage.world.chain.advance(revealed_at + 2 * HOUR - now).await.unwrap();
    let proposal = sweep([&deposit], FAIR);
    let (step, objection) = stage.objection(&wallet, &proposal).await;
    assert_eq!((step, objection.rule()), (Step::Contract, Some(RuleId::Ds8)));
    assert_eq!(objection.timing(), Timing::Lifts);
    stage.world.chain.advance(1).await.unwrap();
    stage.assert_valid(&wallet, &proposal).await;
}

#[tokio::test]
async fn a_refund_that_comes_close_is_an_objection_that_time_brings() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let now = stage.world.chain.now().await.unwrap();
    let refund = u32::try_from(now + 30 * 24 * HOUR).unwrap();
    let spec = DepositSpec { refund_locktime: Some(refund), ..DepositSpec::default() };
    let deposit = stage.deposit(&wallet, spec).await;
    stage.pass(RIPE).await;
    let proposal = sweep([&deposit], FAIR);
    let now = stage.world.chain.now().await.unwrap();
    // Valid more than a day before.
    stage.world.chain.advance(u64::from(refund) - 24 * HOUR - 1 - now).await.unwrap();
    stage.assert_valid(&wallet, &proposal).await;
    stage.world.chain.advance(1).await.unwrap();
    let (step, objection) = stage.objection(&wallet, &proposal).await;
    assert_eq!((step, objection.rule()), (Step::Contract, Some(RuleId::Ds12)));
    assert_eq!(objection.timing(), Timing::Comes);
}

#[tokio::test]
async fn a_panic_is_an_objection_without_a_rule_and_what_can_not_be_read_is_none() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let deposit = stage.deposit(&wallet, DepositSpec::default()).await;
    stage.pass(RIPE).await;
    let (valid, free) = (sweep([&deposit], FAIR), sweep([&deposit], Amount::ZERO));
    let panic = || revert(Panic::from(PanicKind::UnderOverflow).abi_encode());
    let assessment = stage.judge_falsified(&wallet, &free, panic()).await;
    let expected = Rejection { rule: None, cause: Cause::Panic(U256::from(0x11)) };
    assert_eq!(assessment.objection(), Some(&Objection::Contract(expected)), "{assessment:?}");

    for (reply, kind) in [
        // The rules evaluated here accept it.
        (panic(), "disagreement"),
        (revert(Vec::new()), "revert-without-reason"),
        (revert(vec![1, 2, 3, 4]), "unknown-revert"),
        (Reply::Result(json!(Bytes::from(vec![2; 32]))), "unknown-answer"),
        (Reply::Status(500), "http-status"),
    ] {
        let assessment = stage.judge_falsified(&wallet, &valid, reply).await;
        let Assessment::Undecided { step, cause } = &assessment else { panic!("{assessment:?}") };
        assert_eq!((*step, cause.kind()), (Step::Contract, kind));
    }
}

#[tokio::test]
async fn where_the_contract_and_the_rules_differ_both_are_told_and_neither_is_trusted() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let deposit = stage.deposit(&wallet, DepositSpec::default()).await;
    stage.pass(RIPE).await;
    let (valid, free) = (sweep([&deposit], FAIR), sweep([&deposit], Amount::ZERO));
    let yes = || Reply::Result(json!(B256::with_last_byte(1)));
    let closing = WalletStateNotAllowed { walletPubKeyHash: wallet.key_hash().into(), state: 3 };
    let closing = || revert(closing.abi_encode());
    for (proposal, reply, contract, rules) in [
        (&free, yes(), "accepts", "reject it (DS-5"),
        (&valid, closing(), "rejects the proposal (DS-1", "accept it"),
        (&free, closing(), "rejects the proposal (DS-1", "reject it (DS-5"),
    ] {
        let assessment = stage.judge_falsified(&wallet, proposal, reply).await;
        let Assessment::Undecided { step: Step::Contract, cause } = &assessment else {
            panic!("{assessment:?}")
        };
        let told = cause.to_string();
        assert!(told.contains(contract) && told.contains(rules), "{told}");
    }
}

#[tokio::test]
async fn inc_1_a_validator_that_accepts_what_nobody_can_spend_is_overruled() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let sound = stage.deposit(&wallet, DepositSpec::default()).await;
    let mut unspendable = Vec::new();
    for output in [DepositOutput::P2pkh, DepositOutput::P2wpkh] {
        unspendable.push(stage.deposit(&wallet, DepositSpec { output, ..DepositSpec::default() }).await);
    }
    stage.pass(RIPE).await;
    let ours = stage.validator;
    let deployed = stage.world.deploy_validator(&deployed_validator().unwrap()).await.unwrap();
    let rejection = Rejection {
        rule: Some(RuleId::Ds11),
        cause: Cause::Reason(Reason::FundingOutputScriptMismatch { index: U256::ONE }),
    };
    for poison in &unspendable {
        let proposal = sweep([&sound, poison], FAIR);
        stage.validator = ours;
        let by_contract = (Step::Contract, Objection::Contract(rejection.clone()));
        assert_eq!(stage.objection(&wallet, &proposal).await, by_contract);
        stage.validator = deployed;
        let by_us = (Step::Contract, Objection::Unspendable(rejection.clone()));
        assert_eq!(stage.objection(&wallet, &proposal).await, by_us);
        // What else is wrong with it doesn't matter.
        let proposal = sweep([&sound, poison, &sound], FAIR);
        assert_eq!(stage.objection(&wallet, &proposal).await, by_us);
    }
    stage.assert_valid(&wallet, &sweep([&sound], FAIR)).await;
}
