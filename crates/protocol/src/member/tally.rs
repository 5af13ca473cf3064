//! What is counted over windows: failures of leaders that nobody is blamed for, and members by another hash rule.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use alloy_primitives::Address;

use crate::{Alarm, Note, WindowResult};

/// How many of a leader's last windows are looked at, and how many failures among them are too many.
const LOOKED_AT: usize = 5;
const TOO_MANY: usize = 3;

/// What is counted over windows. Follows from their results alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Tally {
    /// Of each leader's last windows, whether they failed.
    failures: BTreeMap<Address, VecDeque<bool>>,
    /// The last window with a hash rule mismatch.
    mismatch: Option<u64>,
    /// Who was seen to go by the other rule.
    authors: BTreeSet<Address>,
}

impl Tally {
    /// Counts a window. Gives the alarms that it raises.
    pub(super) fn count(&mut self, result: &WindowResult) -> Vec<Alarm> {
        let mut alarms = Vec::new();
        if let (Some(basis), Some(failed)) = (result.basis, result.blameless_failure()) {
            let last = self.failures.entry(basis.leader).or_default();
            last.push_back(failed && result.faults.iter().all(|fault| fault.culprit != basis.leader));
            if last.len() > LOOKED_AT {
                last.pop_front();
            }
            // A third one in a row is three of the last five.
            let of_last_five = last.iter().filter(|failed| **failed).count();
            if last.back() == Some(&true) && of_last_five >= TOO_MANY {
                let of_last_five = u8::try_from(of_last_five).unwrap_or(u8::MAX);
                alarms.push(Alarm::Failures { leader: basis.leader, of_last_five });
            }
        }
        let mismatches = result.notes.iter().filter_map(|note| match note {
            Note::HashRuleMismatch { author, .. } => Some(*author),
            _ => None,
        });
        let mismatches: BTreeSet<_> = mismatches.collect();
        if !mismatches.is_empty() {
            let index = result.window.index();
            self.authors.extend(mismatches);
            let in_a_row = self.mismatch.is_some_and(|last| last + 1 == index);
            if in_a_row || self.authors.len() > 1 {
                alarms.push(Alarm::HashRule { authors: self.authors.iter().copied().collect() });
            }
            self.mismatch = Some(index);
        }
        alarms
    }

    /// A leader's failures among its last windows, at most five.
    pub(super) fn failures(&self, leader: Address) -> usize {
        self.failures.get(&leader).map_or(0, |last| last.iter().filter(|failed| **failed).count())
    }
}
