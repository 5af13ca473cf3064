//! An incrementally updated log of the Bridge events that wallet actions depend on. Handles reorgs and `eth_getLogs` range
//! limits. Beside it, the reveals that a proposal names.

mod event;
#[cfg(test)]
mod fuzz;
mod kept;
mod log;
mod reader;
mod reveal;

pub use event::{
    BridgeEvent, Commitment, CompletedMove, DepositReveal, NewWallet, RedemptionRequest, WalletTransaction,
};
pub use kept::{CheckedLog, KeptLog, NotResumed};
pub use log::{ChangeSet, EventLog, Extent};
pub use reader::EventReader;
pub use reveal::{RevealSaid, Revealed};
