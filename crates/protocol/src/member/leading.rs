//! The leader's routine: find the first action on the checklist that is possible, record it, send it, repeat it.

use std::sync::Arc;

use coxswain_rules::{
    Action, Proposal,
    units::{BlockNumber, Blocks},
};

use super::{
    EntryId, Question, Sent,
    inbox::Content,
    seeds::{Passed, check},
};
use crate::{Assignment, NotSent, Seat, Validity, Window};

/// When a message is sent again: blocks after it was first sent, within the active phase.
pub const RETRANSMISSIONS: [Blocks; 7] =
    [Blocks(1), Blocks(3), Blocks(6), Blocks(11), Blocks(20), Blocks(37), Blocks(70)];

/// A leader that has nothing to send yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Leading {
    /// Waits for a generator's answer. The question is `None` until it is asked.
    Generating { search: Search, action: Action, question: Option<Question> },
    /// Waits for a verdict.
    Judging { search: Search, proposal: Arc<Proposal>, question: Option<Question> },
    /// Waits for the safe block's hash, to be read once more.
    Confirming(Draft),
    /// Sends nothing.
    Silent(NotSent),
}

/// Where the leader is in its checklist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Search {
    tried: usize,
    decided: bool,
    retried: bool,
}

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Draft {
    pub(super) proposal: Option<Arc<Proposal>>,
    pub(super) validity: Option<Validity>,
}

impl Leading {
    /// Tries the checklist's next action; at its end, settles on a no-op if anything could be decided, or tries the
    /// whole list once more, or gives up.
    pub(super) fn next(search: Search, assignment: &Assignment) -> Self {
        if let Some(action) = assignment.checklist.actions().nth(search.tried) {
            let search = Search { tried: search.tried + 1, ..search };
            Self::Generating { search, action, question: None }
        } else if search.decided {
            Self::Confirming(Draft { proposal: None, validity: None })
        } else if search.retried {
            Self::Silent(NotSent::NothingDecided)
        } else {
            // A redemption is on every checklist, so this goes no deeper.
            Self::next(Search { tried: 0, decided: false, retried: true }, assignment)
        }
    }
}

impl Search {
    /// The action just tried could be decided.
    pub(super) const fn decided(self) -> Self {
        Self { decided: true, ..self }
    }
}

/// The one message that we have sent in a window, or are about to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Own {
    pub(super) seat: Seat,
    pub(super) content: Content,
    pub(super) sent: Sent,
    pub(super) stage: Stage,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    /// Handed to the journal.
    Recording(EntryId),
    /// The journal did not take it: it is never sent.
    Failed,
    /// Durable since this life, and not sent yet.
    Recorded,
    /// Durable since an earlier life, in which it may have been sent.
    Restored,
    /// First sent at this block; so many repetitions are done.
    Sending { first: BlockNumber, repeated: usize },
}

impl Own {
    /// Whether it passes checks 6 and 7.
    pub(super) fn fits(&self, assignment: &Assignment) -> bool {
        matches!(check(self.seat, &self.content, assignment), Ok(Passed::Understood))
    }

    /// Whether it has been sent, as far as can be told.
    pub(super) const fn was_sent(&self) -> bool {
        match self.stage {
            Stage::Recording(_) | Stage::Failed | Stage::Recorded => false,
            Stage::Restored | Stage::Sending { .. } => true,
        }
    }

    /// The envelope, if it is to be broadcast at this block of the active phase.
    pub(super) fn broadcast(&mut self, now: BlockNumber) -> Option<Arc<[u8]>> {
        let may_begin = now < quiet_from(&self.sent.window);
        let (first, repeated) = match self.stage {
            Stage::Recorded if may_begin => (now, 0),
            // What fell due before the restart is made up for by one sending.
            Stage::Restored if may_begin => (self.sent.first_sent, due(self.sent.first_sent, now)),
            Stage::Sending { first, repeated } if due(first, now) > repeated => (first, due(first, now)),
            Stage::Recording(_)
            | Stage::Failed
            | Stage::Recorded
            | Stage::Restored
            | Stage::Sending { .. } => return None,
        };
        self.stage = Stage::Sending { first, repeated };
        Some(Arc::clone(&self.sent.envelope))
    }
}

/// How many repetitions have fallen due. What fell due in skipped blocks is made up for by one.
fn due(first: BlockNumber, now: BlockNumber) -> usize {
    RETRANSMISSIONS.iter().take_while(|after| first.saturating_add(**after) <= now).count()
}

/// An eighth of the active phase, rounded up.
pub(super) const fn eighth(window: &Window) -> Blocks {
    Blocks(window.active_end().saturating_since(window.block()).0.div_ceil(8))
}

/// From this block on nothing is sent for the first time: heads lag, and it would come late to some.
pub(super) const fn quiet_from(window: &Window) -> BlockNumber {
    window.active_end().saturating_sub(eighth(window))
}

/// Up to this block the seed may change without making idleness doubtful.
pub(super) const fn settled_by(window: &Window) -> BlockNumber {
    window.block().saturating_add(eighth(window)).next()
}

/// A follower that listens from this block on hears the leader, if the leader speaks at all. It is the earliest second-to-last
/// sending over all possible first sendings, less two blocks by which heads lag.
pub(super) fn listened_by(window: &Window) -> BlockNumber {
    let second_to_last = |first: BlockNumber| {
        let sent = [Blocks(0)].into_iter().chain(RETRANSMISSIONS).map(|after| first.saturating_add(after));
        let within = sent.take_while(|block| *block < window.active_end());
        within.collect::<Vec<_>>().into_iter().rev().nth(1).unwrap_or(first)
    };
    let loud = window.block().to(quiet_from(window)).take_while(|block| *block < quiet_from(window));
    let earliest = loud.map(second_to_last).min();
    earliest.unwrap_or(window.block()).saturating_sub(Blocks(2)).max(window.block())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WindowParameters;

    fn after(network: &WindowParameters, block: fn(&Window) -> BlockNumber) -> u64 {
        let window = Window::numbered(network, 1).unwrap();
        block(&window).saturating_since(window.block()).0
    }

    #[test]
    fn deadlines_of_listening_and_speaking_are_those_of_the_protocol() {
        let (mainnet, local) = (WindowParameters::MAINNET, WindowParameters::LOCAL);
        assert_eq!((after(&mainnet, quiet_from), after(&local, quiet_from)), (70, 17));
        assert_eq!((after(&mainnet, listened_by), after(&local, listened_by)), (28, 4));
        assert_eq!((after(&mainnet, settled_by), after(&local, settled_by)), (11, 4));
    }
}
