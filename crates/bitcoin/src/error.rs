//! Why there is no usable answer: nothing may be concluded from it.

use std::time::Duration;

use bitcoin::{BlockHash, OutPoint, hashes::sha256};
use coxswain_rules::units::Height;

use crate::chain::{HeaderError, StaleError};

/// Why there is no usable answer: nothing may be concluded from it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// Nobody answers at the address.
    #[error("{method}: can't connect to {endpoint}: {cause}")]
    Unreachable {
        /// The method.
        method: &'static str,
        /// The endpoint's host and port.
        endpoint: String,
        /// The cause.
        cause: String,
    },
    /// The server's certificate is not one to trust. Nothing was sent.
    #[error("{method}: the certificate of {endpoint} {problem}; its SHA-256 is {fingerprint}")]
    Untrusted {
        /// The method.
        method: &'static str,
        /// The endpoint's host and port.
        endpoint: String,
        /// The SHA-256 of the certificate that it showed.
        fingerprint: sha256::Hash,
        /// Whether another certificate was named to be trusted.
        pinned: bool,
        /// The flaw.
        problem: String,
    },
    /// The connection was lost after the request was sent.
    #[error("{method}: the connection to {endpoint} was lost before the answer came: {cause}")]
    Interrupted {
        /// The method.
        method: &'static str,
        /// The endpoint's host and port.
        endpoint: String,
        /// The cause.
        cause: String,
    },
    /// No answer came in time.
    #[error("{method}: {endpoint} did not answer within {} s", deadline.as_secs_f32())]
    TimedOut {
        /// The method.
        method: &'static str,
        /// The endpoint's host and port.
        endpoint: String,
        /// How long was waited.
        deadline: Duration,
    },
    /// What the endpoint would admit us for can't be read. Nothing was sent.
    #[error("{method}: no user and password for {endpoint}: {cause}")]
    NoCredentials {
        /// The method.
        method: &'static str,
        /// The endpoint's host and port.
        endpoint: String,
        /// Why not.
        cause: String,
    },
    /// An HTTP status other than success.
    #[error("{method}: {endpoint} answered with HTTP status {status}")]
    Http {
        /// The method.
        method: &'static str,
        /// The endpoint's host and port.
        endpoint: String,
        /// The HTTP status.
        status: u16,
    },
    /// The answer is larger than anything that was asked for.
    #[error("{method}: the answer of {endpoint} is over {limit} bytes")]
    TooLarge {
        /// The method.
        method: &'static str,
        /// The endpoint's host and port.
        endpoint: String,
        /// How large an answer may be.
        limit: usize,
    },
    /// The answer is not what the protocol says it is, or contradicts itself.
    #[error("{method}: the answer of {endpoint} can't be used: {cause}")]
    Garbage {
        /// The method.
        method: &'static str,
        /// The endpoint's host and port.
        endpoint: String,
        /// Why not.
        cause: String,
    },
    /// The answers are of different moments: the chain has grown, or changed, between them.
    #[error("{method}: the chain changed while {endpoint} answered: {cause}")]
    Changed {
        /// The method.
        method: &'static str,
        /// The endpoint's host and port.
        endpoint: String,
        /// What doesn't fit.
        cause: String,
    },
    /// A JSON-RPC error.
    #[error("{method}: {endpoint} answered with error {code}: {message}")]
    Rpc {
        /// The method.
        method: &'static str,
        /// The endpoint's host and port.
        endpoint: String,
        /// The error's code.
        code: i64,
        /// The error's message.
        message: String,
    },
    /// The backend has no index of transactions, and finds one only by an unspent output: this one is spent, or was never
    /// there.
    #[error("{endpoint} keeps no index of transactions, and {outpoint} is spent or was never there")]
    Unindexed {
        /// The endpoint's host and port.
        endpoint: String,
        /// The output that was asked for.
        outpoint: OutPoint,
    },
    /// The endpoint is on another network.
    #[error("{endpoint} serves another chain: its genesis block is {actual}, not {expected}")]
    WrongNetwork {
        /// The endpoint's host and port.
        endpoint: String,
        /// What its genesis block is.
        actual: BlockHash,
        /// What it should be.
        expected: BlockHash,
    },
    /// The endpoint is behind another one.
    #[error("{endpoint} is at height {height}, while the best of the others is at {best}")]
    Behind {
        /// The endpoint's host and port.
        endpoint: String,
        /// Its newest block's height.
        height: Height,
        /// The greatest height of any endpoint.
        best: Height,
    },
    /// The endpoint is on a branch of the chain.
    #[error("{endpoint} is on a branch that leaves the chain with the most work at height {at}, {} blocks under its tip", best.saturating_since(*at))]
    Forked {
        /// The endpoint's host and port.
        endpoint: String,
        /// The last height that it shares with the chain.
        at: Height,
        /// The chain's height.
        best: Height,
    },
    /// The endpoint serves a relative of the chain, or makes one up.
    #[error("{endpoint} serves another chain: its block at height {height} is {actual}, not {expected}")]
    OtherChain {
        /// The endpoint's host and port.
        endpoint: String,
        /// The height.
        height: Height,
        /// Its block there.
        actual: BlockHash,
        /// What it should be.
        expected: BlockHash,
    },
    /// The endpoint shows a header that doesn't hold.
    #[error("{endpoint} shows a header that does not hold: {error}")]
    BadHeader {
        /// The endpoint's host and port.
        endpoint: String,
        /// What is wrong with the header.
        error: HeaderError,
    },
    /// The endpoint shows more headers than there can be.
    #[error("{endpoint} shows over {count} new headers, more than there can be by now")]
    TooManyHeaders {
        /// The endpoint's host and port.
        endpoint: String,
        /// How many there can be.
        count: u32,
    },
    /// The chain may not be the newest there is.
    #[error(transparent)]
    ChainStale(StaleError),
    /// The endpoint speaks a version of the protocol that isn't understood.
    #[error("{endpoint} speaks version {version} of Electrum's protocol, {} to {} are understood", understood[0], understood[1])]
    OtherVersion {
        /// The endpoint's host and port.
        endpoint: String,
        /// What it speaks.
        version: String,
        /// The oldest and the newest that are understood.
        understood: [&'static str; 2],
    },
    /// Servers contradict each other, and not enough of them say the same.
    #[error("{what}: {}", said.join(", "))]
    Contradiction {
        /// What about.
        what: String,
        /// Who says what.
        said: Vec<String>,
    },
    /// The endpoint's newest block is too old to be the newest.
    #[error("{endpoint} has no block of the last {} min: its newest is {} min old", bound.as_secs() / 60, age.as_secs() / 60)]
    Stale {
        /// The endpoint's host and port.
        endpoint: String,
        /// The newest block's age, by its timestamp.
        age: Duration,
        /// How old it may be.
        bound: Duration,
    },
    /// None of several endpoints has a usable answer.
    #[error("no Bitcoin endpoint gave an answer: {}", join(.0))]
    Exhausted(
        /// Why not, one for each.
        Vec<BackendError>,
    ),
}

impl BackendError {
    /// A stable name for the kind of failure, for programs.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Untrusted { .. } => "untrusted-certificate",
            Self::Interrupted { .. } => "interrupted",
            Self::TimedOut { .. } => "timed-out",
            Self::NoCredentials { .. } => "no-credentials",
            Self::Http { .. } => "http-status",
            Self::TooLarge { .. } => "too-large",
            Self::Garbage { .. } => "garbage",
            Self::Changed { .. } => "changed",
            Self::Rpc { .. } => "rpc-error",
            Self::Unindexed { .. } => "unindexed",
            Self::WrongNetwork { .. } => "wrong-network",
            Self::Behind { .. } => "behind",
            Self::Forked { .. } => "forked",
            Self::OtherChain { .. } => "wrong-network",
            Self::BadHeader { .. } => "bad-header",
            Self::TooManyHeaders { .. } => "too-many-headers",
            Self::OtherVersion { .. } => "other-version",
            Self::Contradiction { .. } => "contradiction",
            Self::Stale { .. } | Self::ChainStale(_) => "stale",
            Self::Exhausted(_) => "exhausted",
        }
    }

    /// Host and port of the endpoint that it is about; `None` if it is about no one alone.
    pub fn endpoint(&self) -> Option<&str> {
        match self {
            Self::Unreachable { endpoint, .. }
            | Self::Untrusted { endpoint, .. }
            | Self::Interrupted { endpoint, .. }
            | Self::TimedOut { endpoint, .. }
            | Self::NoCredentials { endpoint, .. }
            | Self::Http { endpoint, .. }
            | Self::TooLarge { endpoint, .. }
            | Self::Garbage { endpoint, .. }
            | Self::Changed { endpoint, .. }
            | Self::Rpc { endpoint, .. }
            | Self::Unindexed { endpoint, .. }
            | Self::WrongNetwork { endpoint, .. }
            | Self::Behind { endpoint, .. }
            | Self::Forked { endpoint, .. }
            | Self::OtherChain { endpoint, .. }
            | Self::BadHeader { endpoint, .. }
            | Self::TooManyHeaders { endpoint, .. }
            | Self::OtherVersion { endpoint, .. }
            | Self::Stale { endpoint, .. } => Some(endpoint),
            Self::ChainStale(_) | Self::Contradiction { .. } | Self::Exhausted(_) => None,
        }
    }

    /// Whether the same request may well succeed a moment later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Interrupted { .. }
            | Self::TimedOut { .. }
            | Self::NoCredentials { .. }
            | Self::Changed { .. }
            | Self::Behind { .. }
            | Self::Forked { .. }
            | Self::Contradiction { .. } => true,
            Self::Http { status, .. } => *status == 408 || *status == 429 || *status >= 500,
            // Bitcoin Core while it warms up; an Electrum server that is busy (JSON-RPC server error range).
            Self::Rpc { code, .. } => matches!(code, -28 | -102 | -101),
            Self::Untrusted { .. }
            | Self::TooLarge { .. }
            | Self::Garbage { .. }
            | Self::Unindexed { .. }
            | Self::WrongNetwork { .. }
            | Self::OtherChain { .. }
            | Self::BadHeader { .. }
            | Self::TooManyHeaders { .. }
            | Self::OtherVersion { .. }
            | Self::ChainStale(_)
            | Self::Stale { .. } => false,
            Self::Exhausted(causes) => causes.iter().any(Self::is_retryable),
        }
    }
}

fn join(causes: &[BackendError]) -> String {
    causes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
