//! Judging the content of the message that a member settled on, until the window ends.

use std::sync::Arc;

use coxswain_rules::{Assurance, Objection, Proposal, Timing, units::BlockNumber};

use super::{ContentVerdict, Question, inbox::Kept};
use crate::Validity;

/// The message settled on, and what is known of its content.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Judging {
    pub(super) message: Arc<Kept>,
    /// What is to be judged. `None` for a no-op, which needs no verdict.
    pub(super) proposal: Option<Arc<Proposal>>,
    /// The question that is open, if one is.
    open: Option<Question>,
    asked_at: Option<BlockNumber>,
    /// The open question, or the last one, was asked when the window was over.
    last_asked: bool,
    /// The verdict at the first block after the message came.
    first: Option<ContentVerdict>,
    /// The newest verdict, and the block that it was given at.
    newest: Option<(ContentVerdict, BlockNumber)>,
}

/// What a proposal's content came to when the window ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// Nothing stands against it.
    Valid(Validity),
    /// The leader is to blame.
    Mistake { objection: Arc<Objection>, block: BlockNumber },
    /// The objection was not there from the start.
    CameUpLater(Arc<Objection>),
    /// Honest members can differ over it.
    FeeDisagreement(Arc<Objection>),
    /// One server says so.
    OneWord(Arc<Objection>),
    /// Undecided: what failed.
    Undecided(String),
}

impl Judging {
    /// For a message settled on at this block. If that is not in time for a verdict at the first block after it came,
    /// because the seed was not known or another one, then nobody can tell what stood against it at first.
    pub(super) fn new(message: Arc<Kept>, proposal: Option<Arc<Proposal>>, now: BlockNumber) -> Self {
        let first =
            (now > message.came.next()).then(|| ContentVerdict::Undecided("settled on later".to_owned()));
        Self { message, proposal, open: None, asked_at: None, last_asked: false, first, newest: None }
    }

    /// The proposal, if it is to be judged at this block. `question` is then the open one.
    pub(super) fn ask(&mut self, question: Question, now: BlockNumber, over: bool) -> Option<Arc<Proposal>> {
        let proposal = self.proposal.as_ref()?;
        let newer = now > self.asked_at.unwrap_or(self.message.came);
        let again = match &self.newest {
            None | Some((ContentVerdict::Undecided(_), _)) => true,
            Some((ContentVerdict::Rejected { objection, .. }, _)) => objection.timing() == Timing::Lifts,
            Some((ContentVerdict::Valid(_), _)) => false,
        };
        let due = if over {
            !self.last_asked
        } else {
            newer && self.open.is_none() && (again || self.first.is_none())
        };
        if !due {
            return None;
        }
        (self.open, self.asked_at, self.last_asked) = (Some(question), Some(now), over);
        Some(Arc::clone(proposal))
    }

    /// Takes the answer to the open question.
    pub(super) fn answer(&mut self, question: Question, verdict: ContentVerdict, block: BlockNumber) {
        if self.open != Some(question) {
            return;
        }
        self.open = None;
        // A server that lags can tell of no later block than the one at which the message came.
        let decided = !matches!(verdict, ContentVerdict::Undecided(_));
        if self.first.is_none() && (!decided || block > self.message.came) {
            self.first = Some(verdict.clone());
        }
        self.newest = Some((verdict, block));
    }

    /// Whether there is nothing more to wait for.
    pub(super) const fn is_over(&self) -> bool {
        self.proposal.is_none() || (self.last_asked && self.open.is_none())
    }

    /// What the content came to.
    pub(super) fn ruling(&self) -> Settled {
        if !self.is_over() {
            let why = match &self.newest {
                Some((ContentVerdict::Undecided(why), _)) => why.clone(),
                _ => "no verdict came when the window was over".to_owned(),
            };
            return Settled::Undecided(why);
        }
        let Some((verdict, block)) = &self.newest else {
            return Settled::Undecided("nothing was judged".to_owned());
        };
        let (objection, assurance) = match verdict {
            ContentVerdict::Valid(assurances) => {
                return Settled::Valid(Validity { block: *block, assurances: *assurances });
            }
            ContentVerdict::Undecided(why) => return Settled::Undecided(why.clone()),
            ContentVerdict::Rejected { objection, assurance } => (Arc::clone(objection), *assurance),
        };
        if assurance < Assurance::Agreed {
            return Settled::OneWord(objection);
        }
        let first = match &self.first {
            Some(ContentVerdict::Rejected { objection: first, assurance })
                if *assurance >= Assurance::Agreed && same(first, &objection) =>
            {
                first
            }
            _ => return Settled::CameUpLater(objection),
        };
        if objection.timing() == Timing::Comes {
            return Settled::CameUpLater(objection);
        }
        if first.fee_disagreement() || objection.fee_disagreement() {
            return Settled::FeeDisagreement(objection);
        }
        Settled::Mistake { objection, block: *block }
    }
}

/// Whether two objections are about the same. The numbers in them may have moved.
fn same(one: &Objection, other: &Objection) -> bool {
    match (one, other) {
        (Objection::OutputSpent(one), Objection::OutputSpent(other))
        | (Objection::OutputMissing(one), Objection::OutputMissing(other)) => one == other,
        _ => one.kind() == other.kind() && one.rule() == other.rule(),
    }
}
