//! One server, behind one address or more of its host: asked again when it fails in passing, and left alone while it is down.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use bitcoin::BlockHash;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep};

use super::exhausted;
use crate::{BackendError, Endpoint, Server};

/// How often a request that failed in passing is tried again.
const RETRIES: usize = 1;
/// The pause before that; jittered.
const PAUSE: Duration = Duration::from_millis(200);

/// A server.
#[derive(Debug)]
pub(super) struct Member {
    doors: Vec<Door>,
    speech: Mutex<Speech>,
}

/// Whether it has given answers that were understood.
#[derive(Debug, Default)]
struct Speech {
    has_begun: bool,
    /// When it was first asked since the last such answer.
    asked_at: Option<Instant>,
}

/// One of a server's addresses.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) endpoint: Endpoint,
    /// Whether its genesis block is the right one, once that was asked.
    is_checked: AtomicBool,
    /// Why it isn't asked, and until when.
    rest: Mutex<Option<(Instant, BackendError)>>,
}

/// Which chain a server must follow, and how long it is left alone after a failure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) genesis: BlockHash,
    pub(super) rest: Duration,
    /// Whether those are asked, too, that rest.
    pub(super) wakes: bool,
}

impl Member {
    pub(super) fn new(endpoints: Vec<Endpoint>) -> Self {
        let door = |endpoint| Door { endpoint, is_checked: AtomicBool::new(false), rest: Mutex::default() };
        Self { doors: endpoints.into_iter().map(door).collect(), speech: Mutex::default() }
    }

    pub(super) fn doors(&self) -> &[Door] {
        &self.doors
    }

    /// Host and port of its first address.
    pub(super) fn name(&self) -> &str {
        self.doors.first().map(|door| door.endpoint.name()).unwrap_or_default()
    }

    /// Whether it has given an answer to anything that was understood, and not fallen silent since, for this long: a program
    /// that runs for months must not wait for a server that is gone.
    pub(super) fn has_spoken(&self, silent_after: Duration) -> bool {
        let speech = self.speech();
        speech.has_begun && speech.asked_at.is_none_or(|asked_at| asked_at.elapsed() < silent_after)
    }

    fn speech(&self) -> MutexGuard<'_, Speech> {
        self.speech.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn rests(&self) -> bool {
        self.doors.iter().all(|door| door.cause_of_rest().is_some())
    }

    /// Asks, by the first address that has an answer.
    pub(super) async fn ask<'a, T>(
        &'a self,
        terms: Terms,
        ask: &(impl Fn(&'a Endpoint) -> BoxFuture<'a, Result<T, BackendError>> + Sync),
    ) -> Result<T, BackendError> {
        self.speech().asked_at.get_or_insert_with(Instant::now);
        let mut causes = Vec::new();
        for door in &self.doors {
            match door.ask(terms, ask).await {
                Ok(answer) => {
                    *self.speech() = Speech { has_begun: true, asked_at: None };
                    return Ok(answer);
                }
                // A refusal says nothing against the server, and another address of it refuses likewise.
                Err(refusal @ BackendError::Rpc { .. }) => return Err(refusal),
                Err(cause) => causes.push(cause),
            }
        }
        Err(exhausted(causes))
    }
}

impl Door {
    fn slot(&self) -> std::sync::MutexGuard<'_, Option<(Instant, BackendError)>> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cause_of_rest(&self) -> Option<BackendError> {
        let slot = self.slot();
        slot.as_ref().filter(|(until, _)| Instant::now() < *until).map(|(_, cause)| cause.clone())
    }

    /// Asks it, unless it rests. What fails in passing is tried again; what fails rests.
    pub(super) async fn ask<'a, T>(
        &'a self,
        terms: Terms,
        ask: &(impl Fn(&'a Endpoint) -> BoxFuture<'a, Result<T, BackendError>> + Sync),
    ) -> Result<T, BackendError> {
        if let Some(cause) = self.cause_of_rest().filter(|_| !terms.wakes) {
            return Err(cause);
        }
        let mut pauses =
            ExponentialBuilder::default().with_min_delay(PAUSE).with_max_times(RETRIES).with_jitter().build();
        let outcome = loop {
            let outcome = match self.check(terms.genesis).await {
                Ok(()) => ask(&self.endpoint).await,
                Err(problem) => Err(problem),
            };
            match (outcome, pauses.next()) {
                (Err(error), Some(pause)) if error.is_retryable() => sleep(pause).await,
                (outcome, _) => break outcome,
            }
        };
        *self.slot() = match &outcome {
            Ok(_) | Err(BackendError::Rpc { .. }) => None,
            Err(cause) => Some((Instant::now() + terms.rest, cause.clone())),
        };
        outcome
    }

    /// That it serves the right network, asked once.
    async fn check(&self, expected: BlockHash) -> Result<(), BackendError> {
        if self.is_checked.load(Ordering::Relaxed) {
            return Ok(());
        }
        let actual = self.endpoint.genesis().await?;
        if actual != expected {
            let endpoint = self.endpoint.name().to_owned();
            return Err(BackendError::WrongNetwork { endpoint, actual, expected });
        }
        self.is_checked.store(true, Ordering::Relaxed);
        Ok(())
    }
}
