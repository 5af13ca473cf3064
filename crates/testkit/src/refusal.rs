//! Why the Bitcoin chain refuses a transaction.

use bitcoin::{Amount, OutPoint, Txid};

/// Why a transaction is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It waits already.
    #[error("it is in the mempool already")]
    Waits,
    /// It is in a block already.
    #[error("it is in a block already")]
    Mined,
    /// It spends what is not there, or what is spent.
    #[error("{0} is spent or was never there")]
    Missing(OutPoint),
    /// It spends what a transaction of the mempool spends.
    #[error("{outpoint} is spent by {by} in the mempool")]
    Conflict {
        /// What both spend.
        outpoint: OutPoint,
        /// The other one.
        by: Txid,
    },
    /// It spends a coinbase too early.
    #[error("{0} is of a coinbase under 100 blocks deep")]
    Immature(OutPoint),
    /// It may not spend what it spends.
    #[error("the script of input {index} fails")]
    Script {
        /// Which input.
        index: usize,
    },
    /// It pays more than it spends.
    #[error("it pays more than it spends")]
    Value,
    /// Its fee is too low to wait for a block.
    #[error("its fee is {} sat, at least {} sat needed", fee.to_sat(), least.to_sat())]
    Fee {
        /// What it pays.
        fee: Amount,
        /// What is the least.
        least: Amount,
    },
}
