//! RFC 12: how a wallet's operators agree, window by window, on one action for the wallet to take.
//!
//! Pure: no I/O, clock, randomness or async. Time is block numbers. All members must compute alike what is here; the
//! Go client that runs on mainnet is the reference.

mod acceptance;
mod assignment;
mod checklist;
mod fault;
mod go_rand;
mod group;
mod member;
mod outcome;
mod parameters;
mod received;
mod safe_block;
mod schedule;
mod seed;
mod stored;
mod watch;
mod window;
pub mod wire;

pub use acceptance::{Acceptance, Ignored};
pub use assignment::Assignment;
pub use checklist::Checklist;
pub use coxswain_rules::{
    Assurance, Assurances, Objection,
    network::{HashRule, Parameters},
};
pub use fault::{Fault, FaultKind, Mistake};
pub use go_rand::GoRand;
pub use group::{GroupSizeError, MAX_SEATS, Seat, SeatError, SigningGroup};
pub use member::{
    Command, ContentVerdict, Entry, EntryError, EntryId, Event, Generation, MAX_MESSAGES_PER_SENDER,
    MAX_RESEEDS, MAX_RETAINED_PER_SENDER, Member, Question, RETRANSMISSIONS, Sent, Setup,
};
pub use outcome::{
    Agreement, Alarm, Basis, Doubt, MAX_RECORDS, NoResult, NotGenerated, NotSent, Note, Undecided, Validated,
    Validity, WindowResult,
};
pub use parameters::{ParametersError, WindowParameters};
pub use received::{MAX_SIGNED_BYTES, Received, ReceivedError};
pub use safe_block::SafeHashes;
pub use schedule::Schedule;
pub use seed::Seed;
pub use watch::WindowWatch;
pub use window::{Phase, Window};
