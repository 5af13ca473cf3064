//! A node whose Ethereum server changes while it runs: it answers garbage, or for another chain. Nothing is guessed, nobody is
//! blamed, the status names the server, and all goes on when it is well again.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use coxswain_rules::Action;
use coxswain_testkit::{DepositSpec, FaultyEndpoint, Reply, World};
use serde_json::json;

use crate::fleet::{
    Fleet, Plan, operator,
    status::{free, until},
};

const WELL: u8 = 0;
const GARBLED: u8 = 1;
const OTHER_CHAIN: u8 = 2;

#[tokio::test(flavor = "multi_thread")]
async fn inc_24_inc_28_a_server_that_answers_garbage_or_for_another_chain_decides_nothing_and_is_named() {
    let mut world = World::start().await.unwrap();
    let wallet = world.wallet(1).await.unwrap();
    world.reveal(&wallet, DepositSpec::default()).await.unwrap();
    let mood = Arc::new(AtomicU8::new(WELL));
    let told = Arc::clone(&mood);
    let meet = move |method: &str| match (told.load(Ordering::SeqCst), method) {
        (GARBLED, "eth_call" | "eth_getProof" | "eth_getCode") => Reply::Result(json!("0x00ff")),
        (OTHER_CHAIN, "eth_chainId") => Reply::Result(json!("0x5")),
        _ => Reply::Forward,
    };
    let server = FaultyEndpoint::start(world.chain.url(), meet).await.unwrap();
    let mut plan = Plan::of(1);
    plan.ethereum.insert(1, vec![server.url().to_string()]);
    let mut fleet = Fleet::new(world, &[wallet.public_key().0], plan).await;
    let at = free();
    fleet.run(1, &[("COXSWAIN_STATUS__LISTEN", &at.to_string())]);
    fleet.taken().await;
    let key_hash = wallet.key_hash();

    // What the contract says can't be read: nothing is proposed, and nobody is blamed for that.
    mood.store(GARBLED, Ordering::SeqCst);
    let window = fleet.next();
    fleet.mine_to(window.end()).await;
    for result in fleet.results(key_hash, window).await.values() {
        assert!(result.agreement.proposal().is_none(), "{result:#?}");
        let blames_others = result.faults.iter().any(|fault| fault.culprit != operator(1));
        assert!(!blames_others, "{result:#?}");
    }
    mood.store(WELL, Ordering::SeqCst);
    let (_, results) = fleet.run_next(key_hash, |it| it.checklist.contains(Action::DepositSweep)).await;
    for result in results.values() {
        let action = result.agreement.proposal().map(|proposal| proposal.action());
        assert_eq!(action, Some(Action::DepositSweep), "{result:#?}");
    }

    // It serves another chain from now on: that is noticed while the node runs.
    mood.store(OTHER_CHAIN, Ordering::SeqCst);
    let health = until(at, 200, &[("ethereum_endpoint", "warning")]).await;
    let entries = health["entries"].as_array().unwrap();
    let entry = entries.iter().find(|entry| entry["name"] == "ethereum_endpoint").unwrap();
    assert!(entry["says"].as_str().unwrap().contains("chain 5"), "{entry}");
    mood.store(WELL, Ordering::SeqCst);
    until(at, 200, &[("ethereum_endpoint", "ok")]).await;
    fleet.stop();
}
