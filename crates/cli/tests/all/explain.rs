//! `coxswain explain` on the real Bridge: every rule shown, and no verdict unless the contract agrees.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

use alloy_primitives::{Address, B256, U256, hex, keccak256};
use bitcoin::consensus::encode::serialize_hex;
use coxswain_bindings::Bridge;
use coxswain_ethereum::{BlockSelector, Endpoints};
use coxswain_rules::{Action, Case, RuleId, Subject};
use coxswain_testkit::{Deposit, FaultyEndpoint, Reply, Scene, deployed_validator, our_validator, sweep};
use serde_json::{Value, json};

use crate::support::{Run, coxswain, coxswain_of};

async fn explain(scene: &Scene, document: &Value, more: &[&str]) -> Run {
    coxswain_of(&scene.world, "explain", document, more).await
}

/// Of another validator, or through another endpoint.
async fn explain_of(validator: Address, rpc_url: &str, document: &Value, more: &[&str]) -> Run {
    let validator = validator.to_string();
    let arguments = [&["explain", "--rpc-url", rpc_url, "--validator", &validator], more].concat();
    coxswain(&arguments, &document.to_string()).await
}

fn valid(scene: &Scene, action: Action) -> Value {
    document(&scene.case(action).unwrap())
}

fn sweep_of(scene: &Scene, deposits: &[Deposit]) -> Value {
    document(&Case { wallet: scene.working.key_hash(), subject: sweep(deposits) })
}

/// The endpoint, which meets what asks the validator for a verdict with this reply.
async fn falsified(scene: &Scene, reply: Reply) -> FaultyEndpoint {
    let validator = json!(scene.world.validator.to_string().to_lowercase());
    let bridge = json!(hex::encode_prefixed(&keccak256("bridge()")[..4]));
    // What it proves would contradict it.
    let unproven = json!({ "code": -32000, "message": "missing trie node" });
    let meet = move |method: &str, params: &Value| {
        let call = &params[0];
        match method {
            "eth_getProof" => Reply::Error(unproven.clone()),
            _ if call["to"] == validator && call["input"] != bridge => reply.clone(),
            _ => Reply::Forward,
        }
    };
    FaultyEndpoint::start_inspecting(scene.world.chain.url(), meet).await.unwrap()
}

/// The case as a document.
fn document(case: &Case) -> Value {
    let bytes = |bytes: &[u8]| hex::encode_prefixed(bytes);
    let mut json = match &case.subject {
        Subject::Heartbeat(proposal) => json!({ "message": bytes(&proposal.message) }),
        Subject::DepositSweep { proposal, extra_info } => {
            let deposits = proposal.deposits.iter().zip(extra_info).map(|(deposit, info)| {
                let tx = &info.funding_transaction;
                let parts = [&tx.version[..], &tx.input_vector, &tx.output_vector, &tx.locktime];
                json!({
                    "txid": deposit.outpoint.txid.to_string(),
                    "outputIndex": deposit.outpoint.vout,
                    "fundingTransaction": bytes(&parts.concat()),
                    "script": {
                        "blindingFactor": bytes(&info.blinding_factor),
                        "walletPublicKeyHash": info.wallet.to_string(),
                        "refundPublicKeyHash": info.refund_key_hash.to_string(),
                        "refundLocktime": bytes(&info.refund_locktime),
                    },
                })
            });
            json!({ "fee": proposal.fee.to_sat(), "deposits": deposits.collect::<Vec<_>>() })
        }
        Subject::Redemption(proposal) => json!({
            "fee": proposal.fee.to_sat(),
            "redeemerOutputScripts": proposal.scripts.iter().map(|script| bytes(script.as_bytes())).collect::<Vec<_>>(),
        }),
        Subject::MovingFunds { proposal, main_utxo } => json!({
            "fee": proposal.fee.to_sat(),
            "targetWallets": proposal.targets.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "mainUtxo": {
                "txid": main_utxo.outpoint.txid.to_string(),
                "outputIndex": main_utxo.outpoint.vout,
                "value": main_utxo.value.to_sat(),
            },
        }),
        Subject::MovedFundsSweep(proposal) => json!({
            "fee": proposal.fee.to_sat(),
            "movingFundsTxid": proposal.outpoint.txid.to_string(),
            "movingFundsOutputIndex": proposal.outpoint.vout,
        }),
    };
    json["action"] = json!(case.action().name());
    json["wallet"] = json!(case.wallet.to_string());
    json
}

/// The findings of an outcome: rule and item.
fn findings<'a>(json: &'a Value, outcome: &str) -> Vec<(&'a str, Option<u64>)> {
    let rules = json["rules"].as_array().unwrap();
    let found = rules.iter().filter(|finding| finding["outcome"] == outcome);
    found.map(|finding| (finding["rule"].as_str().unwrap(), finding["item"].as_u64())).collect()
}

#[tokio::test]
async fn a_valid_proposal_of_each_action_holds_by_every_rule_and_the_contract_agrees() {
    let scene = Scene::set(|_| ()).await.unwrap();
    for action in Action::ALL {
        let run = explain(&scene, &valid(&scene, action), &[]).await;
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
        assert!(run.stdout.starts_with("VALID"), "{run:?}");
        assert!(run.stdout.contains("the rules as evaluated here say the same"), "{run:?}");

        let json = explain(&scene, &valid(&scene, action), &["--json"]).await.json();
        assert_eq!((&json["verdict"], &json["agreement"]), (&json!("valid"), &json!("full")), "{action}");
        assert_eq!(json["bridge"], scene.world.bridge.address().to_string());
        assert_eq!(json["validator"], scene.world.validator.to_string());
        let held = findings(&json, "holds");
        assert_eq!(held.len(), json["rules"].as_array().unwrap().len(), "{json:#}");
        for rule in RuleId::ALL.iter().filter(|rule| rule.action() == action) {
            assert!(held.iter().any(|(held, _)| *held == rule.id()), "{rule}");
            assert!(
                run.stdout.contains(&format!("holds          {rule:5}  {}", rule.statement())),
                "{rule}: {}",
                run.stdout
            );
        }
    }
}

#[tokio::test]
async fn every_broken_rule_is_shown_not_only_the_first() {
    let scene = Scene::set(|_| ()).await.unwrap();
    let nobody = json!(Address::repeat_byte(9).to_string().to_lowercase());

    let mut heartbeat = valid(&scene, Action::Heartbeat);
    heartbeat["message"] = json!("0x00");

    let mut sweep = sweep_of(&scene, &[scene.deposits[0].clone(), scene.unspendable.clone()]);
    sweep["fee"] = json!(0);
    sweep["deposits"][0]["txid"] = json!("11".repeat(32));
    let again = sweep["deposits"][1].clone();
    sweep["deposits"].as_array_mut().unwrap().push(again);

    let mut empty = valid(&scene, Action::Redemption);
    empty["redeemerOutputScripts"] = json!([]);

    let mut redemption = valid(&scene, Action::Redemption);
    let young = hex::encode_prefixed(scene.young_request.script.as_bytes());
    redemption["redeemerOutputScripts"].as_array_mut().unwrap().extend([json!("0x51"), json!(young)]);
    redemption["fee"] = json!(10_0000_0000_u64);

    let mut moving = valid(&scene, Action::MovingFunds);
    moving["wallet"] = json!(scene.working.key_hash().to_string());
    moving["fee"] = json!(10_0000_0000_u64);

    let mut moved = valid(&scene, Action::MovedFundsSweep);
    moved["wallet"] = nobody;
    moved["fee"] = json!(0);

    let cases = [
        (heartbeat, vec![("HB-1", None)], vec![]),
        (
            sweep,
            vec![
                ("DS-5", None),
                ("DS-7", Some(0)),
                ("DS-10", Some(0)),
                ("DS-11", Some(1)),
                ("DS-11", Some(2)),
                ("DS-15", Some(2)),
            ],
            vec![
                ("DS-8", Some(0)),
                ("DS-9", Some(0)),
                ("DS-11", Some(0)),
                ("DS-14", Some(0)),
                ("DS-14", Some(1)),
                ("DS-14", Some(2)),
            ],
        ),
        (
            empty,
            vec![("RD-2", None)],
            vec![("RD-6", None), ("RD-7", None), ("RD-8", None), ("RD-9", None), ("RD-10", None)],
        ),
        (
            redemption,
            vec![
                ("RD-5", None),
                ("RD-9", Some(0)),
                ("RD-9", Some(1)),
                ("RD-9", Some(2)),
                ("RD-6", Some(3)),
                ("RD-7", Some(4)),
                ("RD-9", Some(4)),
            ],
            vec![("RD-7", Some(3)), ("RD-8", Some(3)), ("RD-9", Some(3))],
        ),
        (moving, vec![("MF-1", None), ("MF-2", None), ("MF-4", None), ("MF-7", None)], vec![("MF-3", None)]),
        (moved, vec![("MS-1", None), ("MS-3", None), ("MS-4", None)], vec![]),
    ];
    for (document, broken, not_evaluable) in cases {
        let run = explain(&scene, &document, &["--json"]).await;
        assert_eq!(run.code, 1, "{run:?}");
        let json = run.json();
        assert_eq!((&json["verdict"], &json["agreement"]), (&json!("rejected"), &json!("full")), "{json:#}");
        assert_eq!(json["rule"], broken[0].0, "the contract names the first");
        assert_eq!(findings(&json, "broken"), broken, "{json:#}");
        assert_eq!(findings(&json, "not-evaluable"), not_evaluable, "{json:#}");
        let run = explain(&scene, &document, &[]).await;
        assert!(run.code == 1 && run.stdout.starts_with("REJECTED"), "{run:?}");
        for (rule, _) in broken {
            assert!(run.stdout.contains(&format!("broken         {rule:5}  ")), "{rule}: {}", run.stdout);
        }
        for (rule, _) in not_evaluable {
            assert!(run.stdout.contains(&format!("not evaluable  {rule:5}  ")), "{rule}: {}", run.stdout);
        }
    }
}

#[tokio::test]
async fn a_rule_shows_what_it_compared() {
    let scene = Scene::set(|_| ()).await.unwrap();
    let mut document = valid(&scene, Action::Redemption);
    document["redeemerOutputScripts"] = json!([hex::encode_prefixed(scene.young_request.script.as_bytes())]);
    document["fee"] = json!(100_001);
    let json = explain(&scene, &document, &["--json"]).await.json();
    let finding = |id: &str| {
        json["rules"].as_array().unwrap().iter().find(|finding| finding["rule"] == id).unwrap().clone()
    };
    let now = json["block"]["timestamp"].as_u64().unwrap();
    // The validator's deployment lies in between, in a block of the same second or a later one.
    let requested_in = BlockSelector::Number(scene.young_request.request_block);
    let endpoint = Endpoints::new(scene.world.chain.url()).unwrap();
    let eligible_after = endpoint.block(requested_in).await.unwrap().unwrap().timestamp.0 + 600;
    assert_eq!(finding("RD-1")["actual"], "Live");
    assert_eq!((&finding("RD-5")["actual"], &finding("RD-5")["bound"]), (&json!(100_001), &json!(1_000_000)));
    assert_eq!(
        (&finding("RD-7")["actual"], &finding("RD-7")["bound"]),
        (&json!(now), &json!(eligible_after))
    );
    assert_eq!((&finding("RD-9")["actual"], &finding("RD-9")["bound"]), (&json!(100_001), &json!(100_000)));
    assert_eq!(finding("RD-9")["item"], 0);
    let text = explain(&scene, &document, &[]).await.stdout;
    let script = format!("item 0, to script 0x{:x}", scene.young_request.script);
    let fee = "at most its txMaxFee: 100001, bound 100000\n";
    let (minutes, seconds) = ((eligible_after - now) / 60, (eligible_after - now) % 60);
    let now = " UTC, the block's own time, bound 20";
    let age = format!(" UTC, in {minutes} min {seconds} s\n");
    for line in [&script, fee, now, &age] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

/// A revert with this error.
fn revert(error: &str, arguments: &[u64]) -> Reply {
    let arguments: Vec<u8> =
        arguments.iter().flat_map(|argument| B256::from(U256::from(*argument)).0).collect();
    let data = [&keccak256(error)[..4], &arguments].concat();
    Reply::Error(json!({ "code": 3, "message": "execution reverted", "data": hex::encode_prefixed(data) }))
}

#[tokio::test]
async fn a_disagreement_is_shouted_and_exits_3() {
    let scene = Scene::set(|_| ()).await.unwrap();
    let valid = valid(&scene, Action::MovedFundsSweep);
    let mut dear = valid.clone();
    dear["fee"] = json!(10_0000_0000_u64);
    let max_fee = scene
        .world
        .bridge
        .ask(&Bridge::movingFundsParametersCall)
        .await
        .unwrap()
        .movedFundsSweepTxMaxTotalFee;
    let yes = Reply::Result(json!(B256::with_last_byte(1)));
    let processed = || revert("SweepRequestNotPending(uint8)", &[2]);
    let too_high = |fee, max_fee| revert("FeeTooHigh(uint256,uint256)", &[fee, max_fee]);

    let honest = falsified(&scene, too_high(10_0000_0000, max_fee)).await;
    let run = explain_of(scene.world.validator, honest.url().as_str(), &dear, &["--json"]).await;
    assert_eq!(
        (run.code, &run.json()["agreement"]),
        (1, &json!("full")),
        "the reply is as the contract's: {run:?}"
    );

    for (document, reply, by_contract, by_rules) in [
        // The contract rejects what the rules accept, and the other way round; another rule; the same with other values.
        (&valid, processed(), "rejects the proposal (MS-2", "accept it"),
        (&dear, yes, "accepts the proposal", "reject it (MS-5"),
        (&dear, processed(), "rejects the proposal (MS-2", "reject it (MS-5"),
        (&dear, too_high(10_0000_0000, max_fee + 1), "rejects the proposal (MS-5", "reject it (MS-5"),
    ] {
        let node = falsified(&scene, reply).await;
        let explain = |more| explain_of(scene.world.validator, node.url().as_str(), document, more);
        let run = explain(&[]).await;
        assert_eq!(run.code, 3, "{run:?}");
        assert!(run.stdout.starts_with("UNDECIDED"), "{run:?}");
        assert!(run.stdout.contains("DISAGREEMENT: the contract "), "{run:?}");
        let run = explain(&["--json"]).await;
        let json = run.json();
        assert_eq!(
            (run.code, &json["verdict"], &json["cause"]),
            (3, &json!("undecided"), &json!("disagreement"))
        );
        assert_eq!(json["agreement"], "none");
        let reason = json["reason"].as_str().unwrap();
        assert!(reason.contains(by_contract) && reason.contains(by_rules), "{reason}");
        let contract = if by_contract.starts_with("accepts") { "valid" } else { "rejected" };
        assert_eq!(json["contract"]["verdict"], contract, "{json:#}");
        assert!(json.get("rule").is_none(), "{json:#}");
        assert!(!json["rules"].as_array().unwrap().is_empty());
    }
}

#[tokio::test]
async fn inc_1_the_deployed_validators_difference_is_known_and_its_verdict_stands() {
    let scene = Scene::set(|_| ()).await.unwrap();
    let deployed = scene.world.deploy_validator(&deployed_validator().unwrap()).await.unwrap();
    let sound = scene.deposits[0].clone();
    let document = sweep_of(&scene, &[sound, scene.unspendable.clone()]);
    let run = explain_of(deployed, &scene.world.chain.endpoint(), &document, &[]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.starts_with("VALID") && run.stdout.contains("KNOWN DIFFERENCE"), "{run:?}");
    let json = explain_of(deployed, &scene.world.chain.endpoint(), &document, &["--json"]).await.json();
    assert_eq!((&json["verdict"], &json["agreement"]), (&json!("valid"), &json!("known-difference")));
    assert_eq!(findings(&json, "broken"), [("DS-11", Some(1))]);

    // With another rule broken after it, the deployed one names that.
    let mut repeated = document.clone();
    let again = repeated["deposits"][0].clone();
    repeated["deposits"].as_array_mut().unwrap().push(again);
    let run = explain_of(deployed, &scene.world.chain.endpoint(), &repeated, &["--json"]).await;
    let json = run.json();
    assert_eq!(
        (run.code, &json["rule"], &json["agreement"]),
        (1, &json!("DS-15"), &json!("known-difference"))
    );

    // Where nothing is known to differ, it agrees.
    let mut free = document.clone();
    free["fee"] = json!(0);
    let run = explain_of(deployed, &scene.world.chain.endpoint(), &free, &["--json"]).await;
    assert_eq!((run.code, &run.json()["agreement"]), (1, &json!("full")), "{run:?}");

    // Ours may not make that difference, nor may the deployed one make another.
    let yes = falsified(&scene, Reply::Result(json!(B256::with_last_byte(1)))).await;
    let run = explain_of(scene.world.validator, yes.url().as_str(), &document, &["--json"]).await;
    assert_eq!((run.code, &run.json()["cause"]), (3, &json!("disagreement")), "{run:?}");
    let mut script = document.clone();
    script["deposits"][0]["script"]["blindingFactor"] = json!("0xeeeeeeeeeeeeeeee");
    let run = explain_of(deployed, &scene.world.chain.endpoint(), &script, &["--json"]).await;
    assert_eq!((run.code, &run.json()["agreement"]), (1, &json!("full")), "{run:?}");
}

#[tokio::test]
async fn what_leaves_it_undecided_is_named() {
    let scene = Scene::set(|_| ()).await.unwrap();
    let document = valid(&scene, Action::Heartbeat);
    let bridge = scene.world.bridge.address().to_string();

    // As with `validate`: then nothing is said of rules.
    let run = explain(&scene, &document, &["--json", "--network", "mainnet"]).await;
    assert_eq!(
        (run.code, &run.json()["cause"], run.json().get("rules")),
        (3, &json!("wrong-chain"), None),
        "{run:?}"
    );
    let run = explain(&scene, &document, &["--json", "--bridge", &Address::repeat_byte(7).to_string()]).await;
    assert_eq!((run.code, &run.json()["cause"]), (3, &json!("other-bridge")), "{run:?}");
    assert_eq!(explain(&scene, &document, &["--bridge", &bridge]).await.code, 0);

    // The contract has no verdict, but the rules say what they say.
    let node = falsified(&scene, Reply::Result(json!("0x01"))).await;
    let run = explain_of(scene.world.validator, node.url().as_str(), &document, &["--json"]).await;
    let json = run.json();
    assert_eq!(
        (run.code, &json["verdict"], &json["cause"]),
        (3, &json!("undecided"), &json!("unknown-answer"))
    );
    assert_eq!((findings(&json, "holds"), json.get("agreement")), (vec![("HB-1", None)], None));
    let run = explain_of(scene.world.validator, node.url().as_str(), &document, &[]).await;
    assert!(run.stdout.starts_with("UNDECIDED") && run.stdout.contains("holds          HB-1"), "{run:?}");

    // The contract has a verdict, but the Bridge can't be read.
    let meet = |method: &str, params: &Value| match (method, params[0].get("input")) {
        ("eth_getProof", _) => Reply::Error(json!({ "code": -32000, "message": "missing trie node" })),
        (_, Some(_)) if params[0].get("to").is_none_or(Value::is_null) => Reply::Result(json!("0x")),
        _ => Reply::Forward,
    };
    let node = FaultyEndpoint::start_inspecting(scene.world.chain.url(), meet).await.unwrap();
    let run = explain_of(scene.world.validator, node.url().as_str(), &document, &["--json"]).await;
    let json = run.json();
    assert_eq!((run.code, &json["verdict"], &json["cause"]), (3, &json!("undecided"), &json!("garbage")));
    assert_eq!((&json["contract"]["verdict"], json.get("rules")), (&json!("valid"), None), "{json:#}");
    let run = explain_of(scene.world.validator, node.url().as_str(), &document, &[]).await;
    assert!(
        run.stdout.starts_with("UNDECIDED") && run.stdout.contains("the rules can't be evaluated"),
        "{run:?}"
    );

    // A validator of a Bridge that is none answers heartbeats all the same.
    let none = [our_validator().unwrap().to_vec(), B256::with_last_byte(0xab).to_vec()].concat();
    let world = &scene.world;
    let of_none = world.chain.deploy("validator", world.governance, none.into()).await.unwrap();
    let run = explain_of(of_none, &scene.world.chain.endpoint(), &document, &["--json"]).await;
    let json = run.json();
    assert_eq!((run.code, &json["cause"]), (3, &json!("no-code")), "{run:?}");
    assert_eq!(json["contract"]["verdict"], "valid");
}

#[tokio::test]
async fn usage_is_as_with_validate() {
    let scene = Scene::set(|_| ()).await.unwrap();
    let mut document = valid(&scene, Action::Heartbeat);
    document["message"] = json!("zz");
    let run = explain(&scene, &document, &[]).await;
    assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run:?}");
    assert!(run.stderr.contains("message: "), "{run:?}");
    assert_eq!(coxswain(&["explain"], "").await.code, 2);

    let help = coxswain(&["explain", "--help"], "").await;
    assert_eq!(help.code, 0);
    for word in [
        "--rpc-url",
        "--network",
        "--validator",
        "--bridge",
        "--block",
        "--json",
        "Exit codes:",
        "[FILE]",
        "disagree",
    ] {
        assert!(help.stdout.contains(word), "{word}: {}", help.stdout);
    }
}

#[tokio::test]
async fn a_sweeps_extra_info_may_come_from_the_chains_events() {
    let scene = Scene::set(|_| ()).await.unwrap();
    let deposit = &scene.deposits[1];
    let mut document = sweep_of(&scene, std::slice::from_ref(deposit));
    document["deposits"][0] = json!({
        "txid": deposit.outpoint.txid.to_string(),
        "outputIndex": deposit.outpoint.vout,
        "revealBlock": deposit.reveal_block,
        "fundingTransaction": serialize_hex(&deposit.funding),
    });
    let run = explain(&scene, &document, &[]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains(&format!("item 0, output {}", deposit.outpoint)), "{run:?}");
}
