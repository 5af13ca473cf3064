//! A node that is killed at each named point of an action's life, and anywhere in it; whose power goes with it, whose disk is full,
//! beside which a second process wants its journal. Each action is one transaction, which is recorded before it is handed to
//! Bitcoin, and no record is lost.

use std::{collections::BTreeSet, fs, ops::ControlFlow, path::Path, process::Stdio, time::Duration};

use bitcoin::{Amount, Transaction};
use coxswain_node::actions::{ActionRecord, End, Milestone};
use coxswain_protocol::{Entry, Window};
use coxswain_rules::{Action, KeyHash};
use coxswain_service::journal::Reader;
use coxswain_testkit::{DepositSpec, Wallet, World};
use tokio::time::{Instant, sleep};

use crate::{
    Dice,
    fleet::{self, Fleet, NETWORK, Plan, operator},
    number,
};

/// It holds the only seat of its wallets, and signs alone.
const NODE: u8 = 1;
const HOUR: u64 = 3600;
/// How long an action's life may take with a kill in it, whatever else the machine does.
const LIFE: Duration = Duration::from_secs(900);
const FEE: Amount = Amount::from_sat(10_000);
/// Of a sweep's life.
const POINTS: [&str; 22] = [
    "finish/before",
    "finish/after",
    "action/agreed/before",
    "action/agreed/after",
    "action/assembled/before",
    "action/assembled/after",
    "action/sign/before",
    "action/sign/after",
    "action/signed/before",
    "action/signed/after",
    "action/broadcast/before",
    "action/broadcast/after",
    "action/handed/before",
    "action/handed/after",
    "action/mempool/before",
    "action/mempool/after",
    "action/stuck/before",
    "action/stuck/after",
    "action/confirmed/before",
    "action/confirmed/after",
    "action/over/before",
    "action/over/after",
];
/// Those that only a life has in which funds are moved.
const WAITING: [&str; 2] = ["action/waiting/before", "action/waiting/after"];
/// Where what is recorded next does not fit the disk.
const FULL: [&str; 7] = [
    "action/agreed/before",
    "action/assembled/before",
    "action/sign/before",
    "action/signed/before",
    "action/handed/before",
    "action/confirmed/before",
    "action/over/before",
];

/// What the node's disk does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Disk {
    /// What it should, and the power stays.
    Sound,
    /// It keeps what was synced when the power goes with the node.
    PowerCut,
    /// It says that it has synced, and keeps nothing.
    Lying,
}

/// What happens to the node in an action's life.
#[derive(Clone, Copy)]
enum Harm {
    /// It is killed at this point.
    At(&'static str),
    /// It is told to end at this point, and goes on until it does.
    Told(&'static str),
    /// It is killed as often, anywhere.
    Anywhere(u64),
    /// From this point on its disk is full, and then it isn't any more.
    Full(&'static str),
}

struct Trial {
    fleet: Fleet,
    disk: Disk,
    dice: Dice,
    /// What the journal told last of each wallet's actions.
    held: Vec<ActionRecord>,
    wallets: Vec<KeyHash>,
    /// How many actions are done, and how often the node was killed.
    done: usize,
    kills: u64,
}

impl Trial {
    /// A wallet that goes through its life; or several that may retire, but for the first, which is another node's.
    async fn begin(disk: Disk, wallets: u64) -> (Self, Vec<Wallet>) {
        let mut world = World::start().await.unwrap();
        let mut all = Vec::new();
        for seed in 1..=wallets {
            all.push(world.wallet(seed).await.unwrap());
        }
        // Funds move to the wallet whose hash is the lowest. The node would have to sweep them there.
        all.sort_by_key(|wallet| wallet.key_hash().0);
        for wallet in &all[1..] {
            let deposit = world.reveal(wallet, DepositSpec::default()).await.unwrap();
            world.sweep(wallet, &[deposit], FEE).await.unwrap();
        }
        let ours = if wallets > 1 { &all[1..] } else { &all[..] };
        let named: Vec<_> = ours.iter().collect();
        let keys: Vec<_> = ours.iter().map(|wallet| wallet.public_key().0).collect();
        let fleet = Fleet::new(world, &keys, Plan::of(1).signed(&named)).await;
        fleet.world.chain.fund(operator(NODE)).await.unwrap();
        let wallets = ours.iter().map(Wallet::key_hash).collect();
        let (held, dice) = (Vec::new(), Dice::new());
        (Self { fleet, disk, dice, held, wallets, done: 0, kills: 0 }, all)
    }

    fn run(&mut self, variables: &[(&str, &str)]) {
        let disk: &[_] = match self.disk {
            Disk::Sound => &[],
            Disk::PowerCut => &[("COXSWAIN_POWERCUT", "1")],
            Disk::Lying => &[("COXSWAIN_POWERCUT", "lies")],
        };
        self.fleet.run(NODE, &[&[("COXSWAIN_STATUS__OFF", "true")], disk, variables].concat());
    }

    /// All rows of the journal hold, nothing of what it told is gone or changed, and of each action one transaction was handed to
    /// Bitcoin: the one that is recorded.
    fn look(&mut self, at: &str) {
        // First, as what is handed from now on may be recorded from now on.
        let handed = self.fleet.handed();
        let Ok(reader) = Reader::open(&self.fleet.journal(NODE)) else {
            assert!(self.held.is_empty(), "{at}: all is lost");
            return;
        };
        let mut now = Vec::new();
        for wallet in &self.wallets {
            let newest = ActionRecord::newest(&reader, *wallet, 10_000).unwrap();
            now.extend(newest.into_iter().map(Result::unwrap));
        }
        let mut signed = BTreeSet::new();
        for record in &now {
            let all: Vec<_> =
                record.reached.iter().filter(|it| matches!(it.milestone, Milestone::Signed(_))).collect();
            assert!(all.len() <= 1, "{at}: signed twice: {record:#?}");
            signed.extend(record.signed().map(|signed| signed.txid));
        }
        for before in &self.held {
            let window = before.agreed.window.index();
            let kept = now.iter().find(|it| (it.wallet, it.agreed.window.index()) == (before.wallet, window));
            let kept = kept.unwrap_or_else(|| panic!("{at}: an action is lost"));
            assert_eq!(before.agreed, kept.agreed, "{at}");
            let kept = kept.reached.get(..before.reached.len());
            assert_eq!(kept, Some(&before.reached[..]), "{at}: a milestone is lost or changed");
        }
        for txid in handed.keys() {
            assert!(signed.contains(txid), "{at}: {txid} was handed to Bitcoin, and isn't recorded");
        }
        self.held = now;
    }

    /// Every row of the journal is as it was written.
    fn verify(&self, at: &str) {
        let Ok(reader) = Reader::open(&self.fleet.journal(NODE)) else { return };
        let rows = reader.each(|place, row| {
            assert!(row.is_ok(), "{at}: {place:?}");
            ControlFlow::Continue(())
        });
        rows.unwrap();
    }

    /// Kills the node, looks at what it leaves, and starts it again.
    fn kill(&mut self, at: &str) {
        self.fleet.nodes.remove(&NODE).unwrap().kill();
        if self.disk != Disk::Sound {
            coxswain_powercut::cut(&self.fleet.journal(NODE)).unwrap();
        }
        self.kills += 1;
        self.look(at);
        self.verify(at);
        self.run(&[]);
    }

    /// Tells the node to end, sees that it does in time, and starts it again.
    fn end(&mut self, at: &str) {
        let mut node = self.fleet.nodes.remove(&NODE).unwrap();
        node.terminate();
        assert_eq!(node.wait().code(), Some(0), "{at}: {:#?}", node.lines());
        self.look(at);
        self.verify(at);
        self.run(&[]);
    }

    /// A second process is refused the journal of the one that runs.
    fn second(&self, at: &str) {
        let (code, told) = self.starts(&self.fleet.journal(NODE));
        assert_eq!(code, Some(3), "{at}: {told}");
        assert!(told.contains("another process holds the journal"), "{at}: {told}");
    }

    /// How a process ends that is to start with this journal, and what it tells.
    fn starts(&self, journal: &Path) -> (Option<i32>, String) {
        let mut second = fleet::program(&self.fleet.config(NODE));
        second.env("COXSWAIN_STATUS__OFF", "true").env("COXSWAIN_JOURNAL__PATH", journal);
        let ended = second.stderr(Stdio::piped()).output().unwrap();
        (ended.status.code(), String::from_utf8_lossy(&ended.stderr).into_owned())
    }

    fn stands(&self) -> bool {
        self.fleet.nodes[&NODE].point.borrow().is_some()
    }

    /// Lets a block come, and waits until the node has taken it, or stands at its point, where it did not before: a thread that stands
    /// may hold up what takes blocks.
    async fn block(&mut self, stood: bool) {
        self.fleet.mine_unseen(1).await;
        // A commitment is mined at once.
        self.count_blocks().await;
        let height = self.fleet.height;
        let node = self.fleet.nodes.get_mut(&NODE).unwrap();
        let mut point = node.point.clone();
        tokio::select! {
            _ = point.wait_for(Option::is_some), if !stood => {}
            () = node.reached(height) => {}
        }
        if !self.held.is_empty() {
            // What follows on a block takes its time.
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Whether what the node sends in a window is recorded, and whether its result is. Its journal may not be there yet.
    fn is_recorded(&self, wallet: KeyHash, window: Window) -> (bool, bool) {
        let Ok(reader) = Reader::open(&self.fleet.journal(NODE)) else { return (false, false) };
        let (mut sent, mut result) = (false, false);
        for entry in reader.newest(wallet, 10_000).unwrap() {
            match entry.unwrap() {
                Entry::Sent(it) => sent |= it.window == window,
                Entry::Result(it) => result |= it.window == window,
            }
        }
        (sent, result)
    }

    fn action(&self, wallet: KeyHash, window: Window) -> Option<&ActionRecord> {
        self.held.iter().find(|it| (it.wallet, it.agreed.window.index()) == (wallet, window.index()))
    }

    /// An action's life, from its window to its proof, in which this happens to the node.
    async fn live(&mut self, wallet: &Wallet, action: Action, harm: Harm) {
        let full = coxswain_powercut::full(&self.fleet.journal(NODE));
        let fill = format!("make {}", full.display());
        let (at, mut left) = match harm {
            Harm::At(name) | Harm::Told(name) => (name, 1),
            Harm::Anywhere(kills) => ("anywhere", kills),
            Harm::Full(name) => (name, 1),
        };
        // Nobody has seen any window since the last action.
        let key_hash = wallet.key_hash();
        let window = self.fleet.until_next(key_hash, |it| it.checklist.contains(action)).await;
        match harm {
            Harm::At(name) => self.run(&[("COXSWAIN_POINT", name)]),
            Harm::Told(name) => self.run(&[("COXSWAIN_POINT", name), ("COXSWAIN_POINT_THEN", "go")]),
            Harm::Anywhere(_) => self.run(&[]),
            Harm::Full(name) => self.run(&[("COXSWAIN_POINT", name), ("COXSWAIN_POINT_THEN", &fill)]),
        }
        let (mut is_proven, mut blocks_full, mut is_stuck) = (false, 0, false);
        let began = Instant::now();
        loop {
            let record = self.action(key_hash, window);
            assert!(began.elapsed() < LIFE, "{at}: {record:#?}");
            let stood = self.stands();
            match harm {
                Harm::At(_) if left > 0 && stood => {
                    self.second(at);
                    self.kill(at);
                    left -= 1;
                }
                Harm::Told(_) if left > 0 && stood => {
                    self.end(at);
                    left -= 1;
                }
                // Once the window has its result: who is not there while it runs has none.
                Harm::Anywhere(_)
                    if left > 0 && self.is_recorded(key_hash, window).1 && self.dice.roll(3) > 0 =>
                {
                    sleep(Duration::from_millis(self.dice.roll(400))).await;
                    self.kill(at);
                    left -= 1;
                }
                Harm::Full(_) if left > 0 && stood => {
                    assert!(full.exists(), "{at}: there is room");
                    blocks_full += 1;
                    if blocks_full == 4 {
                        fs::remove_file(&full).unwrap();
                        left -= 1;
                    }
                }
                Harm::At(_) | Harm::Told(_) | Harm::Anywhere(_) | Harm::Full(_) => {}
            }
            self.look(at);
            match self.action(key_hash, window).map(|action| action.state().milestone.clone()) {
                Some(Milestone::Over(End::Proven)) if left == 0 => break,
                // There was only the end left to be killed in.
                Some(Milestone::Over(End::Proven)) if matches!(harm, Harm::Anywhere(_)) => break,
                Some(Milestone::Over(end)) if end != End::Proven => panic!("{at}: {end}"),
                Some(
                    Milestone::InMempool { .. }
                    | Milestone::Broadcast { .. }
                    | Milestone::Signed(_)
                    | Milestone::Stuck(_),
                ) if !is_proven => {
                    let waiting = self.fleet.world.bitcoin.mempool();
                    let comes_before =
                        ["stuck", "mempool", "handed", "broadcast", "sign", "assembled", "agreed", "waiting"]
                            .iter()
                            .any(|stage| at.starts_with(&format!("action/{stage}")));
                    if at.starts_with("action/stuck") && !is_stuck && !waiting.is_empty() {
                        let tip = self.action(key_hash, window).map(|it| it.state().milestone.name());
                        if tip == Some("in a mempool") {
                            self.fleet.world.bitcoin.mine_empty(24).unwrap();
                            is_stuck = true;
                        }
                    } else if let [transaction] = &waiting[..]
                        && (left == 0 || !comes_before)
                    {
                        self.prove(wallet, action, transaction).await;
                        is_proven = true;
                    }
                }
                _ => {}
            }
            let height = self.fleet.height;
            let leads = height == window.block().0 && !self.is_recorded(key_hash, window).0;
            if leads || (!is_proven && height >= window.end().0 + 45) {
                // It has not said what it proposes yet. Or time goes not past the signing before that is done.
                sleep(Duration::from_millis(50)).await;
            } else {
                self.block(stood).await;
            }
        }
        self.done += 1;
        let handed = self.fleet.handed();
        assert_eq!(handed.len(), self.done, "{at}: one transaction for each action: {handed:#?}");
        self.fleet.nodes.remove(&NODE).unwrap().kill();
        self.look(at);
    }

    async fn prove(&mut self, wallet: &Wallet, action: Action, transaction: &Transaction) {
        self.fleet.world.prove_signed(wallet, action, transaction).await.unwrap();
        self.count_blocks().await;
    }

    /// Takes note of the blocks that others have mined. The node is not waited for, which may stand at a point.
    async fn count_blocks(&mut self) {
        let node = self.fleet.nodes.remove(&NODE);
        self.fleet.catch_up().await;
        self.fleet.nodes.extend(node.map(|node| (NODE, node)));
    }

    /// There is something to sweep in the next window, and what was is past.
    async fn rest(&mut self, wallet: &Wallet) {
        self.fleet.world.reveal(wallet, DepositSpec::default()).await.unwrap();
        let blocks = NETWORK.event_depth.0 + NETWORK.actions.deposit_sweep_validity.0;
        self.fleet.world.chain.mine(blocks).await.unwrap();
        self.fleet.world.chain.advance(3 * HOUR).await.unwrap();
        self.fleet.catch_up().await;
    }

    async fn sweep(&mut self, wallet: &Wallet, harm: Harm) {
        self.rest(wallet).await;
        self.live(wallet, Action::DepositSweep, harm).await;
    }

    /// Half of the journal is a journal no more, and is named.
    fn tear(&self) {
        let torn = self.fleet.folder.path().join("torn.db");
        // With all that stands in its log.
        let journal = rusqlite::Connection::open(self.fleet.journal(NODE)).unwrap();
        journal.execute("VACUUM INTO ?1", [torn.to_str().unwrap()]).unwrap();
        let whole = fs::read(&torn).unwrap();
        fs::write(&torn, &whole[..whole.len() / 2 + 100]).unwrap();
        let (code, told) = self.starts(&torn);
        assert_eq!(code, Some(3), "{told}");
        assert!(told.contains(&torn.display().to_string()), "{told}");
        // Within its first page as well, where SQLite would take it for a new one.
        fs::write(&torn, &whole[..1000]).unwrap();
        let (code, told) = self.starts(&torn);
        assert_eq!(code, Some(3), "{told}");
        assert!(told.contains("torn") && told.contains(&torn.display().to_string()), "{told}");
    }

    fn tell(&self) {
        let sums = format!("{} kills in {} actions", self.kills, self.done);
        println!("{sums}: {} transactions, one for each action, no record lost", self.fleet.handed().len());
    }
}

/// The points of `all` that are picked: all, unless some are named.
fn picked(all: &[&'static str]) -> Vec<&'static str> {
    let named = std::env::var("COXSWAIN_POINTS").unwrap_or_default();
    let is_picked = |name: &&&str| named.is_empty() || named.split(',').any(|it| it == **name);
    all.iter().filter(is_picked).copied().collect()
}

async fn killed_at_each_point(disk: Disk) {
    let each = number("COXSWAIN_HITS", 1);
    let (mut trial, wallets) = Trial::begin(disk, 1).await;
    for name in picked(&POINTS) {
        for _ in 0..each {
            trial.sweep(&wallets[0], Harm::At(name)).await;
        }
        println!("{name}: killed {each} times");
    }
    trial.tell();
    trial.tear();
}

#[tokio::test(flavor = "multi_thread")]
async fn inc_15_inc_46_a_node_killed_in_an_action_makes_one_transaction_and_loses_nothing() {
    killed_at_each_point(Disk::Sound).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inc_15_inc_46_a_node_killed_in_an_action_with_the_power_gone_makes_one_transaction_and_loses_nothing()
 {
    killed_at_each_point(Disk::PowerCut).await;
}

/// What is told above is told of a disk that keeps what it has synced: of another one it is not true, and that is noticed.
#[tokio::test(flavor = "multi_thread")]
#[should_panic(expected = "is lost")]
async fn inc_46_a_disk_that_lies_is_noticed_by_what_is_lost() {
    let (mut trial, wallets) = Trial::begin(Disk::Lying, 1).await;
    trial.sweep(&wallets[0], Harm::At("action/mempool/after")).await;
}

/// Moves of funds, in each of which this happens.
async fn while_waiting(each: u64, harm: impl Fn(&'static str) -> Harm) -> Trial {
    let points = picked(&WAITING);
    let retiring = each * u64::try_from(points.len()).unwrap();
    let (mut trial, wallets) = Trial::begin(Disk::Sound, 1 + retiring).await;
    let mut retiring = wallets[1..].iter();
    for name in points {
        for _ in 0..each {
            let wallet = retiring.next().unwrap();
            trial.fleet.world.retire(wallet).await.unwrap();
            trial.fleet.world.chain.advance(25 * HOUR).await.unwrap();
            trial.fleet.catch_up().await;
            trial.live(wallet, Action::MovingFunds, harm(name)).await;
        }
        println!("{name}: {each} times");
    }
    trial
}

#[tokio::test(flavor = "multi_thread")]
async fn inc_15_inc_46_a_node_killed_while_it_waits_to_move_funds_makes_one_transaction() {
    while_waiting(number("COXSWAIN_HITS", 1), Harm::At).await.tell();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_told_to_end_at_any_point_of_an_action_ends_with_0_and_goes_on_with_it_later() {
    let (mut trial, wallets) = Trial::begin(Disk::Sound, 1).await;
    for name in picked(&POINTS) {
        trial.sweep(&wallets[0], Harm::Told(name)).await;
        println!("{name}: ended with 0");
    }
    trial.tell();
    while_waiting(1, Harm::Told).await.tell();
}

#[tokio::test(flavor = "multi_thread")]
async fn inc_15_inc_46_a_node_killed_anywhere_in_an_action_makes_one_transaction_and_loses_nothing() {
    let kills = number("COXSWAIN_KILLS", 4);
    let (mut trial, wallets) = Trial::begin(Disk::PowerCut, 1).await;
    while trial.kills < kills {
        let left = kills - trial.kills;
        trial.sweep(&wallets[0], Harm::Anywhere(left.min(8))).await;
    }
    trial.tell();
}

#[tokio::test(flavor = "multi_thread")]
async fn inc_46_a_node_whose_disk_is_full_in_an_action_hands_out_nothing_that_is_not_recorded() {
    let each = number("COXSWAIN_HITS", 1);
    let (mut trial, wallets) = Trial::begin(Disk::PowerCut, 1).await;
    for name in picked(&FULL) {
        for _ in 0..each {
            trial.sweep(&wallets[0], Harm::Full(name)).await;
        }
        println!("{name}: full {each} times");
    }
    trial.tell();
}
