//! What every broadcast message is wrapped in, who signs it, and where it is broadcast.

use std::fmt;

use alloy_primitives::{Address, hex};
use bitcoin::secp256k1::PublicKey;

use super::{
    DecodeError, MAX_EVIDENCE_BYTES, MAX_MESSAGE_BYTES, cap, encode,
    read::{Fields, Value},
};

/// What an envelope that holds a coordination message says its type is.
pub const MESSAGE_TYPE: &[u8] = b"tbtc/coordination_message";

/// How libp2p's encoding of a secp256k1 public key begins: key type 2, then 33 bytes of data.
const KEY_PREFIX: [u8; 4] = [0x08, 0x02, 0x12, 0x21];

/// The name of a wallet's broadcast channel (its pubsub topic).
pub fn channel_name(wallet: &PublicKey) -> String {
    format!("tbtc-{}-coordination", hex::encode(wallet.serialize_uncompressed()))
}

/// An operator's public key, which signs its messages and gives it its Ethereum address.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OperatorKey {
    compressed: [u8; 33],
    address: Address,
}

/// Bytes that are not a compressed secp256k1 public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a point of secp256k1")]
pub struct OperatorKeyError;

impl OperatorKey {
    /// The key of these 33 bytes.
    ///
    /// # Errors
    ///
    /// When they are not a point of the curve.
    pub fn from_compressed(compressed: [u8; 33]) -> Result<Self, OperatorKeyError> {
        let key = PublicKey::from_slice(&compressed).map_err(|_| OperatorKeyError)?;
        let [_, coordinates @ ..] = key.serialize_uncompressed();
        Ok(Self { compressed, address: Address::from_raw_public_key(&coordinates) })
    }

    /// The key in compressed form.
    pub const fn compressed(&self) -> [u8; 33] {
        self.compressed
    }

    /// The operator's Ethereum address.
    pub const fn address(&self) -> Address {
        self.address
    }
}

impl fmt::Debug for OperatorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", hex::encode(self.compressed), self.address)
    }
}

/// The envelope around a message. Retransmissions repeat it, sequence number included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The sender's public key, compressed, as it claims. To be compared with the key that signed the network message.
    pub sender: [u8; 33],
    /// The message.
    pub payload: &'a [u8],
    /// What the message is. See [`MESSAGE_TYPE`].
    pub kind: &'a [u8],
    /// Which of the sender's messages this is. A Go client's start at 1 whenever its process does.
    pub sequence: u64,
}

impl<'a> Envelope<'a> {
    /// Reads an envelope, even one over [`MAX_MESSAGE_BYTES`], which is evidence.
    ///
    /// # Errors
    ///
    /// If the bytes are none, exceed [`MAX_EVIDENCE_BYTES`], or name no secp256k1 key.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        cap("envelope", bytes, MAX_EVIDENCE_BYTES)?;
        let (mut identity, mut payload, mut kind, mut sequence): (&[u8], &[u8], &[u8], _) =
            (&[], &[], &[], 0);
        for field in Fields::new("envelope", bytes) {
            match field? {
                (1, Value::Bytes(bytes)) => identity = bytes,
                (2, Value::Bytes(bytes)) => payload = bytes,
                (3, Value::Bytes(bytes)) => kind = bytes,
                (4, Value::Varint(varint)) => sequence = varint,
                _ => {}
            }
        }
        Ok(Self { sender: decode_identity(identity)?, payload, kind, sequence })
    }

    /// Writes the envelope.
    ///
    /// # Errors
    ///
    /// If it exceeds [`MAX_MESSAGE_BYTES`]: nobody would go by it.
    pub fn encode(&self) -> Result<Vec<u8>, DecodeError> {
        let mut identity = Vec::new();
        encode::bytes(&mut identity, 1, &[&KEY_PREFIX[..], &self.sender].concat());
        let mut out = Vec::new();
        encode::bytes(&mut out, 1, &identity);
        encode::bytes(&mut out, 2, self.payload);
        encode::bytes(&mut out, 3, self.kind);
        encode::uint(&mut out, 4, self.sequence);
        cap("envelope", &out, MAX_MESSAGE_BYTES)?;
        Ok(out)
    }
}

fn decode_identity(bytes: &[u8]) -> Result<[u8; 33], DecodeError> {
    let mut key: &[u8] = &[];
    for field in Fields::new("identity", bytes) {
        if let (1, Value::Bytes(bytes)) = field? {
            key = bytes;
        }
    }
    let compressed = key.strip_prefix(&KEY_PREFIX).ok_or(DecodeError::Identity)?;
    compressed.try_into().map_err(|_| DecodeError::Identity)
}
