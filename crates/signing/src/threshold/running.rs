//! The attempt that is going on: how far each own seat has come in it, and what has come for them.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;
use coxswain_protocol::Seat;

use super::attempt::{Round1, Round2, Round3};
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

/// The attempt that is going on.
pub(super) struct Running {
    pub(super) number: u8,
    pub(super) announced: bool,
    pub(super) listed: bool,
    pub(super) lists: Lists,
    /// The subset, once a list was taken.
    pub(super) taken: Option<(B256, BTreeSet<Seat>)>,
    pub(super) stages: BTreeMap<Seat, Stage>,
    pub(super) inbox: BTreeMap<(u8, Seat), BTreeMap<Seat, Vec<u8>>>,
    /// Whose messages a seat of ours lacked, in which round.
    pub(super) lacked: Option<(u8, BTreeSet<Seat>)>,
    pub(super) over: bool,
}

impl Running {
    pub(super) fn new(number: u8) -> Self {
        let (lists, stages, inbox) = (Lists::default(), BTreeMap::new(), BTreeMap::new());
        Self {
            number,
            announced: false,
            listed: false,
            lists,
            taken: None,
            stages,
            inbox,
            lacked: None,
            over: false,
        }
    }
}
