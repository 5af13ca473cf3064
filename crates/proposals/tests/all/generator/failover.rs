//! An endpoint that dies in the middle of a generation: it finishes through the second.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use coxswain_bitcoin::{Backends, Limits};
use coxswain_ethereum::{Endpoints, Expected};
use coxswain_proposals::Memory;
use coxswain_rules::{Action, Proposal};
use coxswain_testkit::{BitcoinServer, DepositSpec, FaultyEndpoint, Reply, Serving, Wallet};

use crate::generator::support::{HOUR, Stage};

const CHECKLIST: [Action; 2] = [Action::Redemption, Action::DepositSweep];

/// A wallet with deposits to sweep, and what is proposed when all goes well.
async fn stage() -> (Stage, Wallet, Proposal) {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    for _ in 0..3 {
        stage.deposit(&wallet, DepositSpec::default()).await;
    }
    stage.pass(3 * HOUR).await;
    let (proposed, _) = stage.propose(&wallet, Action::DepositSweep).await;
    (stage, wallet, proposed.proposal())
}

/// Answers this many requests, then dies: every connection is cut.
fn dies_after(requests: usize) -> (impl Fn() -> Reply + Send + Sync + 'static, Arc<AtomicUsize>) {
    let asked = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&asked);
    let reply = move || match count.fetch_add(1, Ordering::Relaxed) {
        before if before < requests => Reply::Forward,
        _ => Reply::Cut,
    };
    (reply, asked)
}

#[tokio::test]
async fn inc_25_an_ethereum_endpoint_that_dies_in_the_middle_of_a_generation() {
    let (mut stage, wallet, expected) = stage().await;
    let upstream = || stage.world.chain.url();
    let second = FaultyEndpoint::start(upstream(), |_| Reply::Forward).await.unwrap();
    let third = FaultyEndpoint::start(upstream(), |_| Reply::Forward).await.unwrap();
    let mut died_on = BTreeSet::new();
    for requests in 0.. {
        let (reply, asked) = dies_after(requests);
        let upstream = stage.world.chain.url();
        let first = FaultyEndpoint::start(upstream, move |_| reply()).await.unwrap();
        let urls = [first.url().clone(), second.url().clone(), third.url().clone()];
        let endpoint = Endpoints::several(urls, Expected::default()).unwrap();
        let bitcoin = stage.bitcoin.clone();
        stage.memory = Memory::default();
        let generation = stage.generate_through(endpoint, bitcoin, wallet.key_hash(), &CHECKLIST).await;
        let proposed = generation.proposed().unwrap_or_else(|| panic!("after {requests}: {generation:?}"));
        assert_eq!(proposed.proposal(), expected, "dead after {requests} requests");
        if asked.load(Ordering::Relaxed) <= requests {
            break;
        }
        died_on.extend(first.methods().into_iter().nth(requests));
    }
    let every = ["eth_call", "eth_chainId", "eth_getBlockByNumber", "eth_getLogs"];
    assert!(died_on.is_superset(&every.map(str::to_owned).into()), "{died_on:?}");
}

#[tokio::test]
async fn inc_25_a_bitcoin_endpoint_that_dies_in_the_middle_of_a_generation() {
    let (mut stage, wallet, expected) = stage().await;
    let chain = stage.world.bitcoin.clone();
    // Both make the estimate that the expected proposal was made with: 10 sat/vB.
    let serving = || Serving { estimate: Some(0.000_1), ..Serving::default() };
    // What can't be proven, two of three must say.
    let second = BitcoinServer::core(&chain, serving(), |_, _| Reply::Forward).await.unwrap();
    let third = BitcoinServer::electrum(&chain, serving(), |_, _| Reply::Forward).await.unwrap();
    let mut deaths = 0;
    for requests in 0.. {
        let (reply, asked) = dies_after(requests);
        let first = BitcoinServer::electrum(&chain, serving(), move |_, _| reply()).await.unwrap();
        let endpoint = |server: &BitcoinServer| {
            coxswain_bitcoin::Endpoint::new(server.url(), Limits::default()).unwrap()
        };
        let regtest = coxswain_bitcoin::Expected::on(bitcoin::Network::Regtest);
        let backends = Backends::new(vec![endpoint(&first), endpoint(&second), endpoint(&third)], regtest);
        stage.memory = Memory::default();
        let ethereum = stage.endpoint();
        let generation = stage.generate_through(ethereum, backends, wallet.key_hash(), &CHECKLIST).await;
        let proposed = generation.proposed().unwrap_or_else(|| panic!("after {requests}: {generation:?}"));
        assert_eq!(proposed.proposal(), expected, "dead after {requests} requests");
        if asked.load(Ordering::Relaxed) <= requests {
            break;
        }
        deaths += 1;
    }
    assert!(deaths > 10, "{deaths}");
}
