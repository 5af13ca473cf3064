//! Operators of wallets as real processes, each `coxswain start`, on a chain with the real Bridge. Any of them may be played by
//! the test instead, on sockets of its own.

#![allow(dead_code, reason = "each test uses a part")]

mod actions;
mod member;
pub(crate) mod shares;
pub(crate) mod status;
pub(crate) mod wire;

#[allow(unused_imports, reason = "each test uses a part")]
pub(crate) use member::{Member, envelope, read};

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use alloy_primitives::{Address, B256, hex};
use bitcoin::{Transaction, Txid, consensus::encode, hashes::Hash, secp256k1::PublicKey};
use coxswain_ethereum::{BlockSelector, Endpoints};
use coxswain_network::Identity;
use coxswain_node::actions::ActionRecord;
use coxswain_protocol::{
    Assignment, Entry, SafeHashes, Sent, SigningGroup, Window, WindowParameters, WindowResult,
};
use coxswain_rules::{KeyHash, units::BlockNumber};
use coxswain_service::journal::{FactKey, Reader};
pub(crate) use coxswain_testkit::keystore;
use coxswain_testkit::{BitcoinServer, PASSWORD, Reply, Serving, Wallet, World, free_port, write_private};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

const HOUR: u64 = 3600;
pub(crate) const NETWORK: WindowParameters = WindowParameters::LOCAL;
/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);
/// How long a block lasts at most, while blocks come.
const BLOCK: Duration = Duration::from_secs(1);
/// How long apart it is looked at what the nodes have come to.
const LOOK: Duration = Duration::from_millis(50);

pub(crate) fn identity(number: u8) -> Identity {
    Identity::from_secret([number; 32]).unwrap()
}

pub(crate) fn operator(number: u8) -> Address {
    identity(number).operator().address()
}

pub(crate) fn key_hash(wallet: &PublicKey) -> KeyHash {
    KeyHash(bitcoin::PublicKey::new(*wallet).pubkey_hash().to_byte_array())
}

/// The program with this configuration, and no variables of whoever runs the test.
pub(crate) fn program(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coxswain"));
    command.arg("start").arg("--config").arg(config).stdin(Stdio::null()).stdout(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("COXSWAIN_") {
            command.env_remove(name);
        }
    }
    command
}

/// A node's process, and what it has told.
pub(crate) struct Node {
    child: Child,
    height: watch::Receiver<u64>,
    /// The point at which it stands still.
    pub(crate) point: watch::Receiver<Option<String>>,
    lines: Arc<Mutex<Vec<String>>>,
    /// What it has told of windows, as it says it in its log.
    told: Arc<Mutex<Vec<Value>>>,
    reading: Option<thread::JoinHandle<()>>,
    pub(crate) journal: PathBuf,
}

impl Node {
    fn start(mut command: Command, journal: PathBuf) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (heard, height) = watch::channel(0);
        let (stood, point) = watch::channel(None);
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&lines);
        let told = Arc::<Mutex<Vec<Value>>>::default();
        let kept_told = Arc::clone(&told);
        let reading = thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let json: Value = serde_json::from_str(&line).unwrap_or_default();
                if json["message"] == "block" {
                    heard.send_replace(json["height"].as_u64().unwrap());
                } else if let Some(name) = line.strip_prefix("point ") {
                    stood.send_replace(Some(name.to_owned()));
                } else {
                    kept.lock().unwrap().push(line);
                    if json["window"].is_u64() {
                        kept_told.lock().unwrap().push(json);
                    }
                }
            }
        });
        Self { child, height, point, lines, told, reading: Some(reading), journal }
    }

    pub(crate) async fn reached(&mut self, height: u64) {
        let reached = self.height.wait_for(|now| *now >= height);
        if !matches!(timeout(PATIENCE, reached).await, Ok(Ok(_))) {
            panic!("never at {height}: {:#?}", self.lines());
        }
    }

    /// The newest block that it has taken.
    pub(crate) fn heights(&self) -> watch::Receiver<u64> {
        self.height.clone()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    pub(crate) fn entries(&self, wallet: KeyHash) -> Vec<Entry> {
        entries(&self.journal, wallet)
    }

    pub(crate) fn sent(&self, wallet: KeyHash, index: u64) -> Option<Sent> {
        self.entries(wallet).into_iter().find_map(|entry| match entry {
            Entry::Sent(sent) if sent.window.index() == index => Some(sent),
            Entry::Result(_) | Entry::Sent(_) => None,
        })
    }

    pub(crate) fn result(&self, wallet: KeyHash, index: u64) -> Option<Arc<WindowResult>> {
        self.entries(wallet).into_iter().find_map(|entry| match entry {
            Entry::Result(result) if result.window.index() == index => Some(result),
            Entry::Result(_) | Entry::Sent(_) => None,
        })
    }

    /// The action that a window has agreed on, as far as it has come.
    pub(crate) fn action(&self, wallet: KeyHash, index: u64) -> Option<ActionRecord> {
        let newest = ActionRecord::newest(&Reader::open(&self.journal).unwrap(), wallet, 100).unwrap();
        let mut actions = newest.into_iter().map(Result::unwrap);
        actions.find(|action| action.agreed.window.index() == index)
    }

    /// How many transactions its account has sent to Ethereum under its newest nonce.
    pub(crate) fn sent_to_ethereum(&self, account: Address) -> usize {
        let key = FactKey { topic: "sent", owner: account.into_array(), name: String::new() };
        let fact = Reader::open(&self.journal).unwrap().fact(&key).unwrap();
        fact.map_or(0, |body| serde_json::from_str::<Vec<Value>>(&body.unwrap()).unwrap().len())
    }

    /// Whether it has heard this operator in a window, whatever it thinks of what was said.
    fn has_heard(&self, wallet: KeyHash, window: Window, author: Address) -> bool {
        self.has_told(wallet, window, |line| line["author"] == author.to_string())
    }

    /// Whether it has read a window's safe hash.
    fn has_read(&self, wallet: KeyHash, window: Window) -> bool {
        self.has_told(wallet, window, |line| line["message"] == "safe hash read")
    }

    /// Whether it has judged a proposal in a window.
    fn has_judged(&self, wallet: KeyHash, window: Window) -> bool {
        let judged = |line: &Value| line["message"].as_str().is_some_and(|it| it.starts_with("judged: "));
        self.has_told(wallet, window, judged)
    }

    fn has_told(&self, wallet: KeyHash, window: Window, wanted: impl Fn(&Value) -> bool) -> bool {
        let wallet = wallet.to_string();
        let of_it = |line: &&Value| line["wallet"] == wallet && line["window"] == window.index();
        self.told.lock().unwrap().iter().filter(of_it).any(wanted)
    }

    pub(crate) fn process(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Sends it SIGKILL, and waits until it has ended. Gives all that it has told.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.reading.take().unwrap().join().unwrap();
        self.lines()
    }

    /// Sends it SIGTERM.
    pub(crate) fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It has ended already where all is well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A wallet's entries, which must all be readable.
pub(crate) fn entries(journal: &Path, wallet: KeyHash) -> Vec<Entry> {
    let entries = Reader::open(journal).unwrap().newest(wallet, 10_000).unwrap();
    entries.into_iter().collect::<Result<_, _>>().unwrap()
}

/// Who operates the wallets, and what the nodes ask.
pub(crate) struct Plan {
    /// Operators 1 to this one hold a seat each, in this order, of every wallet.
    pub(crate) operators: u8,
    /// Those that no process stands for. The others dial them only if they are here on port [`Fleet::port`].
    pub(crate) played: Vec<u8>,
    /// The Ethereum servers of an operator. The chain's own, if there are none.
    pub(crate) ethereum: BTreeMap<u8, Vec<String>>,
    /// What is added to the configurations, under `[journal]`.
    pub(crate) journal: String,
    /// The wallets' whole keys, in their order: processes sign with them. None if nobody signs.
    pub(crate) secrets: Vec<[u8; 32]>,
    /// They are shared out: so many seats sign.
    pub(crate) threshold: Option<u8>,
    /// The Bitcoin servers of all. One that serves the world's chain, if there are none.
    pub(crate) bitcoin: Vec<String>,
}

impl Plan {
    /// All are processes.
    pub(crate) const fn of(operators: u8) -> Self {
        Self {
            operators,
            played: Vec::new(),
            ethereum: BTreeMap::new(),
            journal: String::new(),
            secrets: Vec::new(),
            threshold: None,
            bitcoin: Vec::new(),
        }
    }

    /// This one is played by the test.
    pub(crate) fn played(mut self, number: u8) -> Self {
        self.played.push(number);
        self
    }

    /// Processes sign for these wallets, which are all.
    pub(crate) fn signed(mut self, wallets: &[&Wallet]) -> Self {
        self.secrets = wallets.iter().map(|wallet| wallet.secret()).collect();
        self
    }

    /// No process has their keys: each has shares, and so many seats sign.
    pub(crate) fn shared(mut self, threshold: u8) -> Self {
        self.threshold = Some(threshold);
        self
    }
}

/// Operators of wallets.
pub(crate) struct Fleet {
    pub(crate) world: World,
    electrum: BitcoinServer,
    pub(crate) folder: TempDir,
    plan: Plan,
    wallets: Vec<PublicKey>,
    ports: BTreeMap<u8, u16>,
    endpoints: Endpoints,
    /// The processes that live.
    pub(crate) nodes: BTreeMap<u8, Node>,
    pub(crate) height: u64,
}

impl Fleet {
    /// Writes all configurations. Nobody runs yet; the chain stands at the block before a window's.
    pub(crate) async fn new(world: World, wallets: &[PublicKey], plan: Plan) -> Self {
        let validator = world.validator;
        world.chain.mine(32).await.unwrap();
        world.chain.advance(3 * HOUR).await.unwrap();
        let endpoints = Endpoints::new(world.chain.url()).unwrap();
        let height = endpoints.block(BlockSelector::Latest).await.unwrap().unwrap().number.0;
        let next = NETWORK.frequency.0 * (height / NETWORK.frequency.0 + 1);
        world.chain.mine(next - 1 - height).await.unwrap();
        let serving = Serving { estimate: Some(0.000_1), ..Serving::default() };
        let electrum = BitcoinServer::electrum(&world.bitcoin, serving, |_, _| Reply::Forward).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        write_private(&folder.path().join("password"), PASSWORD).unwrap();
        let ports = (1..=plan.operators).map(|number| (number, free_port().unwrap())).collect();
        let (wallets, nodes) = (wallets.to_vec(), BTreeMap::new());
        let fleet =
            Self { world, electrum, folder, plan, wallets, ports, endpoints, nodes, height: next - 1 };
        if let Some(threshold) = fleet.plan.threshold {
            fleet.deal(threshold);
        }
        for number in 1..=fleet.plan.operators {
            fleet.configure(number, validator);
        }
        fleet
    }

    /// Likewise, and all run.
    pub(crate) async fn start(world: World, wallets: &[PublicKey], plan: Plan) -> Self {
        let mut fleet = Self::new(world, wallets, plan).await;
        for number in fleet.processes() {
            fleet.run(number, &[]);
        }
        fleet.taken().await;
        fleet
    }

    /// Writes a file that nobody else may read.
    fn write_private(&self, name: &str, text: &str) -> PathBuf {
        let file = self.folder.path().join(name);
        write_private(&file, text).unwrap();
        file
    }

    fn configure(&self, number: u8, validator: Address) {
        let path = |name: &str| self.folder.path().join(name);
        write_private(&path(&format!("key{number}")), keystore([number; 32]).to_string()).unwrap();
        let operators: Vec<_> = (1..=self.plan.operators).map(operator).collect();
        let wallets: String = self
            .wallets
            .iter()
            .enumerate()
            .map(|(index, wallet)| {
                let key = hex::encode(wallet.serialize());
                let stated =
                    format!("[[wallets]]\npublic_key = \"0x{key}\"\noperators = {}\n", json!(operators));
                let Some(secret) = self.plan.secrets.get(index) else { return stated };
                let ids: Vec<_> = (1..=self.plan.operators).collect();
                let stated = format!("{stated}member_ids = {}\n", json!(ids));
                if self.plan.threshold.is_some() {
                    return stated;
                }
                let file = self.write_private(&format!("wallet{index}"), &hex::encode(secret));
                format!("{stated}key_file = {file:?}\n")
            })
            .collect();
        let chain = vec![self.world.chain.endpoint()];
        let electrum = vec![self.electrum.url().to_string()];
        let bitcoin = if self.plan.bitcoin.is_empty() { &electrum } else { &self.plan.bitcoin };
        let signing = match self.plan.threshold {
            Some(_) => format!(
                "[signing]\nkeys = {:?}\npassphrase_file = {:?}\n",
                self.shares(number),
                path("passphrase")
            ),
            None => String::new(),
        };
        let text = format!(
            "[ethereum]\nurls = {}\nvalidator = \"{validator}\"\nkeystore = {:?}\npassword_file = {:?}\n\
             poll_milliseconds = 100\nrequest_timeout = \"5s\"\n[bitcoin]\nurls = {}\n\
             [network]\nlisten = [\"127.0.0.1:{}\"]\npeers = {}\nadmission = \"list\"\n\
             [journal]\npath = {:?}\n{}\n[log]\nlevel = \"info,coxswain_node=debug,coxswain_coordination=debug\"\nformat = \"json\"\n{signing}{wallets}",
            json!(self.plan.ethereum.get(&number).unwrap_or(&chain)),
            path(&format!("key{number}")),
            path("password"),
            json!(bitcoin),
            self.port(number),
            json!(self.peers(number)),
            self.journal(number),
            self.plan.journal,
        );
        fs::write(self.config(number), text).unwrap();
    }

    /// The Bitcoin server that all ask, unless the plan says otherwise.
    pub(crate) fn electrum_url(&self) -> String {
        self.electrum.url().to_string()
    }

    /// What that server was asked.
    pub(crate) fn bitcoin_asked(&self) -> Vec<(String, Value)> {
        self.electrum.asked()
    }

    /// The transactions that were handed to that server, whatever came of it.
    pub(crate) fn handed(&self) -> BTreeMap<Txid, Transaction> {
        let asked = self.electrum.asked().into_iter();
        let handed = asked.filter(|(method, _)| method == "blockchain.transaction.broadcast");
        let read = |params: &Value| -> Transaction {
            encode::deserialize(&hex::decode(params[0].as_str().unwrap()).unwrap()).unwrap()
        };
        handed.map(|(_, params)| read(&params)).map(|sent| (sent.compute_txid(), sent)).collect()
    }

    pub(crate) fn config(&self, number: u8) -> PathBuf {
        self.folder.path().join(format!("node{number}.toml"))
    }

    pub(crate) fn journal(&self, number: u8) -> PathBuf {
        self.folder.path().join(format!("journal{number}.db"))
    }

    pub(crate) fn port(&self, number: u8) -> u16 {
        self.ports[&number]
    }

    /// Where all others are.
    pub(crate) fn peers(&self, number: u8) -> Vec<String> {
        let others = (1..=self.plan.operators).filter(|other| *other != number);
        others.map(|other| self.address(other)).collect()
    }

    pub(crate) fn address(&self, number: u8) -> String {
        format!("/ip4/127.0.0.1/tcp/{}/p2p/{}", self.port(number), identity(number).peer_id())
    }

    pub(crate) fn wallets(&self) -> &[PublicKey] {
        &self.wallets
    }

    /// Those that processes stand for.
    pub(crate) fn processes(&self) -> Vec<u8> {
        (1..=self.plan.operators).filter(|number| !self.plan.played.contains(number)).collect()
    }

    /// Starts a process, with these variables.
    pub(crate) fn run(&mut self, number: u8, variables: &[(&str, &str)]) {
        let mut command = program(&self.config(number));
        command.envs(variables.iter().copied());
        self.nodes.insert(number, Node::start(command, self.journal(number)));
    }

    /// Waits until all that live have taken the newest block.
    pub(crate) async fn taken(&mut self) {
        for node in self.nodes.values_mut() {
            node.reached(self.height).await;
        }
    }

    /// Mines so many blocks at once.
    pub(crate) async fn mine(&mut self, blocks: u64) {
        self.world.chain.mine(blocks).await.unwrap();
        self.height += blocks;
        self.taken().await;
    }

    /// How many seats sign with shares. `None` if each process has the whole key.
    pub(crate) const fn threshold(&self) -> Option<u8> {
        self.plan.threshold
    }

    /// Takes note of the blocks that others have mined.
    pub(crate) async fn catch_up(&mut self) {
        self.height = self.endpoints.block(BlockSelector::Latest).await.unwrap().unwrap().number.0;
        self.taken().await;
    }

    /// Mines so many blocks at once, which nobody may have seen yet.
    pub(crate) async fn mine_unseen(&mut self, blocks: u64) {
        self.world.chain.mine(blocks).await.unwrap();
        self.height += blocks;
    }

    /// Mines up to this block, one by one.
    pub(crate) async fn mine_to(&mut self, block: BlockNumber) {
        while self.height < block.0 {
            self.mine(1).await;
        }
    }

    /// Up to the block before the next window's, at once.
    pub(crate) async fn rest(&mut self) {
        self.mine(NETWORK.frequency.0 - self.height % NETWORK.frequency.0 - 1).await;
    }

    pub(crate) fn group(&self) -> SigningGroup {
        SigningGroup::new((1..=self.plan.operators).map(operator).collect()).unwrap()
    }

    /// A block's hashes by both rules.
    pub(crate) async fn hashes(&self, block: BlockNumber) -> SafeHashes {
        SafeHashes::of(&self.endpoints.header(block).await.unwrap().unwrap())
    }

    /// A window's assignment by this hash of its safe block.
    pub(crate) fn assigned(&self, wallet: KeyHash, window: Window, hash: B256) -> Assignment {
        Assignment::new(&NETWORK, window, wallet, &self.group(), hash)
    }

    /// Who leads a window, and what may be proposed in it. Its safe block must be there.
    pub(crate) async fn assignment(&self, wallet: KeyHash, window: Window) -> Assignment {
        self.assigned(wallet, window, self.hashes(window.safe_block()).await.canonical)
    }

    /// The window that comes next.
    pub(crate) fn next(&self) -> Window {
        Window::numbered(&NETWORK, self.height / NETWORK.frequency.0 + 1).unwrap()
    }

    /// Lets windows pass until the next one's assignment is as wanted. The chain stands at the block before it then.
    pub(crate) async fn until_next(
        &mut self,
        wallet: KeyHash,
        wanted: impl Fn(&Assignment) -> bool,
    ) -> Window {
        self.until_hashed(|fleet, window, hashes| wanted(&fleet.assigned(wallet, window, hashes.canonical)))
            .await
    }

    /// Likewise, by the next one's safe hashes.
    pub(crate) async fn until_hashed(
        &mut self,
        wanted: impl Fn(&Self, Window, SafeHashes) -> bool,
    ) -> Window {
        loop {
            self.rest().await;
            let window = self.next();
            if wanted(self, window, self.hashes(window.safe_block()).await) {
                return window;
            }
            // Past all of it at once.
            self.mine(NETWORK.frequency.0).await;
        }
    }

    /// Waits until this holds, for so long at most. Gives whether it does.
    async fn within(&self, patience: Duration, holds: impl Fn(&Self) -> bool) -> bool {
        let waiting = async {
            while !holds(self) {
                sleep(LOOK).await;
            }
        };
        timeout(patience, waiting).await.is_ok()
    }

    /// Waits until this holds.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        assert!(self.within(PATIENCE, holds).await, "{what}: {:#?}", self.lines());
    }

    /// What each living node has told.
    fn lines(&self) -> BTreeMap<u8, Vec<String>> {
        self.nodes.iter().map(|(number, node)| (*number, node.lines())).collect()
    }

    /// All living nodes' results of a window, once they are there.
    pub(crate) async fn results(&self, wallet: KeyHash, window: Window) -> BTreeMap<u8, Arc<WindowResult>> {
        let index = window.index();
        let all = |fleet: &Self| fleet.nodes.values().all(|node| node.result(wallet, index).is_some());
        self.until(&format!("no result of {wallet} in window {index}"), all).await;
        let results = self.nodes.iter().map(|(number, node)| (*number, node.result(wallet, index).unwrap()));
        results.collect()
    }

    /// Waits until somebody has recorded what it sends in a window.
    pub(crate) async fn has_sent(&self, wallet: KeyHash, window: Window) {
        let index = window.index();
        let sent = |fleet: &Self| fleet.nodes.values().any(|node| node.sent(wallet, index).is_some());
        self.until(&format!("nobody leads {wallet} in window {index}"), sent).await;
    }

    /// Waits until these have read a window's safe hash. Who reads it at a later block than the window's first blames nobody for
    /// what follows from it.
    pub(crate) async fn have_read(&self, numbers: &[u8], wallet: KeyHash, window: Window) {
        let all = |fleet: &Self| numbers.iter().all(|number| fleet.nodes[number].has_read(wallet, window));
        self.until(&format!("not all have read the safe hash of window {}", window.index()), all).await;
    }

    /// Waits until all others that live have heard an operator in a window. Whoever leads says again at each block what it has
    /// said, so blocks come meanwhile, slowly, as long as the active phase lasts.
    pub(crate) async fn heard(&mut self, wallet: KeyHash, window: Window, author: Address) {
        let all = |fleet: &Self| {
            let others = fleet.nodes.iter().filter(|(number, _)| operator(**number) != author);
            others.into_iter().all(|(_, node)| node.has_heard(wallet, window, author))
        };
        while self.height + 1 < window.active_end().0 {
            if self.within(BLOCK, all).await {
                return;
            }
            self.mine(1).await;
        }
        self.until(&format!("not all have heard {author} in window {}", window.index()), all).await;
    }

    /// Waits until somebody has said something in a window, and all others that live have heard it.
    pub(crate) async fn has_spoken(&mut self, wallet: KeyHash, window: Window) {
        self.has_sent(wallet, window).await;
        let sent =
            |(number, node): (&u8, &Node)| node.sent(wallet, window.index()).map(|_| operator(*number));
        let leader = self.nodes.iter().find_map(sent).unwrap();
        self.heard(wallet, window, leader).await;
    }

    /// Waits until all that live have judged a proposal in a window.
    pub(crate) async fn judged(&self, wallet: KeyHash, window: Window) {
        let all = |fleet: &Self| fleet.nodes.values().all(|node| node.has_judged(wallet, window));
        self.until(&format!("not all have judged in window {}", window.index()), all).await;
    }

    /// Tells all to end, and sees that they do.
    pub(crate) fn stop(mut self) {
        for node in self.nodes.values() {
            node.terminate();
        }
        for node in self.nodes.values_mut() {
            let status = node.wait();
            assert_eq!(status.code(), Some(0), "{:#?}", node.lines());
        }
    }
}
