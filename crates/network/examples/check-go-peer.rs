//! Our network beside a Go peer made of the libraries that the deployed client pins: `make test-peers` builds it, and gives
//! its path. What it says must be what our router hears, and the other way round.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

#[path = "../tests/all/support/mod.rs"]
mod support;

use std::{
    collections::HashSet,
    env,
    net::SocketAddr,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use alloy_primitives::hex;
use coxswain_network::{Channel, Config, Driver, Open, PeerAddress};
use coxswain_protocol::wire::MESSAGE_TYPE;
use serde_json::{Value, json};
use support::{Node, config, envelope, group, identity, wallet};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// How long anything may take that should happen at once.
const SOON: Duration = Duration::from_secs(20);

/// A Go peer that runs.
struct Go {
    number: u8,
    child: Child,
    commands: ChildStdin,
    events: Lines<BufReader<ChildStdout>>,
    address: PeerAddress,
    /// Who has subscribed while another's subscription was waited for.
    early: HashSet<String>,
}

impl Go {
    async fn start(number: u8) -> Self {
        let program = env::args().nth(1).expect("the Go peer's program is named");
        let mut child = Command::new(program)
            .args(["-key", &hex::encode([number; 32])])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let commands = child.stdin.take().unwrap();
        let mut events = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready: Value = serde_json::from_str(&events.next_line().await.unwrap().unwrap()).unwrap();
        let address = ready["addresses"][0].as_str().unwrap().parse().unwrap();
        let mut go = Self { number, child, commands, events, address, early: HashSet::new() };
        go.obey(json!({ "do": "join", "topic": topic() })).await;
        go.until("joined").await;
        go
    }

    async fn obey(&mut self, command: Value) {
        self.commands.write_all(format!("{command}\n").as_bytes()).await.unwrap();
    }

    async fn connect(&mut self, to: &PeerAddress) {
        self.obey(json!({ "do": "connect", "address": to.to_string() })).await;
    }

    async fn say(&mut self, payload: &[u8], sequence: u64) {
        let data = hex::encode(envelope(&identity(self.number), payload, sequence));
        self.obey(json!({ "do": "publish", "topic": topic(), "data": data })).await;
    }

    async fn event(&mut self) -> Value {
        let line = timeout(SOON * 4, self.events.next_line()).await.expect("the Go peer says something");
        let event: Value = serde_json::from_str(&line.unwrap().expect("the Go peer runs")).unwrap();
        assert_ne!(event["event"], "thrown-away", "bytes came in one record with act 3");
        event
    }

    async fn until(&mut self, name: &str) -> Value {
        loop {
            let event = self.event().await;
            if event["event"] == name {
                return event;
            }
        }
    }

    /// Waits until it has seen that this operator subscribes: then it sends to it.
    async fn subscribed(&mut self, number: u8) {
        let peer = identity(number).peer_id().to_base58();
        while !self.early.remove(&peer) {
            let event = self.until("subscribed").await;
            self.early.insert(event["peer"].as_str().unwrap().to_owned());
        }
    }

    async fn hears(&mut self, from: u8, payload: &[u8], sequence: u64) {
        let data = hex::encode(envelope(&identity(from), payload, sequence));
        while self.until("heard").await["data"] != data.as_str() {}
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args([signal, &id]).status().unwrap().success());
    }
}

fn topic() -> String {
    Channel::Coordination.topic(&wallet())
}

async fn hears(node: &mut Node, from: u8, payload: &[u8], sequence: u64) {
    let expected = envelope(&identity(from), payload, sequence);
    let heard = async { while node.receiver.recv().await.unwrap().envelope[..] != expected {} };
    timeout(SOON, heard)
        .await
        .unwrap_or_else(|_| panic!("{from} isn't heard: {}", node.network.status().counts));
}

/// Both ways, once.
async fn talk(node: &mut Node, me: u8, go: &mut Go, sequence: u64) {
    node.say(b"from us", sequence);
    go.hears(me, b"from us", sequence).await;
    go.say(b"from Go", sequence).await;
    hears(node, go.number, b"from Go", sequence).await;
}

async fn step(name: &str, future: impl Future<Output = ()>) {
    let start = Instant::now();
    future.await;
    println!("ok    {name} ({:.1} s)", start.elapsed().as_secs_f32());
}

fn towards(number: u8, peers: &[PeerAddress]) -> Config {
    let mut config = config(number);
    config.peers = peers.to_vec();
    config
}

async fn we_dial() {
    let mut go = Go::start(2).await;
    let mut node = Node::start(towards(1, std::slice::from_ref(&go.address)), 5).await;
    node.linked(2).await;
    go.subscribed(1).await;
    talk(&mut node, 1, &mut go, 1).await;
    // A retransmission is a new message around the same envelope.
    node.say(b"from us", 1);
    go.hears(1, b"from us", 1).await;
}

async fn go_dials() {
    let mut go = Go::start(2).await;
    let mut node = Node::start(config(1), 5).await;
    go.connect(&node.address()).await;
    node.linked(2).await;
    go.subscribed(1).await;
    talk(&mut node, 1, &mut go, 1).await;
}

async fn go_relays() {
    let mut go = Go::start(2).await;
    let left = Node::start(towards(1, std::slice::from_ref(&go.address)), 5).await;
    let mut right = Node::start(towards(3, std::slice::from_ref(&go.address)), 5).await;
    go.subscribed(1).await;
    go.subscribed(3).await;
    left.say(b"over Go", 1);
    hears(&mut right, 1, b"over Go", 1).await;
}

async fn we_relay() {
    let mut node = Node::start(config(1), 5).await;
    let (mut left, mut right) = (Go::start(2).await, Go::start(3).await);
    left.connect(&node.address()).await;
    right.connect(&node.address()).await;
    left.subscribed(1).await;
    node.linked(3).await;
    left.say(b"over us", 1).await;
    hears(&mut node, 2, b"over us", 1).await;
    right.hears(2, b"over us", 1).await;
}

async fn go_restarts() {
    let mut node = Node::start(config(1), 5).await;
    let mut go = Go::start(2).await;
    go.connect(&node.address()).await;
    go.subscribed(1).await;
    talk(&mut node, 1, &mut go, 1).await;
    go.child.kill().await.unwrap();
    // The same key on another port.
    let mut go = Go::start(2).await;
    go.connect(&node.address()).await;
    go.subscribed(1).await;
    talk(&mut node, 1, &mut go, 2).await;
}

async fn two_connections() {
    let mut go = Go::start(2).await;
    let (network, driver) = Driver::bind(config(1)).await.unwrap();
    let dialer = driver.dialer();
    tokio::spawn(driver.run(std::future::pending()));
    let mut node = Node::join(identity(1), network, 5, 64);
    for connections in 1..=2 {
        dialer.dial(go.address.clone()).await.unwrap();
        loop {
            let peers = node.network.status().peers;
            if peers.first().is_some_and(|peer| peer.connections.len() == connections) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if connections == 1 {
            go.subscribed(1).await;
        }
    }
    talk(&mut node, 1, &mut go, 1).await;
    // Pubsub's stream is on the first: Go opens another, has forgotten what we had joined, and must be told.
    go.obey(json!({ "do": "close-first" })).await;
    assert_eq!(go.until("closing").await["count"], 2);
    go.subscribed(1).await;
    talk(&mut node, 1, &mut go, 2).await;
}

async fn many_topics() {
    let mut go = Go::start(2).await;
    for number in 0..130 {
        go.obey(json!({ "do": "join", "topic": format!("tbtc-{number:0130}-coordination") })).await;
        go.until("joined").await;
    }
    let mut node = Node::start(towards(1, std::slice::from_ref(&go.address)), 5).await;
    let joined: Vec<_> = (100..230)
        .map(|number| {
            let key = identity(number).operator().compressed();
            let wallet = bitcoin::secp256k1::PublicKey::from_slice(&key).unwrap();
            let rules = Box::new(Open::new(64, [MESSAGE_TYPE]));
            node.network.join(&wallet, Channel::Coordination, &group(5), rules)
        })
        .collect();
    go.subscribed(1).await;
    talk(&mut node, 1, &mut go, 1).await;
    drop(joined);
}

async fn go_freezes() {
    let mut node = Node::start(config(1), 5).await;
    let mut go = Go::start(2).await;
    go.connect(&node.address()).await;
    go.subscribed(1).await;
    go.signal("-STOP");
    let frozen = Instant::now();
    while !node.network.status().peers.is_empty() {
        assert!(frozen.elapsed() < Duration::from_secs(45), "a frozen peer isn't dropped");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    println!("      frozen, dropped after {:.0} s", frozen.elapsed().as_secs_f32());
    go.signal("-CONT");
    go.subscribed(1).await;
    talk(&mut node, 1, &mut go, 2).await;
}

async fn go_floods() {
    // 2 floods; 3 is an honest Go peer that passes that on; the leader, 4, is heard over 3 and directly.
    let mut node = Node::start_with(config(1), 5, 64).await;
    let (mut flooding, mut relay) = (Go::start(2).await, Go::start(3).await);
    relay.connect(&node.address()).await;
    flooding.connect(&relay.address.clone()).await;
    flooding.connect(&node.address()).await;
    let leader = Node::start(towards(4, &[node.address(), relay.address.clone()]), 5).await;
    for number in [2, 3, 4] {
        node.linked(number).await;
    }
    leader.linked(1).await;
    relay.subscribed(1).await;
    let data = hex::encode(envelope(&identity(2), &[7; 1024], 9));
    let before = node.network.status().counts;
    flooding.obey(json!({ "do": "flood", "topic": topic(), "data": data, "count": 10 })).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    leader.say(b"the proposal", 1);
    let said = Instant::now();
    hears(&mut node, 4, b"the proposal", 1).await;
    let delay = said.elapsed();
    // The Go peer's own words are heard as well, when its flood is over.
    let mut sent = 0;
    while sent == 0 {
        let event = flooding.event().await;
        if event["event"] == "flooded" {
            sent = event["count"].as_u64().unwrap();
        }
    }
    let after = node.network.status().counts;
    println!(
        "      {sent} sent in 10 s, {} frames came, {} throttled, {} over the quota; the leader was heard after {} ms",
        after.frames - before.frames,
        after.throttled,
        after.over_quota,
        delay.as_millis()
    );
    assert!(after.over_quota + after.throttled > 0, "the flood was none");
    assert!(delay < Duration::from_secs(5));
}

/// Counts the bytes that go through it, either way.
async fn counting_proxy(to: SocketAddr) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let bytes = Arc::new(AtomicU64::new(0));
    let counted = bytes.clone();
    tokio::spawn(async move {
        while let Ok((left, _)) = listener.accept().await {
            let right = TcpStream::connect(to).await.unwrap();
            let ((left_read, left_write), (right_read, right_write)) =
                (left.into_split(), right.into_split());
            for (mut from, mut to) in [(left_read, right_write), (right_read, left_write)] {
                let counted = counted.clone();
                tokio::spawn(async move {
                    let mut buffer = vec![0; 65536];
                    while let Ok(length @ 1..) = tokio::io::AsyncReadExt::read(&mut from, &mut buffer).await {
                        counted.fetch_add(length as u64, Ordering::Relaxed);
                        if to.write_all(&buffer[..length]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        }
    });
    (address, bytes)
}

async fn bytes_on_the_wire() {
    const MESSAGES: u64 = 50;
    let mut per_message = Vec::new();
    let mut go = Go::start(2).await;
    let ours = Node::start(config(3), 5).await;
    for (name, number, socket) in
        [("Go", 2_u8, format!("127.0.0.1:{}", go.address.port()).parse().unwrap()), ("us", 3, ours.socket())]
    {
        let (proxy, bytes) = counting_proxy(socket).await;
        let peer = identity(number).peer_id();
        let address = format!("/ip4/{}/tcp/{}/p2p/{peer}", proxy.ip(), proxy.port()).parse().unwrap();
        let node = Node::start(towards(1, &[address]), 5).await;
        node.linked(number).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let before = bytes.load(Ordering::Relaxed);
        for sequence in 1..=MESSAGES {
            node.say(&[7; 1024], sequence);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if number == 2 {
            go.hears(1, &[7; 1024], MESSAGES).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        per_message.push((name, (bytes.load(Ordering::Relaxed) - before) / MESSAGES));
        node.stop().await;
    }
    for (name, bytes) in &per_message {
        println!("      a message of 1 KiB to {name}: {bytes} bytes on the wire");
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    step("we dial the Go peer; envelopes both ways, and a retransmission", we_dial()).await;
    step("the Go peer dials us; envelopes both ways", go_dials()).await;
    step("the Go peer passes our messages on", go_relays()).await;
    step("we pass the Go peers' messages on", we_relay()).await;
    step("the Go peer restarts on another port, same key", go_restarts()).await;
    step("two connections, the first is closed: hello again", two_connections()).await;
    step("131 topics on either side", many_topics()).await;
    step("the Go peer floods, directly and over an honest one; the leader is heard", go_floods()).await;
    step("the Go peer freezes and wakes", go_freezes()).await;
    step("bytes on the wire", bytes_on_the_wire()).await;
}
