//! HB-1.

use crate::{Finding, HeartbeatProposal, Reason, RuleId};

pub(super) fn evaluate(proposal: &HeartbeatProposal) -> Finding {
    let holds = proposal.message.len() == 16 && proposal.message.starts_with(&[0xff; 8]);
    Finding::new(RuleId::Hb1, None, (None, None), (!holds).then_some(Reason::HeartbeatMessageInvalid))
}
