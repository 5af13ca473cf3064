//! What servers lie about, each of either kind.

use bitcoin::{
    BlockHash, OutPoint, ScriptBuf, Transaction, TxMerkleNode,
    block::Header,
    consensus::encode,
    hashes::{Hash, sha256},
    hex::DisplayHex,
};
use coxswain_rules::units::Height;
use serde_json::{Value, json};

use crate::{Regtest, Reply};

/// A lie that a server tells, whatever is true.
#[derive(Clone, Debug, PartialEq)]
pub enum BitcoinLie {
    /// It has headers that cost two hashes each, on a block of its own, twenty blocks ahead.
    EasyChain,
    /// It knows no transaction.
    Absent,
    /// This output, with this script, is unspent.
    Unspent(OutPoint, ScriptBuf),
    /// No output is unspent.
    Spent,
    /// This output, with this script, is spent by this transaction, which waits for a block.
    Spender(OutPoint, ScriptBuf, Transaction),
    /// Fees are these, in bitcoins per 1,000 virtual bytes.
    Fees(f64),
    /// It never answers.
    Slow,
    /// It answers with this many bytes.
    Huge(usize),
    /// It gives one header a request.
    OneHeader,
    /// It answers with HTML, or what else isn't asked for.
    Garbage,
}

/// How far ahead an easy chain is.
const AHEAD: u32 = 20;

impl BitcoinLie {
    /// How a server of this chain meets a request that tells this lie.
    pub fn meet(self, chain: &Regtest) -> impl Fn(&str, &Value) -> Reply + Send + Sync + use<> {
        let chain = chain.clone();
        move |method, params| self.reply(&chain, method, params)
    }

    fn reply(&self, chain: &Regtest, method: &str, params: &Value) -> Reply {
        match (self, method) {
            // Without these no one would listen to the rest.
            (Self::Huge(_) | Self::Garbage | Self::Slow, "server.version") => Reply::Forward,
            (Self::Slow, _) => Reply::Stall,
            (Self::Huge(bytes), _) => Reply::Body(format!("\"{}\"", "x".repeat(*bytes))),
            (Self::Garbage, _) => Reply::Body("<html>502 Bad Gateway</html>".to_owned()),
            (Self::EasyChain, _) => easy(chain, method, params),
            (Self::Absent, "blockchain.transaction.get") => {
                Reply::Error(json!({ "code": -32603, "message": "missing transaction" }))
            }
            (Self::Absent, "getrawtransaction") => {
                Reply::Error(json!({ "code": -5, "message": "No such mempool or blockchain transaction." }))
            }
            (Self::Unspent(outpoint, script), "blockchain.scripthash.listunspent") => {
                if params.get(0) != Some(&script_hash(script)) {
                    return Reply::Forward;
                }
                let entry =
                    json!({ "tx_hash": outpoint.txid, "tx_pos": outpoint.vout, "height": 1, "value": 1 });
                Reply::Result(json!([entry]))
            }
            (Self::Unspent(outpoint, script), "gettxout") if params.get(0) == Some(&json!(outpoint.txid)) => {
                let tip = chain.blocks_from(chain.height()).first().map(bitcoin::Block::block_hash);
                let script = json!({ "hex": script.to_hex_string() });
                Reply::Result(json!({ "bestblock": tip, "confirmations": 6, "scriptPubKey": script }))
            }
            (Self::Unspent(..) | Self::Spent, "gettxspendingprevout") => Reply::Result(json!([])),
            (Self::Spent, "blockchain.scripthash.listunspent") => Reply::Result(json!([])),
            (Self::Spent, "gettxout") => Reply::Result(Value::Null),
            (Self::Spender(outpoint, script, spender), _) => {
                made_up(*outpoint, script, spender, method, params)
            }
            (Self::Fees(rate), "blockchain.relayfee" | "blockchain.estimatefee") => {
                Reply::Result(json!(rate))
            }
            (Self::Fees(rate), "getmempoolinfo") => {
                Reply::Result(json!({ "mempoolminfee": rate, "minrelaytxfee": rate }))
            }
            (Self::Fees(rate), "getnetworkinfo") => {
                Reply::Result(json!({ "subversion": "/x/", "relayfee": rate }))
            }
            (Self::Fees(rate), "estimatesmartfee") => Reply::Result(json!({ "feerate": rate, "blocks": 1 })),
            (Self::OneHeader, "blockchain.block.headers") => Reply::Instead(json!([params.get(0), 1])),
            (Self::OneHeader, "getblockchaininfo") => {
                let best = chain.blocks_from(Height(150)).first().map(bitcoin::Block::block_hash);
                Reply::Result(json!({ "blocks": 150, "bestblockhash": best }))
            }
            _ => Reply::Forward,
        }
    }
}

/// What Electrum servers find outputs by.
fn script_hash(script: &ScriptBuf) -> Value {
    let mut hash = sha256::Hash::hash(script.as_bytes()).to_byte_array();
    hash.reverse();
    json!(hash.to_lower_hex_string())
}

/// This transaction spends the output, and waits for a block.
fn made_up(
    outpoint: OutPoint,
    script: &ScriptBuf,
    spender: &Transaction,
    method: &str,
    params: &Value,
) -> Reply {
    let txid = spender.compute_txid();
    let is_of_it = params.get(0) == Some(&script_hash(script));
    let asks_for_it = params.get(0) == Some(&json!(txid));
    match method {
        "blockchain.scripthash.listunspent" if is_of_it => Reply::Result(json!([])),
        "blockchain.scripthash.get_history" if is_of_it => {
            let funding = json!({ "tx_hash": outpoint.txid, "height": 1 });
            Reply::Result(json!([funding, { "tx_hash": txid, "height": 0, "fee": 1 }]))
        }
        "gettxout" if params.get(0) == Some(&json!(outpoint.txid)) => Reply::Result(Value::Null),
        "gettxspendingprevout" => {
            let spent = json!({ "txid": outpoint.txid, "vout": outpoint.vout, "spendingtxid": txid });
            Reply::Result(json!([spent]))
        }
        "blockchain.transaction.get" | "getrawtransaction" if asks_for_it => {
            let hex = encode::serialize_hex(spender);
            let is_verbose =
                params.get(1).is_some_and(|verbose| *verbose == json!(true) || *verbose == json!(1));
            Reply::Result(if is_verbose { json!({ "hex": hex, "txid": txid }) } else { json!(hex) })
        }
        _ => Reply::Forward,
    }
}

/// A header that stands on nothing, and cost two hashes.
fn easy_header(chain: &Regtest, height: Height) -> Header {
    let tip = chain.blocks_from(chain.height());
    let mut header = tip.first().expect("a chain has a tip").header;
    header.prev_blockhash = BlockHash::all_zeros();
    header.merkle_root = TxMerkleNode::all_zeros();
    header.nonce = height.0;
    while !header.target().is_met_by(header.block_hash()) {
        header.nonce = header.nonce.wrapping_add(0x1_0000);
    }
    header
}

fn easy(chain: &Regtest, method: &str, params: &Value) -> Reply {
    let number = |at: usize| {
        params.get(at).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok()).map(Height)
    };
    let height = chain.height().saturating_add(AHEAD);
    let hex = |height| encode::serialize_hex(&easy_header(chain, height));
    match (method, number(0)) {
        ("blockchain.headers.subscribe", _) => Reply::Result(json!({ "height": height, "hex": hex(height) })),
        ("blockchain.block.headers", Some(start)) => {
            Reply::Result(json!({ "count": 1, "hex": hex(start), "max": 2016 }))
        }
        ("blockchain.block.header", Some(height)) if height > Height(0) => Reply::Result(json!(hex(height))),
        ("getblockchaininfo", _) => {
            let best = easy_header(chain, height).block_hash();
            Reply::Result(json!({ "blocks": height, "bestblockhash": best }))
        }
        ("getblockhash", Some(height)) if height > Height(0) => {
            Reply::Result(json!(easy_header(chain, height).block_hash()))
        }
        ("getblockheader", _) => {
            let asked = |header: &Header| params.get(0) == Some(&json!(header.block_hash()));
            let header = Height(0).to(height).rev().map(|height| easy_header(chain, height)).find(asked);
            header.map_or(Reply::Forward, |header| Reply::Result(json!(encode::serialize_hex(&header))))
        }
        _ => Reply::Forward,
    }
}
