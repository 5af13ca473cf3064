//! How many headers a proof needs: work counts, not blocks.
//!
//! The Bridge asks for the difficulty of the transaction's block, which must be one that its relay knows, times a factor. The
//! headers' own difficulties are added up until they reach that, whatever epochs they are of.

use std::{fmt, iter::Sum};

use bitcoin::{Target, block::Header, params::MAINNET};
use coxswain_rules::units::Height;

/// Blocks of an epoch, all of which have one difficulty.
pub const EPOCH: u32 = 2_016;
/// The most headers of a proof: 120,000 bytes. Nodes' pools refuse transactions of over 131,072.
pub const MOST_HEADERS: usize = 1_500;
/// What the bits of a block of difficulty 1 are. Testnets have such blocks between others.
const MINIMUM_DIFFICULTY: u32 = 0x1d00_ffff;

/// How hard a block is: how many times the easiest of Bitcoin's mainnet, rounded down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Difficulty(pub u128);

impl Difficulty {
    /// No work at all: what a relay has that knows no difficulty, and what regtest's headers have.
    pub const ZERO: Self = Self(0);
    /// The difficulty of Bitcoin's first block.
    pub const ONE: Self = Self(1);

    /// The difficulty that a header names.
    pub fn of(header: &Header) -> Self {
        let target = header.target();
        // No hash meets such a target.
        if target == Target::ZERO { Self::ZERO } else { Self(target.difficulty(&MAINNET)) }
    }

    fn times(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor.into()))
    }
}

impl Sum for Difficulty {
    fn sum<I: Iterator<Item = Self>>(difficulties: I) -> Self {
        Self(difficulties.fold(0, |sum, difficulty| sum.saturating_add(difficulty.0)))
    }
}

impl fmt::Display for Difficulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The relay's difficulties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelayDifficulties {
    /// The difficulty of the newest epoch that it knows.
    pub current: Difficulty,
    /// The difficulty of the one before.
    pub previous: Difficulty,
    /// The number of the newest epoch that it knows. `None` if it doesn't count: a test's.
    pub epoch: Option<u32>,
}

/// How much work a proof must show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkAsked {
    /// The relay's difficulties.
    pub relay: RelayDifficulties,
    /// How many times the difficulty of the transaction's block.
    pub factor: u64,
}

/// Why a transaction can't be proven now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotProvable {
    /// There are too few blocks on it yet.
    #[error("its blocks have {have} of the work of {asked} that is asked for")]
    WaitingForBlocks {
        /// The work of its block and those on it.
        have: Difficulty,
        /// The work asked for. Zero if no header tells it yet.
        asked: Difficulty,
    },
    /// The relay doesn't know the epoch of its block yet.
    #[error("its block is of epoch {epoch}, and the relay knows {relay} at most")]
    WaitingForRelay {
        /// The epoch of its block.
        epoch: u32,
        /// The newest that the relay knows.
        relay: u32,
    },
    /// The relay doesn't know the epoch of its block any longer: it never will be provable.
    #[error("its block is of epoch {epoch}, and the relay knows {} and {relay}", relay.saturating_sub(1))]
    OutOfRelayRange {
        /// The epoch of its block.
        epoch: u32,
        /// The newest that the relay knows.
        relay: u32,
    },
    /// The difficulty of its block is none that the relay has, for all that its epoch is.
    #[error("its block has difficulty {actual}, and the relay {} and {}", relay.current, relay.previous)]
    OtherDifficulty {
        /// The difficulty of its block.
        actual: Difficulty,
        /// The relay's difficulties.
        relay: RelayDifficulties,
    },
    /// So many headers fit no transaction.
    #[error("over {MOST_HEADERS} headers would be needed")]
    TooManyHeaders,
}

impl NotProvable {
    /// A stable name for the reason, for programs.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::WaitingForBlocks { .. } => "waiting_for_blocks",
            Self::WaitingForRelay { .. } => "waiting_for_relay",
            Self::OutOfRelayRange { .. } => "out_of_relay_range",
            Self::OtherDifficulty { .. } => "other_difficulty",
            Self::TooManyHeaders => "too_many_headers",
        }
    }
}

/// How many more epochs the relay may learn before a transaction at this height can't be proven any more. 0 if it can't be now.
pub const fn epochs_left(height: Height, relay_epoch: u32) -> u32 {
    // The relay knows two: its newest and the one before.
    (height.0 / EPOCH).saturating_add(2).saturating_sub(relay_epoch)
}

/// How many of these headers, of consecutive blocks from this height on, the Bridge asks for as proof of a transaction in the
/// first of them. They end where the chain ends. Their hashes are not looked at.
///
/// # Errors
/// If they don't suffice, or none would.
pub fn headers_needed<'a>(
    asked: &WorkAsked,
    height: Height,
    headers: impl IntoIterator<Item = &'a Header>,
) -> Result<usize, NotProvable> {
    let (mut have, mut goal) = (Difficulty::ZERO, None);
    for ((count, height), header) in (1..).zip((height.0..).map(Height)).zip(headers) {
        if count > MOST_HEADERS {
            return Err(NotProvable::TooManyHeaders);
        }
        have = [have, Difficulty::of(header)].into_iter().sum();
        if goal.is_none() && !is_passed_over(&asked.relay, header) {
            goal = Some(bind(&asked.relay, height, header)?.times(asked.factor));
        }
        if goal.is_some_and(|goal| have >= goal) {
            return Ok(count);
        }
    }
    Err(NotProvable::WaitingForBlocks { have, asked: goal.unwrap_or_default() })
}

/// Whether the header says nothing of the epoch's difficulty: testnets have easy blocks between others. Their work counts. If a
/// Bridge doesn't pass over them, it refuses the proof, as [`bind`] would have.
fn is_passed_over(relay: &RelayDifficulties, header: &Header) -> bool {
    header.bits.to_consensus() == MINIMUM_DIFFICULTY
        && relay.current > Difficulty::ONE
        && relay.previous > Difficulty::ONE
}

/// The difficulty that is asked for if this header decides it: one that the relay knows.
fn bind(relay: &RelayDifficulties, height: Height, header: &Header) -> Result<Difficulty, NotProvable> {
    let (actual, epoch) = (Difficulty::of(header), height.0 / EPOCH);
    if actual == relay.current || actual == relay.previous {
        return Ok(actual);
    }
    match relay.epoch {
        Some(relay) if epoch > relay => Err(NotProvable::WaitingForRelay { epoch, relay }),
        Some(relay) if epoch.saturating_add(1) < relay => Err(NotProvable::OutOfRelayRange { epoch, relay }),
        _ => Err(NotProvable::OtherDifficulty { actual, relay: *relay }),
    }
}
