//! A wallet's main UTXO, which the Bridge knows only by its hash: found among the transactions that the Bridge itself has
//! recorded, never in an address's history, which anyone can flood.

use alloy_primitives::B256;
use bitcoin::Transaction;
use coxswain_rules::{KeyHash, OutPoint, Utxo, main_utxo_hash, wallet_script};

/// The output of the transaction that hashes to what the Bridge stores; none when no output does.
pub fn main_utxo_in(transaction: &Transaction, wallet: KeyHash, hash: B256) -> Option<Utxo> {
    let script = wallet_script(wallet);
    let txid = transaction.compute_txid();
    (0..)
        .zip(&transaction.output)
        .filter(|(_, output)| output.script_pubkey == script)
        .map(|(vout, output)| Utxo { outpoint: OutPoint::new(txid, vout), value: output.value })
        .find(|utxo| main_utxo_hash(utxo) == hash)
}
