//! `eth_getLogs` in ranges of blocks that the endpoint allows.
//!
//! Nodes and hosted endpoints refuse a range for being too wide, or for holding too much, each in words of its own, some
//! with the width that would do.

use std::ops::RangeInclusive;

use alloy::rpc::types::{Filter, Log};
use coxswain_rules::units::{BlockNumber, Blocks};

use super::{Block, Disagreement, Endpoints, RequestError, refusal::Refusal, votes::Said};

/// The widths of ranges that endpoints are known to allow, in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogRanges {
    /// No more than this is ever asked for: learnt from refusals of the width itself.
    limit: u64,
    /// What is asked for next: less than the limit where the blocks just read held much.
    width: u64,
}

/// Which end of a range is read when not all of it can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    First,
    Last,
}

impl LogRanges {
    pub(crate) const fn new() -> Self {
        Self { limit: u64::MAX, width: u64::MAX }
    }

    /// Reads as much as the endpoints allow at this end of a range: the blocks read, their logs, and how many servers say so, which
    /// are enough.
    /// Only one that names the block `at` counts: others leave out without a word what they don't have yet.
    pub(crate) async fn read(
        &mut self,
        endpoint: &Endpoints,
        at: Block,
        filter: Filter,
        range: RangeInclusive<BlockNumber>,
        end: End,
    ) -> Result<(RangeInclusive<BlockNumber>, Vec<Log>, usize), RequestError> {
        loop {
            let (part, width) = self.part(&range, end);
            let filter = filter.clone().from_block(part.start().0).to_block(part.end().0);
            let _step = endpoint.expected().activity.search();
            match endpoint.agreed(at, METHOD, (filter,), normal, shown).await {
                Ok((logs, said_by)) => {
                    self.widen();
                    return Ok((part, logs, said_by));
                }
                Err(Disagreement { error, failures }) => {
                    match failures.iter().find_map(RequestError::refusal) {
                        Some(refusal) if width > 1 => self.narrow(&refusal, width),
                        _ => return Err(error),
                    }
                }
            }
        }
    }

    /// As [`read`](Self::read), but what each server says for itself, if as many say anything as must agree.
    pub(crate) async fn read_each<'a>(
        &mut self,
        endpoint: &'a Endpoints,
        at: Block,
        filter: Filter,
        range: RangeInclusive<BlockNumber>,
    ) -> Result<(RangeInclusive<BlockNumber>, Said<'a, Vec<Log>>), RequestError> {
        loop {
            let (part, width) = self.part(&range, End::First);
            let filter = filter.clone().from_block(part.start().0).to_block(part.end().0);
            let _step = endpoint.expected().activity.search();
            let said = endpoint.each_says(at, METHOD, (filter,), normal).await;
            let required = endpoint.required();
            if said.iter().filter(|(_, answer)| answer.is_ok()).count() >= required {
                self.widen();
                return Ok((part, said));
            }
            let failures = || said.iter().filter_map(|(_, answer)| answer.as_ref().err());
            match failures().find_map(RequestError::refusal) {
                Some(refusal) if width > 1 => self.narrow(&refusal, width),
                _ if said.iter().all(|(_, answer)| answer.is_err()) => {
                    return Err(RequestError::of_all(failures().cloned()));
                }
                _ => {
                    let says = |(name, answer): &(&str, Result<Vec<Log>, RequestError>)| match answer {
                        Ok(logs) => format!("{name} {}", shown(logs)),
                        Err(error) => error.to_string(),
                    };
                    let said = said.iter().map(says).collect::<Vec<_>>().join("; ");
                    return Err(RequestError::NotAgreed { method: METHOD, required, said });
                }
            }
        }
    }

    /// The blocks to ask for at this end of a range, and how many those are.
    fn part(&self, range: &RangeInclusive<BlockNumber>, end: End) -> (RangeInclusive<BlockNumber>, u64) {
        let (first, last) = (*range.start(), *range.end());
        let width = last.saturating_since(first).0.saturating_add(1).min(self.width).max(1);
        let others = Blocks(width - 1);
        let part = match end {
            End::First => first..=first.saturating_add(others),
            End::Last => last.saturating_sub(others)..=last,
        };
        (part, width)
    }

    fn widen(&mut self) {
        self.width = self.width.saturating_mul(2).min(self.limit);
    }

    fn narrow(&mut self, refusal: &Refusal, asked: u64) {
        let narrower = |allowed: Option<u64>| match allowed {
            Some(allowed) if (1..asked).contains(&allowed) => allowed,
            _ => asked / 2,
        };
        match *refusal {
            Refusal::TooWide { allowed } => {
                self.limit = narrower(allowed);
                self.width = self.limit;
            }
            Refusal::TooMuch { allowed } => self.width = narrower(allowed),
        }
    }
}

const METHOD: &str = "eth_getLogs";

#[allow(clippy::ptr_arg, reason = "it is handed on as what shows such an answer")]
fn shown(logs: &Vec<Log>) -> String {
    format!("says that there are {} events", logs.len())
}

/// Puts logs in order, without what only some clients tell, or leave out.
#[allow(clippy::ptr_arg, reason = "it is handed on as what changes such an answer")]
fn normal(logs: &mut Vec<Log>) {
    for log in logs.iter_mut() {
        log.block_timestamp = None;
        log.transaction_index = None;
    }
    logs.sort_by_key(|log| (log.block_number, log.log_index));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inc_30_a_refusal_always_narrows_what_is_asked_for() {
        for allowed in [None, Some(0), Some(99), Some(100), Some(u64::MAX)] {
            let expected = if allowed == Some(99) { 99 } else { 50 };
            let mut ranges = LogRanges::new();
            ranges.narrow(&Refusal::TooWide { allowed }, 100);
            assert_eq!(ranges, LogRanges { limit: expected, width: expected });
            let mut ranges = LogRanges::new();
            ranges.narrow(&Refusal::TooMuch { allowed }, 100);
            assert_eq!(ranges, LogRanges { limit: u64::MAX, width: expected });
        }
    }
}
