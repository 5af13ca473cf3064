//! RFC 12: how a wallet's operators agree, window by window, on one action for the wallet to take.
//!
//! Pure: no I/O, clock, randomness or async. Time is block numbers. All members must compute alike what is here; the
//! Go client that runs on mainnet is the reference.

mod assignment;
mod checklist;
mod fault;
mod follower;
mod go_rand;
mod group;
mod leader;
mod network;
mod routine;
mod safe_block;
mod schedule;
mod seed;
mod stages;
mod window;
pub mod wire;

pub use assignment::Assignment;
pub use checklist::Checklist;
pub use coxswain_rules::{
    Objection,
    network::{HashRule, Parameters},
};
pub use fault::{Fault, FaultKind, Mistake};
pub use follower::{Follower, MAX_MESSAGES_PER_SENDER, MAX_RETAINED_PER_SENDER};
pub use go_rand::GoRand;
pub use group::{GroupSizeError, MAX_SEATS, NoSuchSeat, Seat, SigningGroup};
pub use leader::{Leader, RETRANSMISSIONS, ResumeError};
pub use network::{Network, ParametersError};
pub use routine::{Command, Generation, NotGenerated, Outcome, Record, Verdict, WindowResult};
pub use safe_block::SafeHashes;
pub use schedule::Schedule;
pub use seed::Seed;
pub use stages::{Authenticated, Ignored, MAX_SIGNED_BYTES, OnChecklist, Received, Unreadable, Validated};
pub use window::{Phase, Window, WindowWatch};
