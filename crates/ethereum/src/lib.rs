//! Ethereum as Coxswain sees it: an [`Endpoints`], one or several, that asks and asks again, one [`Block`] that a decision is made at,
//! the [`ProposalValidator`], whose [`ContractVerdict`] is one of three and never guessed, and the [`SnapshotReader`], which reads
//! what the rules read.
//!
//! ```
//! use coxswain_ethereum::{calldata, reason};
//! use coxswain_rules::{Case, HeartbeatProposal, KeyHash, Subject};
//!
//! let subject = Subject::Heartbeat(HeartbeatProposal { message: vec![0xff; 16] });
//! // What the contract is asked. What isn't one of its errors is no reason: then there is no verdict.
//! assert!(calldata(&Case { wallet: KeyHash([1; 20]), subject }).len() > 4);
//! assert_eq!(reason(b"out of gas"), None);
//! ```

#[cfg(feature = "account")]
pub mod account;
pub mod bridge;
pub mod decision;
mod error;
pub mod events;
pub mod heads;
mod panel;
#[cfg(feature = "proven")]
pub mod proof;
pub mod registry;
mod relay;
pub mod rpc;
#[cfg(feature = "account")]
pub mod submit;
mod tbtc;
pub mod validator;

#[cfg(feature = "account")]
pub use account::{Account, AccountError};
pub use bridge::{ProofTerms, SnapshotKeys, SnapshotReader, WalletLimits};
pub use decision::{Decision, Named, Pace};
pub use error::ChainError;
pub use events::{
    BridgeEvent, ChangeSet, CheckedLog, Commitment, CompletedMove, DepositReveal, EventLog, EventReader,
    Extent, KeptLog, NewWallet, NotResumed, RedemptionRequest, RevealSaid, Revealed, WalletTransaction,
};
pub use panel::Panel;
pub use registry::{Eligible, EligibleError, GroupError, Groups, WalletGroup};
pub use relay::{Relay, RelayProxy, RelayState, RelayTerms, SpvMaintainers};
pub use rpc::{
    Activity, Block, BlockSelector, BlockSelectorError, Called, Condition, ConnectError, Endpoints, Expected,
    HashedHeader, Health, MAX_LAG, Position, REQUEST_TIMEOUT, RequestError, UnfitError, revert_of,
};
pub use tbtc::{Chain, ResolveError, Tbtc, UnresolvedError, Wanted};
pub use validator::{Constant, ContractVerdict, Judgement, ProposalValidator, calldata, reason};
