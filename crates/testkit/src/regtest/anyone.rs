//! Coins that anyone can spend: outputs that no key locks, yet of a standard kind (P2WSH of `OP_TRUE`).

use bitcoin::{
    Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness, absolute, opcodes::OP_TRUE,
    script::Builder, transaction,
};

/// What the rate of a paying transaction is, in satoshis per virtual byte: over any node's minimum.
const RATE: u64 = 2;
/// Less is not worth an output.
const LEAST_CHANGE: Amount = Amount::from_sat(10_000);

fn witness_script() -> ScriptBuf {
    Builder::new().push_opcode(OP_TRUE).into_script()
}

/// What locks such a coin.
pub(super) fn script_pubkey() -> ScriptBuf {
    witness_script().to_p2wsh()
}

/// A transaction that pays these outputs, before the change, from as many of the coins as it takes. `None` if they don't
/// suffice.
pub(super) fn pay(
    outputs: &[TxOut],
    coins: impl IntoIterator<Item = (OutPoint, Amount)>,
) -> Option<Transaction> {
    let change = TxOut { value: Amount::ZERO, script_pubkey: script_pubkey() };
    let mut transaction = Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: Vec::new(),
        output: [outputs.to_vec(), vec![change]].concat(),
    };
    let paid = outputs.iter().try_fold(Amount::ZERO, |sum, output| sum.checked_add(output.value))?;
    let mut had = Amount::ZERO;
    for (previous_output, value) in coins {
        had = had.checked_add(value)?;
        transaction.input.push(TxIn {
            previous_output,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            witness: Witness::from_slice(&[witness_script().as_bytes()]),
        });
        let vsize = u64::try_from(transaction.vsize()).ok()?;
        let spent = paid.checked_add(Amount::from_sat(RATE.checked_mul(vsize)?))?;
        if let Some(left) = had.checked_sub(spent).filter(|&left| left >= LEAST_CHANGE) {
            transaction.output.last_mut()?.value = left;
            return Some(transaction);
        }
    }
    None
}
