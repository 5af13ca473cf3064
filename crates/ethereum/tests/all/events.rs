//! The Bridge's events: as the real Bridge emits them, through endpoints that limit ranges, fail in the middle, or answer
//! with what was not asked for.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

mod kept;
mod reaching_back;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use alloy::{
    primitives::{B256, hex},
    rpc::types::{Filter, Log},
};
use coxswain_ethereum::{
    Block, BlockSelector, BridgeEvent, ChainError, Endpoints, EventLog, EventReader, Extent, Position,
};
use coxswain_rules::{
    Action, Amount, KeyHash, RevealedDeposit,
    units::{BlockNumber, Blocks},
};
use coxswain_testkit::{DepositSpec, FaultyEndpoint, Reply, Scene, World};
use serde_json::{Value, json};

async fn head(endpoint: &Endpoints) -> Block {
    endpoint.block(BlockSelector::Latest).await.unwrap().unwrap()
}

fn endpoint(world: &World) -> Endpoints {
    Endpoints::new(world.chain.url()).unwrap()
}

fn through(node: &FaultyEndpoint) -> Endpoints {
    Endpoints::new(node.url().clone()).unwrap()
}

/// How deep a block is when it doesn't change any more.
const FINAL_DEPTH: u64 = 96;

/// A reader that has read nothing yet and wants every event from this block on.
fn reader(endpoint: Endpoints, world: &World, from_block: u64) -> EventReader {
    EventReader::new(
        endpoint,
        EventLog::new(world.bridge.address(), BlockNumber(from_block)),
        Blocks(FINAL_DEPTH),
    )
}

async fn read(endpoint: &Endpoints, world: &World) -> Arc<EventLog> {
    reader(endpoint.clone(), world, 0).follow(head(endpoint).await).await.unwrap()
}

/// What was read, whatever it took.
type Read<'a> = (Vec<String>, Vec<String>, String);

fn contents(events: &EventLog, wallets: &[KeyHash]) -> Read<'static> {
    let reveals = wallets.iter().flat_map(|&wallet| events.reveals(wallet).map(|event| format!("{event:?}")));
    let requests =
        wallets.iter().flat_map(|&wallet| events.requests(wallet).map(|event| format!("{event:?}")));
    let transactions: Vec<_> = wallets.iter().flat_map(|&wallet| events.transactions(wallet)).collect();
    let rest = format!(
        "{:?} {:?} {:?} {transactions:?}",
        events.commitments(),
        events.completed_moves(),
        events.new_wallets()
    );
    (reveals.collect(), requests.collect(), rest)
}

/// First and last block of a filter.
fn range(params: &Value) -> (u64, u64) {
    let number = |name: &str| {
        let text = params[0][name].as_str().unwrap().trim_start_matches("0x");
        u64::from_str_radix(text, 16).unwrap()
    };
    (number("fromBlock"), number("toBlock"))
}

/// The ranges asked for, and whether each was answered.
type Asked = Arc<Mutex<Vec<((u64, u64), bool)>>>;

/// An endpoint that answers for no more blocks at once than `most`, and otherwise with this error.
async fn limited(world: &World, most: u64, error: Value) -> (FaultyEndpoint, Asked) {
    let asked = Asked::default();
    let record = Arc::clone(&asked);
    let meet = move |method: &str, params: &Value| {
        if method != "eth_getLogs" {
            return Reply::Forward;
        }
        let (first, last) = range(params);
        let allowed = last - first < most;
        record.lock().unwrap().push(((first, last), allowed));
        if allowed { Reply::Forward } else { Reply::Error(error.clone()) }
    };
    let url = world.chain.url();
    (FaultyEndpoint::start_inspecting(url, meet).await.unwrap(), asked)
}

/// That the ranges answered cover these blocks, each once, in order.
fn assert_covered(asked: &Asked, first: u64, last: u64) {
    let asked = asked.lock().unwrap();
    let mut next = first;
    for ((first, last), answered) in asked.iter() {
        assert_eq!(*first, next, "{asked:?}");
        if *answered {
            next = last + 1;
        }
    }
    assert_eq!(next, last + 1, "{asked:?}");
}

#[tokio::test]
async fn events_are_those_that_the_bridge_emitted() {
    let mut scene = Scene::set(|_| ()).await.unwrap();
    let sweep = scene.case(Action::MovedFundsSweep).unwrap().subject;
    let redemption = scene.case(Action::Redemption).unwrap().subject;
    let working = scene.working.clone();
    let swept = scene.world.carry_out(&working, &sweep).await.unwrap().unwrap().compute_txid();
    let redeemed = scene.world.carry_out(&working, &redemption).await.unwrap().unwrap().compute_txid();
    let Scene { world, retiring, retired, deposits, unspendable, requests, young_request, moved, .. } =
        &scene;
    let endpoint = endpoint(world);
    let head = head(&endpoint).await;
    let node = FaultyEndpoint::start(world.chain.url(), |_| Reply::Forward).await.unwrap();
    let events = read(&through(&node), world).await;
    let named = "eth_getBlockByNumber";
    // The newest block, that it is named before the answer, and after it.
    assert_eq!(node.methods(), [named, named, "eth_getLogs", named], "one request reads all");

    // Of the working wallet: its first deposit, which is swept, then those of the scene.
    let reveals: Vec<_> = events.reveals(working.key_hash()).collect();
    let revealed = deposits.iter().chain([unspendable]);
    assert_eq!(reveals.len(), 1 + deposits.len() + 1);
    for (event, deposit) in reveals[1..].iter().zip(revealed) {
        assert_eq!(event.outpoint, deposit.outpoint);
        assert_eq!(event.at.block, deposit.reveal_block);
        let bridge = world.bridge.address();
        let one = endpoint.reveals(bridge, &[deposit.revealed()], head).await.unwrap();
        assert_eq!([Some(event.revealed)], *one);
        assert_eq!(events.reveal(deposit.revealed()), Some(event.revealed));
        assert_eq!(event.revealed.blinding_factor, deposit.extra_info.blinding_factor);
        assert_eq!(event.revealed.refund_locktime, deposit.extra_info.refund_locktime);
    }
    // In another block there is none, before or after.
    let elsewhere = [-1, 1].map(|blocks| {
        let reveal_block = BlockNumber(unspendable.reveal_block.0.saturating_add_signed(blocks));
        RevealedDeposit { reveal_block, ..unspendable.revealed() }
    });
    assert_eq!(elsewhere.map(|deposit| events.reveal(deposit)), [None, None]);
    assert_eq!(endpoint.reveals(world.bridge.address(), &elsewhere, head).await.unwrap(), [None, None]);
    assert_eq!(events.reveals(retired.key_hash()).count(), 1);
    assert_eq!(events.reveals(KeyHash([9; 20])).count(), 0);

    let read: Vec<_> = events
        .requests(working.key_hash())
        .map(|event| (event.script.clone(), event.requested_amount, event.at.block))
        .collect();
    let made: Vec<_> = requests
        .iter()
        .chain([young_request])
        .map(|request| (request.script.clone(), request.requested_amount, request.request_block))
        .collect();
    assert_eq!(read, made);

    let commitments: Vec<_> =
        events.commitments().iter().map(|event| (event.source, event.targets.clone())).collect();
    let target = vec![working.key_hash()];
    assert_eq!(commitments, [(retiring.key_hash(), target.clone()), (retired.key_hash(), target)]);
    let moves: Vec<_> = events.completed_moves().iter().map(|event| (event.source, event.txid)).collect();
    assert_eq!(moves, [(retired.key_hash(), moved.txid)]);
    let wallets: Vec<_> =
        events.new_wallets().iter().map(|event| (event.ecdsa_wallet_id, event.wallet)).collect();
    assert_eq!(wallets, [&working, retiring, retired].map(|wallet| (wallet.id(), wallet.key_hash())));

    let transactions: Vec<_> = events.transactions(working.key_hash()).map(|event| event.txid).collect();
    assert_eq!(transactions.len(), 3, "the first sweep, the moved funds' sweep and the redemption");
    assert_eq!(transactions[1..], [swept, redeemed]);
    assert_eq!(events.transactions(retired.key_hash()).count(), 1, "a move leaves no main UTXO");
    let places: Vec<_> = events.transactions(working.key_hash()).map(|event| event.at).collect();
    assert!(places.is_sorted(), "{places:?}");
}

/// A world with events all over 200 blocks.
async fn spread() -> (World, Vec<KeyHash>) {
    let mut world = World::start().await.unwrap();
    let wallets = [world.wallet(1).await.unwrap(), world.wallet(2).await.unwrap()];
    for wallet in &wallets {
        for _ in 0..2 {
            let deposit = world.reveal(wallet, DepositSpec::default()).await.unwrap();
            world.chain.mine(40).await.unwrap();
            world.sweep(wallet, &[deposit], Amount::from_sat(1000)).await.unwrap();
        }
    }
    (world, wallets.map(|wallet| wallet.key_hash()).to_vec())
}

#[tokio::test]
async fn inc_30_ranges_are_split_to_what_the_endpoint_allows() {
    let (world, wallets) = spread().await;
    let whole = contents(&*read(&endpoint(&world), &world).await, &wallets);
    assert_eq!(whole.0.len(), 4);
    let last = head(&endpoint(&world)).await.number;
    for (most, error, refusals) in [
        // With the width allowed: one refusal, then never again.
        (50, json!({ "code": -32602, "message": "exceed maximum block range: 50" }), 1),
        (7, json!({ "code": -32614, "message": "eth_getLogs is limited to a 7 range" }), 1),
        (1, json!({ "code": -32600, "message": "block range too large, max range: 1" }), 1),
        // Without: by halves, and never again.
        (last.0 / 5, json!({ "code": -32600, "message": "block range is too wide" }), 3),
    ] {
        let (node, asked) = limited(&world, most, error).await;
        let events = read(&through(&node), &world).await;
        assert_eq!(contents(&events, &wallets), whole, "{most}");
        assert_covered(&asked, 0, last.0);
        let refused = asked.lock().unwrap().iter().filter(|(_, answered)| !answered).count();
        assert_eq!(refused, refusals, "{:?}", asked.lock().unwrap());
    }
}

#[tokio::test]
async fn inc_30_blocks_that_hold_too_much_are_read_in_smaller_parts_and_empty_ones_in_greater_again() {
    let (world, wallets) = spread().await;
    let whole = contents(&*read(&endpoint(&world), &world).await, &wallets);
    let last = head(&endpoint(&world)).await.number;
    // No more than one block with events at once.
    let filter = Filter::new().address(world.bridge.address()).from_block(0);
    let logs: Vec<Log> = world.chain.rpc().ask("eth_getLogs", (filter,)).await.unwrap();
    let places: Vec<u64> = logs.iter().map(|log| log.block_number.unwrap()).collect();
    let asked = Asked::default();
    let record = Arc::clone(&asked);
    let meet = move |method: &str, params: &Value| {
        if method != "eth_getLogs" {
            return Reply::Forward;
        }
        let (first, last) = range(params);
        let held = places.iter().filter(|place| (first..=last).contains(*place)).count();
        let allowed = held <= 2 || first == last;
        record.lock().unwrap().push(((first, last), allowed));
        let refusal = json!({ "code": -32005, "message": "query returned more than 10000 results" });
        if allowed { Reply::Forward } else { Reply::Error(refusal) }
    };
    let url = world.chain.url();
    let node = FaultyEndpoint::start_inspecting(url, meet).await.unwrap();
    assert_eq!(contents(&*read(&through(&node), &world).await, &wallets), whole);
    assert_covered(&asked, 0, last.0);
    let asked = asked.lock().unwrap();
    let widths: Vec<_> =
        asked.iter().filter(|asked| asked.1).map(|((first, last), _)| last - first).collect();
    assert!(widths.windows(2).any(|pair| pair[1] > pair[0]), "{widths:?}");
}

/// An endpoint that allows this many blocks at once, and fails to answer one request for them, counted from 0.
async fn failing_once(world: &World, most: u64, failing: usize) -> (FaultyEndpoint, Asked) {
    let asked = Asked::default();
    let (record, met) = (Arc::clone(&asked), AtomicUsize::new(0));
    let meet = move |method: &str, params: &Value| {
        if method != "eth_getLogs" {
            return Reply::Forward;
        }
        let (first, last) = range(params);
        if last - first >= most {
            let message = format!("exceed maximum block range: {most}");
            return Reply::Error(json!({ "code": -32602, "message": message }));
        }
        let answered = met.fetch_add(1, Ordering::SeqCst) != failing;
        record.lock().unwrap().push(((first, last), answered));
        if answered {
            Reply::Forward
        } else {
            Reply::Error(json!({ "code": -32000, "message": "no such luck" }))
        }
    };
    let url = world.chain.url();
    (FaultyEndpoint::start_inspecting(url, meet).await.unwrap(), asked)
}

#[tokio::test]
async fn inc_30_what_was_read_before_a_failure_is_not_read_again() {
    let (world, wallets) = spread().await;
    let whole = contents(&*read(&endpoint(&world), &world).await, &wallets);
    let block = head(&endpoint(&world)).await;
    // Ten blocks at once; the sixth request fails, once.
    let (node, asked) = failing_once(&world, 10, 5).await;
    let events = reader(through(&node), &world, 0);
    let undecided = events.follow(block).await.unwrap_err();
    assert_eq!(undecided.kind(), "rpc-error", "{undecided}");
    let log = events.follow(block).await.unwrap();
    assert_eq!(contents(&log, &wallets), whole);
    assert_covered(&asked, 0, block.number.0);
}

#[tokio::test]
async fn events_follow_the_chain_through_a_reorganisation() {
    let mut world = World::start().await.unwrap();
    let wallet = world.wallet(1).await.unwrap();
    let first = world.reveal(&wallet, DepositSpec::default()).await.unwrap();
    world.chain.mine(100).await.unwrap();
    let gone = world.reveal(&wallet, DepositSpec::default()).await.unwrap();
    let node = FaultyEndpoint::start(world.chain.url(), |_| Reply::Forward).await.unwrap();
    let through = through(&node);
    let at_gone = head(&through).await;
    let kept =
        |log: &EventLog| log.reveals(wallet.key_hash()).map(|event| event.outpoint).collect::<Vec<_>>();
    let asked = || node.methods().iter().filter(|method| *method == "eth_getLogs").count();

    let events = reader(through.clone(), &world, 0);
    let before = events.follow(at_gone).await.unwrap();
    assert_eq!((kept(&before), asked()), (vec![first.outpoint, gone.outpoint], 1));
    // A block that is final has been read.
    let early = through.block(BlockSelector::Number(BlockNumber(1))).await.unwrap().unwrap();
    events.follow(early).await.unwrap();
    assert_eq!(asked(), 1);
    // One that may still change is read, and the later events stay.
    let parent = through
        .block(BlockSelector::Number(at_gone.number.saturating_sub(Blocks(1))))
        .await
        .unwrap()
        .unwrap();
    let log = events.follow(parent).await.unwrap();
    assert_eq!((kept(&log), asked()), (vec![first.outpoint, gone.outpoint], 2));
    events.follow(parent).await.unwrap();
    events.follow(at_gone).await.unwrap();
    events.follow(parent).await.unwrap();
    assert_eq!(asked(), 3, "the parent stays known, as the newer block is read");

    // Another block in the place of the newest, without the reveal.
    world.chain.rpc().tell("anvil_rollback", (1,)).await.unwrap();
    world.chain.mine(1).await.unwrap();
    let log = events.follow(head(&through).await).await.unwrap();
    assert_eq!((kept(&log), asked()), (vec![first.outpoint], 4));
    assert_eq!(kept(&before), [first.outpoint, gone.outpoint], "who holds a log holds it as it was");
    let changes = log.changes_since(&before);
    let removed: Vec<_> = changes.removed.iter().map(|event| event.at().block).collect();
    assert_eq!((removed, changes.added), (vec![at_gone.number], vec![]));
}

#[tokio::test]
async fn for_a_new_block_the_last_96_are_read_anew_and_no_more() {
    let (world, wallets) = spread().await;
    let whole = contents(&*read(&endpoint(&world), &world).await, &wallets);
    let (node, asked) = limited(&world, u64::MAX, Value::Null).await;
    let events = reader(through(&node), &world, 0);
    let block = head(events.endpoints()).await;
    events.follow(block).await.unwrap();
    events.follow(block).await.unwrap();
    world.chain.mine(1).await.unwrap();
    let log = events.follow(head(events.endpoints()).await).await.unwrap();
    assert_eq!(contents(&log, &wallets), whole);
    let asked: Vec<_> = asked.lock().unwrap().iter().map(|asked| asked.0).collect();
    assert_eq!(asked, [(0, block.number.0), (block.number.0 - 95, block.number.0 + 1)]);
}

#[tokio::test]
async fn wallets_share_one_log_and_one_window_asks_once() {
    let (world, wallets) = spread().await;
    let whole = read(&endpoint(&world), &world).await;
    let (node, asked) = limited(&world, u64::MAX, Value::Null).await;
    let block = head(&endpoint(&world)).await;
    let events = reader(through(&node), &world, block.number.0);
    let all = (0..1000).map(|_| events.clone()).map(|events| async move { events.follow(block).await });
    for log in futures_util::future::join_all(all).await {
        assert_eq!(log.unwrap().extent().unsettled, block.number);
    }
    assert_eq!(asked.lock().unwrap().len(), 1);
    // Nor is anything searched for twice.
    let all = (0..1000)
        .map(|_| events.clone())
        .map(|events| async move { events.reach_back(BlockNumber(0), block).await });
    for log in futures_util::future::join_all(all).await {
        assert!(log.unwrap().transactions(wallets[0]).eq(whole.transactions(wallets[0])));
    }
    let all = (0..1000)
        .map(|_| events.clone())
        .map(|events| async move { events.extend_to(BlockNumber(0), block).await });
    for log in futures_util::future::join_all(all).await {
        assert_eq!(*log.unwrap(), *whole);
    }
    let asked: Vec<_> = asked.lock().unwrap().iter().map(|asked| asked.0).collect();
    assert_eq!(asked, [(block.number.0, block.number.0), (0, block.number.0 - 1), (0, block.number.0 - 1)]);
}

#[tokio::test]
async fn a_log_that_is_stored_goes_on_where_it_was() {
    let (world, _) = spread().await;
    let whole = read(&endpoint(&world), &world).await;
    let stored = serde_json::to_string(&*whole).unwrap();
    let restored: EventLog = serde_json::from_str(&stored).unwrap();
    assert_eq!(restored, *whole);
    world.chain.mine(1).await.unwrap();
    let (node, asked) = limited(&world, u64::MAX, Value::Null).await;
    let events = EventReader::new(through(&node), restored, Blocks(FINAL_DEPTH));
    let block = head(events.endpoints()).await;
    let log = events.follow(block).await.unwrap();
    assert_eq!(asked.lock().unwrap()[..], [((block.number.0 - 96, block.number.0), true)]);
    assert_eq!(log.events(), whole.events());
}

#[tokio::test]
async fn changes_make_one_log_of_another() {
    let (world, _) = spread().await;
    let whole = read(&endpoint(&world), &world).await;
    let block = head(&endpoint(&world)).await;
    let mut stored = EventLog::new(world.bridge.address(), block.number.saturating_sub(Blocks(50)));
    // As the log grows at both ends, each change set is stored as it comes.
    let events = EventReader::new(endpoint(&world), stored.clone(), Blocks(FINAL_DEPTH));
    let mut handled = events.log();
    for log in [
        events.follow(block).await.unwrap(),
        events.reach_back(BlockNumber(block.number.0 / 2), block).await.unwrap(),
        events.extend_to(BlockNumber(0), block).await.unwrap(),
    ] {
        let changes = log.changes_since(&handled);
        let read_back = serde_json::from_str(&serde_json::to_string(&changes).unwrap()).unwrap();
        assert_eq!(changes, read_back);
        stored.apply(&read_back);
        stored.apply(&read_back);
        assert_eq!(stored, *log, "twice means the same as once");
        handled = log;
    }
    assert_eq!(stored, *whole);
    let unsettled = block.number.saturating_sub(Blocks(95));
    let extent =
        Extent { from_block: BlockNumber(0), searched: BlockNumber(0), unsettled, told_by_one: None };
    assert_eq!(stored.extent(), extent);
    // And back again.
    let none = EventLog::new(world.bridge.address(), BlockNumber(0));
    stored.apply(&none.changes_since(&whole));
    assert_eq!(stored, none);
}

#[tokio::test]
async fn inc_39_an_event_seen_twice_shows_once_and_stays_open_until_it_is_dealt_with() {
    let (world, _) = spread().await;
    let whole = read(&endpoint(&world), &world).await;
    let block = head(&endpoint(&world)).await;
    // Ten blocks at once; the sixth request fails, once.
    let (node, _) = failing_once(&world, 10, 5).await;
    let events = reader(through(&node), &world, 0);
    let mut handled = events.log();
    let mut seen: Vec<BridgeEvent> = Vec::new();
    assert!(events.follow(block).await.is_err(), "the answer is lost");
    // What came before the failure is dealt with; what didn't is still to come.
    let log = events.log();
    seen.extend(log.changes_since(&handled).added);
    handled = log;
    assert!(!seen.is_empty() && seen.len() < whole.events().len());
    let log = events.follow(block).await.unwrap();
    // Whoever fails to deal with the events is shown them again, however often the same blocks are read.
    let open = log.changes_since(&handled).added;
    for _ in 0..2 {
        world.chain.mine(1).await.unwrap();
        let log = events.follow(head(&endpoint(&world)).await).await.unwrap();
        assert_eq!(log.changes_since(&handled).added, open);
    }
    seen.extend(open);
    assert_eq!(seen, whole.events(), "each once");
    let log = events.log();
    assert_eq!(events.follow(head(&endpoint(&world)).await).await.unwrap().changes_since(&log).added, []);
}

#[tokio::test]
async fn inc_28_logs_that_were_not_asked_for_are_left_out_and_those_that_cannot_be_read_are_named() {
    let mut world = World::start().await.unwrap();
    let wallet = world.wallet(1).await.unwrap();
    world.reveal(&wallet, DepositSpec::default()).await.unwrap();
    let block = head(&endpoint(&world)).await;
    let filter =
        Filter::new().address(world.bridge.address()).from_block(block.number.0).to_block(block.number.0);
    let logs: Vec<Log> = world.chain.rpc().ask("eth_getLogs", (filter,)).await.unwrap();
    let reveal = json!(logs[0]);
    let answered = async |logs: Vec<Value>| {
        let logs = json!(logs);
        let meet = move |method: &str| match method {
            "eth_getLogs" => Reply::Result(logs.clone()),
            _ => Reply::Forward,
        };
        let node = FaultyEndpoint::start(world.chain.url(), meet).await.unwrap();
        let log = reader(through(&node), &world, 0).follow(block).await?;
        Ok(log.reveals(wallet.key_hash()).count())
    };
    let with = |name: &str, value: Value| {
        let mut log = reveal.clone();
        log[name] = value;
        log
    };
    assert_eq!(answered(vec![reveal.clone()]).await, Ok(1));
    assert_eq!(answered(vec![reveal.clone(), reveal.clone()]).await, Ok(1), "each once");

    let number = |number: u64| json!(format!("{number:#x}"));
    let mut unknown = reveal["topics"].clone();
    unknown[0] = json!(B256::repeat_byte(1));
    for foreign in [
        with("address", json!("0x00000000000000000000000000000000000000ab")),
        with("removed", json!(true)),
        with("blockNumber", number(block.number.next().0)),
        with("blockNumber", Value::Null),
        with("topics", json!([])),
        with("topics", unknown),
    ] {
        assert_eq!(answered(vec![foreign.clone()]).await, Ok(0), "{foreign}");
        let mut later = reveal.clone();
        later["logIndex"] = json!("0x7");
        assert_eq!(answered(vec![later, foreign]).await, Ok(1));
    }

    let data = hex::decode(reveal["data"].as_str().unwrap()).unwrap();
    let changed = |change: fn(&mut Vec<u8>)| {
        let mut data = data.clone();
        change(&mut data);
        with("data", json!(hex::encode_prefixed(data)))
    };
    let too_few = json!(reveal["topics"].as_array().unwrap()[..2]);
    for unreadable in [
        changed(|data| data.clear()),
        changed(|data| data.truncate(data.len() - 1)),
        changed(|data| data.push(0)),
        changed(|data| data[32] = 1),
        with("topics", too_few),
        with("logIndex", Value::Null),
    ] {
        let undecided = answered(vec![unreadable.clone()]).await.unwrap_err();
        let ChainError::UnreadableEvent { at: Position { block: at, .. }, .. } = &undecided else {
            panic!("{undecided} for {unreadable}")
        };
        assert_eq!(*at, block.number);
        assert_eq!(undecided.kind(), "unreadable-event");
    }
    let twin = with("transactionHash", json!(B256::repeat_byte(1)));
    assert_eq!(answered(vec![reveal.clone(), twin]).await.unwrap_err().kind(), "unreadable-event");
    let fork = with("blockHash", json!(B256::repeat_byte(1)));
    let undecided = answered(vec![fork]).await.unwrap_err();
    assert_eq!(undecided.kind(), "no-block", "{undecided}");
    assert!(undecided.is_retryable());
    // What is no log at all.
    for garbage in [json!(1), json!({}), with("address", json!("0x1"))] {
        assert_eq!(answered(vec![garbage]).await.unwrap_err().kind(), "garbage");
    }
}
