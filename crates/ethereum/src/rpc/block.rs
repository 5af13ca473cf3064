//! The one block that all reads of a decision come from, and the ways to name it.

use std::{fmt, str::FromStr};

use alloy::primitives::{B256, U64};
use coxswain_rules::units::{BlockNumber, UnixTime};
use serde::{Deserialize, Serialize};

/// A block that an endpoint has shown us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Block {
    /// Its number.
    pub number: BlockNumber,
    /// Hash, by which later reads name the block.
    pub hash: B256,
    /// The `block.timestamp` that rules compare with.
    pub timestamp: UnixTime,
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "block {} ({})", self.number, self.hash)
    }
}

/// Where an event stands in the chain: events order by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Its block's number.
    pub block: BlockNumber,
    /// Its index among the block's events.
    pub index: u64,
}

/// The fields of an RPC block that make up a [`Block`]; everything else in it is ignored.
#[derive(Debug, Deserialize)]
pub(crate) struct RpcBlock {
    number: U64,
    hash: B256,
    timestamp: U64,
}

impl RpcBlock {
    pub(crate) fn number(&self) -> BlockNumber {
        BlockNumber(self.number.to())
    }

    pub(crate) const fn hash(&self) -> B256 {
        self.hash
    }
}

impl From<RpcBlock> for Block {
    fn from(block: RpcBlock) -> Self {
        Self {
            number: BlockNumber(block.number.to()),
            hash: block.hash,
            timestamp: UnixTime(block.timestamp.to()),
        }
    }
}

/// How a person or a program names a block: by number, hash or tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BlockSelector {
    /// The head.
    #[default]
    Latest,
    /// The newest block that is unlikely to be reorganised.
    Safe,
    /// The newest block that is final.
    Finalized,
    /// The first block.
    Earliest,
    /// By number.
    Number(BlockNumber),
    /// By hash.
    Hash(B256),
}

impl fmt::Display for BlockSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Safe => f.write_str("safe"),
            Self::Finalized => f.write_str("finalized"),
            Self::Earliest => f.write_str("earliest"),
            Self::Number(number) => number.fmt(f),
            Self::Hash(hash) => hash.fmt(f),
        }
    }
}

/// A text that names no block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no block: expected a number, a 0x-prefixed 32-byte hash, latest, safe, finalized or earliest"
)]
pub struct BlockSelectorError(String);

impl FromStr for BlockSelector {
    type Err = BlockSelectorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || BlockSelectorError(text.to_owned());
        match text {
            "latest" => Ok(Self::Latest),
            "safe" => Ok(Self::Safe),
            "finalized" => Ok(Self::Finalized),
            "earliest" => Ok(Self::Earliest),
            _ if text.starts_with("0x") && text.len() == 66 => {
                text.parse().map(Self::Hash).map_err(|_| invalid())
            }
            _ => match text.strip_prefix("0x") {
                Some(digits) if !digits.starts_with('+') => u64::from_str_radix(digits, 16),
                Some(_) => return Err(invalid()),
                None if text.starts_with('+') => return Err(invalid()),
                None => text.parse(),
            }
            .map(|number| Self::Number(BlockNumber(number)))
            .map_err(|_| invalid()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_read_back_as_written() {
        for text in
            ["latest", "safe", "finalized", "earliest", "0", "19000000", &B256::repeat_byte(7).to_string()]
        {
            assert_eq!(text.parse::<BlockSelector>().unwrap().to_string(), text);
        }
        assert_eq!("0x10".parse(), Ok(BlockSelector::Number(BlockNumber(16))));
    }

    #[test]
    fn what_names_no_block_is_refused() {
        for text in ["", "pending", "-1", "+1", "0x", "0x+1", "1.5", "0xzz", &"9".repeat(30), &"a".repeat(64)]
        {
            assert!(text.parse::<BlockSelector>().is_err(), "{text}");
        }
    }
}
