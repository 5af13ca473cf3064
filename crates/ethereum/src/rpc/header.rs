//! A block's header that was checked against its hash: the only kind whose fields are gone by.

use alloy::{consensus::Header, primitives::B256, rpc::types::Header as RpcHeader};
use coxswain_rules::units::{BlockNumber, UnixTime};

use super::block::Block;

/// A header whose fields hash to the hash that came with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashedHeader {
    header: Header,
    hash: B256,
}

impl HashedHeader {
    /// The header, if its fields hash to this. A header that doesn't is forged, or has fields that we don't know.
    pub fn new(header: Header, hash: B256) -> Option<Self> {
        (header.hash_slow() == hash).then_some(Self { header, hash })
    }

    /// The header's fields.
    pub const fn fields(&self) -> &Header {
        &self.header
    }

    /// The hash that the fields have.
    pub const fn hash(&self) -> B256 {
        self.hash
    }

    /// The block's number.
    pub const fn number(&self) -> BlockNumber {
        BlockNumber(self.header.number)
    }

    /// The block's time.
    pub const fn timestamp(&self) -> UnixTime {
        UnixTime(self.header.timestamp)
    }

    /// The block, as decisions name it.
    pub const fn block(&self) -> Block {
        Block { number: self.number(), hash: self.hash, timestamp: self.timestamp() }
    }

    /// The header of an endpoint's answer, if it hashes.
    pub(crate) fn of(answer: RpcHeader) -> Option<Self> {
        Self::new(answer.inner, answer.hash)
    }
}
