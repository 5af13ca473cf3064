//! RFC 12: how a wallet's operators agree, window by window, on one action for the wallet to take.
//!
//! Pure: no I/O, clock, randomness or async. Time is block numbers. All members must compute alike what is here; the
//! Go client that runs on mainnet is the reference.
//!
//! ```
//! use alloy_primitives::{Address, B256};
//! use coxswain_protocol::{Assignment, SigningGroup, WindowParameters};
//! use coxswain_rules::{Action, KeyHash, units::BlockNumber};
//!
//! let network = WindowParameters::MAINNET;
//! let window = network.window_at(BlockNumber(27_290 * 900)).unwrap();
//! let group = SigningGroup::new((1..=100).map(Address::repeat_byte).collect()).unwrap();
//! // Who leads, and what may be proposed, follows from the hash of the window's safe block.
//! let drawn = Assignment::new(&network, window, KeyHash([1; 20]), &group, B256::repeat_byte(7));
//! assert_eq!(group.holder(drawn.leader_seat), Some(drawn.leader));
//! assert!(drawn.checklist.contains(Action::Redemption));
//! ```

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
