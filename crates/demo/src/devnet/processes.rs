//! The operators' processes, and the files that each starts from.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use alloy_primitives::{Address, hex};
use coxswain_network::Identity;
use coxswain_testkit::{PASSWORD, Wallet, keystore};
use eyre::{Result, WrapErr, ensure};
use serde_json::json;
use tokio::task::JoinHandle;
use url::Url;

use super::{MAINTAINER, OPERATORS, Ports, THRESHOLD, name, seats, secret};
use crate::world::programs;

/// The folder with the operators' shares of the wallet's key.
const SHARES: &str = "shares";
/// How often, and how long apart, it is looked whether a port is free.
const PORT_TRIES: u32 = 100;
const PORT_PAUSE: Duration = Duration::from_millis(50);

/// What the operators' configurations are made from.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where everything is reached.
    pub ports: Ports,
    /// The folder for configurations, journals and logs.
    pub folder: PathBuf,
    /// Whether each node has shares of the wallet's key, and nobody the key. Otherwise each has the key.
    pub shares: bool,
    /// The chain's endpoint.
    pub ethereum: String,
    /// The same by a second server.
    pub relay: String,
    /// Bitcoin's servers.
    pub bitcoin: Vec<Url>,
    /// The Bridge.
    pub bridge: Address,
    /// The validator.
    pub validator: Address,
    /// Through which the maintainer proves.
    pub proxy: Address,
    /// The operators' wallet.
    pub wallet: Wallet,
}

/// Those that run. They end when this is dropped.
#[derive(Debug)]
pub struct Operators {
    plan: Plan,
    program: PathBuf,
    running: BTreeMap<u8, Running>,
}

#[derive(Debug)]
enum Running {
    /// A node, or the maintainer.
    Process(Child),
    /// Somebody hostile, in the place of a node.
    Liar(JoinHandle<Result<()>>),
}

impl Plan {
    /// The identity of an operator.
    ///
    /// # Errors
    /// If its number gives no key.
    pub fn identity(number: u8) -> Result<Identity> {
        Ok(Identity::from_secret(secret(number))?)
    }

    /// The operators' accounts, seat by seat.
    ///
    /// # Errors
    /// None to be expected.
    pub fn group() -> Result<Vec<Address>> {
        seats().map(|number| Ok(Self::identity(number)?.operator().address())).collect()
    }

    /// Where an operator is reached by the others.
    pub(super) fn address(&self, number: u8) -> Result<String> {
        let peer = Self::identity(number)?.peer_id();
        Ok(format!("/ip4/127.0.0.1/tcp/{}/p2p/{peer}", self.ports.link(number)))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes all files anew: what is left of an earlier devnet goes, and nothing else.
    fn write(&self) -> Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let of_a_process =
                |name: &str| OPERATORS.chain([MAINTAINER]).any(|number| name == super::name(number));
            let ours = |stem: &str| of_a_process(stem) || ["password", "wallet"].contains(&stem);
            let stem = path.file_name().and_then(|name| name.to_str()?.split('.').next());
            if path.is_file() && stem.is_some_and(ours) {
                fs::remove_file(&path).wrap_err_with(|| format!("can't remove {}", path.display()))?;
            }
        }
        let shares = self.path(SHARES);
        if shares.exists() {
            fs::remove_dir_all(&shares).wrap_err_with(|| format!("can't remove {}", shares.display()))?;
        }
        private(&self.path("password"), &format!("{PASSWORD}\n"))?;
        private(&self.path("wallet.key"), &hex::encode(self.wallet.secret()))?;
        for number in OPERATORS.chain([MAINTAINER]) {
            let name = name(number);
            private(&self.path(&format!("{name}.keystore")), &keystore(secret(number)).to_string())?;
            let text = if number == MAINTAINER { self.maintainers() } else { self.node(number)? };
            fs::write(self.path(&format!("{name}.toml")), text)?;
        }
        Ok(())
    }

    /// Has the program share out the wallet's key, into a folder an operator. The key's file goes.
    fn deal(&self, program: &Path) -> Result<()> {
        let group: String = Self::group()?.iter().map(|member| format!("{member}\n")).collect();
        fs::write(self.path("group.txt"), group)?;
        let key = self.path("wallet.key");
        let passphrase = self.path("wallet.passphrase");
        private(&passphrase, PASSWORD)?;
        let mut command = Command::new(program);
        command.args(["share", "deal", "--chain-id", "31337", "--threshold", &THRESHOLD.to_string()]);
        command.arg("--operators").arg(self.path("group.txt")).arg("--passphrase-file").arg(passphrase);
        command.arg("--key-file").arg(&key).arg("--out").arg(self.path(SHARES));
        without_variables(&mut command);
        let dealt = command.stdin(Stdio::null()).output();
        let dealt = dealt.wrap_err_with(|| format!("can't run {}", program.display()))?;
        fs::remove_file(&key)?;
        let told = String::from_utf8_lossy(&dealt.stderr);
        ensure!(
            dealt.status.success(),
            "the wallet's key can't be shared out: is this coxswain built with threshold signing (make devnet SHARES=1)?\n{told}"
        );
        Ok(())
    }

    fn bitcoin(&self) -> String {
        json!(self.bitcoin.iter().map(Url::as_str).collect::<Vec<_>>()).to_string()
    }

    fn node(&self, number: u8) -> Result<String> {
        let peers: Vec<_> = OPERATORS
            .filter(|other| *other != number)
            .map(|other| self.address(other))
            .collect::<Result<_>>()?;
        let group = Self::group()?;
        let ids: Vec<_> = (1..=group.len()).collect();
        let (shares, key) = if self.shares {
            let own = self.path(SHARES).join(Self::identity(number)?.operator().address().to_string());
            let passphrase = self.path("wallet.passphrase");
            (format!("[signing]\nkeys = {own:?}\npassphrase_file = {passphrase:?}\n\n"), String::new())
        } else {
            (String::new(), format!("key_file = {:?}\n", self.path("wallet.key")))
        };
        Ok(format!(
            "[ethereum]\nurls = [\"{ethereum}\", \"{relay}\"]\nvalidator = \"{validator}\"\nkeystore = {keystore:?}\npassword_file = \
             {password:?}\n\n[bitcoin]\nurls = {bitcoin}\n\n[network]\nlisten = [\"127.0.0.1:{link}\"]\npeers = {peers}\n\
             admission = \"list\"\n\n[journal]\npath = {journal:?}\n\n[status]\nlisten = \"127.0.0.1:{status}\"\n\n\
             [log]\nlevel = \"info,coxswain_coordination=debug\"\n\n\
             {shares}[[wallets]]\npublic_key = \"0x{public_key}\"\noperators = {group}\n{key}member_ids = {ids}\n",
            ethereum = self.ethereum,
            relay = self.relay,
            validator = self.validator,
            keystore = self.path(&format!("node{number}.keystore")),
            password = self.path("password"),
            bitcoin = self.bitcoin(),
            link = self.ports.link(number),
            peers = json!(peers),
            journal = self.path(&format!("node{number}.db")),
            status = self.ports.status(number),
            public_key = hex::encode(self.wallet.public_key().0.serialize()),
            group = json!(group),
            ids = json!(ids),
        ))
    }

    fn maintainers(&self) -> String {
        format!(
            "[ethereum]\nurls = [\"{ethereum}\", \"{relay}\"]\nbridge = \"{bridge}\"\nmaintainer_proxy = \"{proxy}\"\nkeystore = \
             {keystore:?}\npassword_file = {password:?}\npoll = \"500ms\"\ndepth = 1\n\n[bitcoin]\nurls = {bitcoin}\npoll \
             = \"1s\"\n\n[journal]\npath = {journal:?}\n\n[status]\nlisten = \"127.0.0.1:{status}\"\n",
            ethereum = self.ethereum,
            relay = self.relay,
            bridge = self.bridge,
            proxy = self.proxy,
            keystore = self.path("maintainer.keystore"),
            password = self.path("password"),
            bitcoin = self.bitcoin(),
            journal = self.path("maintainer.db"),
            status = self.ports.status(MAINTAINER),
        )
    }
}

impl Operators {
    /// Writes all files anew, and starts all processes.
    ///
    /// # Errors
    /// If a file can't be written, or `coxswain` isn't there.
    pub async fn start_all(plan: Plan) -> Result<Self> {
        plan.write()?;
        let program = programs()?.join(format!("coxswain{}", std::env::consts::EXE_SUFFIX));
        if plan.shares {
            plan.deal(&program)?;
        }
        let mut operators = Self { plan, program, running: BTreeMap::new() };
        for number in OPERATORS.chain([MAINTAINER]) {
            operators.start(number).await?;
        }
        Ok(operators)
    }

    /// Starts one, and ends what is in its place. Says which process it is.
    ///
    /// # Errors
    /// If it can't be run.
    pub(super) async fn start(&mut self, number: u8) -> Result<String> {
        self.end(number).await;
        let name = name(number);
        let log = self.plan.path(&format!("{name}.log"));
        let log = File::options()
            .append(true)
            .create(true)
            .open(&log)
            .wrap_err_with(|| format!("can't write {}", log.display()))?;
        let mut command = Command::new(&self.program);
        let what = if number == MAINTAINER { "maintain" } else { "start" };
        command.arg(what).arg("--config").arg(self.plan.path(&format!("{name}.toml")));
        without_variables(&mut command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().wrap_err_with(|| format!("can't run {}", self.program.display()))?;
        let started = format!("{name}: started, pid {}", child.id());
        self.running.insert(number, Running::Process(child));
        Ok(started)
    }

    /// Has somebody lie in the place of a node.
    pub(super) async fn lie(&mut self, number: u8) -> String {
        self.end(number).await;
        self.running.insert(number, Running::Liar(tokio::spawn(self.plan.clone().lie(number))));
        format!("{}: lies in every window from now on", name(number))
    }

    /// Ends one at once. Says whether there was one.
    pub(super) async fn end(&mut self, number: u8) -> bool {
        match self.running.remove(&number) {
            Some(Running::Process(mut child)) => kill(&mut child),
            Some(Running::Liar(task)) => {
                task.abort();
                let _ = task.await;
                self.wait_for_port(self.plan.ports.link(number)).await;
            }
            None => return false,
        }
        true
    }

    /// Waits until a port is free: whoever is aborted closes it some time later.
    async fn wait_for_port(&self, port: u16) {
        for _ in 0..PORT_TRIES {
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return;
            }
            tokio::time::sleep(PORT_PAUSE).await;
        }
    }

    /// Those that have ended by themselves since this was asked last, with how.
    ///
    /// # Errors
    /// If a process can't be asked for.
    pub(super) async fn ended(&mut self) -> Result<Vec<String>> {
        let mut told = Vec::new();
        for number in OPERATORS.chain([MAINTAINER]) {
            let how = match self.running.get_mut(&number) {
                Some(Running::Process(child)) => child.try_wait()?.map(|status| status.to_string()),
                Some(Running::Liar(task)) if task.is_finished() => match task.await {
                    Ok(Err(error)) => Some(format!("{error:#}")),
                    Ok(Ok(())) => Some("its network is closed".to_owned()),
                    Err(error) => Some(error.to_string()),
                },
                Some(Running::Liar(_)) | None => None,
            };
            if let Some(how) = how {
                self.running.remove(&number);
                let log = self.plan.path(&format!("{}.log", name(number)));
                told.push(format!("{}: ended by itself, {how}: see {}", name(number), log.display()));
            }
        }
        Ok(told)
    }

    /// What there is, for a person.
    pub fn table(&self) -> String {
        let mut lines = String::new();
        for (&number, running) in &self.running {
            let Running::Process(child) = running else { continue };
            let held = seats().filter(|holder| *holder == number).count();
            let does = match held {
                0 => "proves what the wallet does".to_owned(),
                1 => "1 of 9 seats".to_owned(),
                _ => format!("{held} of 9 seats"),
            };
            let line = format!(
                "{:10}  pid {:<8}  {does:27}  {}\n",
                name(number),
                child.id(),
                self.plan.ports.page(number)
            );
            lines.push_str(&line);
        }
        lines
    }
}

impl Drop for Operators {
    fn drop(&mut self) {
        for running in self.running.values_mut() {
            match running {
                Running::Process(child) => kill(child),
                Running::Liar(task) => task.abort(),
            }
        }
    }
}

/// Takes the variables away that would change what the program does.
fn without_variables(command: &mut Command) {
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("COXSWAIN_") {
            command.env_remove(variable);
        }
    }
}

/// Ends a process at once: its journal is whole whenever it ends.
fn kill(child: &mut Child) {
    // If it has ended already, there is nothing to do.
    let _ = child.kill();
    let _ = child.wait();
}

/// Writes a file that nobody else may read.
fn private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.wrap_err_with(|| format!("can't write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_an_earlier_devnet_has_left_is_written_anew_and_what_is_not_its_own_stays() {
        let folder = tempfile::tempdir().unwrap();
        let url: Url = "http://127.0.0.1:1".parse().unwrap();
        let plan = Plan {
            ports: Ports { base: 1 },
            folder: folder.path().to_owned(),
            shares: false,
            ethereum: url.to_string(),
            relay: url.to_string(),
            bitcoin: vec![url],
            bridge: Address::ZERO,
            validator: Address::ZERO,
            proxy: Address::ZERO,
            wallet: Wallet::from_seed(1),
        };
        plan.write().unwrap();
        let files = || {
            let entries = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
            entries.collect::<std::collections::BTreeSet<_>>()
        };
        let written = files();
        for left in ["node1.db", "node1.db-wal", "node5.log", "maintainer.log"] {
            fs::write(folder.path().join(left), "left").unwrap();
        }
        plan.write().unwrap();
        assert_eq!(files(), written);
        fs::write(folder.path().join("notes.txt"), "a person's").unwrap();
        plan.write().unwrap();
        assert!(files().contains(std::ffi::OsStr::new("notes.txt")));
    }
}
