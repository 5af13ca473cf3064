//! What a wallet should do now, and what was left out and why.
//!
//! Choosing is pure: [`deposits`], [`redemptions`], [`moving_funds`] and [`moved_funds`] go from the Bridge's events and its
//! state at one block, and from what Bitcoin says, to what can be in a valid proposal; everything else gets a reason
//! ([`Exclusion`]), and never keeps the rest from being processed. The [`Generator`] reads what they need in a bounded
//! number of round trips, builds the transaction, and asks the contract: that has the last word.

pub mod deposits;
mod depth;
mod exclusion;
pub mod gas;
mod generator;
mod heartbeat;
mod main_utxo;
mod memory;
pub mod moved_funds;
pub mod moving_funds;
mod outcome;
pub mod redemptions;

pub use deposits::FUNDING_CONFIRMATIONS;
pub use depth::EVENT_DEPTH;
pub use exclusion::{Exclusion, Item, Why};
pub use generator::Generator;
pub use heartbeat::heartbeat;
pub use main_utxo::main_utxo_in;
pub use memory::Memory;
pub use outcome::{
    Attempt, CommitmentDue, Generation, Nothing, Outcome, Proposed, ProposedTransaction, Undecided,
};
