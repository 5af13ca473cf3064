//! Which actions a window allows, in order of priority.

use coxswain_rules::Action;

use crate::{Network, Seed, Window};

/// The actions that a leader may propose in a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Checklist {
    sweeps: bool,
    draw: f64,
    heartbeat: bool,
}

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
    pub fn new(network: &Network, window: Window, seed: Seed) -> Self {
        let draw = seed.heartbeat_draw();
        Self { sweeps: network.allows_sweeps(&window), draw, heartbeat: draw < network.heartbeat_probability }
    }

    /// The draw that decided on the heartbeat: it is on the list when this is below the network's probability.
    pub const fn heartbeat_draw(&self) -> f64 {
        self.draw
    }

    /// Whether the window allows this action.
    pub const fn contains(&self, action: Action) -> bool {
        match action {
            Action::Redemption => true,
            Action::DepositSweep | Action::MovedFundsSweep | Action::MovingFunds => self.sweeps,
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
    use coxswain_rules::KeyHash;

    use super::*;
    use crate::Parameters;

    fn checklist(index: u64, p: f64, n: u64) -> Vec<Action> {
        let parameters = Parameters { heartbeat_probability: p, sweep_interval: n, ..Parameters::DEFAULT };
        let network = Network::try_from(parameters).unwrap();
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
    fn a_heartbeat_needs_a_draw_strictly_below_the_probability() {
        let draw = Seed::new(KeyHash([7; 20]), B256::repeat_byte(9)).heartbeat_draw();
        assert_eq!(checklist(1, draw, 16), [Action::Redemption]);
        assert_eq!(checklist(1, draw.next_up(), 16), [Action::Redemption, Action::Heartbeat]);
    }
}
