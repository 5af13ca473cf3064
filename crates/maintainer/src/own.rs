//! Whether the wallet itself spent an output, or somebody else who may: a deposit can be taken back.

use bitcoin::OutPoint;
use bitcoin::{PublicKey, Script, Transaction, TxIn, hashes::Hash, script::Instruction};
use coxswain_rules::KeyHash;

/// Whether the transaction's input that spends this output shows the wallet's public key.
pub(crate) fn is_spent_by(transaction: &Transaction, outpoint: OutPoint, wallet: KeyHash) -> bool {
    let input = transaction.input.iter().find(|input| input.previous_output == outpoint);
    input.is_some_and(|input| shows_key(input, wallet))
}

fn shows_key(input: &TxIn, wallet: KeyHash) -> bool {
    let is_key = |bytes: &[u8]| {
        PublicKey::from_slice(bytes).is_ok_and(|key| key.pubkey_hash().to_byte_array() == wallet.0)
    };
    let pushed = |script: &Script| {
        script.instructions().filter_map(Result::ok).any(|instruction| match instruction {
            Instruction::PushBytes(bytes) => is_key(bytes.as_bytes()),
            Instruction::Op(_) => false,
        })
    };
    input.witness.iter().any(is_key) || pushed(&input.script_sig)
}
