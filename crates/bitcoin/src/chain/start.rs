//! The start of the chain: the one header that is trusted.

use std::sync::LazyLock;

use bitcoin::{block::Header, consensus::encode};
use coxswain_rules::units::Height;

/// A header that is known to be in the chain, with its height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Its height.
    pub height: Height,
    /// The header.
    pub header: Header,
}

/// One line: the height, and the header's bytes in hex.
const MAINNET: &str = include_str!("mainnet-start.txt");

impl Start {
    /// Bitcoin's. `tools/move-start` moves it on.
    pub fn mainnet() -> Self {
        static START: LazyLock<Start> =
            LazyLock::new(|| Start::read(MAINNET).expect("a test reads the file that is compiled in"));
        *START
    }

    fn read(line: &str) -> Option<Self> {
        let (height, header) = line.trim().split_once(' ')?;
        Some(Self { height: height.parse().ok()?, header: encode::deserialize_hex(header).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_a_header_with_the_work_that_it_names() {
        let Start { height, header } = Start::mainnet();
        assert!(height >= Height(905_349));
        assert!(header.validate_pow(header.target()).is_ok());
        assert_eq!(Start::read("7"), None);
        assert_eq!(Start::read("x 00"), None);
        assert_eq!(Start::read("7 00"), None);
    }
}
