//! Messages as they come from the network: written and signed by one of the wallet's operators, read as far as they can
//! be.

use std::sync::Arc;

use alloy_primitives::{Address, B256, keccak256};
use coxswain_rules::{KeyHash, units::BlockNumber};

use crate::{
    Acceptance, Ignored, Seat, SigningGroup, Window,
    wire::{
        CoordinationMessage, DecodeError, Decoded, Envelope, MAX_EVIDENCE_BYTES, MAX_MESSAGE_BYTES,
        MESSAGE_TYPE, OperatorKey, Undecodable,
    },
};

/// The most bytes that a signed network message can have to be a proposal: the envelope, and its author, topic and
/// signature. One that is larger is evidence, up to [`MAX_EVIDENCE_BYTES`].
pub const MAX_SIGNED_BYTES: usize = MAX_MESSAGE_BYTES + 1024;

/// Why a network message is dropped before any member has to deal with it. Nobody is blamed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceivedError {
    /// The author holds no seat of the wallet.
    #[error("{0} is no operator of the wallet")]
    NotAMember(Address),
    /// The signed message is larger than any that is looked at.
    #[error("the signed message is {actual} bytes, at most {MAX_EVIDENCE_BYTES} allowed")]
    TooLong {
        /// Its length.
        actual: usize,
    },
    /// The envelope names another key than the one that signed the message.
    #[error("{0} sent an envelope that names another key")]
    OtherSender(Address),
    /// The bytes can't be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

impl ReceivedError {
    /// The name in output and metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NotAMember(_) => "no member",
            Self::TooLong { .. } => "too long",
            Self::OtherSender(_) => "other sender",
            Self::Decode(_) => "malformed",
        }
    }

    /// What the network does with the message.
    pub const fn acceptance(&self) -> Acceptance {
        match self {
            // No honest node relays what comes from outside the group, or what is so large.
            Self::NotAMember(_) | Self::TooLong { .. } => Acceptance::Reject,
            // What an envelope holds is not looked at by who relays it.
            Self::OtherSender(_) | Self::Decode(_) => Acceptance::Ignore,
        }
    }
}

/// A message written and signed by one of the wallet's operators.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Received {
    author: Address,
    sequence: u64,
    payload_hash: B256,
    body: Option<Decoded>,
    signed: Arc<[u8]>,
}

impl Received {
    /// Opens an envelope. `author` is whose signature of `signed`, the whole network message around it, was verified.
    ///
    /// # Errors
    ///
    /// When the message is to be dropped.
    pub fn open(
        author: &OperatorKey,
        group: &SigningGroup,
        envelope: &[u8],
        signed: Arc<[u8]>,
    ) -> Result<Self, ReceivedError> {
        if !group.contains(author.address()) {
            return Err(ReceivedError::NotAMember(author.address()));
        }
        if signed.len() > MAX_EVIDENCE_BYTES {
            return Err(ReceivedError::TooLong { actual: signed.len() });
        }
        let Envelope { sender, payload, kind, sequence } = Envelope::decode(envelope)?;
        if sender != author.compressed() {
            return Err(ReceivedError::OtherSender(author.address()));
        }
        let body = match kind {
            MESSAGE_TYPE => Some(match Decoded::read(payload)? {
                // All that is around it counts: nobody relays it.
                Decoded::Message(message) if signed.len() > MAX_SIGNED_BYTES => {
                    let CoordinationMessage { seat, coordination_block, wallet, .. } = message;
                    let (field, actual, max) = ("signed message", signed.len(), MAX_SIGNED_BYTES);
                    let error = DecodeError::TooLong { field, actual, max };
                    Decoded::Undecodable(Undecodable { seat, coordination_block, wallet, error })
                }
                read => read,
            }),
            _ => None,
        };
        let payload_hash = keccak256(payload);
        Ok(Self { author: author.address(), sequence, payload_hash, body, signed })
    }

    /// The operator that signed the message.
    pub const fn author(&self) -> Address {
        self.author
    }

    /// Which of the author's messages it is.
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The hash of what it says. Two payloads under one sequence number are two messages.
    pub(crate) const fn payload_hash(&self) -> B256 {
        self.payload_hash
    }

    /// What it says. `None` if it is of another type than coordination messages.
    pub const fn body(&self) -> Option<&Decoded> {
        self.body.as_ref()
    }

    /// What it says, if it is a coordination message that can be read to its last field.
    pub const fn message(&self) -> Option<&CoordinationMessage> {
        match &self.body {
            Some(Decoded::Message(message)) => Some(message),
            Some(Decoded::Undecodable(_)) | None => None,
        }
    }

    /// The seat, window and wallet that it names, if it is a coordination message.
    fn header(&self) -> Option<(Seat, BlockNumber, KeyHash)> {
        self.body().map(|body| match body {
            Decoded::Message(message) => (message.seat, message.coordination_block, message.wallet),
            Decoded::Undecodable(it) => (it.seat, it.coordination_block, it.wallet),
        })
    }

    /// The seat that it says it comes from, if it is a coordination message.
    pub fn seat(&self) -> Option<Seat> {
        self.header().map(|(seat, ..)| seat)
    }

    /// The first block of the window that it is for, if it is a coordination message.
    pub fn coordination_block(&self) -> Option<BlockNumber> {
        self.header().map(|(_, block, _)| block)
    }

    /// A follower's checks 1 and 3 to 5: it is a coordination message of this wallet's window, through a seat that its
    /// author holds, which is given back. They need no seed, so that the network makes them too.
    ///
    /// # Errors
    ///
    /// The first check that it fails.
    pub fn check(&self, group: &SigningGroup, wallet: KeyHash, window: &Window) -> Result<Seat, Ignored> {
        let (seat, block, named) = self.header().ok_or(Ignored::NotACoordinationMessage)?;
        if group.holder(seat) != Some(self.author) {
            return Err(Ignored::SeatNotHeld { seat, author: self.author });
        }
        if block != window.block() {
            return Err(Ignored::OtherWindow(block));
        }
        if named != wallet {
            return Err(Ignored::OtherWallet);
        }
        Ok(seat)
    }

    /// Names what it proposes, alike for all bytes that say the same. `None` if it can't be read to its last field, or
    /// doesn't come through the seat that its author can lead through: it is no leader's proposal then.
    pub fn proposal_id(&self, group: &SigningGroup) -> Option<B256> {
        let message = self.message()?;
        let leads_through = group.first_seat(self.author) == Some(message.seat);
        // Of one author and window, nothing but what is proposed differs.
        leads_through.then(|| message.encode().ok()).flatten().map(keccak256)
    }

    /// The network message around it, as its author signed it.
    pub const fn signed(&self) -> &Arc<[u8]> {
        &self.signed
    }
}
