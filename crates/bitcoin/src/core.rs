//! Bitcoin as a Bitcoin Core node tells it over JSON-RPC, or one that speaks likewise (btcd).

mod spender;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use bitcoin::{
    Block, BlockHash, OutPoint, ScriptBuf, Transaction, Txid,
    block::Header,
    consensus::encode::{self, serialize_hex},
};
use reqwest::{Client, RequestBuilder};
use serde::Deserialize;
use serde_json::json;
use url::Url;

use crate::{
    Answers, Backend, BackendError, Coinbase, Conditions, Cursor, FeeRates, Known, Limits, MerkleBranch,
    Mined, Output, Search, Tip, check,
    jsonrpc::{Answer, Call, Numbered, Reply},
    verbose::{Place, Verbose, says_absent},
};

/// All that a node is asked: where `rpcwhitelist` names what the user may ask, these must be on it.
pub const CORE_METHODS: [&str; 13] = [
    "estimatefee",
    "estimatesmartfee",
    "getblock",
    "getblockchaininfo",
    "getblockhash",
    "getblockheader",
    "getinfo",
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
        Ok(Self { client, url, cookie, name, limits, round_trips: AtomicU64::new(0) })
    }

    /// The node's host and port.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many batches were sent so far, each of which awaited its answers.
    pub fn round_trips(&self) -> u64 {
        self.round_trips.load(Ordering::Relaxed)
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
        let answers =
            self.ask(&[Call::new("getnetworkinfo", json!([])), Call::new("getinfo", json!([]))]).await?;
        let [network, info] = answers.as_slice() else { return Err(self.unanswered("getnetworkinfo")) };
        if let Ok(Network { subversion }) = network.read() {
            return Ok(crate::jsonrpc::excerpt(&subversion));
        }
        info.read().map(|Info { version }| format!("version {version}"))
    }

    /// Asks all, in as many batches as the limit makes of them. A batch whose answers are too large together is asked in
    /// halves: nobody's large transaction keeps the others from being looked up.
    async fn ask(&self, calls: &[Call]) -> Result<Vec<Answer>, BackendError> {
        let mut answers = Vec::with_capacity(calls.len());
        let mut batches: Vec<_> = calls.rchunks(self.limits.batch.max(1)).collect();
        while let Some(batch) = batches.pop() {
            match self.batch(batch).await {
                Err(BackendError::TooLarge { .. }) if batch.len() > 1 => {
                    let (first, second) = batch.split_at(batch.len() / 2);
                    batches.extend([second, first]);
                }
                some => answers.extend(some?),
            }
        }
        Ok(answers)
    }

    async fn batch(&self, calls: &[Call]) -> Result<Vec<Answer>, BackendError> {
        let method = calls.first().map_or("", |call| call.method);
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
        let replies: Vec<Reply> =
            serde_json::from_slice(&body).map_err(|error| garbage(error.to_string()))?;

        let mut answers: Vec<Option<Answer>> = calls.iter().map(|_| None).collect();
        for reply in replies {
            let place = reply.place(0).and_then(|place| Some((calls.get(place)?, answers.get_mut(place)?)));
            let Some((call, answer)) = place else {
                return Err(garbage("it answers what was not asked".to_owned()));
            };
            *answer = Some(Answer::new(call, endpoint, reply));
        }
        let answers: Option<Vec<Answer>> = answers.into_iter().collect();
        answers.ok_or_else(|| garbage("a request of the batch is not answered".to_owned()))
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
    async fn by_output(&self, outpoints: &[OutPoint]) -> Result<Answers<Option<Known>>, BackendError> {
        if outpoints.is_empty() {
            return Ok(Vec::new());
        }
        let mut calls = vec![Call::new("getblockchaininfo", json!([]))];
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
                let above = entry.confirmations.checked_sub(1);
                // Without confirmations it is in the mempool by now, where it was not found a moment ago.
                above.and_then(|above| best.blocks.checked_sub(above)).ok_or_else(|| {
                    answer.changed(format!("{outpoint} has {} confirmations", entry.confirmations))
                })
            })
            .collect();

        let distinct: BTreeSet<u32> = heights.iter().flatten().copied().collect();
        let calls: Vec<_> = distinct.iter().map(|&height| block_hash(height)).collect();
        let hashes: BTreeMap<u32, Result<BlockHash, _>> =
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
                known(&answer, &answer.read()?, outpoint.txid)
            })
            .collect())
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Core").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl Backend for Core {
    async fn conditions(&self) -> Result<Conditions, BackendError> {
        let calls = [
            Call::new("getblockchaininfo", json!([])),
            Call::new("getmempoolinfo", json!([])),
            Call::new("getnetworkinfo", json!([])),
            Call::new("getinfo", json!([])),
            Call::new("estimatesmartfee", json!([1])),
            Call::new("estimatefee", json!([1])),
        ];
        let answers = self.ask(&calls).await?;
        let [info, relays @ .., smart, plain] = answers.as_slice() else {
            return Err(self.unanswered("getblockchaininfo"));
        };
        let ChainInfo { blocks, bestblockhash } = info.read()?;
        // Which of these there are depends on the node's kind and age.
        let relay_minimum = relays
            .iter()
            .filter_map(|answer| answer.read::<Relay>().ok())
            .flat_map(|relay| [relay.mempoolminfee, relay.minrelaytxfee, relay.relayfee])
            .filter_map(|rate| check::fee_rate(rate?))
            .max();
        let relay_minimum = relay_minimum.ok_or_else(|| BackendError::Garbage {
            method: "getmempoolinfo",
            endpoint: self.name.clone(),
            cause: "neither this nor getnetworkinfo nor getinfo tells the least fee rate for relaying"
                .to_owned(),
        })?;
        let smart = smart.read::<Estimate>().ok().and_then(|estimate| estimate.feerate);
        let next_block = smart.or_else(|| plain.read().ok()).and_then(check::fee_rate);

        let headers = self.ask(&[block_header(bestblockhash)]).await?;
        let answer = headers.first().ok_or_else(|| self.unanswered(HEADER))?;
        let tip = Tip { height: blocks, header: read_header(answer, bestblockhash)? };
        Ok(Conditions { tip, fee_rates: FeeRates { relay_minimum, next_block } })
    }

    async fn transactions(&self, outpoints: &[OutPoint]) -> Result<Answers<Option<Known>>, BackendError> {
        let calls: Vec<_> = outpoints.iter().map(|outpoint| raw(outpoint.txid, None)).collect();
        let answers = self.ask(&calls).await?;
        let mut found: Vec<Option<Result<Option<Known>, BackendError>>> = outpoints
            .iter()
            .zip(answers)
            .map(|(outpoint, answer)| match answer.read() {
                Ok(verbose) => Some(known(&answer, &verbose, outpoint.txid)),
                Err(BackendError::Rpc { message, .. }) if says_absent(&message) => Some(Ok(None)),
                Err(BackendError::Rpc { .. }) => None,
                Err(other) => Some(Err(other)),
            })
            .collect();
        let unknown: Vec<_> =
            outpoints.iter().zip(&found).filter(|(_, known)| known.is_none()).map(|(out, _)| *out).collect();
        let mut others = self.by_output(&unknown).await?.into_iter();
        found.iter_mut().filter(|known| known.is_none()).for_each(|known| *known = others.next());
        Ok(found.into_iter().map(|known| known.unwrap_or_else(|| Err(self.unanswered(RAW)))).collect())
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

    async fn headers(&self, start: u32, count: u32) -> Result<Vec<Header>, BackendError> {
        let calls: Vec<_> = (start..start.saturating_add(count)).map(block_hash).collect();
        let mut hashes = Vec::new();
        for answer in self.ask(&calls).await? {
            match answer.read::<BlockHash>() {
                Ok(hash) => hashes.push(hash),
                Err(BackendError::Rpc { code, .. }) if OUT_OF_RANGE.contains(&code) => break,
                Err(other) => return Err(other),
            }
        }
        let calls: Vec<_> = hashes.iter().map(|&hash| block_header(hash)).collect();
        let answers = self.ask(&calls).await?;
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

    async fn branches(&self, mined: &[Mined]) -> Result<Answers<MerkleBranch>, BackendError> {
        let distinct: BTreeSet<u32> = mined.iter().map(|mined| mined.height).collect();
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

    async fn coinbase(&self, height: u32) -> Result<Coinbase, BackendError> {
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

    async fn genesis(&self) -> Result<BlockHash, BackendError> {
        let answers = self.ask(&[block_hash(0)]).await?;
        answers.first().ok_or_else(|| self.unanswered("getblockhash"))?.read()
    }
}

const BLOCK: &str = "getblock";
const HEADER: &str = "getblockheader";
const RAW: &str = "getrawtransaction";

/// Described, from the block when one is named.
fn raw(txid: Txid, block: Option<BlockHash>) -> Call {
    // btcd takes a number only; Bitcoin Core takes numbers for truth.
    Call::new(RAW, block.map_or_else(|| json!([txid, 1]), |block| json!([txid, 1, block])))
}

fn tx_out(outpoint: OutPoint) -> Call {
    Call::new("gettxout", json!([outpoint.txid, outpoint.vout, true]))
}

fn block_hash(height: u32) -> Call {
    Call::new("getblockhash", json!([height]))
}

/// With its transactions' ids.
fn block_listed(hash: BlockHash) -> Call {
    Call::new(BLOCK, json!([hash, 1]))
}

/// Its bytes.
fn block_whole(hash: BlockHash) -> Call {
    Call::new(BLOCK, json!([hash, 0]))
}

/// The block of this hash, whose transactions are its own.
fn read_block(answer: &Answer, hash: BlockHash) -> Result<Block, BackendError> {
    let block: Block = encode::deserialize_hex(&answer.read::<String>()?)
        .map_err(|error| answer.garbage(format!("not a block: {error}")))?;
    if block.block_hash() == hash && block.check_merkle_root() {
        return Ok(block);
    }
    Err(answer.garbage(format!("it is not block {hash}")))
}

#[derive(Deserialize)]
struct Listed {
    tx: Vec<Txid>,
}

fn block_header(hash: BlockHash) -> Call {
    Call::new(HEADER, json!([hash, false]))
}

#[derive(Deserialize)]
struct ChainInfo {
    blocks: u32,
    bestblockhash: BlockHash,
}

/// In bitcoins per 1,000 virtual bytes.
#[derive(Deserialize)]
struct Relay {
    /// `getmempoolinfo`, while the mempool is full.
    mempoolminfee: Option<f64>,
    /// `getmempoolinfo`.
    minrelaytxfee: Option<f64>,
    /// `getnetworkinfo`, and btcd's `getinfo`.
    relayfee: Option<f64>,
}

#[derive(Deserialize)]
struct Estimate {
    feerate: Option<f64>,
}

#[derive(Deserialize)]
struct TxOut {
    bestblock: BlockHash,
    confirmations: u32,
    #[serde(rename = "scriptPubKey")]
    script: ScriptHex,
}

#[derive(Deserialize)]
struct ScriptHex {
    hex: ScriptBuf,
}

#[derive(Deserialize)]
struct Spending {
    txid: Txid,
    vout: u32,
    spendingtxid: Option<Txid>,
}

impl Spending {
    fn spent(&self) -> Option<OutPoint> {
        self.spendingtxid.map(|_| OutPoint::new(self.txid, self.vout))
    }
}

fn known(answer: &Answer, verbose: &Verbose, txid: Txid) -> Result<Option<Known>, BackendError> {
    let transaction = verbose.transaction(txid).map_err(|cause| answer.garbage(cause))?;
    Ok(match verbose.place() {
        Place::Mempool => Some(Known { transaction, confirmations: 0 }),
        Place::Block { confirmations } => Some(Known { transaction, confirmations }),
        Place::Nowhere => None,
    })
}

fn read_header(answer: &Answer, hash: BlockHash) -> Result<Header, BackendError> {
    let hex: String = answer.read()?;
    let header = check::header(&hex).map_err(|cause| answer.garbage(cause))?;
    let actual = header.block_hash();
    if actual == hash { Ok(header) } else { Err(answer.garbage(format!("it is block {actual}, not {hash}"))) }
}
