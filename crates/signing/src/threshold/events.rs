//! What a participant is told, and what it wants done.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256};
use bitcoin::secp256k1::{Message as Digest, ecdsa::Signature};
use coxswain_protocol::{Seat, SigningGroup};
use coxswain_rules::{network::SigningTimes, units::BlockNumber};

use super::batches::Batch;
use crate::{
    ActionId, Report,
    group::{Draw, WindowId},
};

/// What is signed, when, and by which group.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The window.
    pub window: WindowId,
    /// The action.
    pub action_id: ActionId,
    /// What is signed.
    pub digests: Vec<Digest>,
    /// The wallet's seats.
    pub group: SigningGroup,
    /// The window's draw.
    pub draw: Draw,
    /// How attempts are laid out.
    pub times: SigningTimes,
    /// The first attempt begins here.
    pub start_block: BlockNumber,
    /// Nothing leaves after this block.
    pub last_block: BlockNumber,
    /// What an operator reads of the others at once, at most: [`READ_BYTES`](super::READ_BYTES), alike for all.
    pub read_bytes: usize,
    /// Whether the wallet has no main UTXO and the action spends: then more seats must have announced.
    pub wants_quorum: bool,
}

/// What is on record of this job, from before a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// What we have announced.
    pub announced: BTreeSet<(Seat, u8, [u8; 32])>,
    /// The attempts that we have gone into.
    pub attempts: BTreeSet<u8>,
    /// Who each of our seats has banned.
    pub banned: BTreeMap<Seat, BTreeSet<Seat>>,
    /// How often each operator was in a subset that failed.
    pub marks: BTreeMap<Address, u32>,
}

/// What happens to a participant.
#[derive(Clone, Debug)]
pub enum Event {
    /// There is a new block.
    Block(BlockNumber),
    /// We have links to these operators.
    Links(BTreeSet<Address>),
    /// An announcement has come.
    Announcement(Vec<u8>),
    /// Somebody says that it lacks messages.
    Lacking(Vec<u8>),
    /// A convener's list has come.
    List(Vec<u8>),
    /// A round's message has come over the link to this operator.
    Round {
        /// Who is at the other end.
        operator: Address,
        /// The message.
        message: RoundMessage,
    },
    /// Somebody has the signatures.
    Signatures(Vec<Signature>),
    /// The record of this number is durable.
    Recorded(u64),
}

/// One seat's message to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundMessage {
    /// In which attempt.
    pub attempt: u8,
    /// Of which batch of the inputs. Round 3 goes with the last one.
    pub batch: u8,
    /// In which round.
    pub round: u8,
    /// From which seat.
    pub from: Seat,
    /// To which seat.
    pub to: Seat,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// What must be durable before anything follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A seat announces, with this nonce.
    Announced(Seat, u8, [u8; 32]),
    /// An attempt goes by this list. From here on the action is possibly signed.
    Attempt(u8, B256, BTreeSet<Seat>),
    /// The first of these seats never again signs with the second.
    Ban(Seat, Seat),
    /// These operators were in a subset that failed.
    Marks(BTreeSet<Address>),
}

/// What a participant wants done.
#[derive(Debug)]
pub enum Command {
    /// Make this durable, and answer with its number.
    Record(u64, Record),
    /// Send this announcement to all operators of the wallet, or pass it on.
    Announce(Vec<u8>),
    /// Send this list to all operators of the wallet, or pass it on.
    List(Vec<u8>),
    /// Tell all operators of the wallet that we lack messages, or pass on that somebody does.
    Lacking(Vec<u8>),
    /// Make room for what comes of this batch, and take what comes, in place of what came before.
    Open(Batch),
    /// Send this to the operator that holds the receiving seat.
    Send(Address, RoundMessage),
    /// Tell all operators of the wallet.
    Signatures(Vec<Signature>),
    /// An alarm: an operator says two things.
    TwoFaces(Address),
    /// It is over.
    Finish(Report),
}
