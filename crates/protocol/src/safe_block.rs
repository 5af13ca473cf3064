//! The hash of the safe block, by the rule of the network.

use std::{fmt, str::FromStr};

use alloy_consensus::Header;
use alloy_primitives::B256;

/// What counts as a block's hash. On blocks before Prague both rules agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HashRule {
    /// The chain's own: keccak-256 of the whole header.
    #[default]
    Canonical,
    /// keccak-256 of the header's RLP through `parentBeaconRoot`, as computed by clients that know no later field.
    LegacyHeader,
}

impl HashRule {
    /// The hash that this rule gives to a header. Compare [`HashRule::Canonical`]'s with what an endpoint reports
    /// before trusting either: a header with fields unknown to us would be hashed wrongly.
    pub fn hash(self, header: &Header) -> B256 {
        match self {
            Self::Canonical => header.hash_slow(),
            Self::LegacyHeader => Header {
                requests_hash: None,
                block_access_list_hash: None,
                slot_number: None,
                ..header.clone()
            }
            .hash_slow(),
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
pub struct UnknownHashRule(pub String);

impl FromStr for HashRule {
    type Err = UnknownHashRule;

    fn from_str(name: &str) -> Result<Self, UnknownHashRule> {
        [Self::Canonical, Self::LegacyHeader]
            .into_iter()
            .find(|rule| rule.name() == name)
            .ok_or_else(|| UnknownHashRule(name.to_owned()))
    }
}
