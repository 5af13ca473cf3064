//! What was left out of a proposal, and why: every candidate gets one reason.

use std::fmt;

use coxswain_bitcoin::BackendError;
use coxswain_rules::{Amount, Finding, OutPoint, Rejection, RuleId, ScriptBuf, TransactionError};

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
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// It breaks this rule, which names what it compared.
    Rule(Box<Finding>),
    /// It keeps this rule, which names what it compared, but may not any more when the proposal is signed.
    Expiring(Box<Finding>),
    /// The contract rejects the proposal for it.
    Contract(Box<Rejection>),
    /// The wallet's transaction can't be built with it.
    Transaction(TransactionError),
    /// Its event is not deep enough in the Ethereum chain yet.
    Shallow {
        /// How many blocks stand on the event's.
        depth: u64,
        /// How many it needs.
        least: u64,
    },
    /// Bitcoin knows no such transaction.
    NotFound,
    /// Its transaction is not deep enough in the Bitcoin chain yet.
    Unconfirmed {
        /// In how many blocks it is buried.
        confirmations: u32,
    },
    /// Its output is spent on Bitcoin already.
    Spent,
    /// Bitcoin was not asked again: it was found wanting the last time, and its turn comes later.
    Postponed {
        /// When it will be asked about again, Unix seconds of the chain.
        until: u64,
        /// What was wrong the last time.
        last: Box<Self>,
    },
    /// Bitcoin was asked about older ones, as many as one generation asks about.
    NotAskedYet,
    /// Bitcoin gave no usable answer about it.
    Unanswered(BackendError),
    /// Judging it alone takes more gas than nodes allow a call.
    TooCostly {
        /// What it takes.
        gas: u64,
    },
    /// The output that pays it would be too small to relay.
    Dust,
    /// The change once it is paid would be too small to relay.
    DustChange {
        /// The change.
        change: Amount,
        /// The least change that relays.
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
    /// The validation rule broken; none when it is not one of the contract's.
    pub fn rule(&self) -> Option<RuleId> {
        match self {
            Self::Rule(finding) | Self::Expiring(finding) => Some(finding.rule),
            Self::Contract(rejection) => rejection.rule,
            Self::Postponed { last, .. } => last.rule(),
            _ => None,
        }
    }

    /// A stable name for the kind of reason, for programs.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Rule(_) => "rule",
            Self::Expiring(_) => "expiring",
            Self::Contract(_) => "contract",
            Self::Transaction(_) => "transaction",
            Self::Shallow { .. } => "shallow",
            Self::NotFound => "not-found",
            Self::Unconfirmed { .. } => "unconfirmed",
            Self::Spent => "spent",
            Self::Postponed { .. } => "postponed",
            Self::NotAskedYet => "not-asked-yet",
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
            Self::Rule(finding) | Self::Expiring(finding) => {
                matches!(finding.rule, RuleId::Ds11 | RuleId::Ds12)
            }
            _ => false,
        }
    }

    /// Whether nothing is known of the candidate. (Where a backend without an index of transactions doesn't find one, it is
    /// spent or was never there: either way it can't be swept.)
    pub(crate) const fn is_open(&self) -> bool {
        match self {
            Self::Unanswered(error) => !matches!(error, BackendError::Unindexed { .. }),
            _ => false,
        }
    }

    /// Whether the candidate is sound, and only waits for its turn.
    pub const fn waits(&self) -> bool {
        matches!(self, Self::Full | Self::Gas | Self::OtherVault | Self::NotAskedYet)
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
            Self::Expiring(finding) => {
                write!(f, "not for {} s more: {}", crate::LEAD, finding.rule.statement())?;
                finding.bound.map_or(Ok(()), |bound| write!(f, " (bound {bound})"))
            }
            Self::Contract(rejection) => write!(f, "the contract rejects it: {}", rejection.cause),
            Self::Transaction(error) => write!(f, "the transaction can't be built with it: {error}"),
            Self::Shallow { depth, least } => {
                write!(f, "its event is {depth} blocks deep, {least} needed")
            }
            Self::NotFound => f.write_str("Bitcoin knows no such transaction"),
            Self::Unconfirmed { confirmations } => {
                let needed = crate::FUNDING_CONFIRMATIONS;
                write!(f, "its transaction has {confirmations} confirmations, {needed} needed")
            }
            Self::Spent => f.write_str("its output is spent on Bitcoin"),
            Self::Postponed { until, last } => write!(f, "{last}; not asked again before {until}"),
            Self::NotAskedYet => f.write_str("its turn to be looked up comes later"),
            Self::Unanswered(error) => write!(f, "no answer about it: {error}"),
            Self::TooCostly { gas } => {
                write!(f, "judging it takes {gas} gas, {} allowed", crate::gas::LIMIT)
            }
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
