//! The validation rules as predicates over a [`Snapshot`]: all of them, each with what it compared.
//!
//! A rule is judged by what the proposal and its extra info claim, whether or not an earlier rule refutes the claim.
//! Only where a value doesn't exist (the reveal time of a deposit that isn't revealed, a share of no deposits) is a
//! rule not evaluable, and then the rule that asks for this value is broken.

mod deposit_sweep;
mod heartbeat;
mod moved_funds_sweep;
mod moving_funds;
mod redemption;

pub use deposit_sweep::{
    DEPOSIT_MIN_AGE, DEPOSIT_REFUND_SAFETY_MARGIN, DEPOSIT_SWEEP_MAX_SIZE, deposit_findings,
};
pub use redemption::{
    REDEMPTION_MAX_SIZE, REDEMPTION_REQUEST_MIN_AGE, REDEMPTION_REQUEST_TIMEOUT_SAFETY_MARGIN,
    redemption_findings,
};

use alloy_primitives::{U256, ruint::UintTryFrom};
use bitcoin::Amount;

use crate::{
    Case, Cause, KeyHash, MissingError, Reason, Rejection, RuleId, Snapshot, Subject, Value, WalletRecord,
    WalletState,
};

/// What one rule says, of one item where it is about items.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Finding {
    /// The rule.
    pub rule: RuleId,
    /// Which item of the proposal, counted from 0. `None` if the rule is about the proposal as a whole.
    pub item: Option<usize>,
    /// Whether it holds.
    pub outcome: Ruling,
    /// The value found, where there is one to show.
    pub actual: Option<Value>,
    /// What it was held against, where there is one value.
    pub bound: Option<Value>,
}

/// Whether a rule holds.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Ruling {
    /// It does.
    Holds,
    /// It doesn't: this is what the contract would say, were it the first.
    Broken(Reason),
    /// It compares a value that doesn't exist, since this earlier rule is broken.
    NotEvaluable(RuleId),
}

impl Finding {
    fn new(
        rule: RuleId,
        item: Option<usize>,
        (actual, bound): (Option<Value>, Option<Value>),
        broken: Option<Reason>,
    ) -> Self {
        Self { rule, item, outcome: broken.map_or(Ruling::Holds, Ruling::Broken), actual, bound }
    }

    const fn not_evaluable(rule: RuleId, item: Option<usize>, needs: RuleId) -> Self {
        Self { rule, item, outcome: Ruling::NotEvaluable(needs), actual: None, bound: None }
    }

    /// Why the rule is broken. `None` if it isn't.
    pub const fn reason(&self) -> Option<&Reason> {
        match &self.outcome {
            Ruling::Broken(reason) => Some(reason),
            Ruling::Holds | Ruling::NotEvaluable(_) => None,
        }
    }
}

/// What every rule of the proposed action says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleReport {
    findings: Vec<Finding>,
}

impl RuleReport {
    /// All findings, in the order in which the contract evaluates the rules: those about the proposal, then item by
    /// item.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The rule that the contract rejects the proposal for, the first one broken. `None` for a valid proposal.
    pub fn first(&self) -> Option<Rejection> {
        self.findings.iter().find_map(|finding| {
            let cause = Cause::Reason(finding.reason()?.clone());
            Some(Rejection { rule: Some(finding.rule), cause })
        })
    }
}

/// Evaluates every rule. An error means that the snapshot lacks something that a rule reads: no verdict.
pub fn evaluate(case: &Case, snapshot: &Snapshot) -> Result<RuleReport, MissingError> {
    let wallet = case.wallet;
    let findings = match &case.subject {
        Subject::Heartbeat(proposal) => vec![heartbeat::evaluate(proposal)],
        Subject::DepositSweep { proposal, extra_info } => {
            deposit_sweep::evaluate(snapshot, wallet, proposal, extra_info)?
        }
        Subject::Redemption(proposal) => redemption::evaluate(snapshot, wallet, proposal)?,
        Subject::MovingFunds { proposal, main_utxo } => {
            moving_funds::evaluate(snapshot, wallet, proposal, main_utxo)?
        }
        Subject::MovedFundsSweep(proposal) => moved_funds_sweep::evaluate(snapshot, wallet, proposal)?,
    };
    Ok(RuleReport { findings })
}

fn number<T>(value: T) -> Value
where
    U256: UintTryFrom<T>,
{
    Value::Number(U256::from(value))
}

fn time(value: impl Into<u64>) -> Value {
    Value::Time(U256::from(value.into()))
}

/// The time after which `wait` seconds have passed since `start`; where the Bridge's 32 bits can't hold it, one that
/// never comes.
fn after(start: u32, wait: u32) -> U256 {
    start.checked_add(wait).map_or(U256::MAX, U256::from)
}

/// The time before which more than `margin` seconds are left of the `period` since `start`; where the Bridge's
/// 32 bits can't hold it or its parts, zero, before which nothing is.
fn before(start: u32, period: u32, margin: u32) -> U256 {
    start.checked_add(period).and_then(|end| end.checked_sub(margin)).map_or(U256::ZERO, U256::from)
}

fn wallet_state(rule: RuleId, wallet: KeyHash, record: &WalletRecord, allowed: &[WalletState]) -> Finding {
    let state = record.state as u8;
    let bound = match allowed {
        [only] => Some(Value::WalletState(*only as u8)),
        _ => None,
    };
    let broken = !allowed.contains(&record.state);
    let reason = broken.then_some(Reason::WalletStateNotAllowed { wallet, state });
    Finding::new(rule, None, (Some(Value::WalletState(state)), bound), reason)
}

fn fee_above_zero(rule: RuleId, fee: Amount) -> Finding {
    let reason = (fee == Amount::ZERO).then_some(Reason::FeeZero);
    Finding::new(rule, None, (Some(number(fee.to_sat())), Some(number(0_u64))), reason)
}

fn fee_at_most(rule: RuleId, fee: Amount, max_fee: Amount) -> Finding {
    let (actual, bound) = (U256::from(fee.to_sat()), U256::from(max_fee.to_sat()));
    let reason = (fee > max_fee).then_some(Reason::FeeTooHigh { fee: actual, max_fee: bound });
    Finding::new(rule, None, (Some(Value::Number(actual)), Some(Value::Number(bound))), reason)
}
