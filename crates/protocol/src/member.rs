//! A member of one wallet's signing group, through all windows: the one driver of the protocol. Pure: it takes events,
//! and gives commands.
//!
//! ```text
//! block in a window ──► ReadSafeHash ──► seed ──► do we lead?
//!
//! leader      Generate ─► Judge ─► ReadSafeHash ─► Journal(Sent) ─► Broadcast ─► repeat
//!   per action  │ no        │ no     │ another hash   │ failed        until the active phase ends
//!               └─► next ◄──┘        └─► start anew   └─► silent in this window
//!
//! follower    Message ─► checks 1 to 5 ─► kept ─► checks 6 and 7 ─► settled ─► Judge … Judge
//!                           │ no                     │ no               at the first block after it came, at each
//!                           └─► Ignored              └─► suspected      new block while time can help, at the end
//!
//! another hash: all that was kept is taken from check 6 on again; after three changes the window is undecided
//!
//! block ≥ c+100 ──► last Judge and ReadSafeHash ──► the tables ──► Journal(Result) ──► Finish
//! ```
//!
//! A driver carries out each [`Command`] and hands back what came of it as an [`Event`]. It needs no order and may be
//! late: answers to old questions are told by their [`Question`], and deadlines are blocks. After a restart it begins
//! with [`Member::restore`] and the same journal, and says again who is linked.

mod conclude;
mod event;
mod inbox;
mod judging;
mod leading;
mod running;
mod seeds;
mod tally;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use alloy_primitives::Address;
use coxswain_rules::{KeyHash, units::BlockNumber};

pub use event::{Command, ContentVerdict, Entry, EntryError, EntryId, Event, Generation, Question, Sent};
pub use inbox::{MAX_MESSAGES_PER_SENDER, MAX_RETAINED_PER_SENDER};
pub use leading::RETRANSMISSIONS;
pub use seeds::MAX_RESEEDS;

use crate::{
    Ignored, NotSent, Note, SigningGroup, Window, WindowParameters, WindowResult, WindowWatch,
    wire::OperatorKey,
};
use running::{Desk, Running};
use tally::Tally;

/// How many results may wait for the journal.
const MAX_UNWRITTEN: usize = 2;

/// Who a member is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Setup {
    /// The network's parameters.
    pub network: WindowParameters,
    /// The wallet.
    pub wallet: KeyHash,
    /// Its signing group.
    pub group: Arc<SigningGroup>,
    /// Our key.
    pub key: OperatorKey,
    /// The number of the first message to be sent. Later ones count on from it. Take it from the clock in seconds: peers
    /// drop a message whose number they have seen.
    pub first_sequence: u64,
    /// Sends nothing, ever.
    pub observes: bool,
}

/// A member of one wallet's signing group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    setup: Arc<Setup>,
    watch: WindowWatch,
    desk: Desk,
    running: Option<Box<Running>>,
    /// Since which block each operator is linked.
    links: BTreeMap<Address, BlockNumber>,
    tally: Tally,
    /// Results that are not durable yet.
    unwritten: VecDeque<Unwritten>,
    /// What was sent last, or was about to be, in an earlier life.
    sent: Option<Sent>,
    /// An entry can't be read: something may have been sent in the window that runs.
    damaged: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Unwritten {
    /// `None` if the journal failed, and is to be asked again.
    id: Option<EntryId>,
    result: Arc<WindowResult>,
}

impl Member {
    /// Starts for the first time.
    pub fn new(setup: Setup) -> Self {
        Self::restore(setup, [])
    }

    /// Starts again from what the journal holds, in the order in which it was written.
    pub fn restore(setup: Setup, journal: impl IntoIterator<Item = Result<Entry, EntryError>>) -> Self {
        let (mut sent, mut damaged, mut results) = (None::<Sent>, false, BTreeMap::new());
        for entry in journal {
            match entry {
                Ok(Entry::Sent(entry)) => sent = Some(entry),
                Ok(Entry::Result(result)) => {
                    results.insert(result.window, result);
                }
                Err(EntryError) => damaged = true,
            }
        }
        let mut tally = Tally::default();
        results.values().for_each(|result| drop(tally.count(result)));
        let last_finished = results.keys().next_back().copied();
        let desk = Desk {
            now: BlockNumber(0),
            next_question: 0,
            next_entry: 0,
            next_sequence: setup.first_sequence,
            commands: VecDeque::new(),
        };
        Self {
            watch: WindowWatch::new(setup.network, last_finished),
            setup: Arc::new(setup),
            desk,
            running: None,
            links: BTreeMap::new(),
            tally,
            unwritten: VecDeque::new(),
            sent,
            damaged,
        }
    }

    /// Takes what happened. Poll for what follows from it.
    ///
    /// # Errors
    ///
    /// Why the member does not go by a message. It may keep it as evidence all the same.
    pub fn handle(&mut self, event: Event) -> Result<(), Ignored> {
        let mut heard = Ok(());
        match event {
            Event::Block(block) if block <= self.desk.now => return Ok(()),
            Event::Block(block) => self.on_block(block),
            Event::Message(received) => {
                heard = match &mut self.running {
                    Some(running) => running.on_message(received, &self.setup, &self.desk),
                    None => Err(Ignored::NotListening),
                };
            }
            Event::SafeHash { question, hashes, assurance } => {
                if let Some(running) = &mut self.running {
                    running.on_safe_hash(question, hashes, assurance, &self.setup, self.desk.now);
                }
            }
            Event::Generated { question, generation } => {
                if let Some(running) = &mut self.running {
                    running.on_generated(question, generation, &self.desk);
                }
            }
            Event::Judged { question, verdict, block } => {
                if let Some(running) = &mut self.running {
                    running.on_judged(question, verdict, block, &self.setup, &self.desk);
                }
            }
            Event::Journaled(id) => self.on_journal(id, true),
            Event::JournalFailed(id) => self.on_journal(id, false),
            Event::Linked(operator) => {
                if self.setup.group.contains(operator) {
                    self.links.entry(operator).or_insert(self.desk.now);
                }
            }
            Event::Unlinked(operator) => {
                self.links.remove(&operator);
            }
        }
        if let Some(running) = &mut self.running {
            running.advance(&self.setup, &mut self.desk);
            if running.is_finished(self.desk.now) {
                self.finish();
            }
        }
        heard
    }

    /// The next thing to be done, if there is one.
    pub fn poll(&mut self) -> Option<Command> {
        self.desk.commands.pop_front()
    }

    /// Who this is.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The newest block.
    pub const fn now(&self) -> BlockNumber {
        self.desk.now
    }

    /// The window that runs.
    pub fn window(&self) -> Option<Window> {
        self.running.as_ref().map(|running| running.window)
    }

    /// How many of a leader's last windows, at most five, failed without anybody being blamed.
    pub fn blameless_failures(&self, leader: Address) -> usize {
        self.tally.failures(leader)
    }

    /// Bytes held for senders. At most [`MAX_RETAINED_PER_SENDER`] for each operator of the group.
    pub fn retained_bytes(&self) -> usize {
        self.running.as_ref().map_or(0, |running| running.inbox.retained_bytes())
    }

    fn on_block(&mut self, block: BlockNumber) {
        self.desk.now = block;
        for unwritten in &mut self.unwritten {
            if unwritten.id.is_none() {
                unwritten.id = Some(self.desk.journal(Entry::Result(Arc::clone(&unwritten.result))));
            }
        }
        if let Some(window) = self.watch.on_block(block) {
            self.finish();
            let sent = self.sent.take_if(|sent| sent.window == window);
            let barred = if self.setup.observes {
                Some(NotSent::Observing)
            } else {
                std::mem::take(&mut self.damaged).then_some(NotSent::JournalDamaged)
            };
            self.running = Some(Box::new(Running::open(window, sent, barred, block)));
        }
        if let Some(running) = &mut self.running {
            running.on_block(&self.links, block);
        }
    }

    fn on_journal(&mut self, id: EntryId, durable: bool) {
        if let Some(running) = &mut self.running {
            running.on_journal(id, durable);
        }
        let Some(at) = self.unwritten.iter().position(|unwritten| unwritten.id == Some(id)) else { return };
        if !durable {
            // It is asked again at the next block.
            self.unwritten.iter_mut().skip(at).take(1).for_each(|unwritten| unwritten.id = None);
        } else if let Some(Unwritten { result, .. }) = self.unwritten.remove(at) {
            self.desk.commands.push_back(Command::Finish(result));
        }
    }

    /// Ends the window that runs, with what is known.
    fn finish(&mut self) {
        let Some(running) = self.running.take() else { return };
        let mut result = running.conclude(&self.setup);
        if self.unwritten.len() >= MAX_UNWRITTEN
            && let Some(lost) = self.unwritten.pop_front()
        {
            result.notes.push(Note::NotJournaled(lost.result.window));
        }
        result.alarms = self.tally.count(&result);
        let result = Arc::new(result);
        let id = Some(self.desk.journal(Entry::Result(Arc::clone(&result))));
        self.unwritten.push_back(Unwritten { id, result });
    }
}
