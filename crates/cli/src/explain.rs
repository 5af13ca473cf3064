//! `coxswain explain`: what every rule says of a proposal, by our own reading of the Bridge, and whether the contract
//! agrees.

use std::fmt;

use alloy_primitives::Address;
use anstyle::{AnsiColor, Style};
use bitcoin::{PubkeyHash, Script, ScriptBuf, WPubkeyHash};
use coxswain_ethereum::{SnapshotKeys, SnapshotReader, Undecided, Verdict};
use coxswain_rules::{
    Case, Cause, DepositKey, DepositScript, Finding, HeartbeatProposal, Outcome, Rejection, RuleId, Snapshot,
    Subject, Value, evaluate, output_at,
};
use serde_json::{Value as Json, json};

use crate::{
    document::Document,
    report::{self, Report, fields, verdict_fields},
    validate::{Hearing, Target, ValidateError, judge},
};

/// The contract's verdict on one proposal, next to what every rule says.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What the contract says.
    pub contract: Report,
    /// What the rules say; none when it didn't come to that, as it didn't for the contract.
    pub rules: Option<Result<Rules, Undecided>>,
    /// Whether the two agree; none when one of them is undecided.
    pub agreement: Option<Agreement>,
}

/// What the rules say.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The Bridge read: the one that the validator reads.
    pub bridge: Address,
    /// Every rule, in the order in which the contract evaluates them.
    pub findings: Vec<Finding>,
    /// What names each item of the proposal.
    items: Vec<String>,
    /// The deposits to an output that the validator deployed on mainnet takes for theirs, though nobody can spend it.
    unspendable: Vec<usize>,
}

/// Whether the contract says what the rules say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// It does: the same verdict, for the same reason as far as it tells one.
    Full,
    /// It is the validator deployed on mainnet, and differs as that is known to: it accepts deposits that nobody can
    /// spend.
    KnownDifference,
    /// It doesn't.
    None,
}

impl Agreement {
    const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::KnownDifference => "known-difference",
            Self::None => "none",
        }
    }
}

/// Asks the contract for its verdict on a document's proposal, and evaluates every rule.
///
/// # Errors
/// When the document or the target makes no sense, as with [`validate`](crate::validate()).
pub async fn explain(document: Document, target: &Target) -> Result<Explanation, ValidateError> {
    let (contract, hearing) = judge(document, target).await?;
    let Some(hearing) = hearing else { return Ok(Explanation { contract, rules: None, agreement: None }) };
    let rules = rules(&hearing).await;
    let agreement = match (&rules, said(&contract.judgement.verdict)) {
        (Ok(rules), Some(said)) => Some(agreement(&hearing, rules, said).await),
        _ => None,
    };
    Ok(Explanation { contract, rules: Some(rules), agreement })
}

async fn rules(Hearing { endpoint, chain_id, validator, block, case }: &Hearing) -> Result<Rules, Undecided> {
    let bridge = validator.bridge(*block).await?;
    let reader = SnapshotReader::new(endpoint.clone(), *chain_id, bridge);
    let snapshot = reader.snapshot(*block, &SnapshotKeys::from(case)).await?;
    let findings = evaluate(case, &snapshot)?.findings().to_vec();
    Ok(Rules { bridge, findings, items: items(case), unspendable: unspendable(case, &snapshot) })
}

/// A decided verdict: none for a *yes*, or the *no*.
const fn said(verdict: &Verdict) -> Option<Option<&Rejection>> {
    match verdict {
        Verdict::Valid => Some(None),
        Verdict::Rejected(rejection) => Some(Some(rejection)),
        Verdict::Undecided(_) => None,
    }
}

async fn agreement(hearing: &Hearing, rules: &Rules, said: Option<&Rejection>) -> Agreement {
    if is_said(said, rules.findings.iter()) {
        return Agreement::Full;
    }
    let forgiven = |finding: &&Finding| {
        finding.rule == RuleId::Ds11 && finding.item.is_some_and(|item| rules.unspendable.contains(&item))
    };
    let known = is_said(said, rules.findings.iter().filter(|finding| !forgiven(finding)));
    if known && is_deployed(hearing).await { Agreement::KnownDifference } else { Agreement::None }
}

/// Whether this is what a contract says that evaluates these findings' rules.
fn is_said<'a>(said: Option<&Rejection>, mut findings: impl Iterator<Item = &'a Finding>) -> bool {
    let first = findings.find_map(|finding| Some((finding.rule, finding.reason()?)));
    match (said, first) {
        (None, None) => true,
        (Some(Rejection { rule, cause }), Some((first, reason))) => match cause {
            Cause::Reason(said) => (*rule, said) == (Some(first), reason),
            Cause::Text(_) => *rule == Some(first),
            // A rejection that names no rule.
            Cause::Panic(_) => true,
        },
        _ => false,
    }
}

/// Whether the contract is the validator deployed on mainnet, by how it speaks: its reasons are texts.
async fn is_deployed(Hearing { validator, block, case, .. }: &Hearing) -> bool {
    let invalid = Subject::Heartbeat(HeartbeatProposal { message: Vec::new() });
    let verdict = validator.validate_at(&Case { wallet: case.wallet, subject: invalid }, *block).await;
    matches!(verdict, Verdict::Rejected(Rejection { cause: Cause::Text(_), .. }))
}

/// The deposits whose funding output is P2PKH or P2WPKH over the hash of the deposit script.
fn unspendable(case: &Case, snapshot: &Snapshot) -> Vec<usize> {
    let Subject::DepositSweep { proposal, extra_info } = &case.subject else { return Vec::new() };
    let deposits = proposal.deposits.iter().zip(extra_info).enumerate();
    deposits
        .filter(|(_, (deposit, info))| {
            let Ok(record) = snapshot.deposit(DepositKey::new(deposit.outpoint)) else { return false };
            let outputs = &info.funding_transaction.output_vector;
            let Ok(output) = output_at(outputs, deposit.outpoint.vout) else { return false };
            let script = DepositScript::new(record.depositor, record.extra_data, info);
            key_hash_scripts(script.as_script()).iter().any(|script| script.as_bytes() == output.script)
        })
        .map(|(index, _)| index)
        .collect()
}

/// The outputs that take a script's hash for a key's.
fn key_hash_scripts(script: &Script) -> [ScriptBuf; 2] {
    let hash = script.script_hash().to_raw_hash();
    [
        ScriptBuf::new_p2pkh(&PubkeyHash::from_raw_hash(hash)),
        ScriptBuf::new_p2wpkh(&WPubkeyHash::from_raw_hash(hash)),
    ]
}

fn items(case: &Case) -> Vec<String> {
    match &case.subject {
        Subject::DepositSweep { proposal, .. } => {
            proposal.deposits.iter().map(|deposit| format!("output {}", deposit.outpoint)).collect()
        }
        Subject::Redemption(proposal) => {
            proposal.scripts.iter().map(|script| format!("to script 0x{script:x}")).collect()
        }
        Subject::Heartbeat(_) | Subject::MovingFunds { .. } | Subject::MovedFundsSweep(_) => Vec::new(),
    }
}

impl Explanation {
    /// The process's exit code: the contract's verdict's when the rules say the same (or differ as known), else 3.
    pub const fn exit_code(&self) -> u8 {
        match self.agreement {
            Some(Agreement::Full | Agreement::KnownDifference) => self.contract.exit_code(),
            Some(Agreement::None) | None => 3,
        }
    }

    /// Why there is no verdict although the contract has one: kind and sentence.
    fn doubt(&self) -> Option<(&'static str, String)> {
        match (&self.rules, self.agreement) {
            (Some(Err(undecided)), _) => Some((undecided.kind(), undecided.to_string())),
            (Some(Ok(rules)), Some(Agreement::None)) => {
                let by_contract = match &self.contract.judgement.verdict {
                    Verdict::Rejected(rejection) => format!("rejects the proposal ({rejection})"),
                    _ => "accepts the proposal".to_owned(),
                };
                let by_rules =
                    match rules.findings.iter().find_map(|finding| Some((finding.rule, finding.reason()?))) {
                        Some((rule, reason)) => format!("reject it ({rule}: {reason})"),
                        None => "accept it".to_owned(),
                    };
                let reason = format!(
                    "the contract {by_contract}, but the rules evaluated here {by_rules}: trust neither, \
                     and find out which one is wrong"
                );
                Some(("disagreement", reason))
            }
            _ => None,
        }
    }

    /// The explanation for programs. Fields that don't apply are left out; docs/proposals.md describes them.
    pub fn to_json(&self) -> Json {
        let contract = verdict_fields(&self.contract.judgement.verdict);
        let decided = said(&self.contract.judgement.verdict).is_some();
        let mut json = match self.doubt() {
            Some((cause, reason)) if decided => fields([
                ("verdict", Some("undecided".into())),
                ("cause", Some(cause.into())),
                ("reason", Some(reason.into())),
                ("contract", Some(contract.into())),
            ]),
            _ => contract,
        };
        json.append(&mut self.contract.context_fields());
        json.append(&mut fields([("agreement", self.agreement.map(|agreement| agreement.name().into()))]));
        if let Some(Ok(rules)) = &self.rules {
            let findings = rules.findings.iter().map(finding_json);
            json.append(&mut fields([
                ("bridge", Some(rules.bridge.to_string().into())),
                ("rules", Some(findings.collect())),
            ]));
        }
        Json::Object(json)
    }
}

fn finding_json(finding: &Finding) -> Json {
    let needs = match finding.outcome {
        Outcome::NotEvaluable(rule) => Some(rule.id().into()),
        Outcome::Holds | Outcome::Broken(_) => None,
    };
    let outcome = match finding.outcome {
        Outcome::Holds => "holds",
        Outcome::Broken(_) => "broken",
        Outcome::NotEvaluable(_) => "not-evaluable",
    };
    Json::Object(fields([
        ("rule", Some(finding.rule.id().into())),
        ("statement", Some(finding.rule.statement().into())),
        ("item", finding.item.map(|item| json!(item))),
        ("outcome", Some(outcome.into())),
        ("actual", finding.actual.map(report::value)),
        ("bound", finding.bound.map(report::value)),
        ("reason", finding.reason().map(|reason| reason.to_string().into())),
        ("needs", needs),
    ]))
}

/// An explanation for people, in colour; the stream that prints it takes the colour out where it isn't wanted.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let strong = |colour: AnsiColor| Style::new().bold().fg_color(Some(colour.into()));
        let (yellow, red) = (strong(AnsiColor::Yellow), strong(AnsiColor::Red));
        if let Some((_, reason)) = self.doubt() {
            let Report { action, wallet, .. } = &self.contract;
            writeln!(f, "{yellow}UNDECIDED{yellow:#}  {action} of wallet {wallet}")?;
            match self.agreement {
                Some(_) => writeln!(f, "           {red}DISAGREEMENT{red:#}: {reason}")?,
                None => writeln!(f, "           the rules can't be evaluated: {reason}")?,
            }
            writeln!(f, "\nthe contract's own verdict")?;
        }
        write!(f, "{}", self.contract)?;
        match self.agreement {
            Some(Agreement::Full) => {
                write!(f, "\n           the rules as evaluated here say the same")?;
            }
            Some(Agreement::KnownDifference) => write!(
                f,
                "\n           {yellow}KNOWN DIFFERENCE{yellow:#}: this is the validator deployed on mainnet, which accepts \
                 deposits that nobody can spend\n           (P2PKH or P2WPKH over the deposit script's hash); the verdict \
                 is its own, and the wallet could not carry it out"
            )?,
            Some(Agreement::None) | None => {}
        }
        let Some(Ok(rules)) = &self.rules else { return Ok(()) };
        let block = self.contract.judgement.block;
        rules.write(f, block.map(|block| block.timestamp).unwrap_or_default())
    }
}

impl Rules {
    fn write(&self, f: &mut fmt::Formatter<'_>, now: u64) -> fmt::Result {
        let plain = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        let mut heading = None;
        for finding in &self.findings {
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
                Outcome::Holds => (plain(AnsiColor::Green), "holds"),
                Outcome::Broken(_) => (plain(AnsiColor::Red), "broken"),
                Outcome::NotEvaluable(_) => (plain(AnsiColor::Yellow), "not evaluable"),
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
                Outcome::Holds => {}
                Outcome::Broken(reason) => write!(f, "\n{:24}{reason}", "")?,
                Outcome::NotEvaluable(needs) => write!(f, ": as {needs} is broken")?,
            }
        }
        Ok(())
    }
}

const fn is_quantity(value: Value) -> bool {
    matches!(value, Value::Number(_) | Value::Time(_) | Value::Index(_))
}

fn shown(value: Value, now: u64) -> String {
    match value {
        Value::Time(time) if time.is_zero() => "never".to_owned(),
        Value::Time(time) if u64::try_from(time) == Ok(now) => format!("{time} (the block)"),
        Value::Time(time) => format!("{time} ({})", report::relative(time, now)),
        other => other.to_string(),
    }
}

fn shown_bound(value: Value, now: u64) -> String {
    match value {
        Value::Time(time) if u32::try_from(time).unwrap_or_default() == 0 => report::relative(time, now),
        other => shown(other, now),
    }
}
