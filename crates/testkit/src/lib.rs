//! A local chain with the real tBTC Bridge on it, wallets whose keys are known, and a Bitcoin regtest that proves what
//! they do: everything that a proposal can be about, made for real. For tests, the demo and the simulator only.
//!
//! Start with [`World::start`]. It needs `node_modules` (`npm install`), where anvil and the contracts' bytecode are.

mod action;
mod artifacts;
mod bitcoin_server;
mod bytecode;
mod chain;
mod convert;
mod deposit;
mod error;
mod faulty;
mod geth;
mod http;
mod keystore;
mod mined;
mod peers;
mod redemption;
mod refusal;
mod registry;
mod regtest;
mod relay;
mod remote;
mod retirement;
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
pub use geth::Geth;
pub use keystore::{PASSWORD, keystore, write_private};
pub use mined::{MinedBlocks, MinedSweep};
pub use peers::{Btcd, ElectrumX};
pub use redemption::PendingRedemption;
pub use refusal::Refusal;
pub use registry::{DOUBLE_BRIDGE, DOUBLE_REGISTRY, Registry, RegistryDouble};
pub use regtest::Regtest;
pub use relay::Relay;
pub use remote::Remote;
pub use scene::{Scene, sweep};
pub use wallet::{Wallet, standard_scripts};
pub use watchtower::{RedemptionWatchtower, Watchtower};
pub use world::{Bank, World};
