//! What all members of a network must agree on, as plain data: one preset says all of a network. The crates that act on
//! it make their own, checked types from it.

mod preset;

use std::{fmt, str::FromStr};

pub use self::preset::{BlockTimes, Contracts, Preset};
use crate::{
    Action,
    units::{BlockNumber, Blocks},
};

/// A network's values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameters {
    /// A window starts at every block that is a multiple of this. Block 0 starts none.
    pub frequency: Blocks,
    /// Blocks during which the leader may speak.
    pub active_phase: Blocks,
    /// Blocks after the active phase during which nobody speaks and the result is prepared.
    pub passive_phase: Blocks,
    /// How far before the window the block lies whose hash feeds the seed.
    pub safe_block_distance: Blocks,
    /// N: moving funds is on the checklist of every N-th window, and so are both sweeps before
    /// [`Self::sweeps_every_window_from`].
    pub sweep_interval: u64,
    /// Windows from this block on have both sweeps on their checklist, whatever their index. `None` if no window has
    /// them for that reason.
    pub sweeps_every_window_from: Option<BlockNumber>,
    /// p: how probable a heartbeat is in a window.
    pub heartbeat_probability: f64,
    /// What counts as the safe block's hash.
    pub hash_rule: HashRule,
    /// Windows from this block on go by the other rule. `None` if no such block is known.
    pub hash_rule_changes_at: Option<BlockNumber>,
    /// When agreed actions run.
    pub actions: ActionTimes,
    /// How signing attempts are laid out.
    pub signing: SigningTimes,
    /// An event counts once its block is this many blocks deep.
    pub event_depth: Blocks,
    /// Blocks that a block is buried under when it is taken to be final: three epochs. What is above is read anew.
    pub final_depth: Blocks,
    /// What becomes of a redemption's change if it is dust.
    pub dust_change: DustChange,
}

/// When agreed actions run, in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ActionTimes {
    /// Blocks from the window's end to the expiry of a heartbeat.
    pub heartbeat_validity: Blocks,
    /// The same of a deposit sweep.
    pub deposit_sweep_validity: Blocks,
    /// The same of a redemption.
    pub redemption_validity: Blocks,
    /// The same of moving funds.
    pub moving_funds_validity: Blocks,
    /// The same of a moved funds sweep.
    pub moved_funds_sweep_validity: Blocks,
    /// Blocks before an action's expiry by which its signing must have ended. (A heartbeat's are kept for the inactivity
    /// claim.)
    pub signing_margin: Blocks,
    /// Blocks that moving funds waits between two validations, before it is signed: its commitment must be so deep.
    pub moving_funds_wait: Blocks,
}

impl ActionTimes {
    /// Blocks for which an action stays valid after its window's end.
    pub const fn validity(&self, action: Action) -> Blocks {
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
    pub delay: Blocks,
    /// Then seats announce that they are ready.
    pub announcement: Blocks,
    /// Then come the rounds.
    pub rounds: Blocks,
    /// Then a pause, before the next attempt.
    pub pause: Blocks,
    /// How long a seat waits for a list of a higher rank, within the rounds.
    pub list_wait: Blocks,
    /// The last round begins only if so many blocks are left for it and for the start of the broadcast.
    pub last_round: Blocks,
}

impl SigningTimes {
    /// Blocks from one attempt to the next.
    pub const fn attempt(&self) -> Blocks {
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
        frequency: Blocks(900),
        active_phase: Blocks(80),
        passive_phase: Blocks(20),
        safe_block_distance: Blocks(32),
        sweep_interval: 16,
        sweeps_every_window_from: None,
        heartbeat_probability: 0.0625,
        hash_rule: HashRule::Canonical,
        hash_rule_changes_at: None,
        actions: ActionTimes {
            heartbeat_validity: Blocks(600),
            deposit_sweep_validity: Blocks(1200),
            redemption_validity: Blocks(600),
            moving_funds_validity: Blocks(650),
            moved_funds_sweep_validity: Blocks(600),
            signing_margin: Blocks(300),
            moving_funds_wait: Blocks(32),
        },
        signing: SigningTimes {
            attempts: 5,
            delay: Blocks(1),
            announcement: Blocks(5),
            rounds: Blocks(30),
            pause: Blocks(5),
            list_wait: Blocks(3),
            last_round: Blocks(20),
        },
        event_depth: Blocks(32),
        final_depth: Blocks(96),
        dust_change: DustChange::Refused,
    };

    /// What the Go client runs: N = 4 since v2.0.1, sweeps in every window since its release of February 2026, and
    /// hashes of headers cut after `parentBeaconRoot`.
    pub const MAINNET: Self = Self {
        sweep_interval: 4,
        sweeps_every_window_from: Some(BlockNumber(24_559_289)),
        hash_rule: HashRule::LegacyHeader,
        ..Self::DEFAULT
    };

    /// Short windows and short actions, for a chain on one's own machine.
    pub const LOCAL: Self = Self {
        frequency: Blocks(60),
        active_phase: Blocks(20),
        passive_phase: Blocks(10),
        sweep_interval: 4,
        sweeps_every_window_from: Some(BlockNumber(1)),
        heartbeat_probability: 0.25,
        actions: ActionTimes {
            heartbeat_validity: Blocks(60),
            deposit_sweep_validity: Blocks(60),
            redemption_validity: Blocks(60),
            moving_funds_validity: Blocks(70),
            moved_funds_sweep_validity: Blocks(60),
            signing_margin: Blocks(10),
            moving_funds_wait: Blocks(8),
        },
        signing: SigningTimes {
            attempts: 5,
            delay: Blocks(1),
            announcement: Blocks(2),
            rounds: Blocks(4),
            pause: Blocks(1),
            list_wait: Blocks(1),
            last_round: Blocks(2),
        },
        event_depth: Blocks(8),
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
            assert_eq!(windows(&preset), (Blocks(900), Blocks(80), Blocks(20), Blocks(32)));
            // Heartbeat, deposit sweep, redemption, moving funds, moved funds sweep.
            assert_eq!(validities(&preset), [600, 1200, 600, 650, 600].map(Blocks));
            assert_eq!(waits(&preset), (Blocks(300), Blocks(32), Blocks(32)));
            assert_eq!((preset.signing.attempt(), preset.signing.attempts), (Blocks(41), 5));
            assert_eq!((preset.signing.list_wait, preset.signing.last_round), (Blocks(3), Blocks(20)));
        }
        assert_eq!(checklist(&default), (16, None, 0.0625));
        assert_eq!(rules(&default), (HashRule::Canonical, None, DustChange::Refused));
        assert_eq!(checklist(&mainnet), (4, Some(BlockNumber(24_559_289)), 0.0625));
        assert_eq!(rules(&mainnet), (HashRule::LegacyHeader, None, DustChange::Refused));

        assert_eq!(windows(&local), (Blocks(60), Blocks(20), Blocks(10), Blocks(32)));
        assert_eq!(checklist(&local), (4, Some(BlockNumber(1)), 0.25));
        assert_eq!(validities(&local), [60, 60, 60, 70, 60].map(Blocks));
        assert_eq!(waits(&local), (Blocks(10), Blocks(8), Blocks(8)));
        let SigningTimes { attempts, delay, announcement, rounds, pause, list_wait, last_round } =
            local.signing;
        assert_eq!(
            (attempts, delay, announcement, rounds, pause),
            (5, Blocks(1), Blocks(2), Blocks(4), Blocks(1))
        );
        assert_eq!((local.signing.attempt(), list_wait, last_round), (Blocks(8), Blocks(1), Blocks(2)));
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
