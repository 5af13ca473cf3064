//! What was left out of a proposal, and why: every candidate gets one reason.

use std::fmt;

use coxswain_bitcoin::BackendError;
use coxswain_rules::{
    Amount, Finding, OutPoint, Rejection, RuleId, ScriptBuf, TransactionError,
    units::{Blocks, Confirmations, UnixTime},
};
use serde::{Deserialize, Serialize};

/// A candidate that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusion {
    /// Which one.
    pub item: Item,
    /// Why.
    pub why: Why,
}

/// What a proposal is put together from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    /// A deposit, by its funding output.
    Deposit(OutPoint),
    /// A redemption request, by the script that it is to pay.
    Redemption(ScriptBuf),
    /// A moved funds sweep request, by the output to sweep.
    MovedFunds(OutPoint),
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deposit(outpoint) => write!(f, "deposit {outpoint}"),
            Self::Redemption(script) => write!(f, "redemption to {script:x}"),
            Self::MovedFunds(outpoint) => write!(f, "moved funds {outpoint}"),
        }
    }
}

/// Why a candidate was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Why {
    /// It breaks this rule, which names what it compared.
    Rule(Box<Finding>),
    /// It keeps this rule, which names what it compared, but may not any more when the proposal is signed.
    Expiring {
        /// What the rule compares.
        finding: Box<Finding>,
        /// Seconds for which the rule must hold still.
        lead: u64,
    },
    /// The contract rejects the proposal for it.
    Contract(Box<Rejection>),
    /// The wallet's transaction can't be built with it.
    Transaction(TransactionError),
    /// Its event is not deep enough in the Ethereum chain yet.
    Shallow {
        /// How many blocks stand on the event's.
        depth: Blocks,
        /// How many it needs.
        least: Blocks,
    },
    /// Bitcoin knows no such transaction.
    NotFound,
    /// Its transaction is not deep enough in the Bitcoin chain yet.
    Unconfirmed {
        /// In how many blocks it is buried.
        confirmations: Confirmations,
        /// In how many it must be.
        least: Confirmations,
    },
    /// Its output is spent on Bitcoin already.
    Spent,
    /// Bitcoin was not asked again: it was found wanting the last time, and its turn comes later.
    Postponed {
        /// When it will be asked about again, by the chain's clock.
        until: UnixTime,
        /// What was wrong the last time.
        last: Box<Self>,
    },
    /// Bitcoin was asked about older ones, as many as one generation asks about.
    NotAskedYet,
    /// The Bitcoin backend finds a transaction only by an unspent output, and doesn't find this one: its output is spent, or was
    /// never there. Either way it can't be swept.
    Unindexed {
        /// The backend's host and port.
        endpoint: String,
    },
    /// Bitcoin gave no usable answer about it. Nothing is known of the candidate, so that is not remembered.
    #[serde(skip)]
    Unanswered(BackendError),
    /// Judging it alone takes more gas than nodes allow a call.
    TooCostly {
        /// What it takes.
        gas: u64,
        /// What nodes allow.
        limit: u64,
    },
    /// The output that pays it would be too small to relay.
    Dust,
    /// The change once it is paid would be too small to relay.
    DustChange {
        /// The change.
        #[serde(with = "bitcoin::amount::serde::as_sat")]
        change: Amount,
        /// The least change that relays.
        #[serde(with = "bitcoin::amount::serde::as_sat")]
        least: Amount,
    },
    /// It is sound, and waits for a later proposal: this one is full.
    Full,
    /// It is sound, and waits for a later proposal: one more would take more gas than nodes allow a call.
    Gas,
    /// It is sound, and waits for a later proposal: this one sweeps to another vault.
    OtherVault,
}

impl Why {
    /// The validation rule broken. `None` if it is not one of the contract's.
    pub fn rule(&self) -> Option<RuleId> {
        match self {
            Self::Rule(finding) | Self::Expiring { finding, .. } => Some(finding.rule),
            Self::Contract(rejection) => rejection.rule,
            Self::Postponed { last, .. } => last.rule(),
            _ => None,
        }
    }

    /// A stable name for the kind of reason, for programs.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Rule(_) => "rule",
            Self::Expiring { .. } => "expiring",
            Self::Contract(_) => "contract",
            Self::Transaction(_) => "transaction",
            Self::Shallow { .. } => "shallow",
            Self::NotFound => "not-found",
            Self::Unconfirmed { .. } => "unconfirmed",
            Self::Spent => "spent",
            Self::Postponed { .. } => "postponed",
            Self::NotAskedYet => "not-asked-yet",
            Self::Unindexed { .. } => "unindexed",
            Self::Unanswered(_) => "unanswered",
            Self::TooCostly { .. } => "too-costly",
            Self::Dust => "dust",
            Self::DustChange { .. } => "dust-change",
            Self::Full => "full",
            Self::Gas => "gas",
            Self::OtherVault => "other-vault",
        }
    }

    /// Whether time can't change it: what is wrong lies in the deposit's transaction, or its refund has come too close.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::TooCostly { .. } => true,
            Self::Rule(finding) | Self::Expiring { finding, .. } => {
                matches!(finding.rule, RuleId::Ds11 | RuleId::Ds12)
            }
            _ => false,
        }
    }

    /// Whether nothing is known of the candidate.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self, Self::Unanswered(_))
    }

    /// Whether the candidate is sound, and only waits for its turn.
    pub const fn waits(&self) -> bool {
        matches!(self, Self::Full | Self::Gas | Self::OtherVault | Self::NotAskedYet)
    }
}

impl From<BackendError> for Why {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::Unindexed { endpoint, .. } => Self::Unindexed { endpoint },
            error => Self::Unanswered(error),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(finding) => {
                write!(f, "not so: {}", finding.rule.statement())?;
                match (finding.actual, finding.bound) {
                    (Some(actual), Some(bound)) => write!(f, " ({actual}, bound {bound})"),
                    (Some(actual), None) => write!(f, " ({actual})"),
                    _ => Ok(()),
                }
            }
            Self::Expiring { finding, lead } => {
                write!(f, "not for {lead} s more: {}", finding.rule.statement())?;
                finding.bound.map_or(Ok(()), |bound| write!(f, " (bound {bound})"))
            }
            Self::Contract(rejection) => write!(f, "the contract rejects it: {}", rejection.cause),
            Self::Transaction(error) => write!(f, "the transaction can't be built with it: {error}"),
            Self::Shallow { depth, least } => {
                write!(f, "its event is {depth} blocks deep, {least} needed")
            }
            Self::NotFound => f.write_str("Bitcoin knows no such transaction"),
            Self::Unconfirmed { confirmations, least } => {
                write!(f, "its transaction has {confirmations} confirmations, {least} needed")
            }
            Self::Spent => f.write_str("its output is spent on Bitcoin"),
            Self::Postponed { until, last } => write!(f, "{last}; not asked again before {until}"),
            Self::NotAskedYet => f.write_str("its turn to be looked up comes later"),
            Self::Unindexed { endpoint } => {
                write!(f, "{endpoint} keeps no index of transactions: its output is spent or was never there")
            }
            Self::Unanswered(error) => write!(f, "no answer about it: {error}"),
            Self::TooCostly { gas, limit } => write!(f, "judging it takes {gas} gas, {limit} allowed"),
            Self::Dust => f.write_str("the output that pays it is too small to relay"),
            Self::DustChange { change, least } => {
                let (change, least) = (change.to_sat(), least.to_sat());
                write!(f, "it leaves change of {change} sat, and less than {least} sat does not relay")
            }
            Self::Full => f.write_str("it waits, as this proposal is full"),
            Self::Gas => f.write_str("it waits, as judging one more would take too much gas"),
            Self::OtherVault => f.write_str("it waits, as this proposal is another vault's"),
        }
    }
}
