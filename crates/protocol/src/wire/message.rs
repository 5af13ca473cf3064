//! The one message of the coordination protocol.

use std::{mem::size_of, sync::Arc};

use bitcoin::ScriptBuf;
use coxswain_rules::{Action, KeyHash, Proposal, RevealedDeposit, units::BlockNumber};

use super::{
    DecodeError, MAX_EVIDENCE_BYTES, MAX_MESSAGE_BYTES, cap, encode, exactly, proposal,
    read::{Fields, Value},
    seat, uint32,
};
use crate::Seat;

/// What a leader proposes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Proposed {
    /// That the wallet does nothing.
    NoOp,
    /// That it does this.
    Action(Arc<Proposal>),
    /// Something that we have no name for. See [`RESERVED_ACTIONS`].
    Unknown {
        /// Its number on the wire: none of those that we know.
        number: u32,
        /// Its payload, as it came.
        payload: Arc<[u8]>,
    },
}

impl Proposed {
    /// The action proposed, if it is one that we know.
    pub fn action(&self) -> Option<Action> {
        match self {
            Self::NoOp | Self::Unknown { .. } => None,
            Self::Action(proposal) => Some(proposal.action()),
        }
    }

    /// Bytes that the proposal takes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        let proposal = match self {
            Self::NoOp => return 0,
            Self::Unknown { payload, .. } => return payload.len(),
            Self::Action(proposal) => proposal,
        };
        let items = match &**proposal {
            Proposal::MovedFundsSweep(_) => 0,
            Proposal::Heartbeat(heartbeat) => heartbeat.message.capacity(),
            Proposal::DepositSweep(sweep) => sweep.deposits.capacity() * size_of::<RevealedDeposit>(),
            Proposal::Redemption(redemption) => {
                let scripts: usize = redemption.scripts.iter().map(|script| script.len()).sum();
                redemption.scripts.capacity() * size_of::<ScriptBuf>() + scripts
            }
            Proposal::MovingFunds(moving) => moving.targets.capacity() * size_of::<KeyHash>(),
        };
        size_of::<Proposal>() + items
    }
}

/// A leader's word: in this window, this wallet should do this.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CoordinationMessage {
    /// The seat that speaks.
    pub seat: Seat,
    /// The window's first block.
    pub coordination_block: BlockNumber,
    /// The wallet.
    pub wallet: KeyHash,
    /// What is proposed.
    pub proposed: Proposed,
}

/// A message that says who speaks, in which window and for which wallet, but whose proposal can't be read: it is
/// malformed, missing, or over a cap. Go's decoder has almost no caps, so that for Go clients it may be a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Undecodable {
    /// The seat that speaks.
    pub seat: Seat,
    /// The window's first block.
    pub coordination_block: BlockNumber,
    /// The wallet.
    pub wallet: KeyHash,
    /// What is wrong with the proposal.
    pub error: DecodeError,
}

/// A message, read as far as it can be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Decoded {
    /// To the last field.
    Message(CoordinationMessage),
    /// But for its proposal.
    Undecodable(Undecodable),
}

impl Decoded {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// If not even seat, coordination block and wallet can be read.
    pub fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        cap("coordination message", bytes, MAX_EVIDENCE_BYTES)?;
        let (mut number, mut coordination_block, mut wallet): (_, _, &[u8]) = (0, BlockNumber(0), &[]);
        let mut body = Body::Missing;
        let mut malformed = None;
        for field in Fields::new("coordination message", bytes) {
            match field {
                Ok((1, Value::Varint(varint))) => number = uint32(varint),
                Ok((2, Value::Varint(varint))) => coordination_block = BlockNumber(varint),
                Ok((3, Value::Bytes(bytes))) => wallet = bytes,
                Ok((4, Value::Bytes(bytes))) => body = body.merge(bytes),
                Ok(_) => {}
                // What came before still says whose message it is.
                Err(error) => malformed = Some(error),
            }
        }
        let header = || Ok((seat(number)?, KeyHash(exactly("wallet public key hash", wallet)?)));
        let (seat, wallet) = header().map_err(|error| malformed.unwrap_or(error))?;
        let proposed = match malformed {
            Some(error) => Err(error),
            None => cap("coordination message", bytes, MAX_MESSAGE_BYTES).and_then(|()| body.read()),
        };
        Ok(match proposed {
            Ok(proposed) => Self::Message(CoordinationMessage { seat, coordination_block, wallet, proposed }),
            Err(error) => Self::Undecodable(Undecodable { seat, coordination_block, wallet, error }),
        })
    }
}

/// The proposal field. Where it occurs again, it is merged: the last number and the last payload win.
enum Body<'a> {
    Missing,
    Given { number: u32, payload: &'a [u8] },
    Malformed(DecodeError),
}

impl<'a> Body<'a> {
    fn merge(self, bytes: &'a [u8]) -> Self {
        let (mut number, mut payload): (_, &[u8]) = match self {
            Self::Missing => (0, &[]),
            Self::Given { number, payload } => (number, payload),
            Self::Malformed(_) => return self,
        };
        for field in Fields::new("coordination proposal", bytes) {
            match field {
                Ok((1, Value::Varint(varint))) => number = uint32(varint),
                Ok((2, Value::Bytes(bytes))) => payload = bytes,
                Ok(_) => {}
                Err(error) => return Self::Malformed(error),
            }
        }
        Self::Given { number, payload }
    }

    fn read(self) -> Result<Proposed, DecodeError> {
        let (number, payload) = match self {
            // Go refuses a message without the field, even for a no-op, whose field is empty.
            Self::Missing => return Err(DecodeError::Missing { field: "coordination proposal" }),
            Self::Malformed(error) => return Err(error),
            Self::Given { number, payload } => (number, payload),
        };
        if number == 0 {
            // Whatever its payload.
            return Ok(Proposed::NoOp);
        }
        Ok(match Action::ALL.into_iter().find(|action| *action as u32 == number) {
            Some(action) => Proposed::Action(Arc::new(proposal::decode(action, payload)?)),
            None => Proposed::Unknown { number, payload: payload.into() },
        })
    }
}

impl CoordinationMessage {
    /// Reads a message to its last field.
    ///
    /// # Errors
    ///
    /// If the bytes are no such message, or exceed a cap.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match Decoded::read(bytes)? {
            Decoded::Message(message) => Ok(message),
            Decoded::Undecodable(Undecodable { error, .. }) => Err(error),
        }
    }

    /// Writes the message.
    ///
    /// # Errors
    ///
    /// What a reader would say of it: a message that exceeds a cap is not to be sent.
    pub fn encode(&self) -> Result<Vec<u8>, DecodeError> {
        let mut body = Vec::new();
        match &self.proposed {
            Proposed::NoOp => {}
            Proposed::Action(proposal) => body = canonical(proposal),
            Proposed::Unknown { number, payload } => {
                encode::uint(&mut body, 1, u64::from(*number));
                encode::bytes(&mut body, 2, payload);
            }
        }
        let mut out = Vec::new();
        encode::uint(&mut out, 1, u64::from(self.seat.number()));
        encode::uint(&mut out, 2, self.coordination_block.0);
        encode::bytes(&mut out, 3, &self.wallet.0);
        encode::item(&mut out, 4, &body);
        Self::decode(&out)?;
        Ok(out)
    }
}

/// A proposal in the one way in which we write it: number and payload. Actions are named by it.
pub fn canonical(proposal: &Proposal) -> Vec<u8> {
    let mut body = Vec::new();
    encode::uint(&mut body, 1, proposal.action() as u64);
    encode::bytes(&mut body, 2, &proposal::encode(proposal));
    body
}
