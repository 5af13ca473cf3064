//! How a window ended for a wallet: what was agreed on or why nothing was, who is blamed, and what was noted.

use std::{fmt, sync::Arc};

use alloy_primitives::{Address, B256};
use coxswain_rules::{Action, Assurance, Assurances, KeyHash, Objection, Proposal, units::BlockNumber};

use crate::{Fault, HashRule, Schedule, Window, wire::DecodeError};

/// The most faults, and the most notes, that are kept of a window. What proves them can be large.
pub const MAX_RECORDS: usize = 64;

/// How a window ended for a wallet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct WindowResult {
    /// The wallet.
    pub wallet: KeyHash,
    /// The window.
    pub window: Window,
    /// What leader and checklist followed from. `None` if the safe block's hash was never read.
    pub basis: Option<Basis>,
    /// What was agreed on, or why nothing was.
    pub agreement: Agreement,
    /// Who did wrong. At most [`MAX_RECORDS`], those of the leader first.
    pub faults: Vec<Fault>,
    /// What else happened. At most [`MAX_RECORDS`].
    pub notes: Vec<Note>,
    /// What an operator should look at now.
    pub alarms: Vec<Alarm>,
}

/// The safe block's hash that a result rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Basis {
    /// The hash, by the network's rule.
    pub safe_block_hash: B256,
    /// How far the hash is to be believed.
    pub assurance: Assurance,
    /// Who led.
    pub leader: Address,
}

/// What a window agreed on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Agreement {
    /// That the wallet does nothing.
    NoOp,
    /// That the wallet does this, then.
    Action(Validated, Schedule),
    /// There is no result.
    None(NoResult),
    /// The result is undecided.
    Undecided(Undecided),
}

/// A proposal that the window allows and that was found valid. Only this can become an action.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Validated {
    proposal: Arc<Proposal>,
    at: Validity,
}

/// Where a proposal was found valid last, and how far that is to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Validity {
    /// The block.
    pub block: BlockNumber,
    /// How far what the verdict rests on is to be believed.
    pub assurances: Assurances,
}

impl Validated {
    /// For a proposal on the checklist that a verdict found valid.
    pub(crate) const fn new(proposal: Arc<Proposal>, at: Validity) -> Self {
        Self { proposal, at }
    }

    /// The proposal.
    pub const fn proposal(&self) -> &Arc<Proposal> {
        &self.proposal
    }

    /// Where it was found valid last.
    pub const fn at(&self) -> Validity {
        self.at
    }
}

/// Why a window has no result.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum NoResult {
    /// The leader's message is a mistake, as the faults say.
    Mistake,
    /// The leader sent two different messages, as the faults say.
    Equivocation,
    /// The leader was idle, as the faults say.
    Idle,
    /// Nothing acceptable came, but nobody can be called idle for it.
    Unproven(Doubt),
    /// What could have been accepted came after the active phase.
    Late,
    /// Nothing came, and we were not linked to the leader all the time.
    LeaderUnreachable,
    /// Nothing came, and we listened too late or were linked to too few.
    NotHeard,
    /// The objection was not there when the proposal came.
    CameUpLater(Arc<Objection>),
    /// The fee is refused, but honest members can differ over it.
    FeeDisagreement(Arc<Objection>),
    /// We led, and sent nothing.
    NotSent(NotSent),
}

/// Why a window's result is undecided.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Undecided {
    /// The safe block's hash was never read.
    NoSeed,
    /// The safe block's hash changed too often.
    TooManySeeds,
    /// The leader's message is of an action that we don't know.
    NotUnderstood,
    /// The proposal could not be judged.
    NoVerdict {
        /// The proposal.
        proposal: Arc<Proposal>,
        /// What failed.
        why: String,
    },
    /// The proposal is refused on one server's word.
    OneWord {
        /// The proposal.
        proposal: Arc<Proposal>,
        /// What the server makes of it.
        objection: Arc<Objection>,
    },
}

/// Why nobody is blamed for what looks like a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Doubt {
    /// Too few servers named the safe block's hash.
    Word,
    /// The hash could not be read again when the window was over.
    Unconfirmed,
    /// The hash was first read after the window's first block: a message may follow from an earlier one.
    ReadLate,
    /// The hash changed while the leader should have spoken.
    Reseeded,
    /// A message fits an earlier hash.
    OtherSeed,
    /// A message fits the other hash rule.
    HashRule,
}

/// Why a leader sent nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum NotSent {
    /// No proposal was ready before the last eighth of the active phase.
    TooLate,
    /// Nothing on the checklist could be decided.
    NothingDecided,
    /// What should have been sent could not be recorded.
    NotJournaled,
    /// The journal does not say whether something was sent before.
    JournalDamaged,
    /// Something was sent in this window that does not fit the seed.
    SentBefore,
    /// This member only observes.
    Observing,
}

/// What happened in a window that nobody is blamed for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Note {
    /// Looks like a fault, but isn't proven.
    Unproven {
        /// The fault.
        fault: Fault,
        /// Why it isn't proven.
        doubt: Doubt,
    },
    /// A message fits an earlier hash of the safe block.
    OtherSeed {
        /// Who sent it.
        author: Address,
        /// The hash.
        safe_block_hash: B256,
        /// The message.
        #[serde(with = "crate::stored::bytes")]
        signed: Arc<[u8]>,
    },
    /// A message fits the other hash rule only.
    HashRuleMismatch {
        /// Who sent it.
        author: Address,
        /// The rule that it fits.
        rule: HashRule,
        /// The message.
        #[serde(with = "crate::stored::bytes")]
        signed: Arc<[u8]>,
    },
    /// A message of an action that we don't know.
    NotUnderstood {
        /// Who sent it.
        author: Address,
        /// The action's number.
        number: u32,
        /// The message.
        #[serde(with = "crate::stored::bytes")]
        signed: Arc<[u8]>,
    },
    /// The safe block's hash changed.
    Reseeded {
        /// The hash, by the network's rule, that held from then on.
        safe_block_hash: B256,
        /// The block at which the change was noticed.
        block: BlockNumber,
    },
    /// Leader: no proposal of this action was made, for a reason other than that there is nothing to do.
    NotGenerated {
        /// The action.
        action: Action,
        /// Why.
        why: NotGenerated,
    },
    /// The journal did not take what should have been sent, or the result of an earlier window.
    NotJournaled(Window),
}

/// Why a leader went on to the next action.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum NotGenerated {
    /// The generator failed.
    Failed(String),
    /// It made a proposal of another action.
    OtherAction(Action),
    /// What it made is invalid.
    Rejected(Arc<Objection>),
    /// What it made could not be judged.
    Undecided(String),
    /// What it made can't be written, or is larger than any member reads.
    Unwritable(DecodeError),
}

/// What an operator should look at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Alarm {
    /// At least three of a leader's last five windows ended without a result and without a fault.
    Failures {
        /// The leader.
        leader: Address,
        /// How many of its last windows, at most five, ended so.
        of_last_five: u8,
    },
    /// Members go by the other hash rule: in two windows in a row, or two of them.
    HashRule {
        /// Who was seen to.
        authors: Vec<Address>,
    },
}

impl WindowResult {
    /// Whether the window counts as a failure of the leader for which nobody is blamed. `None` if it says nothing of the
    /// leader, for example if we did not hear.
    pub(crate) const fn blameless_failure(&self) -> Option<bool> {
        match &self.agreement {
            Agreement::NoOp | Agreement::Action(..) => Some(false),
            Agreement::None(why) => match why {
                NoResult::Mistake | NoResult::Equivocation | NoResult::Idle => Some(false),
                NoResult::Late
                | NoResult::LeaderUnreachable
                | NoResult::CameUpLater(_)
                | NoResult::FeeDisagreement(_) => Some(true),
                NoResult::Unproven(_) | NoResult::NotHeard | NoResult::NotSent(_) => None,
            },
            Agreement::Undecided(why) => match why {
                Undecided::NotUnderstood => Some(true),
                Undecided::NoSeed
                | Undecided::TooManySeeds
                | Undecided::NoVerdict { .. }
                | Undecided::OneWord { .. } => None,
            },
        }
    }
}

impl Agreement {
    /// The proposal agreed on. `None` if there is none, or if it is a no-op.
    pub const fn proposal(&self) -> Option<&Arc<Proposal>> {
        match self {
            Self::Action(validated, _) => Some(validated.proposal()),
            Self::NoOp | Self::None(_) | Self::Undecided(_) => None,
        }
    }

    /// How the window ended, as documents and output name it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NoOp => "no-op",
            Self::Action(..) => "action",
            Self::None(why) => match why {
                NoResult::Mistake => "leader mistake",
                NoResult::Equivocation => "equivocation",
                NoResult::Idle => "leader idleness",
                NoResult::Unproven(_) => "unproven idleness",
                NoResult::Late => "late",
                NoResult::LeaderUnreachable => "leader unreachable",
                NoResult::NotHeard => "not heard",
                NoResult::CameUpLater(_) => "came up later",
                NoResult::FeeDisagreement(_) => "fee disagreement",
                NoResult::NotSent(_) => "not sent",
            },
            Self::Undecided(why) => match why {
                Undecided::NoSeed => "undecided: no seed",
                Undecided::TooManySeeds => "undecided: too many seeds",
                Undecided::NotUnderstood => "undecided: not understood",
                Undecided::NoVerdict { .. } => "undecided: no verdict",
                Undecided::OneWord { .. } => "undecided: one server's word",
            },
        }
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Action(validated, _) => write!(f, ": {}", validated.proposal().action()),
            Self::None(NoResult::CameUpLater(objection) | NoResult::FeeDisagreement(objection))
            | Self::Undecided(Undecided::OneWord { objection, .. }) => write!(f, ": {objection}"),
            Self::Undecided(Undecided::NoVerdict { why, .. }) => write!(f, ": {why}"),
            _ => Ok(()),
        }
    }
}
