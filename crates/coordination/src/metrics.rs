//! A coordinator's counters, by kind. No kind's name comes from a peer, so their number is bounded.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use coxswain_protocol::{Alarm, ContentVerdict, Generation, WindowResult};

/// Something that is counted by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Count {
    /// A wallet's window, by how it ended.
    Window,
    /// A fault, by its kind.
    Fault,
    /// An alarm, by what it is about.
    Alarm,
    /// A message: `accepted`, or why it was ignored.
    Message,
    /// A generation, by what came of it.
    Generation,
    /// A judging, by its verdict.
    Verdict,
    /// A reading of the safe block's hash: `read` or `failed`. Wallets share readings; each counts.
    SafeHash,
    /// A broadcast: `sent` or `failed`.
    Broadcast,
    /// An entry of the journal: `durable` or `failed`; a journal that could not be read is `unreadable`.
    Journal,
    /// A durable result that nobody took in time.
    Untaken,
}

impl Count {
    /// The name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Window => "windows",
            Self::Fault => "faults",
            Self::Alarm => "alarms",
            Self::Message => "messages",
            Self::Generation => "generations",
            Self::Verdict => "verdicts",
            Self::SafeHash => "safe_hashes",
            Self::Broadcast => "broadcasts",
            Self::Journal => "journal_entries",
            Self::Untaken => "untaken_results",
        }
    }
}

/// How often each happened since the start.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<BTreeMap<(Count, &'static str), u64>>);

impl Metrics {
    /// All counts that are not zero.
    pub fn all(&self) -> BTreeMap<(Count, &'static str), u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often this happened.
    pub fn get(&self, count: Count, kind: &'static str) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&(count, kind)).copied().unwrap_or(0)
    }

    pub(crate) fn count(&self, count: Count, kind: &'static str) {
        // A count is whole even if a thread that held them panicked.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry((count, kind)).or_default() += 1;
    }

    pub(crate) fn count_generation(&self, generation: &Generation) {
        let kind = match generation {
            Generation::Proposal(_) => "proposal",
            Generation::NotPossible => "not possible",
            Generation::Failed(_) => "failed",
        };
        self.count(Count::Generation, kind);
    }

    /// Gives the verdict's kind.
    pub(crate) fn count_verdict(&self, verdict: &ContentVerdict) -> &'static str {
        let kind = match verdict {
            ContentVerdict::Valid(_) => "valid",
            ContentVerdict::Rejected { .. } => "rejected",
            ContentVerdict::Undecided(_) => "undecided",
        };
        self.count(Count::Verdict, kind);
        kind
    }

    pub(crate) fn count_result(&self, result: &WindowResult) {
        self.count(Count::Window, result.agreement.name());
        for fault in &result.faults {
            self.count(Count::Fault, fault.kind.name());
        }
        for alarm in &result.alarms {
            let kind = match alarm {
                Alarm::Failures { .. } => "failures",
                Alarm::HashRule { .. } => "hash rule",
            };
            self.count(Count::Alarm, kind);
        }
    }
}
