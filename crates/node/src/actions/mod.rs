//! What was agreed on is carried out: judged again, assembled, signed, handed to Bitcoin, and watched until it is confirmed and
//! proven. One action at a time for each wallet, each milestone recorded before the next is tried.

mod milestone;
mod recorded;

pub use milestone::{Agreed, Alive, Assembled, End, Milestone, Reached, SignedTransaction, Stuck};
pub use recorded::{ActionRecord, DamagedAction};
