//! Headers from servers and from a file, mutated: nothing panics, and every chain that comes of them holds.

use bitcoin::{Work, block::Header, consensus::encode};
use coxswain_rules::units::Height;
use coxswain_testkit::Mutator;
use serde_json::Value;

use super::{HeaderChain, HeaderRules, Start};

/// Mainnet's own, over a retarget: the first is where a chain starts, and the others stand on it.
fn recorded() -> (Start, Vec<u8>) {
    let vectors: Value = serde_json::from_str(include_str!("../../vectors/retargets.json")).unwrap();
    let headers = vectors["retargets"][0]["headers"].as_array().unwrap();
    let read =
        |header: &Value| -> Header { encode::deserialize_hex(header["header"].as_str().unwrap()).unwrap() };
    let height = Height(u32::try_from(headers[0]["height"].as_u64().unwrap()).unwrap());
    let bytes = headers.iter().skip(1).flat_map(|header| encode::serialize(&read(header))).collect();
    (Start { height, header: read(&headers[0]) }, bytes)
}

#[test]
fn headers() {
    let (start, bytes) = recorded();
    let whole = HeaderChain::from_bytes(start, HeaderRules::MAINNET, &bytes, u32::MAX);
    assert_eq!(whole.to_bytes(), bytes);
    let mut mutator = Mutator::new(vec![bytes.clone(), bytes[..bytes.len().min(800)].to_vec()]);
    while let Some(input) = mutator.next_input() {
        let chain = HeaderChain::from_bytes(start, HeaderRules::MAINNET, &input, u32::MAX);
        // No one has work for another header than the real ones.
        assert!(bytes.starts_with(&chain.to_bytes()));
        assert_eq!(whole.header(chain.height()), Some(chain.tip()));
        let work: Option<Work> = chain.headers().iter().map(Header::work).reduce(|sum, work| sum + work);
        assert!(work.is_some());
        let (records, _) = input.as_chunks::<80>();
        let headers: Vec<Header> =
            records.iter().filter_map(|record| encode::deserialize(record).ok()).collect();
        let mut other = whole.clone();
        let _ = other.connect(start.height.next(), &headers, u32::MAX);
        assert_eq!(other.to_bytes(), bytes, "what holds no more work changes nothing");
    }
}
