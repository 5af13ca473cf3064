//! Ethereum as Coxswain sees it: an [`Endpoint`], one or several, that asks and asks again, one [`Block`] that a decision is made at,
//! the [`ProposalValidator`], whose [`Verdict`] is one of three and never guessed, and the [`SnapshotReader`], which reads
//! what the rules read.

mod block;
mod calldata;
mod connection;
mod endpoint;
mod events;
mod log_ranges;
mod network;
mod reason;
mod request_error;
mod reveal;
mod revert;
mod snapshot;
mod validator;
mod wallet_limits;

pub use block::{Block, BlockSelector, InvalidBlockSelector};
pub use calldata::calldata;
pub use connection::ConnectError;
pub use endpoint::{Condition, Endpoint, Expected, Health, MAX_LAG};
pub use events::{
    BridgeEvents, Commitment, CompletedMove, DepositReveal, NewWallet, Position, RedemptionRequest,
    WalletTransaction,
};
pub use network::{Deployment, Network};
pub use reason::reason;
pub use request_error::{RequestError, Unfit};
pub use reveal::Revealed;
pub use revert::revert_of;
pub use snapshot::{SnapshotKeys, SnapshotReader};
pub use validator::{Constant, Judgement, ProposalValidator, Undecided, Verdict};
pub use wallet_limits::WalletLimits;
