//! One window of many wallets on one node, which leads them all: how long it takes from the window's first block to the last
//! leader's message, what Ethereum and Bitcoin are asked for it, and how much memory that takes. A batch is one request. Beside
//! it, the same with each wallet's record looked up by itself.

#![allow(clippy::unwrap_used, reason = "a measurement that fails is none")]
// The futures of a session's answer are deep.
#![recursion_limit = "256"]

use std::{
    collections::BTreeMap,
    convert::Infallible,
    env, fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use coxswain_bitcoin::{Backends, Endpoint, Limits};
use coxswain_coordination::{Channel, Coordinator, Forgetful, Link, Settings, Tick, Wallet};
use coxswain_ethereum::{
    BlockSelector, Endpoints, EventLog, EventReader, Named, Tbtc, Wanted, heads::Standing,
};
use coxswain_network::Identity;
use coxswain_node::SessionAdvisor;
use coxswain_proposals::Sources;
use coxswain_protocol::{Received, Setup, SigningGroup, WindowParameters};
use coxswain_rules::{
    KeyHash,
    network::Parameters,
    units::{BlockNumber, UnixTime},
};
use coxswain_testkit::{BitcoinServer, FaultyEndpoint, Reply, Serving, World};
use tokio::sync::{Notify, mpsc, watch};

const ANVIL: u64 = 31_337;
/// At most so many requests for a window in which a thousand wallets have nothing to do, and at most this long.
const AIM: (usize, Duration) = (30, Duration::from_secs(10));

/// A channel that nobody else is on.
struct Alone {
    sent: Arc<AtomicUsize>,
    news: Arc<Notify>,
}

impl Channel for Alone {
    type Error = Infallible;

    async fn recv(&mut self) -> Option<Received> {
        std::future::pending().await
    }

    fn send(&mut self, _: &[u8]) -> Result<(), Infallible> {
        self.sent.fetch_add(1, Ordering::SeqCst);
        self.news.notify_one();
        Ok(())
    }

    fn on_block(&mut self, _: BlockNumber) -> Vec<Link> {
        Vec::new()
    }
}

/// This process's memory, in MiB: the most that it had since the last reset.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or("VmHWM: 0");
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
}

fn reset_peak() {
    // Where that is not possible, the peak is that of all before, too.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

#[tokio::main]
async fn main() {
    let counts: Vec<u64> = match env::var("COXSWAIN_WALLETS") {
        Ok(counts) => counts.split(',').map(|count| count.parse().unwrap()).collect(),
        Err(_) => vec![200, 1_000],
    };
    println!("wallets  heartbeat  records     Ethereum  Bitcoin        ms  MiB at most");
    let world = World::start().await.unwrap();
    let mut wallets = Vec::new();
    for count in counts {
        for seed in wallets.len() as u64 + 1..=count {
            wallets.push(world.wallet(seed).await.unwrap().key_hash());
        }
        for heartbeat_probability in [0.0, 0.0625] {
            for together in [true, false] {
                Setting { world: &world, wallets: &wallets, heartbeat_probability, together }.run().await;
            }
        }
    }
}

struct Setting<'a> {
    world: &'a World,
    wallets: &'a [KeyHash],
    heartbeat_probability: f64,
    together: bool,
}

impl Setting<'_> {
    async fn run(&self) {
        let parameters =
            Parameters { heartbeat_probability: self.heartbeat_probability, ..Parameters::LOCAL };
        let network = WindowParameters::try_from(parameters).unwrap();
        let upstream: url::Url = self.world.chain.url();
        let ethereum = FaultyEndpoint::start(upstream, |_| Reply::Forward).await.unwrap();
        let asked = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&asked);
        let meet = move |_: &str, _: &_| {
            counted.fetch_add(1, Ordering::SeqCst);
            Reply::Forward
        };
        let serving = Serving { estimate: Some(0.000_1), ..Serving::default() };
        let electrum = BitcoinServer::electrum(&self.world.bitcoin, serving, meet).await.unwrap();
        let expected = coxswain_bitcoin::Expected::on(bitcoin::Network::Regtest);
        let backends =
            Backends::new(vec![Endpoint::new(electrum.url(), Limits::default()).unwrap()], expected);
        let endpoints = Endpoints::new(ethereum.url().clone()).unwrap();

        // To the block before the next window's.
        let head = endpoints.block(BlockSelector::Latest).await.unwrap().unwrap().number;
        let next = network.frequency.0 * (head.0 / network.frequency.0 + 1);
        self.world.chain.mine(next - 1 - head.0).await.unwrap();
        let wanted = Wanted { network: None, validator: Some(self.world.validator), bridge: None };
        let tbtc = Tbtc::resolve(&endpoints, &wanted, BlockSelector::Latest).await.unwrap();
        let panel = tbtc.panel.clone();
        let events =
            EventReader::new(endpoints, EventLog::new(tbtc.bridge, BlockNumber(0)), parameters.final_depth);
        let sources =
            Sources::new(events.clone(), ANVIL, tbtc.proposal_validator(), backends, parameters, None)
                .through(panel.clone(), tbtc.assurance);

        let me = Identity::from_secret([1; 32]).unwrap();
        let group = Arc::new(SigningGroup::new(vec![me.operator().address()]).unwrap());
        let (sent, news) = (Arc::<AtomicUsize>::default(), Arc::<Notify>::default());
        let setups: Vec<_> = self
            .wallets
            .iter()
            .map(|wallet| Setup {
                network,
                wallet: *wallet,
                group: Arc::clone(&group),
                key: *me.operator(),
                first_sequence: 1,
                observes: false,
            })
            .collect();
        let members = setups.iter().map(|setup| {
            let channel = Alone { sent: Arc::clone(&sent), news: Arc::clone(&news) };
            Wallet { setup: setup.clone(), channel }
        });
        let (standing, heads) = watch::channel(None);
        let known = if self.together { setups.clone() } else { Vec::new() };
        let advisor = SessionAdvisor::new(panel.clone(), events.clone(), sources, heads, None, known);
        let settings =
            Settings { places: 32, patience: Duration::from_secs(600), clock: Arc::new(|| UnixTime(1)) };
        let (dispatch, _results) = mpsc::channel(16);
        let coordinator = Coordinator::new(advisor, Forgetful, settings, members, dispatch);
        let (clock, ticks) = watch::channel(Tick::default());
        let running = tokio::spawn(coordinator.run(ticks));

        // A node has followed the events up to here, and its clock ticks.
        let mut decider = panel.decider(None);
        let mut tick = async || {
            let decision = panel.decide(&mut decider, UnixTime(0)).await.unwrap();
            let height = decision.clock;
            standing.send_replace(Some(Standing { height, set_back: 0, named: Named::from(decision) }));
            height
        };
        let block = tick().await;
        events.follow(tbtc.named.header.block()).await.unwrap();
        clock.send_replace(Tick { block, set_back: 0 });
        self.world.chain.mine(1).await.unwrap();
        let before_polling = ethereum.requests();
        let block = tick().await;
        let polling = ethereum.requests() - before_polling;

        reset_peak();
        let (before, before_bitcoin) = (ethereum.requests(), asked.load(Ordering::SeqCst));
        let began = Instant::now();
        clock.send_replace(Tick { block, set_back: 0 });
        while sent.load(Ordering::SeqCst) < self.wallets.len() {
            let waited = tokio::time::timeout(Duration::from_secs(600), news.notified()).await;
            assert!(waited.is_ok(), "{} of {} sent", sent.load(Ordering::SeqCst), self.wallets.len());
        }
        let took = began.elapsed();
        let (requests, bitcoin) =
            (ethereum.requests() - before, asked.load(Ordering::SeqCst) - before_bitcoin);
        let records = if self.together { "together" } else { "one by one" };
        println!(
            "{:>7}  {:>9}  {records:<10}  {requests:>8}  {bitcoin:>7}  {:>8}  {:>11}",
            self.wallets.len(),
            self.heartbeat_probability,
            took.as_millis(),
            peak(),
        );
        let methods = ethereum.methods();
        let mut kinds = BTreeMap::<&str, usize>::new();
        for method in &methods {
            *kinds.entry(method).or_default() += 1;
        }
        if self.together && self.heartbeat_probability == 0.0 {
            println!(
                "         (a look at the heads: {polling} requests; all methods asked since the start: {kinds:?})"
            );
            assert!(requests < AIM.0, "{requests} requests");
            if !cfg!(debug_assertions) {
                assert!(took < AIM.1, "{took:?}");
            }
        }
        drop(clock);
        running.await.unwrap().unwrap();
    }
}
