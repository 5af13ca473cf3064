//! The Bridge's state at one block.

mod limits;
mod snapshot;

pub use limits::WalletLimits;
pub use snapshot::{SnapshotKeys, SnapshotReader};
