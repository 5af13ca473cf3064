//! How long an answer may take and how large it may be.

use std::time::Duration;

/// How long an answer may take and how large it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long connecting may take, TLS included.
    pub connect: Duration,
    /// How long a batch may take, from its first byte sent to its last one received.
    pub answer: Duration,
    /// How large one message of the endpoint may be, in bytes. The largest that is honest is a transaction of 4 million
    /// weight units, written in hex and decoded beside it.
    pub bytes: usize,
    /// How many requests go into one batch.
    pub batch: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), answer: Duration::from_secs(30), bytes: 32 << 20, batch: 100 }
    }
}
