//! Why a request has no usable answer, and why an endpoint is not asked at all.

use alloy::primitives::Address;

use super::{block::Block, refusal::Refusal, revert::revert_of};

/// The codes of an exceeded limit: EIP-1474's, and hosted endpoints' own.
const BUSY: [i64; 3] = [-32005, -32007, 429];

/// Why a request has no usable answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Nobody answers at the address.
    #[error("{method}: can't connect to {endpoint}: {cause}")]
    Unreachable {
        /// The JSON-RPC method.
        method: &'static str,
        /// The endpoint's host and port.
        endpoint: String,
        /// What went wrong.
        cause: String,
    },
    /// The connection was lost after the request was sent.
    #[error("{method}: the connection to {endpoint} was lost before the answer came: {cause}")]
    Interrupted {
        /// The JSON-RPC method.
        method: &'static str,
        /// The endpoint's host and port.
        endpoint: String,
        /// What went wrong.
        cause: String,
    },
    /// No answer came in time.
    #[error("{method}: {endpoint} did not answer within {seconds} s")]
    TimedOut {
        /// The JSON-RPC method.
        method: &'static str,
        /// The endpoint's host and port.
        endpoint: String,
        /// How long was waited.
        seconds: u64,
    },
    /// An HTTP status other than success.
    #[error("{method}: {endpoint} answered with HTTP status {status}{}", behind_colon(.body))]
    Http {
        /// The JSON-RPC method.
        method: &'static str,
        /// The endpoint's host and port.
        endpoint: String,
        /// The HTTP status.
        status: u16,
        /// The beginning of the body.
        body: String,
    },
    /// The answer is not what JSON-RPC or the method says it is.
    #[error("{method}: the answer of {endpoint} can't be understood ({cause}): {answer:?}")]
    Garbage {
        /// The JSON-RPC method.
        method: &'static str,
        /// The endpoint's host and port.
        endpoint: String,
        /// Why not.
        cause: String,
        /// The beginning of the answer.
        answer: String,
    },
    /// No endpoint is fit to be asked.
    #[error("{}", listed(.0))]
    NoneFit(Vec<Unfit>),
    /// A JSON-RPC error.
    #[error("{method}: {endpoint} answered with error {code}: {message}")]
    Rpc {
        /// The JSON-RPC method.
        method: &'static str,
        /// The endpoint's host and port.
        endpoint: String,
        /// The error's code.
        code: i64,
        /// The error's message.
        message: String,
        /// The error's data, as JSON text.
        data: Option<String>,
    },
}

impl RequestError {
    /// A stable name for the kind of failure, for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Interrupted { .. } => "interrupted",
            Self::TimedOut { .. } => "timed-out",
            Self::Http { .. } => "http-status",
            Self::Garbage { .. } => "garbage",
            Self::NoneFit(unfit) => match unfit.split_first() {
                Some((first, rest)) if rest.iter().all(|other| first.kind() == other.kind()) => first.kind(),
                _ => "none-fit",
            },
            Self::Rpc { .. } => "rpc-error",
        }
    }

    /// Whether the same request may well succeed a moment later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Interrupted { .. } | Self::TimedOut { .. } => true,
            Self::Http { status, .. } => *status == 408 || *status == 429 || *status >= 500,
            Self::Garbage { .. } => false,
            Self::NoneFit(unfit) => unfit.iter().any(Unfit::is_retryable),
            // A range of blocks won't become narrower.
            Self::Rpc { message, .. } if is_refusal(message) => false,
            // Or a block that has not reached the node behind a load balancer yet.
            Self::Rpc { code, message, .. } => {
                BUSY.contains(code) || message.to_ascii_lowercase().contains("header not found")
            }
        }
    }

    /// Whether another endpoint may well give an answer where this one gave none.
    pub(crate) fn may_pass_elsewhere(&self) -> bool {
        match self {
            // A contract's *no* is an answer, and a width is for the asker to narrow.
            Self::Rpc { code, message, data, .. } => {
                revert_of(*code, message, data.as_deref()).is_none() && !is_refusal(message)
            }
            Self::Http { status, .. } => *status != 413,
            _ => true,
        }
    }

    /// What the endpoint refused to answer for a range of blocks, if that is why there is no answer.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Rpc { code, message, data, .. } => {
                let text = format!("{message} {}", data.as_deref().unwrap_or_default());
                // A limit exceeded (EIP-1474) that did not pass with time: some endpoints say no more.
                Refusal::told(&text).or((*code == -32005).then_some(Refusal::TooMuch { allowed: None }))
            }
            // The request was too much for the endpoint, or for a proxy before it (524 is Cloudflare's).
            Self::TimedOut { .. } | Self::Http { status: 413 | 504 | 524, .. } => {
                Some(Refusal::TooMuch { allowed: None })
            }
            _ => None,
        }
    }

    /// Whether the endpoint itself is at fault, rather than what it was asked for.
    pub(crate) fn is_endpoints_fault(&self) -> bool {
        match self {
            Self::Rpc { code, .. } => BUSY.contains(code),
            Self::NoneFit(_) => false,
            _ => true,
        }
    }
}

/// Why an endpoint is not to be asked: offline, on another chain, behind and without the contracts differ.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// It gave no usable answer.
    #[error(transparent)]
    Failed(Box<RequestError>),
    /// It serves a chain that is not the network's.
    #[error("{endpoint} serves chain {actual}, which is not {network}")]
    WrongNetwork {
        /// The endpoint's host and port.
        endpoint: String,
        /// The network asked for.
        network: &'static str,
        /// The chain id found.
        actual: u64,
    },
    /// It serves another chain than the endpoint before it.
    #[error("{endpoint} serves chain {actual}, expected chain {expected}")]
    WrongChain {
        /// The endpoint's host and port.
        endpoint: String,
        /// The chain id of the others.
        expected: u64,
        /// The chain id found.
        actual: u64,
    },
    /// It is behind the others.
    #[error("{endpoint} is behind: its newest block is {head}, another endpoint's is {best}")]
    Behind {
        /// The endpoint's host and port.
        endpoint: String,
        /// The height of its newest block.
        head: u64,
        /// The height of the newest block of all.
        best: u64,
    },
    /// Its newest block is old.
    #[error("{endpoint} is behind: its newest block, {head}, is {age} s old")]
    Stale {
        /// The endpoint's host and port.
        endpoint: String,
        /// The height of its newest block.
        head: u64,
        /// The block's age in seconds.
        age: u64,
    },
    /// There is no contract where one should be.
    #[error("{endpoint} has no code at {address}")]
    NoCode {
        /// The endpoint's host and port.
        endpoint: String,
        /// Where a contract should be.
        address: Address,
    },
    /// It doesn't have the block that is read at.
    #[error("{endpoint} has no {block}")]
    NoBlock {
        /// The endpoint's host and port.
        endpoint: String,
        /// The block.
        block: Block,
    },
}

impl Unfit {
    /// A stable name for the reason, for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Failed(error) => error.kind(),
            Self::WrongNetwork { .. } | Self::WrongChain { .. } => "wrong-chain",
            Self::Behind { .. } | Self::Stale { .. } => "behind",
            Self::NoCode { .. } => "no-code",
            Self::NoBlock { .. } => "no-block",
        }
    }

    fn is_retryable(&self) -> bool {
        match self {
            Self::Failed(error) => error.is_retryable(),
            Self::NoBlock { .. } => true,
            _ => false,
        }
    }
}

fn listed(unfit: &[Unfit]) -> String {
    match unfit {
        [one] => one.to_string(),
        several => {
            let reasons: Vec<_> = several.iter().map(ToString::to_string).collect();
            format!("no endpoint is fit to be asked: {}", reasons.join("; "))
        }
    }
}
/// Whether a message says that too many blocks were asked for at once.
pub(crate) fn is_refusal(message: &str) -> bool {
    Refusal::told(message).is_some()
}

/// A text behind a colon, or nothing for none.
fn behind_colon(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}
