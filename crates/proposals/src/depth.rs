//! How deep an event must be in the Ethereum chain before a wallet acts on it: the contract can't see that.

use crate::Why;

/// The newest block, and how many blocks must stand on an event's for a wallet to act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The newest block's number.
    pub block: u64,
    /// The time of the newest block that is deep enough, Unix seconds; 0 if none is.
    pub deep: u64,
    /// The network's event depth.
    pub event_depth: u64,
}

impl Head {
    /// Why an event is not acted on yet; `None` if it is deep enough.
    pub(crate) const fn too_shallow(self, block: u64, time: u64) -> Option<Why> {
        if self.is_deep(block, time) {
            return None;
        }
        Some(Why::Shallow { depth: self.depth(block), least: self.event_depth })
    }

    /// Whether an event is deep enough. Its time, from the Bridge's record, decides; its block is a server's word. That tells only
    /// blocks of one time apart, which there are on local chains.
    pub(crate) const fn is_deep(self, block: u64, time: u64) -> bool {
        time < self.deep || (time == self.deep && block.saturating_add(self.event_depth) <= self.block)
    }

    /// How many blocks stand on one that is not deep enough, whatever its number is said to be.
    pub(crate) const fn depth(self, block: u64) -> u64 {
        let depth = self.block.saturating_sub(block);
        if depth < self.event_depth { depth } else { self.event_depth.saturating_sub(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Head = Head { block: 100, deep: 5_000, event_depth: 32 };

    #[test]
    fn inc_47_an_event_is_as_deep_as_its_time_whatever_block_it_is_said_to_be_in() {
        assert!(HEAD.is_deep(68, 5_000) && !HEAD.is_deep(69, 5_012));
        // Moved to an older block, or to a younger one.
        assert_eq!(HEAD.too_shallow(1, 5_012), Some(Why::Shallow { depth: 31, least: 32 }));
        assert_eq!(HEAD.too_shallow(99, 4_988), None);
        // Of one time, as on local chains.
        assert_eq!(HEAD.too_shallow(69, 5_000), Some(Why::Shallow { depth: 31, least: 32 }));
        // A chain that is shorter than the depth has nothing that is deep.
        assert!(!Head { block: 31, deep: 0, event_depth: 32 }.is_deep(0, 0));
        assert!(Head { block: 9, deep: 7, event_depth: 0 }.is_deep(9, 7));
    }
}
