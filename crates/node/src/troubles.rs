//! What is wrong with the node, in its journal: what its status says, for who asks the journal alone.

use std::sync::Arc;

use alloy_primitives::Address;
use coxswain_rules::{KeyHash, units::UnixTime};
use coxswain_service::{
    journal::{AppendError, Fact, FactKey, Journal, ReadError, Reader},
    status::{Entry, Health, State},
};
use serde::{Deserialize, Serialize};
use tracing::debug;

/// What is wrong with the node.
const TROUBLES: &str = "troubles";
/// How many entries are kept. More are the same thing said again and again.
const MOST: usize = 32;
/// How much is kept of a sentence, in characters.
const LONGEST: usize = 400;
/// If nothing changes, it is recorded again after so many seconds: so it can be told how old it is.
const AGAIN: u64 = 60;

/// A part of the node, or of what it asks, that is not well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The status entry's name.
    pub name: String,
    /// Of which: a wallet, a file, a server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// How bad it is.
    pub state: State,
    /// Since when it is so.
    pub since: UnixTime,
    /// What is so.
    pub says: String,
    /// What to do about it.
    pub remedy: String,
}

/// All that is wrong with the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Troubles {
    /// When the node looked.
    pub at: UnixTime,
    /// The worst come first.
    pub all: Vec<Trouble>,
    /// How many more there are.
    pub more: usize,
}

impl Troubles {
    fn new(entries: Vec<Entry>, at: UnixTime) -> Self {
        let mut entries: Vec<_> = entries.into_iter().filter(|entry| entry.state != State::Ok).collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.state));
        let short = |text: &str| text.chars().take(LONGEST).collect::<String>();
        let kept = entries.iter().take(MOST).map(|entry| Trouble {
            name: entry.name.to_owned(),
            subject: entry.subject.as_deref().map(short),
            state: entry.state,
            since: entry.since,
            says: short(&entry.says),
            remedy: short(&entry.remedy),
        });
        Self { at, all: kept.collect(), more: entries.len().saturating_sub(MOST) }
    }

    /// What is wrong, and since when; not its words, which may change each time.
    fn gist(&self) -> impl PartialEq {
        let of =
            |trouble: &Trouble| (trouble.name.clone(), trouble.subject.clone(), trouble.state, trouble.since);
        (self.all.iter().map(of).collect::<Vec<_>>(), self.more)
    }

    /// As the journal takes it: in place of the last.
    fn fact(&self, operator: Address) -> Result<Fact, serde_json::Error> {
        let key = FactKey { topic: TROUBLES, owner: operator.into_array(), name: String::new() };
        Ok(Fact { key, body: serde_json::to_string(self)?, replaces: true })
    }

    /// What was recorded last. `None` if nothing was, or it can't be read.
    ///
    /// # Errors
    /// If nothing can be read.
    pub fn read(reader: &Reader) -> Result<Option<Self>, ReadError> {
        let recorded = reader.facts(TROUBLES, None)?;
        let read = recorded.iter().filter_map(|body| serde_json::from_str::<Self>(body).ok());
        Ok(read.max_by_key(|troubles| troubles.at))
    }

    /// Without what concerns none but these other wallets.
    pub(crate) fn without(mut self, others: &[KeyHash]) -> Self {
        let is_of_others = |trouble: &Trouble| {
            trouble.subject.as_ref().is_some_and(|subject| others.iter().any(|it| it.to_string() == *subject))
        };
        self.all.retain(|trouble| !is_of_others(trouble));
        self
    }
}

/// Records what is wrong: when that changes, and now and then.
#[derive(Debug)]
pub(crate) struct Recorder {
    journal: Arc<Journal>,
    operator: Address,
    last: Option<Troubles>,
}

impl Recorder {
    pub(crate) const fn new(journal: Arc<Journal>, operator: Address) -> Self {
        Self { journal, operator, last: None }
    }

    pub(crate) async fn record(&mut self, health: &Health, now: UnixTime) {
        let troubles = Troubles::new(health.entries(), now);
        let is_known = |last: &Troubles| {
            now.saturating_since(last.at).as_secs() < AGAIN && last.gist() == troubles.gist()
        };
        if self.last.as_ref().is_some_and(is_known) {
            return;
        }
        let fact = troubles.fact(self.operator).map_err(|error| AppendError::Unwritable(Arc::new(error)));
        let recorded = match fact {
            Ok(fact) => self.journal.fact(fact).await,
            Err(error) => Err(error),
        };
        match recorded {
            Ok(()) => self.last = Some(troubles),
            // That the journal fails has an entry of its own.
            Err(error) => debug!(%error, "what is wrong is not recorded"),
        }
    }
}

#[cfg(test)]
mod tests {
    use coxswain_service::{journal::Settings, status::Condition};

    use super::*;

    const OPERATOR: Address = Address::repeat_byte(1);

    fn names(troubles: &Troubles) -> Vec<(&str, Option<&str>)> {
        troubles.all.iter().map(|it| (it.name.as_str(), it.subject.as_deref())).collect()
    }

    #[tokio::test]
    async fn what_is_wrong_is_recorded_when_it_changes_and_each_minute() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Arc::new(Journal::open(&Settings::at(folder.path().join("journal.db"))).unwrap());
        let health = Health::default();
        let mut recorder = Recorder::new(Arc::clone(&journal), OPERATOR);
        let read = || Troubles::read(journal.reader()).unwrap();
        assert_eq!(read(), None);
        health.set("bitcoin", UnixTime(10), Condition::ok("all answer"));
        recorder.record(&health, UnixTime(10)).await;
        assert_eq!(
            read(),
            Some(Troubles { at: UnixTime(10), all: vec![], more: 0 }),
            "that all is well, too"
        );
        health.set_of("bitcoin_endpoint", "a:1", UnixTime(20), Condition::warning("gone", "start it"));
        health.set("ethereum", UnixTime(20), Condition::failed("silent", "look"));
        recorder.record(&health, UnixTime(20)).await;
        let first = read().unwrap();
        assert_eq!(names(&first), [("ethereum", None), ("bitcoin_endpoint", Some("a:1"))]);
        // Other words of the same are no news, for a minute.
        health.set("ethereum", UnixTime(21), Condition::failed("silent still", "look"));
        recorder.record(&health, UnixTime(20 + AGAIN - 1)).await;
        assert_eq!(read().as_ref(), Some(&first));
        recorder.record(&health, UnixTime(20 + AGAIN)).await;
        let again = read().unwrap();
        assert_eq!((again.at, again.all[0].says.as_str()), (UnixTime(20 + AGAIN), "silent still"));
        health.set("ethereum", UnixTime(81), Condition::ok("it goes on"));
        recorder.record(&health, UnixTime(81)).await;
        assert_eq!(names(&read().unwrap()), [("bitcoin_endpoint", Some("a:1"))]);
    }

    #[test]
    fn it_is_bounded_and_of_the_wallet_that_is_asked_for() {
        let health = Health::default();
        let wallets: Vec<_> = (0..40).map(|number| KeyHash([number; 20])).collect();
        for wallet in &wallets {
            let says = "long ".repeat(LONGEST);
            health.set_of("stuck_transaction", wallet.to_string(), UnixTime(1), Condition::warning(says, ""));
        }
        health.set("peers", UnixTime(1), Condition::failed("none", "look"));
        let troubles = Troubles::new(health.entries(), UnixTime(1));
        assert_eq!((troubles.all.len(), troubles.more), (MOST, 41 - MOST));
        assert!(troubles.all.iter().all(|trouble| trouble.says.chars().count() <= LONGEST));
        let of_first = troubles.without(&wallets[1..]);
        let first = wallets[0].to_string();
        assert_eq!(names(&of_first), [("peers", None), ("stuck_transaction", Some(first.as_str()))]);
    }
}
