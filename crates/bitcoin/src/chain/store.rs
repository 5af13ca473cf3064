//! The chain as it is kept: checked like any server's answer when it is read.

use bitcoin::{block::Header, consensus::encode};

use super::{HeaderChain, HeaderRules, Start};

/// Bytes of a header.
const HEADER_SIZE: usize = 80;
/// How many are connected at once.
const AT_ONCE: usize = 2_016;

impl HeaderChain {
    /// The chain's headers, from the first one after its start on, as bytes. Branches are not kept.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.headers().iter().skip(1).flat_map(encode::serialize).collect()
    }

    /// Reads the chain from stored bytes, up to the first header that is not valid. (Such bytes are harmless: a torn
    /// tail, or headers from another start.)
    pub fn from_bytes(start: Start, rules: HeaderRules, bytes: &[u8], now: u32) -> Self {
        let mut chain = Self::new(start, rules);
        let (records, _) = bytes.as_chunks::<HEADER_SIZE>();
        for records in records.chunks(AT_ONCE) {
            let headers: Vec<Header> =
                records.iter().map_while(|record| encode::deserialize(record).ok()).collect();
            let Some(height) = chain.height().checked_add(1) else { break };
            // What is before the one that doesn't hold is taken in.
            if chain.connect(height, &headers, now).is_err() || headers.len() < records.len() {
                break;
            }
        }
        chain
    }
}
