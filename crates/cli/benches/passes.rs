//! How often a running maintainer of 200 wallets asks, in a pass with nothing to prove and in one with 20 transactions unproven, and
//! how much memory it takes. Ethereum's requests are counted on the way, a batch being one; Bitcoin's by the server.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a measurement that fails is none")]

#[path = "../tests/proving/mod.rs"]
mod proving;

use std::{collections::BTreeMap, fs, time::Duration};

use coxswain_testkit::{FaultyEndpoint, Reply};
use proving::{Program, Unproven};
use tokio::time::sleep;

const WALLETS: u64 = 200;
const UNPROVEN: usize = 20;
/// What is asked again and again, whether there is a pass or not.
const POLLED: [&str; 2] = ["blockchain.headers.subscribe", "server.features"];

struct Counted {
    requests: usize,
    ethereum: usize,
    bitcoin: usize,
}

fn count(endpoint: &FaultyEndpoint, unproven: &Unproven) -> Counted {
    let asked = unproven.electrum.methods();
    let bitcoin = asked.iter().filter(|method| !POLLED.contains(&method.as_str())).count();
    Counted { requests: endpoint.requests(), ethereum: endpoint.methods().len(), bitcoin }
}

fn tell(what: &str, before: &Counted, after: &Counted, passes: f64) {
    let each = |before: usize, after: usize| after - before;
    println!(
        "{what:34} {:>8} {:>8} {:>9} {passes:>7}",
        each(before.requests, after.requests),
        each(before.ethereum, after.ethereum),
        each(before.bitcoin, after.bitcoin),
    );
}

async fn passes(program: &mut Program) -> f64 {
    program.number("coxswain_maintainer_passes_total").await.unwrap()
}

/// Waits until so many passes have ended.
async fn passed(program: &mut Program, count: f64) {
    while passes(program).await < count {
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut unproven = Unproven::new(WALLETS).await;
    unproven.authorise().await;
    let upstream = unproven.world.chain.url();
    let endpoint = FaultyEndpoint::start(upstream, |_| Reply::Forward).await.unwrap();
    let url = endpoint.url().to_string();
    let nothing = count(&endpoint, &unproven);
    let variables = [("COXSWAIN_ETHEREUM__URLS", url.as_str()), ("COXSWAIN_ETHEREUM__POLL", "1s")];
    let mut program = unproven.start("only = \"spv\"\nevery = \"60m\"", &variables);
    println!("{WALLETS} wallets                        requests    calls   Bitcoin  passes");
    passed(&mut program, 1.0).await;
    let first = count(&endpoint, &unproven);
    tell("the first pass, and the start", &nothing, &first, 1.0);

    unproven.world.bitcoin.mine_empty(1).unwrap();
    passed(&mut program, 2.0).await;
    let idle = count(&endpoint, &unproven);
    tell("a pass with nothing to prove", &first, &idle, 1.0);

    // A block every second, so that what is sent becomes deep.
    for wallet in 0..UNPROVEN {
        unproven.sweep(wallet).await;
    }
    unproven.world.chain.mine_every(1).await.unwrap();
    unproven.settle(&program).await;
    let before = passes(&mut program).await;
    unproven.world.bitcoin.mine_empty(1).unwrap();
    passed(&mut program, before + 1.0).await;
    let proven = count(&endpoint, &unproven);
    let what = format!("{UNPROVEN} unproven, until all is proven");
    tell(&what, &idle, &proven, passes(&mut program).await - 2.0);

    let methods = endpoint.methods();
    let mut by_method = BTreeMap::<&str, usize>::new();
    for method in &methods {
        *by_method.entry(method).or_default() += 1;
    }
    println!("Ethereum's calls by method: {by_method:?}");
    if let Ok(status) = fs::read_to_string(format!("/proc/{}/status", program.id())) {
        for line in status.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS")) {
            println!("memory of this build: {line}");
        }
    }
    assert_eq!(program.terminate().code(), Some(0));
    assert_eq!(unproven.sent().await, (UNPROVEN, 0));
}
