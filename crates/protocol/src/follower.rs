//! The follower's routine: listen, settle on the leader's first acceptable message, judge it, and record who did wrong.

use std::{collections::BTreeMap, mem, sync::Arc};

use alloy_primitives::{Address, B256};
use coxswain_rules::Proposal;

use crate::{
    Assignment, Command, Fault, FaultKind, Ignored, MAX_SIGNED_BYTES, Mistake, Objection, Outcome, Record,
    SigningGroup, Validated, Verdict,
    stages::{Authenticated, OnChecklist, Received},
    wire::{CoordinationMessage, MAX_MESSAGE_BYTES},
};

/// How many of a sender's messages are listened to in a window. (An honest leader sends one, and repeats it.)
pub const MAX_MESSAGES_PER_SENDER: usize = 64;

/// The most bytes that a follower holds for one sender: which messages it has heard, and at most three of them with
/// what they say (an impersonation, one off the checklist, one settled on).
pub const MAX_RETAINED_PER_SENDER: usize =
    MAX_MESSAGES_PER_SENDER * 8 + 3 * (MAX_SIGNED_BYTES + 2 * MAX_MESSAGE_BYTES);

/// A follower in one window.
#[derive(Clone, Debug)]
pub struct Follower {
    assignment: Assignment,
    group: Arc<SigningGroup>,
    me: Address,
    now: u64,
    listened_from: Option<u64>,
    senders: BTreeMap<Address, Sender>,
    settled: Option<Settled>,
    equivocated: bool,
    seed_asked: Option<u64>,
    /// The first block seen at which the window was over: last questions are asked there.
    closing: Option<u64>,
    faults: Vec<Fault>,
    over: bool,
}

/// What is remembered of a sender until the window ends.
#[derive(Clone, Debug, Default)]
struct Sender {
    sequences: Vec<u64>,
    impersonation: Suspicion,
    off_checklist: Suspicion,
}

/// A fault that follows from the seed, recorded once the seed is confirmed.
#[derive(Clone, Debug, Default)]
enum Suspicion {
    #[default]
    None,
    Pending(Box<Authenticated>),
    Recorded,
}

/// The message that the follower goes by.
#[derive(Clone, Debug)]
struct Settled {
    message: OnChecklist,
    judgement: Judgement,
}

#[derive(Clone, Debug)]
enum Judgement {
    /// A no-op needs none.
    NoOp,
    Valid(Arc<Proposal>, u64),
    Open {
        proposal: Arc<Proposal>,
        /// The head when a verdict was last asked for.
        asked: u64,
        /// The last verdict, in words; none while one is awaited.
        verdict: Option<String>,
    },
}

impl Follower {
    /// Starts at a block of the window, as this operator.
    pub fn start(
        assignment: Assignment,
        group: Arc<SigningGroup>,
        me: Address,
        block: u64,
    ) -> (Self, Vec<Command>) {
        let mut follower = Self {
            assignment,
            group,
            me,
            now: block,
            listened_from: (block < assignment.window.active_end()).then_some(block),
            senders: BTreeMap::new(),
            settled: None,
            equivocated: false,
            seed_asked: None,
            closing: None,
            faults: Vec::new(),
            over: false,
        };
        let mut commands = Vec::new();
        follower.keep_deadlines(&mut commands);
        (follower, commands)
    }

    /// A new block came. Repeated and older ones change nothing.
    pub fn on_block(&mut self, block: u64) -> Vec<Command> {
        let mut commands = Vec::new();
        if block > self.now && !self.over {
            self.now = block;
            self.keep_deadlines(&mut commands);
        }
        commands
    }

    /// A message came. Says too whether it was settled on, or why not.
    pub fn on_message(&mut self, received: Received) -> (Result<(), Ignored>, Vec<Command>) {
        let mut commands = Vec::new();
        (self.hear(received, &mut commands), commands)
    }

    /// The proposal was judged at this block.
    pub fn on_verdict(&mut self, verdict: Verdict, block: u64) -> Vec<Command> {
        let mut commands = Vec::new();
        let end = self.assignment.window.end();
        let Some(Settled { judgement, .. }) = &mut self.settled else { return commands };
        let Judgement::Open { proposal, asked, verdict: last @ None, .. } = judgement else {
            return commands;
        };
        if self.over {
            return commands;
        }
        match verdict {
            Verdict::Valid => {
                *judgement = Judgement::Valid(Arc::clone(proposal), block);
                self.keep_deadlines(&mut commands);
            }
            Verdict::Rejected(objection) if *asked >= end => self.reject(objection, block, &mut commands),
            Verdict::Undecided(why) if *asked >= end => {
                *last = Some(why);
                self.give_up(&mut commands);
            }
            Verdict::Rejected(objection) => {
                *last = Some(format!("rejected at block {block}: {objection}"));
                self.ask_at_the_end(&mut commands);
            }
            Verdict::Undecided(why) => {
                *last = Some(why);
                self.ask_at_the_end(&mut commands);
            }
        }
        commands
    }

    /// The safe block's hash was read once more, asked for or not.
    pub fn on_safe_block_hash(&mut self, safe_block_hash: B256) -> Vec<Command> {
        let mut commands = Vec::new();
        if self.over {
            return commands;
        }
        self.seed_asked = None;
        if safe_block_hash != self.assignment.safe_block_hash {
            self.over = true;
            let settled = self.settled.take().map(|settled| settled.message.into_message());
            let held = self.take_suspects().into_iter().map(|(message, _)| message).chain(settled);
            let held = held.map(Received::from).collect();
            return vec![Command::Reseed { safe_block_hash, held }];
        }
        for (message, kind) in self.take_suspects() {
            self.blame(message.author(), kind, Some(Arc::clone(message.signed())), &mut commands);
        }
        if self.now >= self.assignment.window.active_end() {
            match (&self.settled, self.listened_from) {
                (None, Some(listened_from)) => {
                    let kind = FaultKind::LeaderIdleness { listened_from };
                    self.blame(self.assignment.leader, kind, None, &mut commands);
                    self.finish(Outcome::None, &mut commands);
                }
                _ => self.keep_deadlines(&mut commands),
            }
        }
        commands
    }

    /// Bytes held for senders. At most [`MAX_RETAINED_PER_SENDER`] for each operator of the group.
    pub fn retained_bytes(&self) -> usize {
        let senders = self.senders.values().map(|sender| {
            let suspicions =
                [&sender.impersonation, &sender.off_checklist].map(|suspicion| match suspicion {
                    Suspicion::Pending(message) => message.retained_bytes(),
                    Suspicion::None | Suspicion::Recorded => 0,
                });
            sender.sequences.capacity() * size_of::<u64>() + suspicions.iter().sum::<usize>()
        });
        let settled = self.settled.as_ref().map_or(0, |settled| {
            // The proposal to be judged is a second copy of what the message says.
            settled.message.message().retained_bytes() + settled.message.message().proposed().heap_bytes()
        });
        let evidence =
            self.faults.iter().filter_map(|fault| fault.signed.as_ref()).map(|signed| signed.len());
        senders.sum::<usize>() + settled + evidence.sum::<usize>()
    }

    fn hear(&mut self, received: Received, commands: &mut Vec<Command>) -> Result<(), Ignored> {
        if self.over || self.now >= self.assignment.window.active_end() {
            return Err(Ignored::NotListening);
        }
        let author = received.author();
        if !self.group.contains(author) {
            return Err(Ignored::NotAMember(author));
        }
        let sender = self.senders.entry(author).or_default();
        if sender.sequences.contains(&received.sequence()) {
            if let Some(message) = received.message() {
                self.compare(author, message, received.signed(), commands);
            }
            return Err(Ignored::Repeat);
        }
        if sender.sequences.len() == MAX_MESSAGES_PER_SENDER {
            return Err(Ignored::TooMany);
        }
        sender.sequences.push(received.sequence());

        let message = received.authenticate(&self.assignment, &self.group, self.me)?;
        let message = match message.on_checklist(&self.assignment) {
            Ok(message) => message,
            Err((message, ignored)) => {
                self.compare(author, message.message(), message.signed(), commands);
                self.suspect(message, ignored, commands);
                return Err(ignored);
            }
        };
        if self.settled.is_some() {
            let message = message.message();
            self.compare(author, message.message(), message.signed(), commands);
            return Err(Ignored::Settled);
        }
        let judgement = match message.proposal() {
            None => Judgement::NoOp,
            Some(proposal) => {
                let proposal = Arc::clone(proposal);
                commands.push(Command::Validate(Arc::clone(&proposal)));
                Judgement::Open { proposal, asked: self.now, verdict: None }
            }
        };
        self.settled = Some(Settled { message, judgement });
        Ok(())
    }

    /// Holds a message that is a fault if the seed is right, one of each kind for each sender.
    fn suspect(&mut self, message: Box<Authenticated>, ignored: Ignored, commands: &mut Vec<Command>) {
        let sender = self.senders.entry(message.author()).or_default();
        let suspicion = match ignored {
            Ignored::NotOnChecklist(_) => &mut sender.off_checklist,
            Ignored::NotTheLeader(_) => &mut sender.impersonation,
            _ => return,
        };
        if matches!(suspicion, Suspicion::None) {
            *suspicion = Suspicion::Pending(message);
            self.ask_seed(commands);
        }
    }

    /// Keeps evidence of a leader that proposed something else before.
    fn compare(
        &mut self,
        author: Address,
        message: &CoordinationMessage,
        signed: &Arc<[u8]>,
        commands: &mut Vec<Command>,
    ) {
        let Some(Settled { message: first, .. }) = &self.settled else { return };
        let first = first.message();
        let same_speaker = author == self.assignment.leader
            && message.seat == self.assignment.leader_seat
            && message.coordination_block == self.assignment.window.block()
            && message.wallet == self.assignment.wallet;
        if same_speaker && !self.equivocated && message.proposed != *first.proposed() {
            self.equivocated = true;
            commands.push(Command::Record(Record::Equivocation {
                leader: self.assignment.leader,
                first: Arc::clone(first.signed()),
                second: Arc::clone(signed),
            }));
        }
    }

    fn keep_deadlines(&mut self, commands: &mut Vec<Command>) {
        let window = self.assignment.window;
        if self.now >= window.end() && *self.closing.get_or_insert(self.now) < self.now {
            return self.give_up(commands);
        }
        let suspects = self.senders.values().any(|sender| {
            [&sender.impersonation, &sender.off_checklist].iter().any(|s| matches!(s, Suspicion::Pending(_)))
        });
        let mut doubts_seed = suspects;
        if self.now >= window.active_end() {
            let may_finish = !suspects || self.now >= window.end();
            match self.settled.as_ref().map(|settled| &settled.judgement) {
                None if self.listened_from.is_none() => return self.finish(Outcome::None, commands),
                None => doubts_seed = true,
                Some(Judgement::NoOp) if may_finish => return self.finish(Outcome::NoOp, commands),
                Some(Judgement::Valid(proposal, block)) if may_finish => {
                    let validated = Validated::new(Arc::clone(proposal), *block);
                    return self.finish(Outcome::action(&self.assignment, validated), commands);
                }
                Some(_) => {}
            }
        }
        if let Some(Settled { judgement: Judgement::Open { proposal, asked, verdict }, .. }) =
            &mut self.settled
            && verdict.is_some()
            && *asked < self.now
        {
            *asked = self.now;
            *verdict = None;
            commands.push(Command::Validate(Arc::clone(proposal)));
        }
        if doubts_seed {
            self.ask_seed(commands);
        }
    }

    /// Asks for the last verdict at once when an earlier one came only now that the window is over.
    fn ask_at_the_end(&mut self, commands: &mut Vec<Command>) {
        if self.now >= self.assignment.window.end() {
            self.keep_deadlines(commands);
        }
    }

    fn ask_seed(&mut self, commands: &mut Vec<Command>) {
        if self.seed_asked != Some(self.now) {
            self.seed_asked = Some(self.now);
            commands.push(Command::ConfirmSeed);
        }
    }

    fn take_suspects(&mut self) -> Vec<(Authenticated, FaultKind)> {
        let mut suspects = Vec::new();
        for sender in self.senders.values_mut() {
            for suspicion in [&mut sender.impersonation, &mut sender.off_checklist] {
                if let Suspicion::Pending(message) = suspicion {
                    let message = Authenticated::clone(message);
                    *suspicion = Suspicion::Recorded;
                    let kind = match message.proposed().action() {
                        Some(action) if message.seat() == self.assignment.leader_seat => {
                            FaultKind::LeaderMistake(Mistake::NotOnChecklist(action))
                        }
                        _ => FaultKind::LeaderImpersonation { seat: message.seat() },
                    };
                    suspects.push((message, kind));
                }
            }
        }
        suspects
    }

    fn blame(
        &mut self,
        culprit: Address,
        kind: FaultKind,
        signed: Option<Arc<[u8]>>,
        commands: &mut Vec<Command>,
    ) {
        let fault = self.assignment.fault(culprit, kind, signed);
        commands.push(Command::Record(Record::Fault(fault.clone())));
        self.faults.push(fault);
    }

    fn reject(&mut self, objection: Objection, block: u64, commands: &mut Vec<Command>) {
        let signed = self.settled.as_ref().map(|settled| Arc::clone(settled.message.message().signed()));
        let mistake = Mistake::Rejected { objection, block };
        self.blame(self.assignment.leader, FaultKind::LeaderMistake(mistake), signed, commands);
        self.finish(Outcome::None, commands);
    }

    /// Ends without the answers that are still missing. Nobody is blamed for that.
    fn give_up(&mut self, commands: &mut Vec<Command>) {
        match (&self.settled, self.listened_from) {
            (Some(Settled { judgement: Judgement::Open { proposal, verdict, .. }, .. }), _) => {
                let (proposal, why) = (Arc::clone(proposal), verdict.clone());
                let why = why.unwrap_or_else(|| "no verdict came before the window was over".to_owned());
                self.finish(Outcome::Undecided { proposal, why }, commands);
            }
            (None, Some(listened_from)) => {
                let kind = FaultKind::LeaderIdleness { listened_from };
                let unproven = self.assignment.fault(self.assignment.leader, kind, None);
                commands.push(Command::Record(Record::Unproven(unproven)));
                self.finish(Outcome::None, commands);
            }
            _ => {}
        }
    }

    fn finish(&mut self, outcome: Outcome, commands: &mut Vec<Command>) {
        self.over = true;
        for (message, kind) in self.take_suspects() {
            let signed = Some(Arc::clone(message.signed()));
            let unproven = self.assignment.fault(message.author(), kind, signed);
            commands.push(Command::Record(Record::Unproven(unproven)));
        }
        let faults = mem::take(&mut self.faults);
        commands.push(Command::Finish(self.assignment.result(outcome, faults)));
    }
}
