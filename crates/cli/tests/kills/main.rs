//! A node that is killed: at named points, and anywhere. It never says two things in a window, and loses nothing that it has
//! acknowledged, also if the power goes with it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

mod actions;
mod endings;
#[path = "../fleet/mod.rs"]
mod fleet;

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bitcoin::secp256k1::PublicKey;
use coxswain_protocol::Entry;
use coxswain_rules::KeyHash;
use coxswain_testkit::{DepositSpec, World};
use fleet::{Fleet, Member, NETWORK, Plan, entries, key_hash, operator, read};
use serde_json::Value;
use tokio::time::{sleep, timeout};

/// The node that is killed, and the member that listens.
const NODE: u8 = 1;
const WITNESS: u8 = 2;
const WALLETS: u64 = 6;
const POINTS: [&str; 6] =
    ["append/before", "append/after", "send/before", "send/after", "finish/before", "finish/after"];

/// The numbers of a linear congruence.
#[derive(Clone, Copy)]
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        Self(number("COXSWAIN_SEED", 1))
    }

    /// The next number under `bound`.
    fn roll(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn number(variable: &str, otherwise: u64) -> u64 {
    env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

/// The envelopes of a wallet's window.
type Heard = BTreeMap<(KeyHash, u64), BTreeSet<Vec<u8>>>;

/// A node among kills, and all that it must not forget.
struct Trial {
    fleet: Fleet,
    wallets: Vec<KeyHash>,
    /// What the witness has heard of the node.
    heard: Arc<Mutex<Heard>>,
    witness: Member,
    /// What the journal held when it was looked at last.
    held: BTreeMap<KeyHash, Vec<Entry>>,
    /// The windows whose ends the node has told.
    told: BTreeSet<(String, u64)>,
    /// Whether the power goes with the node.
    powercut: bool,
    dice: Dice,
}

impl Trial {
    async fn begin(powercut: bool) -> Self {
        let mut world = World::start().await.unwrap();
        let mut keys = Vec::<PublicKey>::new();
        for seed in 1..=WALLETS {
            let wallet = world.wallet(seed).await.unwrap();
            // There is something to do for it in each window.
            world.reveal(&wallet, DepositSpec::default()).await.unwrap();
            keys.push(wallet.public_key().0);
        }
        let fleet = Fleet::new(world, &keys, Plan::of(2).played(WITNESS)).await;
        let (witness, receivers) = Member::join(&fleet, WITNESS, &[NODE], true).await;
        let heard = Arc::<Mutex<Heard>>::default();
        for (wallet, mut receiver) in receivers {
            let heard = Arc::clone(&heard);
            tokio::spawn(async move {
                while let Some(message) = receiver.recv().await {
                    let (author, said) = read(&message);
                    if author == operator(NODE) {
                        let index = said.coordination_block.0 / NETWORK.frequency.0;
                        let envelopes = &mut *heard.lock().unwrap();
                        envelopes.entry((wallet, index)).or_default().insert(message.envelope.to_vec());
                    }
                }
            });
        }
        let wallets = keys.iter().map(key_hash).collect();
        let (held, told, dice) = (BTreeMap::new(), BTreeSet::new(), Dice::new());
        Self { fleet, wallets, heard, witness, held, told, powercut, dice }
    }

    fn run(&mut self, variables: &[(&str, &str)]) {
        let mut variables = variables.to_vec();
        if self.powercut {
            variables.push(("COXSWAIN_POWERCUT", "1"));
        }
        self.fleet.run(NODE, &variables);
    }

    /// Lets blocks come until the node stands at its point.
    async fn reach(&mut self, name: &str) {
        let began = Instant::now();
        loop {
            assert!(
                began.elapsed() < fleet::PATIENCE * 2,
                "never at {name}: {:#?}",
                self.fleet.nodes[&NODE].lines()
            );
            if self.step(Duration::from_secs(60), Duration::from_secs(3)).await {
                return;
            }
        }
    }

    /// Waits until the node has taken the newest block, and for a while; then the next one comes. `true` if it stands at a point.
    async fn step(&mut self, taking: Duration, working: Duration) -> bool {
        let height = self.fleet.height;
        let node = self.fleet.nodes.get_mut(&NODE).unwrap();
        let mut point = node.point.clone();
        tokio::select! {
            _ = point.wait_for(Option::is_some) => return true,
            () = node.reached(height) => {}
            () = sleep(taking) => return false,
        }
        let place = height % NETWORK.frequency.0;
        // Work follows on a window's first block and its last.
        let (active, end) = (NETWORK.active_phase.0, NETWORK.active_phase.0 + NETWORK.passive_phase.0);
        let works = [0, 1, end].contains(&place);
        let works = if works { working } else { Duration::from_millis(20) };
        if timeout(works, point.wait_for(Option::is_some)).await.is_ok() {
            return true;
        }
        let blocks = match place {
            0 | 1 => 1,
            place if place < active => active - place,
            place if place < end => end - place,
            place if place < NETWORK.frequency.0 - 1 => NETWORK.frequency.0 - 1 - place,
            _ => 1,
        };
        self.fleet.world.chain.mine(blocks).await.unwrap();
        self.fleet.height += blocks;
        false
    }

    /// Kills the node, and looks at what it leaves.
    fn kill(&mut self, where_: &str) {
        let node = self.fleet.nodes.remove(&NODE).unwrap();
        let journal = node.journal.clone();
        for line in node.kill() {
            let line: Value = serde_json::from_str(&line).unwrap_or_default();
            let (wallet, message) = (line["wallet"].as_str(), line["message"].as_str());
            if let (Some(wallet), Some(message)) = (wallet, message)
                && let Some(rest) = message.strip_prefix("window ")
                && let Some((index, _)) = rest.split_once(" at block ")
            {
                self.told.insert((wallet.to_owned(), index.parse().unwrap()));
            }
        }
        if self.powercut {
            coxswain_powercut::cut(&journal).unwrap();
        }
        if !journal.exists() {
            assert!(self.told.is_empty() && self.heard.lock().unwrap().is_empty(), "{where_}: all is lost");
            return;
        }
        for wallet in &self.wallets {
            let now = entries(&journal, *wallet);
            let before = self.held.insert(*wallet, now.clone()).unwrap_or_default();
            assert_eq!(
                before[..],
                now[..before.len().min(now.len())],
                "{where_}: what was there has changed"
            );
            assert!(before.len() <= now.len(), "{where_}: what was there is lost");
        }
        for ((wallet, index), envelopes) in &*self.heard.lock().unwrap() {
            assert_eq!(envelopes.len(), 1, "{where_}: two messages in window {index}");
            let recorded = self.held[wallet].iter().any(|entry| match entry {
                Entry::Sent(sent) => sent.window.index() == *index && envelopes.contains(&sent.envelope[..]),
                Entry::Result(_) => false,
            });
            assert!(recorded, "{where_}: what was sent in window {index} isn't recorded");
        }
        for (wallet, index) in &self.told {
            let wallet = self.wallets.iter().find(|it| it.to_string() == *wallet).unwrap();
            let recorded = self.held[wallet].iter().any(|entry| match entry {
                Entry::Result(result) => result.window.index() == *index,
                Entry::Sent(_) => false,
            });
            assert!(recorded, "{where_}: the result of window {index} is lost");
        }
    }

    /// Kills it at each point this often, then this often anywhere.
    async fn go(mut self, each: u64, anywhere: u64) {
        for name in POINTS {
            for hit in 0..each {
                let pass = 1 + self.dice.roll(3);
                self.run(&[("COXSWAIN_POINT", &format!("{name}:{pass}"))]);
                self.reach(name).await;
                self.kill(&format!("{name}, hit {hit}, pass {pass}"));
            }
            println!("{name}: killed {each} times");
        }
        for kill in 0..anywhere {
            self.run(&[]);
            let life = Duration::from_millis(100 + self.dice.roll(4_000));
            let until = Instant::now() + life;
            while Instant::now() < until {
                let left = until.saturating_duration_since(Instant::now());
                self.step(left, left.min(Duration::from_millis(700))).await;
            }
            self.kill(&format!("kill {kill}, after {life:?}"));
        }
        // It goes on as if nothing had been: a whole window more.
        self.run(&[]);
        self.fleet.taken().await;
        self.fleet.rest().await;
        let window = self.fleet.next();
        self.fleet.mine_to(window.end()).await;
        for wallet in self.wallets.clone() {
            self.fleet.results(wallet, window).await;
        }
        let (heard, told) = (self.heard.lock().unwrap().len(), self.told.len());
        assert!(heard > 0 && told > 0, "{heard} heard, {told} told");
        println!(
            "{} kills{}: {heard} messages heard, each one of its window; {told} results told, none lost",
            POINTS.len() as u64 * each + anywhere,
            if self.powercut { ", the power gone each time" } else { "" },
        );
        self.witness.leave().await;
        self.fleet.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inc_15_inc_46_a_node_that_is_killed_says_one_thing_a_window_and_loses_nothing() {
    Trial::begin(false).await.go(number("COXSWAIN_HITS", 1), number("COXSWAIN_KILLS", 4)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inc_15_inc_46_a_node_that_is_killed_with_the_power_gone_says_one_thing_a_window_and_loses_nothing() {
    Trial::begin(true).await.go(number("COXSWAIN_HITS", 1), number("COXSWAIN_KILLS", 4)).await;
}
