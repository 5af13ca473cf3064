//! What a node is asked, and what its answers are.

use bitcoin::{Block, BlockHash, FeeRate, OutPoint, ScriptBuf, Txid, block::Header, consensus::encode};
use coxswain_rules::units::{Confirmations, Height};
use serde::Deserialize;
use serde_json::json;

use crate::{
    BackendError, Sighting, check,
    jsonrpc::{Answer, Call, Reply},
    verbose::{Place, Verbose},
};

pub(super) const BLOCK: &str = "getblock";
pub(super) const HEADER: &str = "getblockheader";
pub(super) const RAW: &str = "getrawtransaction";

/// Described, from the block when one is named.
pub(super) fn raw(txid: Txid, block: Option<BlockHash>) -> Call {
    // btcd takes a number only; Bitcoin Core takes numbers for truth.
    Call::new(RAW, block.map_or_else(|| json!([txid, 1]), |block| json!([txid, 1, block])))
}

/// The answers of a batch, each in its request's place.
pub(super) fn in_order(calls: &[Call], endpoint: &str, body: &[u8]) -> Result<Vec<Answer>, BackendError> {
    let method = calls.first().map_or("", |call| call.method);
    let garbage = |cause: String| BackendError::Garbage { method, endpoint: endpoint.to_owned(), cause };
    let replies: Vec<Reply> = serde_json::from_slice(body).map_err(|error| garbage(error.to_string()))?;
    let mut answers: Vec<Option<Answer>> = calls.iter().map(|_| None).collect();
    for reply in replies {
        let place = reply.place(0).and_then(|place| Some((calls.get(place)?, answers.get_mut(place)?)));
        let Some((call, answer)) = place else {
            return Err(garbage("it answers what was not asked".to_owned()));
        };
        if answer.replace(Answer::new(call, endpoint, reply)).is_some() {
            return Err(garbage("it answers a request twice".to_owned()));
        }
    }
    let answers: Option<Vec<Answer>> = answers.into_iter().collect();
    answers.ok_or_else(|| garbage("a request of the batch is not answered".to_owned()))
}

pub(super) fn chain_info() -> Call {
    Call::new("getblockchaininfo", json!([]))
}

pub(super) fn tx_out(outpoint: OutPoint) -> Call {
    Call::new("gettxout", json!([outpoint.txid, outpoint.vout, true]))
}

pub(super) fn block_hash(height: Height) -> Call {
    Call::new("getblockhash", json!([height]))
}

/// With its transactions' ids.
pub(super) fn block_listed(hash: BlockHash) -> Call {
    Call::new(BLOCK, json!([hash, 1]))
}

/// Its bytes.
pub(super) fn block_whole(hash: BlockHash) -> Call {
    Call::new(BLOCK, json!([hash, 0]))
}

/// The block of this hash, whose transactions are its own.
pub(super) fn read_block(answer: &Answer, hash: BlockHash) -> Result<Block, BackendError> {
    let block: Block = encode::deserialize_hex(&answer.read::<String>()?)
        .map_err(|error| answer.garbage(format!("not a block: {error}")))?;
    if block.block_hash() == hash && block.check_merkle_root() {
        return Ok(block);
    }
    Err(answer.garbage(format!("it is not block {hash}")))
}

#[derive(Deserialize)]
pub(super) struct Listed {
    pub(super) tx: Vec<Txid>,
}

pub(super) fn block_header(hash: BlockHash) -> Call {
    Call::new(HEADER, json!([hash, false]))
}

#[derive(Deserialize)]
pub(super) struct ChainInfo {
    pub(super) blocks: Height,
    pub(super) bestblockhash: BlockHash,
}

/// In bitcoins per 1,000 virtual bytes.
#[derive(Deserialize)]
pub(super) struct RelayRates {
    /// `getmempoolinfo`, while the mempool is full.
    pub(super) mempoolminfee: Option<f64>,
    /// `getmempoolinfo`.
    pub(super) minrelaytxfee: Option<f64>,
    /// `getnetworkinfo`, and btcd's `getinfo`.
    pub(super) relayfee: Option<f64>,
}

#[derive(Deserialize)]
pub(super) struct Estimate {
    pub(super) feerate: Option<f64>,
}

#[derive(Deserialize)]
pub(super) struct TxOut {
    pub(super) bestblock: BlockHash,
    pub(super) confirmations: Confirmations,
    #[serde(rename = "scriptPubKey")]
    pub(super) script: ScriptHex,
}

#[derive(Deserialize)]
pub(super) struct ScriptHex {
    pub(super) hex: ScriptBuf,
}

#[derive(Deserialize)]
pub(super) struct Spending {
    pub(super) txid: Txid,
    pub(super) vout: u32,
    pub(super) spendingtxid: Option<Txid>,
}

impl Spending {
    pub(super) fn spent(&self) -> Option<OutPoint> {
        self.spendingtxid.map(|_| OutPoint::new(self.txid, self.vout))
    }
}

/// What a node shows of a transaction, at this height of its newest block.
pub(super) fn sighted(
    answer: &Answer,
    verbose: &Verbose,
    txid: Txid,
    tip: Height,
) -> Result<Option<Sighting>, BackendError> {
    let transaction = verbose.transaction(txid).map_err(|cause| answer.garbage(cause))?;
    Ok(match verbose.place() {
        Place::Mempool => Some(Sighting { transaction, height: None }),
        Place::Block { confirmations } => {
            let height = tip.confirmed(confirmations);
            let height =
                height.ok_or_else(|| answer.changed(format!("{confirmations} confirmations at {tip}")))?;
            Some(Sighting { transaction, height: Some(height) })
        }
        Place::Nowhere => None,
    })
}

/// The highest of the rates that these name for relaying: each is a bound.
pub(super) fn highest(relays: &[Answer]) -> Option<FeeRate> {
    let relays = relays.iter().filter_map(|answer| answer.read::<RelayRates>().ok());
    let rates = relays.flat_map(|relay| [relay.mempoolminfee, relay.minrelaytxfee, relay.relayfee]);
    rates.filter_map(|rate| check::fee_rate(rate?)).max()
}

pub(super) fn read_header(answer: &Answer, hash: BlockHash) -> Result<Header, BackendError> {
    let hex: String = answer.read()?;
    let header = check::header(&hex).map_err(|cause| answer.garbage(cause))?;
    let actual = header.block_hash();
    if actual == hash { Ok(header) } else { Err(answer.garbage(format!("it is block {actual}, not {hash}"))) }
}
