//! What is well and what isn't: entries by name, each with its state, since when, and what to do about it.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use coxswain_rules::units::UnixTime;
use serde::{Deserialize, Serialize};
use tracing::{error, info, warn};

use super::Page;

/// How many subjects of one name are kept. More are the same thing said again and again.
const MAX_SUBJECTS: usize = 1024;

/// How well something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is as it has to be.
    Ok,
    /// The program does its work, but somebody should look.
    Warning,
    /// The program can't do its work, or a part of it.
    Failed,
}

impl State {
    /// The name in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What is said of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    state: State,
    says: String,
    remedy: String,
}

impl Condition {
    /// All is well.
    pub fn ok(says: impl Into<String>) -> Self {
        Self { state: State::Ok, says: says.into(), remedy: String::new() }
    }

    /// Somebody should look, and this is what to do.
    pub fn warning(says: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { state: State::Warning, says: says.into(), remedy: remedy.into() }
    }

    /// The program can't work, and this is what to do.
    pub fn failed(says: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { state: State::Failed, says: says.into(), remedy: remedy.into() }
    }

    /// How well it is.
    pub const fn state(&self) -> State {
        self.state
    }
}

/// An entry, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// What it is about.
    pub name: &'static str,
    /// Of which: a wallet, a file, a server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// How well it is.
    pub state: State,
    /// Since when it is so.
    pub since: UnixTime,
    /// What is so.
    pub says: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remedy: String,
}

/// Whether something became better or worse by what was said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is in the state in which it was.
    None,
    /// It is in another state than before.
    From(Option<State>),
}

#[derive(Debug)]
struct Known {
    condition: Condition,
    since: UnixTime,
}

type Entries = BTreeMap<&'static str, BTreeMap<Option<String>, Known>>;

/// What is well, and what isn't. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<Entries>>);

impl Health {
    /// Says how something is. If its state is another than before, that is one line in the log.
    pub fn set(&self, name: &'static str, now: UnixTime, condition: Condition) -> Change {
        self.say(name, None, now, condition)
    }

    /// The same of one of several: a wallet, a file, a server. Never of what a peer names.
    pub fn set_of(
        &self,
        name: &'static str,
        subject: impl Into<String>,
        now: UnixTime,
        condition: Condition,
    ) -> Change {
        self.say(name, Some(subject.into()), now, condition)
    }

    /// Whether anything is said of this one.
    pub fn knows(&self, name: &'static str, subject: &str) -> bool {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(name).is_some_and(|subjects| subjects.contains_key(&Some(subject.to_owned())))
    }

    /// Says nothing more of it.
    pub fn forget(&self, name: &'static str, subject: &str) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(subjects) = entries.get_mut(name) {
            subjects.remove(&Some(subject.to_owned()));
        }
    }

    fn say(
        &self,
        name: &'static str,
        subject: Option<String>,
        now: UnixTime,
        condition: Condition,
    ) -> Change {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let subjects = entries.entry(name).or_default();
        if subjects.len() >= MAX_SUBJECTS && !subjects.contains_key(&subject) {
            return Change::None;
        }
        let before = subjects.get(&subject).map(|known| (known.condition.state, known.since));
        let (state, of) = (condition.state, subject.clone().unwrap_or_default());
        let since = match before {
            Some((before, since)) if before == state => since,
            _ => now,
        };
        let (says, remedy) = (condition.says.clone(), condition.remedy.clone());
        subjects.insert(subject, Known { condition, since });
        drop(entries);
        if before.map(|(before, _)| before) == Some(state) {
            return Change::None;
        }
        match state {
            // That all is well from the start is no news.
            State::Ok if before.is_none() => {}
            State::Ok => info!(health = name, of, "{says}"),
            State::Warning => warn!(health = name, of, remedy, "{says}"),
            State::Failed => error!(health = name, of, remedy, "{says}"),
        }
        Change::From(before.map(|(before, _)| before))
    }

    /// All entries, by name.
    pub fn entries(&self) -> Vec<Entry> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |name, subjects: &BTreeMap<Option<String>, Known>| {
            let shown = subjects.iter().map(|(subject, known)| Entry {
                name,
                subject: subject.clone(),
                state: known.condition.state,
                since: known.since,
                says: known.condition.says.clone(),
                remedy: known.condition.remedy.clone(),
            });
            shown.collect::<Vec<_>>()
        };
        entries.iter().flat_map(|(name, subjects)| of(*name, subjects)).collect()
    }

    /// The worst that is said of anything.
    pub fn worst(&self) -> State {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let states = entries.values().flat_map(BTreeMap::values).map(|known| known.condition.state);
        states.max().unwrap_or(State::Ok)
    }

    /// Shows how many entries of each name are not well.
    pub(super) fn write(&self, page: &mut Page) {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for state in [State::Warning, State::Failed] {
            for (name, subjects) in &*entries {
                let count = subjects.values().filter(|known| known.condition.state == state).count();
                page.gauge_of(
                    "coxswain_health_entries",
                    "Health entries in this state, by name.",
                    &[("entry", name), ("state", state.name())],
                    u32::try_from(count).unwrap_or(u32::MAX).into(),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> UnixTime {
        UnixTime(seconds)
    }

    #[test]
    fn an_entry_is_so_since_its_state_changed_and_says_the_newest() {
        let health = Health::default();
        assert_eq!(health.set("head", at(10), Condition::ok("fresh")), Change::From(None));
        assert_eq!(
            health.set("head", at(20), Condition::failed("old", "ask others")),
            Change::From(Some(State::Ok))
        );
        assert_eq!(health.set("head", at(30), Condition::failed("older", "ask others")), Change::None);
        let [entry] = <[Entry; 1]>::try_from(health.entries()).unwrap();
        assert_eq!((entry.state, entry.since, entry.says.as_str()), (State::Failed, at(20), "older"));
        assert_eq!(health.worst(), State::Failed);
        health.set("head", at(40), Condition::ok("fresh"));
        assert_eq!(health.worst(), State::Ok);
    }

    #[test]
    fn subjects_are_apart_bounded_and_can_be_forgotten() {
        let health = Health::default();
        for number in 0..=MAX_SUBJECTS {
            health.set_of("share", number.to_string(), at(1), Condition::warning("unreadable", "restore it"));
        }
        assert_eq!(health.entries().len(), MAX_SUBJECTS);
        health.forget("share", "0");
        assert_eq!(health.entries().len(), MAX_SUBJECTS - 1);
    }
}
