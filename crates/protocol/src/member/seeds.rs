//! The safe block's hashes seen for a window, and what follows from each: leader and checklist, by both hash rules.

use coxswain_rules::{Action, Assurance, units::BlockNumber};

use super::{
    Question,
    inbox::{Content, Kept},
};
use crate::{
    Assignment, FaultKind, HashRule, Ignored, Mistake, SafeHashes, Seat,
    wire::{DecodeError, Proposed, RESERVED_ACTIONS},
};

/// How often the safe block's hash may change in a window.
pub const MAX_RESEEDS: u32 = 3;

/// A hash, and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Seen {
    pub(super) hashes: SafeHashes,
    pub(super) assurance: Assurance,
    pub(super) own: Assignment,
    /// By the other rule. `None` if both rules hash the block alike.
    pub(super) other: Option<(HashRule, Assignment)>,
}

/// All hashes seen for a window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Seeds {
    /// At most one more than [`MAX_RESEEDS`].
    seen: Vec<Seen>,
    current: usize,
    /// Each change: which hash held from then on, and the block at which it was noticed.
    pub(super) changes: Vec<(usize, BlockNumber)>,
    /// The hash changed more often than it may. What holds is unknown from then on.
    pub(super) exhausted: bool,
    /// The last question answered.
    answered: Option<Question>,
    /// What is waited for: an answer to this question or a later one.
    wanted: Option<Question>,
    /// The block at which a question was asked last.
    asked_at: Option<BlockNumber>,
}

/// What an answer changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// An answer to an earlier question than one that is answered.
    Stale,
    /// The hash is the one known.
    Same,
    /// Another one, or the first.
    Changed,
}

/// How a message stands to the hashes seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It passes checks 6 and 7.
    Accepted,
    /// Of the leader, of a reserved action.
    NotUnderstood(u32),
    /// It passes them under this earlier hash.
    Earlier(usize),
    /// It passes them under the other rule.
    OtherRule(HashRule),
    /// It is a fault, if the current hash holds.
    Misfit(Misfit),
}

/// What is wrong with a message, if the seed holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    NotTheLeader(Seat),
    NotOnChecklist(Action),
    NoSuchAction(u32),
    Undecodable(DecodeError),
}

impl Misfit {
    pub(super) fn fault(self) -> FaultKind {
        FaultKind::LeaderMistake(match self {
            Self::NotTheLeader(seat) => return FaultKind::LeaderImpersonation { seat },
            Self::NotOnChecklist(action) => Mistake::NotOnChecklist(action),
            Self::NoSuchAction(number) => Mistake::NoSuchAction(number),
            Self::Undecodable(error) => Mistake::Undecodable(error),
        })
    }
}

impl From<Misfit> for Ignored {
    fn from(misfit: Misfit) -> Self {
        match misfit {
            Misfit::NotTheLeader(seat) => Self::NotTheLeader(seat),
            Misfit::NotOnChecklist(action) => Self::NotOnChecklist(action),
            Misfit::NoSuchAction(number) => Self::NoSuchAction(number),
            Misfit::Undecodable(error) => Self::Undecodable(error),
        }
    }
}

impl Seeds {
    pub(super) fn current(&self) -> Option<&Seen> {
        self.seen.get(self.current)
    }

    pub(super) fn seen(&self, index: usize) -> Option<&Seen> {
        self.seen.get(index)
    }

    /// Whether to ask for the hash at this block.
    pub(super) fn ask(&mut self, now: BlockNumber) -> bool {
        let needed = self.seen.is_empty() || self.wanted.is_some();
        if !needed || self.exhausted || self.asked_at == Some(now) {
            return false;
        }
        self.asked_at = Some(now);
        true
    }

    /// Waits for an answer to a question asked from now on. `next` is the next question.
    pub(super) fn want(&mut self, next: Question) {
        if self.wanted.is_none_or(|wanted| wanted < next) {
            // A question of this very block is too old.
            (self.wanted, self.asked_at) = (Some(next), None);
        }
    }

    /// Whether an answer that is wanted has not come.
    pub(super) const fn is_waiting(&self) -> bool {
        (self.seen.is_empty() || self.wanted.is_some()) && !self.exhausted
    }

    /// Whether the current hash was read since it was wanted.
    pub(super) const fn confirmed(&self) -> bool {
        !self.seen.is_empty() && self.wanted.is_none() && !self.exhausted
    }

    /// Whether the first hash was read after this block.
    pub(super) fn first_read_after(&self, block: BlockNumber) -> bool {
        self.changes.first().is_some_and(|(_, read_at)| *read_at > block)
    }

    /// Takes the safe block's hash as it was read last.
    pub(super) fn answer(
        &mut self,
        question: Question,
        hashes: SafeHashes,
        assurance: Assurance,
        now: BlockNumber,
        assign: impl FnOnce() -> (Assignment, Option<(HashRule, Assignment)>),
    ) -> Answer {
        if self.exhausted || self.answered.is_some_and(|answered| question <= answered) {
            return Answer::Stale;
        }
        self.answered = Some(question);
        if self.wanted.is_some_and(|wanted| question >= wanted) {
            self.wanted = None;
        }
        let known = self.seen.iter().position(|seen| seen.hashes == hashes);
        if let Some(seen) = known.and_then(|index| self.seen.get_mut(index)) {
            seen.assurance = seen.assurance.max(assurance);
        }
        if known == Some(self.current) {
            return Answer::Same;
        }
        if self.changes.len() > MAX_RESEEDS as usize {
            self.exhausted = true;
            return Answer::Changed;
        }
        self.current = known.unwrap_or_else(|| {
            let (own, other) = assign();
            self.seen.push(Seen { hashes, assurance, own, other });
            self.seen.len() - 1
        });
        self.changes.push((self.current, now));
        Answer::Changed
    }

    /// How a message stands to the hashes seen. `None` if none is.
    pub(super) fn fit(&self, message: &Kept) -> Option<Fit> {
        let check = |assignment| check(message.seat, &message.content, assignment);
        let misfit = match check(&self.current()?.own) {
            Ok(Passed::Understood) => return Some(Fit::Accepted),
            Ok(Passed::NotUnderstood(number)) => return Some(Fit::NotUnderstood(number)),
            Err(misfit) => misfit,
        };
        if let Some(index) = self.seen.iter().position(|seen| check(&seen.own).is_ok()) {
            return Some(Fit::Earlier(index));
        }
        let other = self.seen.iter().filter_map(|seen| seen.other.as_ref());
        let mut fitting = other.filter(|(_, other)| check(other).is_ok());
        Some(fitting.next().map_or(Fit::Misfit(misfit), |(rule, _)| Fit::OtherRule(*rule)))
    }
}

/// What passes checks 6 and 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    Understood,
    /// An action that may come to be known: no mistake.
    NotUnderstood(u32),
}

/// Checks 6 and 7: the leader's first seat proposes a no-op or what the checklist allows.
pub(super) fn check(seat: Seat, content: &Content, assignment: &Assignment) -> Result<Passed, Misfit> {
    if seat != assignment.leader_seat {
        return Err(Misfit::NotTheLeader(seat));
    }
    match content {
        Content::Proposed(Proposed::NoOp) => Ok(Passed::Understood),
        Content::Proposed(Proposed::Action(proposal)) if assignment.checklist.contains(proposal.action()) => {
            Ok(Passed::Understood)
        }
        Content::Proposed(Proposed::Action(proposal)) => Err(Misfit::NotOnChecklist(proposal.action())),
        Content::Proposed(Proposed::Unknown { number, .. }) if RESERVED_ACTIONS.contains(number) => {
            Ok(Passed::NotUnderstood(*number))
        }
        Content::Proposed(Proposed::Unknown { number, .. }) => Err(Misfit::NoSuchAction(*number)),
        Content::Undecodable(error) => Err(Misfit::Undecodable(*error)),
    }
}
