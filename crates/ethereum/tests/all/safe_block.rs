//! The safe block's hash by both rules, on real blocks from before and after Prague, as an endpoint serves them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

use alloy::{
    consensus::Header,
    primitives::{B256, keccak256},
    rlp::{self, Header as RlpHeader},
};
use coxswain_ethereum::{BlockSelector, Endpoints, RequestError};
use coxswain_protocol::SafeHashes;
use coxswain_rules::units::BlockNumber;
use coxswain_testkit::{FaultyEndpoint, Reply, TestChain};
use serde_json::Value;

const BLOCK: u64 = 3;

/// A header, and the hash that the endpoint itself gives for its block.
async fn header(chain: &TestChain) -> (Header, B256) {
    chain.mine(BLOCK).await.unwrap();
    let endpoint = Endpoints::new(chain.url()).unwrap();
    let block = endpoint.block(BlockSelector::Number(BlockNumber(BLOCK))).await.unwrap().unwrap();
    (endpoint.header(BlockNumber(BLOCK)).await.unwrap().unwrap(), block.hash)
}

/// keccak-256 of the header's RLP without the last field: cut out of the bytes, not left out by a library.
fn without_last_field(header: &Header) -> B256 {
    let encoded = rlp::encode(header);
    let mut fields = &encoded[..];
    let list = RlpHeader::decode_bytes(&mut fields, true).unwrap();
    let mut rest = list;
    let mut last = rest;
    while !rest.is_empty() {
        last = rest;
        let field = RlpHeader::decode(&mut rest).unwrap();
        rest = &rest[field.payload_length..];
    }
    let kept = &list[..list.len() - last.len()];
    let mut cut = Vec::new();
    RlpHeader { list: true, payload_length: kept.len() }.encode(&mut cut);
    cut.extend_from_slice(kept);
    keccak256(cut)
}

#[tokio::test]
async fn before_prague_both_rules_give_the_blocks_own_hash() {
    let chain = TestChain::start_before_prague().unwrap();
    let (header, hash) = header(&chain).await;
    assert!(header.parent_beacon_block_root.is_some() && header.requests_hash.is_none(), "{header:?}");
    assert_eq!(SafeHashes::of(&header), SafeHashes { canonical: hash, legacy_header: hash });
}

#[tokio::test]
async fn inc_34_since_prague_the_legacy_header_ends_before_its_requests_hash() {
    let chain = TestChain::start().unwrap();
    let (header, hash) = header(&chain).await;
    assert!(header.requests_hash.is_some(), "{header:?}");
    let legacy_header = without_last_field(&header);
    assert_eq!(SafeHashes::of(&header), SafeHashes { canonical: hash, legacy_header });
    assert_ne!(legacy_header, hash);
}

#[tokio::test]
async fn inc_16_a_header_that_does_not_hash_to_its_hash_is_refused() {
    let chain = TestChain::start().unwrap();
    chain.mine(BLOCK).await.unwrap();
    let honest = Endpoints::new(chain.url()).unwrap();
    let raw: Value = honest.request("eth_getBlockByNumber", (format!("{BLOCK:#x}"), false)).await.unwrap();
    let hash = B256::repeat_byte(1).to_string();
    for (field, value) in [("hash", hash.as_str()), ("gasUsed", "0x7"), ("number", "0x2")] {
        let mut forged = raw.clone();
        *forged.get_mut(field).unwrap() = value.into();
        let meet = move |_: &str| Reply::Result(forged.clone());
        let node = FaultyEndpoint::start(chain.url(), meet).await.unwrap();
        let endpoint = Endpoints::new(node.url().clone()).unwrap();
        let error = endpoint.header(BlockNumber(BLOCK)).await.unwrap_err();
        assert!(matches!(error, RequestError::Garbage { .. }), "{field}: {error}");
    }
    assert!(honest.header(BlockNumber(BLOCK)).await.unwrap().is_some());
    assert_eq!(honest.header(BlockNumber(BLOCK + 1)).await.unwrap(), None);
}
