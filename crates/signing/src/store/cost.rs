//! What trying a passphrase costs: Argon2id's parameters.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::{Zeroize, Zeroizing};

/// Argon2id's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Memory, in KiB.
    pub kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Cost {
    /// What new files have: 64 MiB, 3 passes, 1 lane.
    pub const DEFAULT: Self = Self { kib: 64 << 10, passes: 3, lanes: 1 };
    /// The most that a file may ask for. More is a way to make us stand still, or run out of memory.
    pub const MAX: Self = Self { kib: 1 << 20, passes: 10, lanes: 4 };

    /// Argon2id's parameters, if they are within bounds.
    pub(super) fn params(self) -> Option<Params> {
        let Self { kib, passes, lanes } = self;
        let within = kib <= Self::MAX.kib && passes <= Self::MAX.passes && lanes <= Self::MAX.lanes;
        // What Argon2 itself asks for at least.
        within.then(|| Params::new(kib, passes, lanes, Some(32)).ok()).flatten()
    }

    /// The key that a passphrase stands for. `None` if the cost is out of bounds, or there is no memory.
    pub(super) fn stretch(self, passphrase: &[u8], salt: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
        let params = self.params()?;
        let count = params.block_count();
        let mut blocks: Vec<Block> = Vec::new();
        blocks.try_reserve_exact(count).ok()?;
        blocks.resize(count, Block::new());
        let mut key = Zeroizing::new([0; 32]);
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let done =
            argon.hash_password_into_with_memory(passphrase, salt, key.as_mut_slice(), blocks.as_mut_slice());
        blocks.zeroize();
        done.ok().map(|()| key)
    }
}
