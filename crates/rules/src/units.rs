//! Block numbers, heights, block counts and times, each with a type of its own, so that the compiler notices when one is taken
//! for another. Arithmetic saturates. In JSON, in SQLite and on the wire all of them are plain integers.

use std::fmt;

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
    /// A time in seconds since 1970, as both chains' blocks have it.
    UnixTime(u64)
}

impl BlockNumber {
    /// The block so many blocks later, or the last there can be.
    #[must_use]
    pub const fn saturating_add(self, blocks: Blocks) -> Self {
        Self(self.0.saturating_add(blocks.0))
    }

    /// The block so many blocks earlier, or block 0.
    #[must_use]
    pub const fn saturating_sub(self, blocks: Blocks) -> Self {
        Self(self.0.saturating_sub(blocks.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_counts_add_up_and_stop_at_their_ends() {
        let (first, last) = (BlockNumber(0), BlockNumber(u64::MAX));
        assert_eq!(BlockNumber(7).saturating_add(Blocks(2)), BlockNumber(9));
        assert_eq!(BlockNumber(9).saturating_sub(Blocks(2)), BlockNumber(7));
        assert_eq!((last.saturating_add(Blocks(1)), first.saturating_sub(Blocks(1))), (last, first));
    }

    #[test]
    fn outside_they_are_plain_integers() {
        let json = serde_json::to_string(&(BlockNumber(7), Blocks(8), Height(9), UnixTime(10))).unwrap();
        assert_eq!(json, "[7,8,9,10]");
        let read: (BlockNumber, Blocks, Height, UnixTime) = serde_json::from_str(&json).unwrap();
        assert_eq!(read, (BlockNumber(7), Blocks(8), Height(9), UnixTime(10)));
        assert_eq!(format!("{:>4}|{:<4}|", BlockNumber(7), Height(8)), "   7|8   |");
    }
}
