//! Electrum's protocol, version 1.4: a JSON object a line.

use std::{collections::BTreeSet, io};

use bitcoin::{
    Transaction, Txid,
    consensus::encode,
    hashes::{Hash, sha256, sha256d},
};
use coxswain_rules::units::Height;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};

use super::{RELAY_FEE, Refused, Shared, param};
use crate::regtest::{Found, Ledger, merkle_branch};

/// ElectrumX's codes: for what a client does wrong, and for what the node behind says.
const BAD_REQUEST: i64 = 1;
const DAEMON_ERROR: i64 = 2;
const METHOD_NOT_FOUND: i64 = -32601;
const MOST_HEADERS: u32 = 2016;
const SUBSCRIBE: &str = "blockchain.headers.subscribe";

/// Serves a connection to its end.
pub(super) async fn serve(shared: &Shared, stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut told = None;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let request: Value = serde_json::from_str(&line)?;
        // Who has subscribed hears of new blocks, between the answers.
        let newest = shared.height(&shared.chain.ledger());
        if told.is_some_and(|height| height != newest) {
            told = Some(newest);
            let news = tip(shared, &shared.chain.ledger()).unwrap_or_default();
            let news = json!({ "jsonrpc": "2.0", "method": SUBSCRIBE, "params": [news] });
            stream.write_all(format!("{news}\n").as_bytes()).await?;
        }
        if request.get("method").is_some_and(|method| method == SUBSCRIBE) {
            told = Some(newest);
        }
        let answer = shared.meet(&request, |method, params| answer(shared, method, params)).await;
        let Ok(answer) = answer else { return Ok(()) };
        stream.write_all(answer.as_bytes()).await?;
        stream.write_all(b"\n").await?;
        stream.flush().await?;
    }
}

fn answer(shared: &Shared, method: &str, params: &Value) -> Result<Value, Refused> {
    let ledger = &mut *shared.chain.ledger();
    match method {
        "server.version" => Ok(json!(["coxswain-testkit", "1.4"])),
        "server.ping" => Ok(Value::Null),
        SUBSCRIBE => tip(shared, ledger),
        "blockchain.block.header" => {
            let header = shared.header(ledger, param(params, 0)?);
            let header = header.ok_or_else(|| (BAD_REQUEST, "height out of range".to_owned()))?;
            Ok(json!(encode::serialize_hex(&header)))
        }
        "blockchain.block.headers" => {
            let (start, count): (Height, u32) = (param(params, 0)?, param(params, 1)?);
            let heights = (start.0..start.0.saturating_add(count.min(MOST_HEADERS))).map(Height);
            let headers: Vec<_> = heights.map_while(|height| shared.header(ledger, height)).collect();
            let hex: String = headers.iter().map(encode::serialize_hex).collect();
            Ok(json!({ "count": headers.len(), "hex": hex, "max": MOST_HEADERS }))
        }
        "blockchain.relayfee" => Ok(json!(RELAY_FEE)),
        "blockchain.estimatefee" => Ok(json!(shared.serving.estimate.unwrap_or(-1.0))),
        "blockchain.scripthash.get_history" => history(shared, ledger, params),
        "blockchain.scripthash.listunspent" => list_unspent(shared, ledger, params),
        "blockchain.transaction.get" => transaction(shared, ledger, params),
        "blockchain.transaction.get_merkle" => {
            let (txid, at): (Txid, Height) = (param(params, 0)?, param(params, 1)?);
            match shared.find(ledger, txid) {
                Some(Found::Mined { height, position, .. }) if height == at => {
                    let branch = ledger.block(height).map(|block| merkle_branch(block, position));
                    Ok(json!({ "merkle": branch, "pos": position, "block_height": height }))
                }
                _ => Err((BAD_REQUEST, format!("tx {txid} not in block at height {at}"))),
            }
        }
        "blockchain.transaction.id_from_pos" => {
            let (height, position): (Height, usize) = (param(params, 0)?, param(params, 1)?);
            let block = ledger.block(height).filter(|_| height <= shared.height(ledger));
            let transaction = block.and_then(|block| Some((block, block.txdata.get(position)?)));
            let (block, transaction) = transaction.ok_or_else(|| {
                (BAD_REQUEST, format!("no tx at position {position} in block at height {height}"))
            })?;
            Ok(json!({ "tx_hash": transaction.compute_txid(), "merkle": merkle_branch(block, position) }))
        }
        "blockchain.transaction.broadcast" => {
            let transaction: Transaction = encode::deserialize_hex(&param::<String>(params, 0)?)
                .map_err(|error| (BAD_REQUEST, format!("TX decode failed: {error}")))?;
            ledger.accept(&transaction).map_err(|refusal| {
                let words = format!("the transaction was rejected by network rules.\n\n{refusal}");
                (BAD_REQUEST, words)
            })?;
            Ok(json!(transaction.compute_txid()))
        }
        other => Err((METHOD_NOT_FOUND, format!("unknown method \"{other}\""))),
    }
}

fn tip(shared: &Shared, ledger: &Ledger) -> Result<Value, Refused> {
    let height = shared.height(ledger);
    let header = shared.header(ledger, height).as_ref().map(encode::serialize_hex);
    Ok(json!({ "height": height, "hex": header }))
}

fn transaction(shared: &Shared, ledger: &Ledger, params: &Value) -> Result<Value, Refused> {
    let (txid, verbose): (Txid, Option<bool>) = (param(params, 0)?, param(params, 1)?);
    let verbose = verbose.unwrap_or_default();
    if verbose && !shared.serving.verbose {
        return Err((BAD_REQUEST, "verbose transactions are currently unsupported".to_owned()));
    }
    let found = shared.find(ledger, txid).ok_or_else(|| {
        let error = "{'code': -5, 'message': 'No such mempool or blockchain transaction. Use gettransaction for wallet transactions.'}";
        (DAEMON_ERROR, format!("daemon error: DaemonError({error})"))
    })?;
    if verbose {
        return Ok(shared.describe(ledger, found));
    }
    let (Found::Mempool(transaction) | Found::Mined { transaction, .. } | Found::Stale { transaction, .. }) =
        found;
    Ok(json!(encode::serialize_hex(transaction)))
}

/// The transactions that pay the script, or spend what pays it.
fn history(shared: &Shared, ledger: &Ledger, params: &Value) -> Result<Value, Refused> {
    let asked: sha256d::Hash = param(params, 0)?;
    let script_hash = sha256::Hash::from_byte_array(asked.to_byte_array());
    let blocks =
        Height(0).to(shared.height(ledger)).filter_map(|height| Some((height, ledger.block(height)?)));
    let mined = blocks.flat_map(|(height, block)| block.txdata.iter().map(move |tx| (height, tx)));
    let mut paid = BTreeSet::new();
    let mut entries = Vec::new();
    for (height, transaction) in
        mined.chain(ledger.mempool.iter().map(|transaction| (Height(0), transaction)))
    {
        let txid = transaction.compute_txid();
        let outputs = (0..).zip(&transaction.output);
        let pays =
            outputs.filter(|(_, output)| sha256::Hash::hash(output.script_pubkey.as_bytes()) == script_hash);
        let pays: Vec<_> = pays.map(|(vout, _)| bitcoin::OutPoint::new(txid, vout)).collect();
        let spends = transaction.input.iter().any(|input| paid.contains(&input.previous_output));
        if spends || !pays.is_empty() {
            entries.push(json!({ "tx_hash": txid, "height": height }));
        }
        paid.extend(pays);
    }
    Ok(entries.into())
}

fn list_unspent(shared: &Shared, ledger: &Ledger, params: &Value) -> Result<Value, Refused> {
    // It is written backwards.
    let asked: sha256d::Hash = param(params, 0)?;
    let script_hash = sha256::Hash::from_byte_array(asked.to_byte_array());
    let mined = ledger
        .coins()
        .filter(|(_, coin)| coin.script_hash == script_hash && coin.height <= shared.height(ledger))
        .map(|(outpoint, coin)| (outpoint, coin.height, coin.output.value));
    let waiting = ledger
        .waiting()
        .filter(|(_, output)| sha256::Hash::hash(output.script_pubkey.as_bytes()) == script_hash)
        .map(|(outpoint, output)| (outpoint, Height(0), output.value));
    let listed: Vec<_> = mined.chain(waiting).collect();
    if listed.len() > shared.serving.most_listed {
        return Err((BAD_REQUEST, "history too large".to_owned()));
    }
    let entry = |(outpoint, height, value): (bitcoin::OutPoint, Height, bitcoin::Amount)| json!({ "tx_hash": outpoint.txid, "tx_pos": outpoint.vout, "height": height, "value": value.to_sat() });
    Ok(listed.into_iter().map(entry).collect())
}
