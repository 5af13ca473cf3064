//! What all members of a network must agree on, and the presets that say it.

use std::ops::Deref;

use crate::{HashRule, Window};

/// A network's values, as configured. [`Network`] holds them checked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameters {
    /// A window starts at every block that is a multiple of this. Block 0 starts none.
    pub frequency: u64,
    /// Blocks during which the leader may speak.
    pub active_phase: u64,
    /// Blocks after the active phase during which nobody speaks and the result is prepared.
    pub passive_phase: u64,
    /// How far before the window the block lies whose hash feeds the seed.
    pub safe_block_distance: u64,
    /// N: sweeps and moving funds are on the checklist of every N-th window.
    pub sweep_interval: u64,
    /// p: how probable a heartbeat is in a window.
    pub heartbeat_probability: f64,
    /// What counts as the safe block's hash.
    pub hash_rule: HashRule,
}

impl Parameters {
    /// RFC 12's windows, N = 16 and p = 0.0625 as in its first implementation, canonical hashes.
    pub const DEFAULT: Self = Self {
        frequency: 900,
        active_phase: 80,
        passive_phase: 20,
        safe_block_distance: 32,
        sweep_interval: 16,
        heartbeat_probability: 0.0625,
        hash_rule: HashRule::Canonical,
    };

    /// What the Go client runs since v2.1.0: N = 4, and hashes of headers cut after `parentBeaconRoot`.
    pub const MAINNET: Self = Self { sweep_interval: 4, hash_rule: HashRule::LegacyHeader, ..Self::DEFAULT };

    /// Short windows, for a chain on one's own machine.
    pub const LOCAL: Self = Self { frequency: 60, active_phase: 20, passive_phase: 10, ..Self::DEFAULT };
}

impl Default for Parameters {
    fn default() -> Self {
        Self::DEFAULT
    }
}

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
        active: u64,
        /// Blocks of the passive phase.
        passive: u64,
        /// Blocks from one window to the next.
        frequency: u64,
    },
    /// The first window's safe block would lie before the chain's first.
    #[error("the safe block lies {distance} blocks back, at most {frequency} allowed")]
    SafeBlockTooFar {
        /// Blocks from the safe block to the window.
        distance: u64,
        /// Blocks from one window to the next.
        frequency: u64,
    },
    /// N is a divisor.
    #[error("the sweep interval is 0 windows, at least 1 needed")]
    NoSweepInterval,
    /// p is no probability.
    #[error("the heartbeat probability is {0}, from 0 to 1 allowed")]
    HeartbeatProbability(f64),
}

/// [`Parameters`] that fit together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Network(Parameters);

impl Network {
    /// The preset for wallets coordinated together with Go clients.
    pub const MAINNET: Self = Self(Parameters::MAINNET);
    /// The preset for a chain on one's own machine.
    pub const LOCAL: Self = Self(Parameters::LOCAL);

    /// The preset of this name.
    pub fn preset(name: &str) -> Option<Self> {
        match name {
            "mainnet" => Some(Self::MAINNET),
            "local" => Some(Self::LOCAL),
            _ => None,
        }
    }

    /// Whether sweeps and moving funds are on every wallet's checklist in a window.
    pub const fn allows_sweeps(&self, window: &Window) -> bool {
        window.index().is_multiple_of(self.0.sweep_interval)
    }

    /// The window that starts at this block, if one does.
    pub fn window_at(&self, block: u64) -> Option<Window> {
        self.latest_window(block).filter(|window| window.block() == block)
    }

    /// The latest window that has started by this block; none in the blocks before the first.
    pub fn latest_window(&self, block: u64) -> Option<Window> {
        Window::numbered(self, block / self.frequency)
    }
}

impl Default for Network {
    fn default() -> Self {
        Self(Parameters::DEFAULT)
    }
}

impl Deref for Network {
    type Target = Parameters;

    fn deref(&self) -> &Parameters {
        &self.0
    }
}

impl TryFrom<Parameters> for Network {
    type Error = ParametersError;

    fn try_from(parameters: Parameters) -> Result<Self, ParametersError> {
        let Parameters { frequency, active_phase: active, passive_phase: passive, .. } = parameters;
        let (distance, p) = (parameters.safe_block_distance, parameters.heartbeat_probability);
        if frequency == 0 {
            return Err(ParametersError::NoFrequency);
        }
        if active == 0 {
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
        Ok(Self(parameters))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(change: impl FnOnce(&mut Parameters)) -> Result<Network, ParametersError> {
        let mut parameters = Parameters::DEFAULT;
        change(&mut parameters);
        Network::try_from(parameters)
    }

    #[test]
    fn presets_are_sound_and_say_what_the_protocol_says() {
        for preset in [Network::default(), Network::MAINNET, Network::LOCAL] {
            assert_eq!(Network::try_from(*preset), Ok(preset));
        }
        let (default, mainnet, local) = (Network::default(), Network::MAINNET, Network::LOCAL);
        assert_eq!((default.frequency, default.active_phase, default.passive_phase), (900, 80, 20));
        assert_eq!((default.sweep_interval, default.heartbeat_probability), (16, 0.0625));
        assert_eq!((default.hash_rule, default.safe_block_distance), (HashRule::Canonical, 32));
        assert_eq!((mainnet.sweep_interval, mainnet.heartbeat_probability), (4, 0.0625));
        assert_eq!(mainnet.hash_rule, HashRule::LegacyHeader);
        assert_eq!((local.frequency, local.active_phase, local.passive_phase), (60, 20, 10));
        assert_eq!(Network::preset("mainnet"), Some(mainnet));
        assert_eq!(Network::preset("local"), Some(local));
        assert_eq!(Network::preset("Mainnet"), None);
    }

    #[test]
    fn parameters_that_do_not_fit_together_are_refused_at_each_boundary() {
        assert_eq!(network(|p| p.frequency = 0), Err(ParametersError::NoFrequency));
        assert_eq!(network(|p| p.active_phase = 0), Err(ParametersError::NoActivePhase));
        assert_eq!(
            network(|p| p.frequency = 99),
            Err(ParametersError::PhasesTooLong { active: 80, passive: 20, frequency: 99 })
        );
        assert!(network(|p| p.frequency = 100).is_ok());
        assert!(network(|p| p.passive_phase = u64::MAX).is_err(), "the sum must not wrap");
        assert_eq!(
            network(|p| p.safe_block_distance = 901),
            Err(ParametersError::SafeBlockTooFar { distance: 901, frequency: 900 })
        );
        assert!(network(|p| p.safe_block_distance = 900).is_ok());
        assert_eq!(network(|p| p.sweep_interval = 0), Err(ParametersError::NoSweepInterval));
        assert!(network(|p| p.sweep_interval = 1).is_ok());
        for p in [-0.001, 1.001, f64::NAN, f64::INFINITY] {
            assert!(network(|parameters| parameters.heartbeat_probability = p).is_err(), "{p}");
        }
        for p in [0.0, 1.0] {
            assert!(network(|parameters| parameters.heartbeat_probability = p).is_ok(), "{p}");
        }
    }
}
