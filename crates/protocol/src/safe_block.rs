//! The hash of the safe block, by each rule that a network may have.

use alloy_consensus::Header;
use alloy_primitives::B256;
use coxswain_rules::network::HashRule;

/// A block's hash by each rule. Both follow from one header, so that members who go by the other rule are recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SafeHashes {
    /// By [`HashRule::Canonical`].
    pub canonical: B256,
    /// By [`HashRule::LegacyHeader`].
    pub legacy_header: B256,
}

impl SafeHashes {
    /// The hashes of a header. Compare the canonical one with what an endpoint reports before trusting either: a header
    /// with fields unknown to us would be hashed wrongly.
    pub fn of(header: &Header) -> Self {
        let legacy =
            Header { requests_hash: None, block_access_list_hash: None, slot_number: None, ..header.clone() };
        Self { canonical: header.hash_slow(), legacy_header: legacy.hash_slow() }
    }

    /// The hash by this rule.
    pub const fn by(&self, rule: HashRule) -> B256 {
        match rule {
            HashRule::Canonical => self.canonical,
            HashRule::LegacyHeader => self.legacy_header,
        }
    }
}
