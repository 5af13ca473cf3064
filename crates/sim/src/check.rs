//! What must hold when a window is over, whatever happened in it.

use alloy_primitives::Address;
use coxswain_protocol::{
    Assignment, Fault, FaultKind, MAX_RETAINED_PER_SENDER, Mistake, Outcome, Record, Window, WindowResult,
};
use coxswain_rules::Proposal;

use crate::member::{Member, Role};

/// A rule of the game that was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("seed {seed}, window {window}: {kind}")]
pub struct Violation {
    /// What the game followed from: play it again to see the same.
    pub seed: u64,
    /// The window's index.
    pub window: u64,
    /// What went wrong.
    pub kind: ViolationKind,
}

/// What can go wrong. Members are named by their address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ViolationKind {
    /// A window had several results.
    #[error("{0} ran the window twice")]
    RanTwice(Address),
    /// A member that was up in the active phase has no result.
    #[error("{0} missed the window")]
    Missed(Address),
    /// Honest members with the same hash, under a leader that didn't equivocate, agreed on different things.
    #[error("{0} and {1} disagree")]
    Disagree(Address, Address),
    /// The leader equivocated, and nobody has proof of it.
    #[error("{0} and {1} disagree, and nobody recorded the equivocation")]
    EquivocationUnrecorded(Address, Address),
    /// A silent leader was not blamed.
    #[error("{0} didn't record that the leader was idle")]
    IdlenessUnrecorded(Address),
    /// What a leader proposed that it shouldn't have was not blamed.
    #[error("{0} settled on what the contract rejects and didn't record it")]
    MistakeUnrecorded(Address),
    /// A member whose own endpoints failed blamed another.
    #[error("{0} blamed {1} while its own endpoints were down")]
    BlamedInDoubt(Address, Address),
    /// An honest member was blamed for something it can't have done.
    #[error("{0} blamed {1}, which is honest")]
    BlamedTheHonest(Address, Address),
    /// Nothing stood in the way, and yet a member did not settle on the leader's proposal.
    #[error("{0} didn't settle on the honest leader's proposal")]
    NoProgress(Address),
    /// A member held more than it may.
    #[error("{0} held {1} bytes")]
    Memory(Address, usize),
}

/// What a member went through in a window.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Experience {
    /// It was down for a while.
    pub(crate) was_down: bool,
    /// Since it came up last, it has seen a block of the active phase.
    pub(crate) saw_active: bool,
    /// It read the right hash at all times.
    pub(crate) right_hash: bool,
    /// Its endpoints answered.
    pub(crate) endpoints_up: bool,
    /// It was never blind for many blocks.
    pub(crate) steady: bool,
}

impl Experience {
    const fn must_have_a_result(&self) -> bool {
        !self.was_down || self.saw_active
    }

    const fn untroubled(&self) -> bool {
        !self.was_down && self.saw_active && self.right_hash && self.endpoints_up
    }
}

/// A window that is over.
pub(crate) struct Played<'a> {
    pub(crate) assignment: &'a Assignment,
    pub(crate) leader_role: Role,
    pub(crate) honest: Vec<(&'a Member, Experience)>,
    /// The channel lost nothing.
    pub(crate) lossless: bool,
    /// The chain's block when the honest leader spoke first.
    pub(crate) spoke: Option<u64>,
}

impl Played<'_> {
    /// Checks everything.
    pub(crate) fn check(&self) -> Result<(), ViolationKind> {
        for (member, experience) in &self.honest {
            self.check_runs(member, experience)?;
            self.check_blame(member, experience)?;
            self.check_records(member, experience)?;
            self.check_progress(member, experience)?;
        }
        self.check_agreement()
    }

    fn window(&self) -> Window {
        self.assignment.window
    }

    fn result<'a>(&self, member: &'a Member) -> Option<&'a WindowResult> {
        member.journal.results.get(&self.window()).and_then(|results| results.first())
    }

    fn records<'a>(&self, member: &'a Member) -> &'a [Record] {
        member.journal.records.get(&self.window()).map_or(&[], Vec::as_slice)
    }

    fn faults<'a>(&self, member: &'a Member) -> impl Iterator<Item = &'a Fault> {
        self.records(member).iter().filter_map(|record| match record {
            Record::Fault(fault) => Some(fault),
            _ => None,
        })
    }

    fn check_runs(&self, member: &Member, experience: &Experience) -> Result<(), ViolationKind> {
        match member.journal.results.get(&self.window()).map_or(0, Vec::len) {
            0 if experience.must_have_a_result() => Err(ViolationKind::Missed(member.address())),
            0 | 1 => Ok(()),
            _ => Err(ViolationKind::RanTwice(member.address())),
        }
    }

    fn check_blame(&self, member: &Member, experience: &Experience) -> Result<(), ViolationKind> {
        for fault in self.faults(member).filter(|fault| fault.culprit != member.address()) {
            if !experience.endpoints_up {
                return Err(ViolationKind::BlamedInDoubt(member.address(), fault.culprit));
            }
            let idleness = matches!(fault.kind, FaultKind::LeaderIdleness { .. });
            let honest = self.honest.iter().any(|(other, theirs)| {
                other.address() == fault.culprit && theirs.right_hash && experience.right_hash
            });
            if honest && !idleness {
                return Err(ViolationKind::BlamedTheHonest(member.address(), fault.culprit));
            }
        }
        let equivocated =
            self.records(member).iter().any(|record| matches!(record, Record::Equivocation { .. }));
        if equivocated && self.leader_role == Role::Honest && experience.right_hash {
            return Err(ViolationKind::BlamedTheHonest(member.address(), self.assignment.leader));
        }
        Ok(())
    }

    fn check_records(&self, member: &Member, experience: &Experience) -> Result<(), ViolationKind> {
        if !experience.untroubled() {
            return Ok(());
        }
        let blamed = |kind: fn(&FaultKind) -> bool| {
            self.faults(member).any(|fault| fault.culprit == self.assignment.leader && kind(&fault.kind))
        };
        let says_nothing = matches!(self.leader_role, Role::Silent | Role::Impersonator | Role::Flooder);
        if says_nothing && !blamed(|kind| matches!(kind, FaultKind::LeaderIdleness { .. })) {
            return Err(ViolationKind::IdlenessUnrecorded(member.address()));
        }
        let nothing_heard = blamed(|kind| matches!(kind, FaultKind::LeaderIdleness { .. }));
        let rejected = |kind: &FaultKind| matches!(kind, FaultKind::LeaderMistake(Mistake::Rejected { .. }));
        if self.leader_role == Role::Blunderer && !nothing_heard && !blamed(rejected) {
            return Err(ViolationKind::MistakeUnrecorded(member.address()));
        }
        Ok(())
    }

    fn check_progress(&self, member: &Member, experience: &Experience) -> Result<(), ViolationKind> {
        let leader = self.honest.iter().find(|(other, _)| other.address() == self.assignment.leader);
        let (Some((leader, theirs)), Some(spoke)) = (leader, self.spoke) else { return Ok(()) };
        let early = spoke < self.window().block().midpoint(self.window().active_end());
        if self.lossless
            && early
            && theirs.untroubled()
            && experience.untroubled()
            // A follower whose head lags misses the first sending and needs the leader to repeat it.
            && theirs.steady
            && experience.steady
            && agreed(self.result(member)) != agreed(self.result(leader))
        {
            return Err(ViolationKind::NoProgress(member.address()));
        }
        Ok(())
    }

    fn check_agreement(&self) -> Result<(), ViolationKind> {
        let agreed: Vec<_> = self
            .honest
            .iter()
            .filter_map(|(member, _)| {
                let result = self.result(member)?;
                Some((member.address(), result, agreed(Some(result))?))
            })
            .collect();
        for (at, (one, result, theirs)) in agreed.iter().enumerate() {
            for (other, other_result, others) in agreed.iter().skip(at + 1) {
                // Different hashes are recorded in the results themselves.
                if theirs == others || result.safe_block_hash != other_result.safe_block_hash {
                    continue;
                }
                // By a wrong hash that they shared, the leader may be another than it should have been.
                if self.honest.iter().any(|(member, _)| member.address() == result.leader) {
                    return Err(ViolationKind::Disagree(*one, *other));
                }
                let recorded = self.honest.iter().any(|(member, _)| {
                    self.records(member).iter().any(|record| matches!(record, Record::Equivocation { .. }))
                });
                if !recorded {
                    return Err(ViolationKind::EquivocationUnrecorded(*one, *other));
                }
            }
        }
        Ok(())
    }
}

/// What a member agreed to; the inner none for a no-op.
fn agreed(result: Option<&WindowResult>) -> Option<Option<&Proposal>> {
    match &result?.outcome {
        Outcome::NoOp => Some(None),
        Outcome::Action(validated, _) => Some(Some(validated.proposal())),
        Outcome::Undecided { .. } | Outcome::None => None,
    }
}

/// Checks a member's memory while a window runs.
pub(crate) fn check_memory(member: &Member) -> Result<usize, ViolationKind> {
    let held = member.retained_bytes();
    if held > MAX_RETAINED_PER_SENDER * member.group.operators().len() {
        return Err(ViolationKind::Memory(member.address(), held));
    }
    Ok(held)
}
