//! What a wallet's executor has under way: at most one question of a kind, one entry in the journal's hands, and results
//! that are handed on.

use std::future::Future;

use coxswain_protocol::{Assurance, ContentVerdict, EntryId, Generation, Question, SafeHashes, Window};
use coxswain_rules::units::BlockNumber;
use tokio::task::{AbortHandle, JoinError, JoinSet};

use crate::Unread;

/// How many results of a wallet may wait to be taken. The journal has them, too.
const MAX_UNTAKEN: usize = 4;

/// What came of something under way.
#[derive(Debug)]
pub(crate) enum Done {
    SafeHash { question: Question, named: Result<(SafeHashes, Assurance), Unread> },
    Generated { question: Question, generation: Generation },
    Judged { question: Question, verdict: ContentVerdict, block: BlockNumber },
    Written(Written),
}

/// What came of writing an entry.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) id: EntryId,
    /// What the failure was, if it failed.
    pub(crate) failure: Option<String>,
}

/// A kind of question of which the newest is worked on: older ones are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Generate,
    Judge,
}

/// What is under way.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    questions: JoinSet<Done>,
    generating: Option<(Window, AbortHandle)>,
    judging: Option<(Window, AbortHandle)>,
    /// At most one. It is never given up.
    writing: JoinSet<Written>,
    handing_on: JoinSet<()>,
}

impl Tasks {
    /// Works on a question. An older one of its kind is given up.
    pub(crate) fn ask(
        &mut self,
        kind: Kind,
        window: Window,
        work: impl Future<Output = Done> + Send + 'static,
    ) {
        let new = (window, self.questions.spawn(work));
        let slot = match kind {
            Kind::Generate => &mut self.generating,
            Kind::Judge => &mut self.judging,
        };
        if let Some((_, older)) = slot.replace(new) {
            older.abort();
        }
    }

    /// Works on a question for the safe block's hash, which ends by itself.
    pub(crate) fn read(&mut self, work: impl Future<Output = Done> + Send + 'static) {
        self.questions.spawn(work);
    }

    pub(crate) fn write(&mut self, work: impl Future<Output = Written> + Send + 'static) {
        self.writing.spawn(work);
    }

    pub(crate) fn is_writing(&self) -> bool {
        !self.writing.is_empty()
    }

    /// Hands a result on. `false` if too many wait already.
    pub(crate) fn hand_on(&mut self, work: impl Future<Output = ()> + Send + 'static) -> bool {
        while self.handing_on.try_join_next().is_some() {}
        let room = self.handing_on.len() < MAX_UNTAKEN;
        if room {
            self.handing_on.spawn(work);
        }
        room
    }

    /// Gives up what is of no use any more: generating after the active phase, and what an earlier window asked.
    pub(crate) fn give_up(&mut self, current: Option<Window>, block: BlockNumber) {
        for (slot, only_active) in [(&mut self.generating, true), (&mut self.judging, false)] {
            let useless = slot.take_if(|(window, _)| {
                current != Some(*window) || (only_active && block >= window.active_end())
            });
            if let Some((_, task)) = useless {
                task.abort();
            }
        }
    }

    /// Gives up all questions.
    pub(crate) fn give_up_all(&mut self) {
        (self.generating, self.judging) = (None, None);
        self.questions = JoinSet::new();
    }

    /// Waits for the next task that ends. If no task is running, it waits forever. A panic in a task is resumed here.
    pub(crate) async fn next(&mut self) -> Done {
        loop {
            let done = tokio::select! {
                biased;
                Some(written) = self.writing.join_next() => finished(written).map(Done::Written),
                Some(answer) = self.questions.join_next() => finished(answer),
                else => std::future::pending().await,
            };
            if let Some(done) = done {
                return done;
            }
        }
    }

    /// Returns the result of the entry that the journal is writing, if there is one.
    pub(crate) async fn written(&mut self) -> Option<Written> {
        self.writing.join_next().await.and_then(finished)
    }
}

/// Returns a task's result, unless the task was given up.
fn finished<T>(joined: Result<T, JoinError>) -> Option<T> {
    match joined {
        Ok(done) => Some(done),
        Err(error) if error.is_cancelled() => None,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
