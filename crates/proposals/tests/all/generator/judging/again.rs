//! What was prepared is kept, and judged again at newer blocks.

use coxswain_ethereum::Endpoints;
use coxswain_proposals::{Assessment, Memory, Session, Step};
use coxswain_rules::{Action, Assurance, KeyHash, Objection, RuleId};
use coxswain_testkit::{DepositSpec, FaultyEndpoint, Reply};

use super::{FAIR, sweep};
use crate::generator::support::{HOUR, Stage};

const RIPE: u64 = 2 * HOUR + 60;
const VALID: Assessment = Assessment::Valid { assurance: Assurance::Word, warning: None };

/// How many calls were asked for.
fn calls(node: &FaultyEndpoint) -> usize {
    node.methods().iter().filter(|method| *method == "eth_call").count()
}

#[tokio::test]
async fn what_a_leader_has_prepared_is_judged_again_with_one_verdict_and_no_search() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    for _ in 0..20 {
        stage.deposit(&wallet, DepositSpec::default()).await;
    }
    stage.pass(RIPE).await;
    let upstream = stage.world.chain.url();
    let node = FaultyEndpoint::start(upstream, |_| Reply::Forward).await.unwrap();
    let endpoint = || Endpoints::new(node.url().clone()).unwrap();
    let bitcoin = stage.bitcoin.clone();
    let mut memory = Memory::default();

    // At the block that it was generated at, the contract is not asked again; the rules are evaluated over one reading more.
    let (sources, block) = stage.sources(endpoint(), bitcoin.clone()).await;
    let mut session = Session::new(&sources, wallet.key_hash(), block.clone(), &mut memory);
    let generation = session.generate_first([Action::DepositSweep]).await;
    let prepared = generation.proposed().unwrap().clone();
    let before = calls(&node);
    assert_eq!(session.judge(&prepared.case).await, VALID);
    assert_eq!(calls(&node), before + 1, "the Bridge");

    // At newer blocks: a verdict and a reading of the Bridge; what Bitcoin says of funding and main UTXO, and its fees.
    for _ in 0..3 {
        stage.world.chain.mine(1).await.unwrap();
        let (sources, block) = stage.sources(endpoint(), bitcoin.clone()).await;
        let before = calls(&node);
        bitcoin.state().calls.clear();
        let mut session = Session::new(&sources, wallet.key_hash(), block.clone(), &mut memory);
        assert_eq!(session.judge(&prepared.case).await, VALID);
        assert_eq!(calls(&node), before + 2);
        let asked = [("transactions", 20), ("unspent", 1), ("unspent", 20), ("fees", 0)];
        assert_eq!(bitcoin.state().calls, asked);
        // Once judged, it is known.
        assert_eq!(session.judge(&prepared.case).await, VALID);
        assert_eq!(calls(&node), before + 2);
    }
}

#[tokio::test]
async fn an_objection_that_time_lifts_is_gone_at_a_newer_block() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let deposit = stage.deposit(&wallet, DepositSpec::default()).await;
    stage.pass(HOUR).await;
    let mut memory = Memory::default();
    let (endpoint, bitcoin) = (stage.endpoint(), stage.bitcoin.clone());
    let (sources, block) = stage.sources(endpoint, bitcoin).await;
    let mut session = Session::new(&sources, wallet.key_hash(), block.clone(), &mut memory);
    let (case, assessment) = session.judge_proposal(&sweep([&deposit], FAIR)).await;
    assert_eq!(assessment.objection().and_then(Objection::rule), Some(RuleId::Ds8), "{assessment:?}");
    let case = case.expect("its evidence is there");

    stage.world.chain.advance(2 * HOUR).await.unwrap();
    let (endpoint, bitcoin) = (stage.endpoint(), stage.bitcoin.clone());
    let (sources, block) = stage.sources(endpoint, bitcoin).await;
    let mut session = Session::new(&sources, wallet.key_hash(), block.clone(), &mut memory);
    assert_eq!(session.judge(&case).await, VALID);
}

#[tokio::test]
async fn a_session_judges_its_own_wallets_cases_only() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let mut memory = Memory::default();
    let (endpoint, bitcoin) = (stage.endpoint(), stage.bitcoin.clone());
    let (sources, block) = stage.sources(endpoint, bitcoin).await;
    let mut session = Session::new(&sources, wallet.key_hash(), block.clone(), &mut memory);
    let mut generation = session.generate_first([Action::Heartbeat]).await;
    let attempt = generation.attempts.remove(0);
    let coxswain_proposals::ActionOutcome::Proposal(mut proposed) = attempt.outcome else {
        panic!("{attempt:?}")
    };
    assert_eq!(session.judge(&proposed.case).await, VALID);
    proposed.case.wallet = KeyHash([7; 20]);
    let assessment = session.judge(&proposed.case).await;
    let Assessment::Undecided { step: Step::Evidence, cause } = assessment else { panic!("{assessment:?}") };
    assert_eq!(cause.kind(), "other-wallet");
}
