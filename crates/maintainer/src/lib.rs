//! The maintainer: proves to tBTC's Bridge what its wallets did on Bitcoin, so that they can act again.
//!
//! It follows the money. A wallet's main UTXO is spent by one transaction, whose outputs the next one spends; a wallet without one
//! spends a deposit or funds that were moved to it. [`Finder`] finds that transaction, [`judge`] says what it is to the
//! Bridge, [`coxswain_bitcoin::spv`] makes the proof, [`proof_call`] the call that takes it, and [`Order`] says which comes first.
//! [`RelayKeeper`] tells the relay each new difficulty of Bitcoin, without which nothing can be proven.
//!
//! ```
//! use alloy::primitives::Address;
//! use bitcoin::{Txid, hashes::Hash};
//! use coxswain_maintainer::rank;
//!
//! // Several maintainers take turns: each transaction has one that needn't wait.
//! let all: Vec<_> = (1..=3).map(Address::repeat_byte).collect();
//! let waits = all.iter().map(|account| rank(&all, *account, Txid::all_zeros()));
//! assert_eq!(waits.filter(|wait| wait.is_zero()).count(), 1);
//! ```

mod call;
mod configuration;
mod difficulty;
mod find;
mod kind;
mod order;
mod outcome;
mod own;
mod records;
mod report;
mod round;
mod run;
mod start;

pub use call::{Venue, proof_call};
pub use configuration::{
    BitcoinSettings, Configuration, EthereumSettings, JournalSettings, MaintainerSettings, Module,
};
pub use difficulty::{DifficultyError, RelayKeeper, Step};
pub use find::{Candidate, FindError, Finder, Finding, Memory};
pub use kind::{Judgement, Kind, Misfit, Misfits, Views, judge, keys, pays};
pub use order::{Deadline, Order, Pauses, rank};
pub use outcome::{Item, ItemError, ItemState, Pass, PassError};
pub use records::Records;
pub use round::{Maintainer, Settings};
pub use start::{StartError, start};
