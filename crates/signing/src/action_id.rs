//! What an action is called: one name for all bytes that propose the same, in one window of one wallet on one chain.

use std::fmt;

use alloy_primitives::B256;
use coxswain_protocol::wire::canonical;
use coxswain_rules::{KeyHash, Proposal, units::BlockNumber};

use crate::hash::Hasher;

/// Names an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct ActionId(pub B256);

impl ActionId {
    /// The id of a proposal in the window that begins at this block.
    pub fn of(chain_id: u64, wallet: KeyHash, coordination_block: BlockNumber, proposal: &Proposal) -> Self {
        let hasher = Hasher::new("coxswain/signing/1/action").number(chain_id).fixed(&wallet.0);
        Self(hasher.number(coordination_block.0).bytes(&canonical(proposal)).finish())
    }
}

impl fmt::Display for ActionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
