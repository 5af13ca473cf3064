//! What a running program says of itself: what is well and what isn't, what it counts, and who it is.
//!
//! [`Health`] holds one entry for each thing that can go wrong; [`Metrics`] holds numbers under fixed names; [`serve`] shows
//! both over HTTP. Secrets are in none of it, and a label's value is always a text of this program's own: the type says so,
//! so no peer can choose one.

mod health;
mod metrics;
mod page;
mod server;
mod settings;

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use serde_json::{Map, Value, value::RawValue};
use tokio::sync::watch;

pub use health::{Change, Condition, Entry, Health, State};
pub use metrics::{Counter, Gauge, Metrics, Page};
pub use server::serve;
pub use settings::StatusSettings;

/// Writes a part of `/diagnostics`.
type Diagnose = Box<dyn Fn(&mut Map<String, Value>) + Send + Sync>;

/// All that a program says of itself.
#[derive(Default)]
pub struct Status {
    health: Health,
    metrics: Metrics,
    diagnoses: std::sync::Mutex<Vec<Diagnose>>,
    page: OnceLock<page::Source>,
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Status").field("health", &self.health).finish_non_exhaustive()
    }
}

impl Status {
    /// Nothing said yet, but for how much is not well.
    pub fn new() -> Arc<Self> {
        let status = Self::default();
        let health = status.health.clone();
        status.metrics.collect(move |page| health.write(page));
        Arc::new(status)
    }

    /// What is well, and what isn't.
    pub const fn health(&self) -> &Health {
        &self.health
    }

    /// What is counted.
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Adds what `/diagnostics` shows. It is asked at each request, so it must not wait.
    pub fn diagnose(&self, write: impl Fn(&mut Map<String, Value>) + Send + Sync + 'static) {
        self.diagnoses.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(Box::new(write));
    }

    /// Has the page at `/` show this, and each change of it; the JSON is to have no line breaks. It is for this machine alone,
    /// unless it `is_public`. What was said first stays. Gives how many look at it, from now on: as long as nobody does, nothing need
    /// be shown.
    pub fn show_page(
        &self,
        shown: watch::Receiver<Option<Arc<RawValue>>>,
        is_public: bool,
    ) -> watch::Receiver<usize> {
        let (page, looks) = page::Source::new(shown, is_public);
        let _ = self.page.set(page);
        looks
    }

    fn page(&self) -> Option<&page::Source> {
        self.page.get()
    }

    /// What `/diagnostics` shows.
    pub fn diagnostics(&self) -> Value {
        let mut document = Map::new();
        for write in self.diagnoses.lock().unwrap_or_else(std::sync::PoisonError::into_inner).iter() {
            write(&mut document);
        }
        Value::Object(document)
    }
}
