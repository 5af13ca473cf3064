//! The part of Bitcoin Core's JSON-RPC that is used.

use std::io;

use bitcoin::{Block, BlockHash, OutPoint, Transaction, Txid, consensus::encode};
use coxswain_rules::units::Confirmations;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{io::BufReader, net::TcpStream};

use super::{RELAY_FEE, Refused, Shared, Unanswered, param};
use crate::{
    Refusal, http,
    regtest::{Found, Ledger, generate},
};

/// Who may ask.
pub(super) const USER_AND_PASSWORD: &str = "coxswain:secret";
/// The same, as HTTP has it.
const AUTHORIZATION: &str = "Basic Y294c3dhaW46c2VjcmV0";

const INVALID_ADDRESS_OR_KEY: i64 = -5;
const INVALID_PARAMETER: i64 = -8;
const DESERIALIZATION_ERROR: i64 = -22;
const VERIFY_ERROR: i64 = -25;
const VERIFY_REJECTED: i64 = -26;
const VERIFY_ALREADY_IN_CHAIN: i64 = -27;
const METHOD_NOT_FOUND: i64 = -32601;
const INTERNAL_ERROR: i64 = -32603;

/// Serves one request, or one batch of them, then closes.
pub(super) async fn serve(shared: &Shared, stream: TcpStream) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let Some(http::Request { authorization, body }) = http::receive(&mut stream).await? else {
        return Ok(());
    };
    if authorization.as_deref() != Some(AUTHORIZATION) {
        return http::respond(&mut stream, 401, "").await;
    }
    let request: Value = serde_json::from_slice(&body)?;
    let single = std::slice::from_ref(&request);
    let requests = request.as_array().map_or(single, Vec::as_slice);
    let mut answers = Vec::new();
    for request in requests {
        let answer = shared.meet(request, |method, params| answer(shared, method, params)).await;
        match answer {
            Ok(answer) => answers.push(answer),
            Err(Unanswered::Status(status)) => return http::respond(&mut stream, status, "").await,
            Err(Unanswered::Cut) => return Ok(()),
        }
    }
    let body = answers.join(",");
    let body = if request.is_array() { format!("[{body}]") } else { body };
    http::respond(&mut stream, 200, &body).await
}

fn answer(shared: &Shared, method: &str, params: &Value) -> Result<Value, Refused> {
    let ledger = &mut *shared.chain.ledger();
    let height = shared.height(ledger);
    let best = || ledger.block(height).map(Block::block_hash);
    match method {
        "getblockchaininfo" => {
            Ok(json!({ "chain": "regtest", "blocks": height, "headers": height, "bestblockhash": best() }))
        }
        "getblockhash" => {
            let header = shared.header(ledger, param(params, 0)?);
            let header = header.ok_or_else(|| (INVALID_PARAMETER, "Block height out of range".to_owned()))?;
            Ok(json!(header.block_hash()))
        }
        "getblockheader" => {
            let hash: BlockHash = param(params, 0)?;
            let (_, block) = ledger
                .block_of(hash)
                .ok_or_else(|| (INVALID_ADDRESS_OR_KEY, "Block not found".to_owned()))?;
            Ok(json!(encode::serialize_hex(&block.header)))
        }
        "getblock" => {
            let hash: BlockHash = param(params, 0)?;
            let (height, block) = ledger
                .block_of(hash)
                .ok_or_else(|| (INVALID_ADDRESS_OR_KEY, "Block not found".to_owned()))?;
            if param::<u8>(params, 1)? == 0 {
                return Ok(json!(encode::serialize_hex(block)));
            }
            let txids: Vec<_> = block.txdata.iter().map(Transaction::compute_txid).collect();
            Ok(json!({ "hash": hash, "height": height, "tx": txids }))
        }
        "getmempoolinfo" => Ok(json!({ "mempoolminfee": RELAY_FEE, "minrelaytxfee": RELAY_FEE })),
        "getnetworkinfo" => Ok(json!({ "subversion": "/coxswain-testkit/", "relayfee": RELAY_FEE })),
        "estimatesmartfee" => Ok(shared.serving.estimate.map_or_else(
            || json!({ "errors": ["Insufficient data or no feerate found"], "blocks": 2 }),
            |rate| json!({ "feerate": rate, "blocks": 2 }),
        )),
        "getrawtransaction" => transaction(shared, ledger, params),
        "gettxout" => tx_out(shared, ledger, params),
        "gettxspendingprevout" => spending(ledger, params),
        // Bitcoin Core's own until 0.19: without an address, as no key gets the coins.
        "generate" => {
            let hashes = generate(ledger, param(params, 0)?);
            hashes.map(|hashes| json!(hashes)).map_err(|error| (INTERNAL_ERROR, error.to_string()))
        }
        "sendrawtransaction" => {
            let transaction: Transaction = encode::deserialize_hex(&param::<String>(params, 0)?)
                .map_err(|error| (DESERIALIZATION_ERROR, format!("TX decode failed: {error}")))?;
            match ledger.accept(&transaction) {
                // Bitcoin Core tells its peers again.
                Ok(()) | Err(Refusal::Waits) => Ok(json!(transaction.compute_txid())),
                Err(Refusal::Mined) => {
                    Err((VERIFY_ALREADY_IN_CHAIN, "Transaction outputs already in utxo set".to_owned()))
                }
                Err(refusal @ Refusal::Missing(_)) => Err((VERIFY_ERROR, refusal.to_string())),
                Err(refusal) => Err((VERIFY_REJECTED, refusal.to_string())),
            }
        }
        _ => Err((METHOD_NOT_FOUND, "Method not found".to_owned())),
    }
}

fn transaction(shared: &Shared, ledger: &Ledger, params: &Value) -> Result<Value, Refused> {
    let (txid, verbosity, block): (Txid, u8, Option<BlockHash>) =
        (param(params, 0)?, param(params, 1)?, param(params, 2)?);
    let found = shared.find(ledger, txid);
    let refused = |words: &str| {
        (INVALID_ADDRESS_OR_KEY, format!("{words}. Use gettransaction for wallet transactions."))
    };
    let found = match (found, block) {
        (Some(found @ Found::Mined { height, .. }), Some(hash)) => Some(found)
            .filter(|_| ledger.block_of(hash).is_some_and(|(actual, _)| actual == height))
            .ok_or_else(|| refused("No such transaction found in the provided block"))?,
        (_, Some(_)) => return Err(refused("No such transaction found in the provided block")),
        (Some(found @ Found::Mempool(_)), None) => found,
        (Some(found), None) if shared.serving.index => found,
        (None, None) if shared.serving.index => {
            return Err(refused("No such mempool or blockchain transaction"));
        }
        (_, None) => {
            return Err(refused(
                "No such mempool transaction. Use -txindex or provide a block hash to enable blockchain transaction queries",
            ));
        }
    };
    if verbosity > 0 {
        return Ok(shared.describe(ledger, found));
    }
    let (Found::Mempool(transaction) | Found::Mined { transaction, .. } | Found::Stale { transaction, .. }) =
        found;
    Ok(json!(encode::serialize_hex(transaction)))
}

fn tx_out(shared: &Shared, ledger: &Ledger, params: &Value) -> Result<Value, Refused> {
    let outpoint = OutPoint::new(param(params, 0)?, param(params, 1)?);
    let mempool = param::<Option<bool>>(params, 2)?.unwrap_or(true);
    let tip = shared.height(ledger);
    let mined = ledger.coin(outpoint).and_then(|coin| Some((&coin.output, coin.height.confirmations(tip)?)));
    let waiting = || {
        ledger
            .waiting()
            .find(|(waiting, _)| *waiting == outpoint)
            .map(|(_, output)| (output, Confirmations::NONE))
    };
    let entry = match mined {
        Some(_) if mempool && ledger.claimed_by(outpoint).is_some() => None,
        None if mempool => waiting(),
        mined => mined,
    };
    Ok(entry.map_or(Value::Null, |(output, confirmations)| {
        json!({
            "bestblock": ledger.block(tip).map(Block::block_hash),
            "confirmations": confirmations,
            "value": output.value.to_btc(),
            "scriptPubKey": { "hex": output.script_pubkey.to_hex_string() },
        })
    }))
}

fn spending(ledger: &Ledger, params: &Value) -> Result<Value, Refused> {
    #[derive(Deserialize)]
    struct Named {
        txid: Txid,
        vout: u32,
    }
    let named: Vec<Named> = param(params, 0)?;
    let entry = |Named { txid, vout }| match ledger.claimed_by(OutPoint::new(txid, vout)) {
        Some(spender) => json!({ "txid": txid, "vout": vout, "spendingtxid": spender }),
        None => json!({ "txid": txid, "vout": vout }),
    };
    Ok(named.into_iter().map(entry).collect())
}
