//! Several endpoints: which are believed, and what happens when one dies.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

use std::{
    slice,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use bitcoin::{Network, OutPoint};
use coxswain_bitcoin::{Backend, BackendError, Backends, Endpoint, Expected, Known, Limits, Output};
use coxswain_rules::{Assurance, Assured, units::Confirmations};
use coxswain_testkit::{BitcoinServer, Regtest, Reply, Serving};
use serde_json::{Value, json};

use crate::backends::conformance::{coin, first_output, mined, spend};

/// How a server serves.
type Meet = fn(&str, &Value) -> Reply;

const HONEST: Meet = |_, _| Reply::Forward;
const KINDS: [Kind; 2] = [Kind::Electrum, Kind::Core];

#[derive(Clone, Copy, Debug)]
enum Kind {
    Electrum,
    Core,
}

impl Kind {
    async fn start(
        self,
        chain: &Regtest,
        serving: Serving,
        meet: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static,
    ) -> BitcoinServer {
        match self {
            Self::Electrum => BitcoinServer::electrum(chain, serving, meet).await.unwrap(),
            Self::Core => BitcoinServer::core(chain, serving, meet).await.unwrap(),
        }
    }
}

fn endpoint(server: &BitcoinServer) -> Endpoint {
    Endpoint::new(server.url(), Limits::default()).unwrap()
}

fn together<'a>(servers: impl IntoIterator<Item = &'a BitcoinServer>) -> Backends {
    Backends::new(servers.into_iter().map(endpoint).collect(), Expected::on(Network::Regtest))
}

/// What the endpoint at the position has been asked.
fn round_trips(backends: &Backends, position: usize) -> u64 {
    backends.endpoints().nth(position).unwrap().round_trips()
}

#[tokio::test]
async fn inc_24_an_endpoint_of_another_network_is_not_believed() {
    for kind in KINDS {
        let chain = Regtest::new();
        let serving = Serving { network: Network::Bitcoin, ..Serving::default() };
        let stranger = kind.start(&chain, serving, HONEST).await;
        let sound = kind.start(&chain, Serving::default(), HONEST).await;

        let alone = together([&stranger]);
        let error = alone.fees().await.unwrap_err();
        let name = format!("127.0.0.1:{}", stranger.url().port().unwrap());
        assert!(
            matches!(&error, BackendError::WrongNetwork { endpoint, .. } if *endpoint == name),
            "{kind:?}: {error:?}"
        );
        assert!(!error.is_retryable());

        let both = together([&stranger, &sound]);
        assert_eq!(both.tip().await.unwrap().height, chain.height());
        let health = both.health().await;
        assert_eq!(health[0].problem.as_ref().map(BackendError::kind), Some("wrong-network"));
        assert_eq!(health[1].problem, None);
    }
}

#[tokio::test]
async fn inc_24_an_endpoint_far_behind_the_others_is_not_believed() {
    // The last that is near enough, the first that isn't.
    for (behind, believed) in [(2, true), (3, false)] {
        let chain = Regtest::new();
        let slow = Kind::Electrum.start(&chain, Serving { behind, ..Serving::default() }, HONEST).await;
        let sound = [
            Kind::Core.start(&chain, Serving::default(), HONEST).await,
            Kind::Core.start(&chain, Serving::default(), HONEST).await,
        ];
        let backends = together([&slow, &sound[0], &sound[1]]);
        let health = backends.health().await;
        assert_eq!(health[0].behind, Some(behind));
        assert_eq!(health[0].problem.as_ref().map(BackendError::kind), (!believed).then_some("behind"));
        assert_eq!(backends.tip().await.unwrap().height, chain.height());
        // Of two nobody can tell which one is right: the lower of both is what both have.
        let two = together([&slow, &sound[0]]);
        assert_eq!(two.tip().await.unwrap().height, chain.height().saturating_sub(behind));
    }
}

/// A height that nobody else has makes nobody else late.
#[tokio::test]
async fn inc_47_a_height_that_one_claims_is_not_where_the_chain_is() {
    let chain = Regtest::new();
    let header = bitcoin::consensus::encode::serialize_hex(&chain.blocks_from(chain.height())[0].header);
    let height = chain.height();
    let boast = move |method: &str, _: &Value| match method {
        "blockchain.headers.subscribe" => {
            Reply::Result(json!({ "height": height.saturating_add(1_000_000), "hex": header }))
        }
        _ => Reply::Forward,
    };
    let boaster = Kind::Electrum.start(&chain, Serving::default(), boast).await;
    let sound = [
        Kind::Core.start(&chain, Serving::default(), HONEST).await,
        Kind::Electrum.start(&chain, Serving::default(), HONEST).await,
    ];
    let backends = together([&boaster, &sound[0], &sound[1]]);
    assert_eq!(backends.tip().await.unwrap().height, chain.height());
    let problems: Vec<_> = backends.health().await.into_iter().map(|health| health.problem).collect();
    assert_eq!(problems[1..], [None, None]);
}

#[tokio::test]
async fn inc_24_a_newest_block_that_is_too_old_is_not_believed() {
    /// When the chain's newest block is mined: 200 blocks after the start, a minute each.
    const MINED: u64 = 1_700_000_000 + 200 * 60;
    const BOUND: u64 = 3 * 3600;
    let clock_just_before: fn() -> SystemTime =
        || SystemTime::UNIX_EPOCH + Duration::from_secs(MINED + BOUND);
    let clock_just_after: fn() -> SystemTime =
        || SystemTime::UNIX_EPOCH + Duration::from_secs(MINED + BOUND + 1);
    let clock_behind: fn() -> SystemTime = || SystemTime::UNIX_EPOCH + Duration::from_secs(MINED - 60);
    let chain = Regtest::new();
    let server = Kind::Core.start(&chain, Serving::default(), HONEST).await;
    for (clock, believed) in [(clock_behind, true), (clock_just_before, true), (clock_just_after, false)] {
        let most_tip_age = Some(Duration::from_secs(BOUND));
        let expected = Expected { most_tip_age, clock, ..Expected::on(Network::Regtest) };
        let backends = Backends::new(vec![endpoint(&server)], expected);
        let tip = backends.tip().await;
        assert_eq!(tip.as_ref().err().map(BackendError::kind), (!believed).then_some("stale"), "{tip:?}");
    }
}

#[tokio::test]
async fn inc_24_a_newest_block_that_grows_too_old_while_running_is_noticed() {
    static NOW: AtomicU64 = AtomicU64::new(0);
    let clock: fn() -> SystemTime =
        || SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.load(Ordering::Relaxed));
    let chain = Regtest::new();
    NOW.store(chain.blocks_from(chain.height())[0].header.time.into(), Ordering::Relaxed);
    let server = Kind::Electrum.start(&chain, Serving::default(), HONEST).await;
    let most_tip_age = Some(Duration::from_secs(3600));
    let expected = Expected { most_tip_age, clock, ..Expected::on(Network::Regtest) };
    let backends = Backends::new(vec![endpoint(&server)], expected);
    backends.tip().await.unwrap();
    NOW.fetch_add(3601, Ordering::Relaxed);
    assert_eq!(backends.tip().await.unwrap_err().kind(), "stale");
    NOW.fetch_sub(1, Ordering::Relaxed);
    backends.tip().await.unwrap();
}

/// A server that answers this many requests, and then closes every connection.
async fn dying(kind: Kind, chain: &Regtest, after: usize) -> BitcoinServer {
    let answered = Arc::new(AtomicUsize::new(0));
    let meet = move |_: &str, _: &Value| {
        if answered.fetch_add(1, Ordering::Relaxed) < after { Reply::Forward } else { Reply::Cut }
    };
    kind.start(chain, Serving::default(), meet).await
}

/// Wherever in a call one endpoint dies, the two others finish it.
#[tokio::test]
async fn inc_25_an_endpoint_that_dies_in_the_middle_of_a_call_is_replaced() {
    for kind in KINDS {
        let chain = Regtest::new();
        let funding: Vec<_> = (0..3).map(|number| mined(&chain, number, 50_000)).collect();
        let outputs: Vec<Output> = funding.iter().map(first_output).collect();
        let outpoints: Vec<OutPoint> = outputs.iter().map(|output| output.outpoint).collect();
        let spares = [
            kind.start(&chain, Serving::default(), HONEST).await,
            kind.start(&chain, Serving::default(), HONEST).await,
        ];
        let mut requests = None;
        for after in 0.. {
            let first = dying(kind, &chain, after).await;
            let backends = together([&first, &spares[0], &spares[1]]);
            let tip = backends.tip().await.unwrap();
            assert_eq!(tip.height, chain.height());
            let known = backends.transactions(&outpoints).await.unwrap();
            for ((depth, transaction), known) in (1..=3).rev().zip(&funding).zip(known) {
                let expected =
                    Known { transaction: transaction.clone(), confirmations: Confirmations(depth) };
                assert_eq!(known.unwrap().fact, Some(expected), "{kind:?} dies after {after}");
            }
            let unspent = backends.unspent(&outputs).await.unwrap();
            let agreed = Assured { fact: true, assurance: Assurance::Agreed };
            assert_eq!(unspent, vec![Ok(agreed); 3], "{kind:?} dies after {after}");
            let headers = backends.headers(tip.height, 1).await.unwrap();
            assert_eq!(headers, [tip.header]);
            let problem = backends.health().await[0].problem.clone();
            let Some(problem) = problem else {
                requests = Some(after);
                break;
            };
            assert_eq!(problem.kind(), "interrupted", "{problem}");
        }
        assert!(requests.unwrap() > 10, "{kind:?} was killed {requests:?} times");
    }
}

#[tokio::test]
async fn inc_25_an_endpoint_that_is_gone_rests_and_the_other_is_believed_at_its_word() {
    let chain = Regtest::new();
    let output = first_output(&mined(&chain, 1, 50_000));
    let gone = Kind::Electrum.start(&chain, Serving::default(), HONEST).await;
    let spare = Kind::Core.start(&chain, Serving::default(), HONEST).await;
    let expected = Expected { rest: Duration::from_secs(3600), ..Expected::on(Network::Regtest) };
    let endpoints = vec![endpoint(&gone), endpoint(&spare)];
    let both = Expected { at_least: 2, ..expected };
    let insisting = Backends::new(vec![endpoint(&gone), endpoint(&spare)], both);
    drop(gone);
    let backends = Backends::new(endpoints, expected);
    assert_eq!(backends.tip().await.unwrap().height, chain.height());
    let tried = round_trips(&backends, 0);
    assert_eq!(tried, 2, "once, and once more");
    let word = Assured { fact: true, assurance: Assurance::Word };
    assert_eq!(backends.unspent(slice::from_ref(&output)).await.unwrap(), [Ok(word)]);
    assert_eq!(round_trips(&backends, 0), tried, "it rests");
    let problem = backends.health().await[0].problem.clone().unwrap();
    assert_eq!(problem.kind(), "unreachable", "{problem}");
    // A setting makes that undecided.
    assert_eq!(insisting.unspent(&[output]).await.unwrap_err().kind(), "unreachable");
}

#[tokio::test]
async fn inc_25_an_endpoint_that_never_answers_is_replaced_at_its_deadline() {
    for kind in KINDS {
        let chain = Regtest::new();
        let stalls = kind.start(&chain, Serving::default(), |_, _| Reply::Stall).await;
        let spare = kind.start(&chain, Serving::default(), HONEST).await;
        let impatient = Limits { answer: Duration::from_millis(50), ..Limits::default() };
        let stalled = Endpoint::new(stalls.url(), impatient).unwrap();
        let backends = Backends::new(vec![stalled, endpoint(&spare)], Expected::on(Network::Regtest));
        assert_eq!(backends.tip().await.unwrap().height, chain.height());
        let problem = backends.health().await[0].problem.clone().unwrap();
        assert_eq!(problem.kind(), "timed-out", "{problem}");
        assert!(problem.is_retryable());
    }
}

#[tokio::test]
async fn inc_25_when_all_are_gone_each_is_named() {
    let chain = Regtest::new();
    let servers = [
        Kind::Electrum.start(&chain, Serving::default(), HONEST).await,
        Kind::Core.start(&chain, Serving::default(), HONEST).await,
    ];
    let ports = servers.each_ref().map(|server| server.url().port().unwrap());
    let backends = together(&servers);
    drop(servers);
    let error = backends.tip().await.unwrap_err();
    assert!(error.is_retryable() && error.kind() == "exhausted");
    for port in ports {
        assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
    }
    assert!(!error.to_string().contains("secret"), "{error}");
    let none = Backends::new(Vec::new(), Expected::on(Network::Regtest));
    assert_eq!(none.tip().await.unwrap_err(), BackendError::Exhausted(Vec::new()));
}

/// A wallet's address that was paid more often than an Electrum server lists: that item alone has no answer there, and has one
/// at the others.
#[tokio::test]
async fn inc_11_what_one_server_refuses_to_list_the_others_answer() {
    let chain = Regtest::new();
    let (main, other) = (mined(&chain, 1, 5_000_000), mined(&chain, 2, 5_000_000));
    chain.mine(&[chain.pay(&vec![coin(1, 546); 100]).unwrap()]).unwrap();
    let outputs = [first_output(&main), first_output(&other)];
    for (most_listed, listed) in [(101, true), (100, false)] {
        let serving = Serving { most_listed, ..Serving::default() };
        let electrum = Kind::Electrum.start(&chain, serving, HONEST).await;
        let alone = together([&electrum]).unspent(&outputs).await.unwrap();
        assert_eq!(alone[0].is_ok(), listed);
        assert_eq!(alone[1], Ok(Assured { fact: true, assurance: Assurance::Word }), "the others stand");
        if let Err(error) = &alone[0] {
            assert!(error.to_string().contains("too large"), "{error}");
        }
        let cores = [
            Kind::Core.start(&chain, Serving::default(), HONEST).await,
            Kind::Core.start(&chain, Serving::default(), HONEST).await,
        ];
        let three = together([&electrum, &cores[0], &cores[1]]);
        let agreed = Ok(Assured { fact: true, assurance: Assurance::Agreed });
        assert_eq!(three.unspent(&outputs).await.unwrap(), [agreed.clone(), agreed]);
    }
}

#[tokio::test]
async fn a_refusal_to_relay_counts_against_no_endpoint() {
    let chain = Regtest::new();
    let funding = mined(&chain, 1, 50_000);
    chain.mine(slice::from_ref(&spend(&funding, 1, coin(2, 40_000)))).unwrap();
    let rival = spend(&funding, 1, coin(3, 40_000));
    for kind in KINDS {
        let servers = [
            kind.start(&chain, Serving::default(), HONEST).await,
            kind.start(&chain, Serving::default(), HONEST).await,
        ];
        let backends = together(&servers);
        let error = backends.broadcast(&rival).await.unwrap_err();
        assert_eq!(error.kind(), "rpc-error", "{error}");
        assert!(backends.health().await.iter().all(|health| health.problem.is_none()));
    }
}

/// What a sweep of twenty costs a server, however many there are: three look-ups of where it is, and what is asked.
#[tokio::test]
async fn twenty_deposits_take_a_bounded_number_of_round_trips() {
    let chain = Regtest::new();
    let funding: Vec<_> = (0..20).map(|number| mined(&chain, number, 50_000)).collect();
    let outputs: Vec<Output> = funding.iter().map(first_output).collect();
    let outpoints: Vec<OutPoint> = outputs.iter().map(|output| output.outpoint).collect();
    for (kind, most) in [(Kind::Electrum, 8), (Kind::Core, 15)] {
        let server = kind.start(&chain, Serving::default(), HONEST).await;
        let backends = together([&server]);
        backends.tip().await.unwrap();
        let before = round_trips(&backends, 0);
        backends.fees().await.unwrap();
        let known = backends.transactions(&outpoints).await.unwrap();
        assert!(known.iter().all(|answer| matches!(answer, Ok(Assured { fact: Some(_), .. }))));
        let unspent = backends.unspent(&outputs).await.unwrap();
        assert!(unspent.iter().all(|answer| answer.as_ref().unwrap().fact));
        let trips = round_trips(&backends, 0) - before;
        assert!(trips <= most, "{kind:?}: {trips}");
    }
}

#[tokio::test]
async fn health_names_software_fees_and_lag() {
    let chain = Regtest::new();
    let serving = Serving { estimate: Some(0.000_123_4), behind: 1, ..Serving::default() };
    let servers = [
        Kind::Electrum.start(&chain, serving, HONEST).await,
        Kind::Core.start(&chain, Serving::default(), HONEST).await,
    ];
    let health = together(&servers).health().await;
    let shown: Vec<_> = health
        .iter()
        .map(|health| {
            let next_block = health.fee_rates.unwrap().next_block.map(|rate| rate.to_sat_per_kwu());
            (health.kind, health.software.as_deref().unwrap(), health.behind.unwrap(), next_block)
        })
        .collect();
    assert_eq!(
        shown,
        // Of two, the best block is what both have.
        [("Electrum", "coxswain-testkit", 0, Some(3_085)), ("Bitcoin Core", "/coxswain-testkit/", 0, None)]
    );
    assert!(health.iter().all(|health| health.problem.is_none()));
}
