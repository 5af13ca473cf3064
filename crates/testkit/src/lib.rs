//! A local chain with the real tBTC Bridge on it, wallets whose keys are known, and a Bitcoin regtest that proves what
//! they do: everything that a proposal can be about, made for real. For tests, the demo and the simulator only.
//!
//! Start with [`World::start`], which most tests stand on, or with [`Scene::set`], in which every action is due. Both need
//! `node_modules` (`npm install`), where anvil and tBTC's bytecode are, and `out` (`npx forge build`), where ours is.

mod action;
mod artifacts;
mod bitcoin_server;
mod bytecode;
mod chain;
mod convert;
mod deposit;
mod error;
mod faulty;
mod forwarder;
mod geth;
mod governance;
mod headers;
mod http;
mod keystore;
mod mined;
mod mutator;
mod peers;
mod port;
mod process;
mod redemption;
mod refusal;
mod registry;
mod regtest;
mod remote;
mod retirement;
mod rpc;
mod scene;
mod wallet;
mod watchtower;
mod world;

pub use artifacts::{deployed_validator, our_validator};
pub use bitcoin_server::{BitcoinLie, BitcoinServer, Serving};
pub use chain::{ChainState, TestChain};
pub use deposit::{Deposit, DepositOutput, DepositSpec, Funding};
pub use error::Error;
pub use faulty::{Change, FaultyEndpoint, Reply};
pub use forwarder::Forwarder;
pub use geth::Geth;
pub use headers::{RecordedRetarget, worked};
pub use keystore::{PASSWORD, keystore, write_private};
pub use mined::{MinedBlocks, MinedSweep};
pub use mutator::Mutator;
pub use peers::{Btcd, ElectrumX};
pub use port::free_port;
pub use redemption::PendingRedemption;
pub use refusal::Refusal;
pub use registry::{DOUBLE_BRIDGE, DOUBLE_REGISTRY, Registry, RegistryDouble};
pub use regtest::Regtest;
pub use remote::Remote;
pub use rpc::{Contract, Rpc};
pub use scene::{Scene, sweep};
pub use wallet::{Wallet, standard_scripts};
pub use watchtower::{RedemptionWatchtower, Watchtower};
pub use world::{Bank, World};
