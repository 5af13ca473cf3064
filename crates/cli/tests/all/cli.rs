//! The program as a person or a script meets it: what it prints, and the code it exits with. On the real Bridge.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

use coxswain_rules::units::BlockNumber;
use std::{
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use alloy_primitives::Address;
use coxswain_testkit::{Deposit, FaultyEndpoint, Reply, Scene, deployed_validator};
use serde_json::{Value, json};

use crate::support::{Run, coxswain, coxswain_of};

async fn validate(scene: &Scene, document: &Value, more: &[&str]) -> Run {
    coxswain_of(&scene.world, "validate", document, more).await
}

fn heartbeat(scene: &Scene) -> Value {
    json!({
        "action": "heartbeat",
        "wallet": scene.working.key_hash().to_string(),
        "message": "0xffffffffffffffff0123456789abcdef",
    })
}

fn sweep(scene: &Scene, deposits: Vec<Value>) -> Value {
    json!({
        "action": "deposit-sweep",
        "wallet": scene.working.key_hash().to_string(),
        "fee": 20_000,
        "deposits": deposits,
    })
}

fn deposit(deposit: &Deposit) -> Value {
    json!({
        "txid": deposit.outpoint.txid.to_string(),
        "outputIndex": deposit.outpoint.vout,
        "revealBlock": deposit.reveal_block,
        "fundingTransaction": bitcoin::consensus::encode::serialize_hex(&deposit.funding),
    })
}

fn with_script(deposit: &Deposit) -> Value {
    let info = &deposit.extra_info;
    let hex = |bytes: &[u8]| alloy_primitives::hex::encode_prefixed(bytes);
    let mut json = self::deposit(deposit);
    json["script"] = json!({
        "blindingFactor": hex(&info.blinding_factor),
        "walletPublicKeyHash": info.wallet.to_string(),
        "refundPublicKeyHash": info.refund_key_hash.to_string(),
        "refundLocktime": hex(&info.refund_locktime),
    });
    json.as_object_mut().unwrap().remove("revealBlock");
    json
}

#[tokio::test]
async fn a_valid_proposal_exits_0_and_names_validator_chain_and_block() {
    let scene = Scene::set(|_| ()).await.unwrap();
    let run = validate(&scene, &heartbeat(&scene), &[]).await;
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    assert!(run.stdout.starts_with("VALID"), "{run:?}");
    assert!(
        run.stdout
            .contains(&format!("asked of {} on chain 31337\n           at block", scene.world.validator)),
        "{run:?}"
    );

    let json = validate(&scene, &heartbeat(&scene), &["--json", "--network", "local"]).await.json();
    assert_eq!(json["verdict"], "valid");
    assert_eq!(json["action"], "heartbeat");
    assert_eq!(json["wallet"], scene.working.key_hash().to_string());
    assert_eq!(json["validator"], scene.world.validator.to_string());
    assert_eq!(json["chainId"], 31337);
    assert_eq!(json["block"]["timestamp"], scene.world.chain.now().await.unwrap());
}

#[tokio::test]
async fn a_rejected_proposal_exits_1_and_names_rule_item_actual_and_bound() {
    let scene = Scene::set(|_| ()).await.unwrap();
    let mut document = heartbeat(&scene);
    document["message"] = json!("0x00");
    let run = validate(&scene, &document, &[]).await;
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stdout.starts_with("REJECTED"), "{run:?}");
    assert!(run.stdout.contains("HB-1 does not hold"), "{run:?}");

    let first = &scene.deposits[0];
    let document = sweep(&scene, vec![deposit(first), deposit(&scene.unspendable)]);
    let run = validate(&scene, &document, &["--json"]).await;
    assert_eq!(run.code, 1, "{run:?}");
    let json = run.json();
    assert_eq!(
        (&json["verdict"], &json["rule"], &json["item"]),
        (&json!("rejected"), &json!("DS-11"), &json!(1))
    );

    let mut document = sweep(&scene, vec![deposit(first)]);
    document["fee"] = json!("100001");
    let json = validate(&scene, &document, &["--json"]).await.json();
    assert_eq!(
        (&json["rule"], &json["actual"], &json["bound"]),
        (&json!("DS-6"), &json!(100_001), &json!(100_000))
    );
    assert_eq!(json["reason"], "the fee is 100001 sat, at most 100000 sat allowed");
}

#[tokio::test]
async fn a_sweeps_extra_info_comes_from_the_file_or_from_the_chains_events() {
    let scene = Scene::set(|_| ()).await.unwrap();
    let deposits = &scene.deposits;
    for documents in [
        deposits.iter().map(deposit).collect(),
        deposits.iter().map(with_script).collect(),
        vec![deposit(&deposits[0]), with_script(&deposits[1])],
    ] {
        let run = validate(&scene, &sweep(&scene, documents), &[]).await;
        assert_eq!(run.code, 0, "{run:?}");
    }

    let mut elsewhere = deposit(&deposits[0]);
    elsewhere["revealBlock"] = json!(1);
    let run = validate(&scene, &sweep(&scene, vec![elsewhere]), &["--json"]).await;
    assert_eq!((run.code, &run.json()["cause"]), (3, &json!("no-reveal")), "{run:?}");

    let mut nowhere = deposit(&deposits[0]);
    nowhere.as_object_mut().unwrap().remove("revealBlock");
    let run = validate(&scene, &sweep(&scene, vec![nowhere]), &[]).await;
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.contains("deposits[0].revealBlock"), "{run:?}");
}

#[tokio::test]
async fn what_was_probably_meant_is_hinted_at() {
    let scene = Scene::set(|_| ()).await.unwrap();
    let hints = async |document: &Value| {
        let run = validate(&scene, document, &["--json"]).await;
        assert_ne!(run.code, 0, "{run:?}");
        let hints = run.json()["hints"].as_array().cloned().unwrap_or_default();
        let text = validate(&scene, document, &[]).await.stdout;
        assert_eq!(text.matches("\n           hint: ").count(), hints.len(), "{text}");
        hints.iter().map(|hint| hint.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let known = &scene.deposits[0];
    let turned = {
        let mut bytes = alloy_primitives::hex::decode(known.outpoint.txid.to_string()).unwrap();
        bytes.reverse();
        json!(alloy_primitives::hex::encode(bytes))
    };
    let mut deposit = with_script(known);
    deposit["txid"] = turned.clone();
    let right = known.outpoint.txid.to_string();
    let expected = format!(
        "deposit 0: the same bytes reversed are known: a txid is written in Bitcoin's display order, {right}"
    );
    assert_eq!(hints(&sweep(&scene, vec![deposit])).await, [expected]);

    // One block beside the reveal, and a block that is not there yet.
    for (block, words) in [
        (
            known.reveal_block.next(),
            format!("was revealed in block {}, not in {}", known.reveal_block, known.reveal_block.next()),
        ),
        (BlockNumber(999_999), "block 999999 is not there yet, the block judged at is".to_owned()),
    ] {
        let mut deposit = self::deposit(known);
        deposit["revealBlock"] = json!(block);
        let hints = hints(&sweep(&scene, vec![deposit])).await;
        assert!(hints.iter().any(|hint| hint.contains(&words)), "{words}: {hints:?}");
    }

    let mut mistyped = heartbeat(&scene);
    mistyped["wallet"] = json!(format!("0x{}", "12".repeat(20)));
    mistyped["action"] = json!("redemption");
    mistyped.as_object_mut().unwrap().remove("message").unwrap();
    mistyped["fee"] = json!(1);
    mistyped["redeemerOutputScripts"] = json!(["0x00"]);
    let found = hints(&mistyped).await;
    assert!(
        found[0].contains("the Bridge knows no wallet 0x1212") && found[0].contains("mistyped"),
        "{found:?}"
    );

    let script = &scene.requests[0].script;
    let mut prefixed = mistyped;
    prefixed["wallet"] = json!(scene.working.key_hash().to_string());
    prefixed["redeemerOutputScripts"] = json!([format!("0x{:02x}{script:x}", script.len())]);
    let found = hints(&prefixed).await;
    assert_eq!(
        found,
        [format!(
            "script 0 begins with its own length, as in the Bridge's events: leave that out, 0x{script:x} is known"
        )]
    );

    let moved = scene.moved;
    let mut bytes = alloy_primitives::hex::decode(moved.txid.to_string()).unwrap();
    bytes.reverse();
    let sweep = json!({
        "action": "moved-funds-sweep", "wallet": scene.working.key_hash().to_string(), "fee": 4_000,
        "movingFundsTxid": alloy_primitives::hex::encode(bytes), "movingFundsOutputIndex": moved.vout,
    });
    let found = hints(&sweep).await;
    assert!(found[0].ends_with(&moved.txid.to_string()), "{found:?}");

    // What is known and broken otherwise needs no hint.
    let mut message = heartbeat(&scene);
    message["message"] = json!("0x00");
    assert_eq!(hints(&message).await, [""; 0]);
}

#[tokio::test]
async fn the_deployed_validator_can_be_asked_too() {
    let scene = Scene::set(|_| ()).await.unwrap();
    let deployed = scene.world.deploy_validator(&deployed_validator().unwrap()).await.unwrap().to_string();
    let arguments =
        ["validate", "--rpc-url", &scene.world.chain.endpoint(), "--validator", &deployed, "--json"];
    let mut document = sweep(&scene, vec![deposit(&scene.deposits[0])]);
    assert_eq!(coxswain(&arguments, &document.to_string()).await.code, 0);
    document["fee"] = json!(0);
    let run = coxswain(&arguments, &document.to_string()).await;
    assert_eq!((run.code, &run.json()["rule"]), (1, &json!("DS-5")), "{run:?}");
    assert_eq!(run.json()["reason"], "the contract says: Proposed transaction fee cannot be zero");
}

#[tokio::test]
async fn a_block_is_named_by_number_hash_or_tag() {
    let scene = Scene::set(|_| ()).await.unwrap();
    // A block's age is the clock's, and moves on between two calls.
    let at = |json: &Value| ["number", "hash", "timestamp"].map(|field| json["block"][field].clone());
    let run = validate(&scene, &heartbeat(&scene), &["--json"]).await;
    let (head, expected) = (run.json()["block"].clone(), at(&run.json()));
    let (number, hash) = (head["number"].to_string(), head["hash"].as_str().unwrap());
    for block in [number.as_str(), hash, "latest"] {
        let json = validate(&scene, &heartbeat(&scene), &["--json", "--block", block]).await.json();
        assert_eq!(at(&json), expected, "{block}");
    }
    // Before the validator was there.
    let run = validate(&scene, &heartbeat(&scene), &["--json", "--block", "1"]).await;
    assert_eq!((run.code, &run.json()["cause"]), (3, &json!("no-code")), "{run:?}");
    let run = validate(&scene, &heartbeat(&scene), &["--json", "--block", "999999"]).await;
    assert_eq!((run.code, &run.json()["cause"]), (3, &json!("no-block")), "{run:?}");
    let run = validate(&scene, &heartbeat(&scene), &["--block", "soon"]).await;
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.contains("`soon` is no block"), "{run:?}");
}

#[tokio::test]
async fn faults_exit_3_and_name_their_cause() {
    let scene = Scene::set(|_| ()).await.unwrap();
    // A server that proves what it doesn't say has said it.
    let meet = |fault: Reply| {
        move |method: &str| match method {
            "eth_call" | "eth_getProof" => fault.clone(),
            _ => Reply::Forward,
        }
    };
    let validator = scene.world.validator.to_string();
    for (fault, cause, words) in [
        (Reply::Cut, "interrupted", "was lost before the answer came"),
        (Reply::Body("<html>".to_owned()), "garbage", "can't be understood"),
        (Reply::Result(json!("0x")), "garbage", "it is empty"),
        (Reply::Status(404), "http-status", "HTTP status 404"),
    ] {
        let node = FaultyEndpoint::start(scene.world.chain.url(), meet(fault)).await.unwrap();
        let arguments = ["validate", "--rpc-url", node.url().as_str(), "--validator", &validator];
        let run = coxswain(&arguments, &heartbeat(&scene).to_string()).await;
        assert_eq!(run.code, 3, "{run:?}");
        assert!(run.stdout.starts_with("UNDECIDED") && run.stdout.contains(words), "{run:?}");
        let run = coxswain(&[&arguments[..], &["--json"]].concat(), &heartbeat(&scene).to_string()).await;
        assert_eq!(
            (&run.json()["verdict"], &run.json()["cause"]),
            (&json!("undecided"), &json!(cause)),
            "{run:?}"
        );
    }

    let run = validate(&scene, &heartbeat(&scene), &["--json", "--network", "mainnet"]).await;
    assert_eq!((run.code, &run.json()["cause"]), (3, &json!("wrong-chain")), "{run:?}");
    assert!(
        run.json()["reason"].as_str().unwrap().contains("serves chain 31337, which is not mainnet"),
        "{run:?}"
    );

    let nobody = Address::repeat_byte(0xab).to_string();
    let arguments =
        ["validate", "--rpc-url", &scene.world.chain.endpoint(), "--json", "--validator", &nobody];
    let run = coxswain(&arguments, &heartbeat(&scene).to_string()).await;
    assert_eq!((run.code, &run.json()["cause"]), (3, &json!("no-code")), "{run:?}");

    let run = validate(&scene, &heartbeat(&scene), &["--json", "--bridge", &nobody]).await;
    assert_eq!((run.code, &run.json()["cause"]), (3, &json!("other-bridge")), "{run:?}");
    let bridge = scene.world.bridge.address().to_string();
    assert_eq!(validate(&scene, &heartbeat(&scene), &["--bridge", &bridge]).await.code, 0);
}

#[tokio::test]
async fn usage_and_malformed_input_exit_2_with_nothing_on_stdout() {
    let arguments =
        ["validate", "--rpc-url", "http://127.0.0.1:1", "--validator", &Address::ZERO.to_string()];
    for (document, words) in [
        ("{", "standard input: not JSON"),
        (r#"{"action": "heartbeat", "wallet": "0x00", "message": "0x"}"#, "wallet: expected 20 bytes"),
        (r#"{"action": "dance"}"#, "action: `dance` is no action"),
    ] {
        let run = coxswain(&arguments, document).await;
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run:?}");
        assert!(run.stderr.starts_with("error: ") && run.stderr.contains(words), "{run:?}");
    }
    for arguments in [
        &["validate"][..],
        &["validate", "--rpc-url", "not a url"],
        &["validate", "--rpc-url", "http://127.0.0.1:1", "--network", "moon"],
        &["validate", "--rpc-url", "http://127.0.0.1:1", "--validator", "0x00"],
        &["validate", "--rpc-url", "http://127.0.0.1:1", "/no/such/file.json"],
        &["dance"],
        &[],
    ] {
        let run = coxswain(arguments, "").await;
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{arguments:?}: {run:?}");
        assert!(!run.stderr.is_empty());
    }
    // Nothing is said twice.
    for (arguments, words) in [
        (&["validate", "--rpc-url", "ftp://127.0.0.1"][..], "only http and https"),
        (&["doctor", "--rpc-url", "ftp://127.0.0.1"], "only http and https"),
        (&["window", "--rpc-url", "ftp://127.0.0.1"], "only http and https"),
        (
            &["doctor", "--rpc-url", "127.0.0.1:8545"],
            "the URL has no scheme: write http:// or https:// before it",
        ),
    ] {
        let heartbeat =
            json!({ "action": "heartbeat", "wallet": format!("0x{}", "00".repeat(20)), "message": "0x" });
        let run = coxswain(arguments, &heartbeat.to_string()).await;
        assert_eq!((run.code, run.stderr.matches(words).count()), (2, 1), "{run:?}");
    }
    let heartbeat =
        json!({ "action": "heartbeat", "wallet": Address::ZERO.to_string().to_lowercase(), "message": "0x" });
    let run = coxswain(&["validate", "--rpc-url", "ftp://127.0.0.1"], &heartbeat.to_string()).await;
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.contains("only http and https"), "{run:?}");
}

#[tokio::test]
async fn inc_25_the_next_endpoint_is_asked_when_one_is_dead_or_dies() {
    let scene = Scene::set(|_| ()).await.unwrap();
    let validator = scene.world.validator.to_string();
    let heartbeat = heartbeat(&scene).to_string();
    let honest = async || FaultyEndpoint::start(scene.world.chain.url(), |_| Reply::Forward).await.unwrap();
    let third = honest().await;
    let validate = async |first: &str, others: &[&str]| {
        let mut arguments = vec!["validate", "--validator", &validator, "--json", "--rpc-url", first];
        arguments.extend(others.iter().flat_map(|url| ["--rpc-url", *url]));
        coxswain(&arguments, &heartbeat).await
    };
    let honest = scene.world.chain.endpoint();
    let (two, three) = ([honest.as_str()], [honest.as_str(), third.url().as_str()]);
    // Of two, the word of the one that answers is taken where the other says nothing at all, and shown to be that.
    let run = validate("http://127.0.0.1:1", &two).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.json()["assurance"]["block"], json!({ "namedBy": 1, "of": 2 }));
    let run = validate("http://127.0.0.1:1", &three).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.json()["assurance"]["block"], json!({ "namedBy": 2, "of": 3 }));
    // Dies after each number of requests, until it answers them all.
    for requests in 0.. {
        let dying = async || {
            let left = AtomicUsize::new(requests);
            let meet = move |_: &str| match left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
            {
                Ok(_) => Reply::Forward,
                Err(_) => Reply::Cut,
            };
            FaultyEndpoint::start(scene.world.chain.url(), meet).await.unwrap()
        };
        let node = dying().await;
        let run = validate(node.url().as_str(), &three).await;
        assert_eq!(run.code, 0, "{requests}: {run:?}");
        // Of two, what one alone says is undecided once the other has spoken.
        let run = validate(dying().await.url().as_str(), &two).await;
        assert!(run.code == 0 || run.code == 3, "{requests}: {run:?}");
        if node.methods().len() <= requests {
            assert_eq!(run.code, 0, "{requests}: {run:?}");
            assert!(requests >= 6, "the chain, the block and the verdict: {:?}", node.methods());
            break;
        }
    }
    let dead = ["window", "--rpc-url", "http://127.0.0.1:1", "--rpc-url", "http://127.0.0.1:2", "--json"];
    let run = coxswain(&dead, "").await;
    assert_eq!((run.code, &run.json()["cause"]), (3, &json!("unreachable")), "{run:?}");
    assert!(
        run.json()["reason"].as_str().unwrap().starts_with("no endpoint is fit to be asked: "),
        "{run:?}"
    );
    let run = coxswain(
        &["window", "--rpc-url", "http://127.0.0.1:1", "--rpc-url", &scene.world.chain.endpoint()],
        "",
    )
    .await;
    assert_eq!(run.code, 0, "{run:?}");
}

#[tokio::test]
async fn inc_47_what_is_known_less_well_than_required_is_undecided() {
    let scene = Scene::set(|_| ()).await.unwrap();
    let valid = heartbeat(&scene);
    let mut broken = heartbeat(&scene);
    broken["message"] = json!("0x00");
    let honest = async || FaultyEndpoint::start(scene.world.chain.url(), |_| Reply::Forward).await.unwrap();
    // One server alone names the block: all that is read at it is its word, whatever it proves.
    for (document, code) in [(&valid, 0), (&broken, 1)] {
        let run = validate(&scene, document, &["--json"]).await;
        assert_eq!(run.code, code, "{run:?}");
        assert_eq!(
            run.json()["assurance"],
            json!({ "block": { "namedBy": 1, "of": 1 }, "state": BEST }),
            "{run:?}"
        );
        for required in ["agreed", "proven"] {
            let run = validate(&scene, document, &["--json", "--require", required]).await;
            assert_eq!((run.code, &run.json()["cause"]), (3, &json!("too-weak")), "{run:?}");
        }
    }
    // Unless its hash is given.
    let hash =
        validate(&scene, &valid, &["--json"]).await.json()["block"]["hash"].as_str().unwrap().to_owned();
    let run = validate(&scene, &valid, &["--require", "proven", "--block", &hash]).await;
    assert_eq!(run.code, if cfg!(feature = "proven") { 0 } else { 3 }, "{run:?}");
    // Two name it.
    let other = honest().await;
    let more = ["--rpc-url", other.url().as_str(), "--json", "--require"];
    let run = validate(&scene, &valid, &[&more[..], &["agreed"]].concat()).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.json()["assurance"]["block"], json!({ "namedBy": 2, "of": 2 }));
    let run = validate(&scene, &broken, &[&more[..], &["proven"]].concat()).await;
    assert_eq!(run.code, if cfg!(feature = "proven") { 1 } else { 3 }, "{run:?}");
    let run = validate(&scene, &valid, &["--require", "word"]).await;
    assert_eq!(run.code, 2, "{run:?}");
    // A setting raises how many must agree: both must, though one is dead.
    let dead = ["--rpc-url", "http://127.0.0.1:1"];
    assert_eq!(validate(&scene, &valid, &dead).await.code, 0);
    let run = validate(&scene, &valid, &[&dead[..], &["--quorum", "2"]].concat()).await;
    assert_eq!(run.code, 3, "{run:?}");
    let run = validate(&scene, &valid, &["--quorum", "2"]).await;
    assert_eq!(run.code, 2, "a quorum of 2 of 1 server can't be met: {run:?}");
    let (third, urls) = (honest().await, [&more[..2], &["--json"]].concat());
    let of = async |more: &[&str]| {
        let urls = [&urls[..], &["--rpc-url", third.url().as_str()], more].concat();
        validate(&scene, &valid, &urls).await.json()["assurance"]["block"]["of"].clone()
    };
    assert_eq!((of(&[]).await, of(&["--loopback-is-one"]).await), (json!(3), json!(2)));
}

/// What an honest server's state is known by.
const BEST: &str = if cfg!(feature = "proven") { "proven" } else { "word" };

#[tokio::test]
async fn an_unknown_chain_needs_a_validator() {
    let scene = Scene::set(|_| ()).await.unwrap();
    let meet =
        |method: &str| if method == "eth_chainId" { Reply::Result(json!("0x7")) } else { Reply::Forward };
    let node = FaultyEndpoint::start(scene.world.chain.url(), meet).await.unwrap();
    for url in [node.url().as_str(), &scene.world.chain.endpoint()] {
        let run = coxswain(&["validate", "--rpc-url", url], &heartbeat(&scene).to_string()).await;
        assert_eq!(run.code, 2, "{run:?}");
        assert!(run.stderr.contains("give its address with --validator"), "{run:?}");
    }
    let arguments =
        ["validate", "--rpc-url", node.url().as_str(), "--validator", &scene.world.validator.to_string()];
    assert_eq!(coxswain(&arguments, &heartbeat(&scene).to_string()).await.code, 0);
}

#[tokio::test]
async fn a_proposal_is_read_from_a_file_too() {
    let scene = Scene::set(|_| ()).await.unwrap();
    let file = std::env::temp_dir().join(format!("coxswain-{}.json", std::process::id()));
    std::fs::write(&file, heartbeat(&scene).to_string()).unwrap();
    let arguments = [
        "validate",
        "--rpc-url",
        &scene.world.chain.endpoint(),
        "--validator",
        &scene.world.validator.to_string(),
    ];
    let run = coxswain(&[&arguments[..], &[file.to_str().unwrap()]].concat(), "").await;
    std::fs::remove_file(&file).unwrap();
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_coxswain"))
        .args(["window", "--block", "19000000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));

    let full = std::fs::File::options().write(true).open("/dev/full");
    if let Ok(full) = full {
        let output = Command::new(env!("CARGO_BIN_EXE_coxswain"))
            .args(["window", "--block", "19000000"])
            .stdout(full)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert!(String::from_utf8(output.stderr).unwrap().starts_with("error: can't write the answer"));
    }
}

#[tokio::test]
async fn every_shell_has_completions_of_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let run = coxswain(&["completions", shell], "").await;
        assert_eq!(run.code, 0, "{run:?}");
        for word in ["validate", "explain", "propose", "doctor", "fallback-fee-rate"] {
            assert!(run.stdout.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(coxswain(&["completions", "tcsh"], "").await.code, 2);
}

#[tokio::test]
async fn help_names_every_command_option_and_exit_code() {
    let run = coxswain(&["--help"], "").await;
    assert_eq!(run.code, 0);
    assert!(run.stdout.contains("validate") && run.stdout.contains("Usage: coxswain"), "{run:?}");
    let run = coxswain(&["validate", "--help"], "").await;
    assert_eq!(run.code, 0);
    for word in
        ["--rpc-url", "--network", "--validator", "--bridge", "--block", "--json", "Exit codes:", "[FILE]"]
    {
        assert!(run.stdout.contains(word), "{word}: {}", run.stdout);
    }
    let version = coxswain(&["--version"], "").await;
    let number = concat!("coxswain ", env!("CARGO_PKG_VERSION"), " (");
    let commit = version.stdout.strip_prefix(number).and_then(|rest| rest.strip_suffix(")\n"));
    let commit = commit.unwrap_or_else(|| panic!("{version:?}"));
    assert!(commit.len() >= 10 && commit.bytes().all(|digit| digit.is_ascii_hexdigit()), "{commit}");
}

#[test]
fn every_answer_for_programs_has_a_schema_and_a_version() {
    let schema: Value = serde_json::from_str(include_str!("../../../../docs/output.schema.json")).unwrap();
    let requires_version = |of: &Value| {
        let required = of["required"].as_array().is_some_and(|names| names.contains(&json!("version")));
        required && of["properties"]["version"] == json!({ "$ref": "#/$defs/version" })
    };
    let command = <coxswain_cli::arguments::Arguments as clap::CommandFactory>::command();
    let mut of_programs = 0;
    for command in command.get_subcommands() {
        if command.get_arguments().all(|argument| argument.get_id() != "json") {
            continue;
        }
        let definition = &schema["$defs"][command.get_name()];
        let either: Vec<_> = definition["anyOf"].as_array().into_iter().flatten().collect();
        let forms = if either.is_empty() { vec![definition] } else { either };
        for form in forms {
            let named = form["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/"));
            let form = named.map_or(form, |name| &schema["$defs"][name]);
            assert!(requires_version(form), "{}: {form:#}", command.get_name());
        }
        of_programs += 1;
    }
    assert!(of_programs >= 8, "{of_programs}");
}

#[test]
fn every_command_has_a_man_page() {
    let folder = std::env::temp_dir().join(format!("coxswain-man-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let command = <coxswain_cli::arguments::Arguments as clap::CommandFactory>::command();
    clap_mangen::generate_to(command.clone(), &folder).unwrap();
    for name in command.get_subcommands().map(clap::Command::get_name) {
        let page = std::fs::read_to_string(folder.join(format!("coxswain-{name}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{name}: {page}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
