//! Coordination windows: where they start and end, and noticing each of them once.

use crate::Network;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    index: u64,
    block: u64,
    active_end: u64,
    end: u64,
    safe_block: u64,
}

impl Window {
    /// The window of this index, counted from 1. None for 0, and past the last block that a number can hold.
    pub fn numbered(network: &Network, index: u64) -> Option<Self> {
        let block = index.checked_mul(network.frequency).filter(|block| *block > 0)?;
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
    pub const fn block(&self) -> u64 {
        self.block
    }

    /// The first block of the passive phase.
    pub const fn active_end(&self) -> u64 {
        self.active_end
    }

    /// The first block after the window: its action starts here.
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// The block whose hash feeds the seed.
    pub const fn safe_block(&self) -> u64 {
        self.safe_block
    }

    /// Where this block lies.
    pub const fn phase(&self, block: u64) -> Phase {
        if block < self.block {
            Phase::Before
        } else if block < self.active_end {
            Phase::Active
        } else if block < self.end {
            Phase::Passive
        } else {
            Phase::Over
        }
    }
}

/// Announces each window once, from a stream of blocks that may skip, repeat and go back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WindowWatch {
    network: Network,
    last_seen: Option<u64>,
    last_announced: u64,
}

impl WindowWatch {
    /// Watches from now on. `last_finished` is the latest window that has a result from before a restart.
    pub fn new(network: Network, last_finished: Option<Window>) -> Self {
        Self { network, last_seen: None, last_announced: last_finished.map_or(0, |window| window.index) }
    }

    /// The window to run now, if this block brings one: the latest that was crossed since the last block, or, at the
    /// first block, the one whose active phase it lies in. Windows that passed unseen before the latest are over.
    pub fn on_block(&mut self, block: u64) -> Option<Window> {
        let last_seen = self.last_seen;
        self.last_seen = last_seen.max(Some(block));
        let window = self.network.latest_window(block)?;
        let started = match last_seen {
            Some(seen) => seen < window.block,
            None => window.phase(block) == Phase::Active,
        };
        if !started || window.index <= self.last_announced {
            return None;
        }
        self.last_announced = window.index;
        Some(window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(index: u64) -> Window {
        Window::numbered(&Network::default(), index).unwrap()
    }

    fn announced(last_finished: Option<Window>, blocks: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let mut watch = WindowWatch::new(Network::default(), last_finished);
        blocks.into_iter().filter_map(|block| watch.on_block(block)).map(|window| window.index()).collect()
    }

    #[test]
    fn block_0_starts_no_window_and_block_900_starts_window_1() {
        let network = Network::default();
        assert_eq!(network.window_at(0), None);
        assert_eq!(network.window_at(899), None);
        assert_eq!(network.window_at(900), Some(window(1)));
        assert_eq!(network.window_at(901), None);
        assert_eq!(network.latest_window(899), None);
        assert_eq!(network.latest_window(1799).map(|window| window.index()), Some(1));
        assert_eq!(announced(None, 0..=900), [1]);
    }

    #[test]
    fn phases_change_at_the_stated_blocks() {
        let window = window(2);
        assert_eq!((window.block(), window.active_end(), window.end()), (1800, 1880, 1900));
        assert_eq!(window.safe_block(), 1768);
        let phases = [1799, 1800, 1879, 1880, 1899, 1900].map(|block| window.phase(block));
        use Phase::{Active, Before, Over, Passive};
        assert_eq!(phases, [Before, Active, Active, Passive, Passive, Over]);
    }

    #[test]
    fn the_last_blocks_of_all_make_no_window_rather_than_wrap() {
        assert_eq!(Window::numbered(&Network::default(), u64::MAX), None);
        assert_eq!(Network::default().latest_window(u64::MAX), None);
        assert!(Network::default().latest_window(u64::MAX - 1_000).is_some());
    }

    #[test]
    fn inc_14_a_window_runs_once_whether_its_block_is_skipped_repeated_or_reorganised() {
        assert_eq!(announced(None, [898, 899, 900, 901]), [1]);
        assert_eq!(announced(None, [898, 901, 902]), [1], "skipped");
        assert_eq!(announced(None, [899, 900, 900, 900, 901]), [1], "repeated");
        assert_eq!(announced(None, [899, 900, 899, 898, 900, 901]), [1], "reorganised");
        assert_eq!(announced(None, [899, 999, 1799, 1801]), [1, 2], "skipped past the active phase");
        assert_eq!(announced(None, [899, 4000]), [4], "windows that are over are not run late");
    }

    #[test]
    fn inc_15_a_node_that_starts_in_the_active_phase_joins_late_and_once() {
        assert_eq!(announced(None, [979, 980]), [1]);
        assert_eq!(announced(None, [980, 981, 1799, 1800]), [2], "the active phase was over");
        assert_eq!(announced(Some(window(1)), [910, 911]), [] as [u64; 0], "it has a result already");
        assert_eq!(announced(Some(window(1)), [1810, 1811]), [2]);
    }
}
