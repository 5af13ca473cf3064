//! How a node says that it is, and what its journal tells: by real processes, while they run.

use std::process::Command;

use coxswain_node::inquiry::HeardIn;
use coxswain_rules::{KeyHash, units::Blocks};
use coxswain_service::journal::Reader;
use coxswain_testkit::{DepositSpec, World, write_private};
use serde_json::Value;

use crate::{
    fleet::{
        Fleet, Plan, keystore, operator,
        status::{asked, free, until},
        wire::Wire,
    },
    support::coxswain,
};

#[tokio::test(flavor = "multi_thread")]
async fn inc_25_inc_29_health_turns_red_and_green_and_the_journal_tells_why() {
    let mut world = World::start().await.unwrap();
    let wallet = world.funded_wallet(1).await.unwrap();
    world.reveal(&wallet, DepositSpec::default()).await.unwrap();
    let mut plan = Plan::of(2);
    let mut wires = Vec::new();
    for _ in 0..2 {
        wires.push(Wire::to(&world.chain.endpoint()).await);
    }
    plan.ethereum.insert(1, wires.iter().map(|wire| format!("http://{}", wire.at)).collect());
    let mut fleet = Fleet::new(world, &[wallet.public_key().0], plan).await;
    let mut electrum = Wire::to(&fleet.electrum_url()).await;
    let at = free();
    let (listen, bitcoin) = (at.to_string(), format!("tcp://{}", electrum.at));
    fleet.run(1, &[("COXSWAIN_STATUS__LISTEN", &listen), ("COXSWAIN_BITCOIN__URLS", &bitcoin)]);

    // Alone it can't do its work, and says so.
    until(at, 503, &[("ethereum", "ok"), ("bitcoin", "ok"), ("peers", "failed")]).await;
    fleet.run(2, &[("COXSWAIN_STATUS__OFF", "true")]);
    until(at, 200, &[("ethereum", "ok"), ("bitcoin", "ok"), ("peers", "ok")]).await;
    let (_, metrics) = asked(at, "/metrics").await.unwrap();
    for line in [
        "connected_peers_count 1",
        "connected_bootstrap_count 1",
        "connected_wellknown_peers_count 1",
        "eth_connectivity 1",
        "btc_connectivity 1",
        "performance_rpc_eth_healthy 1",
        "tbtc_pre_params_count 0",
        "coxswain_wallets 1",
        "coxswain_health_entries{entry=\"peers\",state=\"failed\"} 0",
    ] {
        assert!(metrics.lines().any(|other| other == line), "{line}: {metrics}");
    }
    assert!(metrics.contains("client_info{version=\""), "{metrics}");
    let (_, diagnostics) = asked(at, "/diagnostics").await.unwrap();
    let diagnostics: Value = serde_json::from_str(&diagnostics).unwrap();
    let address = |number| operator(number).to_string().to_lowercase();
    assert_eq!(diagnostics["client_info"]["chain_address"], address(1));
    assert_eq!(diagnostics["connected_peers"][0]["chain_address"], address(2));
    assert_eq!(diagnostics["coordination_windows"], serde_json::json!([]), "none has ended yet");

    // One of two servers dies: the other is used, and health says so.
    wires[0].cut().await;
    until(at, 200, &[("ethereum", "ok"), ("ethereum_endpoint", "warning")]).await;
    // Without any, no window opens.
    wires[1].cut().await;
    let health = until(at, 503, &[("ethereum", "failed")]).await;
    let entry =
        health["entries"].as_array().unwrap().iter().find(|entry| entry["name"] == "ethereum").unwrap();
    assert!(!entry["remedy"].as_str().unwrap().is_empty(), "{entry}");
    let (_, metrics) = asked(at, "/metrics").await.unwrap();
    assert!(metrics.lines().any(|line| line == "eth_connectivity 0"), "it can fail: {metrics}");
    wires[0].mend().await;
    wires[1].mend().await;
    until(at, 200, &[("ethereum", "ok"), ("ethereum_endpoint", "ok")]).await;
    electrum.cut().await;
    until(at, 503, &[("bitcoin", "failed")]).await;
    // What the journal alone tells goes the same way, as of when it was written.
    let troubles = async |wanted: bool| {
        let (journal, wallet) = (fleet.journal(1).display().to_string(), wallet.key_hash().to_string());
        let of_bitcoin = |why: &Value| {
            let all = why["troubles"]["all"].as_array().map(Vec::as_slice).unwrap_or_default();
            let named = |name: &str| all.iter().any(|it| it["name"] == name);
            [named("bitcoin"), named("bitcoin_endpoint")]
        };
        let told = async {
            while of_bitcoin(&coxswain(&["why", &wallet, "--journal", &journal, "--json"], "").await.json())
                != [wanted; 2]
            {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(crate::fleet::PATIENCE, told).await.unwrap();
    };
    troubles(true).await;
    electrum.mend().await;
    until(at, 200, &[("bitcoin", "ok")]).await;
    troubles(false).await;
    let told = fleet.nodes[&1].lines();
    let reds =
        told.iter().filter(|line| line.contains("\"health\":\"bitcoin\"") && line.contains("ERROR")).count();
    assert_eq!(reds, 1, "one line for one change: {told:#?}");

    // A window, and what the journal tells of it while the node runs.
    let key_hash = wallet.key_hash();
    fleet.taken().await;
    fleet.rest().await;
    let window = fleet.next();
    fleet.mine(1).await;
    fleet.has_spoken(key_hash, window).await;
    fleet.mine_to(window.end()).await;
    fleet.results(key_hash, window).await;
    fleet.rest().await;
    fleet.mine(1).await;
    told_by_the_journal(&fleet, key_hash, window.index()).await;
    let (_, diagnostics) = asked(at, "/diagnostics").await.unwrap();
    let diagnostics: Value = serde_json::from_str(&diagnostics).unwrap();
    let summary = &diagnostics["coordination_windows"][0];
    assert_eq!(summary["window_index"], window.index(), "{summary:#}");
    assert_eq!(summary["coordination_block"], window.block().0, "{summary:#}");
    assert_eq!((&summary["wallets_coordinated"], &summary["wallets_successful"]), (&1.into(), &1.into()));
    assert_eq!((&summary["wallets_failed"], &summary["total_faults"]), (&0.into(), &0.into()));
    let (_, metrics) = asked(at, "/metrics").await.unwrap();
    // Nobody signs here.
    for line in [
        "performance_wallet_action_deposit_sweep_total 0",
        "performance_wallet_action_deposit_sweep_failed_total 0",
        "performance_wallet_action_success_total 0",
        "performance_wallet_dispatcher_rejected_total 0",
    ] {
        assert!(metrics.lines().any(|other| other == line), "{line}: {metrics}");
    }

    // The other one goes: nobody is left.
    fleet.nodes[&2].terminate();
    until(at, 503, &[("peers", "failed")]).await;
    fleet.stop();
}

async fn told_by_the_journal(fleet: &Fleet, key_hash: KeyHash, window: u64) {
    let journal = fleet.journal(1).display().to_string();
    let wallet = key_hash.to_string();
    let config = fleet.config(1).display().to_string();
    let run = coxswain(&["history", "--config", &config, "--json"], "").await;
    assert_eq!(run.code, 0, "{run:?}");
    let history = run.json();
    let newest = &history["wallets"][0]["windows"][0];
    assert_eq!((&newest["window"], &newest["outcome"]), (&window.into(), &"action".into()), "{history:#}");
    let run = coxswain(&["faults", "--journal", &journal, "--json"], "").await;
    assert_eq!((run.code, run.json()["faults"].as_array().unwrap().len()), (0, 0));
    let run = coxswain(&["history", "--journal", &journal, "--verify", "--json"], "").await;
    assert_eq!((run.code, &run.json()["holds"]), (0, &true.into()), "{run:?}");

    // The verdict is judged again, from what it rests on.
    let number = window.to_string();
    let run = coxswain(&["replay", "--wallet", &wallet, &number, "--journal", &journal, "--json"], "").await;
    assert_eq!(run.code, 0, "{run:?}");
    let replay = run.json();
    assert_eq!((&replay["same"], &replay["recorded"]), (&true.into(), &"valid".into()), "{replay:#}");
    let run = coxswain(&["replay", "--wallet", &wallet, "2999", "--journal", &journal], "").await;
    assert_eq!(run.code, 3, "{run:?}");

    // Who was heard is recorded when the next window begins.
    let heard = |fleet: &Fleet| {
        let reader = Reader::open(&fleet.journal(1)).unwrap();
        let facts = reader.facts("heard", Some(key_hash.0)).unwrap();
        facts.iter().any(|fact| !serde_json::from_str::<HeardIn>(fact).unwrap().operators.is_empty())
    };
    fleet.until("nobody who was heard is recorded", heard).await;
    let run = coxswain(&["why", &wallet, "--journal", &journal, "--json"], "").await;
    assert_eq!(run.code, 0, "{run:?}");
    let why = run.json();
    assert_eq!(why["heard"], serde_json::json!([operator(2).to_string()]), "{why:#}");
    assert_eq!(why["observing"], false);
    assert!(why["says"].as_str().unwrap().contains(&format!("window {window}")), "{why:#}");
    let run =
        coxswain(&["why", "0x0101010101010101010101010101010101010101", "--journal", &journal], "").await;
    assert_eq!(run.code, 1, "{run:?}");
    let run = coxswain(&["why", &wallet, "--journal", &format!("{journal}.none")], "").await;
    assert_eq!(run.code, 3, "{run:?}");

    // A row that was changed is named.
    let copy = fleet.folder.path().join("changed.db");
    let backup = format!("VACUUM INTO '{}'", copy.display());
    let change = "UPDATE entries SET body = replace(body, '0', '1') WHERE id = 1";
    for (file, statement) in [(fleet.journal(1), backup.as_str()), (copy.clone(), change)] {
        let connection = rusqlite::Connection::open(file).unwrap();
        connection.execute_batch(statement).unwrap();
    }
    let connection = rusqlite::Connection::open(&copy).unwrap();
    let kept: i64 = connection.query_row("SELECT count(*) FROM snapshots", [], |row| row.get(0)).unwrap();
    assert!(kept > 0, "what the verdict rests on is kept");
    drop(connection);
    let copy = copy.display().to_string();
    let run = coxswain(&["history", "--journal", &copy, "--verify", "--json"], "").await;
    assert_eq!(run.code, 1, "{run:?}");
    assert_eq!(run.json()["broken"]["table"], "entries");
    // Whether it told of a fault, nobody can say.
    let run = coxswain(&["faults", "--journal", &copy, "--json"], "").await;
    let faults = run.json();
    assert_eq!((run.code, &faults["faults"], &faults["damaged"]), (3, &serde_json::json!([]), &1.into()));
    let run = coxswain(&["faults", "--journal", &copy], "").await;
    assert!(run.stdout.contains("1 can't be read"), "{run:?}");
}

#[test]
fn inc_46_a_port_that_was_asked_for_and_is_taken_keeps_the_node_from_starting() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_private(&path("key"), keystore([1; 32]).to_string()).unwrap();
    write_private(&path("password"), "correct horse").unwrap();
    let text = format!(
        "[ethereum]\nurls = [\"http://127.0.0.1:1\"]\nkeystore = {:?}\npassword_file = {:?}\n\
         [bitcoin]\nurls = [\"tcp://127.0.0.1:1\"]\n[journal]\npath = {:?}\n[status]\nlisten = \"{}\"\n",
        path("key"),
        path("password"),
        path("journal.db"),
        holder.local_addr().unwrap(),
    );
    std::fs::write(path("node.toml"), text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_coxswain"))
        .args(["start", "--config"])
        .arg(path("node.toml"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("status.listen"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn inc_26_inc_39_a_closed_wallet_is_dropped_once_that_is_final() {
    let world = World::start().await.unwrap();
    let (stays, goes) = (world.wallet(1).await.unwrap(), world.wallet(2).await.unwrap());
    let plan = Plan::of(2).played(2);
    let mut fleet = Fleet::new(world, &[stays.public_key().0, goes.public_key().0], plan).await;
    let at = free();
    fleet.run(1, &[("COXSWAIN_STATUS__LISTEN", &at.to_string())]);
    fleet.taken().await;
    // Closed as a window begins: that is not final yet, and nothing is dropped.
    let window = fleet.next();
    fleet.world.close(&goes).await.unwrap();
    fleet.catch_up().await;
    assert!(fleet.height < window.block().saturating_add(Blocks(10)).0, "{}", fleet.height);
    fleet.mine_to(window.end()).await;
    let index = window.index();
    let results = |fleet: &Fleet, index: u64| {
        [&stays, &goes].map(|wallet| fleet.nodes[&1].result(wallet.key_hash(), index).is_some())
    };
    fleet.until("both wallets are coordinated", |fleet| results(fleet, index) == [true, true]).await;
    // In the next it is.
    fleet.rest().await;
    let window = fleet.next();
    fleet.mine(1).await;
    until(at, 503, &[("wallet_gone", "warning")]).await;
    fleet.mine_to(window.end()).await;
    let index = window.index();
    fleet.until("the other wallet goes on", |fleet| results(fleet, index)[0]).await;
    assert_eq!(results(&fleet, index), [true, false]);
    let said = |line: &String| line.contains("coordinated no more");
    assert_eq!(fleet.nodes[&1].lines().iter().filter(|line| said(line)).count(), 1);
    fleet.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn inc_38_a_key_that_can_not_be_read_is_named_and_the_other_wallets_go_on() {
    let world = World::start().await.unwrap();
    let (sound, broken) = (world.wallet(1).await.unwrap(), world.wallet(2).await.unwrap());
    let plan = Plan::of(2).played(2).signed(&[&sound, &broken]);
    let mut fleet = Fleet::new(world, &[sound.public_key().0, broken.public_key().0], plan).await;
    let file = fleet.folder.path().join("wallet1");
    std::fs::write(&file, "nonsense").unwrap();
    let at = free();
    fleet.run(1, &[("COXSWAIN_STATUS__LISTEN", &at.to_string())]);
    fleet.taken().await;
    let health = until(at, 503, &[("key_share", "failed")]).await;
    let entries = health["entries"].as_array().unwrap();
    let entry = entries.iter().find(|entry| entry["name"] == "key_share").unwrap();
    assert_eq!(entry["subject"], file.display().to_string());
    let (_, metrics) = asked(at, "/metrics").await.unwrap();
    let line = "coxswain_health_entries{entry=\"key_share\",state=\"failed\"} 1";
    assert!(metrics.lines().any(|other| other == line), "{metrics}");
    let window = fleet.next();
    fleet.mine(1).await;
    fleet.mine_to(window.end()).await;
    fleet
        .until("both wallets are coordinated", |fleet| {
            [&sound, &broken]
                .iter()
                .all(|wallet| fleet.nodes[&1].result(wallet.key_hash(), window.index()).is_some())
        })
        .await;
    fleet.stop();
}
