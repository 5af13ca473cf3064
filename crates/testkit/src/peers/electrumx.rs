//! ElectrumX, the Electrum server of the Electrum project, on top of btcd.
//!
//! It expects Bitcoin Core; btcd differs in three ways, which something between the two makes up for: requests must name
//! their version, `getblock` takes a number where Bitcoin Core also takes a truth value, and there is no `getnetworkinfo`.

use std::{
    io,
    process::{Command, Stdio},
};

use bitcoin::{
    Transaction,
    consensus::encode,
    hashes::{Hash, sha256, sha256d},
};
use reqwest::{Client, Url};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::{Btcd, tool, until};
use crate::{Error, Regtest, free_port, http, process::Process};

/// A server of its own, which ends when it is dropped.
#[derive(Debug)]
pub struct ElectrumX {
    _process: Process,
    url: Url,
    address: String,
    between: JoinHandle<()>,
    _directory: TempDir,
}

impl ElectrumX {
    /// Starts a server of the node's chain.
    ///
    /// # Errors
    /// When ElectrumX is not installed, or doesn't start.
    pub async fn start(node: &Btcd) -> Result<Self, Error> {
        let path = tool("electrumx/bin/electrumx_server");
        let directory = TempDir::new()?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let (daemon, between) = stand_between(node.url().clone()).await?;
        let process = Command::new(&path)
            .env_clear()
            .envs([("ALLOW_ROOT", "1"), ("COIN", "Bitcoin"), ("NET", "regtest"), ("DAEMON_URL", &daemon)])
            .envs([("SERVICES", format!("tcp://{address}").as_str()), ("LOG_LEVEL", "error")])
            .envs([("PEER_DISCOVERY", "off"), ("PEER_ANNOUNCE", ""), ("CACHE_MB", "50")])
            // In milliseconds; the server is otherwise as it comes, its limits included.
            .envs([("DAEMON_POLL_INTERVAL_BLOCKS", "50"), ("DAEMON_POLL_INTERVAL_MEMPOOL", "50")])
            .env("DB_DIRECTORY", directory.path())
            .stdout(Stdio::null())
            .spawn()
            .map(Process)
            .map_err(|source| Error::Missing { path, command: "make test-peers", source })?;
        let url = format!("tcp://{address}").parse().map_err(|_| Error::Absent("URL of ElectrumX"))?;
        let server = Self { _process: process, url, address, between, _directory: directory };
        until("ElectrumX to start", async || server.ask("server.ping", json!([])).await.is_ok()).await?;
        Ok(server)
    }

    /// Where it is reached.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// Waits until the server knows the chain's newest block, and what waits for the next.
    ///
    /// # Errors
    /// When it takes too long.
    pub async fn follow(&self, chain: &Regtest) -> Result<(), Error> {
        let tip = chain.blocks_from(chain.height()).first().map(|block| encode::serialize_hex(&block.header));
        let waiting = chain.mempool();
        until("ElectrumX to follow", async || {
            self.knows(tip.as_deref(), &waiting).await.is_ok_and(|knows| knows)
        })
        .await
    }

    async fn knows(&self, tip: Option<&str>, waiting: &[Transaction]) -> io::Result<bool> {
        let newest = self.ask("blockchain.headers.subscribe", json!([])).await?;
        if newest.get("hex").and_then(Value::as_str) != tip {
            return Ok(false);
        }
        for transaction in waiting {
            let txid = json!(transaction.compute_txid());
            for output in &transaction.output {
                let script = sha256::Hash::hash(output.script_pubkey.as_bytes()).to_byte_array();
                // It is written backwards.
                let script = sha256d::Hash::from_byte_array(script);
                let listed = self.ask("blockchain.scripthash.get_mempool", json!([script])).await?;
                let listed = listed.as_array().map(Vec::as_slice).unwrap_or_default();
                if !listed.iter().any(|entry| entry.get("tx_hash") == Some(&txid)) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    async fn ask(&self, method: &str, params: Value) -> io::Result<Value> {
        let mut stream = BufReader::new(TcpStream::connect(&self.address).await?);
        let hello = json!({ "id": 0, "method": "server.version", "params": ["coxswain-testkit", "1.4"] });
        let request = json!({ "id": 1, "method": method, "params": params });
        stream.write_all(format!("{hello}\n{request}\n").as_bytes()).await?;
        let mut lines = stream.lines();
        while let Some(line) = lines.next_line().await? {
            let mut answer: Value = serde_json::from_str(&line)?;
            if answer.get("id").is_some_and(|id| *id == 1) {
                return Ok(answer.get_mut("result").map(Value::take).unwrap_or_default());
            }
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

impl Drop for ElectrumX {
    fn drop(&mut self) {
        self.between.abort();
    }
}

/// Starts what stands between, and tells where.
async fn stand_between(node: Url) -> io::Result<(String, JoinHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    // ElectrumX wants a password in the URL.
    let url = format!("http://any:one@{}", listener.local_addr()?);
    let client = Client::new();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (node, client) = (node.clone(), client.clone());
            tokio::spawn(async move { forward(stream, node, client).await });
        }
    });
    Ok((url, task))
}

async fn forward(stream: TcpStream, node: Url, client: Client) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let Some(http::Request { body, .. }) = http::receive(&mut stream).await? else { return Ok(()) };
    let mut requests: Value = serde_json::from_slice(&body)?;
    match requests.as_array_mut() {
        Some(batch) => batch.iter_mut().for_each(translate),
        None => translate(&mut requests),
    }
    if requests.get("method").is_some_and(|method| method == "getnetworkinfo") {
        // btcd tells its least fee in `getinfo` only; unless told otherwise it is this.
        let answer = json!({ "id": requests.get("id"), "error": null, "result": { "relayfee": 0.000_01 } });
        return http::respond(&mut stream, 200, &answer.to_string()).await;
    }
    let sent = client.post(node).body(requests.to_string()).send().await.map_err(io::Error::other)?;
    let body = sent.text().await.map_err(io::Error::other)?;
    http::respond(&mut stream, 200, &body).await
}

fn translate(request: &mut Value) {
    let Some(fields) = request.as_object_mut() else { return };
    fields.insert("jsonrpc".to_owned(), json!("1.0"));
    let gets_block = fields.get("method").is_some_and(|method| method == "getblock");
    if let Some(verbose) =
        fields.get_mut("params").and_then(|params| params.get_mut(1)).filter(|_| gets_block)
        && let Some(verbosity) = verbose.as_bool().map(u8::from)
    {
        *verbose = json!(verbosity);
    }
}
