//! How a journal's entries are written down, where what the types say of themselves isn't enough.

use serde::{Deserialize, Deserializer};

/// What [`DecodeError`](crate::wire::DecodeError)s name: messages and fields.
const NAMES: [&str; 24] = [
    "coordination message",
    "coordination proposal",
    "deposit",
    "deposit sweep proposal",
    "deposits",
    "envelope",
    "funding tx hash",
    "heartbeat message",
    "heartbeat proposal",
    "identity",
    "moved funds sweep proposal",
    "moving funds proposal",
    "moving funds tx fee",
    "moving funds tx hash",
    "output script",
    "output scripts",
    "redemption proposal",
    "redemption tx fee",
    "reveal blocks",
    "signed message",
    "sweep tx fee",
    "target wallet",
    "target wallets",
    "wallet public key hash",
];

/// Reads the name of a message or field. One that we don't know, of another version, is no reason to lose the entry.
pub(crate) fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'static str, D::Error> {
    let read = String::deserialize(deserializer)?;
    Ok(NAMES.into_iter().find(|name| **name == read).unwrap_or("a field"))
}

/// Bytes, in hex.
pub(crate) mod bytes {
    use std::sync::Arc;

    use alloy_primitives::Bytes;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &Arc<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
        Bytes::copy_from_slice(bytes).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<[u8]>, D::Error> {
        Bytes::deserialize(deserializer).map(|bytes| Arc::from(bytes.as_ref()))
    }
}

/// Bytes in hex, if there are any.
pub(crate) mod bytes_if_any {
    use std::sync::Arc;

    use alloy_primitives::Bytes;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        bytes: &Option<Arc<[u8]>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        bytes.as_deref().map(Bytes::copy_from_slice).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Arc<[u8]>>, D::Error> {
        Option::<Bytes>::deserialize(deserializer).map(|bytes| bytes.map(|bytes| Arc::from(bytes.as_ref())))
    }
}
