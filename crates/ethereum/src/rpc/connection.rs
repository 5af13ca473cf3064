//! One JSON-RPC endpoint over HTTP: one attempt at a request, within a deadline, and what became of it.

use std::{
    collections::BTreeMap,
    error::Error as StdError,
    fmt,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use alloy::rpc::{
    json_rpc::{ErrorPayload, Id, Request, RpcRecv, RpcSend},
    types::Header as RpcHeader,
};
use coxswain_rules::QuorumError;
use futures_util::{FutureExt, future::BoxFuture};
use reqwest::{header::CONTENT_TYPE, redirect};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error as _, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};
use url::Url;

use super::{
    activity::Activity,
    block::Block,
    error::{RequestError, UnfitError, is_refusal},
    header::HashedHeader,
};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one attempt at a request may take, the answer included, unless somebody wants otherwise.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// After how many attempts without an answer, and how many times the time for one, a server that has spoken counts as silent: two
/// questions, each asked twice. A question that was given up long ago is not enough, nor are many that failed in one moment.
const SILENT_AFTER: u32 = 4;
/// The pause before a request that failed in passing is sent once more.
const PAUSE: Duration = Duration::from_millis(200);
/// How large an answer may be, in bytes.
const MAX_ANSWER: usize = 8 << 20;
/// An answer that is larger than this takes one of the places for large ones.
const LARGE_ANSWER: usize = 64 << 10;
/// How many large answers are held at once, whoever asks: 32 MiB. Bitcoin's have the rest of what the process may hold.
static LARGE_ANSWERS: Semaphore = Semaphore::const_new(4);
/// How much of an error's data is kept, in bytes: far more than any contract's reason.
const MAX_ERROR_DATA: usize = 64 << 10;
/// How much of an error's message is kept, in characters.
const MAX_MESSAGE: usize = 4096;
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
    /// The quorum can't be met.
    #[error(transparent)]
    Quorum(#[from] QuorumError),
    /// The HTTP client can't be set up.
    #[error("the HTTP client can't be set up")]
    Client(#[source] reqwest::Error),
}

/// How long an endpoint is waited for.
#[derive(Clone, Debug)]
pub(crate) struct Timing {
    /// How long one attempt at a request may take, the answer included.
    pub(crate) timeout: Duration,
    /// For how long one that can't be reached, or doesn't answer in time, is not asked again.
    pub(crate) dead_for: Duration,
    /// What is told of each question.
    pub(crate) activity: Activity,
}

/// One JSON-RPC endpoint over HTTP.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    http: reqwest::Client,
    url: Url,
    name: String,
    timing: Timing,
    /// What its clones know, too.
    standing: Arc<Standing>,
}

/// How an endpoint has done so far.
#[derive(Debug, Default)]
struct Standing {
    /// The id of the next request: an answer to another one is no answer.
    next_id: AtomicU64,
    speech: Mutex<Speech>,
    /// Since when it is dead, and of what.
    dead: Mutex<Option<(Instant, RequestError)>>,
}

/// Whether it has given answers that were understood.
#[derive(Debug, Default)]
struct Speech {
    has_begun: bool,
    /// How often it was asked since the last such answer.
    unanswered: u32,
    /// When it was first asked since then.
    asked_at: Option<Instant>,
}

/// A body, and the place that it takes while it is held.
struct Body {
    bytes: Vec<u8>,
    _place: Option<SemaphorePermit<'static>>,
}

impl Connection {
    /// The endpoint at the URL, through a proxy if one is given: those of the environment are not used.
    pub(crate) fn new(url: Url, timing: Timing, proxy: Option<&Url>) -> Result<Self, ConnectError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(ConnectError::Scheme(url.scheme().to_owned()));
        }
        // Errors name host and port only: the rest of a URL may hold a key.
        let host = url.host_str().unwrap_or_default();
        let name =
            url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let proxied = match proxy {
            Some(proxy) => {
                reqwest::Proxy::all(proxy.clone()).map(|proxy| reqwest::Client::builder().proxy(proxy))
            }
            None => Ok(reqwest::Client::builder().no_proxy()),
        };
        let http = proxied
            .map_err(ConnectError::Client)?
            .connect_timeout(CONNECT_TIMEOUT.min(timing.timeout))
            .timeout(timing.timeout)
            .redirect(redirect::Policy::custom(within_the_host))
            .build()
            .map_err(ConnectError::Client)?;
        Ok(Self { http, url, name, timing, standing: Arc::default() })
    }

    /// Whether it has given an answer to anything that was understood, and not fallen silent since: a program that runs for
    /// months must not wait for a server that is gone.
    pub(crate) fn has_spoken(&self) -> bool {
        let speech = self.speech();
        let silent_after = self.timing.timeout * SILENT_AFTER;
        let is_silent = speech.unanswered >= SILENT_AFTER
            && speech.asked_at.is_some_and(|asked_at| asked_at.elapsed() >= silent_after);
        speech.has_begun && !is_silent
    }

    fn speech(&self) -> MutexGuard<'_, Speech> {
        self.standing.speech.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self) {
        let mut speech = self.speech();
        speech.unanswered = speech.unanswered.saturating_add(1);
        speech.asked_at.get_or_insert_with(Instant::now);
    }

    /// As [`request`](Self::request), and once more if that fails in passing.
    pub(crate) async fn request_twice<Params, Answer>(
        &self,
        method: &'static str,
        params: Params,
    ) -> Result<Answer, RequestError>
    where
        Params: RpcSend + 'static,
        Answer: RpcRecv,
    {
        let was_dead = self.died().is_some();
        match self.request(method, params.clone()).await {
            Err(error) if error.is_retryable() && !was_dead => {
                self.give_another_try().await;
                self.request(method, params).await
            }
            answer => answer,
        }
    }

    /// As [`batch`](Self::batch), and once more if that fails in passing.
    pub(crate) async fn batch_twice<Params, Answer>(
        &self,
        method: &'static str,
        params: &[Params],
    ) -> Result<Vec<Answer>, RequestError>
    where
        Params: RpcSend + 'static,
        Answer: RpcRecv,
    {
        let was_dead = self.died().is_some();
        match self.batch(method, params).await {
            Err(error) if error.is_retryable() && !was_dead => {
                self.give_another_try().await;
                self.batch(method, params).await
            }
            answer => answer,
        }
    }

    fn understood(&self) {
        *self.speech() = Speech { has_begun: true, ..Speech::default() };
        self.timing.activity.answered();
    }

    async fn give_another_try(&self) {
        *self.standing.dead.lock().unwrap_or_else(PoisonError::into_inner) = None;
        tokio::time::sleep(PAUSE).await;
    }

    /// What it died of, if that is not long ago.
    fn died(&self) -> Option<RequestError> {
        let dead = self.standing.dead.lock().unwrap_or_else(PoisonError::into_inner);
        dead.as_ref()
            .filter(|(since, _)| since.elapsed() < self.timing.dead_for)
            .map(|(_, error)| error.clone())
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
        self.asked();
        let id = self.next_id();
        let body = serde_json::to_vec(&Request::new(method, Id::Number(id), params))
            .map_err(|error| self.garbage(method, format!("the request can't be written: {error}"), ""))?;
        let answer = self.post(method, body).await?;
        let envelope = self.read(method, &answer.bytes)?;
        let result = self.open(method, id, envelope)?;
        let result = serde_json::from_str(result.get())
            .map_err(|error| self.garbage(method, error.to_string(), result.get()))?;
        self.understood();
        Ok(result)
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
        self.asked();
        let ids: Vec<_> = params.iter().map(|_| self.next_id()).collect();
        let request = |(id, params): (&u64, &Params)| Request::new(method, Id::Number(*id), params.clone());
        let requests: Vec<_> = ids.iter().zip(params).map(request).collect();
        let body = serde_json::to_vec(&requests)
            .map_err(|error| self.garbage(method, format!("the request can't be written: {error}"), ""))?;
        let answer = match self.post(method, body).await {
            Err(error) if !error.is_retryable() && !matches!(error, RequestError::TooLarge { .. }) => None,
            answer => Some(answer?),
        };
        let envelopes = answer.as_ref().and_then(|answer| Envelopes::read(&answer.bytes, ids.len()));
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
        let answers = ids.into_iter().map(answer).collect::<Result<_, _>>()?;
        self.understood();
        Ok(answers)
    }

    fn next_id(&self) -> u64 {
        self.standing.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends a body and returns the body of a successful answer. A server that is marked dead is not asked.
    ///
    /// Whoever waits for an async function compiles it: in a box, all of HTTP is compiled here, and not by each crate that asks.
    fn post(&self, method: &'static str, body: Vec<u8>) -> BoxFuture<'_, Result<Body, RequestError>> {
        self.post_if_alive(method, body).boxed()
    }

    async fn post_if_alive(&self, method: &'static str, body: Vec<u8>) -> Result<Body, RequestError> {
        if let Some(error) = self.died() {
            return Err(error);
        }
        let answer = self.watched(method, self.exchange(method, body)).await;
        let mut dead = self.standing.dead.lock().unwrap_or_else(PoisonError::into_inner);
        *dead = match &answer {
            Err(error @ (RequestError::Unreachable { .. } | RequestError::TimedOut { .. })) => {
                Some((Instant::now(), error.clone()))
            }
            _ => None,
        };
        drop(dead);
        answer
    }

    /// The answer, unless nobody has answered anything for so long that it is given up.
    async fn watched(
        &self,
        method: &'static str,
        exchange: impl Future<Output = Result<Body, RequestError>>,
    ) -> Result<Body, RequestError> {
        let activity = &self.timing.activity;
        let _open = activity.ask(method, &self.name);
        let mut exchange = pin!(exchange);
        while let Some(deadline) = activity.deadline() {
            if Instant::now() >= deadline {
                let (endpoint, deadline) = (self.name.clone(), activity.patience());
                return Err(RequestError::TimedOut { method, endpoint, deadline });
            }
            if let Ok(answer) = tokio::time::timeout_at(deadline, &mut exchange).await {
                return answer;
            }
        }
        exchange.await
    }

    async fn exchange(&self, method: &'static str, body: Vec<u8>) -> Result<Body, RequestError> {
        let sent = self.http.post(self.url.clone()).header(CONTENT_TYPE, "application/json").body(body);
        let mut response = sent.send().await.map_err(|error| self.lost(method, error))?;
        let (mut answer, mut place) = (Vec::new(), None);
        while let Some(chunk) = response.chunk().await.map_err(|error| self.lost(method, error))? {
            let length = answer.len() + chunk.len();
            if length > MAX_ANSWER {
                let endpoint = self.name.clone();
                return Err(RequestError::TooLarge { method, endpoint, limit: MAX_ANSWER });
            }
            if length > LARGE_ANSWER && place.is_none() {
                place = LARGE_ANSWERS.acquire().await.ok();
            }
            answer.extend_from_slice(&chunk);
        }
        let answer = Body { bytes: answer, _place: place };
        if response.status().is_success() {
            return Ok(answer);
        }
        let plain = RequestError::Http {
            method,
            endpoint: self.name.clone(),
            status: response.status().as_u16(),
            body: excerpt(&String::from_utf8_lossy(first(&answer.bytes))),
        };
        // Some endpoints answer a JSON-RPC error with a status that says the same.
        match serde_json::from_slice(&answer.bytes) {
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
            .map_err(|error| self.garbage(method, error.to_string(), &String::from_utf8_lossy(first(answer))))
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
                message: error.message.chars().take(MAX_MESSAGE).collect(),
                data: error
                    .data
                    .filter(|data| is_ours && data.get().len() <= MAX_ERROR_DATA)
                    .map(|data| data.get().to_owned()),
            }),
            _ => Err(self.garbage(method, "it answers another request".to_owned(), "")),
        }
    }

    /// The header of an answer, if it hashes. One that doesn't is forged, or has fields that we don't know.
    pub(crate) fn hashed(
        &self,
        method: &'static str,
        answer: RpcHeader,
    ) -> Result<HashedHeader, RequestError> {
        let named = format!("block {}, {}", answer.inner.number, answer.hash);
        HashedHeader::of(answer)
            .ok_or_else(|| self.garbage(method, "the header has another hash".to_owned(), &named))
    }

    /// Returns the error that the endpoint serves another chain.
    pub(crate) fn other_chain(&self, expected: u64, actual: u64) -> RequestError {
        let endpoint = self.name.clone();
        RequestError::NoneFit(vec![UnfitError::WrongChain { endpoint, expected, actual }])
    }

    /// Returns the error that the endpoint lacks a block.
    pub(crate) fn no_block(&self, block: Block) -> RequestError {
        RequestError::NoneFit(vec![UnfitError::NoBlock { endpoint: self.name.clone(), block }])
    }

    /// Returns the error that an answer is empty.
    pub(crate) fn empty(&self, method: &'static str) -> RequestError {
        self.garbage(method, "it is empty".to_owned(), "")
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
            RequestError::TimedOut { method, endpoint, deadline: self.timing.timeout }
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

/// The answers of a batch: not more than were asked for, lest many small ones fill the memory.
struct Envelopes(usize);

impl Envelopes {
    fn read(answer: &[u8], asked: usize) -> Option<Vec<Envelope<'_>>> {
        let mut answer = serde_json::Deserializer::from_slice(answer);
        let envelopes = Self(asked).deserialize(&mut answer).ok()?;
        answer.end().ok()?;
        Some(envelopes)
    }
}

impl<'de> DeserializeSeed<'de> for Envelopes {
    type Value = Vec<Envelope<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Envelopes {
    type Value = Vec<Envelope<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answers", self.0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut answers: A) -> Result<Self::Value, A::Error> {
        let mut envelopes = Vec::new();
        while let Some(envelope) = answers.next_element()? {
            if envelopes.len() == self.0 {
                return Err(A::Error::custom("more answers than questions"));
            }
            envelopes.push(envelope);
        }
        Ok(envelopes)
    }
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

/// As much of an answer as an excerpt can hold.
fn first(answer: &[u8]) -> &[u8] {
    answer.get(..4 * EXCERPT + 4).unwrap_or(answer)
}

fn excerpt(text: &str) -> String {
    let mut excerpt: String = text.chars().take(EXCERPT).collect();
    if excerpt.len() < text.len() {
        excerpt.push('…');
    }
    excerpt
}

#[cfg(test)]
mod fuzz;
