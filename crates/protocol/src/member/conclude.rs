//! How a window ends: the protocol's tables, row by row. Follows from what is known when the window is over.

use std::{mem::discriminant, sync::Arc};

use alloy_primitives::Address;
use coxswain_rules::{Assurance, Assurances};

use super::{
    Setup,
    inbox::{Content, Kept},
    judging::Settled,
    leading::{Own, listened_by, settled_by},
    running::Running,
    seeds::{Fit, Misfit, Seen},
};
use crate::{
    Agreement, Basis, Doubt, Fault, FaultKind, MAX_RECORDS, Mistake, NoResult, Note, Undecided, Validated,
    Validity, WindowResult, wire::Proposed,
};

impl Running {
    /// How the window ended. Alarms are the member's.
    pub(super) fn conclude(&self, setup: &Setup) -> WindowResult {
        let seen = self.seeds.current();
        let basis = seen.map(|seen| Basis {
            safe_block_hash: seen.own.safe_block_hash,
            assurance: seen.assurance,
            leader: seen.own.leader,
        });
        let mut record = Record { running: self, setup, faults: Vec::new(), notes: self.notes.clone() };
        for (index, block) in self.seeds.changes.iter().skip(1) {
            if let Some(seen) = self.seeds.seen(*index) {
                let safe_block_hash = seen.own.safe_block_hash;
                record.notes.push(Note::Reseeded { safe_block_hash, block: *block });
            }
        }
        let agreement = match seen {
            _ if self.seeds.exhausted => Agreement::Undecided(Undecided::TooManySeeds),
            None => Agreement::Undecided(Undecided::NoSeed),
            Some(seen) => record.agreement(seen),
        };
        let Record { mut faults, mut notes, .. } = record;
        // The leader's matter most.
        faults.sort_by_key(|fault| basis.is_none_or(|basis| fault.culprit != basis.leader));
        faults.truncate(MAX_RECORDS);
        notes.truncate(MAX_RECORDS);
        let (wallet, window, alarms) = (setup.wallet, self.window, Vec::new());
        WindowResult { wallet, window, basis, agreement, faults, notes, alarms }
    }
}

/// What is recorded of a window.
struct Record<'a> {
    running: &'a Running,
    setup: &'a Setup,
    faults: Vec<Fault>,
    notes: Vec<Note>,
}

impl Record<'_> {
    fn agreement(&mut self, seen: &Seen) -> Agreement {
        let running = self.running;
        let leader = seen.own.leader;
        // What follows from the seed is a fault only where the seed is sure.
        let doubt = if seen.assurance < Assurance::Agreed {
            Some(Doubt::Word)
        } else {
            (!running.seeds.confirmed()).then_some(Doubt::Unconfirmed)
        };
        // If the hash was first read late, the hash that others spoke under is not known. (Nobody is idle for that reason.)
        let read_late = running.seeds.first_read_after(running.window.block());
        let spoken = doubt.or_else(|| read_late.then_some(Doubt::ReadLate));
        for kept in running.inbox.messages(leader) {
            self.look_at(kept, spoken);
        }
        if let [first, second] = running.inbox.proposals(leader) {
            let mistake = Mistake::Equivocation { second: Arc::clone(&second.signed) };
            self.blame(leader, FaultKind::LeaderMistake(mistake), Some(&first.signed), None);
            return Agreement::None(NoResult::Equivocation);
        }
        if leader == self.setup.key.address() {
            return self.led(seen, doubt);
        }
        match &running.settled {
            Some(judging) => match &judging.proposal {
                None => Agreement::NoOp,
                Some(proposal) => match judging.ruling() {
                    Settled::Valid(at) => {
                        let schedule = seen.own.schedule(proposal.action());
                        Agreement::Action(Validated::new(Arc::clone(proposal), at), schedule)
                    }
                    Settled::Mistake { objection, block } => {
                        let mistake = FaultKind::LeaderMistake(Mistake::Rejected { objection, block });
                        self.blame(leader, mistake, Some(&judging.message.signed), None);
                        Agreement::None(NoResult::Mistake)
                    }
                    Settled::CameUpLater(objection) => Agreement::None(NoResult::CameUpLater(objection)),
                    Settled::FeeDisagreement(objection) => {
                        Agreement::None(NoResult::FeeDisagreement(objection))
                    }
                    Settled::OneWord(objection) => {
                        let proposal = Arc::clone(proposal);
                        Agreement::Undecided(Undecided::OneWord { proposal, objection })
                    }
                    Settled::Undecided(why) => {
                        let proposal = Arc::clone(proposal);
                        Agreement::Undecided(Undecided::NoVerdict { proposal, why })
                    }
                },
            },
            None => self.nothing_accepted(seen, doubt, spoken),
        }
    }

    /// Notes what a message is under the seeds seen.
    fn look_at(&mut self, kept: &Kept, doubt: Option<Doubt>) {
        let running = self.running;
        let (author, signed) = (kept.author, Arc::clone(&kept.signed));
        match running.seeds.fit(kept) {
            None | Some(Fit::Accepted) => {}
            Some(Fit::NotUnderstood(number)) => {
                self.notes.push(Note::NotUnderstood { author, number, signed });
            }
            Some(Fit::Earlier(index)) => {
                if let Some(seen) = running.seeds.seen(index) {
                    let safe_block_hash = seen.own.safe_block_hash;
                    self.notes.push(Note::OtherSeed { author, safe_block_hash, signed });
                }
            }
            Some(Fit::OtherRule(rule)) => self.notes.push(Note::HashRuleMismatch { author, rule, signed }),
            // After the active phase messages are evidence of equivocation only.
            Some(Fit::Misfit(_)) if kept.came >= running.window.active_end() => {}
            Some(Fit::Misfit(misfit)) => self.blame(author, misfit.fault(), Some(&signed), doubt),
        }
    }

    /// The window in which we led.
    fn led(&mut self, seen: &Seen, doubt: Option<Doubt>) -> Agreement {
        let running = self.running;
        let sent = running.own.as_ref().filter(|own| own.was_sent() && own.fits(&seen.own));
        match sent {
            Some(Own { content: Content::Proposed(Proposed::Action(proposal)), sent, .. }) => {
                // What is journaled without a verdict is believed least.
                let unjudged =
                    Validity { block: sent.first_sent, assurances: Assurances::of_state(Assurance::Word) };
                let at = sent.validity.unwrap_or(unjudged);
                let schedule = seen.own.schedule(proposal.action());
                Agreement::Action(Validated::new(Arc::clone(proposal), at), schedule)
            }
            Some(_) => Agreement::NoOp,
            None => {
                let idleness = FaultKind::LeaderIdleness { listened_from: running.listened_from };
                self.blame(seen.own.leader, idleness, None, doubt);
                Agreement::None(NoResult::NotSent(running.not_sent()))
            }
        }
    }

    /// The window in which nothing was accepted by the end of the active phase.
    fn nothing_accepted(&mut self, seen: &Seen, doubt: Option<Doubt>, spoken: Option<Doubt>) -> Agreement {
        let running = self.running;
        let leader = seen.own.leader;
        let mut undecodable = false;
        for kept in running.inbox.messages(leader).take_while(|kept| kept.author == leader) {
            match running.seeds.fit(kept) {
                // It came late, or else it were accepted.
                Some(Fit::Accepted) => return Agreement::None(NoResult::Late),
                Some(Fit::NotUnderstood(_)) => return Agreement::Undecided(Undecided::NotUnderstood),
                Some(Fit::Misfit(Misfit::Undecodable(_))) => undecodable = true,
                None | Some(Fit::Earlier(_) | Fit::OtherRule(_) | Fit::Misfit(_)) => {}
            }
        }
        let mistaken = self
            .faults
            .iter()
            .any(|fault| fault.culprit == leader && matches!(fault.kind, FaultKind::LeaderMistake(_)));
        if undecodable {
            let doubted = spoken.map_or(NoResult::Late, NoResult::Unproven);
            return Agreement::None(if mistaken { NoResult::Mistake } else { doubted });
        }
        let why = self.silence(leader, doubt);
        Agreement::None(if mistaken { NoResult::Mistake } else { why })
    }

    /// Why we have heard nothing acceptable of the leader.
    fn silence(&mut self, leader: Address, doubt: Option<Doubt>) -> NoResult {
        let running = self.running;
        let linked = |operator: &Address| running.linked.as_ref().is_some_and(|all| all.contains(operator));
        if running.listened_from > listened_by(&running.window) {
            return NoResult::NotHeard;
        }
        if !linked(&leader) {
            let me = self.setup.key.address();
            let others = self.setup.group.operators().iter().filter(|it| **it != me && **it != leader);
            let (others, heard) = (others.clone().count(), others.filter(|it| linked(it)).count());
            return if heard * 2 > others { NoResult::LeaderUnreachable } else { NoResult::NotHeard };
        }
        let reseeded =
            running.seeds.changes.iter().skip(1).any(|(_, block)| *block > settled_by(&running.window));
        let noted = |kind: fn(&Note) -> bool| self.notes.iter().any(kind);
        let doubt = if noted(|note| matches!(note, Note::HashRuleMismatch { .. })) {
            Some(Doubt::HashRule)
        } else if noted(|note| matches!(note, Note::OtherSeed { .. })) {
            Some(Doubt::OtherSeed)
        } else if reseeded {
            Some(Doubt::Reseeded)
        } else {
            doubt
        };
        let idleness = FaultKind::LeaderIdleness { listened_from: running.listened_from };
        self.blame(leader, idleness, None, doubt);
        doubt.map_or(NoResult::Idle, NoResult::Unproven)
    }

    /// Records a fault, or that there may be one. A member impersonates once, whatever the number of its messages.
    fn blame(&mut self, culprit: Address, kind: FaultKind, signed: Option<&Arc<[u8]>>, doubt: Option<Doubt>) {
        let impersonates = matches!(kind, FaultKind::LeaderImpersonation { .. });
        let same =
            |fault: &Fault| fault.culprit == culprit && discriminant(&fault.kind) == discriminant(&kind);
        let known = self.faults.iter().any(same)
            || self.notes.iter().any(|note| matches!(note, Note::Unproven { fault, .. } if same(fault)));
        if impersonates && known {
            return;
        }
        let (wallet, window, signed) = (self.setup.wallet, self.running.window, signed.map(Arc::clone));
        let fault = Fault { wallet, window, culprit, kind, signed };
        match doubt {
            None => self.faults.push(fault),
            Some(doubt) => self.notes.push(Note::Unproven { fault, doubt }),
        }
    }
}
