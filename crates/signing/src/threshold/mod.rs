//! Threshold ECDSA by DKLs23: what its seats say to each other in an attempt, and what they keep.
//!
//! The library behind it is young, and nobody has audited it: this is behind the feature `threshold`, and for test chains only
//! ([`TestChain`](crate::TestChain)). `docs/decisions/threshold-signing.md` says what was found in it.

mod attempt;
mod bans;
mod batches;
mod events;
#[cfg(test)]
mod hostile_tests;
mod keys;
mod messages;
mod participant;
#[cfg(test)]
mod participant_tests;
mod running;
#[cfg(test)]
mod tests;

pub use attempt::{Failure, MAX_SESSIONS, Outgoing, ROUND_BYTES, Round1, Round2, Round3, Setup};
pub use bans::{Ban, BanError, BanRecord, MemoryBans, NewBan};
pub use batches::{Batch, FRAME_BYTES, READ_BYTES};
pub use events::{Command, Event, Record, Recorded, RoundMessage, Terms};
pub use keys::{KeyError, SCHEME, SeatKey, deal, deal_key, seat_keys};
pub use participant::{Participant, Proposes};
