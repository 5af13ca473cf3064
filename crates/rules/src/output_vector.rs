//! One output of a serialized output vector, found without trusting a byte of it.
//!
//! The walk ends with the output asked for, as in the contract: what follows is not looked at, and a count or an
//! earlier length may be longer than it need be, since the transaction's hash already binds the bytes.

use bitcoin::Amount;

/// An output where it lies in its vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VectorOutput<'a> {
    /// What it is worth.
    pub value: Amount,
    /// Its script, without length prefix.
    pub script: &'a [u8],
}

/// Why a vector has no well-formed output at an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub enum OutputVectorError {
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
pub fn output_at(vector: &[u8], index: u32) -> Result<VectorOutput<'_>, OutputVectorError> {
    let truncated = OutputVectorError::Truncated { index, length: vector.len() };
    let (count, mut rest) = compact_size(vector).ok_or(truncated)?;
    if u64::from(index) >= count.value {
        return Err(OutputVectorError::OutOfRange { index, count: count.value });
    }
    for _ in 0..index {
        // Each turn takes 9 bytes at least, so that a huge index ends with the vector.
        (_, _, rest) = next_output(rest).ok_or(truncated)?;
    }
    let (output, length, _) = next_output(rest).ok_or(truncated)?;
    if length.minimal { Ok(output) } else { Err(OutputVectorError::LengthNotMinimal { index }) }
}

/// The output that `bytes` begin with, its script's length as written, and what follows it.
fn next_output(bytes: &[u8]) -> Option<(VectorOutput<'_>, CompactSize, &[u8])> {
    let (value, bytes) = bytes.split_first_chunk()?;
    let (length, bytes) = compact_size(bytes)?;
    let (script, rest) = bytes.split_at_checked(usize::try_from(length.value).ok()?)?;
    Some((VectorOutput { value: Amount::from_sat(u64::from_le_bytes(*value)), script }, length, rest))
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

#[cfg(test)]
mod tests {
    use bitcoin::{ScriptBuf, TxOut, consensus::encode};
    use proptest::prelude::*;

    use super::*;

    /// Bytes, half of them from those that mean something in a compact size, so that walks get far.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![any::<u8>(), 0_u8..4, 0xfc_u8..=0xff];
        prop::collection::vec(byte, 0..120)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        #[test]
        fn any_bytes_end_in_an_output_within_them_or_a_named_defect(vector in bytes(), index in 0_u32..40) {
            match output_at(&vector, index) {
                Ok(output) => {
                    let script = output.script.as_ptr_range();
                    let whole = vector.as_ptr_range();
                    prop_assert!(whole.start <= script.start && script.end <= whole.end);
                }
                Err(OutputVectorError::OutOfRange { count, .. }) => prop_assert!(u64::from(index) >= count),
                Err(OutputVectorError::Truncated { length, .. }) => prop_assert_eq!(length, vector.len()),
                Err(OutputVectorError::LengthNotMinimal { .. }) => prop_assert!(vector.len() >= 12),
            }
        }

        #[test]
        fn any_bytes_at_any_index(vector in bytes(), index: u32) {
            let _ = output_at(&vector, index);
        }
    }

    proptest! {
        #[test]
        fn outputs_are_found_as_they_were_serialized(
            outputs in prop::collection::vec((any::<u64>(), prop::collection::vec(any::<u8>(), 0..300)), 0..60),
            tail in bytes(),
        ) {
            let outputs: Vec<_> = outputs
                .into_iter()
                .map(|(value, script)| TxOut {
                    value: Amount::from_sat(value),
                    script_pubkey: ScriptBuf::from_bytes(script),
                })
                .collect();
            let vector = [encode::serialize(&outputs), tail].concat();
            for (index, output) in (0..).zip(&outputs) {
                let expected = VectorOutput { value: output.value, script: output.script_pubkey.as_bytes() };
                prop_assert_eq!(output_at(&vector, index), Ok(expected));
            }
            let count = outputs.len();
            let index = u32::try_from(count).unwrap();
            let out_of_range = OutputVectorError::OutOfRange { index, count: count.try_into().unwrap() };
            prop_assert_eq!(output_at(&vector, index), Err(out_of_range));
        }
    }
}
