//! What a signer is asked for: one action, all of it at once.

use coxswain_rules::{KeyHash, units::BlockNumber};

use crate::{ActionId, Claim, Preimages};

/// One action that is to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The Ethereum chain of the wallet's Bridge.
    pub chain_id: u64,
    /// The wallet.
    pub wallet: KeyHash,
    /// The first block of the window that agreed on the action.
    pub coordination_block: BlockNumber,
    /// Which action.
    pub action_id: ActionId,
    /// Whether the wallet has a main UTXO. If not, what it signs first decides which deposits become one, and nothing but their spending
    /// tells others: more seats must have announced then.
    pub has_main_utxo: bool,
    /// What is signed.
    pub preimages: Preimages,
    /// Nothing is signed before this block.
    pub start_block: BlockNumber,
    /// Nothing leaves after this block.
    pub last_block: BlockNumber,
}

impl Job {
    /// What is recorded before any of it is signed.
    pub fn claim(&self) -> Claim {
        let Self { chain_id, wallet, coordination_block, action_id, .. } = *self;
        Claim { chain_id, wallet, coordination_block, action_id, preimages: self.preimages.id() }
    }
}
