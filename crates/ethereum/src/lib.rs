//! Ethereum as Coxswain sees it: an [`Endpoint`] that asks and asks again, one [`Block`] that a decision is made at,
//! the [`ProposalValidator`], whose [`Verdict`] is one of three and never guessed, and the [`SnapshotReader`], which reads
//! what the rules read.

mod block;
mod calldata;
mod endpoint;
mod events;
mod log_ranges;
mod network;
mod reason;
mod reveal;
mod revert;
mod snapshot;
mod validator;

pub use block::{Block, BlockSelector, InvalidBlockSelector};
pub use calldata::calldata;
pub use endpoint::{ConnectError, Endpoint, RequestError};
pub use events::{
    BridgeEvents, Commitment, CompletedMove, DepositReveal, NewWallet, Position, RedemptionRequest,
    WalletTransaction,
};
pub use network::{Deployment, Network};
pub use reason::reason;
pub use reveal::Revealed;
pub use revert::revert_of;
pub use snapshot::{SnapshotKeys, SnapshotReader};
pub use validator::{Judgement, ProposalValidator, Undecided, Verdict};
