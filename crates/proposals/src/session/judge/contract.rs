//! Step 2: the contract's verdict, and the rules evaluated here as a second opinion.

use bitcoin::{PubkeyHash, Script, ScriptBuf, WPubkeyHash};
use coxswain_bitcoin::Backend;
use coxswain_ethereum::{ContractVerdict, SnapshotKeys};
use coxswain_rules::{
    Assured, Case, Cause, DepositKey, DepositScript, Finding, HeartbeatProposal, Objection, Rejection,
    RuleId, Snapshot, Subject, evaluate, output_at,
};

use super::Obstacle;
use crate::{Session, SessionError};

/// What was heard of a case.
#[derive(Clone, Debug)]
pub(crate) struct CaseAnswers {
    case: Case,
    /// The contract's verdict, if it has decided.
    verdict: Option<ContractVerdict>,
    /// What the rules read.
    snapshot: Option<Snapshot>,
}

/// What the rules evaluated here say of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opinion {
    /// Every rule, in the order in which the contract evaluates them.
    pub findings: Vec<Finding>,
    /// The deposits to an output that the validator deployed on mainnet takes for theirs, though nobody can spend it.
    unspendable: Vec<usize>,
}

/// Whether the contract says what the rules say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concurrence {
    /// It does: the same verdict, for the same reason as far as it tells one.
    Full,
    /// It is the validator deployed on mainnet, and differs as that is known to: it accepts deposits that nobody can
    /// spend.
    KnownDifference,
    /// It doesn't.
    None,
}

impl Concurrence {
    /// The name in documents and output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::KnownDifference => "known-difference",
            Self::None => "none",
        }
    }
}

impl Opinion {
    /// What the rules say of the case over this snapshot.
    pub(crate) fn new(case: &Case, snapshot: &Snapshot) -> Result<Self, coxswain_rules::MissingError> {
        let findings = evaluate(case, snapshot)?.findings().to_vec();
        Ok(Self { findings, unspendable: unspendable(case, snapshot) })
    }

    /// The first rule broken, as a rejection.
    pub fn rejection(&self) -> Option<Rejection> {
        self.findings.iter().find_map(rejection)
    }

    /// The first deposit that nobody can spend, as a rejection.
    fn unspendable(&self) -> Option<Rejection> {
        self.findings.iter().filter(|finding| self.is_forgiven(finding)).find_map(rejection)
    }

    /// Whether the validator deployed on mainnet passes over what the finding finds.
    fn is_forgiven(&self, finding: &Finding) -> bool {
        finding.rule == RuleId::Ds11 && finding.item.is_some_and(|item| self.unspendable.contains(&item))
    }

    /// Why neither is to be trusted, if they don't concur.
    pub fn disagreement(&self, verdict: &ContractVerdict) -> SessionError {
        let contract = match verdict {
            ContractVerdict::Rejected(rejection) => format!("rejects the proposal ({rejection})"),
            ContractVerdict::Valid | ContractVerdict::Undecided(_) => "accepts the proposal".to_owned(),
        };
        let rules = match self.rejection() {
            Some(rejection) => format!("reject it ({rejection})"),
            None => "accept it".to_owned(),
        };
        SessionError::Disagreement { contract, rules }
    }
}

fn rejection(finding: &Finding) -> Option<Rejection> {
    let cause = Cause::Reason(finding.reason()?.clone());
    Some(Rejection { rule: Some(finding.rule), cause })
}

impl<B: Backend> Session<'_, B> {
    /// The contract's verdict on the case, asked once.
    pub async fn contract(&mut self, case: &Case) -> ContractVerdict {
        if let Some(verdict) = &self.heard(case).verdict {
            return verdict.clone();
        }
        let (validator, panel) = (&self.sources.validator, &self.sources.panel);
        let Assured { fact: verdict, assurance } =
            validator.assured_verdict(panel, case, &self.named.header).await;
        if let ContractVerdict::Valid | ContractVerdict::Rejected(_) = verdict {
            self.assurances.count_state(assurance);
            self.heard(case).verdict = Some(verdict.clone());
        }
        verdict
    }

    /// What the rules evaluated here say of the case, over the Bridge's state at the block.
    ///
    /// # Errors
    /// If the Bridge can't be read.
    pub async fn opinion(&mut self, case: &Case) -> Result<Opinion, SessionError> {
        let snapshot = self.snapshot_of(case).await?;
        Ok(Opinion::new(case, &snapshot)?)
    }

    /// Whether the verdict is what the rules say; `None` if it is undecided.
    pub async fn concurrence(&mut self, opinion: &Opinion, verdict: &ContractVerdict) -> Option<Concurrence> {
        let said = match verdict {
            ContractVerdict::Valid => None,
            ContractVerdict::Rejected(rejection) => Some(rejection),
            ContractVerdict::Undecided(_) => return None,
        };
        if is_said(said, opinion.findings.iter()) {
            return Some(Concurrence::Full);
        }
        let unforgiven = opinion.findings.iter().filter(|finding| !opinion.is_forgiven(finding));
        let known = is_said(said, unforgiven) && self.is_deployed().await;
        Some(if known { Concurrence::KnownDifference } else { Concurrence::None })
    }

    /// What the rules read to judge the case.
    pub(crate) async fn snapshot_of(&mut self, case: &Case) -> Result<Snapshot, SessionError> {
        if let Some(snapshot) = &self.heard(case).snapshot {
            return Ok(snapshot.clone());
        }
        let snapshot = self.snapshot(SnapshotKeys::from(case)).await?;
        Ok(self.heard(case).snapshot.insert(snapshot).clone())
    }

    fn heard(&mut self, case: &Case) -> &mut CaseAnswers {
        let heard = self.heard.take().filter(|heard| heard.case == *case);
        self.heard.insert(heard.unwrap_or_else(|| CaseAnswers {
            case: case.clone(),
            verdict: None,
            snapshot: None,
        }))
    }

    /// Takes the step. A validator that accepts what nobody can spend is overruled.
    pub(super) async fn check_contract(&mut self, case: &Case) -> Result<(), Obstacle> {
        let verdict = self.contract(case).await;
        if let ContractVerdict::Undecided(undecided) = verdict {
            return Err(SessionError::Ethereum(undecided).into());
        }
        let opinion = self.opinion(case).await?;
        match (self.concurrence(&opinion, &verdict).await, verdict) {
            (Some(Concurrence::Full), ContractVerdict::Valid) => Ok(()),
            (Some(Concurrence::Full), ContractVerdict::Rejected(rejection)) => {
                Err(Objection::Contract(rejection).into())
            }
            (Some(Concurrence::KnownDifference), verdict) => match opinion.unspendable() {
                Some(rejection) => Err(Objection::Unspendable(rejection).into()),
                None => Err(opinion.disagreement(&verdict).into()),
            },
            (Some(Concurrence::Full | Concurrence::None) | None, verdict) => {
                Err(opinion.disagreement(&verdict).into())
            }
        }
    }

    /// Whether the contract is the validator deployed on mainnet, by how it speaks: its reasons are texts.
    async fn is_deployed(&mut self) -> bool {
        if let Some(is_deployed) = self.is_deployed {
            return is_deployed;
        }
        let invalid = Subject::Heartbeat(HeartbeatProposal { message: Vec::new() });
        let case = Case { wallet: self.key_hash, subject: invalid };
        let (validator, panel) = (&self.sources.validator, &self.sources.panel);
        let Assured { fact: verdict, assurance } =
            validator.assured_verdict(panel, &case, &self.named.header).await;
        if matches!(verdict, ContractVerdict::Undecided(_)) {
            // That tells nothing; it is asked again.
            return false;
        }
        self.assurances.count_state(assurance);
        let is_deployed =
            matches!(verdict, ContractVerdict::Rejected(Rejection { cause: Cause::Text(_), .. }));
        *self.is_deployed.insert(is_deployed)
    }
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
