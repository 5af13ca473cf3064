//! An honest member: the protocol's routines, driven as a node drives them, with a journal that outlives restarts.

use std::{collections::BTreeMap, sync::Arc};

use alloy_primitives::{Address, B256};
use coxswain_protocol::{
    Assignment, Command, Follower, Generation, Ignored, Leader, Network, Received, Record, SigningGroup,
    Verdict, Window, WindowResult, WindowWatch, wire::OperatorKey,
};
use coxswain_rules::KeyHash;

/// How a member behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// By the protocol.
    Honest,
    /// Says nothing when it leads.
    Silent,
    /// Proposes two things when it leads.
    Equivocator,
    /// Proposes though it doesn't lead.
    Impersonator,
    /// Sends hundreds of messages of all kinds.
    Flooder,
    /// Proposes what the checklist or the contract doesn't allow when it leads.
    Blunderer,
}

impl Role {
    /// All but the honest one.
    pub const HOSTILE: [Self; 5] =
        [Self::Silent, Self::Equivocator, Self::Impersonator, Self::Flooder, Self::Blunderer];
}

/// What survives a restart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    /// Every result of every window: more than one would be one too many.
    pub(crate) results: BTreeMap<Window, Vec<WindowResult>>,
    pub(crate) records: BTreeMap<Window, Vec<Record>>,
    /// How often the seed had to be drawn again.
    pub(crate) reseeds: u64,
    sent: Option<Sent>,
}

#[derive(Clone, Debug)]
struct Sent {
    window: Window,
    envelope: Arc<[u8]>,
    block: u64,
}

#[derive(Clone, Debug)]
enum Routine {
    Leader(Box<Leader>),
    Follower(Box<Follower>),
}

/// What happens to a member.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Block(u64),
    Message(Received),
    Generated(Generation),
    Judged(Verdict, u64),
    SafeBlockHash(B256),
}

/// A member that follows the protocol.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) key: OperatorKey,
    pub(crate) up: bool,
    /// How often it has started. Answers to questions of an earlier life are lost.
    pub(crate) life: u64,
    pub(crate) head: u64,
    pub(crate) journal: Journal,
    pub(crate) group: Arc<SigningGroup>,
    network: Network,
    wallet: KeyHash,
    watch: WindowWatch,
    sequence: u64,
    assignment: Option<Assignment>,
    routine: Option<Routine>,
}

impl Member {
    pub(crate) fn new(network: Network, wallet: KeyHash, key: OperatorKey, group: Arc<SigningGroup>) -> Self {
        Self {
            key,
            up: true,
            life: 0,
            head: 0,
            journal: Journal::default(),
            group,
            network,
            wallet,
            watch: WindowWatch::new(network, None),
            sequence: 0,
            assignment: None,
            routine: None,
        }
    }

    pub(crate) fn address(&self) -> Address {
        self.key.address()
    }

    /// Forgets all but the journal.
    pub(crate) fn restart(&mut self) {
        self.up = true;
        self.life += 1;
        self.head = 0;
        let last_finished = self.journal.results.keys().next_back().copied();
        self.watch = WindowWatch::new(self.network, last_finished);
        (self.sequence, self.assignment, self.routine) = (0, None, None);
    }

    pub(crate) fn retained_bytes(&self) -> usize {
        match &self.routine {
            Some(Routine::Follower(follower)) => follower.retained_bytes(),
            _ => 0,
        }
    }

    /// Takes an event, and gives back what is asked of the world. `safe_block_hash` is what this member reads now.
    pub(crate) fn take(&mut self, event: Event, safe_block_hash: B256) -> (Option<Ignored>, Vec<Command>) {
        let mut ignored = None;
        let mut commands = match (event, &mut self.routine) {
            (Event::Block(block), _) => return (None, self.on_block(block, safe_block_hash)),
            (_, None) => Vec::new(),
            (Event::Message(received), Some(Routine::Follower(follower))) => {
                let (heard, commands) = follower.on_message(received);
                ignored = heard.err();
                commands
            }
            (Event::Judged(verdict, block), Some(Routine::Follower(follower))) => {
                follower.on_verdict(verdict, block)
            }
            (Event::SafeBlockHash(hash), Some(Routine::Follower(follower))) => {
                follower.on_safe_block_hash(hash)
            }
            (Event::Generated(generation), Some(Routine::Leader(leader))) => leader.on_generation(generation),
            (Event::Judged(verdict, block), Some(Routine::Leader(leader))) => {
                leader.on_verdict(verdict, block)
            }
            (Event::SafeBlockHash(hash), Some(Routine::Leader(leader))) => leader.on_safe_block_hash(hash),
            (Event::Message(_), Some(Routine::Leader(_)))
            | (Event::Generated(_), Some(Routine::Follower(_))) => Vec::new(),
        };
        self.keep(&mut commands);
        (ignored, commands)
    }

    fn on_block(&mut self, block: u64, safe_block_hash: B256) -> Vec<Command> {
        self.head = self.head.max(block);
        let mut commands = match &mut self.routine {
            Some(Routine::Leader(leader)) => leader.on_block(block),
            Some(Routine::Follower(follower)) => follower.on_block(block),
            None => Vec::new(),
        };
        self.keep(&mut commands);
        if let Some(window) = self.watch.on_block(block) {
            let mut more = self.begin(window, safe_block_hash);
            self.keep(&mut more);
            commands.extend(more);
        }
        commands
    }

    fn begin(&mut self, window: Window, safe_block_hash: B256) -> Vec<Command> {
        let assignment = Assignment::new(&self.network, window, self.wallet, &self.group, safe_block_hash);
        self.assignment = Some(assignment);
        if assignment.leader != self.address() {
            let (follower, commands) =
                Follower::start(assignment, Arc::clone(&self.group), self.address(), self.head);
            self.routine = Some(Routine::Follower(Box::new(follower)));
            return commands;
        }
        if let Some(Sent { envelope, block, .. }) =
            self.journal.sent.as_ref().filter(|sent| sent.window == window)
            && let Ok((leader, commands)) =
                Leader::resume(assignment, self.key, Arc::clone(envelope), *block, *block, self.head)
        {
            self.routine = Some(Routine::Leader(Box::new(leader)));
            return commands;
        }
        self.sequence += 1;
        let (leader, commands) = Leader::start(assignment, self.key, self.sequence, self.head);
        self.routine = Some(Routine::Leader(Box::new(leader)));
        commands
    }

    /// Writes down what has to be before anything else is done, and follows a new seed.
    fn keep(&mut self, commands: &mut Vec<Command>) {
        let Some(assignment) = self.assignment else { return };
        let window = assignment.window;
        let mut more = Vec::new();
        for command in commands.iter() {
            match command {
                Command::Record(record) => {
                    self.journal.records.entry(window).or_default().push(record.clone());
                }
                Command::Broadcast(envelope) => {
                    let recorded = self.journal.sent.as_ref().is_some_and(|sent| sent.window == window);
                    if !recorded {
                        let (envelope, block) = (Arc::clone(envelope), self.head);
                        self.journal.sent = Some(Sent { window, envelope, block });
                    }
                }
                Command::Finish(result) => {
                    self.routine = None;
                    self.journal.results.entry(window).or_default().push(result.clone());
                }
                Command::Reseed { safe_block_hash, held } => {
                    self.journal.reseeds += 1;
                    more.extend(self.begin(window, *safe_block_hash));
                    if let Some(Routine::Follower(follower)) = &mut self.routine {
                        for message in held {
                            more.extend(follower.on_message(message.clone()).1);
                        }
                    }
                }
                Command::Generate(_) | Command::Validate(_) | Command::ConfirmSeed => {}
            }
        }
        if !more.is_empty() {
            self.keep(&mut more);
            commands.extend(more);
        }
    }
}
