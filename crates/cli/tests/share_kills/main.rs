//! A node that signs with shares is killed at named points, and anywhere while it signs. It never announces two things for an attempt,
//! never signs for two things in a window, forgets nothing that it has recorded, and its file of shares stays as it was. With it and
//! another process signs an operator that the test plays: it hears all that is said, and cheats where a point wants that.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

#[path = "../fleet/mod.rs"]
mod fleet;
#[path = "../rogue/mod.rs"]
mod rogue;

use std::{collections::BTreeSet, env, fs, time::Duration};

use coxswain_node::actions::{ActionRecord, End};
use coxswain_protocol::Window;
use coxswain_rules::KeyHash;
use coxswain_service::journal::{FactKey, Reader};
use coxswain_signing::store::file_name;
use coxswain_testkit::{Wallet, World};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use crate::{
    fleet::{Fleet, PATIENCE, Plan},
    rogue::{Deed, Rogue, forget, heartbeat},
};

/// The node that is killed, and the one beside it.
const NODE: u8 = 1;
const OTHER: u8 = 2;
/// Who is played.
const ROGUE: u8 = 3;
/// How long a block lasts while they sign.
const BLOCK: Duration = Duration::from_millis(1_500);
/// Windows that may pass until the node comes to a point: it is not always among those who sign.
const WINDOWS: usize = 12;
/// Each point, and what must happen so that the node comes to it.
const POINTS: [(&str, Deed); 16] = [
    ("signing/announced/before", Deed::Honest),
    ("signing/announced/after", Deed::Honest),
    ("signing/attempt/before", Deed::Honest),
    ("signing/attempt/after", Deed::Honest),
    ("signing/round-1/before", Deed::Honest),
    ("signing/round-1/after", Deed::Honest),
    ("signing/round-2/before", Deed::Honest),
    ("signing/round-2/after", Deed::Honest),
    ("signing/round-3/before", Deed::Honest),
    ("signing/round-3/after", Deed::Honest),
    ("signing/signatures/before", Deed::Honest),
    ("signing/signatures/after", Deed::Honest),
    ("signing/marks/before", Deed::SilentIn(2)),
    ("signing/marks/after", Deed::SilentIn(2)),
    ("signing/ban/before", Deed::FlippedBits(2)),
    ("signing/ban/after", Deed::FlippedBits(2)),
];

fn number(variable: &str, otherwise: u64) -> u64 {
    env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

/// When the node is killed.
#[derive(Clone, Copy)]
enum Harm {
    At(Deed),
    After(Duration),
}

struct Trial {
    fleet: Fleet,
    wallet: KeyHash,
    /// The node's file of shares, as it was dealt.
    shares: Vec<u8>,
    /// What its journal told last of what it has announced and gone into.
    held: BTreeSet<String>,
    kills: u64,
    windows: u64,
}

impl Trial {
    async fn begin() -> (Self, Rogue) {
        let world = World::start().await.unwrap();
        let wallet: Wallet = world.wallet(1).await.unwrap();
        let plan = Plan::of(3).signed(&[&wallet]).shared(2).played(ROGUE);
        let fleet = Fleet::start(world, &[wallet.public_key().0], plan).await;
        let rogue = Rogue::join(&fleet, ROGUE, &wallet).await;
        let wallet = wallet.key_hash();
        let shares = fs::read(fleet.shares(NODE).join(file_name(wallet))).unwrap();
        (Self { fleet, wallet, shares, held: BTreeSet::new(), kills: 0, windows: 0 }, rogue)
    }

    /// What the node leaves: its file of shares untouched, all that its journal held, and one thing signed for in the window.
    fn look(&mut self, window: Window, at: &str) {
        let now = fs::read(self.fleet.shares(NODE).join(file_name(self.wallet))).unwrap();
        assert!(now == self.shares, "{at}: its file of shares is another");
        let reader = Reader::open(&self.fleet.journal(NODE)).unwrap();
        let kept: BTreeSet<_> = reader.facts("signing", Some(self.wallet.0)).unwrap().into_iter().collect();
        assert!(self.held.is_subset(&kept), "{at}: what it has recorded is lost");
        self.held = kept;
        let claims: BTreeSet<String> = [NODE, OTHER]
            .into_iter()
            .filter_map(|number| {
                let name = format!("31337/{}", window.block());
                let key = FactKey { topic: "signed", owner: self.wallet.0, name };
                let fact = Reader::open(&self.fleet.journal(number)).unwrap().fact(&key).unwrap();
                fact.map(Result::unwrap)
            })
            .collect();
        assert_eq!(claims.len(), 1, "{at}: two things are signed for in a window");
    }

    fn kill(&mut self, window: Window, at: &str) {
        let lines = self.fleet.nodes.remove(&NODE).unwrap().kill();
        self.kills += 1;
        self.look(window, at);
        self.nothing_is_told_twice(&lines, at);
        self.fleet.run(NODE, &[]);
    }

    fn nothing_is_told_twice(&self, of_node: &[String], at: &str) {
        let of_other = self.fleet.nodes[&OTHER].lines();
        for line in of_node.iter().chain(&of_other) {
            let is_alarm = ["has announced two things", "is not on record", "of which none is signed"];
            assert!(!is_alarm.iter().any(|alarm| line.contains(alarm)), "{at}: {line}");
        }
    }

    /// Lets a block come, and waits until both have taken it, or the node stands at its point.
    async fn block(&mut self) {
        self.fleet.mine_unseen(1).await;
        let height = self.fleet.height;
        self.fleet.nodes.get_mut(&OTHER).unwrap().reached(height).await;
        let node = self.fleet.nodes.get_mut(&NODE).unwrap();
        let mut point = node.point.clone();
        tokio::select! {
            _ = point.wait_for(Option::is_some) => {}
            () = node.reached(height) => {}
        }
    }

    fn is_over(&self, number: u8, window: Window) -> bool {
        let action = self.fleet.nodes[&number].action(self.wallet, window.index());
        action.as_ref().and_then(ActionRecord::end).is_some()
    }

    /// Lets blocks come until the other one has signed, and the node has been killed, or is done as well. Gives whether it was.
    async fn drive(&mut self, window: Window, harm: Harm, at: &str) -> bool {
        let (began, mut is_killed) = (Instant::now(), false);
        loop {
            let until = Instant::now() + BLOCK;
            while Instant::now() < until {
                let is_due = match harm {
                    Harm::At(_) => self.fleet.nodes[&NODE].point.borrow().is_some(),
                    Harm::After(delay) => began.elapsed() >= delay,
                };
                if is_due && !is_killed {
                    self.kill(window, at);
                    is_killed = true;
                    let height = self.fleet.height;
                    self.fleet.nodes.get_mut(&NODE).unwrap().reached(height).await;
                }
                if self.is_over(OTHER, window) && (is_killed || self.is_over(NODE, window)) {
                    let other = self.fleet.nodes[&OTHER].action(self.wallet, window.index()).unwrap();
                    assert!(matches!(other.end(), Some(End::Alive(_))), "{at}: {other:#?}");
                    self.look(window, at);
                    return is_killed;
                }
                sleep(Duration::from_millis(50)).await;
            }
            assert!(
                began.elapsed() < PATIENCE * 2,
                "{at}: {:#?}",
                self.fleet.actions(self.wallet, window.index())
            );
            self.block().await;
        }
    }

    /// Runs a heartbeat in which this happens to the node. Gives whether it has come to it.
    async fn run(&mut self, rogue: &mut Rogue, harm: Harm, at: &str) -> bool {
        let window = heartbeat(&mut self.fleet, self.wallet).await;
        self.windows += 1;
        let deed = match harm {
            Harm::At(deed) => deed,
            Harm::After(_) => Deed::Honest,
        };
        let job = rogue.job(&self.fleet, window).await;
        let (tell, _done) = watch::channel(false);
        let heights = self.fleet.nodes[&OTHER].heights();
        let is_killed = tokio::select! {
            () = rogue.take_part(&job, deed, heights, &tell) => false,
            is_killed = self.drive(window, harm, at) => is_killed,
        };
        self.nothing_is_told_twice(&self.fleet.nodes[&NODE].lines(), at);
        is_killed
    }

    /// Kills it at a point, in as many windows as it takes.
    async fn kill_at(&mut self, rogue: &mut Rogue, name: &'static str, deed: Deed) {
        if deed != Deed::Honest {
            // Whoever has cheated, or failed, before is not signed with.
            forget(&mut self.fleet, rogue).await;
            self.held.clear();
        }
        self.fleet.nodes.remove(&NODE).unwrap().kill();
        self.fleet.run(NODE, &[("COXSWAIN_POINT", name)]);
        self.fleet.taken().await;
        for _ in 0..WINDOWS {
            if self.run(rogue, Harm::At(deed), name).await {
                return;
            }
        }
        panic!("never at {name}");
    }

    async fn end(self, rogue: Rogue) {
        // Its shares open: that is told at each start.
        let lines = self.fleet.nodes[&NODE].lines();
        assert!(lines.iter().any(|line| line.contains("signed for with shares of its key")), "{lines:#?}");
        println!(
            "{} kills in {} windows: one thing signed for in each, nothing announced twice, its shares as they were",
            self.kills, self.windows
        );
        rogue.leave().await;
        self.fleet.stop();
    }
}

/// `COXSWAIN_HITS` says how often at each point, `COXSWAIN_POINTS` at which.
#[tokio::test(flavor = "multi_thread")]
async fn inc_49_a_node_killed_at_any_point_of_signing_signs_for_one_thing_a_window() {
    let (each, picked) = (number("COXSWAIN_HITS", 1), env::var("COXSWAIN_POINTS").unwrap_or_default());
    let (mut trial, mut rogue) = Trial::begin().await;
    for (name, deed) in POINTS {
        if !picked.is_empty() && !picked.split(',').any(|it| it == name) {
            continue;
        }
        for _ in 0..each {
            trial.kill_at(&mut rogue, name, deed).await;
        }
        println!("{name}: killed {each} times");
    }
    trial.end(rogue).await;
}

/// `COXSWAIN_KILLS` says how often, `COXSWAIN_SEED` when.
#[tokio::test(flavor = "multi_thread")]
async fn inc_49_a_node_killed_anywhere_while_it_signs_signs_for_one_thing_a_window() {
    let (kills, mut dice) = (number("COXSWAIN_KILLS", 4), number("COXSWAIN_SEED", 1));
    let (mut trial, mut rogue) = Trial::begin().await;
    while trial.kills < kills {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Somewhere in the first attempt, or in what comes before it.
        let delay = Duration::from_millis((dice >> 33) % 12_000);
        trial.run(&mut rogue, Harm::After(delay), &format!("after {delay:?}")).await;
    }
    trial.end(rogue).await;
}
