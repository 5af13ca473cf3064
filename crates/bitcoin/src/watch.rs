//! Who watches what is asked, to tell a person what is awaited, and to give up when nobody answers.

use std::{fmt, pin::pin, sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};

use crate::BackendError;

/// What is asked and answered, as somebody watches it who also says when to give up. Others may be watched by the same.
pub trait Watcher: fmt::Debug + Send + Sync {
    /// A question is asked, which is open until what this returns is dropped.
    fn asked(&self, method: &'static str, endpoint: &str) -> Box<dyn Send + '_>;

    /// An answer was understood.
    fn answered(&self);

    /// When to give up, as things stand; `None` if never.
    fn gives_up_at(&self) -> Option<Instant>;

    /// For how long no answer may be understood.
    fn patience(&self) -> Duration;
}

/// Whether anybody watches an endpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch(pub(crate) Option<Arc<dyn Watcher>>);

impl Watch {
    /// What comes of the exchange, unless it is given up.
    pub(crate) async fn over<T>(
        &self,
        method: &'static str,
        endpoint: &str,
        exchange: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let Some(watcher) = &self.0 else { return exchange.await };
        let _open = watcher.asked(method, endpoint);
        let mut exchange = pin!(exchange);
        let outcome = loop {
            let Some(deadline) = watcher.gives_up_at() else { break exchange.await };
            if Instant::now() >= deadline {
                let (endpoint, deadline) = (endpoint.to_owned(), watcher.patience());
                return Err(BackendError::TimedOut { method, endpoint, deadline });
            }
            // It may be later by then, as others answer.
            if let Ok(outcome) = timeout_at(deadline, &mut exchange).await {
                break outcome;
            }
        };
        if outcome.is_ok() {
            watcher.answered();
        }
        outcome
    }
}
