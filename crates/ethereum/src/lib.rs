//! Ethereum as Coxswain sees it: an [`Endpoint`] that asks and asks again, one [`Block`] that a decision is made at,
//! and the [`ProposalValidator`], whose [`Verdict`] is one of three and never guessed.

mod block;
mod calldata;
mod endpoint;
mod network;
mod reason;
mod reveal;
mod revert;
mod validator;

pub use block::{Block, BlockSelector, InvalidBlockSelector};
pub use calldata::calldata;
pub use endpoint::{ConnectError, Endpoint, RequestError};
pub use network::{Deployment, Network};
pub use reason::reason;
pub use reveal::Revealed;
pub use revert::revert_of;
pub use validator::{Judgement, ProposalValidator, Undecided, Verdict};
