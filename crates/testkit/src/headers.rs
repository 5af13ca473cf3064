//! Bitcoin headers with work: mainnet's own around two retargets, as they were recorded, and easy ones that are made at once.

use bitcoin::{BlockHash, block::Header, consensus::encode};
use coxswain_rules::units::Height;
use serde::Deserialize;

/// The header, with the first nonce that gives it the work that its bits name.
#[must_use]
pub fn worked(header: Header) -> Header {
    let meets = |header: &Header| header.target().is_met_by(header.block_hash());
    let with = |nonce| Header { nonce, ..header };
    (0..=u32::MAX).map(with).find(meets).expect("a test's target is easy")
}

/// What was recorded of a retarget on mainnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedRetarget {
    /// The first header of the epoch before it.
    pub first_of_old_epoch: (Height, Header),
    /// Consecutive headers on both sides of it.
    pub headers: Vec<(Height, Header)>,
}

impl RecordedRetarget {
    /// All that were recorded.
    ///
    /// # Panics
    /// If the record is damaged.
    pub fn all() -> Vec<Self> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Vectors {
            what: String,
            retargets: Vec<Retarget>,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Retarget {
            first_of_old_epoch: Recorded,
            headers: Vec<Recorded>,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Recorded {
            height: Height,
            header: String,
            hash: BlockHash,
        }
        let read = |Recorded { height, header, hash }: &Recorded| -> (Height, Header) {
            let header: Header = encode::deserialize_hex(header).expect("80 bytes in hex");
            assert_eq!(header.block_hash(), *hash, "{height}");
            (*height, header)
        };
        let text = include_str!("../../bitcoin/vectors/retargets.json");
        let Vectors { what, retargets } = serde_json::from_str(text).expect("a file of the project's");
        assert!(what.contains("two difficulty retargets") && retargets.len() == 2, "{what}");
        let retarget = |Retarget { first_of_old_epoch, headers }: &Retarget| Self {
            first_of_old_epoch: read(first_of_old_epoch),
            headers: headers.iter().map(read).collect(),
        };
        retargets.iter().map(retarget).collect()
    }
}
