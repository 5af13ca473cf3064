//! A transaction as Bitcoin Core describes it, which Electrum servers hand through.

use bitcoin::{BlockHash, Transaction, Txid};
use coxswain_rules::units::Confirmations;
use serde::Deserialize;

use crate::check;

/// The fields of a verbose `getrawtransaction` that are read.
#[derive(Deserialize)]
pub(crate) struct Verbose {
    hex: String,
    #[serde(default)]
    blockhash: Option<BlockHash>,
    #[serde(default)]
    confirmations: Option<i64>,
    #[serde(default)]
    in_active_chain: Option<bool>,
}

/// A transaction's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Mempool,
    Block {
        /// At least 1.
        confirmations: Confirmations,
    },
    /// In a block that is not of the best chain: an index may remember it.
    Nowhere,
}

impl Verbose {
    pub(crate) fn transaction(&self, txid: Txid) -> Result<Transaction, String> {
        check::transaction(&self.hex, txid)
    }

    pub(crate) fn place(&self) -> Place {
        let confirmations = u32::try_from(self.confirmations.unwrap_or_default()).unwrap_or_default();
        match self.blockhash {
            None => Place::Mempool,
            Some(_) if confirmations > 0 && self.in_active_chain != Some(false) => {
                Place::Block { confirmations: Confirmations(confirmations) }
            }
            Some(_) => Place::Nowhere,
        }
    }
}

/// Whether a refusal says that there is no such transaction, having looked everywhere. There is no code for it: these are
/// the words of Bitcoin Core with an index of transactions, of btcd, and of Blockstream's electrs. Other words are taken for
/// not knowing.
pub(crate) fn says_absent(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    [
        "no such mempool or blockchain transaction",
        "no information available about transaction",
        "missing transaction",
    ]
    .iter()
    .any(|words| message.contains(words))
}
