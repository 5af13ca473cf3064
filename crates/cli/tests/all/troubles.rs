//! What goes wrong most often, on real processes: each trouble is one entry of `/health`, one metric, one line of the log, and stands in
//! `coxswain why`.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    time::{Duration, SystemTime},
};

use coxswain_node::actions::Milestone;
use coxswain_rules::{Action, KeyHash};
use coxswain_testkit::{DepositSpec, TestChain, World};
use serde_json::Value;

use crate::{
    fleet::{
        Fleet, Plan, operator,
        status::{asked, free, until},
        wire::Wire,
    },
    support::coxswain,
};

const HOUR: u64 = 3600;

/// What is wrong: the entry, of which, and its state.
type Trouble<'a> = (&'static str, Option<&'a str>, &'static str);

/// Checks that node 1 tells of it everywhere, and nowhere twice.
async fn is_told_once(fleet: &Fleet, at: SocketAddr, wallet: KeyHash, (name, subject, state): Trouble<'_>) {
    let is_it = |entry: &Value| entry["name"] == name && entry["state"] != "ok";
    let (_, health) = asked(at, "/health").await.unwrap();
    let health: Value = serde_json::from_str(&health).unwrap();
    let entries = health["entries"].as_array().unwrap().iter();
    let wrong: Vec<_> = entries.filter(|entry| is_it(entry)).collect();
    let [entry] = wrong[..] else { panic!("{name}: {wrong:#?}") };
    assert_eq!((entry["subject"].as_str(), entry["state"].as_str()), (subject, Some(state)), "{entry}");
    assert!(!entry["remedy"].as_str().unwrap().is_empty(), "{entry}");

    let (_, metrics) = asked(at, "/metrics").await.unwrap();
    let metric = format!("coxswain_health_entries{{entry=\"{name}\",state=\"{state}\"}}");
    assert!(metrics.lines().any(|line| line == format!("{metric} 1")), "{metric}: {metrics}");

    let lines: Vec<Value> =
        fleet.nodes[&1].lines().iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let level = if state == "failed" { "ERROR" } else { "WARN" };
    let of = subject.unwrap_or_default();
    let told =
        lines.iter().filter(|line| line["health"] == name && line["level"] == level && line["of"] == of);
    assert_eq!(told.count(), 1, "one line for one change: {name}: {lines:#?}");

    // The journal has it within a look.
    let (wallet, journal) = (wallet.to_string(), fleet.journal(1).display().to_string());
    let why = async || coxswain(&["why", &wallet, "--journal", &journal, "--json"], "").await.json();
    let recorded = |why: &Value| why["troubles"]["all"].as_array().is_some_and(|all| all.iter().any(is_it));
    let waiting = async {
        while !recorded(&why().await) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap_or_else(|_| panic!("{name}"));
    let text = coxswain(&["why", &wallet, "--journal", &journal], "").await.stdout;
    let of = subject.map(|subject| format!(" {subject}")).unwrap_or_default();
    let line = format!("{state}: {name}{of}, since ");
    // Long lines are wrapped for no one but a terminal.
    assert!(text.lines().any(|other| other.trim_start().starts_with(&line)), "{line}: {text}");

    // Where an operator reads of it.
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operating.md");
    let docs = fs::read_to_string(docs).unwrap();
    let row = format!("| `{name}` | `{metric}` | `{level} … health=\"{name}\"");
    assert!(docs.contains(&row), "docs/operating.md has no {row}");
}

#[tokio::test(flavor = "multi_thread")]
async fn inc_25_inc_29_inc_36_inc_38_inc_46_each_trouble_is_one_entry_one_metric_and_one_line() {
    tokio::join!(key_peers_transaction_and_server(), clock());
}

/// A key file that can't be read, no peers, a transaction that waits, and a server of three that is dead.
async fn key_peers_transaction_and_server() {
    let mut world = World::start().await.unwrap();
    let (sound, broken) = (world.wallet(1).await.unwrap(), world.wallet(2).await.unwrap());
    world.reveal(&sound, DepositSpec::default()).await.unwrap();
    let plan = Plan::of(2).played(2).signed(&[&sound, &broken]);
    let mut fleet = Fleet::new(world, &[sound.public_key().0, broken.public_key().0], plan).await;
    let file = fleet.folder.path().join("wallet1");
    fs::write(&file, "nonsense").unwrap();
    let mut wire = Wire::to(&fleet.electrum_url()).await;
    // One of three servers may die.
    let third = Wire::to(&fleet.electrum_url()).await;
    let bitcoin = format!("tcp://{} tcp://{} {}", wire.at, third.at, fleet.electrum_url());
    let at = free();
    fleet.run(1, &[("COXSWAIN_STATUS__LISTEN", &at.to_string()), ("COXSWAIN_BITCOIN__URLS", &bitcoin)]);
    fleet.taken().await;

    let wallet = sound.key_hash();
    let leads = |it: &coxswain_protocol::Assignment| {
        it.leader == operator(1) && it.checklist.contains(Action::DepositSweep)
    };
    let (window, _) = fleet.run_next(wallet, leads).await;
    let index = window.index();
    fleet.reach(wallet, index, |it| matches!(it, Milestone::InMempool { .. })).await;
    fleet.world.bitcoin.mine_empty(24).unwrap();
    fleet.reach(wallet, index, |it| matches!(it, Milestone::Stuck(_))).await;
    wire.cut().await;
    let server = wire.at.to_string();
    until(at, 503, &[("stuck_transaction", "warning"), ("bitcoin_endpoint", "warning")]).await;

    let (file, stuck) = (file.display().to_string(), wallet.to_string());
    for trouble in [
        ("key_share", Some(file.as_str()), "failed"),
        ("peers", None, "failed"),
        ("stuck_transaction", Some(stuck.as_str()), "warning"),
        ("bitcoin_endpoint", Some(server.as_str()), "warning"),
    ] {
        is_told_once(&fleet, at, wallet, trouble).await;
    }
    // With two of three servers Bitcoin is still there.
    until(at, 503, &[("bitcoin", "ok")]).await;
    fleet.stop();
}

/// This machine's clock is hours behind the blocks'. Only where blocks go by a clock is that to be told.
async fn clock() {
    const AGE: u64 = 24 * HOUR;
    let world = World::on(TestChain::start_as_mainnet(AGE).unwrap()).await.unwrap();
    let wallet = world.wallet(1).await.unwrap();
    let bridge = world.bridge.address().to_string();
    let mut fleet = Fleet::new(world, &[wallet.public_key().0], Plan::of(1)).await;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let behind = now - fleet.world.chain.now().await.unwrap();
    fleet.world.chain.advance(behind).await.unwrap();
    let at = free();
    fleet.run(
        1,
        &[
            ("COXSWAIN_STATUS__LISTEN", &at.to_string()),
            ("COXSWAIN_ETHEREUM__NETWORK", "mainnet"),
            ("COXSWAIN_ETHEREUM__BRIDGE", &bridge),
            ("COXSWAIN_BITCOIN__NETWORK", "regtest"),
        ],
    );
    until(at, 200, &[("clock", "ok"), ("ethereum", "ok")]).await;
    fleet.world.chain.advance(5 * HOUR).await.unwrap();
    until(at, 503, &[("clock", "failed")]).await;
    is_told_once(&fleet, at, wallet.key_hash(), ("clock", None, "failed")).await;
    fleet.stop();
}
