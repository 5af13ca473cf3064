//! The traits through which a coordinator reaches everything outside. The node and the simulator implement them.

use std::{convert::Infallible, error::Error, fmt, future::Future, sync::Arc};

use alloy_primitives::Address;
use coxswain_protocol::{
    Assurance, ContentVerdict, Entry, EntryError, Generation, Received, SafeHashes, Window,
};
use coxswain_rules::{Action, KeyHash, Proposal, units::BlockNumber};

/// Answers a member's questions. A question that is given up is dropped, at any await.
pub trait Advisor: Send + Sync + 'static {
    /// The hash of the window's safe block, read anew, and how far it is to be believed.
    ///
    /// # Errors
    ///
    /// If the hash can't be read now. It is asked for again at the next block.
    fn safe_hash(
        &self,
        window: Window,
    ) -> impl Future<Output = Result<(SafeHashes, Assurance), Unread>> + Send;

    /// Makes a proposal of this action at the newest block.
    fn generate(
        &self,
        wallet: KeyHash,
        window: Window,
        action: Action,
    ) -> impl Future<Output = Generation> + Send;

    /// Judges a proposal's content at the newest block. Says at which one.
    fn judge(
        &self,
        wallet: KeyHash,
        window: Window,
        proposal: Arc<Proposal>,
    ) -> impl Future<Output = (ContentVerdict, BlockNumber)> + Send;
}

/// Why a safe block's hash can't be read now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the safe block's hash can't be read: {0}")]
pub struct Unread(pub String);

/// Keeps what a member must not forget.
pub trait Journal: Send + Sync + 'static {
    /// Why it can't be read or written.
    type Error: Error + Send + Sync + 'static;

    /// Returns the entries of a wallet, in the order in which they were written.
    ///
    /// # Errors
    ///
    /// If no entry of the wallet can be read. A single unreadable entry is an [`EntryError`] in its place.
    fn restore(
        &self,
        wallet: KeyHash,
    ) -> impl Future<Output = Result<Vec<Result<Entry, EntryError>>, Self::Error>> + Send;

    /// Writes an entry of a wallet, and returns once it is durable. Written twice it means the same as written once.
    ///
    /// # Errors
    ///
    /// If it may not have been written.
    fn append(&self, wallet: KeyHash, entry: Entry) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// A journal that takes all, and forgets it: for tests and measurements.
#[derive(Clone, Copy, Debug, Default)]
pub struct Forgetful;

impl Journal for Forgetful {
    type Error = Infallible;

    async fn restore(&self, _: KeyHash) -> Result<Vec<Result<Entry, EntryError>>, Infallible> {
        Ok(Vec::new())
    }

    async fn append(&self, _: KeyHash, _: Entry) -> Result<(), Infallible> {
        Ok(())
    }
}

/// A wallet's channel among its operators.
pub trait Channel: Send + 'static {
    /// Why an envelope isn't sent.
    type Error: fmt::Display + Send;

    /// Returns the next message. `None` if the channel has ended. The call may be cancelled at any await without losing a message.
    fn recv(&mut self) -> impl Future<Output = Option<Received>> + Send;

    /// Sends an envelope to all of the wallet's operators, in a new network message. It doesn't wait.
    ///
    /// # Errors
    ///
    /// If the envelope can't be sent. It is sent again at its next repetition.
    fn send(&mut self, envelope: &[u8]) -> Result<(), Self::Error>;

    /// Takes the newest block. Gives the links that changed since the last one; at the first, all that stand.
    fn on_block(&mut self, block: BlockNumber) -> Vec<Link>;
}

/// A change of the link to an operator. A link that broke and stands again between two blocks is both, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// It is complete.
    Up(Address),
    /// It no longer is.
    Down(Address),
}
