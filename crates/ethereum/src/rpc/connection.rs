//! One JSON-RPC endpoint over HTTP: one attempt at a request, within a deadline, and what became of it.

use std::{
    collections::BTreeMap,
    error::Error as StdError,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use alloy::{
    rpc::json_rpc::{ErrorPayload, Id, Request, RpcRecv, RpcSend},
    transports::http::reqwest::{self, header::CONTENT_TYPE, redirect},
};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use url::Url;

use super::error::{RequestError, is_refusal};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one attempt at a request may take, the answer included, unless somebody wants otherwise.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How large an answer may be, in bytes.
const MAX_ANSWER: usize = 8 << 20;
/// How often a request may be sent on to another place on the same host.
const MAX_REDIRECTS: usize = 5;
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
    http: reqwest::Client,
    url: Url,
    name: String,
    timeout: Duration,
    /// The id of the next request: an answer to another one is no answer.
    next_id: Arc<AtomicU64>,
}

impl Connection {
    /// `timeout` is how long one attempt at a request may take, the answer included.
    pub(crate) fn new(url: Url, timeout: Duration) -> Result<Self, ConnectError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(ConnectError::Scheme(url.scheme().to_owned()));
        }
        // Errors name host and port only: the rest of a URL may hold a key.
        let host = url.host_str().unwrap_or_default();
        let name =
            url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .timeout(timeout)
            .redirect(redirect::Policy::custom(within_the_host))
            .build()
            .map_err(ConnectError::Client)?;
        Ok(Self { http, url, name, timeout, next_id: Arc::default() })
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
        let id = self.next_id();
        let body = serde_json::to_vec(&Request::new(method, Id::Number(id), params))
            .map_err(|error| self.garbage(method, format!("the request can't be written: {error}"), ""))?;
        let answer = self.post(method, body).await?;
        let envelope = self.read(method, &answer)?;
        let result = self.open(method, id, envelope)?;
        serde_json::from_str(result.get())
            .map_err(|error| self.garbage(method, error.to_string(), result.get()))
    }

    /// Sends requests of one method in one batch, once; one by one if the endpoint takes no batches. The answers, in the order
    /// of the requests.
    pub(crate) async fn batch<Params, Answer>(
        &self,
        method: &'static str,
        params: &[Params],
    ) -> Result<Vec<Answer>, RequestError>
    where
        Params: RpcSend + 'static,
        Answer: RpcRecv,
    {
        let ids: Vec<_> = params.iter().map(|_| self.next_id()).collect();
        let request = |(id, params): (&u64, &Params)| Request::new(method, Id::Number(*id), params.clone());
        let requests: Vec<_> = ids.iter().zip(params).map(request).collect();
        let body = serde_json::to_vec(&requests)
            .map_err(|error| self.garbage(method, format!("the request can't be written: {error}"), ""))?;
        let answer = match self.post(method, body).await {
            Err(error) if !error.is_retryable() && !matches!(error, RequestError::TooLarge { .. }) => None,
            answer => Some(answer?),
        };
        let envelopes = answer.as_deref().and_then(|answer| serde_json::from_slice::<Vec<_>>(answer).ok());
        let Some(envelopes) = envelopes else {
            let mut answers = Vec::new();
            for params in params {
                answers.push(self.request(method, params.clone()).await?);
            }
            return Ok(answers);
        };
        let mut by_id: BTreeMap<u64, Envelope<'_>> = BTreeMap::new();
        for envelope in envelopes {
            if let Envelope { id: Some(Id::Number(id)), .. } = envelope {
                by_id.insert(id, envelope);
            }
        }
        let answer = |id| {
            let missing = || self.garbage(method, "an answer of the batch is missing".to_owned(), "");
            let result = self.open(method, id, by_id.remove(&id).ok_or_else(missing)?)?;
            serde_json::from_str(result.get())
                .map_err(|error| self.garbage(method, error.to_string(), result.get()))
        };
        ids.into_iter().map(answer).collect()
    }

    fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends a body, and returns the answer's, which came with success.
    async fn post(&self, method: &'static str, body: Vec<u8>) -> Result<Vec<u8>, RequestError> {
        let sent = self.http.post(self.url.clone()).header(CONTENT_TYPE, "application/json").body(body);
        let mut response = sent.send().await.map_err(|error| self.lost(method, error))?;
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.lost(method, error))? {
            if answer.len() + chunk.len() > MAX_ANSWER {
                let endpoint = self.name.clone();
                return Err(RequestError::TooLarge { method, endpoint, limit: MAX_ANSWER });
            }
            answer.extend_from_slice(&chunk);
        }
        if response.status().is_success() {
            return Ok(answer);
        }
        let plain = RequestError::Http {
            method,
            endpoint: self.name.clone(),
            status: response.status().as_u16(),
            body: excerpt(&String::from_utf8_lossy(&answer)),
        };
        // Some endpoints answer a JSON-RPC error with a status that says the same.
        match serde_json::from_slice(&answer) {
            Ok(Envelope { error: Some(error), .. })
                if !plain.is_retryable()
                    || (RequestError::is_of_logs(method) && is_refusal(&error.message)) =>
            {
                Ok(answer)
            }
            _ => Err(plain),
        }
    }

    fn read<'a, Answer: Deserialize<'a>>(
        &self,
        method: &'static str,
        answer: &'a [u8],
    ) -> Result<Answer, RequestError> {
        serde_json::from_slice(answer)
            .map_err(|error| self.garbage(method, error.to_string(), &String::from_utf8_lossy(answer)))
    }

    /// The result in an envelope. `null` beside an error, or beside a result, is absent.
    fn open<'a>(
        &self,
        method: &'static str,
        id: u64,
        envelope: Envelope<'a>,
    ) -> Result<&'a RawValue, RequestError> {
        let is_ours = envelope.id.as_ref() == Some(&Id::Number(id));
        let is_nobodys = matches!(envelope.id, None | Some(Id::None));
        match (envelope.result, envelope.error) {
            (Some(result), None) if is_ours => Ok(result),
            (None, None) => Err(self.garbage(method, "neither a result nor an error".to_owned(), "")),
            (Some(result), Some(_)) if result.get() != "null" => {
                Err(self.garbage(method, "both a result and an error".to_owned(), result.get()))
            }
            // Whoever refuses a request before reading it can't tell its id. Such an error holds no contract's reason.
            (_, Some(error)) if is_ours || is_nobodys => Err(RequestError::Rpc {
                method,
                endpoint: self.name.clone(),
                code: error.code,
                message: error.message.into_owned(),
                data: error.data.filter(|_| is_ours).map(|data| data.get().to_owned()),
            }),
            _ => Err(self.garbage(method, "it answers another request".to_owned(), "")),
        }
    }

    fn garbage(&self, method: &'static str, cause: String, answer: &str) -> RequestError {
        RequestError::Garbage { method, endpoint: self.name.clone(), cause, answer: excerpt(answer) }
    }

    fn lost(&self, method: &'static str, error: reqwest::Error) -> RequestError {
        let endpoint = self.name.clone();
        let (is_connect, is_timeout) = (error.is_connect(), error.is_timeout());
        let cause = innermost(&error.without_url());
        if is_connect {
            RequestError::Unreachable { method, endpoint, cause }
        } else if is_timeout {
            RequestError::TimedOut { method, endpoint, deadline: self.timeout }
        } else {
            RequestError::Interrupted { method, endpoint, cause }
        }
    }
}

/// Follows a redirect on the same host. What another host says was not asked for.
fn within_the_host(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let asked = attempt.previous().first().and_then(Url::host_str);
    if attempt.previous().len() <= MAX_REDIRECTS && asked == attempt.url().host_str() {
        attempt.follow()
    } else {
        attempt.stop()
    }
}

/// A JSON-RPC answer.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default)]
    id: Option<Id>,
    /// `null` is a result too.
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<ErrorPayload>,
}

fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
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
