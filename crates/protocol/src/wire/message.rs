//! The one message of the coordination protocol.

use std::mem::size_of;

use bitcoin::ScriptBuf;
use coxswain_rules::{Action, KeyHash, Proposal, RevealedDeposit};

use super::{
    DecodeError, MAX_MESSAGE_BYTES, action, cap, encode, exactly, proposal,
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
    Action(Proposal),
}

impl Proposed {
    /// The action proposed; none for a no-op.
    pub const fn action(&self) -> Option<Action> {
        match self {
            Self::NoOp => None,
            Self::Action(proposal) => Some(proposal.action()),
        }
    }

    /// Bytes that the proposal takes on the heap.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::NoOp | Self::Action(Proposal::MovedFundsSweep(_)) => 0,
            Self::Action(Proposal::Heartbeat(heartbeat)) => heartbeat.message.capacity(),
            Self::Action(Proposal::DepositSweep(sweep)) => {
                sweep.deposits.capacity() * size_of::<RevealedDeposit>()
            }
            Self::Action(Proposal::Redemption(redemption)) => {
                let scripts: usize = redemption.scripts.iter().map(|script| script.len()).sum();
                redemption.scripts.capacity() * size_of::<ScriptBuf>() + scripts
            }
            Self::Action(Proposal::MovingFunds(moving)) => moving.targets.capacity() * size_of::<KeyHash>(),
        }
    }
}

/// A leader's word: in this window, this wallet should do this.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CoordinationMessage {
    /// The seat that speaks.
    pub seat: Seat,
    /// The window's first block.
    pub coordination_block: u64,
    /// The wallet.
    pub wallet: KeyHash,
    /// What is proposed.
    pub proposed: Proposed,
}

impl CoordinationMessage {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// When the bytes are no such message, or exceed a cap.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        cap("coordination message", bytes, MAX_MESSAGE_BYTES)?;
        let (mut number, mut coordination_block, mut wallet): (_, _, &[u8]) = (0, 0, &[]);
        let mut proposed: Option<(u32, &[u8])> = None;
        for field in Fields::new("coordination message", bytes) {
            match field? {
                (1, Value::Varint(varint)) => number = uint32(varint),
                (2, Value::Varint(varint)) => coordination_block = varint,
                (3, Value::Bytes(bytes)) => wallet = bytes,
                (4, Value::Bytes(bytes)) => {
                    let (number, payload) = proposed.get_or_insert_default();
                    for field in Fields::new("coordination proposal", bytes) {
                        match field? {
                            (1, Value::Varint(varint)) => *number = uint32(varint),
                            (2, Value::Bytes(bytes)) => *payload = bytes,
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        let (action_number, payload) =
            proposed.ok_or(DecodeError::Missing { field: "coordination proposal" })?;
        let proposed = match action(action_number)? {
            None if payload.is_empty() => Proposed::NoOp,
            None => return Err(DecodeError::NoOpPayload(payload.len())),
            Some(action) => Proposed::Action(proposal::decode(action, payload)?),
        };
        Ok(Self {
            seat: seat(number)?,
            coordination_block,
            wallet: KeyHash(exactly("wallet public key hash", wallet)?),
            proposed,
        })
    }

    /// Writes the message.
    ///
    /// # Errors
    ///
    /// What a reader would say of it: a message that exceeds a cap is not to be sent.
    pub fn encode(&self) -> Result<Vec<u8>, DecodeError> {
        let mut body = Vec::new();
        if let Proposed::Action(proposal) = &self.proposed {
            encode::uint(&mut body, 1, proposal.action() as u64);
            encode::bytes(&mut body, 2, &proposal::encode(proposal));
        }
        let mut out = Vec::new();
        encode::uint(&mut out, 1, u64::from(self.seat.number()));
        encode::uint(&mut out, 2, self.coordination_block);
        encode::bytes(&mut out, 3, &self.wallet.0);
        encode::item(&mut out, 4, &body);
        Self::decode(&out)?;
        Ok(out)
    }
}
