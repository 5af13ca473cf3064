//! Coordination windows: where they start and end.

use coxswain_rules::{network::Parameters, units::BlockNumber};

/// A part of a window, or of the time around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The window hasn't started.
    Before,
    /// The leader may speak, followers listen.
    Active,
    /// Nobody speaks; the result is validated and prepared.
    Passive,
    /// The window has ended; its action runs.
    Over,
}

/// One coordination window. Ordered by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Window {
    index: u64,
    block: BlockNumber,
    active_end: BlockNumber,
    end: BlockNumber,
    safe_block: BlockNumber,
}

impl Window {
    /// The window of this index, counted from 1. None for 0, and past the last block that a number can hold.
    pub fn numbered(network: &Parameters, index: u64) -> Option<Self> {
        let block = index.checked_mul(network.frequency.0).filter(|block| *block > 0).map(BlockNumber)?;
        let active_end = block.checked_add(network.active_phase)?;
        Some(Self {
            index,
            block,
            active_end,
            end: active_end.checked_add(network.passive_phase)?,
            safe_block: block.checked_sub(network.safe_block_distance)?,
        })
    }

    /// Coordination block divided by the frequency.
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// The coordination block: the first of the active phase.
    pub const fn block(&self) -> BlockNumber {
        self.block
    }

    /// The first block of the passive phase.
    pub const fn active_end(&self) -> BlockNumber {
        self.active_end
    }

    /// The first block after the window: its action starts here.
    pub const fn end(&self) -> BlockNumber {
        self.end
    }

    /// The block whose hash feeds the seed.
    pub const fn safe_block(&self) -> BlockNumber {
        self.safe_block
    }

    /// Where this block lies.
    pub const fn phase(&self, block: BlockNumber) -> Phase {
        if block.0 < self.block.0 {
            Phase::Before
        } else if block.0 < self.active_end.0 {
            Phase::Active
        } else if block.0 < self.end.0 {
            Phase::Passive
        } else {
            Phase::Over
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WindowParameters;

    fn window(index: u64) -> Window {
        Window::numbered(&WindowParameters::default(), index).unwrap()
    }

    #[test]
    fn block_0_starts_no_window_and_block_900_starts_window_1() {
        let network = WindowParameters::default();
        assert_eq!(network.window_at(BlockNumber(0)), None);
        assert_eq!(network.window_at(BlockNumber(899)), None);
        assert_eq!(network.window_at(BlockNumber(900)), Some(window(1)));
        assert_eq!(network.window_at(BlockNumber(901)), None);
        assert_eq!(network.latest_window(BlockNumber(899)), None);
        assert_eq!(network.latest_window(BlockNumber(1799)).map(|window| window.index()), Some(1));
    }

    #[test]
    fn phases_change_at_the_stated_blocks() {
        let window = window(2);
        assert_eq!(
            (window.block(), window.active_end(), window.end()),
            (BlockNumber(1800), BlockNumber(1880), BlockNumber(1900))
        );
        assert_eq!(window.safe_block(), BlockNumber(1768));
        let phases = [1799, 1800, 1879, 1880, 1899, 1900].map(|block| window.phase(BlockNumber(block)));
        use Phase::{Active, Before, Over, Passive};
        assert_eq!(phases, [Before, Active, Active, Passive, Passive, Over]);
    }

    #[test]
    fn the_last_blocks_of_all_make_no_window_rather_than_wrap() {
        assert_eq!(Window::numbered(&WindowParameters::default(), u64::MAX), None);
        assert_eq!(WindowParameters::default().latest_window(BlockNumber(u64::MAX)), None);
        assert!(WindowParameters::default().latest_window(BlockNumber(u64::MAX - 1_000)).is_some());
    }
}
