//! Several endpoints: the first that is fit is asked, the next when it fails, and none that is offline, on another chain,
//! behind or without the contracts, each of which is told apart.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use alloy::primitives::Address;
use coxswain_ethereum::{
    BlockSelector, ChainError, Condition, ContractVerdict, Endpoints, EventLog, EventReader, Expected,
    MAX_LAG, Panel, ProposalValidator, SnapshotKeys, SnapshotReader, UnfitError,
};
use coxswain_rules::{
    Assurance, Case, HeartbeatProposal, Subject,
    network::Preset,
    units::{BlockNumber, Blocks, UnixTime},
};
use coxswain_testkit::{DepositSpec, FaultyEndpoint, Reply, TestChain, World};
use serde_json::json;
use url::Url;

use crate::{faults::heartbeat, validators::ANVIL};

async fn node(url: &str, meet: impl Fn(&str) -> Reply + Send + Sync + 'static) -> FaultyEndpoint {
    FaultyEndpoint::start(url.parse().unwrap(), meet).await.unwrap()
}

/// A server that is dead while this says so.
async fn mortal(chain: &TestChain) -> (FaultyEndpoint, Arc<AtomicBool>) {
    let dead = Arc::new(AtomicBool::new(false));
    let is_dead = Arc::clone(&dead);
    let meet = move |_: &str| if is_dead.load(Ordering::SeqCst) { Reply::Cut } else { Reply::Forward };
    (node(&chain.endpoint(), meet).await, dead)
}

/// Where nobody listens.
async fn nobody() -> Url {
    node("http://127.0.0.1:1", |_| Reply::Cut).await.url().clone()
}

fn several<'a>(urls: impl IntoIterator<Item = &'a Url>) -> Endpoints {
    Endpoints::several(urls.into_iter().cloned(), Expected::default()).unwrap()
}

/// Why each endpoint isn't fit; `fit` where it is.
fn kinds(endpoint: &Endpoints) -> Vec<&'static str> {
    let kind = |condition| match condition {
        Condition::Unknown => "unknown",
        Condition::Fit(_) => "fit",
        Condition::Unfit(unfit) => UnfitError::kind(&unfit),
    };
    endpoint.health().into_iter().map(|health| kind(health.condition)).collect()
}

/// Lets this much time pass.
async fn pass(duration: Duration) {
    tokio::time::pause();
    tokio::time::advance(duration).await;
    tokio::time::resume();
}

#[tokio::test]
async fn inc_24_endpoints_are_refused_for_what_is_wrong_with_each() {
    let chain = TestChain::start().unwrap();
    chain.mine(2 * MAX_LAG.0).await.unwrap();
    let url = chain.endpoint();
    let direct = Endpoints::new(url.parse().unwrap()).unwrap();
    let head = direct.block(BlockSelector::Latest).await.unwrap().unwrap().number;
    let other = node(&url, |method| match method {
        "eth_chainId" => Reply::Result(json!("0x1")),
        _ => Reply::Forward,
    })
    .await;
    let at = |lag: u64| {
        let block = json!({
            "number": format!("{:#x}", head.0 - lag),
            "hash": alloy::primitives::B256::repeat_byte(7),
            "timestamp": "0x1",
        });
        move |method: &str| match method {
            "eth_getBlockByNumber" => Reply::Result(block.clone()),
            _ => Reply::Forward,
        }
    };
    let (behind, nearly) =
        (node(&url, at(MAX_LAG.saturating_add(Blocks(1)).0)).await, node(&url, at(MAX_LAG.0)).await);
    let garbage = node(&url, |_| Reply::Body("<html>".to_owned())).await;
    let sound = node(&url, |_| Reply::Forward).await;
    let (more, still_more) = (node(&url, |_| Reply::Forward).await, node(&url, |_| Reply::Forward).await);
    let nobody = nobody().await;
    let urls = [&sound, &other, &behind, &nearly, &garbage].map(FaultyEndpoint::url);
    let urls: Vec<_> = urls.into_iter().chain([&nobody, more.url(), still_more.url()]).cloned().collect();
    let endpoint = several(&urls);
    assert_eq!(kinds(&endpoint), ["unknown"; 8]);
    assert!(sound.methods().is_empty(), "nothing is sent before anything is asked");
    endpoint.chain_id().await.unwrap();
    assert_eq!(
        kinds(&endpoint),
        ["fit", "wrong-chain", "behind", "fit", "garbage", "unreachable", "fit", "fit"]
    );
    for node in [&other, &behind, &nearly] {
        assert_eq!(node.methods().len(), 2, "checked, and not asked: {:?}", node.methods());
    }
    let reasons: Vec<_> = endpoint.health().into_iter().map(|health| health.condition).collect();
    let name = other.url().authority().to_owned();
    assert_eq!(
        reasons[1],
        Condition::Unfit(UnfitError::WrongChain { endpoint: name, expected: ANVIL, actual: 1 })
    );
    let name = behind.url().authority().to_owned();
    assert_eq!(
        reasons[2],
        Condition::Unfit(UnfitError::Behind {
            endpoint: name,
            head: head.saturating_sub(MAX_LAG).saturating_sub(Blocks(1)),
            best: head
        })
    );
}

#[tokio::test]
async fn inc_47_one_claim_among_three_puts_no_honest_endpoint_behind() {
    let chain = TestChain::start().unwrap();
    chain.mine(2 * MAX_LAG.0).await.unwrap();
    let url = chain.endpoint();
    let at = |number: u64| {
        let hash = alloy::primitives::B256::repeat_byte(7);
        let block = json!({ "number": format!("{number:#x}"), "hash": hash, "timestamp": "0x1" });
        move |method: &str| match method {
            "eth_getBlockByNumber" => Reply::Result(block.clone()),
            _ => Reply::Forward,
        }
    };
    let direct = Endpoints::new(url.parse().unwrap()).unwrap();
    let head = direct.block(BlockSelector::Latest).await.unwrap().unwrap().number;
    let (first, second) = (node(&url, |_| Reply::Forward).await, node(&url, |_| Reply::Forward).await);
    let (liar, behind) = (
        node(&url, at(head.saturating_add(Blocks(1000)).0)).await,
        node(&url, at(head.saturating_sub(MAX_LAG).saturating_sub(Blocks(1)).0)).await,
    );
    for (third, kind) in [(&liar, "fit"), (&behind, "behind")] {
        for place in 0..3 {
            let mut urls = vec![first.url(), second.url()];
            urls.insert(place, third.url());
            let endpoint = several(urls);
            endpoint.chain_id().await.unwrap();
            let mut expected = vec!["fit", "fit"];
            expected.insert(place, kind);
            assert_eq!(kinds(&endpoint), expected);
        }
    }
}

#[tokio::test]
async fn inc_24_what_is_expected_is_required_of_one_endpoint_too() {
    let world = World::start().await.unwrap();
    let url: Url = world.chain.url();
    let nobody = Address::repeat_byte(0xab);
    let expecting = |network, contracts: &[Address]| {
        Endpoints::several(
            [url.clone()],
            Expected { network, contracts: contracts.to_vec(), ..Expected::default() },
        )
        .unwrap()
    };
    let bridge = world.bridge.address();
    assert_eq!(expecting(Some(Preset::LOCAL), &[bridge]).chain_id().await, Ok(ANVIL));
    for (endpoint, kind, text) in [
        (expecting(Some(Preset::MAINNET), &[]), "wrong-chain", "serves chain 31337, which is not mainnet"),
        (
            expecting(None, &[bridge, nobody]),
            "no-code",
            "has no code at 0xABaBaBaBABabABabAbAbABAbABabababaBaBABaB",
        ),
    ] {
        let error = endpoint.chain_id().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().ends_with(text), "{error}");
        assert!(!error.is_retryable());
    }
}

#[tokio::test]
async fn inc_24_a_stale_head_is_noticed_where_blocks_come_by_the_clock() {
    let chain = TestChain::start().unwrap();
    const NOW: u64 = 1_900_000_000;
    let of_age = async |id: &'static str, age: u64| {
        let block = json!({
            "number": "0x10",
            "hash": alloy::primitives::B256::repeat_byte(7),
            "timestamp": format!("{:#x}", NOW - age),
        });
        let meet = move |method: &str| match method {
            "eth_chainId" => Reply::Result(json!(id)),
            "eth_getBlockByNumber" => Reply::Result(block.clone()),
            _ => Reply::Forward,
        };
        let node = node(&chain.endpoint(), meet).await;
        let network = Preset::of_chain(if id == "0x1" { 1 } else { ANVIL });
        let clock = || std::time::UNIX_EPOCH + std::time::Duration::from_secs(NOW);
        let expected = Expected { network, clock, ..Expected::default() };
        Endpoints::several([node.url().clone()], expected)
            .unwrap()
            .chain_id()
            .await
            .map_err(|error| error.kind())
    };
    assert_eq!(of_age("0x1", 180).await, Ok(1));
    assert_eq!(of_age("0x1", 181).await, Err("behind"));
    assert_eq!(of_age("0x7a69", 1_000_000).await, Ok(ANVIL), "time is not the clock's there");
}

#[tokio::test]
async fn inc_24_when_no_endpoint_is_fit_each_reason_is_given() {
    let chain = TestChain::start().unwrap();
    let other = node(&chain.endpoint(), |method| match method {
        "eth_chainId" => Reply::Result(json!("0x1")),
        _ => Reply::Forward,
    })
    .await;
    let dead = nobody().await;
    let expected = Expected { network: Some(Preset::LOCAL), ..Expected::default() };
    let endpoint = Endpoints::several([dead.clone(), other.url().clone()], expected).unwrap();
    let error = endpoint.chain_id().await.unwrap_err();
    assert_eq!(error.kind(), "none-fit", "{error}");
    let text = error.to_string();
    assert!(text.contains(&format!("can't connect to {}", dead.authority())), "{text}");
    assert!(text.contains("serves chain 1, which is not local"), "{text}");
    let undecided = ChainError::from(error);
    assert!(undecided.is_retryable(), "one of them may come back");
    let both = several([&dead, &nobody().await]);
    assert_eq!(both.chain_id().await.unwrap_err().kind(), "unreachable", "of one kind");
}

#[tokio::test]
async fn inc_24_an_endpoint_that_changes_chain_or_falls_behind_is_noticed_while_running() {
    let chain = TestChain::start().unwrap();
    let moved = Arc::new(AtomicBool::new(false));
    let (first, second) = {
        let moved = Arc::clone(&moved);
        let meet = move |method: &str| match method {
            "eth_chainId" if moved.load(Ordering::SeqCst) => Reply::Result(json!("0x1")),
            _ => Reply::Forward,
        };
        (node(&chain.endpoint(), meet).await, node(&chain.endpoint(), |_| Reply::Forward).await)
    };
    let endpoint = several([first.url(), second.url()]);
    endpoint.block(BlockSelector::Latest).await.unwrap();
    assert_eq!(kinds(&endpoint), ["fit", "fit"]);
    moved.store(true, Ordering::SeqCst);
    pass(Duration::from_secs(59)).await;
    endpoint.block(BlockSelector::Latest).await.unwrap();
    assert_eq!(kinds(&endpoint), ["fit", "fit"], "a check holds for a minute");
    pass(Duration::from_secs(2)).await;
    endpoint.block(BlockSelector::Latest).await.unwrap();
    assert_eq!(kinds(&endpoint), ["wrong-chain", "fit"]);
    assert_eq!(endpoint.name(), second.url().authority());

    // The chain is remembered: when the sound one dies too, the other's chain doesn't become the chain.
    drop(second);
    let error = endpoint.block(BlockSelector::Latest).await.unwrap_err();
    assert!(matches!(error.kind(), "unreachable" | "none-fit"), "{error}");
    assert_eq!(kinds(&endpoint)[0], "wrong-chain");
}

#[tokio::test]
async fn inc_25_a_dead_endpoint_is_passed_over_and_taken_again_when_it_is_back() {
    let chain = TestChain::start().unwrap();
    let (first, dead) = mortal(&chain).await;
    let second = node(&chain.endpoint(), |_| Reply::Forward).await;
    let endpoint = several([first.url(), second.url()]);
    let asked =
        |node: &FaultyEndpoint| node.methods().iter().filter(|method| *method == "eth_gasPrice").count();
    let ask = async || endpoint.request::<_, String>("eth_gasPrice", ()).await.unwrap();
    ask().await;
    assert_eq!((asked(&first), asked(&second)), (1, 0), "the first is preferred");
    dead.store(true, Ordering::SeqCst);
    ask().await;
    assert_eq!((asked(&first), asked(&second)), (2, 1), "one attempt, then the next");
    assert_eq!(kinds(&endpoint), ["interrupted", "fit"]);
    ask().await;
    assert_eq!((asked(&first), asked(&second)), (2, 2), "it is left alone");
    dead.store(false, Ordering::SeqCst);
    ask().await;
    assert_eq!((asked(&first), asked(&second)), (2, 3), "until it is checked again");
    pass(Duration::from_secs(61)).await;
    ask().await;
    assert_eq!((asked(&first), asked(&second)), (3, 3));
    assert_eq!(kinds(&endpoint), ["fit", "fit"]);
}

#[tokio::test]
async fn inc_25_of_two_servers_one_that_has_been_silent_for_a_minute_is_waited_for_no_longer() {
    let chain = TestChain::start().unwrap();
    let (first, dead) = mortal(&chain).await;
    let second = node(&chain.endpoint(), |_| Reply::Forward).await;
    let panel = Panel::of(&several([first.url(), second.url()]), ANVIL);
    let mut decider = panel.decider(None);
    let mut decide = async || panel.decide(&mut decider, UnixTime(0)).await.map(|decision| decision.named_by);
    assert_eq!(decide().await.unwrap(), 2);
    dead.store(true, Ordering::SeqCst);
    assert!(decide().await.is_err(), "it has answered before");
    pass(Duration::from_secs(59)).await;
    assert!(decide().await.is_err());
    pass(Duration::from_secs(2)).await;
    assert_eq!(decide().await.unwrap(), 1);
    dead.store(false, Ordering::SeqCst);
    pass(Duration::from_secs(61)).await;
    assert_eq!(decide().await.unwrap(), 2);
}

#[tokio::test]
async fn inc_25_of_two_servers_one_is_not_silent_for_one_question_that_failed_a_minute_ago() {
    let chain = TestChain::start().unwrap();
    let (first, dead) = mortal(&chain).await;
    let second = node(&chain.endpoint(), |_| Reply::Forward).await;
    let panel = Panel::of(&several([first.url(), second.url()]), ANVIL);
    let name = async || panel.at_number(BlockNumber(0)).await.map(|named| named.named_by);
    assert_eq!(name().await.unwrap(), 2);
    dead.store(true, Ordering::SeqCst);
    assert!(name().await.is_err(), "asked twice");
    pass(Duration::from_secs(61)).await;
    assert_eq!(panel.events_assurance(), Assurance::Agreed, "both must still say the same");
    // With a second question it is.
    assert_eq!(name().await.unwrap(), 1);
    assert_eq!(panel.events_assurance(), Assurance::Word);
}

#[tokio::test]
async fn inc_25_every_way_to_die_leads_to_the_next_and_a_no_doesnt() {
    let world = World::start().await.unwrap();
    let url = world.chain.endpoint();
    let validator = world.validator;
    let limit = json!({ "code": -32005, "message": "daily request count exceeded, request rate limited" });
    let missing = json!({ "code": -32000, "message": "missing trie node" });
    for fault in [
        Reply::Cut,
        Reply::Status(401),
        Reply::Status(502),
        Reply::Body("<html>".to_owned()),
        Reply::Result(json!("0xz")),
        Reply::Error(limit),
        Reply::Error(missing),
    ] {
        let meet = {
            let fault = fault.clone();
            move |method: &str| if method == "eth_call" { fault.clone() } else { Reply::Forward }
        };
        let (first, second) = (node(&url, meet).await, node(&url, |_| Reply::Forward).await);
        let validator = ProposalValidator::new(several([first.url(), second.url()]), ANVIL, validator);
        let judgement = validator.validate(&heartbeat(), BlockSelector::Latest).await;
        assert_eq!(judgement.verdict, ContractVerdict::Valid, "{fault:?}");
    }
    let second = node(&url, |_| Reply::Forward).await;
    let validator = ProposalValidator::new(several([&url.parse().unwrap(), second.url()]), ANVIL, validator);
    let invalid = Case { subject: Subject::Heartbeat(HeartbeatProposal { message: vec![] }), ..heartbeat() };
    let judgement = validator.validate(&invalid, BlockSelector::Latest).await;
    assert!(matches!(judgement.verdict, ContractVerdict::Rejected(_)), "{judgement:?}");
    assert!(!second.methods().iter().any(|method| method == "eth_call"), "a revert is an answer");
}

#[tokio::test]
async fn inc_25_reads_pinned_to_a_block_go_on_at_an_endpoint_that_has_it() {
    let mut world = World::start().await.unwrap();
    let wallet = world.wallet(1).await.unwrap();
    world.reveal(&wallet, DepositSpec::default()).await.unwrap();
    let url = world.chain.endpoint();
    // The first dies after it has shown the block and the events. The second doesn't have that block yet, and would leave out without a
    // word what it doesn't have. The third has it.
    let left = Arc::new(AtomicUsize::new(usize::MAX));
    let meet = {
        let left = Arc::clone(&left);
        move |_: &str| match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
        {
            Ok(_) => Reply::Forward,
            Err(_) => Reply::Cut,
        }
    };
    let first = node(&url, meet).await;
    let direct = Endpoints::new(url.parse().unwrap()).unwrap();
    let head = direct.block(BlockSelector::Latest).await.unwrap().unwrap().number;
    let before = direct.block(BlockSelector::Number(head.saturating_sub(Blocks(1)))).await.unwrap().unwrap();
    let before = json!({
        "number": format!("{:#x}", before.number.0),
        "hash": before.hash,
        "timestamp": format!("{:#x}", before.timestamp.0),
    });
    let second = node(&url, move |method| match method {
        "eth_getBlockByNumber" => Reply::Result(before.clone()),
        "eth_getBlockByHash" => Reply::Result(json!(null)),
        "eth_getLogs" => Reply::Result(json!([])),
        "eth_call" => Reply::Error(json!({ "code": -32000, "message": "header not found" })),
        _ => Reply::Forward,
    })
    .await;
    let third = node(&url, |_| Reply::Forward).await;
    let endpoint = several([first.url(), second.url(), third.url()]);
    let block = endpoint.block(BlockSelector::Latest).await.unwrap().unwrap();

    let bridge = world.bridge.address();
    let events = EventReader::new(endpoint.clone(), EventLog::new(bridge, BlockNumber(0)), Blocks(96));
    let log = events.follow(block).await.unwrap();
    assert_eq!(log.reveals(wallet.key_hash()).count(), 1);
    assert!(!second.methods().contains(&"eth_getLogs".to_owned()), "{:?}", second.methods());
    left.store(0, Ordering::SeqCst);
    let reader = SnapshotReader::new(endpoint.clone(), ANVIL, bridge);
    let keys = SnapshotKeys { wallets: [wallet.key_hash()].into(), ..SnapshotKeys::default() };
    assert_eq!(reader.snapshot(block, &keys).await.unwrap().wallets.len(), 1);
    assert_eq!(kinds(&endpoint), ["interrupted", "fit", "fit"], "to lack a block is no illness");

    // Nobody has it.
    let endpoint = several([second.url()]);
    let events = EventReader::new(endpoint, EventLog::new(bridge, BlockNumber(0)), Blocks(96));
    let undecided = events.follow(block).await.unwrap_err();
    assert_eq!(undecided.kind(), "no-block", "{undecided}");
    assert!(undecided.is_retryable());
}

#[tokio::test]
async fn inc_25_an_endpoint_that_dies_between_any_two_requests_is_replaced() {
    let mut world = World::start().await.unwrap();
    let wallet = world.wallet(1).await.unwrap();
    world.reveal(&wallet, DepositSpec::default()).await.unwrap();
    let url = world.chain.endpoint();
    let bridge = world.bridge.address();
    let mut died = 0;
    for requests in 0.. {
        let left = AtomicUsize::new(requests);
        let meet = move |_: &str| match left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
        {
            Ok(_) => Reply::Forward,
            Err(_) => Reply::Cut,
        };
        let (first, second) = (node(&url, meet).await, node(&url, |_| Reply::Forward).await);
        let third = node(&url, |_| Reply::Forward).await;
        let endpoint = several([first.url(), second.url(), third.url()]);
        let block = endpoint.block(BlockSelector::Latest).await.unwrap().unwrap();
        let events = EventReader::new(endpoint.clone(), EventLog::new(bridge, BlockNumber(0)), Blocks(96));
        let log = events.follow(block).await.unwrap();
        assert_eq!(log.reveals(wallet.key_hash()).count(), 1, "{requests}");
        let reader = SnapshotReader::new(endpoint.clone(), ANVIL, bridge);
        reader.snapshot(block, &SnapshotKeys::default()).await.unwrap();
        if first.methods().len() <= requests {
            break;
        }
        died += 1;
    }
    assert_eq!(
        died, 7,
        "the check's two requests, the block, its name before the events and after, these, the snapshot"
    );
}

#[tokio::test]
async fn no_url_is_refused() {
    assert!(Endpoints::several([], Expected::default()).is_err());
}
