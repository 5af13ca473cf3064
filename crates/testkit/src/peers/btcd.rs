//! btcd, a Bitcoin node in Go: it verifies every block and transaction that it is handed.

use std::{
    collections::BTreeSet,
    process::{Command, Stdio},
};

use bitcoin::{Block, BlockHash, Transaction, consensus::encode};
use coxswain_rules::units::Height;
use reqwest::{Client, Url};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Mutex;

use super::{tool, until};
use crate::{Error, Regtest, free_port, process::Process};

/// How many blocks are handed over at once.
const BLOCKS: usize = 50;
/// btcd's codes for a transaction that it has already.
const HAS_ALREADY: [i64; 2] = [-27, -26];

/// A node of its own, which ends when it is dropped.
#[derive(Debug)]
pub struct Btcd {
    _process: Process,
    url: Url,
    client: Client,
    handed: Mutex<BTreeSet<BlockHash>>,
    _directory: TempDir,
}

impl Btcd {
    /// Starts a node that knows the genesis block only.
    ///
    /// # Errors
    /// When btcd is not installed, or doesn't start.
    pub async fn start() -> Result<Self, Error> {
        let path = tool("bin/btcd");
        let directory = TempDir::new()?;
        let port = free_port()?;
        let process = Command::new(&path)
            .args([
                "--regtest",
                "--txindex",
                "--notls",
                "--nolisten",
                "--nodnsseed",
                "--configfile=/dev/null",
            ])
            .args(["--rpcuser=coxswain", "--rpcpass=secret", "--debuglevel=error"])
            .arg(format!("--rpclisten=127.0.0.1:{port}"))
            .arg(format!("--datadir={}", directory.path().join("data").display()))
            .arg(format!("--logdir={}", directory.path().join("logs").display()))
            .stdout(Stdio::null())
            .spawn()
            .map(Process)
            .map_err(|source| Error::Missing { path, command: "make test-peers", source })?;
        let url = format!("http://coxswain:secret@127.0.0.1:{port}");
        let url = url.parse().map_err(|_| Error::Absent("URL of btcd"))?;
        let node = Self {
            _process: process,
            url,
            client: Client::new(),
            handed: Mutex::default(),
            _directory: directory,
        };
        until("btcd to start", async || node.ask("getblockcount", json!([])).await.is_ok()).await?;
        Ok(node)
    }

    /// Where its JSON-RPC is reached, user and password included.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// Hands over what the chain has and the node hasn't: blocks, and transactions that wait.
    ///
    /// # Errors
    /// When the node refuses any.
    pub async fn follow(&self, chain: &Regtest) -> Result<(), Error> {
        let mut handed = self.handed.lock().await;
        let blocks: Vec<Block> = chain
            .blocks_from(Height(1))
            .into_iter()
            .filter(|block| !handed.contains(&block.block_hash()))
            .collect();
        for blocks in blocks.chunks(BLOCKS) {
            let calls = blocks.iter().map(|block| ("submitblock", json!([encode::serialize_hex(block)])));
            for (answer, block) in self.batch(calls).await?.into_iter().zip(blocks) {
                match answer {
                    Ok(Value::Null) => drop(handed.insert(block.block_hash())),
                    Ok(refusal) => return Err(refused(format!("block {}: {refusal}", block.block_hash()))),
                    Err((_, message)) => return Err(refused(message)),
                }
            }
        }
        for transaction in chain.mempool() {
            self.hand(&transaction).await?;
        }
        Ok(())
    }

    async fn hand(&self, transaction: &Transaction) -> Result<(), Error> {
        match self.ask("sendrawtransaction", json!([encode::serialize_hex(transaction)])).await? {
            Ok(_) => Ok(()),
            Err((code, message)) if HAS_ALREADY.contains(&code) && message.contains("already") => Ok(()),
            Err((_, message)) => {
                Err(refused(format!("transaction {}: {message}", transaction.compute_txid())))
            }
        }
    }

    async fn ask(&self, method: &str, params: Value) -> Result<Result<Value, (i64, String)>, Error> {
        self.batch([(method, params)]).await?.pop().ok_or(Error::Absent("answer of btcd"))
    }

    async fn batch(
        &self,
        calls: impl IntoIterator<Item = (&str, Value)>,
    ) -> Result<Vec<Result<Value, (i64, String)>>, Error> {
        let requests: Vec<_> = (0..)
            .zip(calls)
            .map(|(id, (method, params)): (u64, _)| {
                json!({ "jsonrpc": "1.0", "id": id, "method": method, "params": params })
            })
            .collect();
        let http = |error| Error::Io(std::io::Error::other(error));
        let response = self.client.post(self.url.clone()).body(json!(requests).to_string()).send().await;
        let body = response.map_err(http)?.text().await.map_err(http)?;
        let answers: Vec<Value> = serde_json::from_str(&body).map_err(|error| Error::Io(error.into()))?;
        Ok(answers
            .into_iter()
            .map(|mut answer| match answer.get("error").filter(|error| !error.is_null()) {
                None => Ok(answer.get_mut("result").map(Value::take).unwrap_or_default()),
                Some(error) => Err((
                    error.get("code").and_then(Value::as_i64).unwrap_or_default(),
                    error.get("message").map(ToString::to_string).unwrap_or_default(),
                )),
            })
            .collect())
    }
}

fn refused(what: String) -> Error {
    Error::PeerRefused { peer: "btcd", what }
}
