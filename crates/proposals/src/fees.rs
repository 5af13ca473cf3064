//! The fee that a transaction is proposed with.

use bitcoin::FeeRate;
use coxswain_rules::{Amount, FeeConditions, FeeError, UnsignedTransaction};

/// What fees are computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fees {
    /// What Bitcoin says.
    pub conditions: FeeConditions,
    /// The rate where Bitcoin has no estimate.
    pub fallback: FeeRate,
}

impl Fees {
    /// The fee of this transaction, within what relays and what the Bridge allows.
    pub(crate) fn propose(
        &self,
        unsigned: &UnsignedTransaction,
        maximum: Amount,
    ) -> Result<Amount, FeeError> {
        self.conditions.propose(unsigned.vsize(), self.fallback, maximum)
    }
}
