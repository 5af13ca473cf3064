//! Mines the blocks of `MinedBlocks` and prints their headers, as `vectors/mined.txt` has them: about 5 · 2³² hashes, hours on one
//! core. For each block it tries all nonces of a version, from 0 on, then those of the next version; the first hash that meets
//! the target counts, so that whoever searches in this order finds the same headers. Given the file's lines on standard input,
//! it goes on from there.

use std::io::{self, BufRead, Write};

use bitcoin::{block, block::Header, consensus::encode, hex::DisplayHex};
use coxswain_testkit::MinedBlocks;

fn main() -> io::Result<()> {
    let MinedBlocks { first, blocks, .. } = MinedBlocks::unmined();
    let mut known = io::stdin().lock().lines();
    let mut parent = first.block_hash();
    for block in blocks {
        let template = Header { prev_blockhash: parent, ..block.header };
        let hex = match known.next().transpose()? {
            Some(hex) => hex,
            None => encode::serialize(&mine(template)).to_lower_hex_string(),
        };
        let bytes: Vec<u8> = bitcoin::hex::FromHex::from_hex(&hex).map_err(io::Error::other)?;
        let header: Header = encode::deserialize(&bytes).map_err(io::Error::other)?;
        header.validate_pow(template.target()).map_err(io::Error::other)?;
        parent = header.block_hash();
        writeln!(io::stdout(), "{hex}")?;
    }
    Ok(())
}

fn mine(template: Header) -> Header {
    let base = template.version.to_consensus();
    (0..=0xffff)
        .flat_map(|low| (0..=u32::MAX).map(move |nonce| (low, nonce)))
        .map(|(low, nonce)| {
            let version = block::Version::from_consensus(base | low);
            Header { version, nonce, ..template }
        })
        .find(|header| header.target().is_met_by(header.block_hash()))
        .expect("one of 2^48 hashes meets an easy target")
}
