//! `coxswain propose` as a person or a script meets it: on the real Bridge, with Bitcoin behind an Electrum server.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

use std::collections::BTreeSet;

use bitcoin::{Amount, Psbt, Transaction, TxOut, consensus::encode};
use coxswain_cli::Document;
use coxswain_testkit::{
    BitcoinServer, Deposit, DepositOutput, DepositSpec, Funding, Reply, Serving, Wallet, World,
    standard_scripts,
};
use serde_json::{Value, json};

use crate::support::{Run, coxswain, coxswain_of};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
const REDEEMED: Amount = Amount::from_sat(2_000_000);

/// A wallet for which there may be something to propose.
struct Proposer {
    world: World,
    wallet: Wallet,
    electrum: BitcoinServer,
}

impl Proposer {
    /// A wallet that has swept one deposit.
    async fn set_up() -> Self {
        let mut world = World::start().await.unwrap();
        let wallet = world.funded_wallet(1).await.unwrap();
        let serving = Serving { estimate: Some(0.000_1), ..Serving::default() };
        let electrum = BitcoinServer::electrum(&world.bitcoin, serving, |_, _| Reply::Forward).await.unwrap();
        Self { world, wallet, electrum }
    }

    async fn deposit(&mut self, spec: DepositSpec) -> Deposit {
        self.world.reveal(&self.wallet, spec).await.unwrap()
    }

    async fn request(&mut self, seed: u64) -> String {
        let [script, ..] = standard_scripts(seed);
        let redeemer = self.world.depositor;
        self.world.request_redemption(&self.wallet, redeemer, script.clone(), REDEEMED).await.unwrap();
        format!("{script:x}")
    }

    async fn pass(&self, seconds: u64) {
        self.world.chain.mine(32).await.unwrap();
        self.world.chain.advance(seconds).await.unwrap();
    }

    async fn propose(&self, more: &[&str]) -> Run {
        let (wallet, validator) = (self.wallet.key_hash().to_string(), self.world.validator.to_string());
        let rpc_url = self.world.chain.endpoint();
        let bitcoin = self.electrum.url().to_string();
        let mut arguments = vec!["propose", "--wallet", &wallet, "--validator", &validator];
        arguments.extend(["--rpc-url", &rpc_url, "--bitcoin-url", &bitcoin]);
        arguments.extend(more);
        coxswain(&arguments, "").await
    }

    async fn validate(&self, proposal: &Value) -> Run {
        coxswain_of(&self.world, "validate", proposal, &[]).await
    }
}

/// The rows of what is left out: item and rule.
fn left_out(run: &Run) -> BTreeSet<(String, String)> {
    let rows = run.stdout.lines().skip_while(|line| *line != "left out, and why").skip(1);
    let rows = rows.take_while(|line| !line.is_empty()).filter_map(|line| line.strip_prefix("  "));
    // What goes on in a row's second line is indented.
    let rows = rows.filter(|row| !row.starts_with(' ')).filter_map(|row| row.split_once(' '));
    rows.map(|(rule, item)| (item.trim().to_owned(), rule.to_owned())).collect()
}

#[tokio::test]
async fn every_poison_at_once_is_left_out_by_name_and_the_rest_is_proposed() {
    let mut proposer = Proposer::set_up().await;
    let now = proposer.world.chain.now().await.unwrap();
    let locktime = u32::try_from(now + 15 * DAY + HOUR).unwrap();
    // INC-2
    let close =
        proposer.deposit(DepositSpec { refund_locktime: Some(locktime), ..DepositSpec::default() }).await;
    proposer.pass(9 * DAY + 4 * HOUR).await;
    // INC-4
    let late = proposer.request(1).await;
    proposer.pass(4 * DAY + 20 * HOUR).await;
    // INC-5
    proposer.world.change_redemptions(|call| call.redemptionTxMaxFee = 100).await.unwrap();
    let poor = proposer.request(2).await;
    // INC-1
    let unspendable =
        proposer.deposit(DepositSpec { output: DepositOutput::P2wpkh, ..DepositSpec::default() }).await;
    let good = proposer.deposit(DepositSpec::default()).await;
    // INC-10
    let absent = proposer.deposit(DepositSpec { funding: Funding::Absent, ..DepositSpec::default() }).await;
    let waiting = proposer.deposit(DepositSpec { funding: Funding::Waiting, ..DepositSpec::default() }).await;
    // INC-3
    let vault = proposer.world.vault;
    let other = proposer.deposit(DepositSpec { vault, ..DepositSpec::default() }).await;
    let fine = proposer.deposit(DepositSpec { output: DepositOutput::P2sh, ..DepositSpec::default() }).await;
    // INC-11: the wallet's address is flooded.
    let dust = TxOut {
        value: Amount::from_sat(600),
        script_pubkey: bitcoin::ScriptBuf::new_p2wpkh(&proposer.wallet.public_key().wpubkey_hash()),
    };
    let flood = proposer.world.bitcoin.pay(&vec![dust; 3_000]).unwrap();
    proposer.world.bitcoin.mine(&[flood]).unwrap();
    proposer.pass(2 * HOUR + 60).await;
    let young = proposer.deposit(DepositSpec::default()).await;

    let run = proposer.propose(&[]).await;
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    assert!(run.stdout.starts_with("PROPOSAL   deposit-sweep of wallet 0x"), "{run:?}");
    let deposit = |deposit: &Deposit| format!("deposit {}", deposit.outpoint);
    let expected = [
        (format!("redemption to {late}"), "RD-8"),
        (format!("redemption to {poor}"), "RD-9"),
        (deposit(&close), "DS-12"),
        (deposit(&unspendable), "DS-11"),
        (deposit(&absent), "not-found"),
        (deposit(&waiting), "unconfirmed"),
        (deposit(&other), "not-asked-yet"),
        (deposit(&young), "DS-8"),
    ];
    let expected: BTreeSet<_> = expected.into_iter().map(|(item, rule)| (item, rule.to_owned())).collect();
    assert_eq!(left_out(&run), expected, "{}", run.stdout);
    // Piped, it is plain.
    assert!(!run.stdout.contains(['│', '─', '\u{1b}']), "{}", run.stdout);
    for words in [
        "2 deposits, fee ",
        "\nspends\n",
        "        0.50000000 BTC  a deposit, ",
        "\npays\n",
        "BTC  the wallet itself",
    ] {
        assert!(run.stdout.contains(words), "{words}: {}", run.stdout);
    }
    // A time is a date, and how far away that is.
    let dated =
        |line: &&str| line.contains("bound: 20") && line.contains(" UTC, in ") && line.contains(" min)");
    assert!(run.stdout.lines().any(|line| dated(&line)), "{}", run.stdout);
    assert_eq!(
        run.stdout.matches(" s old (0x").count()
            + run.stdout.matches("ahead of this machine's clock").count(),
        1
    );

    // As JSON: the same, and a proposal that the contract accepts.
    let json = proposer.propose(&["--json"]).await.json();
    assert_eq!((&json["outcome"], &json["action"]), (&json!("proposal"), &json!("deposit-sweep")));
    let swept: Vec<_> =
        json["proposal"]["deposits"].as_array().unwrap().iter().map(|deposit| &deposit["txid"]).collect();
    assert_eq!(swept, [&json!(good.outpoint.txid.to_string()), &json!(fine.outpoint.txid.to_string())]);
    let excluded: usize = json["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| attempt["excluded"].as_array().unwrap().len())
        .sum();
    assert_eq!(excluded, expected.len());
    assert_eq!(proposer.validate(&json["proposal"]).await.code, 0);

    let document: Document = json["proposal"].to_string().parse().unwrap();

    // Its transaction, signed by the wallet, is one that Bitcoin takes.
    let bytes = alloy_primitives::hex::decode(json["transaction"].as_str().unwrap()).unwrap();
    let transaction: Transaction = encode::deserialize(&bytes).unwrap();
    let psbt: Psbt = json["psbt"].as_str().unwrap().parse().unwrap();
    assert_eq!(psbt.unsigned_tx, transaction);
    assert_eq!(psbt.fee().unwrap().to_sat(), json["fee"].as_u64().unwrap());
    let case = document.into_case().unwrap();
    let signed = proposer.world.carry_out(&proposer.wallet, &case.subject).await.unwrap().unwrap();
    let unsigned = |transaction: &Transaction| {
        let inputs = transaction.input.iter().map(|input| input.previous_output).collect::<Vec<_>>();
        (inputs, transaction.output.clone())
    };
    assert_eq!(unsigned(&signed), unsigned(&transaction));
}

#[tokio::test]
async fn the_exit_code_says_whether_there_is_a_proposal() {
    let mut proposer = Proposer::set_up().await;
    // Nothing to do but to heartbeat, which is last.
    let run = proposer.propose(&["--json"]).await;
    let json = run.json();
    assert_eq!((run.code, &json["outcome"], &json["action"]), (0, &json!("proposal"), &json!("heartbeat")));
    assert_eq!(json["attempts"].as_array().unwrap().len(), 5);
    assert_eq!(proposer.validate(&json["proposal"]).await.code, 0);
    // The whole answer is a document too: coxswain propose --json | coxswain validate -
    assert_eq!(proposer.validate(&json).await.code, 0);
    let message = json["proposal"]["message"].as_str().unwrap();
    let run = proposer.propose(&[]).await;
    assert!(run.stdout.contains(&format!("\n           message {message}\n")), "{run:?}");
    // What holds of several actions is said once.
    assert!(run.stdout.contains("deposit-sweep, moved-funds-sweep: "), "{run:?}");

    let run = proposer.propose(&["--action", "redemption", "--action", "deposit-sweep"]).await;
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stdout.starts_with("NOTHING"), "{run:?}");
    let json = proposer.propose(&["--action", "redemption", "--json"]).await.json();
    assert_eq!(json["outcome"], "nothing");
    let run = proposer.validate(&json).await;
    assert!(run.code == 2 && run.stderr.contains("what coxswain propose came to is `nothing`"), "{run:?}");

    // A retiring wallet commits first.
    let target = proposer.world.wallet(2).await.unwrap().key_hash();
    proposer.world.retire(&proposer.wallet).await.unwrap();
    proposer.world.chain.advance(DAY + HOUR).await.unwrap();
    let run = proposer.propose(&["--action", "moving-funds"]).await;
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stdout.starts_with("COMMIT FIRST") && run.stdout.contains(&target.to_string()), "{run:?}");
    let json = proposer.propose(&["--action", "moving-funds", "--json"]).await.json();
    assert_eq!(json["commitment"]["targetWallets"], json!([target.to_string()]));
    proposer.world.commit_targets(&proposer.wallet, &[target]).await.unwrap();
    let json = proposer.propose(&["--action", "moving-funds", "--json"]).await.json();
    assert_eq!(proposer.validate(&json["proposal"]).await.code, 0);

    // Undecided: Bitcoin can't be reached.
    let run = proposer.propose(&["--action", "moving-funds", "--bitcoin-url", "tcp://127.0.0.1:1"]).await;
    assert_eq!(run.code, 0, "the first endpoint answers: {run:?}");
    proposer.electrum =
        BitcoinServer::electrum(&proposer.world.bitcoin, Serving::default(), |_, _| Reply::Cut)
            .await
            .unwrap();
    let run = proposer.propose(&["--action", "moving-funds"]).await;
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.stdout.starts_with("UNDECIDED"), "{run:?}");
    assert_eq!(run.stdout.matches("moving-funds").count(), 0, "the reason is said once: {run:?}");
    let json = proposer.propose(&["--action", "moving-funds", "--json"]).await.json();
    assert_eq!((&json["outcome"], &json["cause"]), (&json!("undecided"), &json!("bitcoin")));
    // Yet the heartbeat needs no Bitcoin. It is shown, though an action ahead of it may be possible.
    let run = proposer.propose(&["--action", "moving-funds", "--action", "heartbeat"]).await;
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.stdout.starts_with("PROPOSAL") && run.stdout.contains("heartbeat"), "{run:?}");
    let json =
        proposer.propose(&["--action", "moving-funds", "--action", "heartbeat", "--json"]).await.json();
    assert_eq!(json["outcome"], "proposal");
    let run = proposer.propose(&["--action", "heartbeat", "--action", "moving-funds"]).await;
    assert_eq!(run.code, 0, "nothing is ahead of it: {run:?}");
}

#[tokio::test]
async fn a_wallet_that_the_bridge_does_not_know_is_said_to_be_mistyped() {
    let proposer = Proposer::set_up().await;
    let mut text = proposer.wallet.key_hash().to_string();
    text.replace_range(2..3, if text.starts_with("0x0") { "1" } else { "0" });
    let (validator, rpc_url) = (proposer.world.validator.to_string(), proposer.world.chain.endpoint());
    let arguments = ["propose", "--wallet", &text, "--validator", &validator, "--rpc-url", &rpc_url];
    let run =
        coxswain(&[&arguments[..], &["--bitcoin-url", proposer.electrum.url().as_str()]].concat(), "").await;
    assert_ne!(run.code, 0, "{run:?}");
    assert_eq!(
        run.stdout.matches("the Bridge knows no such wallet: it may be mistyped").count(),
        1,
        "{run:?}"
    );
}

#[tokio::test]
async fn wrong_usage_exits_2() {
    let wallet = "0x99b967335413543516753d28acc45141431f225b";
    let rpc = ["propose", "--wallet", wallet, "--rpc-url", "http://127.0.0.1:1"];
    for (more, words) in [
        (&["--bitcoin-url", "tcp://127.0.0.1:1", "--action", "dance"][..], "expected one of heartbeat"),
        (&["--bitcoin-url", "gopher://127.0.0.1:1"], "--bitcoin-url: gopher is not spoken"),
        (&[], "give a Bitcoin endpoint with --bitcoin-url"),
    ] {
        let run = coxswain(&[&rpc[..], more].concat(), "").await;
        assert_eq!(run.code, 2, "{run:?}");
        assert!(run.stderr.contains(words), "{run:?}");
    }
    // Nobody answers: that is no usage.
    let run = coxswain(&[&rpc[..], &["--bitcoin-url", "tcp://127.0.0.1:1"]].concat(), "").await;
    assert_eq!(run.code, 3, "{run:?}");
}
