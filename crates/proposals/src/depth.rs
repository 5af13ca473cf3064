//! How deep an event must be in the Ethereum chain before a wallet acts on it: the contract can't see that.

use coxswain_rules::units::{BlockNumber, Blocks, UnixTime};

use crate::Why;

/// The newest block, and how many blocks must stand on an event's for a wallet to act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The newest block's number.
    pub block: BlockNumber,
    /// The time of the newest block that is deep enough; 0 if none is.
    pub deep: UnixTime,
    /// The network's event depth.
    pub event_depth: Blocks,
}

impl Head {
    /// Why an event is not acted on yet; `None` if it is deep enough.
    pub(crate) fn too_shallow(self, block: BlockNumber, time: UnixTime) -> Option<Why> {
        if self.is_deep(block, time) {
            return None;
        }
        Some(Why::Shallow { depth: self.depth(block), least: self.event_depth })
    }

    /// Whether an event is deep enough. Its time, from the Bridge's record, decides; its block is a server's word. That tells only
    /// blocks of one time apart, which there are on local chains.
    pub(crate) fn is_deep(self, block: BlockNumber, time: UnixTime) -> bool {
        time < self.deep || (time == self.deep && block.saturating_add(self.event_depth) <= self.block)
    }

    /// How many blocks stand on one that is not deep enough, whatever its number is said to be.
    pub(crate) fn depth(self, block: BlockNumber) -> Blocks {
        let depth = self.block.saturating_since(block);
        if depth < self.event_depth { depth } else { self.event_depth.saturating_sub(Blocks(1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Head = Head { block: BlockNumber(100), deep: UnixTime(5_000), event_depth: Blocks(32) };

    #[test]
    fn inc_47_an_event_is_as_deep_as_its_time_whatever_block_it_is_said_to_be_in() {
        assert!(
            HEAD.is_deep(BlockNumber(68), UnixTime(5_000)) && !HEAD.is_deep(BlockNumber(69), UnixTime(5_012))
        );
        // Moved to an older block, or to a younger one.
        assert_eq!(
            HEAD.too_shallow(BlockNumber(1), UnixTime(5_012)),
            Some(Why::Shallow { depth: Blocks(31), least: Blocks(32) })
        );
        assert_eq!(HEAD.too_shallow(BlockNumber(99), UnixTime(4_988)), None);
        // Of one time, as on local chains.
        assert_eq!(
            HEAD.too_shallow(BlockNumber(69), UnixTime(5_000)),
            Some(Why::Shallow { depth: Blocks(31), least: Blocks(32) })
        );
        // A chain that is shorter than the depth has nothing that is deep.
        assert!(
            !Head { block: BlockNumber(31), deep: UnixTime(0), event_depth: Blocks(32) }
                .is_deep(BlockNumber(0), UnixTime(0))
        );
        assert!(
            Head { block: BlockNumber(9), deep: UnixTime(7), event_depth: Blocks(0) }
                .is_deep(BlockNumber(9), UnixTime(7))
        );
    }
}
