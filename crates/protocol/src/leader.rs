//! The leader's routine: generate, validate, make sure of the seed, broadcast, and repeat until the active phase ends.

use std::{mem, sync::Arc};

use alloy_primitives::B256;
use coxswain_rules::{Action, Proposal};

use crate::{
    Assignment, Command, FaultKind, Generation, NotGenerated, Outcome, Record, Validated, Verdict,
    wire::{CoordinationMessage, DecodeError, Envelope, MESSAGE_TYPE, OperatorKey, Proposed},
};

/// When a message is sent again: blocks after it was first sent, within the active phase.
pub const RETRANSMISSIONS: [u64; 7] = [1, 3, 6, 11, 20, 37, 70];

/// A leader in one window.
#[derive(Clone, Debug)]
pub struct Leader {
    assignment: Assignment,
    key: OperatorKey,
    sequence: u64,
    started: u64,
    now: u64,
    stage: Stage,
}

#[derive(Clone, Debug)]
enum Stage {
    /// Waiting for a generator's answer.
    Generating { search: Search, action: Action },
    /// Waiting for a verdict.
    Validating { search: Search, proposal: Arc<Proposal> },
    /// Waiting for the safe block's hash, asked for at this block. Sent before, if we have restarted since.
    Ready { envelope: Arc<[u8]>, outcome: Outcome, first_sent: Option<u64>, asked: u64 },
    /// Sent; the retransmissions still to come.
    Sent { envelope: Arc<[u8]>, outcome: Outcome, first_sent: u64, retransmitted: usize },
    /// Nothing could be decided.
    Silent,
    /// Finished.
    Over,
}

/// Where the leader is in its checklist.
#[derive(Clone, Copy, Debug)]
struct Search {
    tried: usize,
    decided: bool,
    retried: bool,
}

/// Why a leader can't take over after a restart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// The record is no envelope around a coordination message.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It is of another seat, window or wallet: the leader has changed since.
    #[error("the recorded message is of another seat, window or wallet")]
    OtherAssignment,
}

impl Leader {
    /// Starts at a block of the window. `sequence` is the number of the message to be sent.
    pub fn start(
        assignment: Assignment,
        key: OperatorKey,
        sequence: u64,
        block: u64,
    ) -> (Self, Vec<Command>) {
        let search = Search { tried: 0, decided: false, retried: false };
        let mut leader = Self { assignment, key, sequence, started: block, now: block, stage: Stage::Silent };
        let mut commands = Vec::new();
        if block < assignment.window.active_end() {
            leader.next_action(search, &mut commands);
        } else {
            leader.keep_deadlines(&mut commands);
        }
        (leader, commands)
    }

    /// Takes over after a restart: what was recorded is sent again, sequence number included. `validated_at` is the
    /// block at which it was found valid, before it was recorded.
    ///
    /// # Errors
    ///
    /// When the record is not what the leader of this assignment would have sent.
    pub fn resume(
        assignment: Assignment,
        key: OperatorKey,
        recorded: Arc<[u8]>,
        first_sent: u64,
        validated_at: u64,
        block: u64,
    ) -> Result<(Self, Vec<Command>), ResumeError> {
        let Envelope { payload, sequence, .. } = Envelope::decode(&recorded)?;
        let message = CoordinationMessage::decode(payload)?;
        if (message.seat, message.coordination_block, message.wallet)
            != (assignment.leader_seat, assignment.window.block(), assignment.wallet)
        {
            return Err(ResumeError::OtherAssignment);
        }
        let outcome = match message.proposed {
            Proposed::NoOp => Outcome::NoOp,
            Proposed::Unknown { .. } => return Err(ResumeError::OtherAssignment),
            Proposed::Action(proposal) => {
                Outcome::action(&assignment, Validated::new(proposal, validated_at))
            }
        };
        let mut leader =
            Self { assignment, key, sequence, started: first_sent, now: block, stage: Stage::Silent };
        let mut commands = Vec::new();
        if block < assignment.window.active_end() {
            leader.ready(recorded, outcome, Some(first_sent), &mut commands);
        } else {
            // It was sent in its time.
            leader.stage = Stage::Sent { envelope: recorded, outcome, first_sent, retransmitted: 0 };
            leader.keep_deadlines(&mut commands);
        }
        Ok((leader, commands))
    }

    /// A new block came. Repeated and older ones change nothing.
    pub fn on_block(&mut self, block: u64) -> Vec<Command> {
        let mut commands = Vec::new();
        if block > self.now {
            self.now = block;
            self.keep_deadlines(&mut commands);
        }
        commands
    }

    /// The generator has answered.
    pub fn on_generation(&mut self, generation: Generation) -> Vec<Command> {
        let mut commands = Vec::new();
        let Stage::Generating { mut search, action } = self.stage else { return commands };
        let why = match generation {
            Generation::Proposal(proposal) if proposal.action() == action => {
                let proposal = Arc::new(proposal);
                commands.push(Command::Validate(Arc::clone(&proposal)));
                self.stage = Stage::Validating { search, proposal };
                return commands;
            }
            Generation::Proposal(other) => Some(NotGenerated::OtherAction(other.action())),
            Generation::NotPossible => {
                search.decided = true;
                None
            }
            Generation::Failed(why) => Some(NotGenerated::Failed(why)),
        };
        if let Some(why) = why {
            commands.push(Command::Record(Record::NotGenerated { action, why }));
        }
        self.next_action(search, &mut commands);
        commands
    }

    /// The proposal was judged at this block.
    pub fn on_verdict(&mut self, verdict: Verdict, block: u64) -> Vec<Command> {
        let mut commands = Vec::new();
        let (mut search, proposal) = match &self.stage {
            Stage::Validating { search, proposal } => (*search, Arc::clone(proposal)),
            _ => return commands,
        };
        let action = proposal.action();
        let why = match verdict {
            Verdict::Valid => match self.envelope(Proposed::Action(Arc::clone(&proposal))) {
                Ok(envelope) => {
                    let validated = Validated::new(proposal, block);
                    let outcome = Outcome::action(&self.assignment, validated);
                    self.ready(envelope, outcome, None, &mut commands);
                    return commands;
                }
                Err(error) => NotGenerated::Unwritable(error),
            },
            Verdict::Rejected(objection) => {
                search.decided = true;
                NotGenerated::Rejected(objection)
            }
            Verdict::Undecided(why) => NotGenerated::Undecided(why),
        };
        commands.push(Command::Record(Record::NotGenerated { action, why }));
        self.next_action(search, &mut commands);
        commands
    }

    /// The safe block's hash was read once more.
    pub fn on_safe_block_hash(&mut self, safe_block_hash: B256) -> Vec<Command> {
        let (envelope, outcome, first_sent) = match mem::replace(&mut self.stage, Stage::Over) {
            Stage::Ready { envelope, outcome, first_sent, .. } => (envelope, outcome, first_sent),
            other => {
                self.stage = other;
                return Vec::new();
            }
        };
        if safe_block_hash != self.assignment.safe_block_hash {
            return vec![Command::Reseed { safe_block_hash, held: Vec::new() }];
        }
        let command = Command::Broadcast(Arc::clone(&envelope));
        let first_sent = first_sent.unwrap_or(self.now);
        let retransmitted = retransmissions_due(first_sent, self.now);
        self.stage = Stage::Sent { envelope, outcome, first_sent, retransmitted };
        vec![command]
    }

    /// Tries the checklist's next action; at its end, settles on a no-op if anything could be decided, or tries the
    /// whole list once more, or gives up.
    fn next_action(&mut self, search: Search, commands: &mut Vec<Command>) {
        if let Some(action) = self.assignment.checklist.actions().nth(search.tried) {
            commands.push(Command::Generate(action));
            let search = Search { tried: search.tried + 1, ..search };
            self.stage = Stage::Generating { search, action };
        } else if search.decided {
            match self.envelope(Proposed::NoOp) {
                Ok(envelope) => self.ready(envelope, Outcome::NoOp, None, commands),
                Err(_) => self.stage = Stage::Silent,
            }
        } else if search.retried {
            self.stage = Stage::Silent;
        } else {
            self.next_action(Search { tried: 0, decided: false, retried: true }, commands);
        }
    }

    fn ready(
        &mut self,
        envelope: Arc<[u8]>,
        outcome: Outcome,
        first_sent: Option<u64>,
        commands: &mut Vec<Command>,
    ) {
        self.stage = Stage::Ready { envelope, outcome, first_sent, asked: self.now };
        commands.push(Command::ConfirmSeed);
    }

    fn envelope(&self, proposed: Proposed) -> Result<Arc<[u8]>, DecodeError> {
        let message = CoordinationMessage {
            seat: self.assignment.leader_seat,
            coordination_block: self.assignment.window.block(),
            wallet: self.assignment.wallet,
            proposed,
        };
        let (sender, sequence) = (self.key.compressed(), self.sequence);
        let envelope = Envelope { sender, payload: &message.encode()?, kind: MESSAGE_TYPE, sequence };
        Ok(envelope.encode()?.into())
    }

    fn keep_deadlines(&mut self, commands: &mut Vec<Command>) {
        if self.now >= self.assignment.window.active_end() {
            let (outcome, faults) = match mem::replace(&mut self.stage, Stage::Over) {
                Stage::Over => return,
                Stage::Sent { outcome, .. } | Stage::Ready { outcome, first_sent: Some(_), .. } => {
                    (outcome, Vec::new())
                }
                _ => {
                    let kind = FaultKind::LeaderIdleness { listened_from: self.started };
                    let fault = self.assignment.fault(self.assignment.leader, kind, None);
                    commands.push(Command::Record(Record::Fault(fault.clone())));
                    (Outcome::None, vec![fault])
                }
            };
            commands.push(Command::Finish(self.assignment.result(outcome, faults)));
            return;
        }
        match &mut self.stage {
            Stage::Ready { asked, .. } if *asked < self.now => {
                *asked = self.now;
                commands.push(Command::ConfirmSeed);
            }
            Stage::Sent { envelope, first_sent, retransmitted, .. } => {
                let due = retransmissions_due(*first_sent, self.now);
                if due > *retransmitted {
                    *retransmitted = due;
                    commands.push(Command::Broadcast(Arc::clone(envelope)));
                }
            }
            _ => {}
        }
    }
}

/// How many retransmissions have fallen due. What fell due in skipped blocks is made up for by one sending.
fn retransmissions_due(first_sent: u64, now: u64) -> usize {
    RETRANSMISSIONS.iter().take_while(|after| first_sent.saturating_add(**after) <= now).count()
}
