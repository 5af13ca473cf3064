//! What happens to a member, what it wants done, and what its journal keeps.

use std::sync::Arc;

use alloy_primitives::Address;
use coxswain_rules::{Action, Assurance, Assurances, Objection, Proposal, units::BlockNumber};

use crate::{Received, SafeHashes, Validity, Window, WindowResult};

/// Names a question, so that its answer is told from answers to earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Question(pub(crate) u64);

impl Question {
    /// For whoever stands in for a member, and asks questions of its own.
    pub const fn numbered(number: u64) -> Self {
        Self(number)
    }
}

/// Names an entry handed to the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(pub(crate) u64);

impl EntryId {
    /// For whoever stands in for a member, and has entries of its own.
    pub const fn numbered(number: u64) -> Self {
        Self(number)
    }
}

/// What happens to a member.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The window clock stands at this block. Repeated and older blocks change nothing.
    Block(BlockNumber),
    /// A message came whose author's signature holds.
    Message(Received),
    /// Answers [`Command::ReadSafeHash`]. If it can't be read, nothing answers: the question comes again at the next block.
    SafeHash {
        /// The question.
        question: Question,
        /// The safe block's hash, by both rules.
        hashes: SafeHashes,
        /// How many servers named it.
        assurance: Assurance,
    },
    /// Answers [`Command::Generate`].
    Generated {
        /// The question.
        question: Question,
        /// What came of it.
        generation: Generation,
    },
    /// Answers [`Command::Judge`].
    Judged {
        /// The question.
        question: Question,
        /// What came of it.
        verdict: ContentVerdict,
        /// The block that it was judged at.
        block: BlockNumber,
    },
    /// The entry is durable.
    Journaled(EntryId),
    /// The entry may or may not have been written.
    JournalFailed(EntryId),
    /// The link to this operator is complete: the connection is up, its hello has come, its stream to us is open.
    Linked(Address),
    /// It no longer is.
    Unlinked(Address),
}

/// What a member wants done. A driver may answer late, or never: deadlines are blocks, and the member keeps them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Read the hash of the window's safe block anew, and answer with [`Event::SafeHash`].
    ReadSafeHash {
        /// To be given back.
        question: Question,
        /// The window.
        window: Window,
    },
    /// Make a proposal of this action, and answer with [`Event::Generated`].
    Generate {
        /// To be given back.
        question: Question,
        /// The window.
        window: Window,
        /// The action.
        action: Action,
    },
    /// Judge the content of this proposal at the newest block, and answer with [`Event::Judged`].
    Judge {
        /// To be given back.
        question: Question,
        /// The window.
        window: Window,
        /// The proposal.
        proposal: Arc<Proposal>,
    },
    /// Write this down durably, and answer with [`Event::Journaled`] or [`Event::JournalFailed`].
    Journal {
        /// To be given back.
        id: EntryId,
        /// What to write. Written twice it means the same as written once.
        entry: Entry,
    },
    /// Broadcast this envelope in a new network message.
    Broadcast(Arc<[u8]>),
    /// The window is over, and its result is durable: dispatch it.
    Finish(Arc<WindowResult>),
}

/// What a member's journal keeps.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Entry {
    /// This envelope is about to be broadcast. There is at most one of a window.
    Sent(Sent),
    /// How a window ended.
    Result(Arc<WindowResult>),
}

/// An entry that can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("an entry of the journal is damaged")]
pub struct EntryError;

/// What a leader was about to broadcast.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Sent {
    /// The window.
    pub window: Window,
    /// The envelope. Whatever else happens, no other one is sent in this window.
    #[serde(with = "crate::stored::bytes")]
    pub envelope: Arc<[u8]>,
    /// The block at which it was to be sent first.
    pub first_sent: BlockNumber,
    /// Where its proposal was found valid. `None` for a no-op.
    pub validity: Option<Validity>,
}

/// What came of generating a proposal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Generation {
    /// A proposal.
    Proposal(Arc<Proposal>),
    /// The wallet has nothing of this kind to do.
    NotPossible,
    /// Undecided: what failed.
    Failed(String),
}

/// What came of judging a proposal's content: evidence, the contract, the Bitcoin side, the fee.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ContentVerdict {
    /// There is no objection. How far what that rests on is to be believed.
    Valid(Assurances),
    /// There is one.
    Rejected {
        /// The objection.
        objection: Arc<Objection>,
        /// How far it is to be believed.
        assurance: Assurance,
    },
    /// Undecided: what failed.
    Undecided(String),
}
