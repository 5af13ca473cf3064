//! H: how what is signed for, and what is said about it, is named. SHA-256 over a tag and fields that can't run into each other.

use alloy_primitives::B256;
use bitcoin::hashes::{Hash, HashEngine, sha256};

/// SHA-256 over a tag, and over fields of fixed width or behind their length.
pub(crate) struct Hasher(sha256::HashEngine);

impl Hasher {
    /// Begins with the tag, behind its length.
    pub(crate) fn new(tag: &str) -> Self {
        Self(sha256::Hash::engine()).bytes(tag.as_bytes())
    }

    /// A number: 8 bytes, big-endian.
    pub(crate) fn number(mut self, number: u64) -> Self {
        self.0.input(&number.to_be_bytes());
        self
    }

    /// A field that always has this width.
    pub(crate) fn fixed<const WIDTH: usize>(mut self, field: &[u8; WIDTH]) -> Self {
        self.0.input(field);
        self
    }

    /// A field of any length, behind that.
    pub(crate) fn bytes(self, field: &[u8]) -> Self {
        let mut this = self.number(u64::try_from(field.len()).expect("no slice is longer than that"));
        this.0.input(field);
        this
    }

    pub(crate) fn finish(self) -> B256 {
        B256::new(sha256::Hash::from_engine(self.0).to_byte_array())
    }
}
