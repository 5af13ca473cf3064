//! Which actions a window allows, in order of priority.

use coxswain_rules::Action;

use crate::{Seed, Window, WindowParameters};

/// The actions that a leader may propose in a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Checklist {
    sweeps: bool,
    moving_funds: bool,
    draw: f64,
    heartbeat: bool,
}

/// A draw is a number.
impl Eq for Checklist {}

impl Checklist {
    /// Every action, the first to be tried first.
    pub const PRIORITY: [Action; 5] = [
        Action::Redemption,
        Action::DepositSweep,
        Action::MovedFundsSweep,
        Action::MovingFunds,
        Action::Heartbeat,
    ];

    /// The checklist of a wallet with this seed.
    pub fn new(network: &WindowParameters, window: Window, seed: Seed) -> Self {
        let draw = seed.heartbeat_draw();
        Self {
            sweeps: network.allows_sweeps(&window),
            moving_funds: network.allows_moving_funds(&window),
            draw,
            heartbeat: draw < network.heartbeat_probability,
        }
    }

    /// The draw that decided on the heartbeat: it is on the list when this is below the network's probability.
    pub const fn heartbeat_draw(&self) -> f64 {
        self.draw
    }

    /// Whether the window allows this action.
    pub const fn contains(&self, action: Action) -> bool {
        match action {
            Action::Redemption => true,
            Action::DepositSweep | Action::MovedFundsSweep => self.sweeps,
            Action::MovingFunds => self.moving_funds,
            Action::Heartbeat => self.heartbeat,
        }
    }

    /// The actions allowed, the first to be tried first.
    pub fn actions(self) -> impl Iterator<Item = Action> {
        Self::PRIORITY.into_iter().filter(move |action| self.contains(*action))
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use coxswain_rules::{KeyHash, units::BlockNumber};

    use super::*;
    use crate::Parameters;

    fn checklist(index: u64, p: f64, n: u64) -> Vec<Action> {
        of(Parameters { heartbeat_probability: p, sweep_interval: n, ..Parameters::DEFAULT }, index)
    }

    fn of(parameters: Parameters, index: u64) -> Vec<Action> {
        let network = WindowParameters::try_from(parameters).unwrap();
        let seed = Seed::new(KeyHash([7; 20]), B256::repeat_byte(9));
        Checklist::new(&network, Window::numbered(&network, index).unwrap(), seed).actions().collect()
    }

    #[test]
    fn redemption_is_always_first_sweeps_follow_every_nth_window_and_the_heartbeat_is_last() {
        use Action::{DepositSweep, Heartbeat, MovedFundsSweep, MovingFunds, Redemption};
        assert_eq!(checklist(15, 0.0, 16), [Redemption]);
        assert_eq!(checklist(16, 0.0, 16), [Redemption, DepositSweep, MovedFundsSweep, MovingFunds]);
        assert_eq!(checklist(4, 1.0, 4), [Redemption, DepositSweep, MovedFundsSweep, MovingFunds, Heartbeat]);
        assert_eq!(checklist(5, 1.0, 4), [Redemption, Heartbeat]);
    }

    #[test]
    fn inc_31_on_mainnet_sweeps_are_in_every_window_from_block_24_559_289_on_and_moving_funds_stays_at_n() {
        use Action::{DepositSweep, MovedFundsSweep, MovingFunds, Redemption};
        let mainnet = |index| of(Parameters { heartbeat_probability: 0.0, ..Parameters::MAINNET }, index);
        // The last window before the block starts at 24,559,200; the first one after it at 24,560,100.
        assert_eq!(27_288 * 900, 24_559_200);
        assert_eq!(mainnet(27_285), [Redemption]);
        assert_eq!(mainnet(27_287), [Redemption]);
        assert_eq!(mainnet(27_288), [Redemption, DepositSweep, MovedFundsSweep, MovingFunds]);
        assert_eq!(mainnet(27_289), [Redemption, DepositSweep, MovedFundsSweep]);
        assert_eq!(mainnet(27_290), [Redemption, DepositSweep, MovedFundsSweep]);
        assert_eq!(mainnet(27_292), [Redemption, DepositSweep, MovedFundsSweep, MovingFunds]);
    }

    #[test]
    fn inc_31_the_schedule_changes_at_its_block_and_not_one_sooner() {
        use Action::{DepositSweep, MovedFundsSweep, Redemption};
        let from = |block| Parameters {
            heartbeat_probability: 0.0,
            sweeps_every_window_from: Some(block),
            ..Parameters::DEFAULT
        };
        assert_eq!(of(from(BlockNumber(2701)), 3), [Redemption]);
        assert_eq!(of(from(BlockNumber(2700)), 3), [Redemption, DepositSweep, MovedFundsSweep]);
        let local = Parameters { heartbeat_probability: 0.0, ..Parameters::LOCAL };
        assert_eq!(of(local, 1), [Redemption, DepositSweep, MovedFundsSweep], "the first window there is");
    }

    #[test]
    fn a_heartbeat_needs_a_draw_strictly_below_the_probability() {
        let draw = Seed::new(KeyHash([7; 20]), B256::repeat_byte(9)).heartbeat_draw();
        assert_eq!(checklist(1, draw, 16), [Action::Redemption]);
        assert_eq!(checklist(1, draw.next_up(), 16), [Action::Redemption, Action::Heartbeat]);
    }
}
