//! Whether a transaction that is shown spends an output for good: valid for the output's script by Bitcoin Core's own code, and
//! final in the next block. Pure.
//!
//! That shows that whoever can spend the output has signed it away. It does not show that the transaction's other inputs are there:
//! only who holds the output's key could make up such a transaction.

use std::collections::BTreeSet;

use bitcoin::{Amount, OutPoint, Sequence, Transaction, TxOut, absolute::LockTime, consensus::encode};
use coxswain_rules::units::Height;

/// No mempool takes a heavier one.
const MOST_WEIGHT: u64 = 400_000;

/// The next block, as far as a transaction's finality depends on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NextBlock {
    /// Its height.
    pub(crate) height: Height,
    /// The median time of the eleven blocks before; `None` if it isn't known.
    pub(crate) median_time: Option<u32>,
}

/// Whether the transaction spends this output, which is mined, so that the next block can have it.
///
/// An input that waits for others to grow old (a relative lock, BIP 68) is not looked into: such a transaction proves nothing. Nor
/// does one that spends an output of a kind that this code would let anyone spend.
pub(crate) fn is_spent_by(
    transaction: &Transaction,
    outpoint: OutPoint,
    spent: &TxOut,
    next: NextBlock,
) -> bool {
    let script = &spent.script_pubkey;
    let is_known_kind = script.is_p2pkh() || script.is_p2sh() || script.is_p2wpkh() || script.is_p2wsh();
    let Some(index) = transaction.input.iter().position(|input| input.previous_output == outpoint) else {
        return false;
    };
    if !is_known_kind || !is_sane(transaction) || !is_final(transaction, next) {
        return false;
    }
    let bytes = encode::serialize(transaction);
    let flags = bitcoinconsensus::VERIFY_ALL_PRE_TAPROOT;
    let value = spent.value.to_sat();
    bitcoinconsensus::verify_with_flags(script.as_bytes(), value, &bytes, None, index, flags).is_ok()
}

/// Whether it is a transaction at all, its inputs aside.
fn is_sane(transaction: &Transaction) -> bool {
    let mut inputs = BTreeSet::new();
    let paid = transaction.output.iter().try_fold(Amount::ZERO, |sum, output| sum.checked_add(output.value));
    transaction.weight().to_wu() <= MOST_WEIGHT
        && !transaction.output.is_empty()
        && paid.is_some_and(|paid| paid <= Amount::MAX_MONEY)
        && transaction
            .input
            .iter()
            .all(|input| !input.previous_output.is_null() && inputs.insert(input.previous_output))
}

/// Whether the next block can have it, by its lock time, and by its inputs' sequence numbers.
fn is_final(transaction: &Transaction, next: NextBlock) -> bool {
    let is_locked = match transaction.lock_time {
        LockTime::Blocks(height) => {
            height.to_consensus_u32() != 0 && height.to_consensus_u32() >= next.height.0
        }
        LockTime::Seconds(time) => {
            next.median_time.is_none_or(|median_time| time.to_consensus_u32() >= median_time)
        }
    };
    let mut sequences = transaction.input.iter().map(|input| input.sequence);
    let is_released = sequences.clone().all(|sequence| sequence == Sequence::MAX);
    // Consensus reads the version without its sign, so that a negative one is a high one.
    let waits = !(0..2).contains(&transaction.version.0)
        && sequences.any(|sequence| {
            sequence.to_relative_lock_time().is_some_and(|lock| lock.to_consensus_u32() & 0xffff != 0)
        });
    (!is_locked || is_released) && !waits
}

#[cfg(test)]
mod tests {
    use bitcoin::{
        CompressedPublicKey, EcdsaSighashType, PublicKey, ScriptBuf, TxIn, Witness,
        hashes::Hash as _,
        secp256k1::{Message, Secp256k1, SecretKey},
        sighash::SighashCache,
        transaction::Version,
    };

    use super::*;

    const NEXT: NextBlock = NextBlock { height: Height(900_001), median_time: Some(1_750_000_000) };

    fn secret(seed: u8) -> SecretKey {
        SecretKey::from_slice(&[seed; 32]).unwrap()
    }

    fn public(seed: u8) -> CompressedPublicKey {
        CompressedPublicKey(secret(seed).public_key(&Secp256k1::new()))
    }

    fn outpoint() -> OutPoint {
        OutPoint::new(bitcoin::Txid::hash(b"funding"), 1)
    }

    /// Of key 1, by its kind.
    fn output(is_segwit: bool) -> TxOut {
        let key = public(1);
        let script_pubkey = if is_segwit {
            ScriptBuf::new_p2wpkh(&key.wpubkey_hash())
        } else {
            ScriptBuf::new_p2pkh(&key.pubkey_hash())
        };
        TxOut { value: Amount::from_sat(50_000), script_pubkey }
    }

    fn unsigned() -> Transaction {
        let input = TxIn { previous_output: outpoint(), sequence: Sequence::MAX, ..TxIn::default() };
        let paid = TxOut { value: Amount::from_sat(40_000), script_pubkey: output(true).script_pubkey };
        Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![input],
            output: vec![paid],
        }
    }

    /// Signed by the key of this seed.
    fn signed(mut transaction: Transaction, is_segwit: bool, seed: u8) -> Transaction {
        let (secp, spent, sighash) = (Secp256k1::new(), output(is_segwit), EcdsaSighashType::All);
        let mut cache = SighashCache::new(&transaction);
        let digest: [u8; 32] = if is_segwit {
            cache
                .p2wpkh_signature_hash(0, &spent.script_pubkey, spent.value, sighash)
                .unwrap()
                .to_byte_array()
        } else {
            cache.legacy_signature_hash(0, &spent.script_pubkey, sighash.to_u32()).unwrap().to_byte_array()
        };
        let signature = bitcoin::ecdsa::Signature {
            signature: secp.sign_ecdsa(&Message::from_digest(digest), &secret(seed)),
            sighash_type: sighash,
        };
        // The right key is shown, whoever has signed.
        if is_segwit {
            transaction.input[0].witness = Witness::p2wpkh(&signature, &public(1).0);
        } else {
            let key = PublicKey::new(public(1).0);
            transaction.input[0].script_sig = bitcoin::script::Builder::new()
                .push_slice(signature.serialize())
                .push_key(&key)
                .into_script();
        }
        transaction
    }

    fn spends(transaction: &Transaction, is_segwit: bool) -> bool {
        is_spent_by(transaction, outpoint(), &output(is_segwit), NEXT)
    }

    #[test]
    fn inc_47_a_spender_is_one_that_the_outputs_own_key_has_signed() {
        for is_segwit in [true, false] {
            let good = signed(unsigned(), is_segwit, 1);
            assert!(spends(&good, is_segwit));
            assert!(!spends(&signed(unsigned(), is_segwit, 2), is_segwit), "another key");
            assert!(!spends(&unsigned(), is_segwit), "not signed");
            let mut bent = good.clone();
            bent.output[0].value = Amount::from_sat(39_999);
            assert!(!spends(&bent, is_segwit), "changed after it was signed");
            let other = OutPoint { vout: 0, ..outpoint() };
            assert!(!is_spent_by(&good, other, &output(is_segwit), NEXT), "another output");
            assert!(!spends(&good, !is_segwit), "another script");
            let mut twice = good.clone();
            twice.input.push(good.input[0].clone());
            assert!(!spends(&twice, is_segwit));
        }
        let richer = TxOut { value: Amount::from_sat(50_001), ..output(true) };
        assert!(!is_spent_by(&signed(unsigned(), true, 1), outpoint(), &richer, NEXT), "another value");
    }

    #[test]
    fn inc_47_what_anyone_could_seem_to_spend_proves_nothing() {
        let taproot = ScriptBuf::new_witness_program(
            &bitcoin::WitnessProgram::new(bitcoin::WitnessVersion::V1, &[7; 32]).unwrap(),
        );
        let anyone = bitcoin::script::Builder::new().push_opcode(bitcoin::opcodes::OP_TRUE).into_script();
        for script_pubkey in [taproot, anyone] {
            let spent = TxOut { script_pubkey, ..output(true) };
            assert!(!is_spent_by(&unsigned(), outpoint(), &spent, NEXT));
        }
        let empty = Transaction { output: Vec::new(), ..unsigned() };
        assert!(!spends(&signed(empty, true, 1), true));
    }

    #[test]
    fn inc_47_a_spender_is_final_in_the_next_block() {
        let locked = |lock_time, sequence| {
            let mut transaction = Transaction { lock_time, ..unsigned() };
            transaction.input[0].sequence = sequence;
            spends(&signed(transaction, true, 1), true)
        };
        let height = |height| LockTime::from_height(height).unwrap();
        let time = |time| LockTime::from_time(time).unwrap();
        let rbf = Sequence::ENABLE_RBF_NO_LOCKTIME;
        assert!(locked(height(900_000), rbf) && !locked(height(900_001), rbf));
        assert!(locked(time(1_749_999_999), rbf) && !locked(time(1_750_000_000), rbf));
        // If no input heeds it, the lock is none.
        assert!(locked(height(900_001), Sequence::MAX) && locked(time(1_750_000_000), Sequence::MAX));
        // Relative locks.
        let none = LockTime::ZERO;
        assert!(locked(none, Sequence::from_consensus(0)) && !locked(none, Sequence::from_consensus(1)));
        assert!(!locked(none, Sequence::from_512_second_intervals(1)));
        assert!(locked(none, Sequence::from_consensus(1 << 31 | 1)), "the lock is turned off");
        let mut old = Transaction { version: Version::ONE, ..unsigned() };
        old.input[0].sequence = Sequence::from_consensus(1);
        assert!(spends(&signed(old.clone(), true, 1), true), "version 1 has no such locks");
        old.version = Version::non_standard(-1);
        assert!(!spends(&signed(old, true, 1), true), "a negative version is a high one");
        // Without a clock, what waits for a time proves nothing.
        let timed = Transaction { lock_time: time(1_600_000_000), ..unsigned() };
        let mut timed_rbf = timed;
        timed_rbf.input[0].sequence = rbf;
        let signed = signed(timed_rbf, true, 1);
        assert!(spends(&signed, true));
        let blind = NextBlock { median_time: None, ..NEXT };
        assert!(!is_spent_by(&signed, outpoint(), &output(true), blind));
    }
}
