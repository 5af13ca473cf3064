//! The Bridge's state at one block.

mod limits;
mod proofs;
mod snapshot;

pub use limits::WalletLimits;
pub use proofs::ProofTerms;
pub use snapshot::{SnapshotKeys, SnapshotReader};
