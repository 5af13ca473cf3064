//! What every command answers with: fields for programs, text for people, and an exit code that says it in short.

use std::{error::Error, fmt, time::SystemTime};

use alloy_primitives::{B256, U256};
use anstyle::{AnsiColor, Style};
use coxswain_ethereum::{Block, ChainError};
use coxswain_proposals::Assurances;
use coxswain_rules::{
    Assurance, Dissent, Value,
    units::{BlockNumber, UnixTime},
};
use serde::{Serialize, Serializer};
use serde_json::Value as Json;

use crate::page;

/// The version of all that is printed as JSON: larger when a program that reads it must change.
const JSON_VERSION: u32 = 1;
/// Yes, or done.
pub const EXIT_OK: u8 = 0;
/// No answer, or none that could be given.
pub const EXIT_UNDECIDED: u8 = 3;

/// What an error says, with its causes. What it says of its cause is not said again.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let cause = error.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        next = error.source();
    }
    text
}

/// A command's answer. Its text is in colour: the stream that prints it takes the colour out where it isn't wanted.
pub trait Report: fmt::Display + Serialize {
    /// The process's exit code.
    fn exit_code(&self) -> u8 {
        EXIT_OK
    }

    /// The answer for programs, with its version.
    fn to_json(&self) -> Json
    where
        Self: Sized,
    {
        let mut json = serde_json::to_value(self).expect("a report has string keys and no fallible fields");
        if let Json::Object(fields) = &mut json {
            fields.insert("version".to_owned(), JSON_VERSION.into());
        }
        json
    }
}

/// A field that programs read as people do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<T>(pub(crate) T);

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A rule's value. A number is written as a decimal string if a JSON reader might round it.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Scalar {
    Number(u64),
    Text(String),
}

impl From<U256> for Scalar {
    fn from(number: U256) -> Self {
        match u64::try_from(number) {
            Ok(number) if number < 1 << 53 => Self::Number(number),
            _ => Self::Text(number.to_string()),
        }
    }
}

impl From<Value> for Scalar {
    fn from(value: Value) -> Self {
        match value {
            Value::Number(value) | Value::Time(value) | Value::Index(value) => value.into(),
            other => Self::Text(other.to_string()),
        }
    }
}

/// A block with all that names it, and its age.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct BlockFields {
    number: BlockNumber,
    hash: B256,
    timestamp: UnixTime,
    age: i64,
}

impl BlockFields {
    pub(crate) fn new(block: Block, now: SystemTime) -> Self {
        let Block { number, hash, timestamp } = block;
        Self { number, hash, timestamp, age: page::age(&block, now) }
    }
}

/// How far the facts that counted are to be believed.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AssuranceFields {
    block: NamedFields,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bitcoin: Option<&'static str>,
}

/// How many servers name the block, and of how many.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NamedFields {
    named_by: usize,
    of: usize,
}

impl From<&Assurances> for AssuranceFields {
    fn from(assurances: &Assurances) -> Self {
        let Assurances { named_by, of, state, events, bitcoin, .. } = *assurances;
        Self {
            block: NamedFields { named_by, of },
            state: state.map(Assurance::name),
            events: events.map(Assurance::name),
            bitcoin: bitcoin.map(Assurance::name),
        }
    }
}

/// A line that must not be overlooked, if the error calls for one.
pub(crate) fn alarm(f: &mut fmt::Formatter<'_>, error: &ChainError) -> fmt::Result {
    if let ChainError::Contradicted { .. } = error {
        let red = strong(AnsiColor::Red);
        write!(
            f,
            "\n           {red}ALARM{red:#}: enough servers say other than what is proven here. Act on nothing until it is \
             known why"
        )?;
    }
    Ok(())
}

/// A time that a rule compares, as seen from the block judged at: `2026-11-25 21:10:05 UTC, in 3 h 0 min`.
pub(crate) fn time(time: U256, block: UnixTime) -> String {
    match u32::try_from(time) {
        Ok(time) if time > 0 => {
            let time = time.into();
            format!("{}, {}", page::date(time), page::seen(time, block))
        }
        _ => "no time meets that".to_owned(),
    }
}

/// An open question, as every command shows one.
pub(crate) fn undecided(
    f: &mut fmt::Formatter<'_>,
    what: impl fmt::Display,
    reason: impl fmt::Display,
) -> fmt::Result {
    let yellow = strong(AnsiColor::Yellow);
    write!(f, "{yellow}UNDECIDED{yellow:#}  {what}\n{:11}{reason}", "")
}

/// How a report's most important word is printed.
pub(crate) fn strong(colour: AnsiColor) -> Style {
    Style::new().bold().fg_color(Some(colour.into()))
}

/// An open question of a command that has nothing else to report.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "outcome", rename = "undecided")]
pub struct OpenQuestion {
    #[serde(skip)]
    what: &'static str,
    cause: &'static str,
    reason: String,
}

impl OpenQuestion {
    /// What is open, the kind of failure, and why.
    pub fn new(what: &'static str, cause: &'static str, reason: impl fmt::Display) -> Self {
        Self { what, cause, reason: reason.to_string() }
    }
}

impl Report for OpenQuestion {
    fn exit_code(&self) -> u8 {
        EXIT_UNDECIDED
    }
}

impl fmt::Display for OpenQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        undecided(f, self.what, &self.reason)
    }
}

/// A server that says otherwise than enough others, or than what is proven.
#[derive(Debug, Serialize)]
pub(crate) struct DissentFields {
    endpoint: String,
    said: String,
}

impl From<&Dissent> for DissentFields {
    fn from(Dissent { endpoint, said }: &Dissent) -> Self {
        Self { endpoint: endpoint.clone(), said: said.clone() }
    }
}

/// A line for each server that says otherwise.
pub(crate) fn dissents(f: &mut fmt::Formatter<'_>, dissents: &[Dissent]) -> fmt::Result {
    for Dissent { endpoint, said } in dissents {
        write!(f, "\n           not believed: {endpoint}: {said}")?;
    }
    Ok(())
}
