//! `coxswain watch` as a person or a script meets it, on the real Bridge.

use std::io::Write;

use alloy_primitives::Address;
use bitcoin::Amount;
use coxswain_ethereum::{Block, BlockSelector, Endpoints};
use coxswain_testkit::{
    BitcoinServer, Deposit, DepositSpec, FaultyEndpoint, Reply, Serving, Wallet, World, standard_scripts,
};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::support::{Run, coxswain};

const FEE: Amount = Amount::from_sat(10_000);
/// Blocks from one window to the next, on local chains.
const WINDOW: u64 = 60;
/// Blocks from a window's first to its action's start.
const LENGTH: u64 = 30;
/// Over the minimum age of a deposit.
const OLD_ENOUGH: u64 = 2 * 3600 + 60;

/// A wallet that is watched from outside.
struct Watched {
    world: World,
    wallet: Wallet,
    electrum: BitcoinServer,
    operators: NamedTempFile,
}

impl Watched {
    async fn new() -> Self {
        let world = World::start().await.unwrap();
        let wallet = world.wallet(1).await.unwrap();
        let serving = Serving::default();
        let electrum = BitcoinServer::electrum(&world.bitcoin, serving, |_, _| Reply::Forward).await.unwrap();
        let mut operators = NamedTempFile::new().unwrap();
        for seat in [1, 2, 2, 3, 4] {
            writeln!(operators, "{}", Address::repeat_byte(seat)).unwrap();
        }
        Self { world, wallet, electrum, operators }
    }

    async fn head(&self) -> Block {
        let endpoints = Endpoints::new(self.world.chain.url()).unwrap();
        endpoints.block(BlockSelector::Latest).await.unwrap().unwrap()
    }

    /// Mines up to this block.
    async fn mine_to(&self, block: u64) {
        let head = self.head().await.number;
        let missing = block.checked_sub(head.0).unwrap_or_else(|| panic!("{head} is past {block}"));
        if missing > 0 {
            self.world.chain.mine(missing).await.unwrap();
        }
    }

    async fn reveal(&mut self) -> Deposit {
        self.world.reveal(&self.wallet, DepositSpec::default()).await.unwrap()
    }

    async fn sweep(&mut self, deposit: Deposit) -> String {
        self.world.sweep(&self.wallet, &[deposit], FEE).await.unwrap().compute_txid().to_string()
    }

    async fn run(&self, url: &str, more: &[&str]) -> Run {
        let (wallet, bridge) = (self.wallet.key_hash().to_string(), self.world.bridge.address().to_string());
        let bitcoin_url = self.electrum.url().to_string();
        let operators = self.operators.path().to_str().unwrap();
        let mut arguments = vec!["watch", "--wallet", &wallet, "--rpc-url", url, "--bridge", &bridge];
        arguments.extend(["--bitcoin-url", &bitcoin_url, "--operators", operators]);
        arguments.extend(more);
        coxswain(&arguments, "").await
    }
}

/// Sweeps a deposit in window 1; is asked for two redemptions, which it doesn't pay in windows 2 and 3; sweeps another deposit in
/// window 4, and does nothing in window 5. Returns the sweeps.
async fn history(watched: &mut Watched) -> [String; 2] {
    let deposit = watched.reveal().await;
    watched.world.chain.advance(OLD_ENOUGH).await.unwrap();
    watched.mine_to(WINDOW + LENGTH + 5).await;
    let first = watched.sweep(deposit).await;
    let [one, two, ..] = standard_scripts(1);
    for script in [one, two] {
        let (redeemer, amount) = (watched.world.depositor, Amount::from_sat(2_000_000));
        watched.world.request_redemption(&watched.wallet, redeemer, script, amount).await.unwrap();
    }
    watched.world.chain.advance(700).await.unwrap();
    watched.mine_to(3 * WINDOW + LENGTH + 1).await;
    let deposit = watched.reveal().await;
    watched.world.chain.advance(OLD_ENOUGH).await.unwrap();
    watched.mine_to(4 * WINDOW + LENGTH + 5).await;
    let second = watched.sweep(deposit).await;
    watched.mine_to(5 * WINDOW + LENGTH).await;
    [first, second]
}

fn windows(run: &Run) -> Vec<Value> {
    run.lines().into_iter().filter(|line| line["kind"] == "window").collect()
}

#[tokio::test]
async fn a_wallets_windows_are_told_from_the_chains_alone() {
    let mut watched = Watched::new().await;
    let [first, second] = history(&mut watched).await;
    let url = watched.world.chain.endpoint();
    let run = watched.run(&url, &["--json"]).await;
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    let lines = run.lines();
    assert_eq!((&lines[0]["kind"], &lines[0]["operators"]), (&json!("wallet"), &json!(4)));
    let windows = windows(&run);
    let indices: Vec<_> = windows.iter().map(|line| line["window"].as_u64().unwrap()).collect();
    assert_eq!(indices, [1, 2, 3, 4, 5]);
    let outcomes: Vec<_> = windows.iter().map(|line| line["outcome"].as_str().unwrap()).collect();
    let expected = ["followed", "nothing-followed", "nothing-followed", "followed", "nothing-followed"];
    assert_eq!(outcomes, expected, "{run:?}");
    assert!(windows.iter().all(|line| line["pastState"] != Value::Null), "{run:?}");

    for (window, txid) in [(0, &first), (3, &second)] {
        let traces = windows[window]["traces"].as_array().unwrap();
        assert_eq!(traces.len(), 1, "{run:?}");
        assert_eq!((&traces[0]["deed"], &traces[0]["items"]), (&json!("deposit-sweep"), &json!(1)));
        assert_eq!(traces[0]["transaction"].as_str(), Some(txid.as_str()));
    }
    // Payable from window 2 on, which is after the first that is watched.
    for window in [1, 2, 4] {
        let due = &windows[window]["due"][0];
        let expected = json!({
            "action": "redemption", "items": 2, "since": 2, "allSince": true, "orBefore": false
        });
        assert_eq!(*due, expected, "{run:?}");
    }
    assert_eq!(windows[1]["mayFollowUntil"], Value::Null);
    assert!(windows[4]["mayFollowUntil"].as_u64().unwrap() > 5 * WINDOW + LENGTH);
    // It is too young in the window that it is asked for in, or after it.
    assert_eq!(windows[0]["possible"][0], json!({ "action": "redemption", "items": 0 }));

    // Each leader is the one that `coxswain leader` draws.
    let wallet = watched.wallet.key_hash().to_string();
    for line in &windows {
        let block = line["block"].to_string();
        let operators = watched.operators.path().to_str().unwrap();
        let arguments = ["leader", "--wallet", &wallet, "--operators", operators, "--rpc-url", &url];
        let leader = coxswain(&[&arguments[..], &["--block", &block, "--json"]].concat(), "").await.json();
        assert_eq!((&line["leader"], &line["seat"]), (&leader["leader"], &leader["seat"]));
        let heartbeat = line["checklist"].as_array().unwrap().contains(&json!("heartbeat"));
        assert_eq!(leader["heartbeat"], json!(heartbeat));
    }

    let run = watched.run(&url, &["--since", "3"]).await;
    let two = "nothing followed though 2 redemptions were payable since window 3 or before";
    assert!(run.code == 0 && run.stdout.contains(two), "{run:?}");
    assert!(run.stdout.contains("can't be told apart") && !run.stdout.contains("window 2"), "{run:?}");
    for (since, words) in [("0", "is no window"), ("6", "1 to 5 are")] {
        let run = watched.run(&url, &["--since", since]).await;
        assert!(run.code == 2 && run.stderr.contains(words), "{run:?}");
    }
}

#[tokio::test]
async fn without_an_archive_what_is_not_known_is_not_guessed() {
    let mut watched = Watched::new().await;
    history(&mut watched).await;
    let block = watched.head().await;
    let (head, height) = (block.hash.to_string(), format!("{:#x}", block.number.0));
    let upstream = watched.world.chain.url();
    let pruned = FaultyEndpoint::start_inspecting(upstream, move |method, parameters| {
        let is_of_head = || {
            let text = parameters.to_string();
            text.contains(&head) || text.contains(&format!("\"{height}\"")) || text.contains("latest")
        };
        match method {
            "eth_call" | "eth_getProof" | "eth_getCode" if !is_of_head() => {
                Reply::Error(json!({ "code": -32000, "message": "missing trie node: state is pruned" }))
            }
            _ => Reply::Forward,
        }
    })
    .await
    .unwrap();
    let run = watched.run(pruned.url().as_str(), &["--json"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    let windows = windows(&run);
    assert_eq!(windows[4]["outcome"], "nothing-followed", "nothing has happened since: {run:?}");
    assert_eq!(windows[4]["due"][0]["items"], 2);
    // The main UTXO was another then: whether it could have paid isn't known. What left a trace did so all the same.
    let outcomes: Vec<_> = windows.iter().map(|line| line["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes[..4], ["followed", "undecided", "undecided", "followed"], "{run:?}");
    assert!(windows[..5].iter().all(|line| line["pastState"] == Value::Null), "{run:?}");
    let end = run.lines().pop().unwrap();
    assert_eq!(
        (&end["kind"], &end["undecided"], &end["withoutPastState"]),
        (&json!("end"), &json!(2), &json!(5))
    );
    assert!(end["why"].as_str().unwrap().contains("pruned"), "{end}");
}

#[tokio::test]
async fn a_sweep_that_is_not_proven_is_of_no_window_for_certain() {
    let mut watched = Watched::new().await;
    let deposit = watched.reveal().await;
    watched.world.chain.advance(OLD_ENOUGH).await.unwrap();
    watched.world.proves = false;
    watched.mine_to(WINDOW + LENGTH + 5).await;
    let txid = watched.sweep(deposit).await;
    let url = watched.world.chain.endpoint();
    let line = windows(&watched.run(&url, &["--json"]).await).pop().unwrap();
    assert_eq!((&line["window"], &line["outcome"]), (&json!(1), &json!("followed")), "{line}");
    assert_eq!(line["traces"][0]["transaction"].as_str(), Some(txid.as_str()));
    assert_eq!(line["traces"][0]["recorded"], Value::Null);
    // Nobody sees when it was sent: it may be window 2's as well.
    watched.mine_to(2 * WINDOW + LENGTH).await;
    let run = watched.run(&url, &[]).await;
    assert_eq!(run.stdout.matches("MAYBE").count(), 2, "{run:?}");
    assert_eq!(run.stdout.matches("not proven: of window 1 to 2").count(), 2, "{run:?}");
}

#[tokio::test]
async fn a_question_that_makes_no_sense_is_refused_before_anything_is_asked() {
    let wallet = "0x8db50eb52063ea9d98b3eac91489a90f738986f6";
    let run = coxswain(&["watch", "--wallet", wallet, "--rpc-url", "http://127.0.0.1:1"], "").await;
    assert!(run.code == 2 && run.stderr.contains("--bitcoin-url"), "{run:?}");
    let arguments = [
        "watch",
        "--wallet",
        wallet,
        "--rpc-url",
        "http://127.0.0.1:1",
        "--bitcoin-url",
        "tcp://127.0.0.1:1",
    ];
    let run = coxswain(&[&arguments[..], &["--json"]].concat(), "").await;
    assert_eq!((run.code, run.lines()[0]["cause"].as_str()), (3, Some("unreachable")), "{run:?}");
}
