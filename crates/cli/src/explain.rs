//! `coxswain explain`: what every rule says of a proposal, by our own reading of the Bridge, and whether the contract
//! agrees.

use std::fmt;

use alloy_primitives::Address;
use anstyle::{AnsiColor, Style};
use coxswain_ethereum::ChainError;
use coxswain_proposals::Concurrence;
use coxswain_rules::{Finding, Ruling, Value, units::UnixTime};
use serde::{Serialize, Serializer};

use crate::{
    document::Document,
    judging::{Extent, Judged, Rules, Target, ValidateError, judge},
    report::{self, EXIT_UNDECIDED, Report, Scalar, Text, strong},
    verdict::{ContextFields, VerdictFields, VerdictReport},
};

/// The contract's verdict on one proposal, next to what every rule says.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What the contract says.
    pub contract: VerdictReport,
    /// What the rules say. `None` if the contract was not asked either.
    pub rules: Option<Result<Rules, ChainError>>,
}

/// Asks the contract for its verdict on a document's proposal, and evaluates every rule.
///
/// # Errors
/// When the document or the target makes no sense, as with [`validate`](crate::validate()).
pub async fn explain(document: Document, target: &Target) -> Result<Explanation, ValidateError> {
    let Judged { report, rules } = judge(document, target, Extent::ContractAndRules).await?;
    Ok(Explanation { contract: report, rules })
}

impl Explanation {
    /// Whether the contract says what the rules say. `None` if one of them is undecided.
    pub fn concurrence(&self) -> Option<Concurrence> {
        self.rules.as_ref()?.as_ref().ok()?.concurrence
    }

    /// Why there is no verdict although the contract has one: kind and sentence.
    fn doubt(&self) -> Option<(&'static str, String)> {
        match self.rules.as_ref()? {
            Err(undecided) => Some((undecided.kind(), undecided.to_string())),
            Ok(Rules { opinion, concurrence: Some(Concurrence::None), .. }) => {
                let disagreement = opinion.disagreement(&self.contract.judgement.verdict);
                Some((disagreement.kind(), disagreement.to_string()))
            }
            Ok(_) => None,
        }
    }
}

impl Report for Explanation {
    /// The contract's verdict's when the rules say the same (or differ as known), else 3.
    fn exit_code(&self) -> u8 {
        match self.concurrence() {
            Some(Concurrence::Full | Concurrence::KnownDifference) => self.contract.exit_code(),
            Some(Concurrence::None) | None => EXIT_UNDECIDED,
        }
    }
}

/// Fields that don't apply are left out; docs/proposals.md describes them.
impl Serialize for Explanation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            #[serde(flatten)]
            verdict: VerdictFields,
            #[serde(skip_serializing_if = "Option::is_none")]
            contract: Option<VerdictFields>,
            #[serde(flatten)]
            context: ContextFields<'a>,
            #[serde(skip_serializing_if = "Option::is_none")]
            agreement: Option<&'static str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            bridge: Option<Text<Address>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            rules: Option<Vec<FindingFields>>,
        }
        let contract = VerdictFields::new(&self.contract.judgement.verdict);
        let (verdict, contract) = match (self.doubt(), contract) {
            (Some((cause, reason)), contract @ (VerdictFields::Valid | VerdictFields::Rejected { .. })) => {
                (VerdictFields::Undecided { cause, reason }, Some(contract))
            }
            (_, contract) => (contract, None),
        };
        let rules = self.rules.as_ref().and_then(|rules| rules.as_ref().ok());
        let fields = Fields {
            verdict,
            contract,
            context: self.contract.context(),
            agreement: self.concurrence().map(Concurrence::name),
            bridge: rules.map(|rules| Text(rules.bridge)),
            rules: rules.map(|rules| rules.opinion.findings.iter().map(FindingFields::new).collect()),
        };
        fields.serialize(serializer)
    }
}

/// What one rule says.
#[derive(Serialize)]
struct FindingFields {
    rule: &'static str,
    statement: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<usize>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    actual: Option<Scalar>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bound: Option<Scalar>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    needs: Option<&'static str>,
}

impl FindingFields {
    fn new(finding: &Finding) -> Self {
        let (outcome, needs) = match finding.outcome {
            Ruling::Holds => ("holds", None),
            Ruling::Broken(_) => ("broken", None),
            Ruling::NotEvaluable(rule) => ("not-evaluable", Some(rule.id())),
        };
        Self {
            rule: finding.rule.id(),
            statement: finding.rule.statement(),
            item: finding.item,
            outcome,
            actual: finding.actual.map(Into::into),
            bound: finding.bound.map(Into::into),
            reason: finding.reason().map(|reason| reason.to_string()),
            needs,
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (yellow, red) = (strong(AnsiColor::Yellow), strong(AnsiColor::Red));
        if let Some((_, reason)) = self.doubt() {
            let VerdictReport { action, wallet, .. } = &self.contract;
            let reason = match self.concurrence() {
                Some(_) => format!("{red}DISAGREEMENT{red:#}: {reason}"),
                None => format!("the rules can't be evaluated: {reason}"),
            };
            report::undecided(f, format_args!("{action} of wallet {wallet}"), reason)?;
            writeln!(f, "\n\nthe contract's own verdict")?;
        }
        write!(f, "{}", self.contract)?;
        match self.concurrence() {
            Some(Concurrence::Full) => {
                write!(f, "\n           the rules as evaluated here say the same")?;
            }
            Some(Concurrence::KnownDifference) => write!(
                f,
                "\n           {yellow}KNOWN DIFFERENCE{yellow:#}: this is the validator deployed on mainnet, which accepts \
                 deposits that nobody can spend (P2PKH or P2WPKH over the deposit script's hash); the verdict is its own, \
                 and the wallet could not carry it out"
            )?,
            Some(Concurrence::None) | None => {}
        }
        let Some(Ok(rules)) = &self.rules else { return Ok(()) };
        let block = self.contract.judgement.block;
        rules.write(f, block.map(|block| block.timestamp).unwrap_or_default())
    }
}

impl Rules {
    fn write(&self, f: &mut fmt::Formatter<'_>, now: UnixTime) -> fmt::Result {
        let plain = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        let mut heading = None;
        for finding in &self.opinion.findings {
            if heading != Some(finding.item) {
                heading = Some(finding.item);
                match finding.item {
                    None => write!(f, "\n\nthe proposal as a whole")?,
                    Some(item) => {
                        let name = self.items.get(item).map(String::as_str).unwrap_or_default();
                        write!(f, "\n\nitem {item}, {name}")?;
                    }
                }
            }
            let (colour, word) = match finding.outcome {
                Ruling::Holds => (plain(AnsiColor::Green), "holds"),
                Ruling::Broken(_) => (plain(AnsiColor::Red), "broken"),
                Ruling::NotEvaluable(_) => (plain(AnsiColor::Yellow), "not evaluable"),
            };
            let (rule, statement) = (finding.rule, finding.rule.statement());
            write!(f, "\n  {colour}{word:13}{colour:#}  {rule:5}  {statement}")?;
            match (finding.actual, finding.bound) {
                // What is to be equal, and is, is shown once.
                (Some(actual), Some(bound)) if actual == bound && !is_quantity(actual) => {
                    write!(f, ": {}", shown(actual, now))?;
                }
                (Some(actual), Some(bound)) => {
                    write!(f, ": {}, bound {}", shown(actual, now), shown_bound(bound, now))?;
                }
                (Some(actual), None) => write!(f, ": {}", shown(actual, now))?,
                (None, Some(bound)) => write!(f, ": bound {}", shown_bound(bound, now))?,
                (None, None) => {}
            }
            match &finding.outcome {
                Ruling::Holds => {}
                Ruling::Broken(reason) => write!(f, "\n{:24}{reason}", "")?,
                Ruling::NotEvaluable(needs) => write!(f, ": as {needs} is broken")?,
            }
        }
        Ok(())
    }
}

const fn is_quantity(value: Value) -> bool {
    matches!(value, Value::Number(_) | Value::Time(_) | Value::Index(_))
}

fn shown(value: Value, now: UnixTime) -> String {
    match value {
        Value::Time(time) if time.is_zero() => "never".to_owned(),
        Value::Time(time) => report::time(time, now),
        other => other.to_string(),
    }
}

fn shown_bound(value: Value, now: UnixTime) -> String {
    match value {
        // A time that can't be met.
        Value::Time(time) => report::time(time, now),
        other => shown(other, now),
    }
}
