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

use alloy::{
    primitives::Address,
    providers::{DynProvider, Provider},
};
use bitcoin::block::Header;
use coxswain_bindings::LightRelay;
use coxswain_bitcoin::spv::EPOCH;
use coxswain_ethereum::{Account, Endpoints, submit::Terms};
use coxswain_rules::units::Blocks;
use coxswain_service::{
    journal::{self, Journal},
    now,
    tasks::{Ending, Tasks},
};
use coxswain_testkit::TestChain;

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

/// What a child is given: Ethereum's URL, the relay, and Bitcoin's headers.
type Work = (String, Address, BTreeMap<u32, Header>);

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
    let (url, relay, headers): Work = serde_json::from_slice(&work).unwrap();
    let endpoints = Endpoints::new(url.parse().unwrap()).unwrap();
    let account = account(&folder);
    let journal = journal_in(&folder);
    let records = Records::of(Arc::clone(&journal), account.address()).unwrap();
    let sent = records.sent().await;
    let terms = Terms { depth: Blocks(0), poll: Duration::from_millis(20), ..Terms::default() };
    let submitter = Arc::new(Submitter::new(endpoints.clone(), account, 31_337, terms, records, &sent));
    let bitcoin = Headers(headers);
    let keeper = RelayKeeper::new(endpoints, relay, None, bitcoin, EASY, Some(Arc::clone(&submitter)));
    let mut tasks = Tasks::default();
    let (_follows, heights) = watch::channel(0);
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
    fn start(folder: &Path, point: Option<&str>) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["run::kills::child", "--exact", "--nocapture"]).env(CHILD, folder);
        match point {
            Some(point) => command.env("COXSWAIN_POINT", point),
            None => command.env_remove("COXSWAIN_POINT"),
        };
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let said = BufReader::new(process.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        // It ends with the process, or when nobody listens any more.
        thread::spawn(move || said.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { process, lines }
    }

    /// Waits until it stands still at this point.
    fn stands_at(&self, point: &str) {
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

async fn epoch(relay: &LightRelay::LightRelayInstance<DynProvider>) -> u32 {
    relay.currentEpoch().call().await.unwrap().try_into().unwrap()
}

#[tokio::test]
async fn inc_42_killed_at_each_point_the_difficulty_module_tells_no_retarget_twice_and_loses_none() {
    let kills: u32 = env::var("COXSWAIN_HITS").map_or(1, |kills| kills.parse().unwrap());
    let chain = TestChain::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("key.json"), include_str!("../../tests/keystores/first.json")).unwrap();
    let address = account(folder).address();
    chain.fund(address).await.unwrap();
    let bitcoin = easy_epochs(FIRST, EACH * kills, LENGTH);
    // How many retargets are told, on all relays.
    let mut told = 0;
    for name in POINTS {
        let relay = chain.deploy_easy_relay(FIRST.into(), LENGTH.into()).await.unwrap();
        let on_chain = LightRelay::new(relay, chain.provider().clone());
        for kill in 0..kills {
            let known = FIRST + EACH * kill;
            let newest = known + EACH;
            let mut headers = bitcoin.0.clone();
            headers.retain(|height, _| *height < newest * EPOCH + LENGTH);
            let work: Work = (chain.endpoint(), relay, headers);
            fs::write(folder.join("work.json"), serde_json::to_vec(&work).unwrap()).unwrap();

            // With the first of the two retargets, or with the second.
            let pass = 1 + kill % EACH;
            let killed = Program::start(folder, Some(&format!("{name}:{pass}")));
            killed.stands_at(name);
            killed.kill();
            let by_then = if name == "step/after" { pass } else { pass - 1 };
            assert_eq!(epoch(&on_chain).await, known + by_then, "{name}:{pass}");
            let journal = journal_in(folder);
            let recorded = Records::of(Arc::clone(&journal), address).unwrap().sent().await;
            Arc::into_inner(journal).unwrap().close();
            // What is signed is recorded, and only what is recorded was sent.
            let signed = told + u64::from(by_then) + u64::from(name == "record/after");
            assert_eq!(recorded.last().map(|sent| sent.nonce), signed.checked_sub(1), "{name}:{pass}");

            let program = Program::start(folder, None);
            let caught_up = async {
                while epoch(&on_chain).await < newest {
                    sleep(Duration::from_millis(20)).await;
                }
            };
            let in_time = timeout(PATIENCE, caught_up).await;
            assert!(
                in_time.is_ok(),
                "a retarget is lost at {name}:{pass}: {:#?}",
                program.lines.try_iter().collect::<Vec<_>>()
            );
            program.end();
            told += u64::from(EACH);
            // The relay takes anything for the next epoch: one that is told twice brings it too far.
            assert_eq!(epoch(&on_chain).await, newest, "{name}:{pass}");
            let nonces = chain.provider().get_transaction_count(address);
            assert_eq!(nonces.pending().await.unwrap(), told, "{name}:{pass}");
        }
        assert_eq!(chain.transactions_of(&[address]).await.unwrap(), (told.try_into().unwrap(), 0));
        println!("{name}: {kills} kills, {told} retargets so far, none twice");
    }
}
