//! JSON-RPC as both kinds of endpoint speak it: requests told apart by number, answers in any order.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};

use crate::BackendError;

/// How much of an endpoint's own words an error shows, in characters.
const EXCERPT: usize = 200;
/// How long an error may be, in bytes, to be looked into.
const MOST_OF_ERROR: usize = 64 << 10;
/// How much one list of questions may be answered with, in bytes, as it is received.
const ROOM: usize = 32 << 20;
/// What stands for a code where the endpoint gives none.
const NO_CODE: i64 = 0;

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    pub(crate) params: Value,
}

/// A request as it is sent.
#[derive(Serialize)]
pub(crate) struct Numbered<'a> {
    jsonrpc: &'static str,
    id: u64,
    method: &'static str,
    params: &'a Value,
}

impl Call {
    pub(crate) const fn new(method: &'static str, params: Value) -> Self {
        Self { method, params }
    }

    pub(crate) const fn numbered(&self, id: u64) -> Numbered<'_> {
        Numbered { jsonrpc: "2.0", id, method: self.method, params: &self.params }
    }
}

/// An answer as it is received. What the endpoint sends unasked has no number that was given out.
#[derive(Deserialize)]
pub(crate) struct Reply {
    #[serde(default)]
    id: Option<Box<RawValue>>,
    #[serde(default)]
    result: Option<Box<RawValue>>,
    #[serde(default)]
    error: Option<Box<RawValue>>,
}

impl Reply {
    /// The place of the request among `calls`, the first of which had the number `first`.
    pub(crate) fn place(&self, first: u64) -> Option<usize> {
        let id: u64 = serde_json::from_str(self.id.as_ref()?.get()).ok()?;
        usize::try_from(id.checked_sub(first)?).ok()
    }
}

/// The answer to one request.
#[derive(Debug)]
pub(crate) struct Answer {
    method: &'static str,
    endpoint: String,
    result: Result<Box<RawValue>, BackendError>,
}

impl Answer {
    pub(crate) fn new(call: &Call, endpoint: &str, reply: Reply) -> Self {
        let method = call.method;
        let result = match reply.error.filter(|error| error.get() != RawValue::NULL.get()) {
            None => Ok(reply.result.unwrap_or_else(|| RawValue::NULL.to_owned())),
            Some(error) => {
                let (code, message) = code_and_message(error.get());
                Err(BackendError::Rpc { method, endpoint: endpoint.to_owned(), code, message })
            }
        };
        Self { method, endpoint: endpoint.to_owned(), result }
    }

    /// How much room it takes.
    fn length(&self) -> usize {
        self.result.as_ref().map_or(0, |raw| raw.get().len())
    }

    /// Returns the answer of a request that alone has none.
    pub(crate) fn failed(call: &Call, endpoint: &str, error: BackendError) -> Self {
        Self { method: call.method, endpoint: endpoint.to_owned(), result: Err(error) }
    }

    /// The result, as what it should be.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, BackendError> {
        match &self.result {
            Ok(raw) => serde_json::from_str(raw.get()).map_err(|error| self.garbage(error.to_string())),
            Err(error) => Err(error.clone()),
        }
    }

    /// Returns the error that a well-formed result can't be used.
    pub(crate) fn garbage(&self, cause: impl Into<String>) -> BackendError {
        BackendError::Garbage {
            method: self.method,
            endpoint: self.endpoint.clone(),
            cause: excerpt(&cause.into()),
        }
    }

    /// That the result doesn't fit another one, as when a block came between them.
    pub(crate) fn changed(&self, cause: impl Into<String>) -> BackendError {
        BackendError::Changed { method: self.method, endpoint: self.endpoint.clone(), cause: cause.into() }
    }
}

/// An endpoint that is asked in batches.
pub(crate) trait Batches: Sync {
    /// The endpoint's host and port.
    fn name(&self) -> &str;

    /// Asks all in one batch.
    fn batch(&self, calls: &[Call]) -> impl Future<Output = Result<Vec<Answer>, BackendError>> + Send;

    /// Asks all, in as many batches as it takes with so many requests in each at most. A batch whose answers are too large
    /// together is asked in halves: nobody's large transaction keeps the others from being looked up. What has no room any
    /// more is not asked for.
    fn ask_in_batches_of(
        &self,
        most: usize,
        calls: &[Call],
    ) -> impl Future<Output = Result<Vec<Answer>, BackendError>> + Send {
        async move {
            let mut answers = Vec::with_capacity(calls.len());
            let mut room = ROOM;
            // In their order, so that what comes first can be passed over where the list is long.
            let mut batches: Vec<_> = calls.chunks(most.max(1)).rev().collect();
            while let Some(batch) = batches.pop() {
                let outcome = match room {
                    0 => {
                        let (method, limit) = (batch.first().map_or("", |call| call.method), ROOM);
                        Err(BackendError::TooLarge { method, endpoint: self.name().to_owned(), limit })
                    }
                    _ => self.batch(batch).await,
                };
                match outcome {
                    Err(error @ BackendError::TooLarge { .. }) if room == 0 || batch.len() < 2 => {
                        answers.extend(
                            batch.iter().map(|call| Answer::failed(call, self.name(), error.clone())),
                        );
                    }
                    Err(BackendError::TooLarge { .. }) => {
                        let (first, second) = batch.split_at(batch.len() / 2);
                        batches.extend([second, first]);
                    }
                    some => {
                        let some = some?;
                        room = room.saturating_sub(some.iter().map(Answer::length).sum());
                        answers.extend(some);
                    }
                }
            }
            Ok(answers)
        }
    }
}

/// Some servers give an error as a text. One that is very long is not looked into.
fn code_and_message(text: &str) -> (i64, String) {
    let error: Value = match text.len() {
        ..=MOST_OF_ERROR => serde_json::from_str(text).unwrap_or_default(),
        _ => Value::String(text.chars().take(EXCERPT + 1).collect()),
    };
    let code = error.get("code").and_then(Value::as_i64).unwrap_or(NO_CODE);
    let message = error.get("message").and_then(Value::as_str).or_else(|| error.as_str());
    (code, message.map_or_else(|| excerpt(&error.to_string()), excerpt))
}

/// The beginning of a text that someone else wrote, without what would disturb a terminal.
pub(crate) fn excerpt(text: &str) -> String {
    let shown = |character: char| if character.is_control() { ' ' } else { character };
    let mut characters = text.chars().map(shown);
    let mut excerpt: String = characters.by_ref().take(EXCERPT).collect();
    if characters.next().is_some() {
        excerpt.push('…');
    }
    excerpt
}
