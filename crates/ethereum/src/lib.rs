//! Ethereum as Coxswain sees it: an [`Endpoint`], one or several, that asks and asks again, one [`Block`] that a decision is made at,
//! the [`ProposalValidator`], whose [`Verdict`] is one of three and never guessed, and the [`SnapshotReader`], which reads
//! what the rules read.

#[cfg(feature = "account")]
pub mod account;
pub mod bridge;
pub mod decision;
pub mod events;
mod panel;
#[cfg(feature = "proven")]
pub mod proof;
mod quorum;
pub mod registry;
pub mod rpc;
mod tbtc;
mod undecided;
pub mod validator;

#[cfg(feature = "account")]
pub use account::{Account, AccountError};
pub use bridge::{SnapshotKeys, SnapshotReader, WalletLimits};
pub use events::{
    BridgeEvents, Commitment, CompletedMove, DepositReveal, NewWallet, RedemptionRequest, Revealed,
    WalletTransaction,
};
pub use panel::{Assured, Panel, PanelError};
pub use quorum::{InvalidQuorum, Quorum, servers};
pub use registry::{Eligible, EligibleError, GroupError, Groups, WalletGroup};
pub use rpc::{
    Block, BlockSelector, Called, Condition, ConnectError, Endpoint, Expected, HashedHeader, Health,
    InvalidBlockSelector, MAX_LAG, Position, RequestError, Unfit, revert_of,
};
pub use tbtc::{Chain, ResolveError, Tbtc, Unresolved, Wanted};
pub use undecided::Undecided;
pub use validator::{Constant, Judgement, ProposalValidator, Verdict, calldata, reason};
