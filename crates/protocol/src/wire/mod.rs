//! What members say to each other, in Protocol Buffers (proto3), byte for byte as the Go client does.
//!
//! Decoding is total: any bytes give a value or a [`DecodeError`], and no more is allocated than the caps allow. A
//! message whose proposal alone can't be read is a value too: [`Undecodable`].
//! Like Go's decoder, it skips fields that it doesn't know or whose type is another, lets the last of several scalars
//! win, merges repeated sub-messages, and reads repeated integers packed or not.

mod encode;
mod envelope;
mod message;
mod proposal;
mod read;

pub use envelope::{Envelope, MESSAGE_TYPE, OperatorKey, OperatorKeyError, channel_name};
pub use message::{CoordinationMessage, Decoded, Proposed, Undecodable, canonical};
pub use read::WireError;

use std::ops::RangeInclusive;

use crate::{Seat, SeatError};

/// The most bytes that an envelope, or a message in it, can have to be a proposal.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// The most bytes that an envelope, or a message in it, can have to be looked at. One that is over
/// [`MAX_MESSAGE_BYTES`] is evidence of a leader's mistake: other clients may accept it.
pub const MAX_EVIDENCE_BYTES: usize = 1024 * 1024;
/// Numbers of actions that other clients have reserved. A leader that proposes one of them makes no mistake: we don't
/// understand it. (Reservation anchor, reserved redemption, re-anchor, dissolution.)
pub const RESERVED_ACTIONS: RangeInclusive<u32> = 6..=9;
/// The most deposits, reveal blocks, scripts or target wallets in a proposal. How many are *valid* is a rule.
pub const MAX_ITEMS: usize = 255;
/// The most bytes that an output script can have.
pub const MAX_SCRIPT_BYTES: usize = 10_000;
/// The most bytes that a fee can have, leading zeros included.
pub(crate) const MAX_FEE_BYTES: usize = 8;

/// The name of a message or field. (An alias: derived code takes a plain reference for a piece of what is read.)
type Name = &'static str;

/// Why bytes are not a message. Field names are those of the coordination protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not Protocol Buffers at all.
    #[error("{message} is malformed")]
    Malformed {
        /// The message being read.
        #[serde(deserialize_with = "crate::stored::name")]
        message: Name,
        /// What is wrong with it.
        source: WireError,
    },
    /// Over a cap in bytes.
    #[error("{field} is {actual} bytes, at most {max} allowed")]
    TooLong {
        /// The field, or the whole message.
        #[serde(deserialize_with = "crate::stored::name")]
        field: Name,
        /// Its length.
        actual: usize,
        /// The cap.
        max: usize,
    },
    /// A field of fixed length has another.
    #[error("{field} is {actual} bytes, {expected} expected")]
    WrongLength {
        /// The field.
        #[serde(deserialize_with = "crate::stored::name")]
        field: Name,
        /// Its length.
        actual: usize,
        /// The length of every such field.
        expected: usize,
    },
    /// Over a cap in number.
    #[error("there are more than {max} {field}")]
    TooMany {
        /// The repeated field.
        #[serde(deserialize_with = "crate::stored::name")]
        field: Name,
        /// The cap.
        max: usize,
    },
    /// A field without which the message says nothing.
    #[error("{field} is missing")]
    Missing {
        /// The field.
        #[serde(deserialize_with = "crate::stored::name")]
        field: Name,
    },
    /// A sender that can't be.
    #[error(transparent)]
    Seat(#[from] SeatError),
    /// A deposit sweep needs exactly one reveal block per deposit.
    #[error("there are {deposits} deposits but {reveal_blocks} reveal blocks")]
    RevealBlockCount {
        /// How many deposits.
        deposits: usize,
        /// How many reveal blocks.
        reveal_blocks: usize,
    },
    /// An identity that isn't libp2p's form of a compressed secp256k1 key.
    #[error("the sender's identity is not a secp256k1 public key")]
    Identity,
}

fn cap(field: &'static str, bytes: &[u8], max: usize) -> Result<(), DecodeError> {
    if bytes.len() > max {
        return Err(DecodeError::TooLong { field, actual: bytes.len(), max });
    }
    Ok(())
}

fn exactly<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], DecodeError> {
    bytes.try_into().map_err(|_| DecodeError::WrongLength { field, actual: bytes.len(), expected: N })
}

fn push<T>(items: &mut Vec<T>, field: &'static str, item: T) -> Result<(), DecodeError> {
    if items.len() == MAX_ITEMS {
        return Err(DecodeError::TooMany { field, max: MAX_ITEMS });
    }
    items.push(item);
    Ok(())
}

/// As every proto3 decoder does, keeps the low half of a varint that is too large for its field.
#[expect(clippy::cast_possible_truncation, reason = "meant, see above")]
const fn uint32(varint: u64) -> u32 {
    varint as u32
}

fn seat(number: u32) -> Result<Seat, DecodeError> {
    Ok(Seat::try_from(u64::from(number))?)
}
