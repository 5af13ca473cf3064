//! The difficulty module in a process of its own, on a real chain and with a journal on disk, that is killed at each of its
//! points: no retarget is told twice, and none is lost.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
};

use alloy::primitives::Address;
use bitcoin::block::Header;
use coxswain_bindings::LightRelay;
use coxswain_bitcoin::spv::EPOCH;
use coxswain_ethereum::{
    Account, Endpoints,
    submit::{Sent, Terms},
};
use coxswain_rules::units::{Blocks, Height};
use coxswain_service::{
    journal::{self, Journal},
    now,
    tasks::{Ending, Tasks},
};
use coxswain_testkit::{TestChain, write_private};
use serde::{Deserialize, Serialize};

use super::*;

#[path = "../../tests/all/easy.rs"]
mod easy;

use easy::{EASY, Headers, easy_epochs};

/// The variable that makes this program tell a relay instead of testing: the folder with its work, key and journal.
const CHILD: &str = "COXSWAIN_TEST_RETARGETS";
/// The points that it passes with each retarget, in their order.
const POINTS: [&str; 4] = ["step/before", "record/before", "record/after", "step/after"];
/// How many retargets there are to tell whenever it is killed.
const EACH: u32 = 2;
/// The first epoch that a relay knows, and how many headers it asks for on each side of its end.
const FIRST: u32 = 10;
const LENGTH: u32 = 2;
const PATIENCE: Duration = Duration::from_secs(60);

/// What a child is given.
#[derive(Serialize, Deserialize)]
struct Work {
    /// Ethereum's.
    url: String,
    relay: Address,
    /// Bitcoin's.
    headers: BTreeMap<Height, Header>,
    /// How long a retarget may wait before it is replaced.
    bump_after: Duration,
}

fn account(folder: &Path) -> Account {
    Account::from_keystore(&folder.join("key.json"), "correct horse").unwrap()
}

fn journal_in(folder: &Path) -> Arc<Journal> {
    Arc::new(Journal::open(&journal::Settings::at(folder.join("journal.db"))).unwrap())
}

/// Runs the module as the program does, until its standard input ends. Run by the test below.
#[tokio::test]
async fn child() {
    let Some(folder) = env::var_os(CHILD).map(PathBuf::from) else { return };
    let work = fs::read(folder.join("work.json")).unwrap();
    let Work { url, relay, headers, bump_after } = serde_json::from_slice(&work).unwrap();
    let endpoints = Endpoints::new(url.parse().unwrap()).unwrap();
    let account = account(&folder);
    let journal = journal_in(&folder);
    let records = Records::of(Arc::clone(&journal), account.address()).unwrap();
    let sent = records.sent().await;
    let terms = Terms { depth: Blocks(0), poll: Duration::from_millis(20), bump_after, ..Terms::default() };
    let submitter = Arc::new(Submitter::new(endpoints.clone(), account, 31_337, terms, records, &sent));
    let bitcoin = Headers(headers);
    let keeper = RelayKeeper::new(endpoints, relay, None, bitcoin, EASY, Some(Arc::clone(&submitter)));
    let mut tasks = Tasks::default();
    let (_follows, heights) = watch::channel(Height(0));
    let rhythm = Rhythm { heights, every: 10 * PATIENCE, clock: now, stop: tasks.stop() };
    let report = Report::new(Arc::default(), U256::ZERO);
    tasks.critical("difficulty", keep_relay(keeper, submitter, report, rhythm));
    tasks.critical("journal", journal::watch(Arc::clone(&journal), tasks.stop()));
    let asked = tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new()).unwrap());
    let ending = tasks.run(async { drop(asked.await) }, PATIENCE).await;
    journal::close_after(&ending, journal);
    assert!(matches!(ending, Ending::Drained), "{ending}");
}

/// A child's process, and what it says on standard error.
struct Program {
    process: Child,
    lines: mpsc::Receiver<String>,
}

impl Program {
    fn start(folder: &Path, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["run::kills::child", "--exact", "--nocapture"]);
        command.env(CHILD, folder).env_remove("COXSWAIN_POINT").envs(variables.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let said = BufReader::new(process.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        // It ends with the process, or when nobody listens any more.
        thread::spawn(move || said.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { process, lines }
    }

    /// Waits until it has come to this point.
    fn comes_to(&self, point: &str) {
        let wanted = format!("point {point}");
        let mut heard = Vec::new();
        while heard.last() != Some(&wanted) {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => heard.push(line),
                Err(error) => panic!("never at {point}: {error}: {heard:#?}"),
            }
        }
    }

    /// Sends it SIGKILL, and waits until it has ended.
    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Tells it to end, as it does without a failure.
    fn end(mut self) {
        drop(self.process.stdin.take());
        let ended = self.process.wait().unwrap();
        assert!(ended.success(), "{ended}: {:#?}", self.lines.iter().collect::<Vec<_>>());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended already where all is well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An account with its journal, on a chain.
/// A keeper that is killed, and the chain of its relays.
struct Killed {
    chain: TestChain,
    folder: tempfile::TempDir,
    address: Address,
    /// How many retargets there are to be in blocks by now, on all relays.
    told: u64,
}

impl Killed {
    async fn new() -> Self {
        let chain = TestChain::start().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let key = include_str!("../../tests/keystores/first.json");
        write_private(&folder.path().join("key.json"), key).unwrap();
        let address = account(folder.path()).address();
        chain.fund(address).await.unwrap();
        Self { chain, folder, address, told: 0 }
    }

    async fn relay(&self) -> Address {
        self.chain.deploy_easy_relay(FIRST.into(), LENGTH.into()).await.unwrap()
    }

    async fn epoch(&self, relay: Address) -> u32 {
        let epoch = self.chain.rpc().call(relay, &LightRelay::currentEpochCall).await.unwrap();
        epoch.try_into().unwrap()
    }

    /// How many nonces are used, in blocks or in what may be mined.
    async fn nonces(&self) -> u64 {
        self.chain.rpc().number("eth_getTransactionCount", (self.address, "pending")).await.unwrap()
    }

    /// What is on record, in a journal that opens.
    async fn recorded(&self) -> Vec<Sent> {
        let journal = journal_in(self.folder.path());
        let recorded = Records::of(Arc::clone(&journal), self.address).unwrap().sent().await;
        Arc::into_inner(journal).unwrap().close();
        recorded
    }

    /// Gives children this relay, and Bitcoin until it can be told this epoch.
    fn give(&self, relay: Address, bitcoin: &Headers, newest: u32, bump_after: Duration) {
        let mut headers = bitcoin.0.clone();
        headers.retain(|height, _| height.0 < newest * EPOCH + LENGTH);
        let work = Work { url: self.chain.endpoint(), relay, headers, bump_after };
        fs::write(self.folder.path().join("work.json"), serde_json::to_vec(&work).unwrap()).unwrap();
    }

    fn start(&self, variables: &[(&str, &str)]) -> Program {
        Program::start(self.folder.path(), variables)
    }

    /// Starts one that is to stand still at this point, and kills it there.
    fn kill_at(&self, point: &str, pass: u32) {
        let killed = self.start(&[("COXSWAIN_POINT", &format!("{point}:{pass}"))]);
        killed.comes_to(point);
        killed.kill();
    }

    /// Starts one that takes so many steps before it is told to end, after which the relay is to know this epoch.
    async fn catch_up(&self, relay: Address, newest: u32, steps: u32, after: &str) {
        let last = format!("step/after:{steps}");
        let program = self.start(&[("COXSWAIN_POINT", &last), ("COXSWAIN_POINT_THEN", "go")]);
        program.comes_to("step/after");
        program.end();
        // The relay takes anything for the next epoch: one that is told twice brings it too far.
        assert_eq!((self.epoch(relay).await, self.nonces().await), (newest, self.told), "after {after}");
    }

    /// Each retarget is in a block once, and none reverted.
    async fn counts(&self) {
        let mined = self.chain.transactions_of(&[self.address]).await.unwrap();
        assert_eq!(mined, (self.told.try_into().unwrap(), 0));
    }
}

fn kills() -> u32 {
    env::var("COXSWAIN_HITS").map_or(1, |kills| kills.parse().unwrap())
}

#[tokio::test]
async fn inc_42_killed_at_each_point_the_difficulty_module_tells_no_retarget_twice_and_loses_none() {
    let kills = kills();
    let mut killed = Killed::new().await;
    let bitcoin = easy_epochs(FIRST, EACH * kills, LENGTH);
    for name in POINTS {
        let relay = killed.relay().await;
        for kill in 0..kills {
            let known = FIRST + EACH * kill;
            // With the first of the two retargets, or with the second.
            let pass = 1 + kill % EACH;
            let after = format!("{name}:{pass}");
            killed.give(relay, &bitcoin, known + EACH, PATIENCE);
            killed.kill_at(name, pass);
            let by_then = if name == "step/after" { pass } else { pass - 1 };
            assert_eq!(killed.epoch(relay).await, known + by_then, "{after}");
            // What is signed is recorded, and only what is recorded was sent.
            let signed = killed.told + u64::from(by_then) + u64::from(name == "record/after");
            let newest = killed.recorded().await.last().map(|sent| sent.nonce);
            assert_eq!(newest, signed.checked_sub(1), "{after}");
            killed.told += u64::from(EACH);
            // With the last step there is nothing to tell.
            killed.catch_up(relay, known + EACH, EACH - by_then + 1, &after).await;
        }
        killed.counts().await;
        println!("{name}: {kills} kills, {} retargets so far, none twice", killed.told);
    }
}

#[tokio::test]
async fn inc_42_killed_while_its_retarget_waits_to_be_mined_the_difficulty_module_tells_it_once() {
    const SOON: Duration = Duration::from_millis(100);
    let kills = kills();
    let bitcoin = easy_epochs(FIRST, 2 * kills, LENGTH);
    // The first was sent by then, and is about to be replaced.
    for (point, records) in [("record/before", 1), ("record/after", 2)] {
        // Each on its own chain: what replacements offer makes the next ones dearer there.
        let mut killed = Killed::new().await;
        let relay = killed.relay().await;
        for next in FIRST + 1..=FIRST + 2 * kills {
            killed.give(relay, &bitcoin, next, SOON);
            killed.chain.rpc().tell("anvil_setAutomine", (false,)).await.unwrap();
            killed.kill_at(point, 2);
            assert_eq!((killed.epoch(relay).await, killed.nonces().await), (next - 1, killed.told + 1));
            let nonces: Vec<_> = killed.recorded().await.iter().map(|sent| sent.nonce).collect();
            assert_eq!(nonces, vec![killed.told; records], "{point}");
            // It is mined before the next run, or that one finds it waiting.
            if next % 2 == 0 {
                killed.chain.mine(1).await.unwrap();
            } else {
                killed.chain.mine_every(1).await.unwrap();
            }
            killed.told += 1;
            killed.give(relay, &bitcoin, next, PATIENCE);
            killed.catch_up(relay, next, 1, point).await;
            killed.chain.rpc().tell("anvil_setAutomine", (true,)).await.unwrap();
        }
        killed.counts().await;
        println!("{point}, unmined: {} kills, {} retargets so far, none twice", 2 * kills, killed.told);
    }
}
