//! A window's seed: what its random choices follow from.

use std::fmt;

use alloy_primitives::B256;
use bitcoin::hashes::{Hash, HashEngine, sha256};
use coxswain_rules::KeyHash;

use crate::GoRand;

/// SHA-256 of the wallet's key hash and the safe block's hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seed(pub B256);

impl Seed {
    /// A wallet's seed in the window whose safe block has this hash.
    pub fn new(wallet: KeyHash, safe_block_hash: B256) -> Self {
        let mut engine = sha256::Hash::engine();
        engine.input(&wallet.0);
        engine.input(safe_block_hash.as_slice());
        Self(B256::from(sha256::Hash::from_engine(engine).to_byte_array()))
    }

    /// A fresh generator. Each choice takes its own.
    pub fn generator(self) -> GoRand {
        let [a, b, c, d, e, f, g, h, ..] = self.0.0;
        GoRand::new(i64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }

    /// The draw that decides on a heartbeat, in [0, 1).
    pub fn heartbeat_draw(self) -> f64 {
        self.generator().float64()
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
