//! A channel that we have joined, and what each of its authors has said.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use alloy_primitives::Address;
use coxswain_protocol::{SigningGroup, wire::OperatorKey};

use super::peer::Key;
use crate::{
    inbox::Inbox,
    rules::{ChannelRules, Slot},
};

/// Fingerprints kept of an author's counted messages: more than the quotas of two periods.
const SEEN_COUNTED: usize = 256;
/// Fingerprints kept of an author's other messages, so that those who replay them are not paid with our work.
const SEEN_OTHERS: usize = 128;
/// Slots of a period that an author is counted in: a seat each.
const MAX_SLOTS: usize = 256;
/// Periods of an author that are remembered.
const PERIODS: usize = 2;
/// Different messages of an author and period that are passed on whatever the quota.
const DISTINCT: usize = 2;

/// A channel that we have joined.
pub(super) struct Topic {
    pub(super) operators: BTreeSet<Address>,
    pub(super) keys: BTreeMap<Key, OperatorKey>,
    pub(super) rules: Box<dyn ChannelRules>,
    pub(super) authors: BTreeMap<Key, Author>,
    pub(super) inbox: Arc<Inbox>,
}

/// What an author has said on a channel.
#[derive(Default)]
pub(super) struct Author {
    pub(super) counted: Seen<SEEN_COUNTED>,
    pub(super) others: Seen<SEEN_OTHERS>,
    slots: BTreeMap<Slot, usize>,
    /// By period: what each different message does, and the first frame that it came in.
    pub(super) distinct: BTreeMap<u64, Vec<Distinct>>,
}

/// The first message of one that an author sent.
pub(super) struct Distinct {
    id: [u8; 32],
    pub(super) envelope: Arc<[u8]>,
    pub(super) frame: Arc<[u8]>,
}

/// Fingerprints, the oldest of which are forgotten. They are so few that they are looked through: a set beside
/// them would take more than their own memory again.
#[derive(Default)]
pub(super) struct Seen<const MOST: usize>(VecDeque<[u8; 32]>);

impl<const MOST: usize> Seen<MOST> {
    fn contains(&self, fingerprint: &[u8; 32]) -> bool {
        self.0.contains(fingerprint)
    }

    pub(super) fn insert(&mut self, fingerprint: [u8; 32]) {
        if self.contains(&fingerprint) {
            return;
        }
        if self.0.len() >= MOST {
            self.0.pop_front();
        }
        self.0.push_back(fingerprint);
    }
}

impl Topic {
    pub(super) fn new(group: &SigningGroup, rules: Box<dyn ChannelRules>, inbox: Arc<Inbox>) -> Self {
        let operators = group.operators().iter().copied().collect();
        Self { operators, keys: BTreeMap::new(), rules, authors: BTreeMap::new(), inbox }
    }

    /// The key of one of the wallet's operators. Only those are kept.
    pub(super) fn member(&mut self, key: Key) -> Option<OperatorKey> {
        if let Some(operator) = self.keys.get(&key) {
            return Some(*operator);
        }
        let operator = OperatorKey::from_compressed(key).ok()?;
        if !self.operators.contains(&operator.address()) {
            return None;
        }
        self.keys.insert(key, operator);
        Some(operator)
    }
}

impl Author {
    pub(super) fn has_seen(&self, fingerprint: &[u8; 32]) -> bool {
        self.counted.contains(fingerprint) || self.others.contains(fingerprint)
    }

    /// Whether a period is before the last two. It was forgotten, so that nothing of it can be counted any more.
    fn is_past(&self, period: u64) -> bool {
        let periods: BTreeSet<_> = self.slots.keys().map(|slot| slot.period).collect();
        periods.iter().nth_back(PERIODS - 1).is_some_and(|oldest| period < *oldest)
    }

    /// Counts a message; false if its slot is full, or past. What is before the last two periods is forgotten.
    pub(super) fn charge(&mut self, slot: Slot, quota: usize) -> bool {
        if self.is_past(slot.period) {
            return false;
        }
        let periods: BTreeSet<_> = self.slots.keys().map(|slot| slot.period).chain([slot.period]).collect();
        if let Some(&oldest) = periods.iter().nth_back(PERIODS - 1) {
            self.slots.retain(|slot, _| slot.period >= oldest);
            self.distinct.retain(|period, _| *period >= oldest);
        }
        if self.slots.len() >= MAX_SLOTS && !self.slots.contains_key(&slot) {
            return false;
        }
        let count = self.slots.entry(slot).or_default();
        if *count >= quota {
            return false;
        }
        *count += 1;
        true
    }

    /// Whether this is the first message of one of the author's first two different ones in the period. It is kept then.
    pub(super) fn is_new(&mut self, period: u64, id: [u8; 32], envelope: &[u8], frame: &Arc<[u8]>) -> bool {
        if self.is_past(period) {
            return false;
        }
        if self.distinct.len() >= PERIODS && !self.distinct.contains_key(&period) {
            if self.distinct.first_key_value().is_some_and(|(oldest, _)| *oldest > period) {
                return false;
            }
            self.distinct.pop_first();
        }
        let known = self.distinct.entry(period).or_default();
        if known.len() >= DISTINCT || known.iter().any(|distinct| distinct.id == id) {
            return false;
        }
        known.push(Distinct { id, envelope: envelope.into(), frame: frame.clone() });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_fingerprints_are_forgotten_when_there_are_too_many() {
        let mut seen = Seen::<4>::default();
        for byte in [1, 2, 3, 4, 4] {
            seen.insert([byte; 32]);
        }
        assert!(seen.contains(&[1; 32]), "the last that there is room for");
        seen.insert([5; 32]);
        assert!(!seen.contains(&[1; 32]), "the first that there is none for");
        assert!((2..=5).all(|byte| seen.contains(&[byte; 32])));
    }

    /// An author that names two periods far ahead has no quota left of the one that runs, rather than one without end.
    #[test]
    fn what_is_before_an_authors_last_two_periods_is_neither_counted_nor_kept() {
        let mut author = Author::default();
        let frame: Arc<[u8]> = [][..].into();
        let slot = |period| Slot { period, lane: 0 };
        for period in [8, 9] {
            assert!(author.charge(slot(period), 1));
            assert!(author.is_new(period, [1; 32], b"", &frame));
        }
        for _ in 0..2 {
            assert!(!author.charge(slot(7), 1));
            assert!(!author.is_new(7, [1; 32], b"", &frame));
            assert!(!author.charge(slot(8), 1), "it is full");
        }
        assert_eq!(author.distinct.keys().copied().collect::<Vec<_>>(), [8, 9]);
        assert!(author.charge(slot(10), 1));
        assert_eq!(author.distinct.keys().copied().collect::<Vec<_>>(), [9]);
        assert!(!author.charge(slot(8), 1));
    }

    #[test]
    fn what_is_older_puts_nothing_newer_out() {
        let mut author = Author::default();
        let frame: Arc<[u8]> = [][..].into();
        for (period, is_new) in [(8, true), (9, true), (7, false), (10, true)] {
            assert_eq!(author.is_new(period, [1; 32], b"", &frame), is_new);
        }
        assert_eq!(author.distinct.keys().copied().collect::<Vec<_>>(), [9, 10]);
    }
}
