//! `coxswain window`, `leader` and `simulate` as a person or a script meets them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

use std::path::PathBuf;

use alloy_primitives::Address;
use coxswain_testkit::TestChain;
use serde_json::{Value, json};

use crate::support::coxswain;

/// A file that is gone when the test ends.
struct File(PathBuf);

impl File {
    fn with(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("coxswain-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn group(seats: u8) -> String {
    (1..=seats).map(|seat| format!("{}\n", Address::repeat_byte(seat).to_checksum(None))).collect()
}

#[tokio::test]
async fn a_window_shows_its_phases_safe_block_and_checklist() {
    let json = coxswain(&["window", "--block", "3650", "--network", "mainnet", "--json"], "").await.json();
    assert_eq!(json["block"], 3650);
    assert_eq!(json["nextCoordinationBlock"], 4500);
    let window = &json["window"];
    for (field, value) in [
        ("index", 4),
        ("coordinationBlock", 3600),
        ("activePhaseEnd", 3680),
        ("end", 3700),
        ("safeBlock", 3568),
    ] {
        assert_eq!(window[field], value, "{field}");
    }
    assert_eq!(window["phase"], "active");
    let allowed: Vec<_> =
        window["checklist"].as_array().unwrap().iter().map(|item| &item["allowed"]).collect();
    assert_eq!(allowed, [&json!(true), &json!(true), &json!(true), &json!(true), &Value::Null]);

    for (block, phase) in
        [("3600", "active"), ("3679", "active"), ("3680", "passive"), ("3699", "passive"), ("3700", "over")]
    {
        let json = coxswain(&["window", "--block", block, "--json"], "").await.json();
        assert_eq!(json["window"]["phase"], phase, "{block}");
    }
    let run = coxswain(&["window", "--block", "4500"], "").await;
    assert_eq!(run.code, 0);
    assert!(
        run.stdout.contains("window 5 of network mainnet; at block 4500 the leader may speak"),
        "{run:?}"
    );
    assert!(run.stdout.contains("window 5 is not a multiple of 4"), "{run:?}");
}

#[tokio::test]
async fn inc_31_a_window_says_from_which_block_on_sweeps_are_in_every_one() {
    let allowed = async |block: &str, network: &str| {
        let json = coxswain(&["window", "--block", block, "--network", network, "--json"], "").await.json();
        let items = json["window"]["checklist"].as_array().unwrap();
        items.iter().map(|item| item["allowed"].as_bool()).collect::<Vec<_>>()
    };
    // Redemption, deposit sweep, moved funds sweep, moving funds, heartbeat.
    let (yes, no) = (Some(true), Some(false));
    assert_eq!(allowed("24558300", "mainnet").await, [yes, no, no, no, None], "window 27287");
    assert_eq!(allowed("24559200", "mainnet").await, [yes, yes, yes, yes, None], "window 27288");
    assert_eq!(allowed("24560100", "mainnet").await, [yes, yes, yes, no, None], "window 27289");
    assert_eq!(allowed("60", "local").await, [yes, yes, yes, no, None]);
    let run = coxswain(&["window", "--block", "24560100"], "").await;
    assert!(run.stdout.contains("every window from block 24559289 on"), "{run:?}");
    assert!(run.stdout.contains("window 27289 is not a multiple of 4"), "{run:?}");
}

#[tokio::test]
async fn before_the_first_window_there_is_none() {
    let run = coxswain(&["window", "--block", "899"], "").await;
    assert_eq!(run.code, 0);
    assert!(run.stdout.contains("no window of network mainnet has started"), "{run:?}");
    assert!(run.stdout.contains("next window at block 900, in 1 blocks"), "{run:?}");
    assert_eq!(coxswain(&["window", "--block", "899", "--json"], "").await.json()["window"], Value::Null);
}

#[tokio::test]
async fn a_window_and_its_leader_are_read_from_a_chain() {
    let chain = TestChain::start().unwrap();
    chain.mine(70).await.unwrap();
    let url = chain.endpoint();
    let json = coxswain(&["window", "--rpc-url", &url, "--json"], "").await.json();
    assert_eq!((&json["network"], &json["window"]["coordinationBlock"]), (&json!("local"), &json!(60)));

    let group = File::with("chain", &group(10));
    let wallet = "0x8db50eb52063ea9d98b3eac91489a90f738986f6";
    let arguments = ["leader", "--wallet", wallet, "--operators", group.path(), "--json"];
    let from_chain = [&arguments[..], &["--rpc-url", &url, "--block", "60"]].concat();
    let json = coxswain(&from_chain, "").await.json();
    assert_eq!((&json["safeBlock"], &json["window"]), (&json!(28), &json!(1)));
    let hash = json["safeBlockHash"].as_str().unwrap();
    let by_hash = [&arguments[..], &["--safe-block-hash", hash]].concat();
    let same = coxswain(&by_hash, "").await.json();
    for field in ["seed", "order", "leader", "seat", "heartbeatDraw"] {
        assert_eq!(json[field], same[field], "{field}");
    }

    let off = [&arguments[..], &["--rpc-url", &url, "--block", "61"]].concat();
    let run = coxswain(&off, "").await;
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.contains("no coordination block") && run.stderr.contains("try 60 or 120"), "{run:?}");
    let future = [&arguments[..], &["--rpc-url", &url, "--block", "6000"]].concat();
    let run = coxswain(&future, "").await;
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.json()["reason"].as_str().unwrap().contains("has no block 5968"), "{run:?}");
    for arguments in [
        vec!["window", "--rpc-url", &url, "--network", "mainnet"],
        [&from_chain[..], &["--network", "mainnet"]].concat(),
    ] {
        let run = coxswain(&arguments, "").await;
        assert_eq!(run.code, 3, "{run:?}");
        assert!((run.stdout + &run.stderr).contains("which is not mainnet"));
    }
    let run = coxswain(&["window", "--rpc-url", "http://127.0.0.1:1"], "").await;
    assert_eq!((run.code, run.stderr.as_str()), (3, ""), "{run:?}");
    assert!(run.stdout.starts_with("UNDECIDED  which window it is\n"), "{run:?}");
    assert_eq!(run.stdout.matches("can't connect").count(), 1, "{run:?}");
    let run = coxswain(&["window", "--rpc-url", "http://127.0.0.1:1", "--json"], "").await;
    assert_eq!((run.code, &run.json()["cause"]), (3, &json!("unreachable")), "{run:?}");
}

#[tokio::test]
async fn the_leader_is_the_one_that_go_draws() {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../protocol/vectors/coordination.json")).unwrap();
    for case in vectors["coordination"].as_array().unwrap() {
        let seats: Vec<_> = case["signing_group_operators"]
            .as_array()
            .unwrap()
            .iter()
            .map(|seat| seat.as_str().unwrap())
            .collect();
        let group = File::with("go", &seats.join("\n"));
        let wallet = case["wallet_public_key_hash"].as_str().unwrap();
        let hash = case["safe_block_hash"].as_str().unwrap();
        let arguments =
            ["leader", "--wallet", wallet, "--operators", group.path(), "--safe-block-hash", hash, "--json"];
        let run = coxswain(&arguments, "").await;
        let json = run.json();
        assert_eq!(json["leader"], case["leader"], "{case}");
        assert_eq!(json["seed"], case["seed"], "{case}");
        assert_eq!(json["seat"], case["leader_first_seat"], "{case}");
        let draw = format!("\"heartbeatDraw\": {},", case["first_float64"].as_str().unwrap());
        assert!(run.stdout.contains(&draw), "{case}: {run:?}");
        assert_eq!(json["heartbeat"], case["heartbeat_at_0.0625"], "{case}");
    }
}

#[tokio::test]
async fn a_malformed_group_or_question_exits_2_and_says_where() {
    let wallet = "0x8db50eb52063ea9d98b3eac91489a90f738986f6";
    let hash = "0x".to_owned() + &"11".repeat(32);
    let sound = Address::repeat_byte(0xab).to_checksum(None);
    let flipped = sound.replace('B', "b");
    for (name, text, words) in [
        ("empty", String::new(), "a signing group of 0 seats, 1 to 255 allowed"),
        ("long", format!("{sound}\n").repeat(256), "a signing group of 256 seats"),
        ("blank", format!("{sound}\n\n{sound}\n"), "line 2: `` is no address"),
        ("short", format!("{sound}\n0xab\n"), "line 2: `0xab` is no address"),
        ("bare", sound.trim_start_matches("0x").to_owned(), "is no address"),
        ("checksum", flipped, "wrong checksum"),
    ] {
        let group = File::with(name, &text);
        let arguments =
            ["leader", "--wallet", wallet, "--operators", group.path(), "--safe-block-hash", &hash];
        let run = coxswain(&arguments, "").await;
        assert_eq!(run.code, 2, "{name}: {run:?}");
        assert!(run.stderr.contains(words), "{name}: {run:?}");
    }
    let group = File::with("sound", &sound.to_lowercase());
    let operators = group.path();
    let run =
        coxswain(&["leader", "--wallet", wallet, "--operators", operators, "--safe-block-hash", &hash], "")
            .await;
    assert_eq!(run.code, 0, "{run:?}");
    for arguments in [
        vec!["leader", "--wallet", wallet, "--operators", operators],
        vec!["leader", "--wallet", wallet, "--operators", operators, "--block", "900"],
        vec!["leader", "--wallet", wallet, "--operators", operators, "--rpc-url", "http://127.0.0.1:1"],
        vec!["leader", "--wallet", "0x00", "--operators", operators, "--safe-block-hash", &hash],
        vec!["leader", "--wallet", wallet, "--operators", "/no/such/file", "--safe-block-hash", &hash],
        vec!["window"],
        vec!["window", "--block", "1", "--rpc-url", "http://127.0.0.1:1"],
        vec!["simulate", "--wallets", "0"],
        vec!["simulate", "--operators", "0"],
    ] {
        let run = coxswain(&arguments, "").await;
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{arguments:?}: {run:?}");
    }
}

#[tokio::test]
async fn simulated_heartbeats_come_as_often_as_their_probability_says() {
    let arguments = ["simulate", "--windows", "2000", "--wallets", "10"];
    let json = coxswain(&[&arguments[..], &["--json"]].concat(), "").await.json();
    let runs = json["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    for (run, p) in runs.iter().zip([0.125, 0.0625]) {
        assert_eq!(run["heartbeatProbability"], p);
        let (mean, expected) =
            (run["meanInterval"].as_f64().unwrap(), run["expectedMeanInterval"].as_f64().unwrap());
        assert!((mean / expected - 1.0).abs() < 0.1, "{mean} against {expected}");
    }
    let share = |at: usize| runs[at]["shareWithSeveralAtOnce"].as_f64().unwrap();
    assert!(share(0) > 0.3 && share(1) < 0.2, "{} and {}", share(0), share(1));

    let run = coxswain(&arguments, "").await;
    assert!(
        run.stdout.contains("Lowering the probability from 0.125 to 0.0625") && run.stdout.contains('█'),
        "{run:?}"
    );
    assert_eq!(coxswain(&arguments, "").await.stdout, run.stdout, "a seed gives the same run again");
}

#[tokio::test]
async fn the_largest_numbers_are_errors_and_no_panics() {
    for block in ["18446744073709551615", "18446744073709551600"] {
        let run = coxswain(&["window", "--block", block], "").await;
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run:?}");
        assert!(run.stderr.contains("no chain comes to block"), "{run:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("group.txt");
    let seats = |count: u32| (1..=count).map(|seat| format!("0x{seat:040x}\n")).collect::<String>();
    let hash = format!("0x{}", "11".repeat(32));
    let leader = async |text: String| {
        std::fs::write(&file, text).unwrap();
        let wallet = "0x1212121212121212121212121212121212121212";
        let group = file.to_str().unwrap();
        coxswain(&["leader", "--wallet", wallet, "--operators", group, "--safe-block-hash", &hash], "").await
    };
    let run = leader(seats(255)).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("first seat 255"), "{run:?}");
    assert_eq!(leader(seats(256)).await.code, 2);
    let run = leader("x".repeat(65 << 10)).await;
    assert!(run.code == 2 && run.stderr.contains("is longer than 65536 bytes"), "{run:?}");
}
