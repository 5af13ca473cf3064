//! One JSON-RPC endpoint: every request has a deadline, and what failed in passing is asked again with jitter.
//!
//! Only reads go through here, so that asking twice does no harm.

use std::{error::Error as StdError, time::Duration};

use alloy::{
    consensus::Header,
    primitives::U64,
    rpc::{
        client::RpcClient,
        json_rpc::{ErrorPayload, RpcError, RpcRecv, RpcSend},
        types::Header as RpcHeader,
    },
    transports::{TransportError, TransportErrorKind, http::reqwest},
};
use backon::{ExponentialBuilder, Retryable};
use serde::Deserialize;
use url::Url;

use crate::{
    block::{Block, BlockSelector, RpcBlock},
    log_ranges::Refusal,
    network::Network,
    validator::Undecided,
};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one attempt at a request may take, the answer included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Attempts after the first.
const RETRIES: usize = 2;
/// The pause before the first retry; doubled for the next, and jittered.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// How much of an unexpected answer an error shows, in characters.
const EXCERPT: usize = 200;

/// Why there is no endpoint to ask.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL's scheme can't be spoken.
    #[error("only http and https are supported, not {0}")]
    Scheme(String),
    /// The HTTP client can't be set up.
    #[error("the HTTP client can't be set up")]
    Client(#[source] reqwest::Error),
}

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
    #[error("{method}: {endpoint} did not answer within {} s", REQUEST_TIMEOUT.as_secs())]
    TimedOut {
        /// The JSON-RPC method.
        method: &'static str,
        /// The endpoint's host and port.
        endpoint: String,
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
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Interrupted { .. } => "interrupted",
            Self::TimedOut { .. } => "timed-out",
            Self::Http { .. } => "http-status",
            Self::Garbage { .. } => "garbage",
            Self::Rpc { .. } => "rpc-error",
        }
    }

    /// Whether the same request may well succeed a moment later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Interrupted { .. } | Self::TimedOut { .. } => true,
            Self::Http { status, .. } => *status == 408 || *status == 429 || *status >= 500,
            Self::Garbage { .. } => false,
            // A range of blocks won't become narrower.
            Self::Rpc { message, .. } if is_refusal(message) => false,
            // Limits exceeded (EIP-1474, and a hosted endpoint's own code), or a block that has not reached the node
            // behind a load balancer yet.
            Self::Rpc { code, message, .. } => {
                matches!(code, -32005 | -32007 | 429)
                    || message.to_ascii_lowercase().contains("header not found")
            }
        }
    }
}

/// One JSON-RPC endpoint over HTTP.
#[derive(Clone, Debug)]
pub struct Endpoint {
    client: RpcClient,
    name: String,
}

impl Endpoint {
    /// An endpoint at the URL. Nothing is sent yet.
    ///
    /// # Errors
    /// When the URL is not http or https, or the HTTP client can't be set up.
    pub fn new(url: Url) -> Result<Self, ConnectError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(ConnectError::Scheme(url.scheme().to_owned()));
        }
        // Errors name host and port only: the rest of a URL may hold a key.
        let host = url.host_str().unwrap_or_default();
        let name =
            url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .build()
            .map_err(ConnectError::Client)?;
        Ok(Self { client: RpcClient::new_http_with_client(http, url), name })
    }

    /// The endpoint's host and port.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The chain that the endpoint serves.
    ///
    /// # Errors
    /// When the endpoint gives no usable answer.
    pub async fn chain_id(&self) -> Result<u64, RequestError> {
        self.request::<_, U64>("eth_chainId", ()).await.map(|id| id.to())
    }

    /// Whether a chain id is one of the network's.
    ///
    /// # Errors
    /// [`Undecided::WrongNetwork`], naming this endpoint.
    pub fn require_network(&self, chain_id: u64, network: Network) -> Result<(), Undecided> {
        if network.chain_ids().contains(&chain_id) {
            return Ok(());
        }
        Err(Undecided::WrongNetwork {
            endpoint: self.name.clone(),
            network: network.name(),
            actual: chain_id,
        })
    }

    /// The block that the selector names now; none when the endpoint has no such block.
    ///
    /// # Errors
    /// When the endpoint gives no usable answer.
    pub async fn block(&self, selector: BlockSelector) -> Result<Option<Block>, RequestError> {
        let block: Option<RpcBlock> = match selector {
            BlockSelector::Hash(hash) => self.request("eth_getBlockByHash", (hash, false)).await?,
            BlockSelector::Number(number) => {
                self.request("eth_getBlockByNumber", (U64::from(number), false)).await?
            }
            tag => self.request("eth_getBlockByNumber", (tag.to_string(), false)).await?,
        };
        Ok(block.map(Into::into))
    }

    /// The header of the block at this height; none when the endpoint has no such block.
    ///
    /// # Errors
    /// When the endpoint gives no usable answer: a header whose fields don't hash to the hash that comes with it is
    /// none, as it has fields that we don't know.
    pub async fn header(&self, number: u64) -> Result<Option<Header>, RequestError> {
        const METHOD: &str = "eth_getBlockByNumber";
        let block: Option<RpcHeader> = self.request(METHOD, (U64::from(number), false)).await?;
        let Some(RpcHeader { hash, inner, .. }) = block else { return Ok(None) };
        let actual = inner.hash_slow();
        if actual == hash && inner.number == number {
            return Ok(Some(inner));
        }
        Err(RequestError::Garbage {
            method: METHOD,
            endpoint: self.name.clone(),
            cause: format!("the header of block {} hashes to {actual}", inner.number),
            answer: format!("block {number}, {hash}"),
        })
    }

    /// Sends a request that only reads, and sends it again when it failed in passing.
    ///
    /// # Errors
    /// The last attempt's error.
    pub async fn request<Params, Answer>(
        &self,
        method: &'static str,
        params: Params,
    ) -> Result<Answer, RequestError>
    where
        Params: RpcSend + 'static,
        Answer: RpcRecv,
    {
        let attempt = || async {
            self.client
                .request::<Params, Answer>(method, params.clone())
                .await
                .map_err(|error| self.classify(method, error))
        };
        attempt
            .retry(
                ExponentialBuilder::default()
                    .with_min_delay(FIRST_PAUSE)
                    .with_max_times(RETRIES)
                    .with_jitter(),
            )
            .when(RequestError::is_retryable)
            .await
    }

    fn classify(&self, method: &'static str, error: TransportError) -> RequestError {
        let endpoint = self.name.clone();
        let garbage = |cause: String, answer: &str| RequestError::Garbage {
            method,
            endpoint: endpoint.clone(),
            cause,
            answer: excerpt(answer),
        };
        let answered = |payload: ErrorPayload| RequestError::Rpc {
            method,
            endpoint: endpoint.clone(),
            code: payload.code,
            message: payload.message.into_owned(),
            data: payload.data.map(|data| data.get().to_owned()),
        };
        match error {
            RpcError::ErrorResp(payload) => answered(payload),
            RpcError::NullResp => garbage("null".to_owned(), "null"),
            RpcError::DeserError { err, text } => garbage(err.to_string(), &text),
            RpcError::Transport(
                TransportErrorKind::HttpError(http)
                | TransportErrorKind::HttpErrorWithRetryAfter { error: http, .. },
            ) => {
                let plain = RequestError::Http {
                    method,
                    endpoint: endpoint.clone(),
                    status: http.status,
                    body: excerpt(&http.body),
                };
                // Some endpoints answer a JSON-RPC error with a status that says the same.
                match serde_json::from_str(&http.body) {
                    Ok(ErrorBody { error }) if !plain.is_retryable() || is_refusal(&error.message) => {
                        answered(error)
                    }
                    _ => plain,
                }
            }
            RpcError::Transport(TransportErrorKind::Custom(source)) => {
                let cause = innermost(source.as_ref());
                match source.downcast_ref::<reqwest::Error>() {
                    Some(http) if http.is_connect() => RequestError::Unreachable { method, endpoint, cause },
                    Some(http) if http.is_timeout() => RequestError::TimedOut { method, endpoint },
                    Some(_) => RequestError::Interrupted { method, endpoint, cause },
                    None => garbage(cause, ""),
                }
            }
            other => garbage(other.to_string(), ""),
        }
    }
}

/// The body of a JSON-RPC answer that is an error.
#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorPayload,
}

/// The last error of a chain: the one that says what happened rather than what was being done.
fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Whether a message says that too many blocks were asked for at once.
fn is_refusal(message: &str) -> bool {
    Refusal::told(message).is_some()
}

/// A text behind a colon, or nothing for none.
fn behind_colon(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

fn excerpt(text: &str) -> String {
    let mut excerpt: String = text.chars().take(EXCERPT).collect();
    if excerpt.len() < text.len() {
        excerpt.push('…');
    }
    excerpt
}
