//! How fast one node is: handshakes, and messages of 1 KiB to a hundred peers. All nodes run in this process, so that the
//! figures hold both sides' work. Lifted: the rates and quotas before and after signatures, and the gate's bounds.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark"
)]

#[path = "../tests/all/support/mod.rs"]
mod support;

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use coxswain_network::{Bounds, Config};
use support::{Node, config};

const CLIENTS: u8 = 200;
const PEERS: u8 = 100;
const MESSAGES: u64 = 500;

fn lifted(number: u8) -> Config {
    let mut config = config(number);
    config.lift_rates = true;
    config.bounds =
        Bounds { handshakes: 10_000, per_address: 10_000, per_minute: 1_000_000, ..Bounds::default() };
    config
}

/// Seconds of CPU that this process has used, and kilobytes that it holds.
fn used() -> (f64, u64) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<u64>().ok()).sum();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    (ticks as f64 / 100.0, line.split_whitespace().nth(1).unwrap().parse().unwrap())
}

async fn until(mut done: impl FnMut() -> bool) {
    while !done() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn handshakes() {
    let node = Node::start(lifted(254), 1).await;
    let (cpu, _) = used();
    let start = Instant::now();
    let mut clients = Vec::new();
    for number in 1..=CLIENTS {
        let mut config = lifted(number);
        config.peers = vec![node.address()];
        clients.push(Node::start(config, 1).await);
    }
    until(|| node.network.status().counts.handshakes >= u64::from(CLIENTS)).await;
    let (elapsed, (cpu_after, _)) = (start.elapsed().as_secs_f64(), used());
    println!(
        "handshakes: {:.0} a second, {:.1} ms of CPU each (both sides, and the start of the node that dials)",
        f64::from(CLIENTS) / elapsed,
        (cpu_after - cpu) * 1000.0 / f64::from(CLIENTS)
    );
}

async fn messages() {
    let node = Node::start_with(lifted(PEERS + 1), PEERS + 1, usize::MAX).await;
    let (_, memory) = used();
    let mut readers = Vec::new();
    let heard: Arc<[AtomicU64]> = (0..PEERS).map(|_| AtomicU64::new(0)).collect();
    for number in 1..=PEERS {
        let mut config = lifted(number);
        config.peers = vec![node.address()];
        let mut peer = Node::start_with(config, PEERS + 1, usize::MAX).await;
        node.linked(number).await;
        let heard = Arc::clone(&heard);
        readers.push(tokio::spawn(async move {
            for count in 1..=MESSAGES {
                peer.hear(Duration::from_secs(120)).await.expect("all is heard");
                heard[usize::from(number - 1)].store(count, Ordering::Relaxed);
            }
            peer
        }));
    }
    let (cpu, linked) = used();
    let start = Instant::now();
    for sequence in 1..=MESSAGES {
        node.say(&[7; 1024], sequence);
        // No more is said than the queue of the slowest peer holds.
        until(|| heard.iter().all(|heard| sequence - heard.load(Ordering::Relaxed) < 128)).await;
    }
    let mut peers = Vec::new();
    for reader in readers {
        peers.push(reader.await.unwrap());
    }
    let (elapsed, (cpu_after, memory_after)) = (start.elapsed().as_secs_f64(), used());
    let delivered = (MESSAGES * u64::from(PEERS)) as f64;
    println!(
        "messages of 1 KiB to {PEERS} peers: {:.0} a second, {:.0} deliveries a second, {:.0} µs of CPU each (both sides); \
         memory {} KiB a peer when linked, {} KiB more at the end; dropped: {}",
        MESSAGES as f64 / elapsed,
        delivered / elapsed,
        (cpu_after - cpu) * 1e6 / delivered,
        (linked - memory) / u64::from(PEERS),
        memory_after.saturating_sub(linked),
        node.network.status().counts.dropped_sending
    );
    drop(peers);
}

fn main() {
    // Nothing to list or filter: what `cargo test --benches` asks for is that it builds.
    if std::env::args().any(|argument| argument == "--list" || argument == "--test") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        handshakes().await;
        messages().await;
    });
}
