//! What is proposed must still be allowed when it is signed, some time after its block: the contract can't see that.

use alloy_primitives::U256;
use coxswain_rules::{Finding, RuleId, Value};

use crate::Why;

/// Seconds after its block by which a proposal is signed, with room to spare. Whatever the rules would refuse by then (a deposit
/// close to its refund, a request close to its timeout) is left out: else it would take the whole batch with it.
pub const LEAD: u64 = 1_800;

/// Why this finding, made at time `now`, keeps an item out of a proposal: the rule is broken, or will be within the lead.
pub(crate) fn ruled_out(finding: Finding, now: u64) -> Option<Why> {
    if finding.reason().is_some() {
        return Some(Why::Rule(Box::new(finding)));
    }
    let comes_with_time = matches!(finding.rule, RuleId::Ds12 | RuleId::Rd8);
    match finding.bound {
        Some(Value::Time(bound)) if comes_with_time && U256::from(now.saturating_add(LEAD)) >= bound => {
            Some(Why::Expiring { finding: Box::new(finding), lead: LEAD })
        }
        _ => None,
    }
}
