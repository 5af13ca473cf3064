//! When an agreed action runs, and until when. A no-op runs never: these are for [`Action`]s.

use coxswain_rules::{
    Action,
    network::ActionTimes,
    units::{BlockNumber, Blocks},
};

use crate::Window;

/// An action's deadlines, in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Schedule {
    /// The action starts here, with its validation: the window's end.
    pub start: BlockNumber,
    /// Signing may start here. Moving funds has waited and been validated again by then.
    pub signing_start: BlockNumber,
    /// Signing must have ended before this.
    pub signing_end: BlockNumber,
    /// The action is over.
    pub expiry: BlockNumber,
}

impl Schedule {
    /// The schedule of an action agreed on in a window, on a network with these times.
    pub const fn new(window: &Window, times: &ActionTimes, action: Action) -> Self {
        Self::after(window.end(), times, action)
    }

    pub(crate) const fn after(start: BlockNumber, times: &ActionTimes, action: Action) -> Self {
        let wait = match action {
            Action::MovingFunds => times.moving_funds_wait,
            Action::Heartbeat | Action::DepositSweep | Action::Redemption | Action::MovedFundsSweep => {
                Blocks(0)
            }
        };
        let expiry = start.saturating_add(times.validity(action));
        Self {
            start,
            signing_start: start.saturating_add(wait),
            signing_end: expiry.saturating_sub(times.signing_margin),
            expiry,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WindowParameters;

    fn schedule(network: &WindowParameters, action: Action) -> (u64, u64, u64, u64) {
        let window = Window::numbered(network, 1).unwrap();
        let Schedule { start, signing_start, signing_end, expiry } =
            Schedule::new(&window, &network.actions, action);
        (start.0, signing_start.0, signing_end.0, expiry.0)
    }

    #[test]
    fn actions_start_at_the_windows_end_and_last_as_the_protocol_says() {
        let schedule = |action| schedule(&WindowParameters::MAINNET, action);
        assert_eq!(schedule(Action::Heartbeat), (1000, 1000, 1300, 1600));
        assert_eq!(schedule(Action::DepositSweep), (1000, 1000, 1900, 2200));
        assert_eq!(schedule(Action::Redemption), (1000, 1000, 1300, 1600));
        assert_eq!(schedule(Action::MovingFunds), (1000, 1032, 1350, 1650));
        assert_eq!(schedule(Action::MovedFundsSweep), (1000, 1000, 1300, 1600));
    }

    #[test]
    fn local_actions_are_as_short_as_local_windows() {
        let schedule = |action| schedule(&WindowParameters::LOCAL, action);
        for action in [Action::Heartbeat, Action::DepositSweep, Action::Redemption, Action::MovedFundsSweep] {
            assert_eq!(schedule(action), (90, 90, 140, 150), "{action}");
        }
        assert_eq!(schedule(Action::MovingFunds), (90, 98, 150, 160));
    }
}
