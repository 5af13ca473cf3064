//! Pubsub's messages, as Go writes and verifies them.

use std::sync::Arc;

use bitcoin::hashes::{Hash, sha256};
use coxswain_protocol::wire::{OperatorKey, OperatorKeyError};

use crate::{
    identity::{Identity, compressed_of, public_key_bytes, verify},
    protobuf::{Fields, ProtobufError, Value, put_bytes, put_varint},
};

/// What the bytes that are signed begin with.
const SIGN_PREFIX: &[u8] = b"libp2p-pubsub:";
/// The most messages of a frame that are looked at.
const MAX_MESSAGES: usize = 1000;
/// The most subscriptions of a frame that are looked at: far more than an operator can have.
const MAX_SUBSCRIPTIONS: usize = 8192;

/// A frame that is no RPC.
pub type RpcError = ProtobufError;

/// A change of a peer's subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// Whether it joins the topic, or leaves it.
    pub subscribe: bool,
    /// The topic.
    pub topic: &'a [u8],
}

/// What a frame holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rpc<'a> {
    /// Changes of the sender's subscriptions.
    pub subscriptions: Vec<Subscription<'a>>,
    /// Messages, each to be decoded by itself.
    pub messages: Vec<&'a [u8]>,
    /// How many messages and subscriptions were left out, because they were malformed or too many.
    pub excess: usize,
}

impl<'a> Rpc<'a> {
    /// Reads a frame.
    ///
    /// # Errors
    ///
    /// When it is no RPC.
    pub fn decode(frame: &'a [u8]) -> Result<Self, RpcError> {
        let mut rpc = Self { subscriptions: Vec::new(), messages: Vec::new(), excess: 0 };
        for field in Fields::new(frame) {
            let field = field?;
            match (field.number, field.value) {
                (1, Value::Bytes(bytes)) if rpc.subscriptions.len() < MAX_SUBSCRIPTIONS => {
                    rpc.subscriptions.push(subscription(bytes)?);
                }
                (2, Value::Bytes(bytes)) if rpc.messages.len() < MAX_MESSAGES => rpc.messages.push(bytes),
                (1 | 2, Value::Bytes(_)) => rpc.excess += 1,
                (1 | 2, _) => return Err(ProtobufError),
                _ => {}
            }
        }
        Ok(rpc)
    }
}

fn subscription(bytes: &[u8]) -> Result<Subscription<'_>, ProtobufError> {
    let mut subscription = Subscription { subscribe: false, topic: &[] };
    for field in Fields::new(bytes) {
        let field = field?;
        match (field.number, field.value) {
            (1, Value::Varint(varint)) => subscription.subscribe = varint != 0,
            (2, Value::Bytes(topic)) => subscription.topic = topic,
            (1 | 2, _) => return Err(ProtobufError),
            _ => {}
        }
    }
    Ok(subscription)
}

/// The body of a frame that joins or leaves topics.
pub(crate) fn subscriptions<'a>(changes: impl IntoIterator<Item = (bool, &'a [u8])>) -> Vec<u8> {
    let mut rpc = Vec::new();
    for (subscribe, topic) in changes {
        let mut change = vec![0x08, u8::from(subscribe)];
        put_bytes(&mut change, 2, topic);
        put_bytes(&mut rpc, 1, &change);
    }
    rpc
}

/// The body of a frame that holds one message.
pub(crate) fn publication(message: &[u8]) -> Vec<u8> {
    let mut rpc = Vec::with_capacity(message.len() + 5);
    put_bytes(&mut rpc, 2, message);
    rpc
}

/// A message that nobody is to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// Not a pubsub message.
    #[error(transparent)]
    Malformed(#[from] ProtobufError),
    /// Its author is not a peer id that holds a secp256k1 key.
    #[error("its author is no operator")]
    Author,
    /// It names a key that is not its author's.
    #[error("it names another key than its author's")]
    Key,
    /// It isn't signed by its author.
    #[error("its signature doesn't hold")]
    Signature,
}

impl From<OperatorKeyError> for MessageError {
    fn from(_: OperatorKeyError) -> Self {
        Self::Author
    }
}

/// A message: its author's, until [`verify`](Self::verify) says so only as it claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    from: Option<&'a [u8]>,
    data: Option<&'a [u8]>,
    seqno: Option<&'a [u8]>,
    topic: Option<&'a [u8]>,
    signature: Option<&'a [u8]>,
    key: Option<&'a [u8]>,
    /// Fields that we don't know, as they came. They are signed as well.
    unknown: Vec<&'a [u8]>,
}

impl<'a> Message<'a> {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// When it is malformed.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, ProtobufError> {
        let mut message = Self {
            from: None,
            data: None,
            seqno: None,
            topic: None,
            signature: None,
            key: None,
            unknown: Vec::new(),
        };
        for field in Fields::new(bytes) {
            let field = field?;
            let slot = match field.number {
                1 => &mut message.from,
                2 => &mut message.data,
                3 => &mut message.seqno,
                4 => &mut message.topic,
                5 => &mut message.signature,
                6 => &mut message.key,
                _ => {
                    message.unknown.push(field.raw);
                    continue;
                }
            };
            let Value::Bytes(bytes) = field.value else { return Err(ProtobufError) };
            *slot = Some(bytes);
        }
        Ok(message)
    }

    /// Writes and signs a message of our own.
    pub fn sign(identity: &Identity, seqno: u64, topic: &[u8], data: &[u8]) -> Vec<u8> {
        let from = identity.peer_id().to_bytes();
        let seqno = seqno.to_be_bytes();
        let mut message = Message {
            from: Some(&from),
            data: Some(data),
            seqno: Some(&seqno),
            topic: Some(topic),
            signature: None,
            key: None,
            unknown: Vec::new(),
        };
        let signature = identity.sign(&message.signed_bytes());
        message.signature = Some(&signature);
        message.encode().to_vec()
    }

    /// The topic, empty if there is none.
    pub fn topic(&self) -> &'a [u8] {
        self.topic.unwrap_or_default()
    }

    /// The envelope in it.
    pub fn data(&self) -> &'a [u8] {
        self.data.unwrap_or_default()
    }

    /// Who it claims to be from: a compressed key, not yet known to be a point.
    pub fn author(&self) -> Option<[u8; 33]> {
        compressed_of(self.from?)
    }

    /// The bytes that its signature covers: all fields except the signature and the key.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = SIGN_PREFIX.to_vec();
        self.put(&mut bytes, &[(1, self.from), (2, self.data), (3, self.seqno), (4, self.topic)]);
        bytes
    }

    /// The message as Go passes it on: known fields in order, then the others as they came.
    pub fn encode(&self) -> Arc<[u8]> {
        let mut bytes = Vec::new();
        self.put(
            &mut bytes,
            &[
                (1, self.from),
                (2, self.data),
                (3, self.seqno),
                (4, self.topic),
                (5, self.signature),
                (6, self.key),
            ],
        );
        bytes.into()
    }

    fn put(&self, out: &mut Vec<u8>, fields: &[(u64, Option<&[u8]>)]) {
        for (number, field) in fields {
            if let Some(bytes) = field {
                put_bytes(out, *number, bytes);
            }
        }
        for raw in &self.unknown {
            out.extend_from_slice(raw);
        }
    }

    /// Whether the author signed these bytes, which are the message's [`signed_bytes`](Self::signed_bytes), and the key in
    /// it, if there is one, is the author's.
    ///
    /// # Errors
    ///
    /// When it isn't so.
    pub fn verify(&self, author: &OperatorKey, signed: &[u8]) -> Result<(), MessageError> {
        if self.key.is_some_and(|key| key != public_key_bytes(author)) {
            return Err(MessageError::Key);
        }
        if !verify(author, signed, self.signature.unwrap_or_default()) {
            return Err(MessageError::Signature);
        }
        Ok(())
    }
}

/// What a message is remembered by: its id (author and seqno) and content together, so that the same id with other content
/// is a message of its own.
pub(crate) fn fingerprint(signed: &[u8]) -> [u8; 32] {
    sha256::Hash::hash(signed).to_byte_array()
}

/// The frame, length included, around an RPC's body.
pub(crate) fn frame_of(body: &[u8]) -> Arc<[u8]> {
    let mut frame = Vec::with_capacity(body.len() + 5);
    put_varint(&mut frame, body.len() as u64);
    frame.extend_from_slice(body);
    frame.into()
}
