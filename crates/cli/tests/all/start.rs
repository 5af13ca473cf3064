//! `coxswain start` as an operator meets it: five real processes on a chain with the real Bridge, and what keeps one from
//! starting.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use alloy_primitives::{Address, hex, keccak256};
use bitcoin::Amount;
use coxswain_ethereum::{BlockSelector, Endpoints};
use coxswain_network::Identity;
use coxswain_protocol::{Agreement, Assurance, Entry, WindowParameters, WindowResult};
use coxswain_rules::{Action, KeyHash};
use coxswain_service::journal::Reader;
use coxswain_testkit::{
    BitcoinServer, DepositSpec, Reply, Serving, Wallet, World, our_validator, standard_scripts,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{sync::watch, time::sleep};

use crate::support::coxswain;

const HOUR: u64 = 3600;
const FEE: Amount = Amount::from_sat(10_000);
const NODES: u8 = 5;
const NETWORK: WindowParameters = WindowParameters::LOCAL;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// How many windows in a row.
fn windows() -> u64 {
    std::env::var("COXSWAIN_WINDOWS").map_or(2, |windows| windows.parse().unwrap())
}

/// A keystore of this key, under the password `correct horse`: its cipher is a stream, and so is the same for all keys.
fn keystore(secret: [u8; 32]) -> Value {
    const STREAM: [u8; 32] = hex!("4321e439ec7ee89fb58f1d8e9ed998aee2fe3d6ae696baf694b92881032db6a4");
    const MAC: [u8; 16] = hex!("f80ee7ccc89564199957a2a783532f80");
    let ciphertext: Vec<u8> = secret.iter().zip(STREAM).map(|(secret, stream)| secret ^ stream).collect();
    let mac = keccak256([&MAC[..], &ciphertext].concat());
    json!({
        "version": 3,
        "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
        "crypto": {
            "cipher": "aes-128-ctr",
            "ciphertext": hex::encode(ciphertext),
            "cipherparams": { "iv": "000102030405060708090a0b0c0d0e0f" },
            "kdf": "scrypt",
            "kdfparams": {
                "dklen": 32, "n": 1024, "p": 1, "r": 8,
                "salt": "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
            },
            "mac": hex::encode(mac),
        },
    })
}

/// A free port of this machine, as good as one can tell.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A node's process, and the block that it has seen last.
struct Node {
    child: Child,
    height: watch::Receiver<u64>,
    lines: Arc<std::sync::Mutex<Vec<String>>>,
    journal: PathBuf,
}

impl Node {
    fn start(config: &Path, journal: PathBuf) -> Self {
        let mut child = program(config).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (heard, height) = watch::channel(0);
        let lines = Arc::<std::sync::Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&lines);
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let json: Value = serde_json::from_str(&line).unwrap_or_default();
                if json["message"] == "block" {
                    heard.send_replace(json["height"].as_u64().unwrap());
                } else {
                    kept.lock().unwrap().push(line);
                }
            }
        });
        Self { child, height, lines, journal }
    }

    async fn reached(&mut self, height: u64) {
        let reached = self.height.wait_for(|now| *now >= height);
        if !matches!(tokio::time::timeout(PATIENCE, reached).await, Ok(Ok(_))) {
            panic!("never at {height}: {:#?}", self.lines.lock().unwrap());
        }
    }

    fn entries(&self, wallet: KeyHash) -> Vec<Entry> {
        let entries = Reader::open(&self.journal).unwrap().newest(wallet, 100).unwrap();
        entries.into_iter().collect::<Result<_, _>>().unwrap()
    }

    fn has_sent(&self, wallet: KeyHash, index: u64) -> bool {
        self.entries(wallet)
            .iter()
            .any(|entry| matches!(entry, Entry::Sent(sent) if sent.window.index() == index))
    }

    fn result(&self, wallet: KeyHash, index: u64) -> Option<Arc<WindowResult>> {
        self.entries(wallet).into_iter().find_map(|entry| match entry {
            Entry::Result(result) if result.window.index() == index => Some(result),
            Entry::Result(_) | Entry::Sent(_) => None,
        })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It has ended already where all is well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program with this configuration, and no variables of whoever runs the test.
fn program(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coxswain"));
    command.arg("start").arg("--config").arg(config).stdin(Stdio::null()).stdout(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("COXSWAIN_") {
            command.env_remove(name);
        }
    }
    command
}

/// Waits until this holds.
async fn until(what: &str, nodes: &[Node], holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
        let lines: Vec<_> = nodes.iter().map(|node| node.lines.lock().unwrap().clone()).collect();
        panic!("{what}: {lines:#?}");
    }
}

struct Fleet {
    world: World,
    _electrum: BitcoinServer,
    folder: TempDir,
    operators: Vec<Address>,
    nodes: Vec<Node>,
    height: u64,
}

impl Fleet {
    /// Five nodes of the wallets' five operators, on a chain with the real Bridge.
    async fn start(world: World, wallets: &[&Wallet]) -> Self {
        let validator = world.deploy_validator(&our_validator().unwrap()).await.unwrap();
        world.chain.mine(32).await.unwrap();
        world.chain.advance(3 * HOUR).await.unwrap();
        let endpoints = Endpoints::new(world.chain.endpoint().parse().unwrap()).unwrap();
        let height = endpoints.block(BlockSelector::Latest).await.unwrap().unwrap().number;
        // The block before a window's.
        let next = NETWORK.frequency * (height / NETWORK.frequency + 1);
        world.chain.mine(next - 1 - height).await.unwrap();
        let serving = Serving { estimate: Some(0.000_1), ..Serving::default() };
        let electrum = BitcoinServer::electrum(&world.bitcoin, serving, |_, _| Reply::Forward).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let identities: Vec<_> = (1..=NODES).map(|n| Identity::from_secret([n; 32]).unwrap()).collect();
        let ports: Vec<_> = identities.iter().map(|_| port()).collect();
        let operators: Vec<_> = identities.iter().map(|identity| identity.operator().address()).collect();
        fs::write(folder.path().join("password"), "correct horse\n").unwrap();
        let path = |name: &str| folder.path().join(name);
        let nodes = (1..=NODES).zip(&ports).map(|(number, port)| {
            fs::write(path(&format!("key{number}")), keystore([number; 32]).to_string()).unwrap();
            let others = identities.iter().zip(&ports).filter(|(_, other)| *other != port);
            let peers: Vec<_> = others
                .map(|(identity, port)| format!("/ip4/127.0.0.1/tcp/{port}/p2p/{}", identity.peer_id()))
                .collect();
            let wallets: String = wallets
                .iter()
                .map(|wallet| {
                    let key = hex::encode(wallet.public_key().to_bytes());
                    format!("[[wallets]]\npublic_key = \"0x{key}\"\noperators = {}\n", json!(operators))
                })
                .collect();
            let journal = path(&format!("journal{number}.db"));
            let text = format!(
                "[ethereum]\nurls = [{:?}]\nvalidator = \"{validator}\"\nkeystore = {:?}\npassword_file = {:?}\n\
                 poll_milliseconds = 100\n[bitcoin]\nurls = [{:?}]\n\
                 [network]\nlisten = [\"127.0.0.1:{port}\"]\npeers = {}\nadmission = \"list\"\n\
                 [journal]\npath = {:?}\n[log]\nlevel = \"info,coxswain_node=debug\"\nformat = \"json\"\n{wallets}",
                world.chain.endpoint(),
                path(&format!("key{number}")),
                path("password"),
                electrum.url().to_string(),
                json!(peers),
                journal,
            );
            let config = path(&format!("node{number}.toml"));
            fs::write(&config, text).unwrap();
            Node::start(&config, journal)
        });
        let nodes = nodes.collect();
        let mut fleet = Self { world, _electrum: electrum, folder, operators, nodes, height: next - 1 };
        fleet.taken().await;
        fleet
    }

    /// Waits until all have taken the newest block.
    async fn taken(&mut self) {
        for node in &mut self.nodes {
            node.reached(self.height).await;
        }
    }

    async fn mine(&mut self, blocks: u64) {
        self.world.chain.mine(blocks).await.unwrap();
        self.height += blocks;
        self.taken().await;
    }

    /// Runs the window that begins at the next block, and gives each wallet's result.
    async fn window(&mut self, wallets: &[KeyHash]) -> Vec<Arc<WindowResult>> {
        self.mine(1).await;
        let window = NETWORK.window_at(self.height).unwrap();
        let index = window.index();
        for wallet in wallets {
            let sent = || self.nodes.iter().any(|node| node.has_sent(*wallet, index));
            until(&format!("nobody leads {wallet} in window {index}"), &self.nodes, sent).await;
        }
        while self.height < window.end() {
            self.mine(1).await;
        }
        let mut results = Vec::new();
        for wallet in wallets {
            let all = || self.nodes.iter().all(|node| node.result(*wallet, index).is_some());
            until(&format!("no result of {wallet} in window {index}"), &self.nodes, all).await;
            let all: Vec<_> = self.nodes.iter().map(|node| node.result(*wallet, index).unwrap()).collect();
            for result in &all {
                assert_eq!(result.agreement.proposal(), all[0].agreement.proposal(), "{all:#?}");
                assert_eq!(result.agreement.name(), all[0].agreement.name(), "{all:#?}");
                assert_eq!(result.basis.unwrap().leader, all[0].basis.unwrap().leader);
                assert!(result.faults.is_empty(), "{result:#?}");
                let Agreement::Action(validated, _) = &result.agreement else { panic!("{result:#?}") };
                assert_eq!(validated.at().assurances.state, Some(Assurance::Proven), "{result:#?}");
            }
            let senders = self.nodes.iter().filter(|node| node.has_sent(*wallet, index)).count();
            assert_eq!(senders, 1, "only the leader speaks");
            results.push(Arc::clone(&all[0]));
        }
        // Up to the block before the next window's.
        let rest = NETWORK.frequency - (self.height - window.block()) - 1;
        self.mine(rest).await;
        results
    }

    /// Who leads as `coxswain leader` says.
    async fn leader(&self, wallet: KeyHash, block: u64) -> Address {
        let operators = self.folder.path().join("operators");
        let lines: Vec<_> = self.operators.iter().map(|operator| operator.to_checksum(None)).collect();
        fs::write(&operators, lines.join("\n")).unwrap();
        let (wallet, block, url) = (wallet.to_string(), block.to_string(), self.world.chain.endpoint());
        let file = operators.to_str().unwrap();
        let arguments = [
            "leader",
            "--wallet",
            &wallet,
            "--operators",
            file,
            "--rpc-url",
            &url,
            "--block",
            &block,
            "--json",
        ];
        let run = coxswain(&arguments, "").await;
        run.json()["leader"].as_str().unwrap().parse().unwrap()
    }

    /// Tells all to end, and sees that they do.
    fn stop(mut self) {
        for node in &self.nodes {
            let pid = node.child.id().to_string();
            assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        }
        for node in &mut self.nodes {
            let status = node.child.wait().unwrap();
            assert_eq!(status.code(), Some(0), "{:#?}", node.lines.lock().unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_nodes_come_to_the_same_results_window_after_window() {
    let mut world = World::start().await.unwrap();
    // One wallet has a request to pay, the other a deposit to sweep.
    let (paying, sweeping) = (world.wallet(1).await.unwrap(), world.wallet(2).await.unwrap());
    let deposit = world.reveal(&paying, DepositSpec::default()).await.unwrap();
    world.sweep(&paying, &[deposit], FEE).await.unwrap();
    let [script, ..] = standard_scripts(1);
    let amount = Amount::from_sat(2_000_000);
    world.request_redemption(&paying, world.depositor, script, amount).await.unwrap();
    world.reveal(&sweeping, DepositSpec::default()).await.unwrap();

    let wallets = [paying.key_hash(), sweeping.key_hash()];
    let mut fleet = Fleet::start(world, &[&paying, &sweeping]).await;
    for _ in 0..windows() {
        let results = fleet.window(&wallets).await;
        for (result, action) in results.iter().zip([Action::Redemption, Action::DepositSweep]) {
            assert!(matches!(result.agreement, Agreement::Action(..)), "{result:#?}");
            assert_eq!(result.agreement.proposal().map(|proposal| proposal.action()), Some(action));
            let leader = fleet.leader(result.wallet, result.window.block()).await;
            assert_eq!(result.basis.unwrap().leader, leader);
        }
    }
    fleet.stop();
}

fn code(config: &Path) -> (Option<i32>, String) {
    let output = program(config).stderr(Stdio::piped()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_configuration_that_makes_no_sense_is_told_by_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("node.toml");
    let base = "[ethereum]\nurls = [\"http://127.0.0.1:1\"]\nkeystore = \"none\"\npassword_file = \"none\"\n";
    let rest = "[bitcoin]\nurls = [\"tcp://127.0.0.1:1\"]\n[journal]\npath = \"none\"\n";
    for (text, told) in [
        (format!("{base}quorums = 1\n{rest}"), "ethereum.quorums"),
        (format!("{base}quorum = \"many\"\n{rest}"), "ethereum.quorum"),
        (format!("{base}network = \"main\"\n{rest}"), "ethereum.network"),
        (format!("{base}request_timeout = \"15\"\n{rest}"), "ethereum.request_timeout"),
        (rest.to_owned(), "ethereum"),
        (format!("{base}{rest}"), "password"),
        ("[ethereum\n".to_owned(), "line 1"),
    ] {
        fs::write(&config, text).unwrap();
        let (code, stderr) = code(&config);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains(told), "{told}: {stderr}");
    }
    assert_eq!(code(&folder.path().join("other.toml")).0, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn inc_24_a_node_does_not_start_on_another_chain() {
    let chain = coxswain_testkit::TestChain::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("key"), keystore([1; 32]).to_string()).unwrap();
    fs::write(path("password"), "correct horse").unwrap();
    let text = format!(
        "[ethereum]\nurls = [{:?}]\nnetwork = \"mainnet\"\nkeystore = {:?}\npassword_file = {:?}\n\
         [bitcoin]\nurls = [\"tcp://127.0.0.1:1\"]\n[journal]\npath = {:?}\n",
        chain.endpoint(),
        path("key"),
        path("password"),
        path("journal.db"),
    );
    fs::write(path("node.toml"), text).unwrap();
    let config = path("node.toml");
    let (code, stderr) = tokio::task::spawn_blocking(move || code(&config)).await.unwrap();
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("31337") && stderr.contains("mainnet"), "{stderr}");
}
