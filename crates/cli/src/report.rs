//! A verdict as people and programs read it.

use std::fmt;

use alloy_primitives::{Address, U256};
use anstyle::{AnsiColor, Style};
use coxswain_ethereum::{Block, Judgement, Verdict};
use coxswain_proposals::{Assessment, Step};
use coxswain_rules::{Action, FeeRuling, KeyHash, Value};
use serde_json::{Map, Value as Json, json};

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
}

impl Report {
    /// The process's exit code: 0 valid, 1 rejected, 3 undecided.
    pub const fn exit_code(&self) -> u8 {
        match &self.judgement.verdict {
            Verdict::Valid => 0,
            Verdict::Rejected(_) => 1,
            Verdict::Undecided(_) => 3,
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
            ("block", self.judgement.block.map(block)),
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
pub(crate) fn verdict_fields(verdict: &Verdict) -> Map<String, Json> {
    let name = Some(verdict_name(verdict).into());
    match verdict {
        Verdict::Valid => fields([("verdict", name)]),
        Verdict::Rejected(rejection) => fields([
            ("verdict", name),
            ("rule", rejection.rule.map(|rule| rule.id().into())),
            ("item", rejection.item().map(number)),
            ("actual", rejection.actual().map(value)),
            ("bound", rejection.bound().map(value)),
            ("reason", Some(rejection.cause.to_string().into())),
        ]),
        Verdict::Undecided(undecided) => fields([
            ("verdict", name),
            ("cause", Some(undecided.kind().into())),
            ("reason", Some(undecided.to_string().into())),
        ]),
    }
}

/// A block with all that names it.
pub(crate) fn block(block: Block) -> Json {
    json!({ "number": block.number, "hash": block.hash.to_string(), "timestamp": block.timestamp })
}

/// An object of the fields that apply.
pub(crate) fn fields<const N: usize>(fields: [(&str, Option<Json>); N]) -> Map<String, Json> {
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

const fn verdict_name(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Valid => "valid",
        Verdict::Rejected(_) => "rejected",
        Verdict::Undecided(_) => "undecided",
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

/// Where a time lies as seen from the block judged at: `37 min after the block`.
pub(crate) fn relative(time: U256, block: u64) -> String {
    let Ok(time) = u32::try_from(time) else { return "no time meets that".to_owned() };
    if time == 0 {
        return "no time meets that".to_owned();
    }
    let (seconds, side) = match u64::from(time).checked_sub(block) {
        Some(seconds) => (seconds, "after"),
        None => (block - u64::from(time), "before"),
    };
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let span = match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    };
    format!("{span} {side} the block")
}

/// A report for people, in colour; the stream that prints it takes the colour out where it isn't wanted.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let strong = |colour: AnsiColor| Style::new().bold().fg_color(Some(colour.into()));
        let colour = match &self.judgement.verdict {
            Verdict::Valid => strong(AnsiColor::Green),
            Verdict::Rejected(_) => strong(AnsiColor::Red),
            Verdict::Undecided(_) => strong(AnsiColor::Yellow),
        };
        let verdict = self.verdict_name().to_uppercase();
        write!(f, "{colour}{verdict:9}{colour:#}  {} of wallet {}", self.action, self.wallet)?;
        match &self.judgement.verdict {
            Verdict::Valid => {}
            Verdict::Rejected(rejection) => {
                if let Some(rule) = rejection.rule {
                    write!(f, "\n           {rule} does not hold: {}", rule.statement())?;
                }
                write!(f, "\n           {}", rejection.cause)?;
                if let (Some(Value::Time(bound)), Some(block)) = (rejection.bound(), self.judgement.block) {
                    write!(f, " ({})", relative(bound, block.timestamp))?;
                }
            }
            Verdict::Undecided(undecided) => write!(f, "\n           {undecided}")?,
        }
        if let (Some(validator), Some(chain_id)) = (self.validator, self.chain_id) {
            write!(f, "\n           asked of {validator} on chain {chain_id}")?;
            if let Some(block) = self.judgement.block {
                write!(f, " at {block}")?;
            }
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
