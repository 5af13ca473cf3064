//! Block numbers, heights, block counts and times, each with a type of its own, so that the compiler notices when one is taken
//! for another: a number less a number is a count, a number and a count make a number, and nothing else adds up.
//!
//! All arithmetic says what it does at the ends of the range: it is checked or it saturates. A span of time is a
//! [`Duration`]. In JSON, in SQLite and on the wire all of them are plain integers.

use std::{fmt, num::ParseIntError, str::FromStr, time::Duration};

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIntError;

            fn from_str(text: &str) -> Result<Self, ParseIntError> {
                text.parse().map(Self)
            }
        }
    };
}

unit! {
    /// The number of an Ethereum block.
    BlockNumber(u64)
}

unit! {
    /// A count of Ethereum blocks: a distance, a depth, a length.
    Blocks(u64)
}

unit! {
    /// The height of a Bitcoin block.
    Height(u32)
}

unit! {
    /// How many Bitcoin blocks confirm a transaction: 1 if it is in the newest.
    Confirmations(u32)
}

unit! {
    /// A time in seconds since 1970, as both chains' blocks have it.
    UnixTime(u64)
}

impl BlockNumber {
    /// The block so many blocks later. `None` if there is no such number.
    pub const fn checked_add(self, blocks: Blocks) -> Option<Self> {
        match self.0.checked_add(blocks.0) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The block so many blocks later, or the last there can be.
    #[must_use]
    pub const fn saturating_add(self, blocks: Blocks) -> Self {
        Self(self.0.saturating_add(blocks.0))
    }

    /// The block so many blocks earlier. `None` if there is no such number.
    pub const fn checked_sub(self, blocks: Blocks) -> Option<Self> {
        match self.0.checked_sub(blocks.0) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The block so many blocks earlier, or block 0.
    #[must_use]
    pub const fn saturating_sub(self, blocks: Blocks) -> Self {
        Self(self.0.saturating_sub(blocks.0))
    }

    /// How many blocks it comes after the other. `None` if it comes before.
    pub const fn since(self, earlier: Self) -> Option<Blocks> {
        match self.0.checked_sub(earlier.0) {
            Some(blocks) => Some(Blocks(blocks)),
            None => None,
        }
    }

    /// How many blocks it comes after the other. Zero if it comes before.
    pub const fn saturating_since(self, earlier: Self) -> Blocks {
        Blocks(self.0.saturating_sub(earlier.0))
    }

    /// The block after it.
    #[must_use]
    pub const fn next(self) -> Self {
        self.saturating_add(Blocks(1))
    }

    /// The numbers from this one to that, both included.
    pub fn to(self, last: Self) -> impl DoubleEndedIterator<Item = Self> {
        (self.0..=last.0).map(Self)
    }
}

impl Blocks {
    /// Both together. `None` if there can't be as many.
    pub const fn checked_add(self, more: Self) -> Option<Self> {
        match self.0.checked_add(more.0) {
            Some(blocks) => Some(Self(blocks)),
            None => None,
        }
    }

    /// Both together, or the most there can be.
    #[must_use]
    pub const fn saturating_add(self, more: Self) -> Self {
        Self(self.0.saturating_add(more.0))
    }

    /// What is left without the others, or none.
    #[must_use]
    pub const fn saturating_sub(self, fewer: Self) -> Self {
        Self(self.0.saturating_sub(fewer.0))
    }

    /// So many times as many, or the most there can be.
    #[must_use]
    pub const fn saturating_mul(self, times: u64) -> Self {
        Self(self.0.saturating_mul(times))
    }
}

impl Height {
    /// The height so many blocks above. `None` if there is no such height.
    pub const fn checked_add(self, blocks: u32) -> Option<Self> {
        match self.0.checked_add(blocks) {
            Some(height) => Some(Self(height)),
            None => None,
        }
    }

    /// The height so many blocks above, or the last there can be.
    #[must_use]
    pub const fn saturating_add(self, blocks: u32) -> Self {
        Self(self.0.saturating_add(blocks))
    }

    /// The height so many blocks below. `None` if there is no such height.
    pub const fn checked_sub(self, blocks: u32) -> Option<Self> {
        match self.0.checked_sub(blocks) {
            Some(height) => Some(Self(height)),
            None => None,
        }
    }

    /// The height so many blocks below, or 0.
    #[must_use]
    pub const fn saturating_sub(self, blocks: u32) -> Self {
        Self(self.0.saturating_sub(blocks))
    }

    /// How many blocks it is above the other. `None` if it is below.
    pub const fn since(self, lower: Self) -> Option<u32> {
        self.0.checked_sub(lower.0)
    }

    /// How many blocks it is above the other. Zero if it is below.
    pub const fn saturating_since(self, lower: Self) -> u32 {
        self.0.saturating_sub(lower.0)
    }

    /// The height above it.
    #[must_use]
    pub const fn next(self) -> Self {
        self.saturating_add(1)
    }

    /// The heights from this one to that, both included.
    pub fn to(self, last: Self) -> impl DoubleEndedIterator<Item = Self> + Clone {
        (self.0..=last.0).map(Self)
    }

    /// How many blocks confirm what the block at this height holds, while the newest is at `tip`. `None` if that is below.
    pub const fn confirmations(self, tip: Self) -> Option<Confirmations> {
        match tip.since(self) {
            // At 0 under 4,294,967,295 there would be more than can be counted.
            Some(above) => Some(Confirmations(above.saturating_add(1))),
            None => None,
        }
    }

    /// The height of the block that holds what is confirmed so many times, while the newest is at this height. `None` if nothing
    /// confirms it, or more than there are blocks.
    pub const fn confirmed(self, confirmations: Confirmations) -> Option<Self> {
        match confirmations.0.checked_sub(1) {
            Some(above) => self.checked_sub(above),
            None => None,
        }
    }
}

impl Confirmations {
    /// Those of a transaction that no block has yet.
    pub const NONE: Self = Self(0);
}

impl UnixTime {
    /// The time so much later, or the last there can be.
    #[must_use]
    pub const fn saturating_add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span.as_secs()))
    }

    /// The time so much earlier, or 1970.
    #[must_use]
    pub const fn saturating_sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span.as_secs()))
    }

    /// How much time has passed since the other. `None` if it is the earlier one.
    pub const fn since(self, earlier: Self) -> Option<Duration> {
        match self.0.checked_sub(earlier.0) {
            Some(seconds) => Some(Duration::from_secs(seconds)),
            None => None,
        }
    }

    /// How much time has passed since the other. Zero if it is the earlier one.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }
}

/// The Bridge's times and a Bitcoin header's have 32 bits.
impl From<u32> for UnixTime {
    fn from(seconds: u32) -> Self {
        Self(seconds.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_counts_add_up_and_stop_at_their_ends() {
        let (first, last) = (BlockNumber(0), BlockNumber(u64::MAX));
        assert_eq!(BlockNumber(9).since(BlockNumber(7)), Some(Blocks(2)));
        assert_eq!(BlockNumber(7).since(BlockNumber(9)), None);
        assert_eq!(BlockNumber(7).saturating_since(BlockNumber(9)), Blocks(0));
        assert_eq!(BlockNumber(7).saturating_add(Blocks(2)), BlockNumber(9));
        assert_eq!((last.checked_add(Blocks(1)), last.saturating_add(Blocks(1))), (None, last));
        assert_eq!((first.checked_sub(Blocks(1)), first.saturating_sub(Blocks(1))), (None, first));
        assert_eq!((last.next(), first.next()), (last, BlockNumber(1)));
        assert!(BlockNumber(3).to(BlockNumber(5)).eq([3, 4, 5].map(BlockNumber)));
        assert_eq!(BlockNumber(5).to(BlockNumber(3)).count(), 0);
    }

    #[test]
    fn heights_and_confirmations_are_each_others_inverse() {
        let (genesis, last) = (Height(0), Height(u32::MAX));
        assert_eq!((last.checked_add(1), last.saturating_add(1), last.next()), (None, last, last));
        assert_eq!((genesis.checked_sub(1), genesis.saturating_sub(1)), (None, genesis));
        assert_eq!((Height(9).since(Height(7)), Height(7).since(Height(9))), (Some(2), None));
        assert_eq!(Height(7).saturating_since(Height(9)), 0);
        assert!(Height(3).to(Height(5)).eq([3, 4, 5].map(Height)));
        let tip = Height(100);
        for (height, confirmations) in [(100, 1), (99, 2), (95, 6), (0, 101)] {
            let (height, confirmations) = (Height(height), Confirmations(confirmations));
            assert_eq!(height.confirmations(tip), Some(confirmations));
            assert_eq!(tip.confirmed(confirmations), Some(height));
        }
        assert_eq!(Height(101).confirmations(tip), None);
        assert_eq!((tip.confirmed(Confirmations::NONE), tip.confirmed(Confirmations(102))), (None, None));
        assert_eq!(genesis.confirmations(last), Some(Confirmations(u32::MAX)));
    }

    #[test]
    fn times_stop_at_their_ends() {
        let (epoch, last) = (UnixTime(0), UnixTime(u64::MAX));
        let second = Duration::from_secs(1);
        assert_eq!((epoch.saturating_sub(second), last.saturating_add(second)), (epoch, last));
        assert_eq!((epoch.since(last), epoch.saturating_since(last)), (None, Duration::ZERO));
        assert_eq!(UnixTime::from(u32::MAX).since(epoch), Some(Duration::from_secs(u32::MAX.into())));
    }

    #[test]
    fn outside_they_are_plain_integers() {
        let json = serde_json::to_string(&(BlockNumber(7), Height(8), UnixTime(9))).unwrap();
        assert_eq!(json, "[7,8,9]");
        assert_eq!(
            serde_json::from_str::<(Blocks, Confirmations)>("[7,8]").unwrap(),
            (Blocks(7), Confirmations(8))
        );
        assert_eq!(format!("{:>4}|{:<4}|", BlockNumber(7), Confirmations(8)), "   7|8   |");
        assert_eq!("12".parse(), Ok(BlockNumber(12)));
        assert!("0x12".parse::<BlockNumber>().is_err() && "-1".parse::<Height>().is_err());
    }
}
