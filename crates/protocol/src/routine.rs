//! What the leader's and the follower's routines have in common: what they ask of their driver, and how they end.
//!
//! A driver feeds a routine with what happens (blocks, messages, answers) and carries out the [`Command`]s that come
//! back, in order. It may answer late or never: deadlines are blocks, and the routine keeps them.

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use coxswain_rules::{Action, KeyHash, Proposal};

use crate::{Assignment, Fault, FaultKind, Objection, Received, Schedule, Validated, Window};

/// What a routine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Leader: make a proposal of this action, and answer with a [`Generation`].
    Generate(Action),
    /// Judge the content of this proposal at the newest block, and answer with a [`Verdict`].
    Validate(Arc<Proposal>),
    /// Read the safe block's hash once more, and answer with it. On failure don't answer.
    ConfirmSeed,
    /// Leader: record this envelope durably, then broadcast it in a new network message.
    Broadcast(Arc<[u8]>),
    /// Keep this.
    Record(Record),
    /// The routine is over, with this result.
    Finish(WindowResult),
    /// The routine is over because the seed was wrong. Start again with an assignment from this hash, and hand the
    /// messages that were held to the new routine.
    Reseed {
        /// The safe block's hash as it was read last.
        safe_block_hash: B256,
        /// Messages that the wrong seed kept from being accepted, or got accepted.
        held: Vec<Received>,
    },
}

/// What happened in a window that an operator may ask about later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A member did wrong.
    Fault(Fault),
    /// The leader sent two different proposals. Members that settled on either of them did as they should.
    Equivocation {
        /// The leader.
        leader: Address,
        /// The message that was settled on.
        first: Arc<[u8]>,
        /// The other one.
        second: Arc<[u8]>,
    },
    /// A fault that nobody is blamed for, since it rests on a seed that could not be confirmed.
    Unproven(Fault),
    /// Leader: no proposal of this action was made, for a reason other than that there is nothing to do.
    NotGenerated {
        /// The action.
        action: Action,
        /// Why.
        why: NotGenerated,
    },
}

/// Why a leader went on to the next action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotGenerated {
    /// The generator failed.
    Failed(String),
    /// It made a proposal of another action.
    OtherAction(Action),
    /// What it made is invalid.
    Rejected(Objection),
    /// What it made could not be judged.
    Undecided(String),
    /// What it made can't be written, or is larger than any member reads.
    Unwritable(crate::wire::DecodeError),
}

/// What came of generating a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Generation {
    /// A proposal.
    Proposal(Proposal),
    /// The wallet has nothing of this kind to do.
    NotPossible,
    /// It can't be told: what failed.
    Failed(String),
}

/// What came of judging a proposal's content: the contract, the Bitcoin side, the fee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is no objection.
    Valid,
    /// There is this one.
    Rejected(Objection),
    /// It can't be told: what failed.
    Undecided(String),
}

/// How a window ended for a wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowResult {
    /// The wallet.
    pub wallet: KeyHash,
    /// The window.
    pub window: Window,
    /// The safe block's hash that the leader and the checklist followed from.
    pub safe_block_hash: B256,
    /// The leader.
    pub leader: Address,
    /// What was agreed on.
    pub outcome: Outcome,
    /// Who did wrong.
    pub faults: Vec<Fault>,
}

/// What a window agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// That the wallet does nothing.
    NoOp,
    /// That the wallet does this, then.
    Action(Validated, Schedule),
    /// It can't be told: a proposal was settled on but could not be judged.
    Undecided {
        /// The proposal.
        proposal: Arc<Proposal>,
        /// What failed.
        why: String,
    },
    /// Nothing.
    None,
}

impl Outcome {
    pub(crate) fn action(assignment: &Assignment, validated: Validated) -> Self {
        let schedule = assignment.schedule(validated.proposal().action());
        Self::Action(validated, schedule)
    }
}

impl Assignment {
    pub(crate) const fn fault(&self, culprit: Address, kind: FaultKind, signed: Option<Arc<[u8]>>) -> Fault {
        Fault { wallet: self.wallet, window: self.window, culprit, kind, signed }
    }

    pub(crate) const fn result(&self, outcome: Outcome, faults: Vec<Fault>) -> WindowResult {
        WindowResult {
            wallet: self.wallet,
            window: self.window,
            safe_block_hash: self.safe_block_hash,
            leader: self.leader,
            outcome,
            faults,
        }
    }
}
