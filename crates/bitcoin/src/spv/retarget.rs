//! Proof of a new epoch's difficulty, as the light relay takes it: the headers on both sides of the boundary.

use bitcoin::{CompactTarget, block::Header, consensus::encode};
use coxswain_rules::units::Height;

use super::{
    linked::{LinkError, check_links},
    work::EPOCH,
};
use crate::chain::HeaderRules;

/// A proof has fewer headers on each side than an epoch.
const MOST_LENGTH: u32 = EPOCH - 1;

/// The headers on both sides of an epoch's first block, equally many on each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetargetProof {
    /// The height of the new epoch's first block.
    pub height: Height,
    /// The headers: half of them of the old epoch, half of the new one.
    pub headers: Vec<Header>,
}

/// Why the relay would refuse a proof. `index` counts its headers from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RetargetError {
    /// No epoch begins at this height, or none before it.
    #[error("no epoch follows another at height {0}")]
    NoBoundary(Height),
    /// The relay asks for no such number of headers.
    #[error("a proof has from 1 to {MOST_LENGTH} headers on each side, not {0}")]
    ProofLength(u32),
    /// There are more or fewer headers than the relay asks for.
    #[error("there are {actual} headers, must be {expected}")]
    HeaderCount {
        /// How many the relay asks for.
        expected: usize,
        /// How many there are.
        actual: usize,
    },
    /// The headers are no chain.
    #[error(transparent)]
    Headers(#[from] LinkError),
    /// A header names another target than its epoch has.
    #[error("header {index} has bits {actual:x}, its epoch has {expected:x}")]
    OtherTarget {
        /// Which one.
        index: usize,
        /// The epoch's target.
        expected: CompactTarget,
        /// The value that the header names.
        actual: CompactTarget,
    },
    /// The header that is said to be the old epoch's first is not of that epoch, or has no work.
    #[error("the header at height {0} does not begin the old epoch")]
    EpochStart(Height),
    /// The old epoch's last block is ahead of the relay's clock.
    #[error("the old epoch ends at {end}, which is not before {now}")]
    EndsInFuture {
        /// The time of its last header, in Unix seconds.
        end: u32,
        /// The relay's clock, in Unix seconds.
        now: u64,
    },
}

impl RetargetProof {
    /// Checks all that the relay checks. The old epoch began with this header; `now` is the relay's clock, the time of
    /// Ethereum's newest block.
    ///
    /// # Errors
    /// If the relay would refuse it.
    pub fn check(
        &self,
        proof_length: u32,
        epoch_start: &Header,
        rules: &HeaderRules,
        now: u64,
    ) -> Result<(), RetargetError> {
        let Self { height, headers } = self;
        let old_start = height.checked_sub(EPOCH).filter(|_| height.0.is_multiple_of(EPOCH));
        let old_start = old_start.ok_or(RetargetError::NoBoundary(*height))?;
        if !(1..=MOST_LENGTH).contains(&proof_length) {
            return Err(RetargetError::ProofLength(proof_length));
        }
        let half = usize::try_from(proof_length).map_err(|_| RetargetError::ProofLength(proof_length))?;
        let count = RetargetError::HeaderCount { expected: 2 * half, actual: headers.len() };
        let (old, new) = headers.split_at_checked(half).filter(|(_, new)| new.len() == half).ok_or(count)?;
        let last = old.last().ok_or(count)?;

        let epoch_has_work = epoch_start.target().is_met_by(epoch_start.block_hash());
        if !epoch_has_work || epoch_start.bits != last.bits {
            return Err(RetargetError::EpochStart(old_start));
        }
        let seconds = i64::from(last.time) - i64::from(epoch_start.time);
        let next = rules.next_bits(last.bits, seconds);
        let expected = old.iter().map(|_| epoch_start.bits).chain(new.iter().map(|_| next));
        check_links(headers)?;
        for ((index, header), expected) in headers.iter().enumerate().zip(expected) {
            if header.bits != expected {
                return Err(RetargetError::OtherTarget { index, expected, actual: header.bits });
            }
        }
        if u64::from(last.time) >= now {
            return Err(RetargetError::EndsInFuture { end: last.time, now });
        }
        Ok(())
    }

    /// The headers as the relay takes them, 80 bytes each.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.headers.iter().flat_map(encode::serialize).collect()
    }
}
