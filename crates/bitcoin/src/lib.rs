//! Bitcoin as Coxswain sees it: one narrow [`Backend`], which says of a transaction whether it is there and how deep, of
//! an output whether it is unspent, and what a fee should be.
//!
//! An [`Endpoint`] is an [`Electrum`] server or a Bitcoin [`Core`] node; [`Backends`] makes one of several.

mod backend;
mod backends;
pub mod chain;
mod check;
mod core;
mod electrum;
mod endpoint;
mod error;
mod jsonrpc;
mod limits;
mod merkle;
mod spender;
pub mod spv;
mod verbose;

pub use backend::{Answers, Backend, Coinbase, Conditions, FeeRates, Known, Mined, Output, Tip};
pub use backends::{Backends, Expected, Health};
pub use core::{CORE_METHODS, Core};
pub use electrum::Electrum;
pub use endpoint::{Endpoint, EndpointError};
pub use error::BackendError;
pub use limits::Limits;
pub use merkle::{BranchError, MerkleBranch};
pub use spender::{Cursor, Search, Spender};
