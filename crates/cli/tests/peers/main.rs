//! Real nodes among real peers. A Go operator holds a seat beside them: it hears their leader, and leads a window itself, by
//! messages that it writes and reads by the specification alone (`COXSWAIN_GO_PEER` names its program). And two wallets' lives,
//! carried out on btcd and ElectrumX by a group that signs with shares.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

#[path = "../fleet/mod.rs"]
mod fleet;
#[path = "../lives/mod.rs"]
mod lives;

use std::{env, process::Stdio};

use alloy_primitives::hex;
use bitcoin::hashes::Hash;
use coxswain_network::Channel;
use coxswain_protocol::{Agreement, Assurance};
use coxswain_rules::Proposal;
use coxswain_testkit::{Btcd, DepositSpec, ElectrumX, World};
use fleet::{Fleet, PATIENCE, Plan, identity, operator};
use lives::Life;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

const GO: u8 = 3;

/// The Go operator's process.
struct Go {
    _child: Child,
    commands: ChildStdin,
    events: Lines<BufReader<ChildStdout>>,
    /// All that it has said. A node may come to it before it is told to connect there.
    said: Vec<Value>,
}

impl Go {
    async fn start(fleet: &Fleet) -> Self {
        let program = env::var_os("COXSWAIN_GO_PEER").expect("the Go peer's program is named");
        let listen = format!("/ip4/127.0.0.1/tcp/{}", fleet.port(GO));
        let mut child = Command::new(program)
            .args(["-key", &hex::encode([GO; 32]), "-listen", &listen])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let commands = child.stdin.take().unwrap();
        let events = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut go = Self { _child: child, commands, events, said: Vec::new() };
        go.until(|event| event["event"] == "ready").await;
        go
    }

    async fn obey(&mut self, command: Value) {
        self.commands.write_all(format!("{command}\n").as_bytes()).await.unwrap();
    }

    /// Waits until it has said this, if it hasn't yet.
    async fn until(&mut self, holds: impl Fn(&Value) -> bool) -> Value {
        if let Some(event) = self.said.iter().find(|event| holds(event)) {
            return event.clone();
        }
        let found = async {
            loop {
                let line = self.events.next_line().await.unwrap().expect("the Go peer runs");
                let event: Value = serde_json::from_str(&line).unwrap();
                self.said.push(event.clone());
                if holds(&event) {
                    return event;
                }
            }
        };
        timeout(PATIENCE, found).await.expect("the Go peer says so")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_go_operator_hears_our_leader_and_leads_our_nodes() {
    let mut world = World::start().await.unwrap();
    let wallet = world.wallet(1).await.unwrap();
    world.reveal(&wallet, DepositSpec::default()).await.unwrap();
    let (key, topic) = (wallet.key_hash(), Channel::Coordination.topic(&wallet.public_key().0));
    let mut fleet = Fleet::new(world, &[wallet.public_key().0], Plan::of(3).played(GO)).await;
    let mut go = Go::start(&fleet).await;
    go.obey(json!({ "do": "join", "topic": topic })).await;
    for number in fleet.processes() {
        fleet.run(number, &[]);
    }
    fleet.taken().await;
    for number in fleet.processes() {
        go.obey(json!({ "do": "connect", "address": fleet.address(number) })).await;
        let peer = identity(number).peer_id().to_base58();
        go.until(|event| event["event"] == "subscribed" && event["peer"] == peer.as_str()).await;
    }

    // One of ours leads, and it hears the proposal.
    let window = fleet.until_next(key, |it| it.leader != operator(GO)).await;
    fleet.mine(1).await;
    fleet.has_sent(key, window).await;
    let heard =
        go.until(|event| event["event"] == "heard" && event["said"]["block"] == window.block().0).await;
    fleet.mine_to(window.end()).await;
    let results = fleet.results(key, window).await;
    let Some(Proposal::DepositSweep(sweep)) = results[&1].agreement.proposal().map(|it| (**it).clone())
    else {
        panic!("{results:#?}")
    };
    let deposits: Vec<_> = sweep
        .deposits
        .iter()
        .map(|deposit| {
            let hash = hex::encode(deposit.outpoint.txid.to_byte_array());
            json!({ "hash": hash, "index": deposit.outpoint.vout, "reveal": deposit.reveal_block })
        })
        .collect();
    let said = &heard["said"];
    let leader = fleet.assignment(key, window).await.leader;
    assert_eq!(said["seat"], fleet.group().first_seat(leader).unwrap().to_string().parse::<u64>().unwrap());
    assert_eq!((&said["wallet"], &said["action"]), (&json!(hex::encode(key.0)), &json!(2)));
    assert_eq!(
        (&said["sweep"]["deposits"], &said["sweep"]["fee"]),
        (&json!(deposits), &json!(sweep.fee.to_sat()))
    );

    // It leads, and ours come to what it proposes.
    let window = fleet.until_next(key, |it| it.leader == operator(GO)).await;
    fleet.mine(1).await;
    let proposal = json!({
        "seat": GO, "block": window.block(), "wallet": hex::encode(key.0),
        "deposits": deposits, "fee": sweep.fee.to_sat(), "sequence": 7,
    });
    go.obey(json!({ "do": "propose", "topic": topic, "sweep": proposal })).await;
    fleet.mine_to(window.end()).await;
    for (number, result) in fleet.results(key, window).await {
        let Agreement::Action(validated, _) = &result.agreement else { panic!("{number}: {result:#?}") };
        assert_eq!(**validated.proposal(), Proposal::DepositSweep(sweep.clone()));
        assert_eq!(validated.at().assurances.state, Some(Assurance::Proven));
        assert_eq!((result.basis.unwrap().leader, result.faults.len()), (operator(GO), 0));
    }
    println!("ok    the Go operator heard our leader, and led two of our nodes to a sweep");
    fleet.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn five_nodes_carry_out_what_they_agree_on_with_shares_on_btcd_and_electrumx() {
    let node = Btcd::start().await.unwrap();
    let server = ElectrumX::start(&node).await.unwrap();
    let world = World::start().await.unwrap().with_node(node).await.unwrap();
    let life = Life { threshold: Some(3), more_deposits: 20, servers: vec![server.url().to_string()] };
    lives::live(world, life, async |world| server.follow(&world.bitcoin).await.unwrap()).await;
    println!("ok    five nodes have carried out two wallets' lives with shares on btcd and ElectrumX");
}
