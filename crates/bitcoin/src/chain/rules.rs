//! How hard a block must be: what a network's headers must name as their target.

use std::num::NonZeroU32;

use bitcoin::{CompactTarget, Target};
use coxswain_rules::units::Height;

/// A network's rules for headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderRules {
    /// The easiest target that is allowed.
    pub limit: Target,
    /// Blocks of an epoch, all of which have one target.
    pub interval: NonZeroU32,
    /// Seconds that a block should take.
    pub spacing: NonZeroU32,
}

/// A retarget changes the target by no more than this factor.
const MOST: u32 = 4;

impl HeaderRules {
    /// Bitcoin's own.
    pub const MAINNET: Self = Self {
        limit: Target::MAX_ATTAINABLE_MAINNET,
        interval: NonZeroU32::new(2016).expect("2016 is not zero"),
        spacing: NonZeroU32::new(600).expect("600 is not zero"),
    };

    /// Whether an epoch begins at this height.
    pub(crate) const fn retargets_at(&self, height: Height) -> bool {
        height.0.is_multiple_of(self.interval.get())
    }

    /// The bits of the epoch that follows one with these bits, whose last header is this many seconds after its first. (These are
    /// one interval less than an epoch takes: consensus has it so.)
    pub fn next_bits(&self, bits: CompactTarget, seconds: i64) -> CompactTarget {
        let wanted = self.interval.saturating_mul(self.spacing);
        let longest = wanted.get().saturating_mul(MOST);
        let seconds = u32::try_from(seconds.max(0)).unwrap_or(longest).clamp(wanted.get() / MOST, longest);
        let target = scaled(Target::from_compact(bits), seconds, wanted);
        target.map_or(self.limit, |target| target.min(self.limit)).to_compact_lossy()
    }

    /// Whether these bits can follow, whatever the epoch took.
    pub(crate) fn may_follow(&self, bits: CompactTarget, next: CompactTarget) -> bool {
        let target = Target::from_compact(next);
        let [hardest, easiest] =
            [0, i64::MAX].map(|seconds| Target::from_compact(self.next_bits(bits, seconds)));
        // No value has two encodings that count.
        target.to_compact_lossy() == next && (hardest..=easiest).contains(&target)
    }
}

/// The target times `numerator` over `denominator`, rounded down. `None` if it has more than 256 bits.
fn scaled(target: Target, numerator: u32, denominator: NonZeroU32) -> Option<Target> {
    // Digits to the base 256, the least significant one first.
    let mut product = [0; 36];
    let mut carry = 0_u64;
    let digits = target.to_le_bytes().into_iter().chain([0; 4]);
    for (place, digit) in product.iter_mut().zip(digits) {
        let value = u64::from(digit) * u64::from(numerator) + carry;
        *place = value % 256;
        carry = value / 256;
    }
    let mut quotient = [0; 36];
    let mut rest = 0_u64;
    for (place, digit) in quotient.iter_mut().zip(product).rev() {
        let value = rest * 256 + digit;
        *place = u8::try_from(value / u64::from(denominator.get())).ok()?;
        rest = value % u64::from(denominator.get());
    }
    let (low, high) = quotient.split_first_chunk::<32>()?;
    high.iter().all(|digit| *digit == 0).then(|| Target::from_le_bytes(*low))
}

#[cfg(test)]
mod tests {
    use bitcoin::params::MAINNET;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_retarget_is_what_consensus_computes(
            target in any::<[u8; 28]>(), leading in 0_usize..20, seconds in -10_000_000_i64..10_000_000,
        ) {
            let mut bytes = [0; 32];
            bytes[4 + leading..].copy_from_slice(&target[leading..]);
            let bits = Target::from_be_bytes(bytes).min(Target::MAX_ATTAINABLE_MAINNET).to_compact_lossy();
            let expected = CompactTarget::from_next_work_required(bits, u64::try_from(seconds.max(0)).unwrap(), &MAINNET);
            prop_assert_eq!(HeaderRules::MAINNET.next_bits(bits, seconds), expected);
            prop_assert!(HeaderRules::MAINNET.may_follow(bits, expected));
        }

        #[test]
        fn scaling_by_a_whole_number_and_back_loses_nothing(target in any::<[u8; 28]>(), factor in 1_u32..) {
            let mut bytes = [0; 32];
            bytes[..28].copy_from_slice(&target);
            let target = Target::from_le_bytes(bytes);
            let one = NonZeroU32::MIN;
            let larger = scaled(target, factor, one).unwrap();
            prop_assert_eq!(scaled(larger, 1, NonZeroU32::new(factor).unwrap()), Some(target));
            prop_assert_eq!(scaled(target, factor, NonZeroU32::new(factor).unwrap()), Some(target));
        }
    }

    #[test]
    fn what_does_not_fit_is_the_limit() {
        assert_eq!(scaled(Target::from_be_bytes([0xff; 32]), 2, NonZeroU32::MIN), None);
        let easy = HeaderRules { limit: Target::MAX_ATTAINABLE_REGTEST, ..HeaderRules::MAINNET };
        let bits = easy.limit.to_compact_lossy();
        assert_eq!(easy.next_bits(bits, i64::MAX), bits);
    }

    #[test]
    fn a_target_changes_fourfold_at_most_and_has_one_encoding() {
        let rules = HeaderRules::MAINNET;
        let bits = CompactTarget::from_consensus;
        let follows = |next| rules.may_follow(bits(0x1704_0000), bits(next));
        assert!(follows(0x1710_0000) && !follows(0x1710_0001));
        assert!(follows(0x1701_0000) && !follows(0x1700_ffff));
        // The same value, written with a smaller mantissa.
        assert!(!follows(0x1800_0400));
        // A negative one, one of zero, and one that is over the limit.
        assert!(!follows(0x1784_0000) && !follows(0x1700_0000));
        assert!(rules.may_follow(bits(0x1d00_ffff), bits(0x1d00_ffff)));
        assert!(!rules.may_follow(bits(0x1d00_ffff), bits(0x1d01_0000)));
    }
}
