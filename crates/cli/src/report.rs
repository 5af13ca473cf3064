//! A verdict as people and programs read it.

use std::{fmt, time::SystemTime};

use alloy_primitives::{Address, U256};
use anstyle::{AnsiColor, Style};
use coxswain_ethereum::{Block, ChainError, ContractVerdict, Judgement};
use coxswain_proposals::{Assessment, Step};
use coxswain_rules::{Action, FeeRuling, KeyHash, Value};
use serde_json::{Map, Value as Json, json};

use crate::page;

/// The verdict on one proposal, with what it was asked of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What was proposed.
    pub action: Action,
    /// The wallet that would act.
    pub wallet: KeyHash,
    /// The chain asked; none when it could not be told.
    pub chain_id: Option<u64>,
    /// The validator asked; none when it didn't come to that.
    pub validator: Option<Address>,
    /// The verdict, and its block.
    pub judgement: Judgement,
    /// What a member of the wallet would say, if there is a Bitcoin endpoint to take all steps of judging with.
    pub assessment: Option<Assessment>,
    /// What a name that the Bridge doesn't know was probably meant to be.
    pub hints: Vec<String>,
    /// When it was asked.
    pub now: SystemTime,
}

impl Report {
    /// The process's exit code: 0 valid, 1 rejected, 3 undecided.
    pub const fn exit_code(&self) -> u8 {
        match &self.judgement.verdict {
            ContractVerdict::Valid => 0,
            ContractVerdict::Rejected(_) => 1,
            ContractVerdict::Undecided(_) => 3,
        }
    }

    /// The verdict's name: `valid`, `rejected` or `undecided`.
    pub const fn verdict_name(&self) -> &'static str {
        verdict_name(&self.judgement.verdict)
    }

    /// The report for programs. Fields that don't apply are left out; docs/proposals.md describes them.
    pub fn to_json(&self) -> Json {
        let mut json = verdict_fields(&self.judgement.verdict);
        json.append(&mut self.context_fields());
        Json::Object(json)
    }

    /// What was judged, by whom, where and when.
    pub(crate) fn context_fields(&self) -> Map<String, Json> {
        fields([
            ("action", Some(self.action.name().into())),
            ("wallet", Some(self.wallet.to_string().into())),
            ("chainId", self.chain_id.map(Json::from)),
            ("validator", self.validator.map(|address| address.to_string().into())),
            ("block", self.judgement.block.map(|judged| block(judged, self.now))),
            (
                "hints",
                Some(self.hints.iter().map(String::as_str).collect::<Json>())
                    .filter(|_| !self.hints.is_empty()),
            ),
            ("judging", self.assessment.as_ref().map(assessment)),
        ])
    }
}

/// What judging came to, and how far the steps were taken.
fn assessment(assessment: &Assessment) -> Json {
    let passed = passed(assessment).map(|step| Json::from(step.name()));
    let (verdict, assurance) = match assessment {
        Assessment::Valid { assurance, .. } => ("valid", Some(assurance)),
        Assessment::Rejected { assurance, .. } => ("rejected", Some(assurance)),
        Assessment::Undecided { .. } => ("undecided", None),
    };
    let (objection, cause, reason, warning) = match assessment {
        Assessment::Valid { warning, .. } => (None, None, None, warning.map(slow)),
        Assessment::Rejected { objection, .. } => {
            (Some(objection.kind()), None, Some(objection.to_string()), None)
        }
        Assessment::Undecided { cause, .. } => (None, Some(cause.kind()), Some(cause.to_string()), None),
    };
    Json::Object(fields([
        ("verdict", Some(verdict.into())),
        ("assurance", assurance.map(|assurance| assurance.name().into())),
        ("step", assessment.stopped_at().map(|step| step.name().into())),
        ("objection", objection.map(Json::from)),
        ("cause", cause.map(Json::from)),
        ("reason", reason.map(Json::from)),
        ("warning", warning.map(Json::from)),
        ("passed", Some(passed.collect())),
    ]))
}

/// The steps that are passed.
fn passed(assessment: &Assessment) -> impl Iterator<Item = Step> {
    let end = assessment.stopped_at();
    Step::ALL.into_iter().take_while(move |step| Some(*step) != end)
}

/// What is worth a warning about a fee that is accepted.
fn slow(ruling: FeeRuling) -> String {
    match ruling {
        FeeRuling::UnderFloor { fee, floor } => {
            format!("the fee is {} sat, a leader should pay {} sat at least", fee.to_sat(), floor.to_sat())
        }
        FeeRuling::Reasonable => "the fee is reasonable".to_owned(),
        FeeRuling::Refused(objection) => objection.to_string(),
    }
}

/// A verdict with all that it says.
pub(crate) fn verdict_fields(verdict: &ContractVerdict) -> Map<String, Json> {
    let name = Some(verdict_name(verdict).into());
    match verdict {
        ContractVerdict::Valid => fields([("verdict", name)]),
        ContractVerdict::Rejected(rejection) => fields([
            ("verdict", name),
            ("rule", rejection.rule.map(|rule| rule.id().into())),
            ("item", rejection.item().map(number)),
            ("actual", rejection.actual().map(value)),
            ("bound", rejection.bound().map(value)),
            ("reason", Some(rejection.cause.to_string().into())),
        ]),
        ContractVerdict::Undecided(undecided) => fields([
            ("verdict", name),
            ("cause", Some(undecided.kind().into())),
            ("reason", Some(undecided.to_string().into())),
        ]),
    }
}

/// A block with all that names it.
pub(crate) fn block(block: Block, now: SystemTime) -> Json {
    let Block { number, hash, timestamp } = block;
    json!({ "number": number, "hash": hash.to_string(), "timestamp": timestamp, "age": page::age(&block, now) })
}

/// An object of the fields that apply.
pub(crate) fn fields<const N: usize>(fields: [(&str, Option<Json>); N]) -> Map<String, Json> {
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

const fn verdict_name(verdict: &ContractVerdict) -> &'static str {
    match verdict {
        ContractVerdict::Valid => "valid",
        ContractVerdict::Rejected(_) => "rejected",
        ContractVerdict::Undecided(_) => "undecided",
    }
}

/// A number as JSON; as a decimal string when a JSON reader might round it.
fn number(number: U256) -> Json {
    match u64::try_from(number) {
        Ok(number) if number < 1 << 53 => number.into(),
        _ => number.to_string().into(),
    }
}

/// A rule's value as JSON.
pub(crate) fn value(value: Value) -> Json {
    match value {
        Value::Number(value) | Value::Time(value) | Value::Index(value) => number(value),
        other => other.to_string().into(),
    }
}

/// A time that a rule compares, as seen from the block judged at: `2026-11-25 21:10:05 UTC, in 3 h 0 min`.
pub(crate) fn time(time: U256, block: u64) -> String {
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
    let yellow = Style::new().bold().fg_color(Some(AnsiColor::Yellow.into()));
    write!(f, "{yellow}UNDECIDED{yellow:#}  {what}\n{:11}{reason}", "")
}

/// An open question of a command that has nothing else to report.
#[derive(Clone, Debug)]
pub struct OpenQuestion {
    what: &'static str,
    undecided: ChainError,
}

impl OpenQuestion {
    /// What is open, and why.
    pub const fn new(what: &'static str, undecided: ChainError) -> Self {
        Self { what, undecided }
    }

    /// For programs.
    pub fn to_json(&self) -> Json {
        json!({ "outcome": "undecided", "cause": self.undecided.kind(), "reason": self.undecided.to_string() })
    }
}

impl fmt::Display for OpenQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        undecided(f, self.what, &self.undecided)
    }
}

/// A report for people, in colour; the stream that prints it takes the colour out where it isn't wanted.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let strong = |colour: AnsiColor| Style::new().bold().fg_color(Some(colour.into()));
        let what = format!("{} of wallet {}", self.action, self.wallet);
        match &self.judgement.verdict {
            ContractVerdict::Valid => {
                let green = strong(AnsiColor::Green);
                write!(f, "{green}VALID    {green:#}  {what}")?;
            }
            ContractVerdict::Rejected(rejection) => {
                let red = strong(AnsiColor::Red);
                write!(f, "{red}REJECTED {red:#}  {what}")?;
                if let Some(rule) = rejection.rule {
                    write!(f, "\n           {rule} does not hold: {}", rule.statement())?;
                }
                write!(f, "\n           {}", rejection.cause)?;
                if let (Some(Value::Time(bound)), Some(block)) = (rejection.bound(), self.judgement.block) {
                    write!(f, " ({})", time(bound, block.timestamp))?;
                }
            }
            ContractVerdict::Undecided(reason) => undecided(f, what, reason)?,
        }
        for hint in &self.hints {
            write!(f, "\n           hint: {hint}")?;
        }
        if let (Some(validator), Some(chain_id)) = (self.validator, self.chain_id) {
            write!(f, "\n           asked of {validator} on chain {chain_id}")?;
        }
        if let Some(block) = &self.judgement.block {
            write!(f, "\n           at {}", page::block(block, self.now))?;
        }
        let Some(assessment) = &self.assessment else { return Ok(()) };
        write!(f, "\n           as a member of the wallet would judge it: ")?;
        match assessment {
            Assessment::Valid { assurance, warning } => {
                write!(f, "valid, by {assurance}")?;
                warning.map_or(Ok(()), |ruling| write!(f, "; {}", slow(ruling)))
            }
            Assessment::Rejected { step, objection, assurance } => {
                write!(f, "rejected at {step}, by {assurance}: {objection}")
            }
            Assessment::Undecided { step, cause } => write!(f, "undecided at {step}: {cause}"),
        }
    }
}
