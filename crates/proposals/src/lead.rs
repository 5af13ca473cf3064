//! What is proposed must still be allowed when it is signed, some time after its block: the contract can't see that.

use std::time::Duration;

use alloy_primitives::U256;
use coxswain_rules::{Finding, RuleId, Value, units::UnixTime};

use crate::Why;

/// How long after its block a proposal is signed, with room to spare. Whatever the rules would refuse by then (a deposit
/// close to its refund, a request close to its timeout) is left out: else it would take the whole batch with it.
pub const LEAD: Duration = Duration::from_secs(1_800);

/// Why this finding, made at time `now`, keeps an item out of a proposal: the rule is broken, or will be within the lead.
pub(crate) fn ruled_out(finding: Finding, now: UnixTime) -> Option<Why> {
    if finding.reason().is_some() {
        return Some(Why::Rule(Box::new(finding)));
    }
    let comes_with_time = matches!(finding.rule, RuleId::Ds12 | RuleId::Rd8);
    match finding.bound {
        Some(Value::Time(bound)) if comes_with_time && U256::from(now.saturating_add(LEAD).0) >= bound => {
            Some(Why::Expiring { finding: Box::new(finding), lead: LEAD.as_secs() })
        }
        _ => None,
    }
}
