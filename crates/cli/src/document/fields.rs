//! The forms of a document's fields, each read strictly.

use std::{fmt, marker::PhantomData};

use alloy_primitives::hex;
use bitcoin::{Amount, Transaction, Txid, consensus::encode, hashes::Hash as _};
use coxswain_rules::Action;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

/// Reads a field that may be left out. On its own, serde would also take `null`, which says nothing of what is meant.
pub(super) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// How many items a list may have: more than any wallet's action, and few enough for whatever they are.
const MOST_ITEMS: usize = 1_000;

/// Reads a list that is not longer than any proposal's.
pub(super) fn few<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct Few<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Few<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of {MOST_ITEMS} items at most")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
            let mut few = Vec::new();
            while few.len() < MOST_ITEMS {
                match items.next_element()? {
                    Some(item) => few.push(item),
                    None => return Ok(few),
                }
            }
            match items.next_element::<IgnoredAny>()? {
                None => Ok(few),
                Some(_) => Err(A::Error::invalid_length(MOST_ITEMS + 1, &self)),
            }
        }
    }

    deserializer.deserialize_seq(Few(PhantomData))
}

/// What is written as an object. On its own, serde would also take an array of the fields' values, in an order that no document
/// promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with named fields")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// An [`Action`] by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ActionName(pub(super) Action);

impl<'de> Deserialize<'de> for ActionName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Action::ALL.into_iter().find(|action| action.name() == text).map(Self).ok_or_else(|| {
            let names = Action::ALL.map(Action::name).join(", ");
            D::Error::custom(format_args!("`{text}` is no action: expected one of {names}"))
        })
    }
}

/// Reads the bytes behind `0x`.
fn hex_bytes<E: serde::de::Error>(text: &str) -> Result<Vec<u8>, E> {
    let digits = text.strip_prefix("0x").ok_or_else(|| E::custom("expected hex with a 0x prefix"))?;
    raw_hex(digits)
}

fn raw_hex<E: serde::de::Error>(digits: &str) -> Result<Vec<u8>, E> {
    if let Some((position, digit)) = digits.char_indices().find(|(_, digit)| !digit.is_ascii_hexdigit()) {
        return Err(E::custom(format_args!("`{digit}` at position {position} is no hex digit")));
    }
    if !digits.len().is_multiple_of(2) {
        return Err(E::custom(format_args!("an odd number of hex digits ({})", digits.len())));
    }
    hex::decode(digits).map_err(E::custom)
}

/// A byte string of a fixed length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fixed<const N: usize>(pub(super) [u8; N]);

impl<'de, const N: usize> Deserialize<'de> for Fixed<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = hex_bytes(&String::deserialize(deserializer)?)?;
        let length = bytes.len();
        let bytes = bytes.try_into().map_err(|_| {
            D::Error::custom(format_args!("expected {N} bytes ({} hex digits), got {length}", 2 * N))
        })?;
        Ok(Self(bytes))
    }
}

/// A byte string of any length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        hex_bytes(&String::deserialize(deserializer)?).map(Self)
    }
}

/// A transaction id, in Bitcoin's display order, without a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TxidText(pub(super) Txid);

impl<'de> Deserialize<'de> for TxidText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.starts_with("0x") {
            return Err(D::Error::custom("a txid is in Bitcoin's display order, without a 0x prefix"));
        }
        let mut bytes: Vec<u8> = raw_hex(&text)?;
        bytes.reverse();
        let length = bytes.len();
        let bytes = bytes.try_into().map_err(|_| {
            D::Error::custom(format_args!("expected a txid of 32 bytes (64 hex digits), got {length}"))
        })?;
        Ok(Self(Txid::from_byte_array(bytes)))
    }
}

/// A raw transaction, with or without witness. The 0x prefix may be left out, as Bitcoin programs do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RawTransaction(pub(super) Transaction);

impl<'de> Deserialize<'de> for RawTransaction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes: Vec<u8> = raw_hex(text.strip_prefix("0x").unwrap_or(&text))?;
        match encode::deserialize_partial(&bytes) {
            Ok((transaction, length)) if length == bytes.len() => Ok(Self(transaction)),
            Ok((_, length)) => Err(D::Error::custom(format_args!(
                "not a Bitcoin transaction: {} bytes follow after its end",
                bytes.len().saturating_sub(length)
            ))),
            Err(encode::Error::Io(_)) => Err(D::Error::custom(format_args!(
                "not a Bitcoin transaction: it breaks off after {} bytes",
                bytes.len()
            ))),
            Err(error) => Err(D::Error::custom(format_args!("not a Bitcoin transaction: {error}"))),
        }
    }
}

/// An amount in satoshis: an integer, or a decimal string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Satoshis(pub(super) Amount);

impl<'de> Deserialize<'de> for Satoshis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SatoshisVisitor;

        impl Visitor<'_> for SatoshisVisitor {
            type Value = Satoshis;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "whole satoshis from 0 to {}, as an integer or a decimal string", u64::MAX)
            }

            fn visit_u64<E: serde::de::Error>(self, satoshis: u64) -> Result<Satoshis, E> {
                Ok(Satoshis(Amount::from_sat(satoshis)))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Satoshis, E> {
                let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                let satoshis = digits.then(|| text.parse().ok()).flatten();
                satoshis
                    .map(|satoshis| Satoshis(Amount::from_sat(satoshis)))
                    .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_any(SatoshisVisitor)
    }
}
