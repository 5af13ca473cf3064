//! The questions to one server. Each answer is the word of that server. [`Backends`](crate::Backends) decides what to believe from
//! several of them.

use std::future::Future;

use bitcoin::{BlockHash, FeeRate, OutPoint, ScriptBuf, Transaction, Txid, block::Header};
use coxswain_rules::units::Height;

use crate::{BackendError, Cursor, MerkleBranch, Search};

/// The newest block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Its height.
    pub height: Height,
    /// Its header.
    pub header: Header,
}

/// A transaction that a server shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The transaction, whose txid is the one asked for.
    pub transaction: Transaction,
    /// The height of the block that is said to have it; `None` in the mempool.
    pub height: Option<Height>,
}

/// An output, with its script: some servers find it by that.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Output {
    /// Which output.
    pub outpoint: OutPoint,
    /// The script that locks it.
    pub script: ScriptBuf,
}

/// A transaction that is in a block of the best chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mined {
    /// Which transaction.
    pub txid: Txid,
    /// The block's height.
    pub height: Height,
}

/// A block's first transaction, and what proves that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coinbase {
    /// The transaction.
    pub transaction: Transaction,
    /// The branch that leads to it.
    pub branch: MerkleBranch,
}

/// A server's answer about fees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeRates {
    /// The server's own least rate for relaying a transaction.
    pub relay_minimum: FeeRate,
    /// The rate for confirmation in the next block; `None` if the server can't tell.
    pub next_block: Option<FeeRate>,
}

/// The answer to each item of a list, in its place. An error is one item's: the others stand.
pub type Answers<T> = Vec<Result<T, BackendError>>;

/// One Bitcoin node or server. Each call is a bounded number of round trips, however many items it asks for.
pub trait Server: Send + Sync {
    /// The chain's identity: the genesis block's hash.
    fn genesis(&self) -> impl Future<Output = Result<BlockHash, BackendError>> + Send;

    /// The newest block.
    fn tip(&self) -> impl Future<Output = Result<Tip, BackendError>> + Send;

    /// What fees are held against now.
    fn fee_rates(&self) -> impl Future<Output = Result<FeeRates, BackendError>> + Send;

    /// The transaction of each output, and where it is; `None` if it is neither in a block of the best chain nor in the
    /// mempool. No address history is asked for.
    ///
    /// A server without an index of transactions finds one by its output while that is unspent, and otherwise can't tell:
    /// [`BackendError::Unindexed`].
    fn sightings(
        &self,
        outpoints: &[OutPoint],
    ) -> impl Future<Output = Result<Answers<Option<Sighting>>, BackendError>> + Send;

    /// Whether each output exists and no transaction spends it, the mempool included.
    fn unspent(&self, outputs: &[Output])
    -> impl Future<Output = Result<Answers<bool>, BackendError>> + Send;

    /// The branch of the Merkle tree that leads to each transaction, in the block of the best chain that has it. It proves
    /// nothing by itself: [`MerkleBranch::prove`] holds it against the block's header.
    fn branches(
        &self,
        mined: &[Mined],
    ) -> impl Future<Output = Result<Answers<MerkleBranch>, BackendError>> + Send;

    /// The coinbase of the best chain's block at this height. Its branch proves nothing by itself, as with
    /// [`branches`](Self::branches).
    fn coinbase(&self, height: Height) -> impl Future<Output = Result<Coinbase, BackendError>> + Send;

    /// One step of the search for the transaction that spends this output. It begins at the height of the block that made it.
    fn spender(
        &self,
        spent: &Output,
        from: Cursor,
    ) -> impl Future<Output = Result<Search, BackendError>> + Send;

    /// `count` headers from the height `start` on, each on the one before; fewer where the chain ends before.
    fn headers(
        &self,
        start: Height,
        count: u32,
    ) -> impl Future<Output = Result<Vec<Header>, BackendError>> + Send;

    /// The header at each of these heights.
    fn headers_at(
        &self,
        heights: &[Height],
    ) -> impl Future<Output = Result<Answers<Header>, BackendError>> + Send;

    /// Hands the transaction to the network. It is no error if the server has it already.
    fn broadcast(&self, transaction: &Transaction) -> impl Future<Output = Result<(), BackendError>> + Send;
}
