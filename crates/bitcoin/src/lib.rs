//! Bitcoin as Coxswain sees it: one narrow [`Backend`], which says of a transaction whether it is there and how deep, of
//! an output whether it is unspent, and what a fee should be.
//!
//! An [`Endpoint`] is an [`Electrum`] server or a Bitcoin [`Core`] node, each of which is a [`Server`] and at its own word;
//! [`Backends`] makes of several what is proven, agreed on, or one's word.
//!
//! ```
//! use bitcoin::{Network, TxMerkleNode, block::Header, constants::genesis_block, hashes::Hash};
//! use coxswain_bitcoin::MerkleBranch;
//!
//! let block = genesis_block(Network::Bitcoin);
//! let coinbase = &block.txdata[0];
//! let branch = MerkleBranch::within(&[coinbase.compute_txid()], 0).unwrap();
//! assert!(branch.prove(coinbase, &block.header).is_ok());
//! let other = Header { merkle_root: TxMerkleNode::all_zeros(), ..block.header };
//! assert!(branch.prove(coinbase, &other).is_err());
//! ```

mod backend;
mod backends;
pub mod chain;
mod check;
mod core;
mod electrum;
mod endpoint;
mod error;
mod follow;
mod jsonrpc;
mod limits;
mod merkle;
mod server;
mod spend;
mod spender;
pub mod spv;
mod verbose;
mod watch;

pub use backend::{Backend, Fees, Known};
pub use backends::{Backends, Expected, HeaderFile, HeaderStorage, Health};
pub use core::{CORE_METHODS, Core};
pub use electrum::Electrum;
pub use endpoint::{Endpoint, EndpointError};
pub use error::BackendError;
pub use follow::{FollowError, follow};
pub use limits::Limits;
pub use merkle::{BranchError, MerkleBranch};
pub use server::{Answers, Coinbase, FeeRates, Mined, Output, Server, Sighting, Tip};
pub use spender::{Cursor, Search, Spender};
pub use watch::Watcher;
