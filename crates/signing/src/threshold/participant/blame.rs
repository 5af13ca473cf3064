//! How an attempt fails: who is said to have spoiled it, what others are told of it, and with whom nobody signs again.

use std::collections::BTreeSet;

use alloy_primitives::Address;
use coxswain_protocol::Seat;

use super::{After, Participant, Running, Step};
use crate::{
    AttemptReport, Blame,
    group::{Lacking, SignedLacking},
    threshold::{
        attempt::Failure,
        events::{Command, Record, RoundMessage, Terms},
    },
};

impl Participant {
    pub(super) fn failed(&mut self, own: Seat, step: Step, failure: Failure) {
        let others = |running: &Option<Running>| {
            let seats = running.as_ref().map(Running::seats).unwrap_or_default();
            seats.into_iter().filter(|seat| *seat != own).collect::<Vec<_>>()
        };
        // Nothing more of this attempt leaves, whatever it was.
        if let Some(running) = &mut self.running {
            running.stop();
            let number = running.number;
            let is_more = |sent: &RoundMessage| sent.attempt == number && (sent.batch, sent.round) > step;
            self.commands.retain(|command| !matches!(command, Command::Send(_, sent) if is_more(sent)));
        }
        let attempt = self.running.as_ref().map_or(0, |running| running.number);
        match failure {
            Failure::Ban(ban) => {
                self.record(Record::Ban(ban.by, ban.seat), After::Ban(ban, attempt, step));
                self.fail(Vec::new());
            }
            Failure::Fault { seat, reason } => {
                self.fail(vec![Blame::Fault { seat, reason }]);
                self.say(own, attempt, step, [seat].into());
            }
            Failure::Lacking(seats) => {
                let silent = seats.into_iter().filter(|seat| !self.has_stopped(*seat, attempt, step));
                let silent: BTreeSet<Seat> = silent.collect();
                if let Some(running) = &mut self.running {
                    running.lacked = Some((step, silent.clone()));
                }
                self.fail(Vec::new());
                self.say(own, attempt, step, silent);
            }
            Failure::Unattributed => {
                self.fail(vec![Blame::Unattributed(others(&self.running))]);
                self.say(own, attempt, step, BTreeSet::new());
            }
            Failure::Local(_) => {
                self.fail(Vec::new());
                self.say(own, attempt, step, BTreeSet::new());
            }
        }
    }

    /// Says that one of our seats has stopped at this step, and whose messages it lacks, or can't use.
    pub(super) fn say(&mut self, own: Seat, attempt: u8, (batch, round): Step, lacks: BTreeSet<Seat>) {
        let Terms { window, action_id, .. } = self.terms;
        let lacking = Lacking { window, action_id, attempt, batch, round, seat: own, lacks };
        self.on_lacking(&lacking.sign(&self.operator).to_bytes());
    }

    /// Whether a seat has said that it stopped, at this step or before.
    fn has_stopped(&self, seat: Seat, attempt: u8, step: Step) -> bool {
        self.lacking.get(&(attempt, seat)).is_some_and(|(at, _)| *at <= step)
    }

    pub(super) fn on_lacking(&mut self, bytes: &[u8]) {
        let Ok(signed) = SignedLacking::from_bytes(bytes) else { return };
        let Terms { window, action_id, group, .. } = &self.terms;
        if signed.check(window, *action_id, group).is_err() {
            return;
        }
        let Lacking { attempt, batch, round, seat, lacks, .. } = signed.lacking();
        let possible = (1..=self.attempts()).contains(attempt) && (1..=3).contains(round);
        // The first of each seat and attempt: what a seat can make us keep and pass on is bounded.
        if possible && !self.lacking.contains_key(&(*attempt, *seat)) {
            self.lacking.insert((*attempt, *seat), ((*batch, *round), lacks.clone()));
            self.commands.push_back(Command::Lacking(bytes.to_vec()));
        }
    }

    /// The pairs of operators of which one has lacked the other's messages.
    pub(super) fn unlinked(&self) -> BTreeSet<(Address, Address)> {
        let holder = |seat: &Seat| self.terms.group.holder(*seat);
        let pairs = self
            .lacking
            .iter()
            .flat_map(|((_, seat), (_, lacks))| lacks.iter().map(move |other| (*seat, *other)));
        pairs
            .filter_map(|(seat, other)| Some((holder(&seat)?, holder(&other)?)))
            .filter(|(a, b)| a != b)
            .collect()
    }

    /// Who was lacked, and hasn't said that it lacked anything itself by then: it is silent.
    pub(super) fn silent(&self) -> Vec<Blame> {
        let Some((number, (step, lacked))) =
            self.running.as_ref().and_then(|running| Some((running.number, running.lacked.as_ref()?)))
        else {
            return Vec::new();
        };
        let silent = lacked.iter().filter(|seat| !self.has_stopped(**seat, number, *step));
        silent.map(|seat| Blame::Silent { seat: *seat, round: step.1 }).collect()
    }

    /// The attempt has failed: its operators are marked.
    pub(super) fn fail(&mut self, blames: Vec<Blame>) {
        let Some(running) = &mut self.running else { return };
        running.stop();
        let seats = running.seats();
        let attempt = u64::from(running.number);
        let operators: BTreeSet<Address> =
            seats.iter().filter_map(|seat| self.terms.group.holder(*seat)).collect();
        for operator in &operators {
            *self.recorded.marks.entry(*operator).or_default() += 1;
        }
        self.record(Record::Marks(operators), After::Nothing);
        self.blames.extend(blames.iter().cloned());
        self.failed.push(AttemptReport { attempt, seats: seats.into_iter().collect(), blames });
    }

    /// A step's time is over.
    pub(super) fn end_step(&mut self, step: Step) {
        let Some(running) = self.running.as_ref().filter(|running| !running.over) else { return };
        let late = running.stages.iter().find(|(_, stage)| (running.batch, stage.round()) == step);
        let Some(own) = late.map(|(seat, _)| *seat) else { return };
        let inbox = running.inbox.get(&(step, own));
        let has = |seat: &Seat| inbox.is_some_and(|inbox| inbox.contains_key(seat));
        let lacking = running.seats().into_iter().filter(|seat| *seat != own && !has(seat)).collect();
        self.failed(own, step, Failure::Lacking(lacking));
    }

    /// An attempt's blocks are over: whoever was not in it, and has no signature, takes it for failed.
    pub(super) fn close(&mut self) {
        let silent = self.silent();
        self.blames.extend(silent.iter().cloned());
        if let (Some(report), false) = (self.failed.last_mut(), silent.is_empty()) {
            report.blames.extend(silent);
        }
        if self.running.as_ref().is_some_and(|running| !running.over && running.taken.is_some()) {
            self.fail(Vec::new());
        }
    }
}
