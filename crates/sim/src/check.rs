//! What must hold when a window is over, whatever happened in it.

use std::sync::Arc;

use alloy_primitives::Address;
use coxswain_protocol::{
    Agreement, Assignment, Assurance, Entry, FaultKind, MAX_RETAINED_PER_SENDER, Mistake, NoResult, Note,
    Window, WindowResult,
};
use coxswain_rules::Proposal;

use crate::member::{Player, Role};

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
    /// A result was dispatched that the journal doesn't hold.
    #[error("{0} dispatched a result that isn't durable")]
    NotDurable(Address),
    /// Something was broadcast that the journal doesn't hold.
    #[error("{0} broadcast what isn't durable")]
    SentUnrecorded(Address),
    /// Two different envelopes were broadcast in a window.
    #[error("{0} sent two different messages")]
    SentTwo(Address),
    /// A message was sent outside the active phase.
    #[error("{0} spoke at block {1}")]
    SpokeOutOfTurn(Address, u64),
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
    #[error("{0} has no fault for the leader's mistake")]
    MistakeUnrecorded(Address),
    /// What a result says and what its faults say differ.
    #[error("{0} has a result that its faults don't explain")]
    Unexplained(Address),
    /// A member whose own endpoints failed blamed another.
    #[error("{0} blamed {1} while its own endpoints were down")]
    BlamedInDoubt(Address, Address),
    /// A member blamed another on one server's word.
    #[error("{0} blamed {1} on one server's word")]
    BlamedOnAWord(Address, Address),
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
#[derive(Clone, Copy, Debug)]
pub(crate) struct Experience {
    /// It was down for a while.
    pub(crate) was_down: bool,
    /// Since it came up last, it has seen a block of the active phase.
    pub(crate) saw_active: bool,
    /// It read the right hash at all times.
    pub(crate) right_hash: bool,
    /// How many servers stand behind what it reads.
    pub(crate) assurance: Assurance,
    /// Its endpoints answered.
    pub(crate) endpoints_up: bool,
    /// It was never blind for many blocks.
    pub(crate) steady: bool,
    /// It had links to all others at all times, as far as they were up.
    pub(crate) linked: bool,
    /// Its journal failed.
    pub(crate) journal_failed: bool,
}

impl Experience {
    const fn must_have_a_result(&self) -> bool {
        (!self.was_down || self.saw_active) && !self.journal_failed
    }

    fn untroubled(&self) -> bool {
        !self.was_down
            && self.saw_active
            && self.right_hash
            && self.assurance > Assurance::Word
            && self.endpoints_up
            && self.linked
            && self.steady
            && !self.journal_failed
    }
}

/// A window that is over.
pub(crate) struct Played<'a> {
    pub(crate) assignment: &'a Assignment,
    pub(crate) leader: Option<&'a Player>,
    /// Those that are played by the protocol.
    pub(crate) members: Vec<(&'a Player, &'a Experience)>,
    /// The channel lost nothing.
    pub(crate) lossless: bool,
    /// The chain's block when the honest leader spoke first.
    pub(crate) spoke: Option<u64>,
}

impl Played<'_> {
    /// Checks everything.
    pub(crate) fn check(&self) -> Result<(), ViolationKind> {
        for (player, experience) in &self.members {
            self.check_runs(player, experience)?;
            if player.role == Role::Honest {
                self.check_blame(player, experience)?;
                self.check_faults(player, experience)?;
                self.check_progress(player, experience)?;
            }
        }
        self.check_agreement()
    }

    fn window(&self) -> Window {
        self.assignment.window
    }

    fn result<'a>(&self, player: &'a Player) -> Option<&'a WindowResult> {
        player.results(self.window()).next()
    }

    fn check_runs(&self, player: &Player, experience: &Experience) -> Result<(), ViolationKind> {
        let me = player.address();
        let recorded: Vec<_> = player.results(self.window()).collect();
        // A write that was said to be lost may be done again.
        if recorded.iter().any(|result| Some(result) != recorded.first()) {
            return Err(ViolationKind::RanTwice(me));
        }
        if recorded.is_empty() && experience.must_have_a_result() {
            return Err(ViolationKind::Missed(me));
        }
        let dispatched = player.finished.get(&self.window()).map_or(&[][..], Vec::as_slice);
        match dispatched {
            [] => {}
            [result] if recorded.first().is_some_and(|recorded| *recorded == &**result) => {}
            [_] => return Err(ViolationKind::NotDurable(me)),
            _ => return Err(ViolationKind::RanTwice(me)),
        }
        if player.broadcast.get(&self.window()).is_some_and(|envelopes| envelopes.len() > 1) {
            return Err(ViolationKind::SentTwo(me));
        }
        Ok(())
    }

    fn check_blame(&self, player: &Player, experience: &Experience) -> Result<(), ViolationKind> {
        let Some(result) = self.result(player) else { return Ok(()) };
        let me = player.address();
        for fault in result.faults.iter().filter(|fault| fault.culprit != me) {
            let equivocation = matches!(fault.kind, FaultKind::LeaderMistake(Mistake::Equivocation { .. }));
            let rejected = matches!(fault.kind, FaultKind::LeaderMistake(Mistake::Rejected { .. }));
            if !experience.endpoints_up && rejected {
                return Err(ViolationKind::BlamedInDoubt(me, fault.culprit));
            }
            if experience.assurance == Assurance::Word && !equivocation {
                return Err(ViolationKind::BlamedOnAWord(me, fault.culprit));
            }
            let Some((culprit, theirs)) = self.members.iter().find(|it| it.0.address() == fault.culprit)
            else {
                continue;
            };
            let sure = theirs.right_hash && experience.right_hash;
            let idleness = matches!(fault.kind, FaultKind::LeaderIdleness { .. });
            let heard = self.lossless && self.spoke_early() && experience.steady && theirs.steady;
            let heard = heard && theirs.linked && !theirs.was_down && experience.linked;
            if (sure && !idleness) || (sure && heard && culprit.role == Role::Honest) || equivocation {
                return Err(ViolationKind::BlamedTheHonest(me, fault.culprit));
            }
        }
        Ok(())
    }

    fn check_faults(&self, player: &Player, experience: &Experience) -> Result<(), ViolationKind> {
        let (me, Some(result)) = (player.address(), self.result(player)) else { return Ok(()) };
        let leader = result.basis.map(|basis| basis.leader);
        let blamed = |kind: fn(&FaultKind) -> bool| {
            result.faults.iter().any(|fault| Some(fault.culprit) == leader && kind(&fault.kind))
        };
        let equivocated =
            blamed(|kind| matches!(kind, FaultKind::LeaderMistake(Mistake::Equivocation { .. })));
        let mistaken = blamed(|kind| matches!(kind, FaultKind::LeaderMistake(_)));
        let idle = blamed(|kind| matches!(kind, FaultKind::LeaderIdleness { .. }));
        let explained = match &result.agreement {
            Agreement::NoOp | Agreement::Action(..) => !equivocated && !idle,
            Agreement::None(NoResult::Equivocation) => equivocated,
            Agreement::None(NoResult::Mistake) => mistaken,
            Agreement::None(NoResult::Idle) => idle,
            Agreement::None(NoResult::NotSent(_)) => leader == Some(me),
            Agreement::None(_) | Agreement::Undecided(_) => !equivocated && !idle,
        };
        if !explained {
            return Err(ViolationKind::Unexplained(me));
        }
        let Some(leader) = self.leader else { return Ok(()) };
        if !experience.untroubled() || leader.address() == me {
            return Ok(());
        }
        let silent =
            matches!(leader.role, Role::Silent | Role::Impersonator | Role::Flooder | Role::Replayer);
        let doubtful = result.notes.iter().any(|note| matches!(note, Note::Unproven { .. }));
        // The link to a leader may be down because others' were.
        let linked = result.agreement != Agreement::None(NoResult::LeaderUnreachable);
        if silent && !idle && !doubtful && linked {
            return Err(ViolationKind::IdlenessUnrecorded(me));
        }
        Ok(())
    }

    fn spoke_early(&self) -> bool {
        let window = self.window();
        self.spoke.is_some_and(|spoke| spoke < window.block().0.midpoint(window.active_end().0))
    }

    fn check_progress(&self, player: &Player, experience: &Experience) -> Result<(), ViolationKind> {
        let leader = self.members.iter().find(|(other, _)| other.address() == self.assignment.leader);
        let Some((leader, theirs)) = leader else { return Ok(()) };
        let result = self.result(player);
        let came_later =
            |result: &WindowResult| matches!(result.agreement, Agreement::None(NoResult::CameUpLater(_)));
        if self.lossless
            && self.spoke_early()
            && theirs.untroubled()
            // A follower whose head lags misses the first sending and needs the leader to repeat it.
            && experience.untroubled()
            && !result.is_some_and(came_later)
            && agreed(result) != agreed(self.result(leader))
        {
            return Err(ViolationKind::NoProgress(player.address()));
        }
        Ok(())
    }

    fn check_agreement(&self) -> Result<(), ViolationKind> {
        let agreed: Vec<_> = self
            .members
            .iter()
            .filter_map(|(player, _)| {
                let result = self.result(player)?;
                Some((player.address(), result, agreed(Some(result))?))
            })
            .collect();
        let hash = |result: &WindowResult| result.basis.map(|basis| basis.safe_block_hash);
        for (at, (one, result, theirs)) in agreed.iter().enumerate() {
            for (other, other_result, others) in agreed.iter().skip(at + 1) {
                // Different hashes are recorded in the results themselves.
                if theirs == others || hash(result) != hash(other_result) {
                    continue;
                }
                // By a wrong hash that they shared, the leader may be another than it should have been.
                let leader = result.basis.map(|basis| basis.leader);
                if self.members.iter().any(|(player, _)| Some(player.address()) == leader) {
                    return Err(ViolationKind::Disagree(*one, *other));
                }
                let recorded = self
                    .members
                    .iter()
                    .filter_map(|(player, _)| self.result(player))
                    .any(|result| matches!(result.agreement, Agreement::None(NoResult::Equivocation)));
                if !recorded && self.lossless {
                    return Err(ViolationKind::EquivocationUnrecorded(*one, *other));
                }
            }
        }
        Ok(())
    }
}

/// What a member agreed to; the inner `None` for a no-op.
fn agreed(result: Option<&WindowResult>) -> Option<Option<&Arc<Proposal>>> {
    match &result?.agreement {
        Agreement::NoOp => Some(None),
        Agreement::Action(validated, _) => Some(Some(validated.proposal())),
        Agreement::None(_) | Agreement::Undecided(_) => None,
    }
}

/// Checks a member's memory while a window runs.
pub(crate) fn check_memory(player: &Player) -> Result<usize, ViolationKind> {
    let held = player.member.retained_bytes();
    if held > MAX_RETAINED_PER_SENDER * player.member.setup().group.operators().len() {
        return Err(ViolationKind::Memory(player.address(), held));
    }
    Ok(held)
}

/// Checks what a member is about to broadcast: it is durable, and the window's time to speak.
pub(crate) fn check_broadcast(player: &Player, head: u64, envelope: &Arc<[u8]>) -> Result<(), ViolationKind> {
    let me = player.address();
    let recorded = player.journal.entries.iter().find_map(|entry| match entry {
        Ok(Entry::Sent(sent)) if sent.envelope == *envelope => Some(sent),
        _ => None,
    });
    let Some(sent) = recorded else { return Err(ViolationKind::SentUnrecorded(me)) };
    let window = sent.window;
    let (start, active_end) = (window.block().0, window.active_end().0);
    let quiet = active_end - (active_end - start).div_ceil(8);
    let first = !player.broadcast.get(&window).is_some_and(|sent| sent.contains(envelope));
    let until = if first { quiet } else { active_end };
    if head < start || head >= until {
        return Err(ViolationKind::SpokeOutOfTurn(me, head));
    }
    Ok(())
}
