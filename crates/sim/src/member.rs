//! A player: a member of the protocol while it is up, and what outlives it. It decides nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use alloy_primitives::Address;
use coxswain_protocol::{Entry, Member, Setup, Window, WindowResult, wire::OperatorKey};

use crate::journal::Journal;

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

/// A member, and what outlives it.
#[derive(Clone, Debug)]
pub(crate) struct Player {
    pub(crate) key: OperatorKey,
    pub(crate) role: Role,
    pub(crate) up: bool,
    /// How often it has started. Answers to questions of an earlier life are lost.
    pub(crate) life: u64,
    pub(crate) member: Member,
    pub(crate) journal: Journal,
    /// What was dispatched, in all lives.
    pub(crate) finished: BTreeMap<Window, Vec<Arc<WindowResult>>>,
    /// Which different envelopes were broadcast, in all lives.
    pub(crate) broadcast: BTreeMap<Window, BTreeSet<Arc<[u8]>>>,
}

impl Player {
    pub(crate) fn new(setup: Setup, role: Role) -> Self {
        Self {
            key: setup.key,
            role,
            up: true,
            life: 0,
            member: Member::new(setup),
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
        self.member = Member::restore(setup, self.journal.entries.iter().cloned());
    }

    /// The results that the journal holds of a window.
    pub(crate) fn results(&self, window: Window) -> impl Iterator<Item = &WindowResult> {
        self.journal.entries.iter().filter_map(move |entry| match entry {
            Ok(Entry::Result(result)) if result.window == window => Some(&**result),
            _ => None,
        })
    }
}
