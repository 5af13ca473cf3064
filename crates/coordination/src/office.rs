//! What all executors share.

use std::{fmt, sync::Arc, time::Duration};

use coxswain_protocol::WindowResult;
use coxswain_rules::units::UnixTime;
use tokio::sync::mpsc;

use crate::{Metrics, shared::Shared};

/// How a coordinator works.
#[derive(Clone)]
pub struct Settings {
    /// How many questions, over all wallets, may be worked on at once.
    pub places: usize,
    /// How long to wait for the journal, and for a server that is asked for a hash.
    pub patience: Duration,
    /// The clock, in seconds. Sequence numbers begin with it.
    pub clock: Arc<dyn Fn() -> UnixTime + Send + Sync>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { places, patience, .. } = self;
        f.debug_struct("Settings").field("places", places).field("patience", patience).finish_non_exhaustive()
    }
}

/// What all executors share.
#[derive(Debug)]
pub(crate) struct Office<A, J> {
    pub(crate) shared: Shared<A>,
    pub(crate) journal: J,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) results: mpsc::Sender<Arc<WindowResult>>,
    pub(crate) settings: Settings,
}
