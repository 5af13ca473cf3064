//! What a wallet's channel is called, and the seam through which it says what it accepts.

use std::collections::BTreeSet;

use bitcoin::secp256k1::PublicKey;
use coxswain_protocol::wire::{OperatorKey, channel_name};

use crate::{
    identity::public_key_bytes,
    protobuf::{Fields, ProtobufError, Value},
};

/// One of a wallet's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    /// What the wallet does next.
    Coordination,
    /// Its signatures, as the Go client makes them.
    Signing,
    /// Who is ready to sign, and who does: among nodes of this program only.
    Announcements,
    /// Who was silent.
    Inactivity,
}

impl Channel {
    /// The channel's name, which is its topic.
    pub fn topic(self, wallet: &PublicKey) -> String {
        let coordination = channel_name(wallet);
        let stem = coordination.trim_end_matches("-coordination");
        match self {
            Self::Coordination => coordination,
            Self::Signing => stem.to_owned(),
            Self::Announcements => format!("{stem}-signing"),
            Self::Inactivity => format!("{stem}-inactivity"),
        }
    }
}

/// What an author's messages are counted by: each slot has the channel's whole quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// A window's block, or an action's. Of an author, only the last two are remembered.
    pub period: u64,
    /// What is apart within it: a seat, say.
    pub lane: u8,
}

/// What a channel says of an author's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelVerdict {
    /// No honest member would have sent it. Counts against a connection if it is the author's own: an honest Go node
    /// passes on what it can't judge.
    Reject,
    /// Of another window, wallet, action or kind. It is dropped, and not charged to its author: else old messages, replayed
    /// by anybody, would silence it.
    Ignore,
    /// Of a window that has not begun for us, as others may be a block or two ahead. It is dropped like others, but not
    /// remembered as seen: else the same bytes would not be heard when they are offered again in the window.
    Early,
    /// To be passed on and handed over, within the author's quota.
    Accept {
        /// What it is counted by.
        slot: Slot,
        /// What it does, if it passes all checks that don't need the chain. The first message of each of an author's first
        /// two different ones is passed on whatever the quota, and offered again to whoever comes.
        distinct: Option<[u8; 32]>,
    },
}

/// A channel's own rules. Called for messages whose author and signature hold, with its lock held: nothing that waits.
pub trait ChannelRules: Send {
    /// How many messages of a slot an author may send.
    fn quota(&self) -> usize;

    /// What becomes of a message. May be asked about the same message again.
    fn assess(&mut self, author: &OperatorKey, envelope: &[u8]) -> ChannelVerdict;
}

/// Rules that accept all messages of some types, and count them together.
#[derive(Clone, Debug)]
pub struct Open {
    quota: usize,
    kinds: BTreeSet<Vec<u8>>,
}

impl Open {
    /// Rules that accept these types.
    pub fn new<'a>(quota: usize, kinds: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self { quota, kinds: kinds.into_iter().map(<[u8]>::to_vec).collect() }
    }
}

impl ChannelRules for Open {
    fn quota(&self) -> usize {
        self.quota
    }

    fn assess(&mut self, author: &OperatorKey, envelope: &[u8]) -> ChannelVerdict {
        match open(author, envelope) {
            Err(_) => ChannelVerdict::Reject,
            Ok(opened) if !self.kinds.contains(opened.kind) => ChannelVerdict::Ignore,
            Ok(_) => ChannelVerdict::Accept { slot: Slot { period: 0, lane: 0 }, distinct: None },
        }
    }
}

/// An envelope, as much as the network reads of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened<'a> {
    /// The message's type.
    pub kind: &'a [u8],
    /// The message.
    pub payload: &'a [u8],
    /// Which of the sender's it is.
    pub sequence: u64,
}

/// Why an envelope is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// It can't be decoded.
    #[error(transparent)]
    Malformed(#[from] ProtobufError),
    /// It names another key than the one that signed the message around it.
    #[error("it names another sender than the author of the message around it")]
    OtherSender,
}

/// Opens an envelope of any length, and holds its sender against the author. (`protocol` caps what it reads; what is longer
/// is still evidence.)
///
/// # Errors
///
/// When the envelope can't be decoded or is another's.
pub fn open<'a>(author: &OperatorKey, envelope: &'a [u8]) -> Result<Opened<'a>, EnvelopeError> {
    let mut identity: &[u8] = &[];
    let mut opened = Opened { kind: &[], payload: &[], sequence: 0 };
    for field in Fields::new(envelope) {
        let field = field?;
        match (field.number, field.value) {
            (1, Value::Bytes(bytes)) => identity = bytes,
            (2, Value::Bytes(bytes)) => opened.payload = bytes,
            (3, Value::Bytes(bytes)) => opened.kind = bytes,
            (4, Value::Varint(varint)) => opened.sequence = varint,
            _ => {}
        }
    }
    let mut key: &[u8] = &[];
    for field in Fields::new(identity) {
        let field = field?;
        if let (1, Value::Bytes(bytes)) = (field.number, field.value) {
            key = bytes;
        }
    }
    if key != public_key_bytes(author) {
        return Err(EnvelopeError::OtherSender);
    }
    Ok(opened)
}
