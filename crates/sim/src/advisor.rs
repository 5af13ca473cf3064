//! What the world says to members' questions: safe hashes that come late, never, or change; proposals; and verdicts, on
//! one server's word, agreed on, or proven.

use std::sync::Arc;

use alloy_primitives::{B256, U256};
use coxswain_protocol::{Assurance, Assurances, ContentVerdict, Generation, Objection, SafeHashes};
use coxswain_rules::{
    Action, Amount, Cause, FeeObjection, Proposal, Reason, RedemptionProposal, Rejection, RuleId, ScriptBuf,
};

use crate::dice::Dice;

/// What a member reads as the safe block's hash, and when.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// Up to each tick, what is read. `None` if nothing is.
    pub(crate) until: Vec<(u64, Option<SafeHashes>)>,
    /// What is read after that.
    pub(crate) then: SafeHashes,
    /// How many servers name it.
    pub(crate) assurance: Assurance,
}

impl View {
    pub(crate) fn at(&self, tick: u64) -> Option<SafeHashes> {
        self.until.iter().find(|(until, _)| tick < *until).map_or(Some(self.then), |(_, hashes)| *hashes)
    }
}

/// A block's hashes: the same by both rules, or not.
pub(crate) fn hashes(dice: &mut Dice) -> SafeHashes {
    let canonical = B256::from(dice.bytes());
    let legacy_header = if dice.percent(30) { B256::from(dice.bytes()) } else { canonical };
    SafeHashes { canonical, legacy_header }
}

/// What stands against a proposal, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Nothing.
    None,
    /// It is too young before this block.
    Until(u64),
    /// It expires at this block.
    From(u64),
    /// It is refused for ever.
    Always,
    /// Its fee is too high, but not much.
    HighFee,
    /// Its fee is far too high.
    GrossFee,
}

/// A proposal with this flaw.
pub(crate) fn redemption(nonce: u64, flaw: Flaw) -> Arc<Proposal> {
    let (kind, block): (u64, u64) = match flaw {
        Flaw::None => (0, 0),
        Flaw::Until(block) => (1, block),
        Flaw::From(block) => (2, block),
        Flaw::Always => (3, 0),
        Flaw::HighFee => (4, 0),
        Flaw::GrossFee => (5, 0),
    };
    let script = [nonce, kind, block].map(u64::to_be_bytes).concat();
    let scripts = vec![ScriptBuf::from_bytes(script)];
    Arc::new(Proposal::Redemption(RedemptionProposal { scripts, fee: Amount::from_sat(nonce) }))
}

/// What stands against a proposal. Nothing stands against those of other kinds.
pub(crate) fn flaw(proposal: &Proposal) -> Flaw {
    let Proposal::Redemption(redemption) = proposal else { return Flaw::None };
    let script = redemption.scripts.first().map_or(&[][..], |script| script.as_bytes());
    let number = |at: usize| {
        let bytes = script.get(at..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes))
    };
    match number(8) {
        1 => Flaw::Until(number(16)),
        2 => Flaw::From(number(16)),
        3 => Flaw::Always,
        4 => Flaw::HighFee,
        5 => Flaw::GrossFee,
        _ => Flaw::None,
    }
}

/// What the world says of a proposal at a block.
pub(crate) fn judge(proposal: &Proposal, block: u64, assurance: Assurance) -> ContentVerdict {
    let contract = |rule, reason| {
        Some(Objection::Contract(Rejection { rule: Some(rule), cause: Cause::Reason(reason) }))
    };
    let (index, time) = (U256::ZERO, U256::from(block));
    let most = Amount::from_sat(100);
    let fee = |sat| Some(Objection::Fee(FeeObjection::TooHigh { fee: Amount::from_sat(sat), most }));
    let objection = match flaw(proposal) {
        Flaw::Until(until) if block < until => {
            contract(RuleId::Rd7, Reason::RedemptionTooYoung { index, eligible_after: time })
        }
        Flaw::From(from) if block >= from => {
            contract(RuleId::Rd8, Reason::RedemptionTimeoutTooClose { index, eligible_before: time })
        }
        Flaw::None | Flaw::Until(_) | Flaw::From(_) => None,
        Flaw::Always => contract(RuleId::Rd4, Reason::FeeZero),
        Flaw::HighFee => fee(150),
        Flaw::GrossFee => fee(1_000),
    };
    match objection {
        None => ContentVerdict::Valid(Assurances::of_state(assurance)),
        Some(objection) => ContentVerdict::Rejected { objection: Arc::new(objection), assurance },
    }
}

/// What a generator makes for an action at a block, in a window that ends at another.
pub(crate) fn generate(action: Action, block: u64, end: u64, dice: &mut Dice) -> Generation {
    match (action, dice.below(20)) {
        (_, 0) => Generation::Failed("the endpoint is down".into()),
        (Action::Redemption, chance @ 1..=14) => {
            let nonce = 1_000 + dice.below(u64::from(u32::MAX));
            // Now and then one that expires before the window ends.
            let flaw = if chance == 1 { Flaw::From(end - 2) } else { Flaw::Until(block) };
            Generation::Proposal(redemption(nonce, flaw))
        }
        _ => Generation::NotPossible,
    }
}
