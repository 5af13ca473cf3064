//! What was agreed on is carried out: judged again, assembled, signed, handed to Bitcoin, and watched until it is confirmed and
//! proven. One action at a time for each wallet, each milestone recorded before the next is tried.

mod carrier;
mod chain;
mod machine;
mod milestone;
mod possible;
mod recorded;
mod spenders;
mod tally;

pub use carrier::{Carrier, Hands};
pub use chain::{ChainHands, Memories, Signatory};
pub use machine::{Command, Event, Judged, Machine, Place, Prepared, Seen, Signing, Times};
pub use milestone::{Agreed, Alive, Assembled, End, Milestone, Reached, SignedTransaction, Stuck};
pub use possible::{Possible, PossibleError, PossiblySigned};
pub use recorded::{ActionRecord, DamagedAction, HeartbeatError};
pub use spenders::{SpenderError, Spenders};
pub use tally::Tally;
