//! Signing by a group whose operators hold shares of a wallet's key: what `signing::threshold` wants said, recorded and heard, over
//! the network and the journal. Behind the feature `threshold`: the library below is not audited, so that it is for test chains.

mod leader;
#[cfg(test)]
mod loopback;
mod record;
mod signer;
mod wire;

pub(crate) use leader::{Keeping, LeaderMessages};
pub(crate) use signer::{ShareSettings, ThresholdSigner};
