//! What a wallet should do now, and whether what another proposes may be signed.
//!
//! A [`Session`] does both, for one wallet at one block. It generates, finds the evidence for a received proposal, and judges.
//! Choosing is pure: [`deposits`], [`redemptions`], [`moving_funds`] and [`moved_funds`] go from the Bridge's events and its
//! state at the block, and from what Bitcoin says, to what can be in a valid proposal. Everything else gets a reason
//! ([`Exclusion`]), and the rest is processed all the same. Judging takes seven [`Step`]s, one of them the contract. Its result
//! is an [`Assessment`].
//!
//! ```
//! use coxswain_proposals::heartbeat;
//! use coxswain_rules::{KeyHash, units::BlockNumber};
//!
//! // Of all proposals, this one needs nothing but the block.
//! let (now, later) = (heartbeat(KeyHash([1; 20]), BlockNumber(900)), heartbeat(KeyHash([1; 20]), BlockNumber(1_800)));
//! assert!(now.message.starts_with(&[0xff; 8]) && now.message != later.message);
//! ```

pub mod deposits;
mod depth;
mod exclusion;
pub mod gas;
mod heartbeat;
mod lead;
mod memory;
pub mod moved_funds;
pub mod moving_funds;
mod outcome;
mod records;
pub mod redemptions;
mod replay;
mod session;

pub use coxswain_rules::Assurances;
use coxswain_rules::units::Blocks;
pub use deposits::FUNDING_CONFIRMATIONS;
pub use depth::Head;
pub use exclusion::{Exclusion, Item, Why};
pub use heartbeat::heartbeat;
pub use lead::LEAD;
pub use memory::Memory;
pub use outcome::{
    ActionOutcome, Attempt, ChecklistOutcome, CommitmentDue, Nothing, PreparedProposal, ProposedTransaction,
    SessionError,
};
pub use replay::{Rejudged, rejudge};
pub use session::{Assessment, Concurrence, Obstacle, Opinion, Session, Sources, Step, main_utxo_in};

/// How many blocks back a session's events reach, unless somebody knows better: 30 days. Deposits and redemption requests that
/// are older have been dealt with, or have timed out.
pub const EVENT_LOOK_BACK: Blocks = Blocks(216_000);
