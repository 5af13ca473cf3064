//! The trait of everything that answers questions about Bitcoin, and how far each answer is to be believed.

use std::future::Future;

use bitcoin::{FeeRate, OutPoint, Transaction, block::Header};
use coxswain_rules::{
    Assured, RelayMinimum,
    units::{Confirmations, Height},
};

use crate::{Answers, BackendError, Coinbase, Cursor, MerkleBranch, Mined, Output, Search, Tip};

/// A transaction that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The transaction, whose txid is the one asked for.
    pub transaction: Transaction,
    /// In how many blocks of the best chain it is buried, its own included; 0 in the mempool.
    pub confirmations: Confirmations,
}

/// What fees are held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fees {
    /// The least rates for relaying a transaction.
    pub relay_minimum: RelayMinimum,
    /// The rate for confirmation in the next block; `None` if nobody can tell.
    pub next_block: Option<FeeRate>,
}

/// Bitcoin, as far as it is known. Each call is a bounded number of round trips, however many items it asks for.
pub trait Backend: Send + Sync {
    /// The newest block.
    fn tip(&self) -> impl Future<Output = Result<Tip, BackendError>> + Send;

    /// What fees are held against now.
    fn fees(&self) -> impl Future<Output = Result<Assured<Fees>, BackendError>> + Send;

    /// The transaction of each output; `None` if neither a block of the best chain nor the mempool has it. No address history is
    /// asked for.
    fn transactions(
        &self,
        outpoints: &[OutPoint],
    ) -> impl Future<Output = Result<Answers<Assured<Option<Known>>>, BackendError>> + Send;

    /// Whether each output exists and no transaction spends it, the mempool included.
    fn unspent(
        &self,
        outputs: &[Output],
    ) -> impl Future<Output = Result<Answers<Assured<bool>>, BackendError>> + Send;

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
    /// A spender that is found with a height is in that block. One without is signed by the output's owner, as far as any server
    /// shows the output. That there is none is a word.
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

    /// Hands the transaction to the network. It is no error if that has it already.
    fn broadcast(&self, transaction: &Transaction) -> impl Future<Output = Result<(), BackendError>> + Send;
}

/// So that several can ask one.
impl<B: Backend> Backend for &B {
    async fn tip(&self) -> Result<Tip, BackendError> {
        B::tip(self).await
    }

    async fn fees(&self) -> Result<Assured<Fees>, BackendError> {
        B::fees(self).await
    }

    async fn transactions(
        &self,
        outpoints: &[OutPoint],
    ) -> Result<Answers<Assured<Option<Known>>>, BackendError> {
        B::transactions(self, outpoints).await
    }

    async fn unspent(&self, outputs: &[Output]) -> Result<Answers<Assured<bool>>, BackendError> {
        B::unspent(self, outputs).await
    }

    async fn branches(&self, mined: &[Mined]) -> Result<Answers<MerkleBranch>, BackendError> {
        B::branches(self, mined).await
    }

    async fn coinbase(&self, height: Height) -> Result<Coinbase, BackendError> {
        B::coinbase(self, height).await
    }

    async fn spender(&self, spent: &Output, from: Cursor) -> Result<Search, BackendError> {
        B::spender(self, spent, from).await
    }

    async fn headers(&self, start: Height, count: u32) -> Result<Vec<Header>, BackendError> {
        B::headers(self, start, count).await
    }

    async fn broadcast(&self, transaction: &Transaction) -> Result<(), BackendError> {
        B::broadcast(self, transaction).await
    }
}
