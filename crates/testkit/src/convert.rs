//! Ours as the Bridge's structs.

use alloy::primitives::Bytes;
use bitcoin::{ScriptBuf, consensus::encode, hashes::Hash};
use coxswain_bindings::bridge::{Info, UTXO};
use coxswain_rules::{FundingTransaction, Utxo};

pub(crate) fn info(transaction: FundingTransaction) -> Info {
    Info {
        version: transaction.version.into(),
        inputVector: transaction.input_vector.into(),
        outputVector: transaction.output_vector.into(),
        locktime: transaction.locktime.into(),
    }
}

/// The Bridge takes zeros for no main UTXO.
pub(crate) fn utxo(utxo: Option<Utxo>) -> UTXO {
    utxo.map_or_else(UTXO::default, |utxo| UTXO {
        txHash: utxo.outpoint.txid.to_byte_array().into(),
        txOutputIndex: utxo.outpoint.vout,
        txOutputValue: utxo.value.to_sat(),
    })
}

/// The Bridge takes a redeemer's script behind its length.
pub(crate) fn length_prefixed(script: &ScriptBuf) -> Bytes {
    encode::serialize(script).into()
}
