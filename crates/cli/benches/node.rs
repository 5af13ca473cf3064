//! One node of many wallets over many windows, as a process of its own: what memory it has after ten windows and after all, what
//! processor time the blocks of twelve minutes take it, and what a window adds to its journal. Blocks come as fast as it takes them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a measurement that fails is none")]

#[path = "../tests/fleet/mod.rs"]
mod fleet;

use std::{env, fs, path::Path, time::Instant};

use coxswain_testkit::World;
use fleet::{Fleet, NETWORK, Plan, key_hash, status::free};

const NODE: u8 = 1;
/// After so many windows memory is what it will be.
const SETTLED: u64 = 10;
/// What it may have more in the end: this share, in percent, and so many MiB.
const MORE: (f64, f64) = (10.0, 10.0);
/// A processor's time is told in such parts of a second.
const TICKS: f64 = 100.0;

fn number(variable: &str, otherwise: u64) -> u64 {
    env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

/// Resident memory, in MiB.
fn memory(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// The processor's time that it has taken, in seconds.
fn processor(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name before may have spaces in it.
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    [11, 12].iter().map(|&field: &usize| fields[field].parse::<f64>().unwrap()).sum::<f64>() / TICKS
}

/// The journal's size, in bytes, with what is not in the file yet.
#[allow(clippy::cast_precision_loss, reason = "no journal here has so many bytes")]
fn size(journal: &Path) -> f64 {
    let log = journal.with_extension("db-wal");
    [journal, &log].iter().map(|path| fs::metadata(path).map_or(0, |file| file.len())).sum::<u64>() as f64
}

/// Runs a window, block by block or as far at once as no phase is passed over, until each wallet has its result.
async fn window(fleet: &mut Fleet, by_block: bool) {
    fleet.rest().await;
    let window = fleet.next();
    fleet.mine(1).await;
    let wallets = fleet.wallets().iter().map(key_hash).collect::<Vec<_>>();
    fleet.has_sent(*wallets.last().unwrap(), window).await;
    let step = if by_block { 1 } else { 5 };
    while fleet.height < window.end().0 {
        fleet.mine(step).await;
    }
    for wallet in wallets {
        fleet.results(wallet, window).await;
    }
    let next = window.block().0 + NETWORK.frequency.0 - 1;
    while by_block && fleet.height < next {
        fleet.mine(1).await;
    }
}

#[tokio::main]
async fn main() {
    let (wallets, windows) = (number("COXSWAIN_WALLETS", 200), number("COXSWAIN_WINDOWS", 100));
    let world = World::start().await.unwrap();
    let mut keys = Vec::new();
    for seed in 1..=wallets {
        keys.push(world.wallet(seed).await.unwrap().public_key().0);
    }
    let mut fleet = Fleet::new(world, &keys, Plan::of(1)).await;
    // With its page, whatever else listens where that is by default.
    fleet.run(NODE, &[("COXSWAIN_STATUS__LISTEN", &free().to_string())]);
    fleet.taken().await;
    let pid = fleet.nodes.get_mut(&NODE).unwrap().process().id();
    let journal = fleet.journal(NODE);
    println!("{wallets} wallets that have nothing to do, each led by this node");
    let (mut settled, began) = ((0.0, 0.0), Instant::now());
    for done in 1..=windows {
        window(&mut fleet, false).await;
        if done == SETTLED {
            settled = (memory(pid), size(&journal));
        }
        if done % SETTLED == 0 {
            println!(
                "after {done:>3} windows: {:.1} MiB, a journal of {:.2} MiB ({:.0} s)",
                memory(pid),
                size(&journal) / 1_048_576.0,
                began.elapsed().as_secs_f64()
            );
        }
    }
    let (before, after) = (settled.0, memory(pid));
    let bound = before * (1.0 + MORE.0 / 100.0) + MORE.1;
    println!(
        "memory: {before:.1} MiB after {SETTLED} windows, {after:.1} after {windows}, at most {bound:.1}"
    );
    #[allow(clippy::cast_precision_loss, reason = "they are few")]
    let (more, wallets) = (windows.saturating_sub(SETTLED).max(1) as f64, wallets as f64);
    let bytes = (size(&journal) - settled.1) / more;
    println!("journal: {bytes:.0} bytes a window, {:.0} for each wallet", bytes / wallets);
    let (was, began) = (processor(pid), Instant::now());
    window(&mut fleet, true).await;
    println!(
        "processor: {:.2} s for {} blocks with one window, of which each stands for 12 s ({:.0} s here, the heads looked at ten times a second)",
        processor(pid) - was,
        NETWORK.frequency.0,
        began.elapsed().as_secs_f64()
    );
    assert!(after <= bound, "{after:.1} MiB are more than {bound:.1}");
    fleet.stop();
}
