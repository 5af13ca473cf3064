//! Runs a node's members, one of each wallet, over real blocks, messages and verdicts.
//!
//! ```text
//! heads ──► Coordinator ──► Executor of a wallet ──► protocol::Member
//!                             │  commands               ▲ events
//!                             ├──► Advisor              │   safe hash, generate, judge
//!                             ├──► Journal              │   one entry after the other
//!                             └──► Channel ─────────────┘   envelopes out, messages and links in
//! ```
//!
//! [`Member`](coxswain_protocol::Member) decides everything. Here is what it leaves open: what runs at the same time, what
//! is given up and when, and what is asked once for all wallets. It knows no libp2p, no SQLite and no server: whoever runs
//! it hands in an [`Advisor`], a [`Journal`] and a [`Channel`] for each wallet, and the heads.
//!
//! Each wallet has a task of its own, so that one whose servers hang delays no other. A wallet asks one question of a
//! kind at a time; of a newer one the older is given up. All that waits is bounded: heads by being overtaken, questions by
//! their kinds, entries by what a member lets wait, messages by the channel.
//!
//! ```
//! use coxswain_coordination::{Forgetful, Journal};
//! use coxswain_rules::KeyHash;
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! // What a wallet's member recorded before is handed to it first: here, nothing.
//! assert!(Forgetful.restore(KeyHash([1; 20])).await.unwrap().is_empty());
//! # });
//! ```

mod coordinator;
mod executor;
mod metrics;
mod office;
mod report;
mod seams;
mod shared;
mod tasks;

pub use coordinator::{Coordinator, Panicked};
pub use executor::{Tick, Wallet};
pub use metrics::{Count, Metrics};
pub use office::Settings;
pub use seams::{Advisor, Channel, Forgetful, Journal, Link, Unread};
