//! Bitcoin as a Bitcoin Core node tells it over JSON-RPC, or one that speaks likewise (btcd).

#[cfg(test)]
mod fuzz;
mod spender;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use bitcoin::{BlockHash, OutPoint, Transaction, Txid, block::Header, consensus::encode::serialize_hex};
use coxswain_rules::units::Height;
use futures_util::{FutureExt, future::BoxFuture};
use reqwest::{Client, RequestBuilder};
use serde::Deserialize;
use serde_json::json;
use url::Url;

use self::wire::{
    BLOCK, ChainInfo, Estimate, HEADER, Listed, RAW, Spending, TxOut, block_hash, block_header, block_listed,
    block_whole, chain_info, highest, in_order, raw, read_block, read_header, sighted, tx_out,
};
use crate::{
    Answers, BackendError, Coinbase, Cursor, FeeRates, Limits, MerkleBranch, Mined, Output, Search, Server,
    Sighting, Tip, check,
    jsonrpc::{Answer, Batches, Call, Numbered},
    limits::place_in_flight,
    verbose::{Place, Verbose, says_absent},
    watch::Watch,
};

/// All that Bitcoin Core is asked: where `rpcwhitelist` names what the user may ask, these must be on it. (What only btcd has is
/// asked where a node doesn't have these.)
pub const CORE_METHODS: [&str; 11] = [
    "estimatesmartfee",
    "getblock",
    "getblockchaininfo",
    "getblockhash",
    "getblockheader",
    "getmempoolinfo",
    "getnetworkinfo",
    "getrawtransaction",
    "gettxout",
    "gettxspendingprevout",
    "sendrawtransaction",
];

/// `RPC_VERIFY_ALREADY_IN_UTXO_SET`: the transaction is in a block.
const ALREADY_MINED: i64 = -27;
/// `RPC_INVALID_PARAMETER`, and what btcd says instead: no block has this height yet.
const OUT_OF_RANGE: [i64; 2] = [-8, -1];
/// JSON-RPC's own: there is no such method.
const METHOD_NOT_FOUND: i64 = -32601;
/// How many headers are asked for in one batch: they are small.
const HEADERS: usize = 2_016;

/// A Bitcoin Core node, or one that speaks likewise (btcd).
///
/// The node is the operator's own: that a block is of the best chain is its word. Transactions and headers are held against
/// their hashes.
///
/// | asked | needs |
/// |---|---|
/// | where a transaction is | `txindex=1`; without it, an output that is unspent, and three round trips more |
/// | whether an output is unspent | `gettxout`; of btcd also `gettxspendingprevout` (0.24.2), as its `gettxout` looks past the mempool |
/// | a fee for the next block | nothing: without `estimatesmartfee` or `estimatefee` there is no estimate |
/// | the least fee for relaying | one of `getmempoolinfo`, `getnetworkinfo`, `getinfo` |
///
/// No wallet is needed, and pruning does no harm where outputs are unspent and their blocks kept.
pub struct Core {
    client: Client,
    url: Url,
    cookie: Option<PathBuf>,
    name: String,
    limits: Limits,
    pub(crate) watch: Watch,
    round_trips: AtomicU64,
}

impl Core {
    /// A node at the URL, which holds user and password, unless the cookie file does that Bitcoin Core writes anew whenever it
    /// starts. Nothing is sent yet.
    ///
    /// # Errors
    /// When the HTTP client can't be set up.
    pub fn new(url: Url, cookie: Option<PathBuf>, limits: Limits) -> Result<Self, reqwest::Error> {
        let host = url.host_str().unwrap_or_default();
        let name =
            url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        // A redirection could send the password elsewhere.
        let client = Client::builder()
            .connect_timeout(limits.connect)
            .timeout(limits.answer)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        let (watch, round_trips) = (Watch::default(), AtomicU64::new(0));
        Ok(Self { client, url, cookie, name, limits, watch, round_trips })
    }

    /// The node's host and port.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many batches were sent so far, each of which awaited its answers.
    pub fn round_trips(&self) -> u64 {
        self.round_trips.load(Ordering::Relaxed)
    }

    /// The host and the port that it is reached at.
    pub fn address(&self) -> (&str, Option<u16>) {
        (self.url.host_str().unwrap_or_default(), self.url.port_or_known_default())
    }

    /// What the node calls itself.
    ///
    /// # Errors
    /// When it can't be asked.
    pub async fn software(&self) -> Result<String, BackendError> {
        #[derive(Deserialize)]
        struct Network {
            subversion: String,
        }
        #[derive(Deserialize)]
        struct Info {
            version: u64,
        }
        if let Ok(Network { subversion }) = self.ask_one(Call::new("getnetworkinfo", json!([]))).await?.read()
        {
            return Ok(crate::jsonrpc::excerpt(&subversion));
        }
        let info = self.ask_one(Call::new("getinfo", json!([]))).await?;
        info.read().map(|Info { version }| format!("version {version}"))
    }

    /// Asks all, in as many batches as the limit makes of them.
    async fn ask(&self, calls: &[Call]) -> Result<Vec<Answer>, BackendError> {
        self.ask_in_batches_of(self.limits.batch, calls).await
    }

    async fn ask_one(&self, call: Call) -> Result<Answer, BackendError> {
        let mut answers = self.ask(std::slice::from_ref(&call)).await?;
        answers.pop().ok_or_else(|| self.unanswered(call.method))
    }

    /// Whoever waits for an async function compiles it: in a box, all of HTTP is compiled here, and not by each crate that asks.
    fn exchange<'a>(
        &'a self,
        calls: &'a [Call],
        method: &'static str,
    ) -> BoxFuture<'a, Result<Vec<Answer>, BackendError>> {
        self.post(calls, method).boxed()
    }

    async fn post(&self, calls: &[Call], method: &'static str) -> Result<Vec<Answer>, BackendError> {
        let endpoint = &self.name;
        let garbage = |cause: String| BackendError::Garbage { method, endpoint: endpoint.clone(), cause };
        let refused =
            |cause: String| BackendError::NoCredentials { method, endpoint: endpoint.clone(), cause };
        self.round_trips.fetch_add(1, Ordering::Relaxed);

        let numbered: Vec<Numbered<'_>> = (0..).zip(calls).map(|(id, call)| call.numbered(id)).collect();
        let body = serde_json::to_vec(&numbered).map_err(|error| garbage(error.to_string()))?;
        let request =
            self.client.post(self.url.clone()).header("content-type", "application/json").body(body);
        let body = self.receive(self.admitted(request).await.map_err(refused)?, method).await?;
        in_order(calls, endpoint, &body)
    }

    async fn admitted(&self, request: RequestBuilder) -> Result<RequestBuilder, String> {
        let Some(path) = &self.cookie else { return Ok(request) };
        let cookie = tokio::fs::read_to_string(path)
            .await
            .map_err(|error| format!("cookie file {}: {error}", path.display()))?;
        let (user, password) = cookie
            .trim_end()
            .split_once(':')
            .ok_or_else(|| format!("cookie file {} does not hold user:password", path.display()))?;
        Ok(request.basic_auth(user, Some(password)))
    }

    /// The body, as far as the limit allows.
    async fn receive(&self, request: RequestBuilder, method: &'static str) -> Result<Vec<u8>, BackendError> {
        let failed = |error: reqwest::Error| self.classify(method, &error);
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status();
        if !status.is_success() {
            return Err(BackendError::Http { method, endpoint: self.name.clone(), status: status.as_u16() });
        }
        let _place = place_in_flight().await;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len().saturating_add(chunk.len()) > self.limits.bytes {
                let limit = self.limits.bytes;
                return Err(BackendError::TooLarge { method, endpoint: self.name.clone(), limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn classify(&self, method: &'static str, error: &reqwest::Error) -> BackendError {
        let endpoint = self.name.clone();
        let mut innermost: &dyn std::error::Error = error;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        let cause = innermost.to_string();
        if error.is_connect() {
            BackendError::Unreachable { method, endpoint, cause }
        } else if error.is_timeout() {
            BackendError::TimedOut { method, endpoint, deadline: self.limits.answer }
        } else {
            BackendError::Interrupted { method, endpoint, cause }
        }
    }

    fn unanswered(&self, method: &'static str) -> BackendError {
        let endpoint = self.name.clone();
        BackendError::Garbage { method, endpoint, cause: "nothing was answered".to_owned() }
    }

    /// The transactions that no index leads to: by their outputs, while unspent, and those outputs' blocks.
    async fn by_output(&self, outpoints: &[OutPoint]) -> Result<Answers<Option<Sighting>>, BackendError> {
        if outpoints.is_empty() {
            return Ok(Vec::new());
        }
        let mut calls = vec![chain_info()];
        calls.extend(outpoints.iter().map(|&outpoint| tx_out(outpoint)));
        let answers = self.ask(&calls).await?;
        let (info, answers) = answers.split_first().ok_or_else(|| self.unanswered("getblockchaininfo"))?;
        let best: ChainInfo = info.read()?;
        let heights: Vec<_> = outpoints
            .iter()
            .zip(answers)
            .map(|(&outpoint, answer)| {
                let entry: Option<TxOut> = answer.read()?;
                let entry =
                    entry.ok_or_else(|| BackendError::Unindexed { endpoint: self.name.clone(), outpoint })?;
                if entry.bestblock != best.bestblockhash {
                    return Err(answer.changed(format!("the tip is now {}", entry.bestblock)));
                }
                // Without confirmations it is in the mempool by now, where it was not found a moment ago.
                best.blocks.confirmed(entry.confirmations).ok_or_else(|| {
                    answer.changed(format!("{outpoint} has {} confirmations", entry.confirmations))
                })
            })
            .collect();

        let distinct: BTreeSet<Height> = heights.iter().flatten().copied().collect();
        let calls: Vec<_> = distinct.iter().map(|&height| block_hash(height)).collect();
        let hashes: BTreeMap<Height, Result<BlockHash, _>> =
            distinct.into_iter().zip(self.ask(&calls).await?.iter().map(Answer::read)).collect();
        let blocks: Vec<Result<BlockHash, BackendError>> = heights
            .into_iter()
            .map(|height| {
                hashes.get(&height?).cloned().unwrap_or_else(|| Err(self.unanswered("getblockhash")))
            })
            .collect();
        let calls: Vec<_> = outpoints
            .iter()
            .zip(&blocks)
            .filter_map(|(outpoint, block)| Some(raw(outpoint.txid, Some(*block.as_ref().ok()?))))
            .collect();
        let mut answers = self.ask(&calls).await?.into_iter();
        Ok(outpoints
            .iter()
            .zip(blocks)
            .map(|(outpoint, block)| {
                block?;
                let answer = answers.next().ok_or_else(|| self.unanswered(RAW))?;
                sighted(&answer, &answer.read()?, outpoint.txid, best.blocks)
            })
            .collect())
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Core").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl Batches for Core {
    fn name(&self) -> &str {
        &self.name
    }

    async fn batch(&self, calls: &[Call]) -> Result<Vec<Answer>, BackendError> {
        let method = calls.first().map_or("", |call| call.method);
        self.watch.over(method, &self.name, self.exchange(calls, method)).await
    }
}

impl Server for Core {
    async fn genesis(&self) -> Result<BlockHash, BackendError> {
        self.ask_one(block_hash(Height(0))).await?.read()
    }

    async fn tip(&self) -> Result<Tip, BackendError> {
        let ChainInfo { blocks, bestblockhash } = self.ask_one(chain_info()).await?.read()?;
        let answer = self.ask_one(block_header(bestblockhash)).await?;
        Ok(Tip { height: blocks, header: read_header(&answer, bestblockhash)? })
    }

    async fn fee_rates(&self) -> Result<FeeRates, BackendError> {
        let calls = [
            Call::new("getmempoolinfo", json!([])),
            Call::new("getnetworkinfo", json!([])),
            Call::new("estimatesmartfee", json!([1])),
        ];
        let answers = self.ask(&calls).await?;
        let [relays @ .., smart] = answers.as_slice() else {
            return Err(self.unanswered("getmempoolinfo"));
        };
        // Which of these there are depends on the node's kind and age.
        let mut relay_minimum = highest(relays);
        if relay_minimum.is_none() {
            relay_minimum = highest(&[self.ask_one(Call::new("getinfo", json!([]))).await?]);
        }
        let relay_minimum = relay_minimum.ok_or_else(|| BackendError::Garbage {
            method: "getmempoolinfo",
            endpoint: self.name.clone(),
            cause: "neither this nor getnetworkinfo nor getinfo tells the least fee rate for relaying"
                .to_owned(),
        })?;
        let next_block = match smart.read::<Estimate>() {
            Ok(estimate) => estimate.feerate,
            // btcd's. Bitcoin Core has it no more, and one that may not be asked for would spoil its batch.
            Err(BackendError::Rpc { code: METHOD_NOT_FOUND, .. }) => {
                self.ask_one(Call::new("estimatefee", json!([1]))).await?.read().ok()
            }
            Err(_) => None,
        };
        Ok(FeeRates { relay_minimum, next_block: next_block.and_then(check::fee_rate) })
    }

    async fn sightings(&self, outpoints: &[OutPoint]) -> Result<Answers<Option<Sighting>>, BackendError> {
        if outpoints.is_empty() {
            return Ok(Vec::new());
        }
        let mut calls = vec![chain_info()];
        calls.extend(outpoints.iter().map(|outpoint| raw(outpoint.txid, None)));
        let answers = self.ask(&calls).await?;
        let (info, answers) = answers.split_first().ok_or_else(|| self.unanswered("getblockchaininfo"))?;
        let ChainInfo { blocks, .. } = info.read()?;
        let mut found: Vec<Option<Result<Option<Sighting>, BackendError>>> = outpoints
            .iter()
            .zip(answers)
            .map(|(outpoint, answer)| match answer.read() {
                Ok(verbose) => Some(sighted(answer, &verbose, outpoint.txid, blocks)),
                Err(BackendError::Rpc { message, .. }) if says_absent(&message) => Some(Ok(None)),
                // It is busy: that says nothing of an index.
                Err(busy @ BackendError::Rpc { .. }) if busy.is_retryable() => Some(Err(busy)),
                Err(BackendError::Rpc { .. }) => None,
                Err(other) => Some(Err(other)),
            })
            .collect();
        let unknown: Vec<_> =
            outpoints.iter().zip(&found).filter(|(_, seen)| seen.is_none()).map(|(out, _)| *out).collect();
        let mut others = self.by_output(&unknown).await?.into_iter();
        found.iter_mut().filter(|seen| seen.is_none()).for_each(|seen| *seen = others.next());
        Ok(found.into_iter().map(|seen| seen.unwrap_or_else(|| Err(self.unanswered(RAW)))).collect())
    }

    async fn unspent(&self, outputs: &[Output]) -> Result<Answers<bool>, BackendError> {
        if outputs.is_empty() {
            return Ok(Vec::new());
        }
        let mut answers = Vec::new();
        // Each batch is asked as a whole what the mempool spends.
        for outputs in outputs.chunks(self.limits.batch.saturating_sub(1).max(1)) {
            let named: Vec<_> = outputs
                .iter()
                .map(|output| json!({ "txid": output.outpoint.txid, "vout": output.outpoint.vout }))
                .collect();
            let mut calls = vec![Call::new("gettxspendingprevout", json!([named]))];
            calls.extend(outputs.iter().map(|output| tx_out(output.outpoint)));
            let batch = self.ask(&calls).await?;
            let (spent, batch) = batch.split_first().ok_or_else(|| self.unanswered("gettxout"))?;
            let spent: Vec<Spending> = match spent.read() {
                Ok(spent) => spent,
                // Bitcoin Core before 24 doesn't have it, nor needs it.
                Err(BackendError::Rpc { .. }) => Vec::new(),
                Err(other) => return Err(other),
            };
            let spent: BTreeSet<OutPoint> = spent.iter().filter_map(Spending::spent).collect();
            answers.extend(outputs.iter().zip(batch).map(|(output, answer)| {
                let entry: Option<TxOut> = answer.read()?;
                let there = entry.is_some_and(|entry| entry.script.hex == output.script);
                Ok(there && !spent.contains(&output.outpoint))
            }));
        }
        Ok(answers)
    }

    async fn headers(&self, start: Height, count: u32) -> Result<Vec<Header>, BackendError> {
        let mut end = start.saturating_add(count);
        if count > 1 {
            // So that no more is asked for than there is.
            let ChainInfo { blocks, .. } = self.ask_one(chain_info()).await?.read()?;
            end = end.min(blocks.next());
        }
        let calls: Vec<_> = (start.0..end.0).map(Height).map(block_hash).collect();
        let mut hashes = Vec::new();
        for answer in self.ask_in_batches_of(HEADERS, &calls).await? {
            match answer.read::<BlockHash>() {
                Ok(hash) => hashes.push(hash),
                Err(BackendError::Rpc { code, .. }) if OUT_OF_RANGE.contains(&code) => break,
                Err(other) => return Err(other),
            }
        }
        let calls: Vec<_> = hashes.iter().map(|&hash| block_header(hash)).collect();
        let answers = self.ask_in_batches_of(HEADERS, &calls).await?;
        let headers: Vec<Header> = hashes
            .iter()
            .zip(&answers)
            .map(|(&hash, answer)| read_header(answer, hash))
            .collect::<Result<_, _>>()?;
        match (check::chained(&headers), answers.first()) {
            (Err(cause), Some(answer)) => Err(answer.changed(cause)),
            _ => Ok(headers),
        }
    }

    async fn headers_at(&self, heights: &[Height]) -> Result<Answers<Header>, BackendError> {
        let calls: Vec<_> = heights.iter().map(|&height| block_hash(height)).collect();
        let hashes: Vec<Result<BlockHash, _>> = self.ask(&calls).await?.iter().map(Answer::read).collect();
        let calls: Vec<_> = hashes.iter().flatten().map(|&hash| block_header(hash)).collect();
        let mut answers = self.ask(&calls).await?.into_iter();
        let header = |hash| {
            let answer = answers.next().ok_or_else(|| self.unanswered(HEADER))?;
            read_header(&answer, hash)
        };
        let mut header = header;
        Ok(hashes.into_iter().map(|hash| header(hash?)).collect())
    }

    async fn branches(&self, mined: &[Mined]) -> Result<Answers<MerkleBranch>, BackendError> {
        let distinct: BTreeSet<Height> = mined.iter().map(|mined| mined.height).collect();
        let calls: Vec<_> = distinct.iter().map(|&height| block_hash(height)).collect();
        let hashes: Vec<Result<BlockHash, _>> = self.ask(&calls).await?.iter().map(Answer::read).collect();
        let calls: Vec<_> = hashes.iter().flatten().map(|&hash| block_listed(hash)).collect();
        let mut answers = self.ask(&calls).await?.into_iter();
        // btcd has no `gettxoutproof`; and one list serves all transactions of a block.
        let mut blocks = BTreeMap::new();
        for (height, hash) in distinct.into_iter().zip(hashes) {
            let listed = match hash {
                Ok(_) => {
                    let answer = answers.next().ok_or_else(|| self.unanswered(BLOCK))?;
                    answer.read::<Listed>().map(|Listed { tx }| (answer, tx))
                }
                Err(error) => Err(error),
            };
            blocks.insert(height, listed);
        }
        let branch = |Mined { txid, height }: &Mined| {
            let listed = blocks.get(height).ok_or_else(|| self.unanswered(BLOCK))?;
            let (answer, txids) = listed.as_ref().map_err(Clone::clone)?;
            let branch = txids.iter().position(|listed| listed == txid);
            let branch = branch.and_then(|position| MerkleBranch::within(txids, position));
            branch.ok_or_else(|| answer.changed(format!("the block at {height} does not have {txid}")))
        };
        Ok(mined.iter().map(branch).collect())
    }

    async fn coinbase(&self, height: Height) -> Result<Coinbase, BackendError> {
        let answers = self.ask(&[block_hash(height)]).await?;
        let hash = answers.first().ok_or_else(|| self.unanswered("getblockhash"))?.read()?;
        let answers = self.ask(&[block_whole(hash)]).await?;
        let answer = answers.first().ok_or_else(|| self.unanswered(BLOCK))?;
        let block = read_block(answer, hash)?;
        let txids: Vec<_> = block.txdata.iter().map(Transaction::compute_txid).collect();
        let branch = MerkleBranch::within(&txids, 0);
        let coinbase = block.txdata.into_iter().next().zip(branch);
        let (transaction, branch) = coinbase.ok_or_else(|| answer.garbage("the block is empty"))?;
        Ok(Coinbase { transaction, branch })
    }

    async fn spender(&self, spent: &Output, from: Cursor) -> Result<Search, BackendError> {
        self.search(spent, from).await
    }

    async fn broadcast(&self, transaction: &Transaction) -> Result<(), BackendError> {
        let txid = transaction.compute_txid();
        let calls = [Call::new("sendrawtransaction", json!([serialize_hex(transaction)]))];
        let answers = self.ask(&calls).await?;
        let answer = answers.first().ok_or_else(|| self.unanswered("sendrawtransaction"))?;
        match answer.read::<Txid>() {
            Ok(actual) if actual == txid => Ok(()),
            Ok(actual) => Err(answer.garbage(format!("it took transaction {actual} instead of {txid}"))),
            Err(BackendError::Rpc { code: ALREADY_MINED, .. }) => Ok(()),
            // btcd has one code for many refusals.
            Err(refusal @ BackendError::Rpc { .. }) => {
                let answers = self.ask(&[raw(txid, None)]).await?;
                let verbose = answers.first().and_then(|answer| answer.read::<Verbose>().ok());
                let there = verbose.is_some_and(|verbose| {
                    verbose.place() != Place::Nowhere && verbose.transaction(txid).is_ok()
                });
                if there { Ok(()) } else { Err(refusal) }
            }
            Err(other) => Err(other),
        }
    }
}
