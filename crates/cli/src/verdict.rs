//! A verdict on one proposal as people and programs read it: what `validate` answers with.

use std::{fmt, time::SystemTime};

use alloy_primitives::Address;
use anstyle::AnsiColor;
use coxswain_ethereum::{ContractVerdict, Judgement};
use coxswain_proposals::{Assessment, Assurances, Step};
use coxswain_rules::{Action, Dissent, FeeRuling, KeyHash, Value};
use serde::{Serialize, Serializer};

use crate::{
    page,
    report::{
        self, AssuranceFields, BlockFields, DissentFields, EXIT_OK, EXIT_UNDECIDED, Report, Scalar, Text,
        strong, time, undecided,
    },
};

/// The verdict on one proposal, with what it was asked of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerdictReport {
    /// What was proposed.
    pub action: Action,
    /// The wallet that would act.
    pub wallet: KeyHash,
    /// The chain asked. `None` if the endpoint didn't tell it.
    pub chain_id: Option<u64>,
    /// The validator asked. `None` if none was.
    pub validator: Option<Address>,
    /// The verdict, and its block.
    pub judgement: Judgement,
    /// How far the verdict is to be believed. `None` if it didn't come to one.
    pub assurances: Option<Assurances>,
    /// What a member of the wallet would say, if there is a Bitcoin endpoint to take all steps of judging with.
    pub assessment: Option<Assessment>,
    /// Which servers say otherwise than enough others, or than what is proven.
    pub dissents: Vec<Dissent>,
    /// What a name that the Bridge doesn't know was probably meant to be.
    pub hints: Vec<String>,
    /// When it was asked.
    pub now: SystemTime,
}

impl VerdictReport {
    /// What was judged, by whom, where and when.
    pub(crate) fn context(&self) -> ContextFields<'_> {
        ContextFields {
            action: self.action.name(),
            wallet: Text(self.wallet),
            chain_id: self.chain_id,
            validator: self.validator.map(Text),
            block: self.judgement.block.map(|block| BlockFields::new(block, self.now)),
            assurance: self.assurances.as_ref().map(Into::into),
            dissents: self.dissents.iter().map(Into::into).collect(),
            hints: &self.hints,
            judging: self.assessment.as_ref().map(JudgingFields::new),
        }
    }
}

impl Report for VerdictReport {
    fn exit_code(&self) -> u8 {
        match &self.judgement.verdict {
            ContractVerdict::Valid => EXIT_OK,
            ContractVerdict::Rejected(_) => 1,
            ContractVerdict::Undecided(_) => EXIT_UNDECIDED,
        }
    }
}

/// Fields that don't apply are left out; docs/proposals.md describes them.
impl Serialize for VerdictReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            #[serde(flatten)]
            verdict: VerdictFields,
            #[serde(flatten)]
            context: ContextFields<'a>,
        }
        let verdict = VerdictFields::new(&self.judgement.verdict);
        Fields { verdict, context: self.context() }.serialize(serializer)
    }
}

/// A verdict with all that it says.
#[derive(Debug, Serialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub(crate) enum VerdictFields {
    Valid,
    Rejected {
        #[serde(skip_serializing_if = "Option::is_none")]
        rule: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        item: Option<Scalar>,
        #[serde(skip_serializing_if = "Option::is_none")]
        actual: Option<Scalar>,
        #[serde(skip_serializing_if = "Option::is_none")]
        bound: Option<Scalar>,
        reason: String,
    },
    Undecided {
        cause: &'static str,
        reason: String,
    },
}

impl VerdictFields {
    pub(crate) fn new(verdict: &ContractVerdict) -> Self {
        match verdict {
            ContractVerdict::Valid => Self::Valid,
            ContractVerdict::Rejected(rejection) => Self::Rejected {
                rule: rejection.rule.map(|rule| rule.id()),
                item: rejection.item().map(Into::into),
                actual: rejection.actual().map(Into::into),
                bound: rejection.bound().map(Into::into),
                reason: rejection.cause.to_string(),
            },
            ContractVerdict::Undecided(error) => {
                Self::Undecided { cause: error.kind(), reason: error.to_string() }
            }
        }
    }
}

/// What was judged, by whom, where and when.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContextFields<'a> {
    action: &'static str,
    wallet: Text<KeyHash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chain_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    validator: Option<Text<Address>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    block: Option<BlockFields>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assurance: Option<AssuranceFields>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dissents: Vec<DissentFields>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    hints: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    judging: Option<JudgingFields>,
}

/// The result of judging, and the steps that were passed.
#[derive(Debug, Serialize)]
struct JudgingFields {
    #[serde(flatten)]
    assessment: AssessmentFields,
    passed: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
enum AssessmentFields {
    Valid {
        assurance: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        warning: Option<String>,
    },
    Rejected {
        step: &'static str,
        objection: &'static str,
        reason: String,
        assurance: &'static str,
    },
    Undecided {
        step: &'static str,
        cause: &'static str,
        reason: String,
    },
}

impl JudgingFields {
    fn new(assessment: &Assessment) -> Self {
        let end = assessment.stopped_at();
        let passed = Step::ALL.into_iter().take_while(|step| Some(*step) != end).map(Step::name).collect();
        let assessment = match assessment {
            Assessment::Valid { assurance, warning } => {
                AssessmentFields::Valid { assurance: assurance.name(), warning: warning.map(slow) }
            }
            Assessment::Rejected { step, objection, assurance } => AssessmentFields::Rejected {
                step: step.name(),
                objection: objection.kind(),
                reason: objection.to_string(),
                assurance: assurance.name(),
            },
            Assessment::Undecided { step, cause } => AssessmentFields::Undecided {
                step: step.name(),
                cause: cause.kind(),
                reason: cause.to_string(),
            },
        };
        Self { assessment, passed }
    }
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

impl fmt::Display for VerdictReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
            ContractVerdict::Undecided(error) => {
                undecided(f, what, error)?;
                report::alarm(f, error)?;
            }
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
        if let Some(assurances) = &self.assurances {
            write!(f, "\n           {assurances}")?;
        }
        report::dissents(f, &self.dissents)?;
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
