//! A real geth in developer mode, whose chain begins with a copy of an anvil chain's state, at the same time: what was asked
//! of the one can be asked of the other.

use std::{
    env, fs,
    io::{BufReader, Read},
    path::PathBuf,
    process::{Command, Stdio},
    thread,
};

use reqwest::Url;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    Error,
    artifacts::root,
    chain::ChainState,
    process::{Process, read_until},
};

/// A geth that ends when it is dropped.
#[derive(Debug)]
pub struct Geth {
    url: Url,
    // Ends before its data is removed.
    _process: Process,
    _data: TempDir,
}

impl Geth {
    /// Starts geth on free ports, with block 0 as a copy of this state.
    ///
    /// The program is `target/tools/bin/geth`, which `make test-peers` builds, or the one that the environment variable
    /// `COXSWAIN_GETH` names.
    ///
    /// # Errors
    /// When geth is missing or does not start.
    pub fn start(state: &ChainState) -> Result<Self, Error> {
        let path: PathBuf =
            env::var_os("COXSWAIN_GETH").map_or_else(|| root().join("target/tools/bin/geth"), Into::into);
        path.metadata().map_err(|source| Error::Missing {
            path: path.clone(),
            command: "make test-peers",
            source,
        })?;
        let failed = |what: String| Error::Geth { path: path.clone(), what };
        let said = |error: std::io::Error| failed(error.to_string());
        let data = tempfile::tempdir().map_err(said)?;
        let genesis = data.path().join("genesis.json");
        fs::write(&genesis, genesis_of(state).to_string()).map_err(said)?;
        let geth = || {
            let mut command = Command::new(&path);
            command.arg("--datadir").arg(data.path()).stdin(Stdio::null()).stdout(Stdio::null());
            command
        };
        let output = geth().arg("init").arg(&genesis).stderr(Stdio::piped()).output().map_err(said)?;
        if !output.status.success() {
            return Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        let mut process = geth()
            .args([
                "--dev",
                "--http",
                "--http.port",
                "0",
                "--port",
                "0",
                "--authrpc.port",
                "0",
                "--ipcdisable",
            ])
            .stderr(Stdio::piped())
            .spawn()
            .map(Process)
            .map_err(said)?;
        let mut stderr = BufReader::new(process.0.stderr.take().ok_or(Error::Absent("standard error"))?);
        let listens = |line: &str| {
            let (_, server) = line.split_once("HTTP server started")?.1.split_once("endpoint=")?;
            server.split_whitespace().next().map(|address| format!("http://{address}"))
        };
        let url = read_until(&mut stderr, listens).map_err(said)?.map_err(failed)?;
        let url = url.parse().map_err(|error| failed(format!("{url}: {error}")))?;
        // geth would wait for somebody to read what else it has to say.
        thread::spawn(move || stderr.read_to_end(&mut Vec::new()));
        Ok(Self { url, _process: process, _data: data })
    }

    /// Where it is reached over HTTP.
    pub const fn url(&self) -> &Url {
        &self.url
    }
}

/// The first block: every fork that mainnet has had is active.
fn genesis_of(state: &ChainState) -> Value {
    let blobs = json!({ "target": 6, "max": 9, "baseFeeUpdateFraction": 5_007_716 });
    json!({
        "config": {
            "chainId": state.chain_id,
            "homesteadBlock": 0,
            "eip150Block": 0,
            "eip155Block": 0,
            "eip158Block": 0,
            "byzantiumBlock": 0,
            "constantinopleBlock": 0,
            "petersburgBlock": 0,
            "istanbulBlock": 0,
            "berlinBlock": 0,
            "londonBlock": 0,
            "terminalTotalDifficulty": 0,
            "shanghaiTime": 0,
            "cancunTime": 0,
            "pragueTime": 0,
            "osakaTime": 0,
            "blobSchedule": { "cancun": blobs, "prague": blobs, "osaka": blobs },
        },
        "timestamp": format!("{:#x}", state.timestamp),
        "gasLimit": "0x3938700",
        "difficulty": "0x0",
        "alloc": state.accounts,
    })
}
