//! What a window came to, from facts alone. Pure: what was read is handed in.
//!
//! A trace belongs to the windows that can have led to it. If that is one, it is that window's; if it is several, none of them
//! is said to have led to it, or not to have. So *nothing followed* is said only of windows that no trace can be of.

use std::{collections::BTreeMap, time::Duration};

use bitcoin::Txid;
use coxswain_rules::{
    Action,
    units::{BlockNumber, Height, UnixTime},
};

/// How far a Bitcoin block's time may lie before or after the moment at which it was mined, in seconds. A header's time must be
/// later than the median of the eleven before it, which is about an hour old.
pub(super) const BITCOIN_CLOCK: Duration = Duration::from_secs(3_600);

/// A window, its leader, and what may be proposed in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stage {
    /// Its index.
    pub(super) index: u64,
    /// Its coordination block.
    pub(super) block: BlockNumber,
    /// Its first block that is over: the action starts there.
    pub(super) end: BlockNumber,
    /// When that was. `None` if it is to come.
    pub(super) ended: Option<UnixTime>,
    /// The last block at which an action agreed on in it may be signed and sent.
    pub(super) expires: BlockNumber,
    /// The actions allowed, in order of priority.
    pub(super) checklist: Vec<Action>,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// The transaction of this action.
    Action(Action),
    /// A commitment to target wallets, without which no funds are moved.
    Commitment,
    /// A transaction that fits no action.
    Unknown,
}

impl Deed {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Action(action) => action.name(),
            Self::Commitment => "commitment",
            Self::Unknown => "unknown-spend",
        }
    }
}

/// What is known of a trace's time, by which its window is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// What was done.
    pub(super) deed: Deed,
    /// When the wallet's transaction before it was recorded. None was, as far as is known, if it is `None`.
    pub(super) after: Option<BlockNumber>,
    /// The block of the newest event that it depends on: a reveal, a request.
    pub(super) newest_event: BlockNumber,
    /// When all that it depends on was old enough.
    pub(super) ready: UnixTime,
    /// The block in which it shows on the Bridge. `None` if it doesn't yet.
    pub(super) recorded: Option<BlockNumber>,
    /// The time of the Bitcoin block that has it, where Bitcoin's clock is Ethereum's.
    pub(super) mined: Option<UnixTime>,
}

/// The windows that can have led to a trace, by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: u64,
    pub(super) last: u64,
    /// Whether a window before the ones watched can have, too.
    pub(super) or_before: bool,
}

impl Span {
    /// The one window, if there is one only.
    pub(super) fn only(&self) -> Option<u64> {
        (self.first == self.last && !self.or_before).then_some(self.first)
    }

    const fn contains(&self, index: u64) -> bool {
        self.first <= index && index <= self.last
    }
}

/// Which of the stages can have led to what has these bounds. `None` if only an earlier one can.
pub(super) fn span(bounds: &Bounds, stages: &[Stage], head: BlockNumber) -> Option<Span> {
    if bounds.deed == Deed::Commitment {
        // The leader submits it in its window, before it proposes.
        let of = stages.iter().rev().find(|stage| Some(stage.block) <= bounds.recorded)?;
        return Some(Span { first: of.index, last: of.index, or_before: false });
    }
    let before_record = |stage: &&Stage| stage.end <= bounds.recorded.unwrap_or(head);
    let after_previous = |stage: &&Stage| bounds.after.is_none_or(|after| after < stage.end);
    let in_time = |stage: &&Stage| {
        let before_mined = match (bounds.mined, stage.ended) {
            (Some(mined), Some(ended)) => ended <= mined.saturating_add(BITCOIN_CLOCK),
            _ => true,
        };
        before_record(stage) && after_previous(stage) && before_mined
    };
    let ripe = |stage: &&Stage| {
        let old_enough = stage.ended.is_none_or(|ended| bounds.ready <= ended);
        let allowed = match bounds.deed {
            Deed::Action(action) => stage.checklist.contains(&action),
            Deed::Commitment | Deed::Unknown => true,
        };
        bounds.newest_event < stage.end && old_enough && allowed
    };
    let of = |fits: &dyn Fn(&&Stage) -> bool| {
        let mut indices = stages.iter().filter(fits).map(|stage| stage.index);
        let first = indices.next()?;
        Some((first, indices.next_back().unwrap_or(first)))
    };
    // What fits no window by what it depends on is of one of those that it fits by its time.
    let (first, last) = of(&|stage| in_time(stage) && ripe(stage)).or_else(|| of(&in_time))?;
    let or_before = stages.first().is_some_and(|earliest| {
        // Windows are counted from 1.
        earliest.index == first
            && first > 1
            && bounds.newest_event < earliest.block
            && bounds.after.is_none_or(|after| after < earliest.block)
            // What became old enough in it was not so in an earlier one; when that ended isn't known, but it was before this.
            && earliest.ended.is_none_or(|ended| bounds.ready < ended)
    });
    Some(Span { first, last, or_before })
}

/// Something that a wallet did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trace {
    pub(super) deed: Deed,
    /// The transaction. `None` of a commitment.
    pub(super) txid: Option<Txid>,
    /// How many deposits, requests or target wallets it is about.
    pub(super) items: usize,
    /// The height of the Bitcoin block that has it. `None`: of a commitment, or in the mempool.
    pub(super) height: Option<Height>,
    /// The block in which it shows on the Bridge.
    pub(super) recorded: Option<BlockNumber>,
    pub(super) span: Option<Span>,
}

/// What one action could have been about in a window, as the Bridge's state and Bitcoin tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Possible {
    pub(super) action: Action,
    /// What could have been in a proposal, each by a name of its own.
    pub(super) items: Vec<String>,
    /// Why it can't be told whether there was more.
    pub(super) open: Option<String>,
}

/// So many things that could have been done in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) action: Action,
    pub(super) items: usize,
    /// The first window in which one of them could have been.
    pub(super) since: u64,
    /// Whether all of them could have been then.
    pub(super) all_since: bool,
    /// Whether that is the first window watched, so that it may have been before.
    pub(super) or_before: bool,
}

/// What a window came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The window isn't over.
    Running,
    /// These are its traces, and no other window's.
    Followed(Vec<Trace>),
    /// These may be its traces, or other windows'.
    MaybeFollowed(Vec<Trace>),
    /// The wallet could do nothing, as this transaction of an earlier window wasn't proven.
    Busy(Trace),
    /// No trace is of it, though this could have been done.
    NothingFollowed {
        /// What.
        due: Vec<Due>,
        /// Something may follow still, up to this block.
        until: Option<BlockNumber>,
        /// Why it can't be told whether more could have been done.
        open: Vec<String>,
    },
    /// No trace is of it, and it can't be told whether anything could have been done.
    Undecided(Vec<String>),
    /// No trace is of it, and nothing could have been done.
    NothingDue,
}

impl Outcome {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Followed(_) => "followed",
            Self::MaybeFollowed(_) => "maybe-followed",
            Self::Busy(_) => "busy",
            Self::NothingFollowed { .. } => "nothing-followed",
            Self::Undecided(_) => "undecided",
            Self::NothingDue => "nothing-due",
        }
    }
}

/// Judges windows, the oldest first.
#[derive(Debug)]
pub(super) struct Judge {
    traces: Vec<Trace>,
    head: BlockNumber,
    /// The first window watched.
    first: u64,
    /// Since which window each thing could have been done, without a break.
    waiting: BTreeMap<(Action, String), u64>,
}

impl Judge {
    pub(super) const fn new(traces: Vec<Trace>, head: BlockNumber, first: u64) -> Self {
        Self { traces, head, first, waiting: BTreeMap::new() }
    }

    /// What the next window came to.
    pub(super) fn outcome(&mut self, stage: &Stage, possible: &[Possible]) -> Outcome {
        let due = self.due(stage.index, possible);
        if self.head < stage.end {
            return Outcome::Running;
        }
        let of_window = |trace: &&Trace| trace.span.is_some_and(|span| span.contains(stage.index));
        let (own, maybe): (Vec<_>, Vec<_>) = (self.traces.iter().filter(of_window).cloned())
            .partition(|trace| trace.span.and_then(|span| span.only()).is_some());
        if !own.is_empty() {
            return Outcome::Followed(own);
        }
        if !maybe.is_empty() {
            return Outcome::MaybeFollowed(maybe);
        }
        let pending = self.traces.iter().find(|trace| {
            let earlier = trace.span.is_none_or(|span| span.last < stage.index);
            earlier && trace.txid.is_some() && trace.recorded.is_none_or(|recorded| stage.block < recorded)
        });
        match pending {
            Some(trace) if trace.recorded.is_none_or(|recorded| stage.end <= recorded) => {
                return Outcome::Busy(trace.clone());
            }
            // What could be done is read at the window's first block, when the last transaction was not recorded.
            Some(_) => {
                let reason = "the wallet's last transaction was proven while the window ran";
                return Outcome::Undecided(vec![reason.to_owned()]);
            }
            None => {}
        }
        let open: Vec<_> = possible.iter().filter_map(|possible| possible.open.clone()).collect();
        if !due.is_empty() {
            let until = Some(stage.expires).filter(|expires| self.head < *expires);
            return Outcome::NothingFollowed { due, until, open };
        }
        if open.is_empty() { Outcome::NothingDue } else { Outcome::Undecided(open) }
    }

    fn due(&mut self, index: u64, possible: &[Possible]) -> Vec<Due> {
        let mut waiting = BTreeMap::new();
        let mut due = Vec::new();
        for Possible { action, items, .. } in possible {
            let mut since = Vec::new();
            for item in items {
                let key = (*action, item.clone());
                let first = self.waiting.get(&key).copied().unwrap_or(index);
                waiting.insert(key, first);
                since.push(first);
            }
            let (Some(&first), Some(&last)) = (since.iter().min(), since.iter().max()) else { continue };
            due.push(Due {
                action: *action,
                items: items.len(),
                since: first,
                all_since: first == last,
                or_before: first == self.first,
            });
        }
        self.waiting = waiting;
        due
    }
}

#[cfg(test)]
mod tests;
