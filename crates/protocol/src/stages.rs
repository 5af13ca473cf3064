//! How far a proposal has come, as types: received, authenticated, on the checklist, validated. Each can be made only
//! from the one before it.

use std::{mem::size_of, sync::Arc};

use alloy_primitives::Address;
use coxswain_rules::{Action, Proposal};

use crate::{
    Assignment, Seat, SigningGroup,
    wire::{
        CoordinationMessage, DecodeError, Decoded, Envelope, MAX_EVIDENCE_BYTES, MAX_MESSAGE_BYTES,
        MESSAGE_TYPE, OperatorKey, Proposed, RESERVED_ACTIONS, Undecodable,
    },
};

/// The most bytes that a signed network message can have to be a proposal: the envelope, and its author, topic and
/// signature. One that is larger is evidence, up to [`MAX_EVIDENCE_BYTES`].
pub const MAX_SIGNED_BYTES: usize = MAX_MESSAGE_BYTES + 1024;

/// Why a network message is dropped before any member has to deal with it. Nobody is blamed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
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

/// A message written and signed by one of the wallet's operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    author: Address,
    sequence: u64,
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
    ) -> Result<Self, Unreadable> {
        if !group.contains(author.address()) {
            return Err(Unreadable::NotAMember(author.address()));
        }
        if signed.len() > MAX_EVIDENCE_BYTES {
            return Err(Unreadable::TooLong { actual: signed.len() });
        }
        let Envelope { sender, payload, kind, sequence } = Envelope::decode(envelope)?;
        if sender != author.compressed() {
            return Err(Unreadable::OtherSender(author.address()));
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
        Ok(Self { author: author.address(), sequence, body, signed })
    }

    /// The operator that signed the message.
    pub const fn author(&self) -> Address {
        self.author
    }

    /// Which of the author's messages it is.
    pub const fn sequence(&self) -> u64 {
        self.sequence
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

    /// The network message around it, as its author signed it.
    pub const fn signed(&self) -> &Arc<[u8]> {
        &self.signed
    }

    /// Checks 1 to 5: it is a coordination message, from another operator's seat that its author holds, for this
    /// window and this wallet.
    pub(crate) fn authenticate(
        self,
        assignment: &Assignment,
        group: &SigningGroup,
        me: Address,
    ) -> Result<Authenticated, Ignored> {
        let Self { author, sequence, body, signed } = self;
        let message = match body.ok_or(Ignored::NotACoordinationMessage)? {
            Decoded::Message(message) => message,
            Decoded::Undecodable(Undecodable { error, .. }) => return Err(Ignored::Undecodable(error)),
        };
        let holder = group.holder(message.seat);
        if holder == Some(me) {
            return Err(Ignored::OwnSeat(message.seat));
        }
        if holder != Some(author) {
            return Err(Ignored::SeatNotHeld { seat: message.seat, author });
        }
        if message.coordination_block != assignment.window.block() {
            return Err(Ignored::OtherWindow(message.coordination_block));
        }
        if message.wallet != assignment.wallet {
            return Err(Ignored::OtherWallet);
        }
        Ok(Authenticated { author, sequence, message, signed })
    }
}

/// Why a follower paid no heed to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Ignored {
    /// Outside the active phase, or after the routine's end.
    #[error("not listening")]
    NotListening,
    /// From nobody of the group.
    #[error("{0} is no operator of the wallet")]
    NotAMember(Address),
    /// The sender has used this sequence number in this window.
    #[error("a repeat")]
    Repeat,
    /// The sender has said more in this window than is listened to.
    #[error("the sender has said enough")]
    TooMany,
    /// Check 1.
    #[error("not a coordination message")]
    NotACoordinationMessage,
    /// Check 2.
    #[error("from our own seat {0}")]
    OwnSeat(Seat),
    /// Check 3.
    #[error("{author} does not hold seat {seat}")]
    SeatNotHeld {
        /// The seat that the message names.
        seat: Seat,
        /// Who signed it.
        author: Address,
    },
    /// Check 4.
    #[error("for the window of block {0}")]
    OtherWindow(u64),
    /// Check 5.
    #[error("for another wallet")]
    OtherWallet,
    /// Check 6: leader impersonation.
    #[error("seat {0} does not lead")]
    NotTheLeader(Seat),
    /// Check 7: leader mistake.
    #[error("{0} is not on the checklist")]
    NotOnChecklist(Action),
    /// Its proposal can't be read.
    #[error(transparent)]
    Undecodable(DecodeError),
    /// It proposes what we have no name for, but others have: no mistake.
    #[error("action {0} is not understood")]
    NotUnderstood(u32),
    /// It proposes what nobody has a name for.
    #[error("there is no action {0}")]
    NoSuchAction(u32),
    /// The follower has settled on an earlier message.
    #[error("settled already")]
    Settled,
}

/// A message that passed checks 1 to 5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticated {
    author: Address,
    sequence: u64,
    message: CoordinationMessage,
    signed: Arc<[u8]>,
}

impl Authenticated {
    pub(crate) const fn author(&self) -> Address {
        self.author
    }

    pub(crate) const fn seat(&self) -> Seat {
        self.message.seat
    }

    pub(crate) const fn message(&self) -> &CoordinationMessage {
        &self.message
    }

    pub(crate) const fn proposed(&self) -> &Proposed {
        &self.message.proposed
    }

    pub(crate) fn signed(&self) -> &Arc<[u8]> {
        &self.signed
    }

    /// Checks 6 and 7: the leader's first seat proposes a no-op or what the checklist allows. Gives the message back
    /// with the first check that fails.
    pub(crate) fn on_checklist(self, assignment: &Assignment) -> Result<OnChecklist, (Box<Self>, Ignored)> {
        if self.message.seat != assignment.leader_seat {
            let seat = self.message.seat;
            return Err((Box::new(self), Ignored::NotTheLeader(seat)));
        }
        let refused = match self.proposed() {
            Proposed::NoOp => return Ok(OnChecklist { message: self, proposal: None }),
            Proposed::Action(proposal) if assignment.checklist.contains(proposal.action()) => {
                let proposal = Some(Arc::clone(proposal));
                return Ok(OnChecklist { message: self, proposal });
            }
            Proposed::Action(proposal) => Ignored::NotOnChecklist(proposal.action()),
            Proposed::Unknown { number, .. } if RESERVED_ACTIONS.contains(number) => {
                Ignored::NotUnderstood(*number)
            }
            Proposed::Unknown { number, .. } => Ignored::NoSuchAction(*number),
        };
        Err((Box::new(self), refused))
    }

    /// Bytes held for this message.
    pub(crate) fn retained_bytes(&self) -> usize {
        size_of::<Self>() + self.signed.len() + self.message.proposed.heap_bytes()
    }
}

impl From<Authenticated> for Received {
    fn from(message: Authenticated) -> Self {
        let Authenticated { author, sequence, message, signed } = message;
        Self { author, sequence, body: Some(Decoded::Message(message)), signed }
    }
}

/// A message that passed checks 1 to 7: a proposal by the leader, of a kind that the window allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnChecklist {
    message: Authenticated,
    proposal: Option<Arc<Proposal>>,
}

impl OnChecklist {
    pub(crate) const fn message(&self) -> &Authenticated {
        &self.message
    }

    /// What is to be judged; `None` for a no-op.
    pub(crate) const fn proposal(&self) -> Option<&Arc<Proposal>> {
        self.proposal.as_ref()
    }

    pub(crate) fn into_message(self) -> Authenticated {
        self.message
    }
}

/// A proposal that the window allows and that was found valid. Only this can become an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validated {
    proposal: Arc<Proposal>,
    block: u64,
}

impl Validated {
    /// For a proposal on the checklist that a verdict found valid at this block.
    pub(crate) const fn new(proposal: Arc<Proposal>, block: u64) -> Self {
        Self { proposal, block }
    }

    /// The proposal.
    pub fn proposal(&self) -> &Proposal {
        &self.proposal
    }

    /// The block that it was found valid at.
    pub const fn block(&self) -> u64 {
        self.block
    }
}
