//! Noticing each coordination window once.

use coxswain_rules::units::BlockNumber;

use crate::{Phase, Window, WindowParameters};

/// Announces each window once, from a stream of blocks that may skip, repeat and go back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WindowWatch {
    network: WindowParameters,
    last_seen: Option<BlockNumber>,
    last_announced: u64,
}

impl WindowWatch {
    /// Watches from now on. `last_finished` is the latest window that has a result from before a restart.
    pub fn new(network: WindowParameters, last_finished: Option<Window>) -> Self {
        Self { network, last_seen: None, last_announced: last_finished.map_or(0, |window| window.index()) }
    }

    /// The window to run now, if this block brings one: the latest that was crossed since the last block, or, at the
    /// first block, the one whose active phase it lies in. Windows that passed unseen before the latest are over.
    pub fn on_block(&mut self, block: BlockNumber) -> Option<Window> {
        let last_seen = self.last_seen;
        self.last_seen = last_seen.max(Some(block));
        let window = self.network.latest_window(block)?;
        let started = match last_seen {
            Some(seen) => seen < window.block(),
            None => window.phase(block) == Phase::Active,
        };
        if !started || window.index() <= self.last_announced {
            return None;
        }
        self.last_announced = window.index();
        Some(window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(index: u64) -> Window {
        Window::numbered(&WindowParameters::default(), index).unwrap()
    }

    fn announced(last_finished: Option<Window>, blocks: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let mut watch = WindowWatch::new(WindowParameters::default(), last_finished);
        blocks
            .into_iter()
            .filter_map(|block| watch.on_block(BlockNumber(block)))
            .map(|window| window.index())
            .collect()
    }

    #[test]
    fn the_first_window_is_announced_at_its_block_not_at_block_0() {
        assert_eq!(announced(None, 0..=900), [1]);
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
