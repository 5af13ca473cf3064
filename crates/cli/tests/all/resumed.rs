//! What a node goes on with when it starts again: history from its journal, and from the chain where that can't be read. And what
//! it asks until it is answered.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bitcoin::Amount;
use coxswain_protocol::{Assignment, Entry, WindowResult};
use coxswain_rules::{Action, units::Blocks};
use coxswain_service::journal::Reader;
use coxswain_testkit::{DepositSpec, FaultyEndpoint, Funding, Reply, World};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    fleet::{
        Fleet, NETWORK, Plan,
        status::{asked, free, until},
    },
    support::coxswain,
};

/// How many blocks the server gives events of at once.
const WIDEST: u64 = 25;
/// How many blocks of history there are before anything is done.
const HISTORY: u64 = 1_000;

/// The ranges of blocks whose events were asked for, and given.
type Asked = Arc<Mutex<Vec<(u64, u64)>>>;

/// A server that gives few blocks' events at once, as many hosted ones do.
async fn narrow(world: &World) -> (FaultyEndpoint, Asked) {
    let asked = Asked::default();
    let record = Arc::clone(&asked);
    let meet = move |method: &str, params: &Value| {
        if method != "eth_getLogs" {
            return Reply::Forward;
        }
        let number = |name: &str| {
            let text = params[0][name].as_str().unwrap().trim_start_matches("0x");
            u64::from_str_radix(text, 16).unwrap()
        };
        let (first, last) = (number("fromBlock"), number("toBlock"));
        if last - first >= WIDEST {
            let message = format!("exceed maximum block range: {WIDEST}");
            return Reply::Error(json!({ "code": -32602, "message": message }));
        }
        record.lock().unwrap().push((first, last));
        Reply::Forward
    };
    (FaultyEndpoint::start_inspecting(world.chain.endpoint().parse().unwrap(), meet).await.unwrap(), asked)
}

/// Ends the node, and starts it again. Returns what it told before it ended.
async fn restart(fleet: &mut Fleet, meanwhile: impl AsyncFnOnce(&Fleet)) -> Vec<String> {
    let mut node = fleet.nodes.remove(&1).unwrap();
    node.terminate();
    assert_eq!(node.wait().code(), Some(0), "{:#?}", node.lines());
    meanwhile(fleet).await;
    fleet.run(1, &[("COXSWAIN_STATUS__OFF", "true")]);
    fleet.taken().await;
    node.lines()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_node_reads_history_on_from_its_journal_and_anew_where_that_is_damaged() {
    let mut world = World::start().await.unwrap();
    let wallet = world.wallet(1).await.unwrap();
    world.chain.mine(HISTORY).await.unwrap();
    // It has a main UTXO: one that has none looks for what spends its deposits, whatever is remembered of them.
    let deposit = world.reveal(&wallet, DepositSpec::default()).await.unwrap();
    world.sweep(&wallet, &[deposit], Amount::from_sat(10_000)).await.unwrap();
    world.reveal(&wallet, DepositSpec::default()).await.unwrap();
    let absent = world.reveal(&wallet, DepositSpec { funding: Funding::Absent, ..DepositSpec::default() });
    let absent = absent.await.unwrap().outpoint.txid;
    let (server, ranges) = narrow(&world).await;
    let mut plan = Plan::of(1);
    plan.ethereum.insert(1, vec![server.url().to_string()]);
    let mut fleet = Fleet::new(world, &[wallet.public_key().0], plan).await;
    fleet.run(1, &[("COXSWAIN_STATUS__OFF", "true")]);
    fleet.taken().await;

    // A window's sweep, and what was asked for it: the first blocks, and how many questions.
    let swept = async |fleet: &mut Fleet| {
        let key_hash = wallet.key_hash();
        let (_, results) = fleet.run_next(key_hash, |it| it.checklist.contains(Action::DepositSweep)).await;
        let action = results[&1].agreement.proposal().map(|proposal| proposal.action());
        assert_eq!(action, Some(Action::DepositSweep), "{results:#?}");
        let asked = std::mem::take(&mut *ranges.lock().unwrap());
        (asked.iter().map(|(first, _)| *first).min().unwrap(), asked.len())
    };
    // How often Bitcoin was asked for the deposit that it has not.
    let sought = |fleet: &Fleet| {
        let asked = fleet.bitcoin_asked();
        asked.iter().filter(|(_, params)| params[0] == json!(absent.to_string())).count()
    };
    let (first, anew) = swept(&mut fleet).await;
    assert_eq!(first, 0, "all of history");
    let before = sought(&fleet);
    assert!(before > 0, "{:?}", fleet.bitcoin_asked());
    assert!(anew as u64 > HISTORY / WIDEST, "{anew}");

    let read_on = |line: &String| line.contains("read on from the journal");
    restart(&mut fleet, async |_| ()).await;
    let from_there = fleet.height.saturating_sub(2 * 96);
    let (first, resumed) = swept(&mut fleet).await;
    assert!(first >= from_there, "{first}: settled blocks are not read again");
    assert!(resumed * 4 < anew, "{resumed} of {anew}");
    assert_eq!(sought(&fleet), before, "it is remembered as absent");
    assert_eq!(fleet.nodes[&1].lines().iter().filter(|line| read_on(line)).count(), 1);
    let summary =
        format!("a window's events: {anew} requests without the journal, {resumed} after a restart with it");

    // One byte is another: the row is named, and the events are read anew.
    let journal = fleet.journal(1).display().to_string();
    let row = |topic: &str| -> i64 {
        let connection = rusqlite::Connection::open(&journal).unwrap();
        connection.query_row("SELECT id FROM facts WHERE topic = ?1", [topic], |row| row.get(0)).unwrap()
    };
    let (events, memory) = (row("events"), row("memory"));
    restart(&mut fleet, async |_| {
        let connection = rusqlite::Connection::open(&journal).unwrap();
        let body: String =
            connection.query_row("SELECT body FROM facts WHERE id = ?1", [events], |row| row.get(0)).unwrap();
        println!("{} bytes of events are kept", body.len());
        // A reveal less is the kind of change that would matter.
        let changed = body.replacen("\"reveals\"", "\"revealz\"", 1);
        assert_ne!(changed, body);
        connection.execute("UPDATE facts SET body = ?1 WHERE id = ?2", (changed, events)).unwrap();
        drop(connection);
        let run = coxswain(&["history", "--journal", &journal, "--verify", "--json"], "").await;
        assert_eq!(run.code, 1, "{run:?}");
        let broken = &run.json()["broken"];
        assert_eq!((&broken["table"], &broken["row"]), (&json!("facts"), &json!(events)), "{broken}");
    })
    .await;
    let told = fleet.nodes[&1].lines();
    assert!(told.iter().any(|line| line.contains("damaged") && line.contains("\"events\"")), "{told:#?}");
    assert!(!told.iter().any(read_on));
    let (first, again) = swept(&mut fleet).await;
    assert_eq!(first, 0, "all of history");
    assert!(sought(&fleet) > before, "with the events the memory is gone");
    assert!(again >= anew, "{again} of {anew}");
    assert_ne!(events, memory);

    // It is written whole again, and the next start goes on with it.
    restart(&mut fleet, async |_| {
        let run = coxswain(&["history", "--journal", &journal, "--verify"], "").await;
        assert_eq!(run.code, 0, "{run:?}");
    })
    .await;
    assert!(fleet.nodes[&1].lines().iter().any(read_on));
    println!("{summary}; {again} after its row was damaged");
    fleet.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn inc_38_a_wallets_entry_that_can_not_be_read_is_named_and_the_other_wallets_go_on() {
    let mut world = World::start().await.unwrap();
    let (sound, broken) = (world.wallet(1).await.unwrap(), world.wallet(2).await.unwrap());
    for wallet in [&sound, &broken] {
        world.reveal(wallet, DepositSpec::default()).await.unwrap();
    }
    let keys = [sound.public_key().0, broken.public_key().0];
    let mut fleet = Fleet::new(world, &keys, Plan::of(1)).await;
    let at = free();
    let listen = at.to_string();
    fleet.run(1, &[("COXSWAIN_STATUS__LISTEN", &listen)]);
    fleet.taken().await;
    let (first, _) =
        fleet.run_next(broken.key_hash(), |it| it.checklist.contains(Action::DepositSweep)).await;
    fleet.nodes.remove(&1).unwrap().kill();

    // What it has sent in that window, and how that ended.
    let connection = rusqlite::Connection::open(fleet.journal(1)).unwrap();
    let damage = "UPDATE entries SET body = replace(body, '0', '1') WHERE wallet = ?1";
    assert!(connection.execute(damage, [&broken.key_hash().0[..]]).unwrap() >= 2);
    drop(connection);
    let journal = fleet.journal(1).display().to_string();
    let run = coxswain(&["history", "--journal", &journal, "--verify", "--json"], "").await;
    assert_eq!((run.code, &run.json()["broken"]["table"]), (1, &json!("entries")), "{run:?}");

    fleet.run(1, &[("COXSWAIN_STATUS__LISTEN", &listen)]);
    fleet.taken().await;
    let health = until(at, 503, &[("journal_rows", "failed")]).await;
    let failed: Vec<_> = health["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["name"] == "journal_rows" && entry["state"] == "failed")
        .map(|entry| entry["subject"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(failed, [broken.key_hash().to_string()]);
    let (_, metrics) = asked(at, "/metrics").await.unwrap();
    let line = "coxswain_health_entries{entry=\"journal_rows\",state=\"failed\"} 1";
    assert!(metrics.lines().any(|other| other == line), "{metrics}");
    // The other wallet proposes its sweep. This one says nothing in the first window, in which what can't be read may have been
    // said, and proposes in the next.
    let sweeps = |it: &Assignment| it.checklist.contains(Action::DepositSweep);
    let action = |result: &WindowResult| result.agreement.proposal().map(|proposal| proposal.action());
    let mut wanted = None;
    for _ in 0..2 {
        let (window, results) = fleet.run_next(sound.key_hash(), sweeps).await;
        assert!(window.index() > first.index());
        assert_eq!(action(&results[&1]), Some(Action::DepositSweep), "{results:#?}");
        let recorded = |fleet: &Fleet| {
            let reader = Reader::open(&fleet.journal(1)).unwrap();
            let readable = reader.newest(broken.key_hash(), 100).unwrap().into_iter().flatten();
            let mut results = readable.filter_map(|entry| match entry {
                Entry::Result(result) if result.window == window => Some(result),
                Entry::Result(_) | Entry::Sent(_) => None,
            });
            results.any(|result| action(&result) == wanted)
        };
        fleet.until(&format!("{wanted:?} is not the named wallet's result"), recorded).await;
        wanted = Some(Action::DepositSweep);
    }
    fleet.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn inc_39_whether_a_wallet_is_closed_is_asked_until_it_is_answered() {
    let world = World::start().await.unwrap();
    let (stays, goes) = (world.wallet(1).await.unwrap(), world.wallet(2).await.unwrap());
    let is_lost = Arc::new(AtomicBool::new(false));
    let lost = Arc::clone(&is_lost);
    let questions = Arc::new(Mutex::new(0_u32));
    let count = Arc::clone(&questions);
    // What is asked of the Bridge is heard, and the answer never comes back.
    let meet = move |method: &str| match method {
        "eth_call" | "eth_getProof" if lost.load(Ordering::SeqCst) => {
            *count.lock().unwrap() += 1;
            Reply::Cut
        }
        _ => Reply::Forward,
    };
    let server = FaultyEndpoint::start(world.chain.endpoint().parse().unwrap(), meet).await.unwrap();
    let mut plan = Plan::of(1);
    plan.ethereum.insert(1, vec![server.url().to_string()]);
    let mut fleet = Fleet::new(world, &[stays.public_key().0, goes.public_key().0], plan).await;
    let at = free();
    fleet.run(1, &[("COXSWAIN_STATUS__LISTEN", &at.to_string())]);
    fleet.taken().await;
    let is_gone = |health: &Value| {
        health["entries"].as_array().unwrap().iter().any(|entry| entry["name"] == "wallet_gone")
    };
    let health = async || -> Value { serde_json::from_str(&asked(at, "/health").await.unwrap().1).unwrap() };

    // It is closed, and by the next window that is final: but all answers about it are lost.
    fleet.world.close(&goes).await.unwrap();
    fleet.catch_up().await;
    fleet.rest().await;
    is_lost.store(true, Ordering::SeqCst);
    let window = fleet.next();
    fleet.mine_to(window.block().saturating_add(Blocks(40))).await;
    fleet.until("nothing is asked", |_| *questions.lock().unwrap() >= 3).await;
    assert!(!is_gone(&health().await), "on no answer nothing is dropped");
    // The question is still open when the server answers again, in the same window, with no event in between.
    is_lost.store(false, Ordering::SeqCst);
    for _ in 0..15 {
        fleet.mine(1).await;
        // A server that has just failed rests for a moment.
        sleep(Duration::from_millis(500)).await;
        if is_gone(&health().await) {
            break;
        }
    }
    assert_eq!(fleet.height / NETWORK.frequency.0, window.index(), "it is the same window");
    let health_now = until(at, 200, &[("wallet_gone", "warning")]).await;
    let entries = health_now["entries"].as_array().unwrap();
    let gone = entries.iter().find(|entry| entry["name"] == "wallet_gone").unwrap();
    assert_eq!(gone["subject"], goes.key_hash().to_string());
    // Once is enough: it is coordinated no more, and said once.
    fleet.rest().await;
    let next = fleet.next();
    fleet.mine(1).await;
    fleet.mine_to(next.end()).await;
    let has_result = |fleet: &Fleet, wallet| fleet.nodes[&1].result(wallet, next.index()).is_some();
    fleet.until("the other wallet goes on", |fleet| has_result(fleet, stays.key_hash())).await;
    assert!(!has_result(&fleet, goes.key_hash()));
    let said = |line: &String| line.contains("coordinated no more");
    assert_eq!(fleet.nodes[&1].lines().iter().filter(|line| said(line)).count(), 1);
    fleet.stop();
}
