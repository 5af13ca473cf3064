//! A player: a member of the protocol while it is up, and what outlives it. It decides nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
};

use alloy_primitives::Address;
use coxswain_protocol::{
    Command, Entry, Event, Ignored, Member, Setup, Window, WindowResult, wire::OperatorKey,
};
use coxswain_rules::units::BlockNumber;

use crate::{
    coordinated::{Coordinated, Time},
    journal::Journal,
};

/// How a member behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// By the protocol.
    Honest,
    /// By the protocol, but by the other hash rule: it was upgraded sooner or later than the others.
    OtherRule,
    /// Says nothing when it leads.
    Silent,
    /// Proposes two things when it leads, now and then the second at the last moment.
    Equivocator,
    /// Proposes though it doesn't lead.
    Impersonator,
    /// Sends hundreds of messages of all kinds.
    Flooder,
    /// Repeats what others have signed in earlier windows.
    Replayer,
    /// Proposes what the checklist or the contract doesn't allow when it leads, or what nobody can read.
    Blunderer,
}

impl Role {
    /// Those that don't follow the protocol.
    pub const HOSTILE: [Self; 6] =
        [Self::Silent, Self::Equivocator, Self::Impersonator, Self::Flooder, Self::Replayer, Self::Blunderer];

    /// Whether it is played by the protocol.
    pub(crate) const fn is_played(self) -> bool {
        matches!(self, Self::Honest | Self::OtherRule)
    }
}

/// What drives a member: the game itself, or what drives it in a node.
#[derive(Debug)]
pub(crate) enum Driver {
    Alone(Box<Member>),
    Coordinated(Box<Coordinated>),
}

impl Driver {
    pub(crate) fn setup(&self) -> &Setup {
        match self {
            Self::Alone(member) => member.setup(),
            Self::Coordinated(member) => member.setup(),
        }
    }

    pub(crate) fn now(&self) -> BlockNumber {
        match self {
            Self::Alone(member) => member.now(),
            Self::Coordinated(member) => member.now(),
        }
    }

    pub(crate) fn handle(&mut self, event: Event) -> Result<(), Ignored> {
        match self {
            Self::Alone(member) => member.handle(event),
            Self::Coordinated(member) => {
                member.handle(event);
                Ok(())
            }
        }
    }

    pub(crate) fn poll(&mut self) -> Option<Command> {
        match self {
            Self::Alone(member) => member.poll(),
            Self::Coordinated(member) => member.poll(),
        }
    }

    /// Bytes held for senders. What is inside a node can't be seen.
    pub(crate) fn retained_bytes(&self) -> usize {
        match self {
            Self::Alone(member) => member.retained_bytes(),
            Self::Coordinated(_) => 0,
        }
    }

    pub(crate) fn pass_until(&self, tick: u64) {
        match self {
            Self::Alone(_) => {}
            Self::Coordinated(member) => member.pass_until(tick),
        }
    }

    pub(crate) fn kill(&mut self) {
        match self {
            Self::Alone(_) => {}
            Self::Coordinated(member) => member.kill(),
        }
    }
}

/// A member, and what outlives it.
#[derive(Debug)]
pub(crate) struct Player {
    pub(crate) key: OperatorKey,
    pub(crate) role: Role,
    pub(crate) up: bool,
    /// How often it has started. Answers to questions of an earlier life are lost.
    pub(crate) life: u64,
    pub(crate) member: Driver,
    pub(crate) journal: Journal,
    /// What was dispatched, in all lives.
    pub(crate) finished: BTreeMap<Window, Vec<Arc<WindowResult>>>,
    /// Which different envelopes were broadcast, in all lives.
    pub(crate) broadcast: BTreeMap<Window, BTreeSet<Arc<[u8]>>>,
}

impl Player {
    /// `time` is that of the game if `coordination` drives the member.
    pub(crate) fn new(setup: Setup, role: Role, time: Option<Rc<Time>>) -> Self {
        let key = setup.key;
        let member = match time {
            Some(time) if role.is_played() => {
                Driver::Coordinated(Box::new(Coordinated::restore(time, setup, Vec::new())))
            }
            Some(_) | None => Driver::Alone(Box::new(Member::new(setup))),
        };
        Self {
            key,
            role,
            up: true,
            life: 0,
            member,
            journal: Journal::default(),
            finished: BTreeMap::new(),
            broadcast: BTreeMap::new(),
        }
    }

    pub(crate) fn address(&self) -> Address {
        self.key.address()
    }

    /// Starts again from the journal.
    pub(crate) fn restart(&mut self, first_sequence: u64) {
        self.up = true;
        self.life += 1;
        let setup = Setup { first_sequence, ..self.member.setup().clone() };
        let entries = self.journal.entries.clone();
        match &mut self.member {
            Driver::Alone(member) => **member = Member::restore(setup, entries),
            Driver::Coordinated(member) => member.restart(setup, entries),
        }
    }

    /// The results that the journal holds of a window.
    pub(crate) fn results(&self, window: Window) -> impl Iterator<Item = &WindowResult> {
        self.journal.entries.iter().filter_map(move |entry| match entry {
            Ok(Entry::Result(result)) if result.window == window => Some(&**result),
            _ => None,
        })
    }
}
