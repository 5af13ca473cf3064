//! A block's header that was checked against its hash: the only kind whose fields are gone by.

use alloy::{consensus::Header, primitives::B256, rpc::types::Header as RpcHeader};

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

    /// The block's height.
    pub const fn number(&self) -> u64 {
        self.header.number
    }

    /// The block's time, in Unix seconds.
    pub const fn timestamp(&self) -> u64 {
        self.header.timestamp
    }

    /// The block, as decisions name it.
    pub const fn block(&self) -> Block {
        Block { number: self.header.number, hash: self.hash, timestamp: self.header.timestamp }
    }

    /// The header of an endpoint's answer, if it hashes.
    pub(crate) fn of(answer: RpcHeader) -> Option<Self> {
        Self::new(answer.inner, answer.hash)
    }
}
