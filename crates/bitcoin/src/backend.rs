//! What is asked of Bitcoin, whoever answers.

use std::future::Future;

use bitcoin::{BlockHash, FeeRate, OutPoint, ScriptBuf, Transaction, Txid, block::Header};

use crate::{BackendError, Cursor, MerkleBranch, Search};

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
    /// In how many blocks of the best chain it is buried, its own included; 0 in the mempool.
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

/// A transaction that is in a block of the best chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mined {
    /// Which transaction.
    pub txid: Txid,
    /// The block's height.
    pub height: u32,
}

/// A block's first transaction, and what proves that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coinbase {
    /// The transaction.
    pub transaction: Transaction,
    /// The branch that leads to it.
    pub branch: MerkleBranch,
}

/// What fees are held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeRates {
    /// The backend's own least rate for relaying a transaction.
    pub relay_minimum: FeeRate,
    /// The rate for confirmation in the next block. `None` if the backend can't tell.
    pub next_block: Option<FeeRate>,
}

/// Where the chain stands, and what it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// The newest block.
    pub tip: Tip,
    /// What fees are held against.
    pub fee_rates: FeeRates,
}

/// The answer to each item of a list, in its place. An error is one item's: the others stand.
pub type Answers<T> = Vec<Result<T, BackendError>>;

/// A Bitcoin node or server, or several of them. Each call is a bounded number of round trips, however many items it asks
/// for.
pub trait Backend: Send + Sync {
    /// The newest block, and what fees are held against now.
    fn conditions(&self) -> impl Future<Output = Result<Conditions, BackendError>> + Send;

    /// The transaction of each output. `None` if neither a block of the best chain nor the mempool has it. No address
    /// history is asked for.
    ///
    /// A backend without an index of transactions finds one by its output while that is unspent, and otherwise can't tell:
    /// [`BackendError::Unindexed`].
    fn transactions(
        &self,
        outpoints: &[OutPoint],
    ) -> impl Future<Output = Result<Answers<Option<Known>>, BackendError>> + Send;

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
    fn coinbase(&self, height: u32) -> impl Future<Output = Result<Coinbase, BackendError>> + Send;

    /// One step of the search for the transaction that spends this output. It begins at the height of the block that made it.
    fn spender(
        &self,
        spent: &Output,
        from: Cursor,
    ) -> impl Future<Output = Result<Search, BackendError>> + Send;

    /// `count` headers from the height `start` on, each on the one before; fewer where the chain ends before.
    fn headers(
        &self,
        start: u32,
        count: u32,
    ) -> impl Future<Output = Result<Vec<Header>, BackendError>> + Send;

    /// Hands the transaction to the network. It is no error when the backend has it already.
    fn broadcast(&self, transaction: &Transaction) -> impl Future<Output = Result<(), BackendError>> + Send;

    /// The chain's identity: the genesis block's hash.
    fn genesis(&self) -> impl Future<Output = Result<BlockHash, BackendError>> + Send;

    /// The newest block.
    fn tip(&self) -> impl Future<Output = Result<Tip, BackendError>> + Send {
        async { self.conditions().await.map(|conditions| conditions.tip) }
    }

    /// What fees are held against now.
    fn fee_rates(&self) -> impl Future<Output = Result<FeeRates, BackendError>> + Send {
        async { self.conditions().await.map(|conditions| conditions.fee_rates) }
    }
}

/// So that several can ask one.
impl<B: Backend> Backend for &B {
    async fn conditions(&self) -> Result<Conditions, BackendError> {
        B::conditions(self).await
    }

    async fn transactions(&self, outpoints: &[OutPoint]) -> Result<Answers<Option<Known>>, BackendError> {
        B::transactions(self, outpoints).await
    }

    async fn unspent(&self, outputs: &[Output]) -> Result<Answers<bool>, BackendError> {
        B::unspent(self, outputs).await
    }

    async fn branches(&self, mined: &[Mined]) -> Result<Answers<MerkleBranch>, BackendError> {
        B::branches(self, mined).await
    }

    async fn coinbase(&self, height: u32) -> Result<Coinbase, BackendError> {
        B::coinbase(self, height).await
    }

    async fn spender(&self, spent: &Output, from: Cursor) -> Result<Search, BackendError> {
        B::spender(self, spent, from).await
    }

    async fn headers(&self, start: u32, count: u32) -> Result<Vec<Header>, BackendError> {
        B::headers(self, start, count).await
    }

    async fn broadcast(&self, transaction: &Transaction) -> Result<(), BackendError> {
        B::broadcast(self, transaction).await
    }

    async fn genesis(&self) -> Result<BlockHash, BackendError> {
        B::genesis(self).await
    }
}
