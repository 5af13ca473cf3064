//! What happened in a game, in numbers.

use std::collections::BTreeMap;

use coxswain_protocol::{Alarm, Fault, FaultKind, Ignored, Mistake, Note};

use crate::member::{Player, Role};

/// What happened in a game, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Results and records of honest members, and what they ignored, by name.
    pub counts: BTreeMap<String, u64>,
    /// The most bytes that a member held.
    pub most_retained: usize,
}

impl Summary {
    pub(crate) fn count(&mut self, name: impl Into<String>) {
        *self.counts.entry(name.into()).or_default() += 1;
    }

    pub(crate) fn count_ignored(&mut self, ignored: &Ignored) {
        self.count(format!("ignored: {}", ignored.name()));
    }

    /// Takes in another game's numbers.
    pub fn add(&mut self, other: &Self) {
        for (name, count) in &other.counts {
            *self.counts.entry(name.clone()).or_default() += count;
        }
        self.most_retained = self.most_retained.max(other.most_retained);
    }

    /// Counts what the honest members have recorded.
    pub(crate) fn count_up(&mut self, players: &[Player]) {
        for player in players.iter().filter(|player| player.role == Role::Honest) {
            for result in player.finished.values().flatten() {
                self.count(format!("result: {}", result.agreement.name()));
                result.faults.iter().for_each(|fault| self.count(format!("fault: {}", name(fault))));
                for note in &result.notes {
                    self.count(match note {
                        Note::Unproven { fault, doubt } => format!("unproven: {}, {doubt:?}", name(fault)),
                        Note::OtherSeed { .. } => "other seed".to_owned(),
                        Note::HashRuleMismatch { .. } => "hash rule mismatch".to_owned(),
                        Note::NotUnderstood { .. } => "not understood".to_owned(),
                        Note::Reseeded { .. } => "new seed".to_owned(),
                        Note::NotGenerated { .. } => "failed generation".to_owned(),
                        Note::NotJournaled(_) => "not journaled".to_owned(),
                    });
                }
                for alarm in &result.alarms {
                    self.count(match alarm {
                        Alarm::Failures { .. } => "alarm: failures",
                        Alarm::HashRule { .. } => "alarm: hash rule",
                    });
                }
            }
            *self.counts.entry("restart".to_owned()).or_default() += player.life;
        }
    }
}

const fn name(fault: &Fault) -> &'static str {
    match &fault.kind {
        FaultKind::LeaderMistake(mistake) => match mistake {
            Mistake::NotOnChecklist(_) => "not on the checklist",
            Mistake::NoSuchAction(_) => "no such action",
            Mistake::Undecodable(_) => "undecodable",
            Mistake::Rejected { .. } => "rejected",
            Mistake::Equivocation { .. } => "equivocation",
        },
        FaultKind::LeaderIdleness { .. } => "idleness",
        FaultKind::LeaderImpersonation { .. } => "impersonation",
    }
}
