//! The announcements of one window that a seat has heard, and what they tell: who is ready, who says two things, and whether two
//! actions were proposed. All announcements here have passed their check.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::Address;
use coxswain_protocol::Seat;

use super::SignedAnnouncement;
use crate::ActionId;

/// What an announcement comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It is new: it counts, and is passed on.
    New,
    /// It was heard before.
    Known,
    /// The seat has announced another nonce, or anything else, for the same attempt: both are passed on, all seats of its operator are
    /// out for the action, and it is an alarm.
    TwoFaces(Box<[SignedAnnouncement; 2]>),
    /// Two actions were proposed in this window: both are passed on, and nothing is signed in it.
    TwoActions(Box<[SignedAnnouncement; 2]>),
    /// It claims to be ours, and we have no record of it: nothing is signed in this window.
    NotOurs,
    /// It changes nothing more.
    Settled,
}

/// What a seat has heard in one window.
#[derive(Clone, Debug)]
pub struct Board {
    /// Our own, from the record: seat, attempt, nonce.
    own: BTreeSet<(Seat, u8, [u8; 32])>,
    own_seats: BTreeSet<Seat>,
    by_attempt: BTreeMap<(u8, Seat), SignedAnnouncement>,
    out: BTreeSet<Address>,
    stopped: bool,
}

impl Board {
    /// Nothing heard yet. `own`: what we have announced, as the record says.
    pub fn new(own_seats: BTreeSet<Seat>, own: BTreeSet<(Seat, u8, [u8; 32])>) -> Self {
        Self { own, own_seats, by_attempt: BTreeMap::new(), out: BTreeSet::new(), stopped: false }
    }

    /// One more of our own is on record.
    pub fn recorded(&mut self, seat: Seat, attempt: u8, nonce: [u8; 32]) {
        self.own.insert((seat, attempt, nonce));
    }

    /// Whether nothing may be signed in this window any more.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// The operators that are out for the action.
    pub fn out(&self) -> &BTreeSet<Address> {
        &self.out
    }

    /// Takes in an announcement that has passed its check.
    pub fn hear(&mut self, signed: SignedAnnouncement) -> Heard {
        let announcement = signed.announcement();
        let (seat, attempt) = (announcement.seat, announcement.attempt);
        if self.own_seats.contains(&seat) && !self.own.contains(&(seat, attempt, announcement.nonce)) {
            self.stopped = true;
            return Heard::NotOurs;
        }
        let first = self.by_attempt.values().next();
        if let Some(other) = first.filter(|first| first.announcement().action_id != announcement.action_id) {
            let pair = Box::new([other.clone(), signed]);
            return if std::mem::replace(&mut self.stopped, true) {
                Heard::Settled
            } else {
                Heard::TwoActions(pair)
            };
        }
        match self.by_attempt.get(&(attempt, seat)) {
            Some(held) if held.hash() == signed.hash() => Heard::Known,
            Some(held) => {
                let pair = Box::new([held.clone(), signed]);
                if self.out.insert(held.operator()) { Heard::TwoFaces(pair) } else { Heard::Settled }
            }
            None => {
                self.by_attempt.insert((attempt, seat), signed);
                Heard::New
            }
        }
    }

    /// Who is ready for an attempt: none of an operator that is out, and nobody if nothing may be signed.
    pub fn ready(&self, attempt: u8) -> impl Iterator<Item = &SignedAnnouncement> {
        let all = (!self.stopped).then_some(&self.by_attempt).into_iter().flatten();
        all.filter(move |((of, _), signed)| *of == attempt && !self.out.contains(&signed.operator()))
            .map(|(_, signed)| signed)
    }

    /// The seats that have announced for the action, in any attempt.
    pub fn announced(&self) -> BTreeSet<Seat> {
        self.by_attempt.keys().map(|(_, seat)| *seat).collect()
    }

    /// What each of our seats has announced last.
    pub fn own(&self) -> BTreeMap<Seat, &SignedAnnouncement> {
        let own = self.by_attempt.iter().filter(|((_, seat), _)| self.own_seats.contains(seat));
        own.map(|((_, seat), signed)| (*seat, signed)).collect()
    }

    /// What the window is about, if anything was heard.
    pub fn action(&self) -> Option<ActionId> {
        self.by_attempt.values().next().map(|signed| signed.announcement().action_id)
    }
}
