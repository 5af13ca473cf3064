//! What a document leaves out is looked up: scripts in the Bridge's events, the rest on Bitcoin.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

use coxswain_rules::Action;
use coxswain_testkit::{BitcoinServer, FaultyEndpoint, Reply, Scene, Serving};
use serde_json::{Value, json};

use crate::support::{Run, coxswain, coxswain_of};

/// The scene, with its Bitcoin behind a node.
struct Completed {
    scene: Scene,
    core: BitcoinServer,
}

impl Completed {
    async fn set_up() -> Self {
        let scene = Scene::set(|_| ()).await.unwrap();
        let bitcoin = &scene.world.bitcoin;
        let core = BitcoinServer::core(bitcoin, Serving::default(), |_, _| Reply::Forward).await.unwrap();
        Self { scene, core }
    }

    /// Deposits by name and reveal block alone.
    fn sweep(&self) -> Value {
        let deposits = self.scene.deposits.iter().map(|deposit| {
            json!({
                "txid": deposit.outpoint.txid.to_string(),
                "outputIndex": deposit.outpoint.vout,
                "revealBlock": deposit.reveal_block,
            })
        });
        let deposits: Vec<_> = deposits.collect();
        let wallet = self.scene.working.key_hash().to_string();
        json!({ "action": "deposit-sweep", "wallet": wallet, "fee": 20_000, "deposits": deposits })
    }

    /// The commitment's targets, without the main UTXO that would be moved.
    fn moving_funds(&self) -> Value {
        let case = self.scene.case(Action::MovingFunds).unwrap();
        let mut document = coxswain_cli::document::write(&case);
        document.as_object_mut().unwrap().remove("mainUtxo").unwrap();
        document
    }

    async fn run(&self, command: &str, document: &Value, more: &[&str]) -> Run {
        coxswain_of(&self.scene.world, command, document, more).await
    }
}

#[tokio::test]
async fn what_a_document_leaves_out_is_looked_up() {
    let completed = Completed::set_up().await;
    let bitcoin = completed.core.url().to_string();
    for document in [completed.sweep(), completed.moving_funds()] {
        for command in ["validate", "explain"] {
            let run = completed.run(command, &document, &["--bitcoin-url", &bitcoin]).await;
            assert_eq!(run.code, 0, "{command}: {run:?}");
        }
        // A person who forgot is told what is missing.
        let run = completed.run("validate", &document, &[]).await;
        assert_eq!(run.code, 2, "{run:?}");
        assert!(run.stderr.contains("neither given, nor a Bitcoin endpoint to look it up"), "{run:?}");
    }
}

#[tokio::test]
async fn all_reveals_are_one_request_and_the_main_utxo_another() {
    let completed = Completed::set_up().await;
    let upstream = completed.scene.world.chain.url();
    let node = FaultyEndpoint::start(upstream, |_| Reply::Forward).await.unwrap();
    let (rpc_url, bitcoin) = (node.url().to_string(), completed.core.url().to_string());
    let validator = completed.scene.world.validator.to_string();
    let arguments = ["validate", "--validator", &validator, "--rpc-url", &rpc_url, "--bitcoin", &bitcoin];
    let run = coxswain(&arguments, &completed.sweep().to_string()).await;
    assert_eq!(run.code, 0, "{run:?}");
    let methods = node.methods();
    assert_eq!(methods.iter().filter(|method| *method == "eth_getLogs").count(), 2, "{methods:?}");
}

#[tokio::test]
async fn what_can_not_be_looked_up_is_undecided() {
    let completed = Completed::set_up().await;
    let bitcoin = completed.core.url().to_string();
    let mut unknown = completed.sweep();
    unknown["deposits"][0]["txid"] = json!("11".repeat(32));
    unknown["deposits"][0]["script"] = json!({
        "blindingFactor": "0xf9f0c90d00039523",
        "walletPublicKeyHash": "0x8db50eb52063ea9d98b3eac91489a90f738986f6",
        "refundPublicKeyHash": "0x28e081f285138ccbe389c1eb8985716230129f89",
        "refundLocktime": "0x60bcea61",
    });
    let run = completed.run("validate", &unknown, &["--bitcoin-url", &bitcoin, "--json"]).await;
    assert_eq!((run.code, &run.json()["cause"]), (3, &json!("no-transaction")), "{run:?}");
    let run = completed
        .run("validate", &completed.sweep(), &["--bitcoin-url", "tcp://127.0.0.1:1", "--json"])
        .await;
    assert_eq!((run.code, &run.json()["cause"]), (3, &json!("bitcoin")), "{run:?}");
}

#[tokio::test]
async fn with_bitcoin_the_other_steps_are_shown_beside_the_contracts_verdict() {
    let completed = Completed::set_up().await;
    let bitcoin = completed.core.url().to_string();
    let more = ["--bitcoin-url", bitcoin.as_str(), "--json"];
    // The contract accepts what no member would sign yet: the exit code is the contract's.
    let sweep = (completed.sweep(), "evidence", "reveal-too-shallow", json!([]));
    let passed = ["evidence", "contract", "main-utxo", "funding", "outputs", "fee"];
    let moving_funds = (completed.moving_funds(), "margin", "moving-funds-too-early", json!(passed));
    for (document, step, objection, passed) in [sweep, moving_funds] {
        for command in ["validate", "explain"] {
            let run = completed.run(command, &document, &more).await;
            let (json, judging) = (run.json(), run.json()["judging"].clone());
            assert_eq!((run.code, &json["verdict"]), (0, &json!("valid")), "{run:?}");
            assert_eq!(
                (&judging["verdict"], &judging["step"]),
                (&json!("rejected"), &json!(step)),
                "{run:?}"
            );
            assert_eq!((&judging["objection"], &judging["assurance"]), (&json!(objection), &json!("word")));
            assert_eq!(judging["passed"], passed);
        }
    }
    let run = completed.run("validate", &completed.sweep(), &more[..2]).await;
    let beside =
        "as a member of the wallet would judge it: rejected at evidence, by word: the reveal of deposit";
    assert!(run.stdout.starts_with("VALID") && run.stdout.contains(beside), "{run:?}");

    completed.scene.world.chain.mine(32).await.unwrap();
    let run = completed.run("validate", &completed.sweep(), &more).await;
    assert_eq!((run.code, &run.json()["judging"]["verdict"]), (0, &json!("valid")), "{run:?}");
    // What stands for the estimate decides what a leader should pay.
    assert_eq!(run.json()["judging"].get("warning"), None, "{run:?}");
    let run = completed
        .run("validate", &completed.sweep(), &[&more[..], &["--fallback-fee-rate", "9999"]].concat())
        .await;
    let judging = &run.json()["judging"];
    assert_eq!((run.code, &judging["verdict"]), (0, &json!("valid")), "{run:?}");
    let warning = judging["warning"].as_str().unwrap();
    assert!(warning.starts_with("the fee is 20000 sat, a leader should pay"), "{warning}");
    let mut free = completed.sweep();
    free["fee"] = json!(0);
    let run = completed.run("validate", &free, &more).await;
    let judging = &run.json()["judging"];
    assert_eq!(
        (run.code, &judging["step"], &judging["objection"]),
        (1, &json!("contract"), &json!("contract"))
    );

    // Without it, they are not taken.
    let case = completed.scene.case(Action::Heartbeat).unwrap();
    let run = completed.run("validate", &coxswain_cli::document::write(&case), &["--json"]).await;
    assert_eq!((run.code, run.json().get("judging")), (0, None), "{run:?}");
}
