//! One output of a serialized output vector, found without trusting a byte of it.
//!
//! The walk ends with the output asked for, as in the contract: what follows is not looked at, and a count or an
//! earlier length may be longer than it need be, since the transaction's hash already binds the bytes.

use bitcoin::Amount;

/// An output where it lies in its vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Output<'a> {
    /// What it is worth.
    pub value: Amount,
    /// Its script, without length prefix.
    pub script: &'a [u8],
}

/// Why a vector has no well-formed output at an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedOutput {
    /// The vector says that it has fewer outputs.
    #[error("there is no output {index} among {count}")]
    OutOfRange {
        /// The output asked for.
        index: u32,
        /// How many the vector says it has.
        count: u64,
    },
    /// The vector ends before the output does.
    #[error("the outputs end after {length} bytes, within or before output {index}")]
    Truncated {
        /// The output asked for.
        index: u32,
        /// The vector's length in bytes.
        length: usize,
    },
    /// The output's own script length takes more bytes than it need.
    #[error("the script length of output {index} is not in its shortest form")]
    LengthNotMinimal {
        /// The output asked for.
        index: u32,
    },
}

/// The output at `index`, counted from 0, of a compact-size count followed by outputs.
pub fn output_at(vector: &[u8], index: u32) -> Result<Output<'_>, MalformedOutput> {
    let truncated = MalformedOutput::Truncated { index, length: vector.len() };
    let (count, mut rest) = compact_size(vector).ok_or(truncated)?;
    if u64::from(index) >= count.value {
        return Err(MalformedOutput::OutOfRange { index, count: count.value });
    }
    for _ in 0..index {
        // Each turn takes 9 bytes at least, so that a huge index ends with the vector.
        (_, _, rest) = next_output(rest).ok_or(truncated)?;
    }
    let (output, length, _) = next_output(rest).ok_or(truncated)?;
    if length.minimal { Ok(output) } else { Err(MalformedOutput::LengthNotMinimal { index }) }
}

/// The output that `bytes` begin with, its script's length as written, and what follows it.
fn next_output(bytes: &[u8]) -> Option<(Output<'_>, CompactSize, &[u8])> {
    let (value, bytes) = bytes.split_first_chunk()?;
    let (length, bytes) = compact_size(bytes)?;
    let (script, rest) = bytes.split_at_checked(usize::try_from(length.value).ok()?)?;
    Some((Output { value: Amount::from_sat(u64::from_le_bytes(*value)), script }, length, rest))
}

#[derive(Clone, Copy)]
struct CompactSize {
    value: u64,
    minimal: bool,
}

/// The compact size that `bytes` begin with, and what follows it.
fn compact_size(bytes: &[u8]) -> Option<(CompactSize, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (value, least, rest) = match first {
        0xfd => rest.split_first_chunk().map(|(size, rest)| (u16::from_le_bytes(*size).into(), 0xfd, rest)),
        0xfe => {
            rest.split_first_chunk().map(|(size, rest)| (u32::from_le_bytes(*size).into(), 0x1_0000, rest))
        }
        0xff => rest.split_first_chunk().map(|(size, rest)| (u64::from_le_bytes(*size), 0x1_0000_0000, rest)),
        small => Some((small.into(), 0, rest)),
    }?;
    Some((CompactSize { value, minimal: value >= least }, rest))
}
