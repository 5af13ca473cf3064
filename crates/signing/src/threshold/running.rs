//! The attempt that is going on: how far each own seat has come in it, and what has come for them.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;
use coxswain_protocol::Seat;

use super::{
    attempt::{Round1, Round2, Round3},
    batches::Batches,
};
use crate::group::Lists;

/// The round that a seat has sent its messages of.
pub(super) enum Stage {
    One(Round1),
    Two(Round2),
    Three(Round3),
}

impl Stage {
    pub(super) fn round(&self) -> u8 {
        match self {
            Self::One(_) => 1,
            Self::Two(_) => 2,
            Self::Three(_) => 3,
        }
    }
}

/// Which messages: of which batch, in which round. In order.
pub(super) type Step = (u8, u8);

/// What an attempt goes by.
pub(super) struct Taken {
    pub(super) context: B256,
    pub(super) seats: BTreeSet<Seat>,
    pub(super) batches: Batches,
}

/// The attempt that is going on.
pub(super) struct Running {
    pub(super) number: u8,
    pub(super) listed: bool,
    pub(super) lists: Lists,
    /// By which list, once one was taken.
    pub(super) taken: Option<Taken>,
    /// The batch that all own seats are in.
    pub(super) batch: u8,
    pub(super) stages: BTreeMap<Seat, Stage>,
    /// What each own seat has come to in the batches that it is through with.
    pub(super) checked: BTreeMap<Seat, Round3>,
    pub(super) inbox: BTreeMap<(Step, Seat), BTreeMap<Seat, Vec<u8>>>,
    /// Whose messages a seat of ours lacked, when.
    pub(super) lacked: Option<(Step, BTreeSet<Seat>)>,
    pub(super) over: bool,
}

impl Running {
    pub(super) fn new(number: u8) -> Self {
        Self {
            number,
            listed: false,
            lists: Lists::default(),
            taken: None,
            batch: 0,
            stages: BTreeMap::new(),
            checked: BTreeMap::new(),
            inbox: BTreeMap::new(),
            lacked: None,
            over: false,
        }
    }

    /// Nothing more is done in it.
    pub(super) fn stop(&mut self) {
        self.over = true;
        self.stages.clear();
        self.checked.clear();
        self.inbox.clear();
    }

    /// The seats that sign. None before a list is taken.
    pub(super) fn seats(&self) -> BTreeSet<Seat> {
        self.taken.as_ref().map(|taken| taken.seats.clone()).unwrap_or_default()
    }

    /// A seat's step: what it has sent, and waits for. `None` if it has sent nothing in the attempt.
    pub(super) fn step(&self, seat: Seat) -> Option<Step> {
        match self.stages.get(&seat) {
            Some(stage) => Some((self.batch, stage.round())),
            // It waits for our other seats.
            None => self.checked.contains_key(&seat).then_some((self.batch, 2)),
        }
    }
}
