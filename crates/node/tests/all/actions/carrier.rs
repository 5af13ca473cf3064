//! All wallets' actions on a real journal, with hands that do as they are told.

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use coxswain_coordination::Tick;
use coxswain_node::actions::{
    ActionRecord, Alive, Carrier, End, Hands, Judged, Milestone, Place, Prepared, Seen, SignedTransaction,
    Signing, Times,
};
use coxswain_protocol::{Seat, WindowResult};
use coxswain_rules::{
    Action, KeyHash, Proposal,
    units::{BlockNumber, Height},
};
use coxswain_service::{
    journal::{Journal, Reader, Settings, Step},
    tasks::Tasks,
};
use coxswain_signing::Job;
use tempfile::TempDir;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use super::fixture::{CHAIN, NETWORK, WALLET, handed, result, seen, transaction, valid};

const OTHER: KeyHash = KeyHash([2; 20]);
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the hands may take.
const SHORT: Duration = Duration::from_millis(100);

/// What the hands do, and have done.
#[derive(Debug, Default)]
struct Script {
    judged: Mutex<VecDeque<Judged>>,
    signed: Mutex<VecDeque<Signing>>,
    seen: Mutex<Option<Seen>>,
    unsigned: Mutex<Vec<KeyHash>>,
    /// What hangs, once.
    hangs: Mutex<Option<&'static str>>,
    done: Mutex<BTreeMap<&'static str, usize>>,
}

impl Script {
    fn count(&self, what: &'static str) {
        *self.done.lock().unwrap().entry(what).or_default() += 1;
    }

    async fn hang(&self, what: &'static str) {
        let hangs = self.hangs.lock().unwrap().take_if(|hangs| *hangs == what).is_some();
        if hangs {
            std::future::pending::<()>().await;
        }
    }

    fn times(&self, what: &'static str) -> usize {
        self.done.lock().unwrap().get(what).copied().unwrap_or_default()
    }

    /// The transaction is here from now on.
    fn place(&self, place: Place) {
        *self.seen.lock().unwrap() = Some(handed(100, place));
    }
}

#[derive(Clone, Debug)]
struct Told(Arc<Script>);

impl Hands for Told {
    fn signs(&self, wallet: KeyHash) -> bool {
        !self.0.unsigned.lock().unwrap().contains(&wallet)
    }

    async fn judge(&self, _: KeyHash, _: &Proposal, _: bool) -> Judged {
        self.0.count("judge");
        self.0.hang("judge").await;
        self.0.judged.lock().unwrap().pop_front().unwrap_or_else(valid)
    }

    async fn sign(&self, _: &Job, _: &Prepared, _: watch::Receiver<BlockNumber>) -> Signing {
        self.0.count("sign");
        self.0.signed.lock().unwrap().pop_front().unwrap_or_else(transaction)
    }

    async fn watch(&self, _: KeyHash, _: &SignedTransaction, hand: bool) -> Seen {
        let what = if hand { "hand" } else { "watch" };
        self.0.count(what);
        self.0.hang(what).await;
        self.0.seen.lock().unwrap().clone().unwrap_or_else(|| handed(100, Place::Mempool))
    }
}

/// A node's actions, which can be stopped and started.
struct Node {
    folder: TempDir,
    script: Arc<Script>,
    running: Option<Running>,
    block: u64,
}

struct Running {
    results: mpsc::Sender<Arc<WindowResult>>,
    clock: watch::Sender<Tick>,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<()>,
}

impl Node {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, script: Arc::default(), running: None, block: 90 }
    }

    fn started() -> Self {
        let mut node = Self::new();
        node.start();
        node
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("journal.db")
    }

    fn start(&mut self) {
        self.start_with(&Settings::at(self.journal()));
    }

    fn start_with(&mut self, settings: &Settings) {
        let journal = Arc::new(Journal::open(settings).unwrap());
        let hands = Told(Arc::clone(&self.script));
        let times = Times::of(&NETWORK.actions);
        let carrier = Carrier::new(hands, Arc::clone(&journal), CHAIN, times, SHORT, [WALLET, OTHER]);
        let carrier = carrier.unwrap();
        let (results, taken) = mpsc::channel(16);
        let (clock, ticks) = watch::channel(Tick { block: BlockNumber(self.block), set_back: 0 });
        let (stop, stopped) = oneshot::channel();
        let mut tasks = Tasks::default();
        tasks.critical("actions", carrier.run(taken, ticks, tasks.stop()));
        let ended = tokio::spawn(async move {
            let asked = async {
                let _ = stopped.await;
            };
            let ending = tasks.run(asked, PATIENCE).await;
            assert_eq!(ending.exit_code(), 0, "{ending}");
            Arc::into_inner(journal).expect("nobody holds it any more").close();
        });
        self.running = Some(Running { results, clock, stop, ended });
    }

    async fn stop(&mut self) {
        let Running { stop, ended, .. } = self.running.take().unwrap();
        stop.send(()).unwrap();
        ended.await.unwrap();
    }

    async fn result(&self, wallet: KeyHash, index: u64, action: Action) {
        self.running.as_ref().unwrap().results.send(result(wallet, index, action)).await.unwrap();
    }

    fn block(&mut self, number: u64) {
        self.block = number;
        self.running.as_ref().unwrap().clock.send_replace(Tick { block: BlockNumber(number), set_back: 0 });
    }

    fn actions(&self, wallet: KeyHash) -> Vec<ActionRecord> {
        let newest = ActionRecord::newest(&Reader::open(&self.journal()).unwrap(), wallet, 100).unwrap();
        newest.into_iter().map(Result::unwrap).collect()
    }

    /// Waits until the wallet's newest action is skipped, whatever can't be read of those before. Returns why it is.
    async fn newest_skipped(&self, wallet: KeyHash) -> String {
        let named = async {
            loop {
                let newest =
                    ActionRecord::newest(&Reader::open(&self.journal()).unwrap(), wallet, 1).unwrap();
                if let Some(Ok(action)) = newest.first()
                    && let Some(End::Skipped(why)) = action.end()
                {
                    return why.clone();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, named).await.expect("it is skipped")
    }

    /// Waits until the action of the window has come to this.
    async fn reached(&self, wallet: KeyHash, index: u64, name: &str) -> ActionRecord {
        let reached = async {
            loop {
                let actions = self.actions(wallet);
                let action = actions.into_iter().find(|action| action.agreed.window.index() == index);
                if let Some(action) = action.filter(|action| action.state().milestone.name() == name) {
                    return action;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let Ok(action) = timeout(PATIENCE, reached).await else {
            panic!("never {name}: {:#?}", self.actions(wallet));
        };
        action
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inc_27_a_wallet_that_is_busy_refuses_the_next_action_and_records_that() {
    let mut node = Node::started();
    node.result(WALLET, 1, Action::DepositSweep).await;
    node.reached(WALLET, 1, "in a mempool").await;
    node.block(150);
    node.result(WALLET, 2, Action::DepositSweep).await;
    let refused = node.reached(WALLET, 2, "refused as busy").await;
    assert_eq!(refused.end(), Some(&End::Busy { with: 1 }));
    // Another wallet is not.
    node.result(OTHER, 2, Action::DepositSweep).await;
    node.reached(OTHER, 2, "in a mempool").await;
    // Nor is the first once its transaction is confirmed, proven or not.
    node.script.place(Place::Block(Height(101)));
    node.block(210);
    node.reached(WALLET, 1, "confirmed").await;
    node.result(WALLET, 3, Action::DepositSweep).await;
    node.reached(WALLET, 3, "confirmed").await;
    assert_eq!(node.script.times("sign"), 3);
    node.stop().await;
}

/// What can't be signed any more is looked for on Bitcoin, and keeps the next action from nothing.
#[tokio::test(flavor = "multi_thread")]
async fn inc_27_an_action_that_was_not_signed_in_time_does_not_keep_the_wallet_busy() {
    let mut node = Node::started();
    node.script.judged.lock().unwrap().extend((0..2).map(|_| Judged::Undecided("no server".to_owned())));
    node.result(WALLET, 1, Action::DepositSweep).await;
    node.reached(WALLET, 1, "agreed").await;
    node.block(141);
    node.result(WALLET, 2, Action::DepositSweep).await;
    node.reached(WALLET, 2, "agreed").await;
    // Nor after a restart.
    node.stop().await;
    node.start();
    node.block(150);
    node.reached(WALLET, 1, "expired").await;
    node.block(151);
    node.reached(WALLET, 2, "in a mempool").await;
    assert_eq!(node.script.times("sign"), 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_comes_before_the_first_block_waits_for_it() {
    let mut node = Node::new();
    node.block = 0;
    node.start();
    node.result(WALLET, 1, Action::DepositSweep).await;
    node.block(91);
    let action = node.reached(WALLET, 1, "in a mempool").await;
    assert_eq!(action.reached[0].at.0, 91, "it was not agreed on before there was a block");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inc_15_a_result_that_comes_again_is_one_action() {
    let mut node = Node::started();
    for _ in 0..3 {
        node.result(WALLET, 1, Action::DepositSweep).await;
    }
    node.reached(WALLET, 1, "in a mempool").await;
    node.stop().await;
    node.start();
    node.result(WALLET, 1, Action::DepositSweep).await;
    node.script.place(Place::Block(Height(101)));
    node.block(100);
    node.reached(WALLET, 1, "confirmed").await;
    *node.script.seen.lock().unwrap() =
        Some(Seen { is_proven: true, ..seen(101, Place::Block(Height(101))) });
    node.block(101);
    let over = node.reached(WALLET, 1, "proven").await;
    node.result(WALLET, 1, Action::DepositSweep).await;
    node.stop().await;
    node.start();
    node.result(WALLET, 1, Action::DepositSweep).await;
    // What comes after is taken after.
    node.result(OTHER, 1, Action::DepositSweep).await;
    node.reached(OTHER, 1, "proven").await;
    assert_eq!(node.actions(WALLET), [over]);
    assert_eq!(node.script.times("sign"), 2, "once for each wallet");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_nobody_signs_for_has_its_action_recorded_and_nothing_is_done() {
    let mut node = Node::started();
    node.script.unsigned.lock().unwrap().push(WALLET);
    node.result(WALLET, 1, Action::DepositSweep).await;
    let action = node.reached(WALLET, 1, "no signer").await;
    assert_eq!(action.end(), Some(&End::NoSigner));
    assert_eq!(node.script.times("judge"), 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inc_38_a_wallet_whose_actions_can_not_be_read_does_nothing_and_the_others_go_on() {
    let mut node = Node::started();
    for wallet in [WALLET, OTHER] {
        node.result(wallet, 1, Action::DepositSweep).await;
        node.reached(wallet, 1, "in a mempool").await;
    }
    node.stop().await;
    let change = "UPDATE actions SET body = replace(body, '90', '91') WHERE wallet = x'0101010101010101010101010101010101010101' AND step = 2";
    assert_eq!(rusqlite::Connection::open(node.journal()).unwrap().execute(change, []).unwrap(), 1);
    node.start();
    node.script.place(Place::Block(Height(101)));
    node.block(150);
    node.reached(OTHER, 1, "confirmed").await;
    node.result(WALLET, 2, Action::DepositSweep).await;
    let why = node.newest_skipped(WALLET).await;
    assert!(why.contains("step 2 of the action of window 1"), "{why}");
    assert_eq!(node.script.times("sign"), 2, "nothing more");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inc_38_an_action_that_was_only_agreed_on_is_not_begun_after_one_that_can_not_be_read() {
    let mut node = Node::started();
    node.script.place(Place::Block(Height(101)));
    node.result(WALLET, 1, Action::DepositSweep).await;
    node.reached(WALLET, 1, "confirmed").await;
    node.result(WALLET, 3, Action::DepositSweep).await;
    node.reached(WALLET, 3, "agreed").await;
    node.stop().await;
    let change = "UPDATE actions SET body = '{}' WHERE window_index = 1 AND step = 2";
    assert_eq!(rusqlite::Connection::open(node.journal()).unwrap().execute(change, []).unwrap(), 1);
    node.start();
    node.block(210);
    let why = node.newest_skipped(WALLET).await;
    assert!(why.contains("step 2 of the action of window 1"), "{why}");
    assert_eq!(node.script.times("sign"), 1, "nothing more");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hangs_is_given_up_and_asked_again_at_the_next_block() {
    for hangs in ["judge", "watch"] {
        let mut node = Node::new();
        *node.script.hangs.lock().unwrap() = Some(hangs);
        node.start();
        node.result(WALLET, 1, Action::DepositSweep).await;
        let again = async {
            // Each block asks again, as soon as what hangs is given up.
            while node.script.times(hangs) < 2 {
                node.block(node.block + 1);
                tokio::time::sleep(SHORT / 4).await;
            }
        };
        timeout(PATIENCE, again).await.expect("it is asked again");
        node.reached(WALLET, 1, "in a mempool").await;
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inc_46_an_action_that_can_not_be_recorded_is_not_begun() {
    let mut node = Node::new();
    // Filled up by others.
    let settings = Settings { max_bytes: 400 << 10, ..Settings::at(node.journal()) };
    let journal = Journal::open(&settings).unwrap();
    let mut window = 0;
    for size in [32_768, 2_048, 64, 1] {
        loop {
            let (wallet, body) = (KeyHash([0; 20]), "x".repeat(size));
            window += 1;
            if journal.step(Step { wallet, window, number: 1, is_last: true, body }, None).await.is_err() {
                break;
            }
        }
    }
    journal.close();
    node.start_with(&settings);
    node.result(WALLET, 1, Action::DepositSweep).await;
    for number in 91..100 {
        node.block(number);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(node.actions(WALLET).is_empty());
    assert_eq!((node.script.times("judge"), node.script.times("sign")), (0, 0));
    node.stop().await;
    // With room, it is taken when it comes again.
    node.start();
    node.result(WALLET, 1, Action::DepositSweep).await;
    node.reached(WALLET, 1, "in a mempool").await;
    node.stop().await;
}

/// A heartbeat for which these of ten seats were ready.
fn heartbeat(ready: u64) -> Signing {
    let silent: Vec<_> = (ready + 1..=10).map(|number| Seat::try_from(number).unwrap()).collect();
    Signing::Heartbeat(Alive { active: 10 - silent.len(), of: 10, silent, low_in_a_row: 0 })
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_with_too_few_seats_are_counted_over_restarts_and_the_silent_seats_named() {
    let mut node = Node::started();
    let failed = || Signing::Failed("too few were ready".to_owned());
    // 7 of 10 are enough, 6 are not. An error counts nothing.
    let outcomes = [
        (heartbeat(7), Some(0)),
        (heartbeat(6), Some(1)),
        (failed(), None),
        (heartbeat(5), Some(2)),
        (heartbeat(6), Some(3)),
        (heartbeat(6), Some(4)),
        (heartbeat(10), Some(0)),
        (heartbeat(6), Some(1)),
    ];
    for (index, (outcome, low)) in (1..).zip(outcomes) {
        node.script.signed.lock().unwrap().push_back(outcome);
        node.block(60 * index + 30);
        node.result(WALLET, index, Action::Heartbeat).await;
        let Some(low) = low else {
            node.reached(WALLET, index, "failed").await;
            continue;
        };
        let action = node.reached(WALLET, index, "heartbeat signed").await;
        let Milestone::Over(End::Alive(alive)) = &action.state().milestone else { panic!() };
        assert_eq!(alive.low_in_a_row, low, "heartbeat {index}");
        if index == 5 {
            let silent: Vec<_> = alive.silent.iter().map(|seat| seat.number()).collect();
            assert_eq!(silent, [7, 8, 9, 10]);
        }
        node.stop().await;
        node.start();
    }
    // It is known however many other actions come after it.
    node.result(WALLET, 9, Action::DepositSweep).await;
    node.reached(WALLET, 9, "agreed").await;
    let last = Alive::last(&Reader::open(&node.journal()).unwrap(), WALLET).unwrap().unwrap();
    assert_eq!((last.active, last.low_in_a_row), (6, 1));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_is_skipped_while_the_operator_has_no_stake() {
    let mut node = Node::started();
    let why = "the operator has no stake any more".to_owned();
    node.script.judged.lock().unwrap().push_back(Judged::Skipped(why.clone()));
    node.result(WALLET, 1, Action::Heartbeat).await;
    let action = node.reached(WALLET, 1, "skipped").await;
    assert_eq!(action.end(), Some(&End::Skipped(why)));
    assert_eq!(node.script.times("sign"), 0);
    node.stop().await;
}
