//! Maintainers as real processes, each `coxswain maintain --config`, on a chain with the real Bridge.

#![allow(dead_code, reason = "each test uses a part")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use alloy_primitives::{Address, address};
use bitcoin::{Amount, Transaction};
use coxswain_bindings::maintainer_proxy::MaintainerProxy::authorizeSpvMaintainerCall;
use coxswain_testkit::{BitcoinServer, DepositSpec, Reply, Serving, Wallet, World, write_private};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

pub(crate) const FEE: Amount = Amount::from_sat(10_000);
const KEYSTORE: &str = include_str!("../../../ethereum/tests/keystore.json");
pub(crate) const ACCOUNT: Address = address!("0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A");
/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// A world in which wallets act, and nobody proves it but the processes.
pub(crate) struct Unproven {
    pub(crate) world: World,
    pub(crate) wallets: Vec<Wallet>,
    pub(crate) proxy: Address,
    pub(crate) electrum: BitcoinServer,
    pub(crate) folder: TempDir,
}

impl Unproven {
    /// With so many wallets that have a main UTXO each. The account has money, and no right yet.
    pub(crate) async fn new(wallets: u64) -> Self {
        let mut world = World::start().await.unwrap();
        let mut funded = Vec::new();
        for seed in 1..=wallets {
            funded.push(world.funded_wallet(seed).await.unwrap());
        }
        world.proves = false;
        let proxy = world.deploy_maintainer_proxy().await.unwrap();
        world.chain.fund(ACCOUNT).await.unwrap();
        let serving = Serving::default();
        let electrum = BitcoinServer::electrum(&world.bitcoin, serving, |_, _| Reply::Forward).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        write_private(&folder.path().join("key.json"), KEYSTORE).unwrap();
        write_private(&folder.path().join("password"), "correct horse\n").unwrap();
        Self { world, wallets: funded, proxy, electrum, folder }
    }

    pub(crate) async fn authorise(&self) {
        let authorise = authorizeSpvMaintainerCall { maintainer: ACCOUNT };
        self.world.chain.send(self.world.governance, self.proxy, &authorise).await.unwrap();
    }

    /// Has a wallet sweep one more deposit, unproven.
    pub(crate) async fn sweep(&mut self, wallet: usize) -> Transaction {
        let wallet = self.wallets[wallet].clone();
        let deposit = self.world.reveal(&wallet, DepositSpec::default()).await.unwrap();
        self.world.sweep(&wallet, &[deposit], FEE).await.unwrap()
    }

    pub(crate) async fn is_in_step(&self, wallet: usize) -> bool {
        self.world.is_in_step(&self.wallets[wallet]).await.unwrap()
    }

    /// Waits until all that was done is proven.
    pub(crate) async fn settle(&self, program: &Program) {
        let all = async {
            for wallet in 0..self.wallets.len() {
                while !self.is_in_step(wallet).await {
                    sleep(Duration::from_millis(100)).await;
                }
            }
        };
        if timeout(PATIENCE, all).await.is_err() {
            panic!("not proven: {:#?}", program.lines());
        }
    }

    /// How many transactions of the account are in blocks, and how many of them reverted.
    pub(crate) async fn sent(&self) -> (usize, usize) {
        self.world.chain.transactions_of(&[ACCOUNT]).await.unwrap()
    }

    /// Starts a maintainer by a file with this in its section of the same name, and these variables.
    pub(crate) fn start(&self, more: &str, variables: &[(&str, &str)]) -> Program {
        let folder = self.folder.path();
        let text = format!(
            "[ethereum]\nurls = [\"{rpc}\"]\nbridge = \"{bridge}\"\nmaintainer_proxy = \"{proxy}\"\nkeystore = \
             \"{folder}/key.json\"\npassword_file = \"{folder}/password\"\npoll = \"50ms\"\ndepth = 1\n[bitcoin]\nurls \
             = [\"{electrum}\"]\npoll = \"100ms\"\n[journal]\npath = \"{folder}/journal.db\"\n[status]\nlisten = \
             \"127.0.0.1:0\"\n[log]\nlevel = \"info\"\nformat = \"json\"\n[maintainer]\n{more}\n",
            rpc = self.world.chain.endpoint(),
            bridge = self.world.bridge.address(),
            proxy = self.proxy,
            electrum = self.electrum.url(),
            folder = folder.display(),
        );
        let config = folder.join("maintainer.toml");
        fs::write(&config, text).unwrap();
        Program::start(config, variables)
    }
}

/// A maintainer's process, and what it has told.
pub(crate) struct Program {
    child: Child,
    /// Where it says how it is.
    status: watch::Receiver<Option<SocketAddr>>,
    /// The point at which it stands still.
    point: watch::Receiver<Option<String>>,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Program {
    fn start(config: PathBuf, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coxswain"));
        command.arg("maintain").arg("--config").arg(config).stdin(Stdio::null()).stdout(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("COXSWAIN_") {
                command.env_remove(name);
            }
        }
        let mut child = command.envs(variables.iter().copied()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (served, status) = watch::channel(None);
        let (stood, point) = watch::channel(None);
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&lines);
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let json: Value = serde_json::from_str(&line).unwrap_or_default();
                if let Some(address) = json["address"].as_str() {
                    served.send_replace(Some(address.parse().unwrap()));
                }
                if let Some(name) = line.strip_prefix("point ") {
                    stood.send_replace(Some(name.to_owned()));
                }
                kept.lock().unwrap().push(line);
            }
        });
        Self { child, status, point, lines }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Waits until it stands still at a point.
    pub(crate) async fn stands(&mut self) {
        let stands = self.point.wait_for(Option::is_some);
        if !matches!(timeout(PATIENCE, stands).await, Ok(Ok(_))) {
            panic!("never at its point: {:#?}", self.lines());
        }
    }

    /// What it shows there, with the HTTP status.
    pub(crate) async fn get(&mut self, path: &str) -> (u16, String) {
        let address = timeout(PATIENCE, self.status.wait_for(Option::is_some)).await;
        let address = match address {
            Ok(Ok(address)) => address.unwrap(),
            _ => panic!("it serves nothing: {:#?}", self.lines.lock().unwrap()),
        };
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        let answer = answer.await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Waits until its health is such.
    pub(crate) async fn health(&mut self, wanted: impl Fn(u16, &Value) -> bool) -> Value {
        let mut last = (0, Value::Null);
        for _ in 0..PATIENCE.as_millis() / 100 {
            let (code, body) = self.get("/health").await;
            last = (code, serde_json::from_str(&body).unwrap());
            if wanted(last.0, &last.1) {
                return last.1;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("{last:#?}, {:#?}", self.lines());
    }

    /// The number under this name.
    pub(crate) async fn number(&mut self, name: &str) -> Option<f64> {
        let (_, page) = self.get("/metrics").await;
        let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
        page.lines().find_map(value)
    }

    /// Waits until the number under this name is this.
    pub(crate) async fn counts(&mut self, name: &str, wanted: f64) {
        let counts = async {
            while self.number(name).await != Some(wanted) {
                sleep(Duration::from_millis(100)).await;
            }
        };
        if timeout(PATIENCE, counts).await.is_err() {
            panic!("{name} is never {wanted}: {:#?}", self.lines());
        }
    }

    /// Waits until it has ended by itself: its exit code.
    pub(crate) fn ends(mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap()
    }

    /// Sends it SIGKILL, and waits until it has ended.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends it SIGTERM, and waits until it has ended.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended already where all is well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The entry of this name.
pub(crate) fn entry<'a>(health: &'a Value, name: &str) -> &'a Value {
    let entries = health["entries"].as_array().unwrap();
    entries.iter().find(|entry| entry["name"] == name).unwrap_or(&Value::Null)
}
