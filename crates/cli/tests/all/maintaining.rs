//! `coxswain maintain --config`: a maintainer that runs, and says how it is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use alloy_primitives::U256;
use coxswain_bindings::Bridge;
use coxswain_testkit::{FaultyEndpoint, Reply};
use tokio::time::{sleep, timeout};

use crate::proving::{ACCOUNT, PATIENCE, Unproven, entry};

#[tokio::test]
async fn a_running_maintainer_proves_what_wallets_do_says_how_it_is_and_drains() {
    let mut unproven = Unproven::new(2).await;
    unproven.authorise().await;
    unproven.world.chain.mine_every(1).await.unwrap();
    for wallet in [0, 1, 0] {
        unproven.sweep(wallet).await;
    }
    let mut program = unproven.start("", &[]);
    unproven.settle(&program).await;
    // What is done while it runs is seen by its new block.
    unproven.sweep(1).await;
    unproven.settle(&program).await;
    let health = program.health(|code, health| code == 200 && entry(health, "spv")["state"] == "ok").await;
    assert_eq!(entry(&health, "difficulty")["says"], "not applicable: the relay counts no epochs");
    assert_eq!(entry(&health, "balance")["state"], "ok");
    program.counts("performance_deposit_sweep_proof_submissions_success_total", 4.0).await;
    for (name, value) in [
        ("performance_deposit_sweep_proof_submissions_total", 4.0),
        ("performance_deposit_sweep_proof_submissions_failed_total", 0.0),
        ("performance_redemption_proof_submissions_total", 0.0),
        ("performance_spv_maintainer_active", 1.0),
        ("performance_spv_proof_skipped_outside_relay_range_total", 0.0),
        ("performance_spv_proof_skipped_exceeded_max_headers_total", 0.0),
        ("performance_spv_maintainer_max_backoff_seconds", 0.0),
        ("performance_spv_proof_task_failures_total", 0.0),
        ("performance_redemption_proof_task_failures_total", 0.0),
        ("coxswain_maintainer_proofs_mined_total{kind=\"deposit-sweep\"}", 4.0),
        ("coxswain_maintainer_unproven{kind=\"deposit-sweep\"}", 0.0),
    ] {
        assert_eq!(program.number(name).await, Some(value), "{name}");
    }
    for name in [
        "performance_spv_maintainer_last_activity_timestamp_seconds",
        "performance_spv_maintainer_last_success_timestamp_seconds",
        "coxswain_maintainer_gas_used_total",
        "coxswain_maintainer_spent_gwei_total",
        "coxswain_maintainer_balance_ether",
    ] {
        assert!(program.number(name).await.is_some_and(|value| value > 0.0), "{name}");
    }
    assert_eq!(program.terminate().code(), Some(0));
    assert_eq!(unproven.sent().await, (4, 0));
}

#[tokio::test]
async fn whoever_may_not_prove_or_has_too_little_is_a_state_of_health_and_sends_nothing() {
    let mut unproven = Unproven::new(1).await;
    unproven.world.chain.mine_every(1).await.unwrap();
    unproven.sweep(0).await;
    let mut program = unproven.start("only = \"spv\"\nevery = \"1s\"", &[]);
    let health =
        program.health(|code, health| code == 503 && entry(health, "spv")["state"] == "failed").await;
    let says = entry(&health, "spv")["says"].as_str().unwrap();
    assert!(says.contains("no authorised SPV maintainer"), "{says}");
    assert!(entry(&health, "difficulty").is_null(), "one module alone: {health}");

    unproven.world.chain.endow(ACCOUNT, U256::from(1_000_000)).await.unwrap();
    unproven.authorise().await;
    let poor = |_: u16, health: &serde_json::Value| {
        entry(health, "spv")["state"] == "ok" && entry(health, "balance")["state"] == "failed"
    };
    let health = program.health(poor).await;
    assert!(entry(&health, "balance")["says"].as_str().unwrap().contains("nothing is sent"), "{health}");
    assert_eq!(unproven.sent().await, (0, 0));

    // Under half an ether there is an alarm, and proofs go on.
    let alarming = U256::from(400_000_000_000_000_000_u64);
    unproven.world.chain.endow(ACCOUNT, alarming).await.unwrap();
    program.health(|code, health| code == 200 && entry(health, "balance")["state"] == "warning").await;
    unproven.settle(&program).await;
    assert_eq!((program.terminate().code(), unproven.sent().await), (Some(0), (1, 0)));
}

#[tokio::test]
async fn a_key_that_the_bridge_itself_does_not_trust_is_told_so() {
    let mut unproven = Unproven::new(1).await;
    unproven.world.chain.mine_every(1).await.unwrap();
    unproven.sweep(0).await;
    let direct = [("COXSWAIN_ETHEREUM__DIRECT", "true")];
    let mut program = unproven.start("only = \"spv\"\nevery = \"1s\"", &direct);
    let health = program.health(|_, health| entry(health, "spv")["state"] == "failed").await;
    let says = entry(&health, "spv")["says"].as_str().unwrap();
    assert!(says.contains("no authorised SPV maintainer"), "{says}");
    let trust = Bridge::setSpvMaintainerStatusCall { spvMaintainer: ACCOUNT, isTrusted: true };
    unproven.world.govern(&trust).await.unwrap();
    unproven.settle(&program).await;
    assert_eq!((program.terminate().code(), unproven.sent().await), (Some(0), (1, 0)));
}

#[tokio::test]
async fn a_relay_without_a_previous_difficulty_is_a_state_of_health_where_work_counts() {
    let mut unproven = Unproven::new(1).await;
    unproven.authorise().await;
    unproven.sweep(0).await;
    // Of a network with work: the relay of tests knows no difficulty.
    let signet = [("COXSWAIN_BITCOIN__NETWORK", "signet")];
    let mut program = unproven.start("", &signet);
    let health = program.health(|_, health| entry(health, "spv")["state"] == "failed").await;
    let says = entry(&health, "spv")["says"].as_str().unwrap();
    assert!(says.contains("knows no previous difficulty"), "{says}");
    assert_eq!((program.terminate().code(), unproven.sent().await), (Some(0), (0, 0)));
}

#[tokio::test]
async fn a_maintainer_that_cannot_start_ends_with_the_documented_code() {
    let unproven = Unproven::new(0).await;
    let ends = |more: &str, variables: &[(&str, &str)]| unproven.start(more, variables).ends();
    assert_eq!(ends("only = \"both\"", &[]), 2);
    assert_eq!(ends("", &[("COXSWAIN_ETHEREUM__KEYSTORE", "/nowhere")]), 2);
    assert_eq!(ends("", &[("COXSWAIN_ETHEREUM__NETWORK", "mainnet")]), 3);
    let running = unproven.start("", &[]);
    let mut running = running;
    running.health(|_, _| true).await;
    assert_eq!(ends("", &[]), 3, "another process holds the journal");
    assert_eq!(running.terminate().code(), Some(0));
}

#[tokio::test]
async fn a_maintainer_drains_though_its_ethereum_server_hangs() {
    let unproven = Unproven::new(1).await;
    unproven.authorise().await;
    let hangs = Arc::new(AtomicBool::new(false));
    let (hanging, upstream) = (Arc::clone(&hangs), unproven.world.chain.url());
    let endpoint = FaultyEndpoint::start(upstream, move |_| {
        if hanging.load(Ordering::SeqCst) { Reply::Stall } else { Reply::Forward }
    });
    let endpoint = endpoint.await.unwrap();
    let url = endpoint.url().to_string();
    let mut program = unproven.start("every = \"60m\"", &[("COXSWAIN_ETHEREUM__URLS", &url)]);
    program.health(|_, health| entry(health, "spv")["state"] == "ok").await;
    // The next pass asks it, and waits.
    hangs.store(true, Ordering::SeqCst);
    let balances = || endpoint.methods().iter().filter(|method| *method == "eth_getBalance").count();
    let asked = balances();
    unproven.world.bitcoin.mine_empty(1).unwrap();
    let asks = async {
        while balances() == asked {
            sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(PATIENCE, asks).await.is_ok(), "no pass follows the block: {:#?}", program.lines());
    assert_eq!(program.terminate().code(), Some(0));
}
