//! What is asked of Bitcoin, whoever answers.

use std::future::Future;

use bitcoin::{BlockHash, FeeRate, OutPoint, ScriptBuf, Transaction, Txid, block::Header};

/// The newest block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Its height.
    pub height: u32,
    /// Its header.
    pub header: Header,
}

/// A transaction that the backend knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The transaction, whose txid is the one asked for.
    pub transaction: Transaction,
    /// In how many blocks it is buried, its own included; 0 in the mempool.
    pub confirmations: u32,
}

/// An output, with its script: some backends find it by that.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Output {
    /// Which output.
    pub outpoint: OutPoint,
    /// What locks it.
    pub script: ScriptBuf,
}

/// What fees are held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeRates {
    /// The backend's own least rate for relaying a transaction.
    pub relay_minimum: FeeRate,
    /// The rate for confirmation in the next block; none when the backend can't tell.
    pub next_block: Option<FeeRate>,
}

/// Why there is no usable answer: nothing may be concluded from it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// Nobody answers.
    #[error("{method}: can't reach {endpoint}: {cause}")]
    Unreachable {
        /// What was asked.
        method: &'static str,
        /// The endpoint's host and port.
        endpoint: String,
        /// What went wrong.
        cause: String,
    },
}

/// A Bitcoin node or server, or several of them. Each call is a bounded number of round trips, however many items it asks
/// for. An error inside the list is one item's: the others stand.
pub trait Backend: Send + Sync {
    /// The newest block.
    fn tip(&self) -> impl Future<Output = Result<Tip, BackendError>> + Send;

    /// The transactions, each in its place; none where neither a block of the best chain nor the mempool has it. No
    /// address history is asked for.
    fn transactions(
        &self,
        txids: &[Txid],
    ) -> impl Future<Output = Result<Vec<Result<Option<Known>, BackendError>>, BackendError>> + Send;

    /// Whether each output exists and no transaction spends it, the mempool included.
    fn unspent(
        &self,
        outputs: &[Output],
    ) -> impl Future<Output = Result<Vec<Result<bool, BackendError>>, BackendError>> + Send;

    /// What fees are held against now.
    fn fee_rates(&self) -> impl Future<Output = Result<FeeRates, BackendError>> + Send;

    /// `count` headers from the height `start` on; fewer where the chain ends before.
    fn headers(
        &self,
        start: u32,
        count: u32,
    ) -> impl Future<Output = Result<Vec<Header>, BackendError>> + Send;

    /// Hands the transaction to the network. It is no error when the backend has it already.
    fn broadcast(&self, transaction: &Transaction) -> impl Future<Output = Result<(), BackendError>> + Send;

    /// The block at the height that is the chain's identity: the genesis block's hash.
    fn genesis(&self) -> impl Future<Output = Result<BlockHash, BackendError>> + Send;
}
