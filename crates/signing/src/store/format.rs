//! A file of shares, byte for byte. Numbers are big-endian.
//!
//! | field | bytes |
//! |---|---|
//! | magic `coxshare` | 8 |
//! | version, 1 | 1 |
//! | scheme: length, ASCII | 1 + up to 64 |
//! | chain id | 8 |
//! | wallet key, compressed | 33 |
//! | seats in the group, threshold, dealt (0 or 1) | 3 |
//! | own seats: count, numbers going up | 1 + count |
//! | Argon2id: KiB, passes, lanes | 12 |
//! | salt | 32 |
//! | length of the pairs | 4 |
//! | *here the header ends; from here on each: nonce 24, ciphertext, tag 16* | |
//! | data key | 24 + 32 + 16 |
//! | core: own seats × 32, group's seats × 33 | 24 + … + 16 |
//! | pairs | 24 + … + 16 |
//! | SHA-256 of all before it: damage is told from a wrong passphrase | 32 |

use std::path::Path;

use bitcoin::{
    hashes::{Hash, sha256},
    secp256k1::PublicKey,
};
use coxswain_protocol::Seat;

use super::{Core, Cost, ShareError, ShareInfo};

pub(super) const MAGIC: [u8; 8] = *b"coxshare";
pub(super) const VERSION: u8 = 1;
pub(super) const NONCE: usize = 24;
pub(super) const TAG: usize = 16;
pub(super) const KEY: usize = 32;
const SUM: usize = 32;
const MAX_SCHEME: usize = 64;
/// More than what a pair of seats takes up.
const PAIR_BYTES: usize = 64 << 10;
/// No file is longer: 100 seats in one hand of 100.
pub(super) const MAX_BYTES: usize = 700 << 20;

/// What stands before the sections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) info: ShareInfo,
    pub(super) cost: Cost,
    pub(super) salt: [u8; 32],
    pub(super) pairs: usize,
}

/// A file's parts. That it is whole is checked, nothing else.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) header: Header,
    pub(super) header_bytes: &'a [u8],
    pub(super) key: Sealed<'a>,
    pub(super) core: Sealed<'a>,
    pub(super) pairs: Sealed<'a>,
}

/// A nonce, and the ciphertext with its tag.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sealed<'a> {
    pub(super) nonce: [u8; NONCE],
    pub(super) ciphertext: &'a [u8],
}

/// That a header is one of a group that there can be.
pub(super) fn check_info(info: &ShareInfo) -> Result<(), &'static str> {
    let ShareInfo { scheme, group_size, threshold, seats, .. } = info;
    if scheme.is_empty()
        || scheme.len() > MAX_SCHEME
        || !scheme.bytes().all(|byte| matches!(byte, b' '..=b'~'))
    {
        return Err("the scheme has no name");
    }
    if *threshold < 2 || threshold > group_size {
        return Err("the threshold is below 2, or above the number of seats");
    }
    let ascending = seats.is_sorted_by(|a, b| a < b);
    if seats.is_empty() || !ascending || seats.iter().any(|seat| seat.number() > *group_size) {
        return Err("the own seats are none, out of order, or none of the group's");
    }
    Ok(())
}

/// That the pairs are no longer than those of so many seats can be.
pub(super) fn check_pairs(info: &ShareInfo, length: usize) -> Result<(), &'static str> {
    let most = info.seats.len() * usize::from(info.group_size) * PAIR_BYTES;
    if length > most { Err("the pairs are too long") } else { Ok(()) }
}

impl Header {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let Self { info, cost, salt, pairs } = self;
        let length = |length: usize| u8::try_from(length).expect("checked before");
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(&MAGIC);
        out.push(VERSION);
        out.push(length(info.scheme.len()));
        out.extend_from_slice(info.scheme.as_bytes());
        out.extend_from_slice(&info.chain_id.to_be_bytes());
        out.extend_from_slice(&info.wallet_key.serialize());
        out.extend_from_slice(&[
            info.group_size,
            info.threshold,
            u8::from(info.dealt),
            length(info.seats.len()),
        ]);
        out.extend(info.seats.iter().map(|seat| seat.number()));
        for number in [cost.kib, cost.passes, cost.lanes] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(salt);
        out.extend_from_slice(&u32::try_from(*pairs).expect("checked before").to_be_bytes());
        out
    }

    /// How long the whole file is, behind a header of this length.
    fn file_length(&self, header: usize) -> usize {
        let sealed = |length: usize| NONCE + length + TAG;
        header + sealed(KEY) + sealed(Core::size(&self.info)) + sealed(self.pairs) + SUM
    }
}

/// Why bytes are no header.
enum NoHeader {
    /// There are too few.
    Short,
    /// They are something else.
    Wrong,
    Version(u8),
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, length: usize) -> Result<&'a [u8], NoHeader> {
        let (field, rest) = self.0.split_at_checked(length).ok_or(NoHeader::Short)?;
        self.0 = rest;
        Ok(field)
    }

    fn array<const WIDTH: usize>(&mut self) -> Result<[u8; WIDTH], NoHeader> {
        let (field, rest) = self.0.split_first_chunk::<WIDTH>().ok_or(NoHeader::Short)?;
        self.0 = rest;
        Ok(*field)
    }

    fn byte(&mut self) -> Result<u8, NoHeader> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Result<u32, NoHeader> {
        self.array().map(u32::from_be_bytes)
    }
}

fn read_header(input: &mut Reader<'_>) -> Result<Header, NoHeader> {
    if input.array()? != MAGIC {
        return Err(NoHeader::Wrong);
    }
    let version = input.byte()?;
    if version != VERSION {
        return Err(NoHeader::Version(version));
    }
    let length = usize::from(input.byte()?);
    let scheme = std::str::from_utf8(input.bytes(length)?).map_err(|_| NoHeader::Wrong)?.to_owned();
    let chain_id = u64::from_be_bytes(input.array()?);
    let wallet_key = PublicKey::from_slice(&input.array::<33>()?).map_err(|_| NoHeader::Wrong)?;
    let [group_size, threshold, dealt, count] = input.array()?;
    let dealt = match dealt {
        0 => false,
        1 => true,
        _ => return Err(NoHeader::Wrong),
    };
    let seats: Result<Vec<Seat>, _> =
        input.bytes(usize::from(count))?.iter().map(|number| Seat::try_from(u64::from(*number))).collect();
    let seats = seats.map_err(|_| NoHeader::Wrong)?;
    let info = ShareInfo { scheme, chain_id, wallet_key, group_size, threshold, seats, dealt };
    check_info(&info).map_err(|_| NoHeader::Wrong)?;
    let cost = Cost { kib: input.u32()?, passes: input.u32()?, lanes: input.u32()? };
    let salt = input.array()?;
    let pairs = usize::try_from(input.u32()?).map_err(|_| NoHeader::Wrong)?;
    check_pairs(&info, pairs).map_err(|_| NoHeader::Wrong)?;
    Ok(Header { info, cost, salt, pairs })
}

/// A file's parts, if it is whole.
pub(super) fn parse<'a>(bytes: &'a [u8], path: &Path) -> Result<Parts<'a>, ShareError> {
    let found = bytes.len();
    let torn = |expected| ShareError::Torn { path: path.into(), found, expected };
    let mut input = Reader(bytes);
    let header = match read_header(&mut input) {
        Ok(header) => header,
        // What begins like a header and breaks off has lost its end.
        Err(NoHeader::Short) if found > 0 && (bytes.starts_with(&MAGIC) || MAGIC.starts_with(bytes)) => {
            return Err(torn(found + 1));
        }
        Err(NoHeader::Short) if found == 0 => return Err(torn(1)),
        Err(NoHeader::Short) => return Err(ShareError::NotShares(path.into())),
        Err(NoHeader::Wrong) if bytes.starts_with(&MAGIC) => return Err(ShareError::Damaged(path.into())),
        Err(NoHeader::Wrong) => return Err(ShareError::NotShares(path.into())),
        Err(NoHeader::Version(version)) => return Err(ShareError::Version { path: path.into(), version }),
    };
    let header_bytes = bytes.get(..found - input.0.len()).expect("it was read from there");
    let expected = header.file_length(header_bytes.len());
    if found != expected {
        return Err(torn(expected));
    }
    let (body, sum) = bytes.split_at_checked(found - SUM).ok_or_else(|| torn(expected))?;
    if sha256::Hash::hash(body).as_byte_array() != sum {
        return Err(ShareError::Damaged(path.into()));
    }
    let mut sealed = |length: usize| -> Result<Sealed<'a>, NoHeader> {
        Ok(Sealed { nonce: input.array()?, ciphertext: input.bytes(length + TAG)? })
    };
    let sections = (|| Ok((sealed(KEY)?, sealed(Core::size(&header.info))?, sealed(header.pairs)?)))();
    let (key, core, pairs) = sections.map_err(|_: NoHeader| torn(expected))?;
    Ok(Parts { header, header_bytes, key, core, pairs })
}

/// Puts the checksum behind a file's bytes.
pub(super) fn finish(bytes: &mut Vec<u8>) {
    let sum = sha256::Hash::hash(bytes);
    bytes.extend_from_slice(sum.as_byte_array());
}
