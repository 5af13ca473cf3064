//! One JSON-RPC endpoint over HTTP: one attempt at a request, within a deadline, and what became of it.

use std::{error::Error as StdError, time::Duration};

use alloy::{
    rpc::{
        client::RpcClient,
        json_rpc::{ErrorPayload, RpcError, RpcRecv, RpcSend},
    },
    transports::{TransportError, TransportErrorKind, http::reqwest},
};
use serde::Deserialize;
use url::Url;

use super::error::{RequestError, is_refusal};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one attempt at a request may take, the answer included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of an unexpected answer an error shows, in characters.
const EXCERPT: usize = 200;

/// Why there is no endpoint to ask.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL's scheme can't be spoken.
    #[error("only http and https are supported, not {0}")]
    Scheme(String),
    /// There is no URL at all.
    #[error("there is no URL")]
    NoUrl,
    /// The HTTP client can't be set up.
    #[error("the HTTP client can't be set up")]
    Client(#[source] reqwest::Error),
}

/// One JSON-RPC endpoint over HTTP.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    client: RpcClient,
    name: String,
}

impl Connection {
    pub(crate) fn new(url: Url) -> Result<Self, ConnectError> {
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

    /// Host and port.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Sends a request, once.
    pub(crate) async fn request<Params, Answer>(
        &self,
        method: &'static str,
        params: Params,
    ) -> Result<Answer, RequestError>
    where
        Params: RpcSend + 'static,
        Answer: RpcRecv,
    {
        self.client.request(method, params).await.map_err(|error| self.classify(method, error))
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
                    Some(http) if http.is_timeout() => {
                        RequestError::TimedOut { method, endpoint, seconds: REQUEST_TIMEOUT.as_secs() }
                    }
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

fn excerpt(text: &str) -> String {
    let mut excerpt: String = text.chars().take(EXCERPT).collect();
    if excerpt.len() < text.len() {
        excerpt.push('…');
    }
    excerpt
}
