//! The requests and answers of all endpoints: for progress reports, and to give up when no endpoint answers.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How many times as long as without an answer it may take in all.
const IN_ALL: u32 = 5;

/// The requests and answers of all endpoints. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Activity(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// How long no answer may be understood; `None` for ever.
    patience: Option<Duration>,
    /// When the first question was asked.
    start: Option<Instant>,
    /// When an answer was understood last, or a question asked when none was open.
    last: Option<Instant>,
    /// How long searches for events took, which may take as long as they do.
    searching: Duration,
    next: u64,
    /// The questions that are open: method and endpoint.
    open: BTreeMap<u64, (&'static str, String)>,
}

/// A question that is open until this is dropped.
#[must_use]
#[derive(Debug)]
pub struct Open<'a> {
    activity: &'a Activity,
    number: u64,
}

/// A step of a search for events, which lasts until this is dropped.
#[derive(Debug)]
#[must_use]
pub(super) struct Step<'a> {
    activity: &'a Activity,
    since: Instant,
}

impl Activity {
    /// Nothing is asked yet. If no answer is understood for so long, nothing more is asked; nor after five times that, searches for
    /// events excepted.
    pub fn with_patience(patience: Duration) -> Self {
        Self(Arc::new(Mutex::new(State { patience: Some(patience), ..State::default() })))
    }

    /// Returns the open requests: methods and endpoints.
    pub fn awaited(&self) -> Vec<String> {
        self.state().open.values().map(|(method, endpoint)| format!("{method} of {endpoint}")).collect()
    }

    /// For how long no answer may be understood.
    pub fn patience(&self) -> Duration {
        self.state().patience.unwrap_or(Duration::MAX)
    }

    /// A question is asked of an endpoint.
    pub fn ask(&self, method: &'static str, endpoint: &str) -> Open<'_> {
        let now = Instant::now();
        let mut state = self.state();
        state.start.get_or_insert(now);
        if state.open.is_empty() {
            state.last = Some(now);
        }
        let number = state.next;
        state.next += 1;
        state.open.insert(number, (method, endpoint.to_owned()));
        drop(state);
        Open { activity: self, number }
    }

    /// A step of a search for events begins: what it takes, questions about blocks included, doesn't count.
    pub(super) fn search(&self) -> Step<'_> {
        Step { activity: self, since: Instant::now() }
    }

    /// An answer was understood.
    pub fn answered(&self) {
        self.state().last = Some(Instant::now());
    }

    /// When to give up, as things stand; `None` if never.
    pub fn deadline(&self) -> Option<Instant> {
        let state = self.state();
        let patience = state.patience?;
        let silent = state.last? + patience;
        let in_all = state.start? + patience * IN_ALL + state.searching;
        Some(silent.min(in_all))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.activity.state().open.remove(&self.number);
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        self.activity.state().searching += self.since.elapsed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn left(activity: &Activity) -> Duration {
        activity.deadline().unwrap().saturating_duration_since(Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_is_what_passes_without_an_answer_while_one_is_awaited() {
        let activity = Activity::with_patience(PATIENCE);
        assert_eq!(activity.deadline(), None, "nothing was asked");
        let open = activity.ask("eth_call", "a:1");
        let other = activity.ask("eth_call", "b:1");
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(left(&activity), Duration::from_secs(1));
        assert_eq!(activity.awaited(), ["eth_call of a:1", "eth_call of b:1"]);
        activity.answered();
        drop(open);
        assert_eq!(left(&activity), PATIENCE);
        drop(other);
        // While others are asked than Ethereum's endpoints, nobody waits for those.
        tokio::time::advance(Duration::from_secs(70)).await;
        let _open = activity.ask("eth_call", "a:1");
        assert_eq!(left(&activity), PATIENCE);
        assert_eq!(Activity::default().deadline(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn all_ends_after_five_times_that_but_for_searches() {
        let activity = Activity::with_patience(PATIENCE);
        for _ in 0..9 {
            let _open = activity.ask("eth_call", "a:1");
            tokio::time::advance(Duration::from_secs(30)).await;
            activity.answered();
        }
        assert_eq!(left(&activity), Duration::from_secs(30), "of 300 s, 270 are over");
        // A step of a search, and what is asked about its block, of two side by side.
        let step = activity.search();
        for method in ["eth_getLogs", "eth_getBlockByNumber"] {
            let open = ["a:1", "b:1"].map(|endpoint| activity.ask(method, endpoint));
            tokio::time::advance(Duration::from_secs(20)).await;
            activity.answered();
            drop(open);
        }
        drop(step);
        assert_eq!(left(&activity), Duration::from_secs(30));
        let _open = activity.ask("eth_call", "a:1");
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(left(&activity), Duration::ZERO);
    }
}
