//! What can go wrong while a world is built or acted in.

use std::{io, path::PathBuf, time::Duration};

use alloy::primitives::Address;
use bitcoin::Txid;
use coxswain_ethereum::{ChainError, ConnectError};
use coxswain_rules::{KeyHash, MissingError, SignError, TransactionError};

use crate::refusal::Refusal;

/// What can go wrong while a world is built or acted in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that an installation or a build leaves behind is not there.
    #[error("{} is missing: run `{command}`", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
        /// What brings it.
        command: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// npm has no anvil for this platform; `COXSWAIN_ANVIL` can name one.
    #[error("there is no anvil for {os} on {arch}: set COXSWAIN_ANVIL to the path of one")]
    NoAnvil {
        /// The operating system, as Rust names it.
        os: &'static str,
        /// The processor architecture, as Rust names it.
        arch: &'static str,
    },
    /// anvil did not start.
    #[error("anvil ({}) did not start: {what}", path.display())]
    Anvil {
        /// The program.
        path: PathBuf,
        /// What it, or the system, said.
        what: String,
    },
    /// geth did not start.
    #[error("geth ({}) did not start: {what}", path.display())]
    Geth {
        /// The program.
        path: PathBuf,
        /// What it, or the system, said.
        what: String,
    },
    /// A contract's artifact is not what a compiler writes.
    #[error("{} is not a contract's artifact: {what}", path.display())]
    Artifact {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A server of the world's does not answer what it is asked.
    #[error("{method}: {what}")]
    Unanswered {
        /// The method, or the contract's function.
        method: String,
        /// What it, or the way to it, says instead.
        what: String,
    },
    /// A contract refused a transaction.
    #[error("{what} from {from} reverted: {reason}")]
    Reverted {
        /// The function, or the contract being created.
        what: String,
        /// The sender.
        from: Address,
        /// What the chain says when the transaction is called again.
        reason: String,
    },
    /// The chain left out what it always gives.
    #[error("the chain gave no {0}")]
    Absent(&'static str),
    /// The Bitcoin chain refuses a transaction.
    #[error("transaction {txid}: {refusal}")]
    Refused {
        /// Which one.
        txid: Txid,
        /// Why.
        refusal: Refusal,
    },
    /// A peer refuses what it is handed.
    #[error("{peer} refuses {what}")]
    PeerRefused {
        /// Which peer.
        peer: &'static str,
        /// What it refuses, and why.
        what: String,
    },
    /// A peer takes too long.
    #[error("waited {} s for {what}", patience.as_secs())]
    Late {
        /// What was waited for.
        what: &'static str,
        /// For how long.
        patience: Duration,
    },
    /// A peer can't be talked to.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The wallet has no main UTXO, which the action spends or names.
    #[error("wallet {0} has no main UTXO")]
    NoMainUtxo(KeyHash),
    /// A value is not what Bitcoin or the Bridge can hold.
    #[error("{what} does not fit")]
    Overflow {
        /// Which value.
        what: &'static str,
    },
    /// The chain's endpoint can't be asked.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The Bridge can't be read.
    #[error(transparent)]
    Read(#[from] ChainError),
    /// The Bridge's state was not read as far as the transaction needs it.
    #[error(transparent)]
    Unread(#[from] MissingError),
    /// The wallet's transaction can't be built.
    #[error(transparent)]
    Build(#[from] TransactionError),
    /// The wallet's transaction can't be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
}
