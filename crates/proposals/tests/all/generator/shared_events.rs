//! One log of the Bridge's events for the sessions of all wallets.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use coxswain_ethereum::{BlockSelector, Chain, Endpoints, EventLog, EventReader, Expected};
use coxswain_proposals::{Memory, Session, SessionError};
use coxswain_rules::{
    Action, Amount, Assurance,
    units::{BlockNumber, Blocks},
};
use coxswain_testkit::{DepositSpec, FaultyEndpoint, Reply, standard_scripts};

use crate::generator::support::{CHAIN, HOUR, Stage};

const RIPE: u64 = 2 * HOUR + 60;
const CHECKLIST: [Action; 4] =
    [Action::Redemption, Action::DepositSweep, Action::MovedFundsSweep, Action::MovingFunds];

#[tokio::test]
async fn a_log_that_is_ahead_shows_a_session_nothing_newer_than_its_block() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    stage.deposit(&wallet, DepositSpec::default()).await;
    stage.pass(RIPE).await;
    let (endpoint, bitcoin) = (stage.endpoint(), stage.bitcoin.clone());
    let (sources, block) = stage.sources(endpoint.clone(), bitcoin.clone()).await;
    let mut memory = Memory::default();
    let expected =
        Session::new(&sources, wallet.key_hash(), block.clone(), &mut memory).generate_first(CHECKLIST).await;
    assert_eq!(expected.proposed().unwrap().case.action(), Action::DepositSweep);

    // Then a new one is revealed, and a redemption requested.
    stage.deposit(&wallet, DepositSpec::default()).await;
    let [_, script, ..] = standard_scripts(3);
    let (redeemer, amount) = (stage.world.depositor, Amount::from_sat(2_000_000));
    stage.world.request_redemption(&wallet, redeemer, script, amount).await.unwrap();
    stage.pass(RIPE).await;
    let (sources, newer) = stage.sources(endpoint, bitcoin).await;
    assert!(newer.header.number() > block.header.number());
    let log = stage.events.log();
    assert_eq!((log.reveals(wallet.key_hash()).count(), log.requests(wallet.key_hash()).count()), (3, 1));
    let mut memory = Memory::default();
    let generated =
        Session::new(&sources, wallet.key_hash(), block.clone(), &mut memory).generate_first(CHECKLIST).await;
    assert_eq!(generated, expected);
}

#[tokio::test]
async fn nothing_is_known_better_than_that_the_validator_reads_the_bridge() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let (endpoint, bitcoin) = (stage.endpoint(), stage.bitcoin.clone());
    for assurance in [Assurance::Word, Assurance::Agreed, Assurance::Proven] {
        let (sources, block) = stage.sources(endpoint.clone(), bitcoin.clone()).await;
        let (panel, _) = Chain::new(CHAIN).named(&endpoint, BlockSelector::Latest).await.unwrap();
        let (sources, mut memory) = (sources.through(panel, assurance), Memory::default());
        let session = Session::new(&sources, wallet.key_hash(), block, &mut memory);
        assert_eq!(session.assurances().state, Some(assurance));
    }
}

#[tokio::test]
async fn sessions_of_one_window_read_its_events_once() {
    let mut stage = Stage::new().await;
    let wallets = [stage.funded_wallet(1).await, stage.funded_wallet(2).await];
    for wallet in &wallets {
        stage.deposit(wallet, DepositSpec::default()).await;
    }
    stage.pass(RIPE).await;
    let upstream = stage.world.chain.url();
    let node = FaultyEndpoint::start(upstream, |_| Reply::Forward).await.unwrap();
    let endpoint = Endpoints::new(node.url().clone()).unwrap();
    let (sources, block) = stage.sources(endpoint, stage.bitcoin.clone()).await;
    for wallet in &wallets {
        stage.events.follow(block.header.block()).await.unwrap();
        let mut memory = Memory::default();
        let mut session = Session::new(&sources, wallet.key_hash(), block.clone(), &mut memory);
        assert!(session.generate_first(CHECKLIST).await.proposed().is_some());
    }
    assert_eq!(node.methods().iter().filter(|method| *method == "eth_getLogs").count(), 1);
}

#[tokio::test]
async fn inc_11_the_search_ends_where_the_wallet_was_registered() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    stage.deposit(&wallet, DepositSpec::default()).await;
    stage.pass(RIPE).await;
    stage.world.chain.mine(100).await.unwrap();
    let (_, block) = stage.sources(stage.endpoint(), stage.bitcoin.clone()).await;
    assert!(stage.events.log().registration(wallet.key_hash()).is_some());
    // Known from its registration on, and no transaction of it recorded.
    let mut changes = stage.events.log().changes_since(&EventLog::new(stage.events.bridge(), BlockNumber(0)));
    changes.added.retain(|event| !matches!(event, coxswain_ethereum::BridgeEvent::Transaction(_)));
    changes.extent.searched = BlockNumber(1);
    let mut log = EventLog::new(stage.events.bridge(), BlockNumber(0));
    log.apply(&changes);
    let upstream = stage.world.chain.url();
    let node = FaultyEndpoint::start(upstream, |_| Reply::Forward).await.unwrap();
    let endpoint = Endpoints::new(node.url().clone()).unwrap();
    stage.events = EventReader::new(endpoint.clone(), log, Blocks(0));
    let (sources, _) = stage.sources(endpoint, stage.bitcoin.clone()).await;
    let before = node.methods().iter().filter(|method| *method == "eth_getLogs").count();
    let mut memory = Memory::default();
    let mut session = Session::new(&sources, wallet.key_hash(), block.clone(), &mut memory);
    let generated = session.generate_first([Action::DepositSweep]).await;
    assert!(matches!(generated.undecided(), Some(SessionError::MainUtxoNotFound(_))), "{generated:?}");
    let after = node.methods().iter().filter(|method| *method == "eth_getLogs").count();
    assert_eq!(after, before, "nothing is searched for");
}

/// Another wallet's session may have them read again in between, from enough servers.
#[tokio::test]
async fn inc_47_a_session_believes_events_as_far_as_those_it_holds_are_to_be_believed() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let is_silent = Arc::new(AtomicBool::new(true));
    let silent = Arc::clone(&is_silent);
    let meet =
        move |_: &str| if silent.load(Ordering::Relaxed) { Reply::Status(500) } else { Reply::Forward };
    let upstream = stage.world.chain.url();
    let second = FaultyEndpoint::start(upstream.clone(), meet).await.unwrap();
    let endpoints = Endpoints::several([upstream, second.url().clone()], Expected::default()).unwrap();
    let (sources, block) = stage.sources(endpoints.clone(), stage.bitcoin.clone()).await;
    let mut memory = Memory::default();
    let mut begun = Session::new(&sources, wallet.key_hash(), block, &mut memory);

    is_silent.store(false, Ordering::Relaxed);
    let (_, block) = Chain::new(CHAIN).named(&endpoints, BlockSelector::Latest).await.unwrap();
    stage.events.follow(block.header.block()).await.unwrap();
    begun.generate(Action::DepositSweep).await;
    assert_eq!(begun.assurances().events, Some(Assurance::Word));
    let mut memory = Memory::default();
    let mut next = Session::new(&sources, wallet.key_hash(), block, &mut memory);
    next.generate(Action::DepositSweep).await;
    assert_eq!(next.assurances().events, Some(Assurance::Agreed));
}
