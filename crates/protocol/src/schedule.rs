//! When an agreed action runs, and until when. A no-op runs never: these are for [`Action`]s.

use coxswain_rules::Action;

use crate::Window;

/// Blocks that moving funds waits between two validations, before it is signed.
pub const MOVING_FUNDS_CONFIRMATIONS: u64 = 32;

/// Blocks for which an action stays valid after its window's end.
pub const fn validity(action: Action) -> u64 {
    match action {
        Action::Heartbeat | Action::Redemption | Action::MovedFundsSweep => 600,
        Action::DepositSweep => 1200,
        Action::MovingFunds => 650,
    }
}

/// Blocks before its expiry by which an action's signing must have ended. (A heartbeat's are kept for the inactivity
/// claim.)
pub const SIGNING_MARGIN: u64 = 300;

/// An action's deadlines, in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Schedule {
    /// The action starts here, with its validation: the window's end.
    pub start: u64,
    /// Signing may start here. Moving funds has waited and been validated again by then.
    pub signing_start: u64,
    /// Signing must have ended before this.
    pub signing_end: u64,
    /// The action is over.
    pub expiry: u64,
}

impl Schedule {
    /// The schedule of an action agreed on in a window.
    pub const fn new(window: &Window, action: Action) -> Self {
        let start = window.end();
        let wait = match action {
            Action::MovingFunds => MOVING_FUNDS_CONFIRMATIONS,
            _ => 0,
        };
        let expiry = start.saturating_add(validity(action));
        Self {
            start,
            signing_start: start.saturating_add(wait),
            signing_end: expiry.saturating_sub(SIGNING_MARGIN),
            expiry,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Network;

    #[test]
    fn actions_start_at_the_windows_end_and_last_as_the_protocol_says() {
        let window = Window::numbered(&Network::default(), 1).unwrap();
        let schedule = |action| {
            let Schedule { start, signing_start, signing_end, expiry } = Schedule::new(&window, action);
            (start, signing_start, signing_end, expiry)
        };
        assert_eq!(schedule(Action::Heartbeat), (1000, 1000, 1300, 1600));
        assert_eq!(schedule(Action::DepositSweep), (1000, 1000, 1900, 2200));
        assert_eq!(schedule(Action::Redemption), (1000, 1000, 1300, 1600));
        assert_eq!(schedule(Action::MovingFunds), (1000, 1032, 1350, 1650));
        assert_eq!(schedule(Action::MovedFundsSweep), (1000, 1000, 1300, 1600));
    }
}
