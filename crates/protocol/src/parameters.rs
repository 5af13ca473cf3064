//! A network's [`Parameters`], checked, and what they say of a window.

use std::{
    hash::{Hash, Hasher},
    ops::Deref,
};

use coxswain_rules::{
    Action,
    network::{HashRule, Parameters},
    units::{BlockNumber, Blocks},
};

use crate::{Schedule, Window};

/// Why [`Parameters`] make no network.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParametersError {
    /// No block would start a window.
    #[error("the coordination frequency is 0 blocks, at least 1 needed")]
    NoFrequency,
    /// The leader could never speak.
    #[error("the active phase is 0 blocks, at least 1 needed")]
    NoActivePhase,
    /// A window would run into the next one.
    #[error("active and passive phase take {active} + {passive} blocks, at most {frequency} allowed")]
    PhasesTooLong {
        /// Blocks of the active phase.
        active: Blocks,
        /// Blocks of the passive phase.
        passive: Blocks,
        /// Blocks from one window to the next.
        frequency: Blocks,
    },
    /// The first window's safe block would lie before the chain's first.
    #[error("the safe block lies {distance} blocks back, at most {frequency} allowed")]
    SafeBlockTooFar {
        /// Blocks from the safe block to the window.
        distance: Blocks,
        /// Blocks from one window to the next.
        frequency: Blocks,
    },
    /// N is a divisor.
    #[error("the sweep interval is 0 windows, at least 1 needed")]
    NoSweepInterval,
    /// p is no probability.
    #[error("the heartbeat probability is {0}, from 0 to 1 allowed")]
    HeartbeatProbability(f64),
    /// An action's signing would have to end before it may start.
    #[error("{action} could be signed from block {start} after its window to block {end}")]
    NoTimeToSign {
        /// The action.
        action: Action,
        /// Blocks from the window's end to the start of the signing.
        start: Blocks,
        /// Blocks from the window's end to the end of the signing.
        end: Blocks,
    },
}

/// [`Parameters`] that fit together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WindowParameters(Parameters);

/// Checked parameters are numbers.
impl Eq for WindowParameters {}

impl Hash for WindowParameters {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.frequency, self.active_phase, self.passive_phase).hash(state);
    }
}

impl WindowParameters {
    /// The preset for wallets coordinated together with Go clients.
    pub const MAINNET: Self = Self(Parameters::MAINNET);
    /// The preset for a chain on one's own machine.
    pub const LOCAL: Self = Self(Parameters::LOCAL);

    /// Whether deposit sweeps and moved funds sweeps are on every wallet's checklist in a window.
    pub(crate) const fn allows_sweeps(&self, window: &Window) -> bool {
        self.allows_moving_funds(window) || self.sweeps_in_every_window(window)
    }

    /// Whether the window is one of those that have sweeps on their checklists whatever their index.
    pub const fn sweeps_in_every_window(&self, window: &Window) -> bool {
        match self.0.sweeps_every_window_from {
            Some(from) => window.block().0 >= from.0,
            None => false,
        }
    }

    /// Whether moving funds is on every wallet's checklist in a window.
    pub const fn allows_moving_funds(&self, window: &Window) -> bool {
        window.index().is_multiple_of(self.0.sweep_interval)
    }

    /// What counts as the hash of a window's safe block.
    pub const fn hash_rule(&self, window: &Window) -> HashRule {
        match self.0.hash_rule_changes_at {
            Some(block) if window.block().0 >= block.0 => self.0.hash_rule.other(),
            _ => self.0.hash_rule,
        }
    }

    /// The window that starts at this block, if one does.
    pub fn window_at(&self, block: BlockNumber) -> Option<Window> {
        self.latest_window(block).filter(|window| window.block() == block)
    }

    /// The latest window that has started by this block. `None` before the first.
    pub fn latest_window(&self, block: BlockNumber) -> Option<Window> {
        Window::numbered(self, block.0 / self.frequency.0)
    }
}

impl Default for WindowParameters {
    fn default() -> Self {
        Self(Parameters::DEFAULT)
    }
}

impl Deref for WindowParameters {
    type Target = Parameters;

    fn deref(&self) -> &Parameters {
        &self.0
    }
}

impl TryFrom<Parameters> for WindowParameters {
    type Error = ParametersError;

    fn try_from(parameters: Parameters) -> Result<Self, ParametersError> {
        let Parameters { frequency, active_phase: active, passive_phase: passive, .. } = parameters;
        let (distance, p) = (parameters.safe_block_distance, parameters.heartbeat_probability);
        if frequency == Blocks(0) {
            return Err(ParametersError::NoFrequency);
        }
        if active == Blocks(0) {
            return Err(ParametersError::NoActivePhase);
        }
        if active.checked_add(passive).is_none_or(|blocks| blocks > frequency) {
            return Err(ParametersError::PhasesTooLong { active, passive, frequency });
        }
        if distance > frequency {
            return Err(ParametersError::SafeBlockTooFar { distance, frequency });
        }
        if parameters.sweep_interval == 0 {
            return Err(ParametersError::NoSweepInterval);
        }
        if !(0.0..=1.0).contains(&p) {
            return Err(ParametersError::HeartbeatProbability(p));
        }
        for action in Action::ALL {
            let window_end = BlockNumber(0);
            let Schedule { signing_start, signing_end, .. } =
                Schedule::after(window_end, &parameters.actions, action);
            if signing_start >= signing_end {
                let [start, end] = [signing_start, signing_end].map(|at| at.saturating_since(window_end));
                return Err(ParametersError::NoTimeToSign { action, start, end });
            }
        }
        Ok(Self(parameters))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(change: impl FnOnce(&mut Parameters)) -> Result<WindowParameters, ParametersError> {
        let mut parameters = Parameters::DEFAULT;
        change(&mut parameters);
        WindowParameters::try_from(parameters)
    }

    #[test]
    fn presets_are_sound() {
        for preset in [WindowParameters::default(), WindowParameters::MAINNET, WindowParameters::LOCAL] {
            assert_eq!(WindowParameters::try_from(*preset), Ok(preset));
        }
    }

    #[test]
    fn inc_34_the_other_hash_rule_holds_from_its_block_on() {
        let network = network(|p| p.hash_rule_changes_at = Some(BlockNumber(1800))).unwrap();
        let rule = |index| network.hash_rule(&Window::numbered(&network, index).unwrap());
        assert_eq!(
            (rule(1), rule(2), rule(3)),
            (HashRule::Canonical, HashRule::LegacyHeader, HashRule::LegacyHeader)
        );
        let far = Window::numbered(&WindowParameters::MAINNET, 1_000_000).unwrap();
        assert_eq!(
            WindowParameters::MAINNET.hash_rule(&far),
            HashRule::LegacyHeader,
            "no such block is known"
        );
    }

    #[test]
    fn parameters_that_do_not_fit_together_are_refused_at_each_boundary() {
        assert_eq!(network(|p| p.frequency = Blocks(0)), Err(ParametersError::NoFrequency));
        assert_eq!(network(|p| p.active_phase = Blocks(0)), Err(ParametersError::NoActivePhase));
        assert_eq!(
            network(|p| p.frequency = Blocks(99)),
            Err(ParametersError::PhasesTooLong {
                active: Blocks(80),
                passive: Blocks(20),
                frequency: Blocks(99)
            })
        );
        assert!(network(|p| p.frequency = Blocks(100)).is_ok());
        assert!(network(|p| p.passive_phase = Blocks(u64::MAX)).is_err(), "the sum must not wrap");
        assert_eq!(
            network(|p| p.safe_block_distance = Blocks(901)),
            Err(ParametersError::SafeBlockTooFar { distance: Blocks(901), frequency: Blocks(900) })
        );
        assert!(network(|p| p.safe_block_distance = Blocks(900)).is_ok());
        assert_eq!(network(|p| p.sweep_interval = 0), Err(ParametersError::NoSweepInterval));
        assert!(network(|p| p.sweep_interval = 1).is_ok());
        for p in [-0.001, 1.001, f64::NAN, f64::INFINITY] {
            assert!(network(|parameters| parameters.heartbeat_probability = p).is_err(), "{p}");
        }
        for p in [0.0, 1.0] {
            assert!(network(|parameters| parameters.heartbeat_probability = p).is_ok(), "{p}");
        }
        assert_eq!(
            network(|p| p.actions.signing_margin = Blocks(600)),
            Err(ParametersError::NoTimeToSign {
                action: Action::Heartbeat,
                start: Blocks(0),
                end: Blocks(0)
            })
        );
        assert!(network(|p| p.actions.signing_margin = Blocks(599)).is_ok());
        assert_eq!(
            network(|p| p.actions.moving_funds_wait = Blocks(350)),
            Err(ParametersError::NoTimeToSign {
                action: Action::MovingFunds,
                start: Blocks(350),
                end: Blocks(350)
            })
        );
        assert!(network(|p| p.actions.moving_funds_wait = Blocks(349)).is_ok());
    }
}
