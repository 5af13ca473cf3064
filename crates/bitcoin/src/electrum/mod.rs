//! Bitcoin as an Electrum server tells it, over TCP or TLS: protocol 1.4, as ElectrumX, electrs and Fulcrum serve it.

mod connection;
#[cfg(test)]
mod fuzz;
mod spender;
mod tls;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bitcoin::{
    BlockHash, OutPoint, Script, Transaction, TxMerkleNode, Txid,
    block::Header,
    consensus::encode::serialize_hex,
    hashes::{Hash, hex::DisplayHex, sha256},
};
use coxswain_rules::units::Height;
use futures_util::{FutureExt, future::BoxFuture};
use rustls::ClientConfig;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;

use self::connection::Connection;
use crate::{
    Answers, BackendError, Coinbase, Cursor, FeeRates, Limits, MerkleBranch, Mined, Output, Search, Server,
    Sighting, Tip, check,
    jsonrpc::{Answer, Batches, Call},
    verbose::{Place, Verbose, says_absent},
    watch::Watch,
};

/// What a connection begins with.
const HELLO: &str = "server.version";
/// How many headers a server gives at once at most, says the protocol.
const MOST_HEADERS: u32 = 2016;

/// A server's address.
#[derive(Debug)]
struct Address {
    host: String,
    port: u16,
    /// Host and port, for people.
    name: String,
    security: Security,
}

#[derive(Debug)]
enum Security {
    None,
    Tls(Arc<ClientConfig>),
}

/// An Electrum server, reached by one connection, which is opened when it is needed.
///
/// Transactions are held against their txids, and headers against the target that they name. All else is the server's word.
///
/// | asked | needs |
/// |---|---|
/// | where a transaction is | `blockchain.transaction.get` with `verbose`; else the output's script among the unspent ones |
/// | whether an output is unspent | `blockchain.scripthash.listunspent` of its own script |
/// | a fee for the next block | nothing: an estimate of −1, or none, is no estimate |
pub struct Electrum {
    address: Address,
    limits: Limits,
    connection: Mutex<Option<Connection>>,
    pub(crate) watch: Watch,
    round_trips: AtomicU64,
}

impl Electrum {
    /// A server reached over plain TCP. Nothing is sent yet.
    pub fn tcp(host: &str, port: u16, limits: Limits) -> Self {
        Self::new(host, port, Security::None, limits)
    }

    /// A server reached over TLS, whose certificate has this SHA-256, or when none is given, is vouched for by an authority
    /// that the platform trusts. Nothing is sent yet.
    ///
    /// # Errors
    /// When the platform's authorities can't be read.
    pub fn tls(
        host: &str,
        port: u16,
        fingerprint: Option<sha256::Hash>,
        limits: Limits,
    ) -> Result<Self, rustls::Error> {
        Ok(Self::new(host, port, Security::Tls(tls::client(fingerprint)?), limits))
    }

    fn new(host: &str, port: u16, security: Security, limits: Limits) -> Self {
        // A URL has an IPv6 address in brackets.
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Self {
            address: Address { host: bare, port, name: format!("{host}:{port}"), security },
            limits,
            connection: Mutex::default(),
            watch: Watch::default(),
            round_trips: AtomicU64::new(0),
        }
    }

    /// The server's host and port.
    pub fn name(&self) -> &str {
        &self.address.name
    }

    /// How many batches were sent so far, each of which awaited its answers. Connecting is one too.
    pub fn round_trips(&self) -> u64 {
        self.round_trips.load(Ordering::Relaxed)
    }

    /// The host and the port that it is reached at.
    pub fn address(&self) -> (&str, Option<u16>) {
        (&self.address.host, Some(self.address.port))
    }

    /// Returns the name that the server gives itself.
    ///
    /// # Errors
    /// When it can't be asked.
    pub async fn software(&self) -> Result<String, BackendError> {
        let mut slot = self.connection.lock().await;
        let connection = match slot.take() {
            Some(connection) => connection,
            None => self.watch.over(HELLO, self.name(), self.connect()).await?,
        };
        let server = connection.server.clone();
        *slot = Some(connection);
        Ok(server)
    }

    async fn connect(&self) -> Result<Connection, BackendError> {
        self.round_trips.fetch_add(1, Ordering::Relaxed);
        Connection::open(&self.address, &self.limits).await
    }

    /// Asks all, in as many batches as the limit makes of them.
    async fn ask(&self, calls: &[Call]) -> Result<Vec<Answer>, BackendError> {
        self.ask_in_batches_of(self.limits.batch, calls).await
    }

    /// Whoever waits for an async function compiles it: in a box, all of this is compiled here, and not by each crate that asks.
    fn exchange<'a>(&'a self, calls: &'a [Call]) -> BoxFuture<'a, Result<Vec<Answer>, BackendError>> {
        self.exchange_once_more(calls).boxed()
    }

    async fn exchange_once_more(&self, calls: &[Call]) -> Result<Vec<Answer>, BackendError> {
        let mut slot = self.connection.lock().await;
        // It is put back only unharmed, also when this future is dropped half-way.
        if let Some(mut connection) = slot.take() {
            match self.batch_on(&mut connection, calls).await {
                // Servers close connections that were idle for a while: that says nothing of a new one.
                Err(BackendError::Interrupted { .. }) => {}
                outcome => {
                    if outcome.is_ok() {
                        *slot = Some(connection);
                    }
                    return outcome;
                }
            }
        }
        let mut connection = self.connect().await?;
        let answers = self.batch_on(&mut connection, calls).await?;
        *slot = Some(connection);
        Ok(answers)
    }

    async fn batch_on(
        &self,
        connection: &mut Connection,
        calls: &[Call],
    ) -> Result<Vec<Answer>, BackendError> {
        self.round_trips.fetch_add(1, Ordering::Relaxed);
        connection.batch(calls, &self.address, &self.limits).await
    }

    async fn ask_one(&self, call: Call) -> Result<Answer, BackendError> {
        let mut answers = self.ask(std::slice::from_ref(&call)).await?;
        answers.pop().ok_or_else(|| self.unanswered(call.method))
    }

    async fn sighted(&self, outpoints: &[OutPoint]) -> Result<Answers<Option<Sighting>>, BackendError> {
        let mut calls = vec![subscribe()];
        calls.extend(outpoints.iter().map(|outpoint| get(outpoint.txid, true)));
        let answers = self.ask(&calls).await?;
        let (first, answers) =
            answers.split_first().ok_or_else(|| self.unanswered("blockchain.headers.subscribe"))?;
        let tip = tip(first)?;

        let mut sightings: Vec<_> = outpoints
            .iter()
            .zip(answers)
            .map(|(outpoint, answer)| described(answer, outpoint.txid, tip.height).transpose())
            .collect();
        let unknown: Vec<_> = outpoints
            .iter()
            .zip(&sightings)
            .filter(|(_, seen)| seen.is_none())
            .map(|(out, _)| *out)
            .collect();
        let mut found = self.by_output(&unknown).await?.into_iter();
        sightings.iter_mut().filter(|seen| seen.is_none()).for_each(|seen| *seen = found.next());
        Ok(sightings.into_iter().map(|seen| seen.unwrap_or_else(|| Err(self.unanswered(GET)))).collect())
    }

    /// Where the transactions are that the server says no more of than their bytes: by their outputs, while unspent.
    async fn by_output(&self, outpoints: &[OutPoint]) -> Result<Answers<Option<Sighting>>, BackendError> {
        let calls: Vec<_> = outpoints.iter().map(|outpoint| get(outpoint.txid, false)).collect();
        let answers = self.ask(&calls).await?;
        let transactions: Vec<_> =
            outpoints.iter().zip(&answers).map(|(outpoint, answer)| bytes(answer, outpoint.txid)).collect();

        let script = |(outpoint, transaction): (&OutPoint, &Result<Option<Transaction>, _>)| {
            let vout = usize::try_from(outpoint.vout).ok()?;
            let output = transaction.as_ref().ok()?.as_ref()?.output.get(vout)?;
            Some(list_unspent(&output.script_pubkey))
        };
        let calls: Vec<_> = outpoints.iter().zip(&transactions).filter_map(script).collect();
        let mut lists = self.ask(&calls).await?.into_iter();
        Ok(outpoints
            .iter()
            .zip(transactions)
            .map(|(&outpoint, transaction)| {
                let has_output = script((&outpoint, &transaction)).is_some();
                let Some(transaction) = transaction? else { return Ok(None) };
                let list = if has_output { lists.next() } else { None };
                let listed = list.map(|list| list.read::<Vec<Unspent>>()).transpose()?;
                let entry = listed.into_iter().flatten().find(|entry| entry.outpoint() == outpoint);
                let entry = entry.ok_or_else(|| self.unindexed(outpoint))?;
                let height = u32::try_from(entry.height).ok().filter(|height| *height > 0).map(Height);
                Ok(Some(Sighting { transaction, height }))
            })
            .collect())
    }

    fn unanswered(&self, method: &'static str) -> BackendError {
        let endpoint = self.address.name.clone();
        BackendError::Garbage { method, endpoint, cause: "nothing was answered".to_owned() }
    }

    fn unindexed(&self, outpoint: OutPoint) -> BackendError {
        BackendError::Unindexed { endpoint: self.address.name.clone(), outpoint }
    }
}

impl fmt::Debug for Electrum {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Electrum").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl Batches for Electrum {
    fn name(&self) -> &str {
        &self.address.name
    }

    async fn batch(&self, calls: &[Call]) -> Result<Vec<Answer>, BackendError> {
        let method = calls.first().map_or("", |call| call.method);
        self.watch.over(method, &self.address.name, self.exchange(calls)).await
    }
}

impl Server for Electrum {
    async fn genesis(&self) -> Result<BlockHash, BackendError> {
        let answer = self.ask_one(block_header(Height(0))).await?;
        read_header(&answer).map(|header| header.block_hash())
    }

    async fn tip(&self) -> Result<Tip, BackendError> {
        tip(&self.ask_one(subscribe()).await?)
    }

    async fn fee_rates(&self) -> Result<FeeRates, BackendError> {
        let calls =
            [Call::new("blockchain.relayfee", json!([])), Call::new("blockchain.estimatefee", json!([1]))];
        let answers = self.ask(&calls).await?;
        let [relay, estimate] = answers.as_slice() else {
            return Err(self.unanswered("blockchain.relayfee"));
        };
        let relay_minimum = check::fee_rate(relay.read()?).ok_or_else(|| relay.garbage("not a fee rate"))?;
        // The server, or the node behind it, makes no estimates: that doesn't spoil the minimum.
        let next_block = estimate.read().ok().and_then(check::fee_rate);
        Ok(FeeRates { relay_minimum, next_block })
    }

    async fn sightings(&self, outpoints: &[OutPoint]) -> Result<Answers<Option<Sighting>>, BackendError> {
        if outpoints.is_empty() {
            return Ok(Vec::new());
        }
        self.sighted(outpoints).await
    }

    async fn unspent(&self, outputs: &[Output]) -> Result<Answers<bool>, BackendError> {
        let calls: Vec<_> = outputs.iter().map(|output| list_unspent(&output.script)).collect();
        let answers = self.ask(&calls).await?;
        Ok(outputs
            .iter()
            .zip(answers)
            .map(|(output, answer)| {
                let listed: Vec<Unspent> = answer.read()?;
                Ok(listed.iter().any(|entry| entry.outpoint() == output.outpoint))
            })
            .collect())
    }

    async fn headers(&self, start: Height, count: u32) -> Result<Vec<Header>, BackendError> {
        let count = count.min(MOST_HEADERS);
        if count == 0 {
            return Ok(Vec::new());
        }
        let answer = self.ask_one(Call::new("blockchain.block.headers", json!([start, count]))).await?;
        let Headers { hex } = answer.read()?;
        let headers = check::headers(&hex).map_err(|cause| answer.garbage(cause))?;
        if headers.len() > usize::try_from(count).unwrap_or(usize::MAX) {
            return Err(answer.garbage(format!("{} headers where {count} were asked for", headers.len())));
        }
        check::chained(&headers).map_err(|cause| answer.changed(cause))?;
        Ok(headers)
    }

    async fn headers_at(&self, heights: &[Height]) -> Result<Answers<Header>, BackendError> {
        let calls: Vec<_> = heights.iter().map(|&height| block_header(height)).collect();
        Ok(self.ask(&calls).await?.iter().map(read_header).collect())
    }

    async fn branches(&self, mined: &[Mined]) -> Result<Answers<MerkleBranch>, BackendError> {
        let calls: Vec<_> = mined.iter().map(|mined| merkle(mined.txid, mined.height)).collect();
        let answers = self.ask(&calls).await?;
        Ok(answers.iter().map(read_branch).collect())
    }

    async fn coinbase(&self, height: Height) -> Result<Coinbase, BackendError> {
        let answer = self.ask_one(first_of_block(height)).await?;
        let FirstOfBlock { tx_hash, merkle } = answer.read()?;
        let transaction = bytes(&self.ask_one(get(tx_hash, false)).await?, tx_hash)?;
        let transaction =
            transaction.ok_or_else(|| answer.changed(format!("transaction {tx_hash} is not there")))?;
        Ok(Coinbase { transaction, branch: MerkleBranch { position: 0, siblings: nodes(merkle) } })
    }

    async fn spender(&self, spent: &Output, from: Cursor) -> Result<Search, BackendError> {
        self.search(spent, from).await
    }

    async fn broadcast(&self, transaction: &Transaction) -> Result<(), BackendError> {
        let txid = transaction.compute_txid();
        let call = Call::new("blockchain.transaction.broadcast", json!([serialize_hex(transaction)]));
        let answer = self.ask_one(call).await?;
        match answer.read::<Txid>() {
            Ok(actual) if actual == txid => Ok(()),
            Ok(actual) => Err(answer.garbage(format!("it took transaction {actual} instead of {txid}"))),
            // There is no telling by the words whether it has the transaction already.
            Err(refusal @ BackendError::Rpc { .. }) => {
                match bytes(&self.ask_one(get(txid, false)).await?, txid) {
                    Ok(Some(_)) => Ok(()),
                    _ => Err(refusal),
                }
            }
            Err(other) => Err(other),
        }
    }
}

const GET: &str = "blockchain.transaction.get";
const HEADER: &str = "blockchain.block.header";
const MERKLE: &str = "blockchain.transaction.get_merkle";

fn subscribe() -> Call {
    Call::new("blockchain.headers.subscribe", json!([]))
}

fn get(txid: Txid, verbose: bool) -> Call {
    Call::new(GET, json!([txid, verbose]))
}

fn block_header(height: Height) -> Call {
    Call::new(HEADER, json!([height]))
}

fn merkle(txid: Txid, height: Height) -> Call {
    Call::new(MERKLE, json!([txid, height]))
}

/// The id of the block's first transaction, with its branch.
fn first_of_block(height: Height) -> Call {
    Call::new("blockchain.transaction.id_from_pos", json!([height, 0, true]))
}

fn list_unspent(script: &Script) -> Call {
    Call::new("blockchain.scripthash.listunspent", json!([script_hash(script)]))
}

/// Servers know a script by its SHA-256, written backwards.
fn script_hash(script: &Script) -> String {
    let mut hash = sha256::Hash::hash(script.as_bytes()).to_byte_array();
    hash.reverse();
    hash.to_lower_hex_string()
}

#[derive(Deserialize)]
struct Newest {
    height: Height,
    hex: String,
}

#[derive(Deserialize)]
struct Headers {
    hex: String,
}

#[derive(Deserialize)]
struct Merkle {
    merkle: Vec<Txid>,
    pos: u64,
}

#[derive(Deserialize)]
struct FirstOfBlock {
    tx_hash: Txid,
    merkle: Vec<Txid>,
}

#[derive(Deserialize)]
struct Unspent {
    tx_hash: Txid,
    tx_pos: u32,
    /// 0 or below in the mempool.
    height: i64,
}

impl Unspent {
    const fn outpoint(&self) -> OutPoint {
        OutPoint::new(self.tx_hash, self.tx_pos)
    }
}

fn tip(answer: &Answer) -> Result<Tip, BackendError> {
    let Newest { height, hex } = answer.read()?;
    let header = check::header(&hex).map_err(|cause| answer.garbage(cause))?;
    Ok(Tip { height, header })
}

fn read_header(answer: &Answer) -> Result<Header, BackendError> {
    let hex: String = answer.read()?;
    check::header(&hex).map_err(|cause| answer.garbage(cause))
}

fn read_branch(answer: &Answer) -> Result<MerkleBranch, BackendError> {
    let Merkle { merkle, pos } = answer.read()?;
    let position =
        u32::try_from(pos).map_err(|_| answer.garbage(format!("no block has a position {pos}")))?;
    Ok(MerkleBranch { position, siblings: nodes(merkle) })
}

/// Nodes of a Merkle tree, which servers write as txids are.
fn nodes(hashes: Vec<Txid>) -> Vec<TxMerkleNode> {
    hashes.into_iter().map(|hash| TxMerkleNode::from_raw_hash(hash.to_raw_hash())).collect()
}

/// Where the transaction is, if anywhere, by the server's description; `None` if it gives no description.
fn described(answer: &Answer, txid: Txid, tip: Height) -> Result<Option<Option<Sighting>>, BackendError> {
    let verbose: Verbose = match answer.read() {
        Ok(verbose) => verbose,
        Err(BackendError::Rpc { message, .. }) if says_absent(&message) => return Ok(Some(None)),
        // It is busy: that says nothing of an index.
        Err(busy @ BackendError::Rpc { .. }) if busy.is_retryable() => return Err(busy),
        Err(BackendError::Rpc { .. } | BackendError::TooLarge { .. }) => return Ok(None),
        Err(other) => return Err(other),
    };
    let transaction = verbose.transaction(txid).map_err(|cause| answer.garbage(cause))?;
    Ok(Some(match verbose.place() {
        Place::Mempool => Some(Sighting { transaction, height: None }),
        Place::Nowhere => None,
        Place::Block { confirmations } => {
            let height = tip.confirmed(confirmations);
            let height =
                height.ok_or_else(|| answer.changed(format!("{confirmations} confirmations at {tip}")))?;
            Some(Sighting { transaction, height: Some(height) })
        }
    }))
}

/// The transaction of the bytes that the server gives. `None` if it says that there is none.
fn bytes(answer: &Answer, txid: Txid) -> Result<Option<Transaction>, BackendError> {
    match answer.read::<String>() {
        Ok(hex) => check::transaction(&hex, txid).map(Some).map_err(|cause| answer.garbage(cause)),
        Err(BackendError::Rpc { message, .. }) if says_absent(&message) => Ok(None),
        Err(other) => Err(other),
    }
}
