//! What all members of a network must agree on, as plain data: one preset says all of a network. The crates that act on
//! it make their own, checked types from it.

mod preset;

use std::{fmt, str::FromStr};

pub use self::preset::{BlockTimes, Contracts, Preset};
use crate::Action;

/// A network's values.
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
    /// N: moving funds is on the checklist of every N-th window, and so are both sweeps before
    /// [`Self::sweeps_every_window_from`].
    pub sweep_interval: u64,
    /// Windows from this block on have both sweeps on their checklist, whatever their index. `None` if no window has
    /// them for that reason.
    pub sweeps_every_window_from: Option<u64>,
    /// p: how probable a heartbeat is in a window.
    pub heartbeat_probability: f64,
    /// What counts as the safe block's hash.
    pub hash_rule: HashRule,
    /// Windows from this block on go by the other rule. `None` if no such block is known.
    pub hash_rule_changes_at: Option<u64>,
    /// When agreed actions run.
    pub actions: ActionTimes,
    /// How signing attempts are laid out.
    pub signing: SigningTimes,
    /// An event counts once its block is this many blocks deep.
    pub event_depth: u64,
    /// Blocks that a block is buried under when it is taken to be final: three epochs. What is above is read anew.
    pub final_depth: u64,
    /// What becomes of a redemption's change if it is dust.
    pub dust_change: DustChange,
}

/// When agreed actions run, in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ActionTimes {
    /// Blocks from the window's end to the expiry of a heartbeat.
    pub heartbeat_validity: u64,
    /// The same of a deposit sweep.
    pub deposit_sweep_validity: u64,
    /// The same of a redemption.
    pub redemption_validity: u64,
    /// The same of moving funds.
    pub moving_funds_validity: u64,
    /// The same of a moved funds sweep.
    pub moved_funds_sweep_validity: u64,
    /// Blocks before an action's expiry by which its signing must have ended. (A heartbeat's are kept for the inactivity
    /// claim.)
    pub signing_margin: u64,
    /// Blocks that moving funds waits between two validations, before it is signed: its commitment must be so deep.
    pub moving_funds_wait: u64,
}

impl ActionTimes {
    /// Blocks for which an action stays valid after its window's end.
    pub const fn validity(&self, action: Action) -> u64 {
        match action {
            Action::Heartbeat => self.heartbeat_validity,
            Action::DepositSweep => self.deposit_sweep_validity,
            Action::Redemption => self.redemption_validity,
            Action::MovingFunds => self.moving_funds_validity,
            Action::MovedFundsSweep => self.moved_funds_sweep_validity,
        }
    }
}

/// How the attempts to sign an action are laid out, in blocks. They follow one another from the signing's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SigningTimes {
    /// The most attempts.
    pub attempts: u64,
    /// An attempt begins with a delay.
    pub delay: u64,
    /// Then seats announce that they are ready.
    pub announcement: u64,
    /// Then come the rounds.
    pub rounds: u64,
    /// Then a pause, before the next attempt.
    pub pause: u64,
    /// How long a seat waits for a list of a higher rank, within the rounds.
    pub list_wait: u64,
    /// The last round begins only if so many blocks are left for it and for the start of the broadcast.
    pub last_round: u64,
}

impl SigningTimes {
    /// Blocks from one attempt to the next.
    pub const fn attempt(&self) -> u64 {
        self.delay.saturating_add(self.announcement).saturating_add(self.rounds).saturating_add(self.pause)
    }
}

/// What counts as a block's hash. On blocks before Prague both rules agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum HashRule {
    /// The chain's own: keccak-256 of the whole header.
    #[default]
    Canonical,
    /// keccak-256 of the header's RLP through `parentBeaconRoot`, as computed by clients that know no later field.
    LegacyHeader,
}

impl HashRule {
    /// The rule that a client goes by that doesn't go by this one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Canonical => Self::LegacyHeader,
            Self::LegacyHeader => Self::Canonical,
        }
    }

    /// The rule's name in configuration and output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Canonical => "canonical",
            Self::LegacyHeader => "legacy-header",
        }
    }
}

impl fmt::Display for HashRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that no [`HashRule`] has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown hash rule {0:?}, known are canonical and legacy-header")]
pub struct HashRuleError(pub String);

impl FromStr for HashRule {
    type Err = HashRuleError;

    fn from_str(name: &str) -> Result<Self, HashRuleError> {
        [Self::Canonical, Self::LegacyHeader]
            .into_iter()
            .find(|rule| rule.name() == name)
            .ok_or_else(|| HashRuleError(name.to_owned()))
    }
}

/// What becomes of change below the dust limit of its script, which no node relays. All members must build the same
/// bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DustChange {
    /// There is no such transaction: other requests are chosen.
    #[default]
    Refused,
    /// The change is left out and falls to the fee.
    LeftOut,
}

impl Parameters {
    /// RFC 12's windows, N = 16 and p = 0.0625 as in its first implementation, canonical hashes.
    pub const DEFAULT: Self = Self {
        frequency: 900,
        active_phase: 80,
        passive_phase: 20,
        safe_block_distance: 32,
        sweep_interval: 16,
        sweeps_every_window_from: None,
        heartbeat_probability: 0.0625,
        hash_rule: HashRule::Canonical,
        hash_rule_changes_at: None,
        actions: ActionTimes {
            heartbeat_validity: 600,
            deposit_sweep_validity: 1200,
            redemption_validity: 600,
            moving_funds_validity: 650,
            moved_funds_sweep_validity: 600,
            signing_margin: 300,
            moving_funds_wait: 32,
        },
        signing: SigningTimes {
            attempts: 5,
            delay: 1,
            announcement: 5,
            rounds: 30,
            pause: 5,
            list_wait: 3,
            last_round: 20,
        },
        event_depth: 32,
        final_depth: 96,
        dust_change: DustChange::Refused,
    };

    /// What the Go client runs: N = 4 since v2.0.1, sweeps in every window since its release of February 2026, and
    /// hashes of headers cut after `parentBeaconRoot`.
    pub const MAINNET: Self = Self {
        sweep_interval: 4,
        sweeps_every_window_from: Some(24_559_289),
        hash_rule: HashRule::LegacyHeader,
        ..Self::DEFAULT
    };

    /// Short windows and short actions, for a chain on one's own machine.
    pub const LOCAL: Self = Self {
        frequency: 60,
        active_phase: 20,
        passive_phase: 10,
        sweep_interval: 4,
        sweeps_every_window_from: Some(1),
        heartbeat_probability: 0.25,
        actions: ActionTimes {
            heartbeat_validity: 60,
            deposit_sweep_validity: 60,
            redemption_validity: 60,
            moving_funds_validity: 70,
            moved_funds_sweep_validity: 60,
            signing_margin: 10,
            moving_funds_wait: 8,
        },
        signing: SigningTimes {
            attempts: 5,
            delay: 1,
            announcement: 2,
            rounds: 4,
            pause: 1,
            list_wait: 1,
            last_round: 2,
        },
        event_depth: 8,
        dust_change: DustChange::LeftOut,
        ..Self::DEFAULT
    };
}

impl Default for Parameters {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_say_what_the_protocol_says() {
        let (default, mainnet, local) = (Parameters::default(), Parameters::MAINNET, Parameters::LOCAL);
        let windows = |p: &Parameters| (p.frequency, p.active_phase, p.passive_phase, p.safe_block_distance);
        let checklist =
            |p: &Parameters| (p.sweep_interval, p.sweeps_every_window_from, p.heartbeat_probability);
        let validities = |p: &Parameters| Action::ALL.map(|action| p.actions.validity(action));
        let waits = |p: &Parameters| (p.actions.signing_margin, p.actions.moving_funds_wait, p.event_depth);
        let rules = |p: &Parameters| (p.hash_rule, p.hash_rule_changes_at, p.dust_change);

        for preset in [default, mainnet] {
            assert_eq!(windows(&preset), (900, 80, 20, 32));
            // Heartbeat, deposit sweep, redemption, moving funds, moved funds sweep.
            assert_eq!(validities(&preset), [600, 1200, 600, 650, 600]);
            assert_eq!(waits(&preset), (300, 32, 32));
            assert_eq!((preset.signing.attempt(), preset.signing.attempts), (41, 5));
            assert_eq!((preset.signing.list_wait, preset.signing.last_round), (3, 20));
        }
        assert_eq!(checklist(&default), (16, None, 0.0625));
        assert_eq!(rules(&default), (HashRule::Canonical, None, DustChange::Refused));
        assert_eq!(checklist(&mainnet), (4, Some(24_559_289), 0.0625));
        assert_eq!(rules(&mainnet), (HashRule::LegacyHeader, None, DustChange::Refused));

        assert_eq!(windows(&local), (60, 20, 10, 32));
        assert_eq!(checklist(&local), (4, Some(1), 0.25));
        assert_eq!(validities(&local), [60, 60, 60, 70, 60]);
        assert_eq!(waits(&local), (10, 8, 8));
        let SigningTimes { attempts, delay, announcement, rounds, pause, list_wait, last_round } =
            local.signing;
        assert_eq!((attempts, delay, announcement, rounds, pause), (5, 1, 2, 4, 1));
        assert_eq!((local.signing.attempt(), list_wait, last_round), (8, 1, 2));
        assert_eq!(rules(&local), (HashRule::Canonical, None, DustChange::LeftOut));
    }

    #[test]
    fn hash_rules_are_read_by_their_names() {
        for rule in [HashRule::Canonical, HashRule::LegacyHeader] {
            assert_eq!(rule.name().parse(), Ok(rule));
            assert_ne!(rule, rule.other());
            assert_eq!(rule, rule.other().other());
        }
        let unknown = "legacy".parse::<HashRule>().unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "unknown hash rule \"legacy\", known are canonical and legacy-header"
        );
    }
}
