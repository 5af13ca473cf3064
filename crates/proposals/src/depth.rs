//! How deep an event must be in the Ethereum chain before a wallet acts on it: the contract can't see that.

use crate::Why;

/// The newest block, and how many blocks must stand on an event's for a wallet to act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The newest block's number.
    pub block: u64,
    /// The network's event depth.
    pub event_depth: u64,
}

impl Head {
    /// Why an event of this block is not acted on yet; `None` if it is deep enough.
    pub(crate) fn too_shallow(self, event: u64) -> Option<Why> {
        let (depth, least) = (self.block.saturating_sub(event), self.event_depth);
        (depth < least).then_some(Why::Shallow { depth, least })
    }
}
