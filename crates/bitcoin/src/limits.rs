//! How long an answer may take and how large it may be.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

/// How many answers are received at once, of all servers: with the largest allowed, 48 MiB.
static IN_FLIGHT: Semaphore = Semaphore::const_new(6);

/// A place for an answer that has begun to come.
pub(crate) async fn place_in_flight() -> Option<SemaphorePermit<'static>> {
    // It is never closed.
    IN_FLIGHT.acquire().await.ok()
}

/// How long an answer may take and how large it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long connecting may take, TLS included.
    pub connect: Duration,
    /// How long a batch may take, from its first byte sent to its last one received.
    pub answer: Duration,
    /// How large one answer may be, in bytes. What is larger is asked for in smaller batches; the largest that is honest is a
    /// block of 4 million bytes, written in hex.
    pub bytes: usize,
    /// How many requests go into one batch.
    pub batch: usize,
}

impl Limits {
    /// The usual ones, but for how long an answer may take, if that is said: connecting takes no longer.
    pub fn answering_in(answer: Option<Duration>) -> Self {
        let usual = Self::default();
        let answer = answer.unwrap_or(usual.answer);
        Self { answer, connect: usual.connect.min(answer), ..usual }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), answer: Duration::from_secs(15), bytes: 8 << 20, batch: 100 }
    }
}
