//! A transaction as signers other than ours take it (BIP 174).

use bitcoin::{EcdsaSighashType, Psbt, Transaction, psbt};

use super::unsigned::{Lock, UnsignedTransaction};

impl UnsignedTransaction {
    /// The transaction with all that a signer needs: of each input what it spends, and the deposit's script.
    ///
    /// `funding` are the transactions whose outputs are spent; a signer insists on them for P2SH inputs only.
    pub fn psbt(&self, funding: &[Transaction]) -> Psbt {
        let mut psbt = Psbt::from_unsigned_tx(self.transaction().clone())
            .expect("no input has a script or a witness before it is signed");
        let prevouts = self.prevouts();
        for ((input, spend), prevout) in psbt.inputs.iter_mut().zip(self.spends()).zip(prevouts) {
            let txid = spend.utxo.outpoint.txid;
            let (witness_utxo, redeem_script, witness_script) = match &spend.lock {
                Lock::Wallet => (Some(prevout), None, None),
                Lock::DepositP2sh(script) => (None, Some(script.as_script().to_owned()), None),
                Lock::DepositP2wsh(script) => (Some(prevout), None, Some(script.as_script().to_owned())),
            };
            *input = psbt::Input {
                non_witness_utxo: funding
                    .iter()
                    .find(|transaction| transaction.compute_txid() == txid)
                    .cloned(),
                witness_utxo,
                redeem_script,
                witness_script,
                sighash_type: Some(EcdsaSighashType::All.into()),
                ..psbt::Input::default()
            };
        }
        psbt
    }
}
