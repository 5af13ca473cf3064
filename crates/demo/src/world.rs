//! The world to try everything in: the chains with all that happened on them, behind endpoints that stay, and the files that tell where
//! it all is.

use std::{
    fmt::Write as _,
    fs, io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use alloy_primitives::Address;
use coxswain_rules::Amount;
use coxswain_testkit::{
    BitcoinServer, DepositSpec, Error, Funding, Regtest, Reply, Scene, Serving, TestChain, World,
    deployed_validator, standard_scripts,
};
use eyre::{Result, WrapErr, ensure};
use tokio::process::Command;

use crate::{
    proposals::{DemoProposal, proposals},
    readme::Commands,
};

/// Over the minimum age of a deposit, and of a redemption request, with a guardian's delay for none.
const OLD_ENOUGH: u64 = 2 * 3600 + 60;
/// Blocks on each chain after the last event: over every depth that is asked for on a local chain.
const DEEP_ENOUGH: u32 = 40;
/// What each redeemer asks for.
const REDEEMED: Amount = Amount::from_sat(2_000_000);
/// What Bitcoin's servers estimate, in bitcoins per 1,000 virtual bytes: 10 sat/vB.
const ESTIMATE: f64 = 0.000_1;
/// How many seats the operators of the wallet's group file hold.
const SEATS: u8 = 100;
/// How many operators there are in it.
const OPERATORS: u8 = 10;

/// Where everything is reached: ports from a first one on.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    ethereum: u16,
    electrum: u16,
    core: u16,
    electrum_over_tls: u16,
}

impl Ports {
    /// Four ports, this one first; from 0, any that are free.
    ///
    /// # Errors
    /// If there are not four of them, or one is taken.
    pub fn from(base: u16) -> Result<Self> {
        let port = |offset: u16| -> Result<u16> {
            if base == 0 {
                return Ok(0);
            }
            let port =
                base.checked_add(offset).ok_or_else(|| eyre::eyre!("there is no port {base} + {offset}"))?;
            free(port)?;
            Ok(port)
        };
        Ok(Self { ethereum: port(0)?, electrum: port(1)?, core: port(2)?, electrum_over_tls: port(3)? })
    }
}

/// Makes sure that nobody has this port of this machine.
pub(crate) fn free(port: u16) -> Result<()> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(drop).wrap_err_with(|| {
        format!(
            "port {port} is taken, perhaps by another world or devnet: end that one, or give another --port-base"
        )
    })
}

/// A world that stands. Its processes and endpoints end when it is dropped.
#[derive(Debug)]
pub struct Standing {
    scene: Scene,
    ours: Address,
    deployed: Address,
    electrum: BitcoinServer,
    electrum_over_tls: BitcoinServer,
    core: BitcoinServer,
}

impl Standing {
    /// Sets everything up, telling what is done as it is done.
    ///
    /// # Errors
    /// If anvil or an artifact is missing, or a step fails.
    pub async fn set_up(ports: Ports, mut tell: impl FnMut(&str)) -> Result<Self, Error> {
        tell("starting a local chain and deploying the real tBTC Bridge");
        let mut world = World::on(TestChain::start_at(ports.ethereum)?).await?;
        world.bitcoin = Regtest::recent();
        tell("deploying the redemption watchtower, our validator, and the one deployed on mainnet");
        let watchtower = world.enable_watchtower().await?;
        let ours = world.validator;
        let deployed = world.deploy_validator(&deployed_validator()?).await?;
        let mut scene = Scene::on(world, &mut tell).await?;

        tell("revealing deposits that can't be swept: never funded, or not mined; and one for a vault");
        let Scene { world, working, .. } = &mut scene;
        let vault = world.vault;
        for spec in [
            DepositSpec { funding: Funding::Absent, ..DepositSpec::default() },
            DepositSpec { funding: Funding::Waiting, ..DepositSpec::default() },
            DepositSpec { vault, ..DepositSpec::default() },
        ] {
            world.reveal(working, spec).await?;
        }
        tell("requesting a redemption that a guardian objects to");
        let redeemer = world.depositor;
        let [objected, ..] = standard_scripts(2);
        let request = world.request_redemption(working, redeemer, objected, REDEEMED).await?;
        let [guardian, ..] = watchtower.guardians;
        world.object(&watchtower, guardian, working, &request.script).await?;

        tell("letting two hours pass, and one more redemption be requested");
        world.chain.advance(OLD_ENOUGH).await?;
        let [young, ..] = standard_scripts(3);
        let young = world.request_redemption(working, redeemer, young, REDEEMED).await?;
        world.chain.mine(DEEP_ENOUGH.into()).await?;
        // What isn't mined stays so.
        world.bitcoin.mine_empty(DEEP_ENOUGH)?;
        scene.young_request = young;

        tell("opening an Electrum server, one over TLS, and a Bitcoin Core node");
        let bitcoin = &scene.world.bitcoin;
        let at = |port| Serving { estimate: Some(ESTIMATE), port, ..Serving::default() };
        let electrum = BitcoinServer::electrum(bitcoin, at(ports.electrum), |_, _| Reply::Forward).await?;
        let core = BitcoinServer::core(bitcoin, at(ports.core), |_, _| Reply::Forward).await?;
        let electrum_over_tls =
            BitcoinServer::electrum_over_tls(bitcoin, at(ports.electrum_over_tls)).await?;
        Ok(Self { scene, ours, deployed, electrum, electrum_over_tls, core })
    }

    /// Writes the files into the folder: `env`, the proposals, and a wallet's group. They are gone when what is returned is dropped.
    ///
    /// # Errors
    /// If a file can't be written.
    pub fn write(&self, folder: &Path) -> Result<Files> {
        let mut files = Files { folder: folder.to_owned(), written: Vec::new() };
        files.create_folders()?;
        for DemoProposal { document, expected } in proposals(&self.scene)? {
            let action = document.get("action").and_then(serde_json::Value::as_str).unwrap_or_default();
            let kind = if expected.is_some() { "-broken" } else { "" };
            files.write(&format!("{PROPOSALS}/{action}{kind}.json"), &format!("{document:#}\n"))?;
        }
        let seats =
            (0..SEATS).map(|seat| Address::repeat_byte(seat % OPERATORS + 1).to_checksum(None) + "\n");
        files.write("group.txt", &seats.collect::<String>())?;
        files.write("env", &self.variables(folder)?)?;
        Ok(files)
    }

    /// What a shell has to know.
    fn variables(&self, folder: &Path) -> Result<String> {
        let Self { scene, ours, deployed, electrum, electrum_over_tls, core } = self;
        let ethereum = scene.world.chain.endpoint();
        let folder = fs::canonicalize(folder)?;
        let programs = programs()?;
        let variables = [
            ("COXSWAIN_ETHEREUM__URLS", ethereum.clone()),
            ("COXSWAIN_BITCOIN__URLS", format!("{} {}", electrum.url(), core.url())),
            ("ELECTRUM_TLS_URL", electrum_over_tls.url().to_string()),
            ("WORLD", folder.display().to_string()),
            ("WORLD_ETHEREUM_URL", ethereum),
            ("WORLD_BITCOIN_URL", core.url().to_string()),
            ("BRIDGE", scene.world.bridge.address().to_string()),
            ("VALIDATOR", ours.to_string()),
            ("DEPLOYED_VALIDATOR", deployed.to_string()),
            ("WALLET", scene.working.key_hash().to_string()),
            ("RETIRING_WALLET", scene.retiring.key_hash().to_string()),
        ];
        shell_variables(&programs, variables)
    }
}

const PROPOSALS: &str = "proposals";

/// The files of a world. They, and the folders that they leave empty, are gone when this is dropped.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
    written: Vec<PathBuf>,
}

impl Files {
    fn create_folders(&self) -> Result<()> {
        let folder = self.folder.join(PROPOSALS);
        fs::create_dir_all(&folder).wrap_err_with(|| format!("can't create {}", folder.display()))
    }

    fn write(&mut self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, text).wrap_err_with(|| format!("can't write {}", path.display()))?;
        self.written.push(path);
        Ok(())
    }

    /// The file that a shell reads.
    pub fn env(&self) -> PathBuf {
        self.folder.join("env")
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // What somebody has taken away already is away; a folder that somebody put something into stays.
        for path in &self.written {
            let _ = fs::remove_file(path);
        }
        let _ = fs::remove_dir(self.folder.join(PROPOSALS));
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Runs commands as a person would who has read the file of variables. Ends them when it is dropped.
///
/// # Errors
/// If there is no shell.
pub async fn run(commands: &Commands, env: &Path) -> Result<Output> {
    let script = format!("set -e\n. {}\n{}", quoted(&env.display().to_string()), commands.script);
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(script).stdin(Stdio::null()).kill_on_drop(true);
    shell.output().await.wrap_err("can't run sh")
}

/// Where `coxswain` and this program are.
pub(crate) fn programs() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let folder = this.parent().ok_or_else(|| io::Error::other("a program in no folder"))?;
    let coxswain = folder.join(format!("coxswain{}", std::env::consts::EXE_SUFFIX));
    ensure!(coxswain.exists(), "{} is missing: run `make world`, which builds it", coxswain.display());
    Ok(folder.to_owned())
}

/// A file that tells a shell where things are, and puts these programs on its path.
pub(crate) fn shell_variables<'a>(
    programs: &Path,
    variables: impl IntoIterator<Item = (&'a str, String)>,
) -> Result<String> {
    let mut text = "# Where everything is, for a POSIX shell to read with the dot command.\n".to_owned();
    writeln!(text, "export PATH={}:\"$PATH\"", quoted(&programs.display().to_string()))?;
    for (name, value) in variables {
        writeln!(text, "export {name}={}", quoted(&value))?;
    }
    Ok(text)
}

/// The text as one word of a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_named_with_what_to_do() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = Ports::from(port).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("port {port} is taken")) && error.contains("--port-base"),
            "{error}"
        );
        assert!(Ports::from(u16::MAX).is_err(), "four ports are needed");
        assert!(Ports::from(0).is_ok());
    }

    #[test]
    fn a_quoted_text_is_one_word_whatever_is_in_it() {
        let text = "it's $HOME and `id` \"x\" \\";
        let script = format!("printf %s {}", quoted(text));
        let output = std::process::Command::new("sh").arg("-c").arg(script).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
    }
}
