//! Nodes under attack, on real sockets, attackers and honest peers on different loopback addresses. The figures are printed.
//! `COXSWAIN_FLOOD_SECONDS` says how long floods last.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[path = "all/support/mod.rs"]
mod support;

use std::{
    fs,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use coxswain_network::{Channel, ChannelRules, ChannelVerdict, Driver, Slot, open};
use coxswain_protocol::wire::OperatorKey;
use support::{Node, config, group, identity, wallet};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    sync::Mutex,
};

/// One at a time: they measure memory and descriptors of this process.
static ALONE: Mutex<()> = Mutex::const_new(());

fn flood_time() -> Duration {
    let seconds = std::env::var("COXSWAIN_FLOOD_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(3))
}

/// Kilobytes that this process holds.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Says something until it is heard, as retransmissions do; how long that took.
async fn heard_after(leader: &Node, node: &mut Node, payload: &[u8]) -> Duration {
    let start = Instant::now();
    leader.say(payload, 1);
    loop {
        let heard = node.hear(Duration::from_secs(30)).await.expect("the leader is heard");
        if heard.author == *leader.identity.operator() {
            return start.elapsed();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inc_44_a_thousand_connections_that_say_nothing_half_a_handshake_or_garbage() {
    const ATTACKERS: usize = 1000;
    let _alone = ALONE.lock().await;
    let mut setup = config(1);
    setup.listen = vec!["127.0.0.1:0".parse().unwrap()];
    let mut node = Node::start(setup, 2).await;
    let target = node.socket();
    let (memory_before, descriptors_before) = (memory(), descriptors());
    let mut attackers: Vec<TcpStream> = Vec::new();
    for number in 0..ATTACKERS {
        let from: SocketAddr = format!("127.0.1.{}:0", number % 50 + 1).parse().unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(from).unwrap();
        let Ok(mut stream) = socket.connect(target).await else { continue };
        let said: &[u8] = match number % 3 {
            0 => b"",
            1 => b"\x13/multistream/1.0.0\n\x16/keep/handshake/1.0.0\n\x16\x03\x01\x02\x00",
            _ => &[0xfe; 2048],
        };
        // Who is turned away can't be written to.
        let _ = stream.write_all(said).await;
        attackers.push(stream);
    }
    let most = descriptors().saturating_sub(descriptors_before + attackers.len());
    let mut member = config(2);
    member.listen = vec!["127.0.0.2:0".parse().unwrap()];
    member.peers = vec![node.address()];
    let start = Instant::now();
    let member = Node::start(member, 2).await;
    member.linked(1).await;
    node.linked(2).await;
    let linked = start.elapsed();
    let delay = heard_after(&member, &mut node, b"hello").await;
    let grown = memory().saturating_sub(memory_before);
    let counts = node.network.status().counts;
    println!(
        "{ATTACKERS} attackers from 50 addresses: {most} descriptors and {grown} KiB for them; a member was linked after {} ms, \
         its message heard after {} ms; {counts}",
        linked.as_millis(),
        delay.as_millis()
    );
    // 136 places for strangers, and what the node itself opens.
    assert!(most <= 200, "{most} descriptors");
    assert!(grown < 64 << 10, "{grown} KiB");
    assert!(counts.turned_away > 0 && counts.failed_handshakes > 0);
    drop(attackers);
}

/// Accepts a window's messages; the first byte of a payload is its window, the second is what it does.
struct Window(u8);

impl ChannelRules for Window {
    fn quota(&self) -> usize {
        64
    }

    fn assess(&mut self, author: &OperatorKey, envelope: &[u8]) -> ChannelVerdict {
        match open(author, envelope).map(|opened| opened.payload) {
            Ok([window, action, ..]) if *window == self.0 => ChannelVerdict::Accept {
                slot: Slot { period: u64::from(*window), lane: 0 },
                distinct: Some([*action; 32]),
            },
            Ok(_) => ChannelVerdict::Ignore,
            Err(_) => ChannelVerdict::Reject,
        }
    }
}

/// A node whose rules are those of a window.
async fn in_window(number: u8, window: u8, peers: &[&Node]) -> Node {
    let mut setup = config(number);
    setup.listen = vec![format!("127.0.0.{number}:0").parse().unwrap()];
    setup.peers = peers.iter().map(|peer| peer.address()).collect();
    let mut node = Node::start(setup, 5).await;
    let rules = Box::new(Window(window));
    (node.sender, node.receiver) = node.network.join(&wallet(), Channel::Coordination, &group(5), rules);
    node
}

/// Says as much as it can until told to stop: how much that was.
async fn flood(node: &Node, stop: &AtomicBool) -> u64 {
    let mut said = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let mut payload = vec![5; 1024];
        payload[2..10].copy_from_slice(&said.to_be_bytes());
        node.say(&payload, said);
        said += 1;
        if said.is_multiple_of(16) {
            tokio::task::yield_now().await;
        }
    }
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inc_18_a_member_floods_directly_and_behind_an_honest_relay() {
    let _alone = ALONE.lock().await;
    for directly in [true, false] {
        let mut node = in_window(1, 5, &[]).await;
        let relay = in_window(3, 5, &[&node]).await;
        let flooding = in_window(2, 5, &[if directly { &node } else { &relay }]).await;
        let leader = in_window(4, 5, &[&node]).await;
        node.linked(4).await;
        node.linked(3).await;
        if directly { &node } else { &relay }.linked(2).await;
        let memory_before = memory();
        let stop = AtomicBool::new(false);
        let start = Instant::now();
        let (said, delay) = tokio::join!(flood(&flooding, &stop), async {
            tokio::time::sleep(flood_time() / 2).await;
            let delay = heard_after(&leader, &mut node, &[5, 1]).await;
            tokio::time::sleep(flood_time().saturating_sub(start.elapsed())).await;
            stop.store(true, Ordering::Relaxed);
            delay
        });
        let seconds = start.elapsed().as_secs_f64();
        let grown = memory().saturating_sub(memory_before);
        let counts = node.network.status().counts;
        println!(
            "a member floods {}: {:.0} messages of 1 KiB a second for {seconds:.0} s, {} frames came, the leader was heard after \
             {} ms, {grown} KiB more; {counts}",
            if directly { "directly" } else { "behind an honest relay" },
            said as f64 / seconds,
            counts.frames,
            delay.as_millis()
        );
        assert!(delay < Duration::from_secs(5));
        assert!(grown < 128 << 10, "{grown} KiB");
        assert!(counts.delivered <= 64 + 2 + 2, "the flood is within its quota");
        for node in [node, relay, flooding, leader] {
            node.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inc_48_old_messages_of_the_leader_are_replayed_and_it_is_heard() {
    let _alone = ALONE.lock().await;
    let mut node = in_window(1, 5, &[]).await;
    // Who passes them on lives in the old window, with the leader as it was then.
    let replaying = in_window(2, 4, &[&node]).await;
    let before = in_window(4, 4, &[&replaying]).await;
    node.linked(2).await;
    replaying.linked(4).await;
    for number in 0..64 {
        before.say(&[4, 1, number], u64::from(number));
    }
    node.until("all are dropped", |status| status.counts.ignored == 64).await;
    before.stop().await;
    let leader = in_window(4, 5, &[&node]).await;
    node.linked(4).await;
    for number in 0..64 {
        leader.say(&[5, 1, number], u64::from(number));
    }
    let start = Instant::now();
    for _ in 0..64 {
        let heard = node.hear(Duration::from_secs(20)).await.expect("none of the leader's quota is spent");
        assert_eq!(heard.author, *leader.identity.operator());
    }
    println!("64 old messages replayed; 64 new ones were heard within {} ms", start.elapsed().as_millis());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inc_45_an_old_connection_that_only_looks_alive_swallows_nothing() {
    let _alone = ALONE.lock().await;
    let mut node = Node::start(config(1), 2).await;
    // A member whose process is frozen: its connection stays open, and nobody reads it.
    let frozen = {
        let mut setup = config(2);
        setup.peers = vec![node.address()];
        let (network, driver) = Driver::bind(setup).await.unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let frozen = Node::join(identity(2), network, 2, 64);
        runtime.spawn(driver.run(std::future::pending()));
        frozen.linked(1).await;
        node.linked(2).await;
        // Holds the only thread, so that nothing runs any more.
        let (hold, held) = std::sync::mpsc::channel::<()>();
        runtime.spawn(async move { held.recv().is_err() });
        (frozen, runtime, hold)
    };
    // It comes back with the same key on another address.
    let mut setup = config(2);
    setup.listen = vec!["127.0.0.3:0".parse().unwrap()];
    setup.peers = vec![node.address()];
    let start = Instant::now();
    let mut back = Node::start(setup, 2).await;
    back.linked(1).await;
    node.say(b"to you", 1);
    assert!(back.hear(Duration::from_secs(20)).await.is_some());
    back.say(b"from me", 1);
    assert!(node.hear(Duration::from_secs(20)).await.is_some());
    println!("heard both ways {} ms after it came back", start.elapsed().as_millis());
    let (_, runtime, hold) = frozen;
    drop(hold);
    runtime.shutdown_background();
}
