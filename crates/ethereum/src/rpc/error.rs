//! Why a request has no usable answer, and why an endpoint is not asked at all.

use std::time::Duration;

use alloy::primitives::Address;
use coxswain_rules::units::BlockNumber;

use super::{block::Block, refusal::Refusal, revert::revert_of};

/// The codes of an exceeded limit: EIP-1474's, and hosted endpoints' own.
const BUSY: [i64; 7] = [-32005, -32007, -32012, -32016, -32029, -32090, 429];
/// Words of an exceeded limit.
const BUSY_WORDS: [&str; 5] =
    ["rate limit", "too many requests", "credits limit", "compute units", "request limit"];
/// Words of an answer that took too long.
const LATE_WORDS: [&str; 4] = ["timeout", "timed out", "time out", "deadline exceeded"];
/// Words for a block that has not reached the node behind a load balancer yet.
const NOT_THERE_WORDS: [&str; 5] = [
    "header not found",
    "unknown block",
    "could not be found",
    "not have the requested block",
    "block is not available",
];
/// Words for a block's hash where a number or a tag is expected.
const NO_HASH_WORDS: [&str; 4] =
    ["cannot unmarshal object", "invalid argument", "invalid params", "invalid block"];
/// How much of what an endpoint says is shown, in characters.
const SHOWN: usize = 500;

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
        /// The cause.
        cause: String,
    },
    /// The connection was lost after the request was sent.
    #[error("{method}: the connection to {endpoint} was lost before the answer came: {cause}")]
    Interrupted {
        /// The JSON-RPC method.
        method: &'static str,
        /// The endpoint's host and port.
        endpoint: String,
        /// The cause.
        cause: String,
    },
    /// No answer came in time.
    #[error("{method}: {endpoint} did not answer within {deadline:?}")]
    TimedOut {
        /// The JSON-RPC method.
        method: &'static str,
        /// The endpoint's host and port.
        endpoint: String,
        /// How long was waited.
        deadline: Duration,
    },
    /// An HTTP status other than success.
    #[error("{method}: {endpoint} answered with HTTP status {status}{}", behind_colon(&shown(.body)))]
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
    /// The answer is larger than any that is read.
    #[error("{method}: the answer of {endpoint} is larger than {limit} bytes")]
    TooLarge {
        /// The JSON-RPC method.
        method: &'static str,
        /// The endpoint's host and port.
        endpoint: String,
        /// How large an answer may be, in bytes.
        limit: usize,
    },
    /// No endpoint is fit to be asked.
    #[error("{}", listed(.0))]
    NoneFit(Vec<UnfitError>),
    /// Too few servers say the same.
    #[error("{method}: fewer than {required} servers say the same: {said}")]
    NotAgreed {
        /// The JSON-RPC method.
        method: &'static str,
        /// How many are needed.
        required: usize,
        /// Each server's answer.
        said: String,
    },
    /// A JSON-RPC error.
    #[error("{method}: {endpoint} answered with error {code}: {}", shown(.message))]
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
            Self::TooLarge { .. } => "too-large",
            Self::NotAgreed { .. } => "not-agreed",
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
            Self::Garbage { .. } | Self::TooLarge { .. } => false,
            Self::NotAgreed { .. } => true,
            Self::NoneFit(unfit) => unfit.iter().any(UnfitError::is_retryable),
            // A range of blocks won't become narrower.
            Self::Rpc { method, message, .. } if Self::is_of_logs(method) && is_refusal(message) => false,
            Self::Rpc { code, message, data, .. } => {
                revert_of(*code, message, data.as_deref()).is_none()
                    && (is_busy(*code, message)
                        || says(message, &LATE_WORDS)
                        || says_block_not_there(message))
            }
        }
    }

    /// Whether it is something untrue, or of another chain, rather than nothing.
    pub(crate) fn is_false(&self) -> bool {
        match self {
            Self::Garbage { .. } => true,
            Self::NoneFit(unfit) => unfit.iter().any(|unfit| {
                matches!(unfit, UnfitError::WrongChain { .. } | UnfitError::WrongNetwork { .. })
            }),
            _ => false,
        }
    }

    /// Whether another endpoint may well give an answer where this one gave none.
    pub(crate) fn may_pass_elsewhere(&self) -> bool {
        match self {
            // A contract's reason is an answer, and a width is for the asker to narrow. A revert without a reason is what a
            // node says of state that it has pruned, too.
            Self::Rpc { method, code, message, data, .. } => {
                match revert_of(*code, message, data.as_deref()) {
                    Some(reason) => reason.is_empty(),
                    None => !(Self::is_of_logs(method) && is_refusal(message)),
                }
            }
            Self::Http { status, .. } => *status != 413,
            Self::TooLarge { method, .. } => !Self::is_of_logs(method),
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
            Self::TimedOut { .. } | Self::TooLarge { .. } | Self::Http { status: 413 | 504 | 524, .. } => {
                Some(Refusal::TooMuch { allowed: None })
            }
            _ => None,
        }
    }

    /// Whether the endpoint itself is at fault, rather than what it was asked for.
    pub(crate) fn is_endpoints_fault(&self) -> bool {
        match self {
            Self::Rpc { code, message, data, .. } => {
                revert_of(*code, message, data.as_deref()).is_none()
                    && (is_busy(*code, message) || says(message, &LATE_WORDS))
            }
            Self::NoneFit(_) | Self::NotAgreed { .. } => false,
            _ => true,
        }
    }

    /// Why nobody gives a usable answer, in the servers' order.
    pub(crate) fn of_all(failures: impl IntoIterator<Item = Self>) -> Self {
        let mut failures: Vec<_> = failures.into_iter().collect();
        match (failures.len(), failures.pop()) {
            (1, Some(only)) => only,
            (_, last) => {
                let failed = failures.into_iter().chain(last).flat_map(|error| match error {
                    Self::NoneFit(unfit) => unfit,
                    error => vec![UnfitError::Failed(Box::new(error))],
                });
                Self::NoneFit(failed.collect())
            }
        }
    }

    /// Whether this is what is said of a call to where there is no code, too.
    pub(crate) fn may_be_for_lack_of_code(&self) -> bool {
        match self {
            Self::Garbage { .. } | Self::Rpc { .. } | Self::NotAgreed { .. } => true,
            Self::NoneFit(unfit) => unfit.iter().any(|unfit| match unfit {
                UnfitError::Failed(error) => error.may_be_for_lack_of_code(),
                _ => false,
            }),
            _ => false,
        }
    }

    /// Whether it is a revert without a reason.
    pub(crate) fn is_bare_revert(&self) -> bool {
        match self {
            Self::Rpc { code, message, data, .. } => {
                revert_of(*code, message, data.as_deref()).is_some_and(|reason| reason.is_empty())
            }
            _ => false,
        }
    }

    /// Whether a method asks for logs: only there do some words refuse a range of blocks.
    pub(crate) fn is_of_logs(method: &str) -> bool {
        method == "eth_getLogs"
    }
}

/// Why an endpoint is not to be asked: offline, on another chain, behind and without the contracts differ.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnfitError {
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
        /// The number of its newest block.
        head: BlockNumber,
        /// The number of the newest block of all.
        best: BlockNumber,
    },
    /// Its newest block is old.
    #[error("{endpoint} is behind: its newest block, {head}, is {age} s old")]
    Stale {
        /// The endpoint's host and port.
        endpoint: String,
        /// The number of its newest block.
        head: BlockNumber,
        /// The block's age in seconds.
        age: u64,
    },
    /// There is no contract where one should be.
    #[error("{endpoint} has no code at {address}")]
    NoCode {
        /// The endpoint's host and port.
        endpoint: String,
        /// The address of the contract.
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

impl UnfitError {
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

fn listed(unfit: &[UnfitError]) -> String {
    match unfit {
        [one] => one.to_string(),
        several => {
            let reasons: Vec<_> = several.iter().map(ToString::to_string).collect();
            format!("no endpoint is fit to be asked: {}", reasons.join("; "))
        }
    }
}

/// Whether an endpoint takes no block by its hash (EIP-1898).
pub(crate) fn takes_no_hash(error: &RequestError) -> bool {
    /// The code of parameters that are not understood.
    const INVALID_PARAMS: i64 = -32602;
    match error {
        RequestError::Rpc { code, message, data, .. } => {
            revert_of(*code, message, data.as_deref()).is_none()
                && (*code == INVALID_PARAMS || says(message, &NO_HASH_WORDS))
        }
        _ => false,
    }
}

/// Whether an endpoint says that it has too much to do.
fn is_busy(code: i64, message: &str) -> bool {
    BUSY.contains(&code) || says(message, &BUSY_WORDS)
}

/// Whether a message says that the endpoint doesn't have the block that it was asked about.
fn says_block_not_there(message: &str) -> bool {
    let text = message.to_ascii_lowercase();
    // `block 1111… not found`, `block not found: hash …`; but `the method eth_getBlockByHash was not found`.
    let by_name = text.contains("block") && text.contains("not found") && !text.contains("method");
    by_name || says(&text, &NOT_THERE_WORDS)
}

/// Whether a message has any of these words, whatever their case.
fn says(message: &str, words: &[&str]) -> bool {
    let text = message.to_ascii_lowercase();
    words.iter().any(|word| text.contains(word))
}

/// What an endpoint says, as it is shown: cut, and with control characters escaped.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    for (index, character) in text.chars().enumerate() {
        if index == SHOWN {
            shown.push('…');
            break;
        }
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Whether a message says that too many blocks were asked for at once.
pub(crate) fn is_refusal(message: &str) -> bool {
    Refusal::told(message).is_some()
}

/// A text behind a colon, or nothing for none.
fn behind_colon(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}
