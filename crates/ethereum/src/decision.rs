//! Which block a decision is made at: named by enough servers, and not old. Pure: it is told what servers answered, and
//! says what to ask next.
//!
//! 1. All servers are asked for their heads: [`Decider::heads`] says from where on to look.
//! 2. All are asked for the headers of those heights: [`Decider::names`] says which block enough of them name.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use alloy::primitives::B256;
use coxswain_rules::{
    Quorum,
    network::BlockTimes,
    units::{BlockNumber, Blocks, UnixTime},
};

use crate::rpc::HashedHeader;

/// How far under the height that enough have reached the block of a decision may be.
const DEPTH: Blocks = Blocks(7);
/// For how many blocks' time the servers must be under the clock before it goes back.
const PATIENCE: u32 = 75;
/// How many blocks under the height that enough have reached a server may be.
pub(crate) const MAX_BEHIND: Blocks = Blocks(10);

/// How a network's blocks follow on the clock; `None` if their times are not the clock's, as on local chains, whose clocks jump.
pub type Pace = Option<BlockTimes>;

/// What a server answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response<T> {
    /// This.
    Answer(T),
    /// No usable answer to this question, though the server has answered another one.
    Nothing,
    /// The server has given no usable answer to any question.
    Silence,
}

impl<T> Response<T> {
    /// Borrows the answer.
    pub const fn as_ref(&self) -> Response<&T> {
        match self {
            Self::Answer(answer) => Response::Answer(answer),
            Self::Nothing => Response::Nothing,
            Self::Silence => Response::Silence,
        }
    }

    /// Maps the answer.
    pub fn map<U>(self, map: impl FnOnce(T) -> U) -> Response<U> {
        match self {
            Self::Answer(answer) => Response::Answer(map(answer)),
            Self::Nothing => Response::Nothing,
            Self::Silence => Response::Silence,
        }
    }

    const fn is_silence(&self) -> bool {
        matches!(self, Self::Silence)
    }

    fn answer(&self) -> Option<T>
    where
        T: Copy,
    {
        match self {
            Self::Answer(answer) => Some(*answer),
            Self::Nothing | Self::Silence => None,
        }
    }
}

/// From where on a block is looked for that enough servers name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// The height that enough servers have reached.
    height: BlockNumber,
    /// Which servers have answered.
    spoken: Vec<bool>,
    /// Which servers are behind.
    behind: Vec<usize>,
}

impl Horizon {
    /// The heights whose headers all servers are asked for.
    pub const fn heights(&self) -> RangeInclusive<BlockNumber> {
        self.height.saturating_sub(DEPTH)..=self.height
    }
}

/// The block to decide at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Its header.
    pub header: HashedHeader,
    /// How many servers name it.
    pub named_by: usize,
    /// Of how many.
    pub of: usize,
    /// The height that windows go by.
    pub clock: BlockNumber,
    /// The servers that are behind, by their place. They may be asked nothing more.
    pub behind: Vec<usize>,
}

/// Why there is no block to decide at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecisionError {
    /// Too few heads count: too few servers answer, or their heads are old.
    #[error("{counted} servers have a head that is new, of {required} that are needed")]
    NoFreshHead {
        /// How many count.
        counted: usize,
        /// How many are needed.
        required: usize,
    },
    /// The heads are further from our last block than time allows.
    #[error("the servers' heads are more blocks after block {since} than there was time for")]
    OutOfPace {
        /// The height of our last block.
        since: BlockNumber,
    },
    /// No block is named by enough.
    #[error("no block from {lowest} to {highest} that is new enough is named by {required} servers")]
    NotNamed {
        /// The lowest height looked at.
        lowest: BlockNumber,
        /// The highest.
        highest: BlockNumber,
        /// How many servers are needed.
        required: usize,
    },
}

/// A block that servers name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its header.
    pub header: HashedHeader,
    /// How many servers name it.
    pub named_by: usize,
    /// Of how many.
    pub of: usize,
    /// Whether whoever asked for it gave its hash.
    pub is_given: bool,
}

impl From<Decision> for Named {
    fn from(Decision { header, named_by, of, .. }: Decision) -> Self {
        Self { header, named_by, of, is_given: false }
    }
}

/// The block at this height that enough servers name, by the headers that they give for it.
///
/// # Errors
/// If none is named by enough.
pub fn named(
    quorum: Quorum,
    number: BlockNumber,
    names: &[Response<&[HashedHeader]>],
) -> Result<Named, DecisionError> {
    let required = quorum.required(names.iter().filter(|heard| !heard.is_silence()).count());
    match most_named(number, names) {
        Some((header, named_by)) if named_by >= required => {
            Ok(Named { header: header.clone(), named_by, of: quorum.servers(), is_given: false })
        }
        _ => Err(DecisionError::NotNamed { lowest: number, highest: number, required }),
    }
}

/// Decides on blocks, one after the other.
#[derive(Clone, Debug)]
pub struct Decider {
    quorum: Quorum,
    pace: Pace,
    /// Height and time of the last block decided at.
    last: Option<(BlockNumber, UnixTime)>,
    clock: Option<BlockNumber>,
    /// Since when the servers have been under the clock.
    under_since: Option<UnixTime>,
    /// Since when heads that are out of pace have been all there is.
    out_of_pace_since: Option<UnixTime>,
}

impl Decider {
    /// Returns a decider that has decided on no block yet.
    pub const fn new(quorum: Quorum, pace: Pace) -> Self {
        Self { quorum, pace, last: None, clock: None, under_since: None, out_of_pace_since: None }
    }

    /// Takes in all servers' heads, in the servers' order, at this time.
    ///
    /// # Errors
    /// If too few count. Then the heads are asked for anew, and no window opens.
    pub fn heads(
        &mut self,
        now: UnixTime,
        heads: &[Response<&HashedHeader>],
    ) -> Result<Horizon, DecisionError> {
        let spoken: Vec<_> = heads.iter().map(|head| !head.is_silence()).collect();
        let required = self.quorum.required(count(&spoken));
        let mut new: Vec<_> = heads.iter().filter_map(Response::answer).collect();
        if let Some(times) = self.pace {
            new.retain(|head| {
                let time = head.timestamp();
                time.saturating_add(times.max_head_age) >= now
                    && time <= now.saturating_add(times.max_head_ahead)
            });
        }
        let counted: Vec<_> = new.iter().copied().filter(|head| self.is_in_pace(head)).collect();
        let height = match (Self::reached(&counted, required), Self::reached(&new, required), self.last) {
            (Some(height), ..) => {
                self.out_of_pace_since = None;
                height
            }
            // Our last block was abandoned for a branch with more blocks, or wasn't of this chain: that must not last.
            (None, Some(height), Some((since, _))) => {
                let waited = now.saturating_since(*self.out_of_pace_since.get_or_insert(now));
                if waited < self.patience() {
                    return Err(DecisionError::OutOfPace { since });
                }
                height
            }
            (None, ..) => return Err(DecisionError::NoFreshHead { counted: counted.len(), required }),
        };
        let is_behind = |head: &HashedHeader| height.saturating_since(head.number()) > MAX_BEHIND;
        let behind = heads.iter().enumerate().filter(|(_, head)| head.answer().is_some_and(is_behind));
        Ok(Horizon { height, spoken, behind: behind.map(|(server, _)| server).collect() })
    }

    /// The height that this many of the heads have reached.
    fn reached(heads: &[&HashedHeader], required: usize) -> Option<BlockNumber> {
        let mut heights: Vec<_> = heads.iter().map(|head| head.number()).collect();
        heights.sort_unstable_by(|a, b| b.cmp(a));
        heights.get(required.checked_sub(1)?).copied()
    }

    /// Whether there was time for as many blocks since the last block decided at.
    fn is_in_pace(&self, head: &HashedHeader) -> bool {
        match (self.pace, self.last) {
            (Some(times), Some((number, time))) => head.number().since(number).is_none_or(|blocks| {
                let slots = times.slot.as_secs().saturating_mul(blocks.0);
                slots <= head.timestamp().saturating_since(time).as_secs()
            }),
            _ => true,
        }
    }

    /// For how long the servers must be under the clock before it goes back.
    fn patience(&self) -> Duration {
        self.pace.map_or(Duration::from_secs(1), |times| times.slot).saturating_mul(PATIENCE)
    }

    /// Takes in the headers that all servers give for a horizon's heights, in the servers' order, at this time.
    ///
    /// # Errors
    /// If no block is named by enough.
    pub fn names(
        &mut self,
        now: UnixTime,
        horizon: Horizon,
        names: &[Response<&[HashedHeader]>],
    ) -> Result<Decision, DecisionError> {
        let spoken: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(server, heard)| {
                !heard.is_silence() || horizon.spoken.get(server).copied().unwrap_or_default()
            })
            .collect();
        let required = self.quorum.required(count(&spoken));
        let heights = horizon.heights();
        let named = heights.start().to(*heights.end()).rev().find_map(|height| {
            let (header, named_by) = most_named(height, names)?;
            let is_new = self
                .pace
                .is_none_or(|times| header.timestamp().saturating_add(times.max_decision_age) >= now);
            (named_by >= required && is_new).then(|| (header.clone(), named_by))
        });
        let Some((header, named_by)) = named else {
            let (lowest, highest) = heights.into_inner();
            return Err(DecisionError::NotNamed { lowest, highest, required });
        };
        self.last = Some((header.number(), header.timestamp()));
        let clock = self.tick(now, horizon.height, header.number());
        Ok(Decision { header, named_by, of: self.quorum.servers(), clock, behind: horizon.behind })
    }

    /// The clock, which never goes back, unless the servers stay under it.
    fn tick(&mut self, now: UnixTime, height: BlockNumber, decided: BlockNumber) -> BlockNumber {
        let clock = match self.clock {
            Some(clock) if height < clock => {
                let waited = now.saturating_since(*self.under_since.get_or_insert(now));
                if waited < self.patience() {
                    return clock;
                }
                decided
            }
            _ => height,
        };
        self.under_since = None;
        self.clock = Some(clock);
        clock
    }
}

fn count(of: &[bool]) -> usize {
    of.iter().filter(|is| **is).count()
}

/// The block at a height that most servers name, and how many do. A server names one block a height: its first.
fn most_named<'a>(
    height: BlockNumber,
    names: &[Response<&'a [HashedHeader]>],
) -> Option<(&'a HashedHeader, usize)> {
    let mut counted = BTreeMap::<B256, (&HashedHeader, usize)>::new();
    for headers in names.iter().filter_map(Response::answer) {
        if let Some(header) = headers.iter().find(|header| header.number() == height) {
            counted.entry(header.hash()).or_insert((header, 0)).1 += 1;
        }
    }
    counted.into_values().max_by_key(|(_, named_by)| *named_by)
}

/// The ancestor of a block at this height, which the headers between lead to by their parents' hashes; `None` if they
/// don't. The headers go down from the block's parent.
pub fn ancestor<'a>(
    block: &'a HashedHeader,
    parents: impl IntoIterator<Item = &'a HashedHeader>,
    number: BlockNumber,
) -> Option<&'a HashedHeader> {
    let mut at = block;
    let mut parents = parents.into_iter();
    while at.number() > number {
        let parent = parents.next()?;
        if parent.hash() != at.fields().parent_hash || parent.number().next() != at.number() {
            return None;
        }
        at = parent;
    }
    (at.number() == number).then_some(at)
}

#[cfg(test)]
mod tests;
