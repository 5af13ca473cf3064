//! The list by which an attempt is signed: a convener's choice, with the announcements that it goes by.
//!
//! It goes over the wire in one frame, however large the group is: what its announcements have alike stands in it once, the leader's
//! message included, and who is banned or linked is a bit each.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use alloy_primitives::{Address, B256};
use bitcoin::secp256k1::{Message, PublicKey, Secp256k1, SecretKey, ecdsa::Signature};
use coxswain_protocol::{Seat, SigningGroup};

use super::{
    Announcement, AnnouncementError, Conflicts, Draw, SignedAnnouncement, WindowId,
    announcement::{Reader, operator, put_message},
};
use crate::{ActionId, hash::Hasher};

/// The encoding's version.
const VERSION: u8 = 1;
/// The most seats, and so the most operators, that are told from each other.
const MOST: usize = 255;

/// A convener's list for one attempt, signed by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubsetList {
    window: WindowId,
    action_id: ActionId,
    attempt: u8,
    leader_message: Arc<[u8]>,
    announcements: Vec<SignedAnnouncement>,
    key: PublicKey,
    signature: Signature,
}

/// Why a list is not signed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// It can't be read.
    #[error("it is no list")]
    Malformed,
    /// Its signer has no rank in this attempt.
    #[error("its signer doesn't convene this attempt")]
    NoConvener,
    /// Its signature doesn't hold.
    #[error("its signature doesn't hold")]
    Signature,
    /// It has another number of seats, or one twice.
    #[error("it doesn't have exactly the threshold's number of seats, in order")]
    Seats,
    /// An announcement in it doesn't count.
    #[error("an announcement in it doesn't count")]
    Announcement(#[source] AnnouncementError),
    /// It is for something else.
    #[error("it is of another attempt or action")]
    OtherAttempt,
    /// Two of its seats can't sign together.
    #[error("two of its seats can't sign together")]
    Conflict,
}

/// What a list is held against: nothing but this and its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The window.
    pub window: WindowId,
    /// The action.
    pub action_id: ActionId,
    /// Which attempt, counted from 1.
    pub attempt: u8,
    /// The wallet's seats.
    pub group: &'a SigningGroup,
    /// How many sign.
    pub threshold: usize,
    /// The window's draw.
    pub draw: &'a Draw,
}

impl SubsetList {
    /// Lists these announcements. `None` if there are none, or they are not of one attempt: beside all of them stands one leader's message.
    pub fn sign(
        announcements: Vec<SignedAnnouncement>,
        leader_message: &Arc<[u8]>,
        key: &SecretKey,
    ) -> Option<Self> {
        let of = |signed: &SignedAnnouncement| {
            let Announcement { window, action_id, attempt, .. } = *signed.announcement();
            (window, action_id, attempt)
        };
        let first = of(announcements.first()?);
        let is_one = announcements.iter().all(|signed| of(signed) == first);
        if !is_one || announcements.len() > MOST || linked(&announcements).len() > MOST {
            return None;
        }
        let mut announcements: Vec<_> =
            announcements.into_iter().map(|signed| signed.beside(leader_message)).collect();
        announcements.sort_by_key(|announcement| announcement.announcement().seat);
        let secp = Secp256k1::signing_only();
        let message = Message::from_digest(hash(&announcements).0);
        let (signature, key) = (secp.sign_ecdsa(&message, key), key.public_key(&secp));
        let ((window, action_id, attempt), leader_message) = (first, Arc::clone(leader_message));
        Some(Self { window, action_id, attempt, leader_message, announcements, key, signature })
    }

    /// The seats that sign.
    pub fn seats(&self) -> BTreeSet<Seat> {
        self.announcements.iter().map(|announcement| announcement.announcement().seat).collect()
    }

    /// What its seats have announced, seat by seat.
    pub fn announcements(&self) -> &[SignedAnnouncement] {
        &self.announcements
    }

    /// The window that it is about.
    pub fn window(&self) -> WindowId {
        self.window
    }

    /// Who made it.
    pub fn convener(&self) -> Address {
        operator(&self.key)
    }

    /// Names the attempt by this list: over all that its seats have announced, nonces and all.
    pub fn context(&self) -> B256 {
        hash(&self.announcements)
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let count = |count: usize| u8::try_from(count).expect("there are at most 255 seats");
        let mut out = vec![VERSION];
        out.extend(self.window.to_bytes());
        out.extend_from_slice(self.action_id.0.as_slice());
        out.push(self.attempt);
        put_message(&mut out, &self.leader_message);
        let linked = linked(&self.announcements);
        out.push(count(linked.len()));
        linked.iter().for_each(|operator| out.extend_from_slice(operator.as_slice()));
        out.push(count(self.announcements.len()));
        for signed in &self.announcements {
            let Announcement { seat, banned, links, nonce, .. } = signed.announcement();
            out.push(seat.number());
            put_bits(&mut out, banned.iter().map(|seat| usize::from(seat.number())));
            let places = linked.iter().enumerate().filter(|(_, operator)| links.contains(*operator));
            put_bits(&mut out, places.map(|(place, _)| place));
            out.extend_from_slice(nonce);
            signed.put_proof(&mut out);
        }
        out.extend_from_slice(&self.key.serialize());
        out.extend_from_slice(&self.signature.serialize_compact());
        out
    }

    /// The list that these bytes are, and no more. Nothing about it is checked yet.
    ///
    /// # Errors
    /// If they are none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ListError> {
        let list = Self::read(bytes).map_err(|_| ListError::Malformed)?;
        // There is one encoding.
        if list.to_bytes() == bytes { Ok(list) } else { Err(ListError::Malformed) }
    }

    fn read(bytes: &[u8]) -> Result<Self, AnnouncementError> {
        let mut input = Reader(bytes);
        if input.byte()? != VERSION {
            return Err(AnnouncementError::Malformed);
        }
        let (window, action_id, attempt) = (input.window()?, input.action_id()?, input.byte()?);
        let leader_message = input.message()?;
        let linked = input.operators()?;
        let count = input.byte()?;
        let mut announcements = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let seat = input.seat()?;
            let banned = bits(input.bits()?).map(|number| {
                let number = u64::try_from(number).map_err(|_| AnnouncementError::Malformed)?;
                Seat::try_from(number).map_err(|_| AnnouncementError::Malformed)
            });
            let banned = banned.collect::<Result<_, _>>()?;
            let links = bits(input.bits()?).map(|place| {
                linked.get(place).map(|operator| Address::new(*operator)).ok_or(AnnouncementError::Malformed)
            });
            let links = links.collect::<Result<_, _>>()?;
            let nonce = input.array()?;
            let announcement = Announcement { window, action_id, attempt, seat, banned, links, nonce };
            announcements.push(input.proof(announcement, &leader_message)?);
        }
        let (key, signature) = input.key_and_signature()?;
        Ok(Self { window, action_id, attempt, leader_message, announcements, key, signature })
    }

    /// The rank of its convener, 0 the highest, if the attempt may be signed by it.
    ///
    /// # Errors
    /// If it may not.
    pub fn check(
        &self,
        attempt: &Attempt<'_>,
        proposes: impl Fn(&[u8], ActionId) -> bool,
    ) -> Result<usize, ListError> {
        let conveners = attempt.draw.conveners(attempt.attempt);
        let convener = self.convener();
        let rank = conveners.iter().position(|other| *other == convener).ok_or(ListError::NoConvener)?;
        let message = Message::from_digest(self.context().0);
        if Secp256k1::verification_only().verify_ecdsa(&message, &self.signature, &self.key).is_err() {
            return Err(ListError::Signature);
        }
        if self.action_id != attempt.action_id || self.attempt != attempt.attempt {
            return Err(ListError::OtherAttempt);
        }
        let seats: Vec<Seat> = self.announcements.iter().map(|signed| signed.announcement().seat).collect();
        if seats.len() != attempt.threshold || !seats.is_sorted_by(|a, b| a < b) {
            return Err(ListError::Seats);
        }
        for signed in &self.announcements {
            signed
                .check(&attempt.window, attempt.group, attempt.attempt, &proposes)
                .map_err(ListError::Announcement)?;
        }
        let announced = self.announcements.iter().map(SignedAnnouncement::announcement);
        let conflicts = Conflicts::of(announced, attempt.group, &BTreeSet::new());
        if conflicts.among(&self.seats(), attempt.group) { Err(ListError::Conflict) } else { Ok(rank) }
    }
}

/// All operators that any of these announcements has a link to.
fn linked(announcements: &[SignedAnnouncement]) -> BTreeSet<Address> {
    announcements.iter().flat_map(|signed| signed.announcement().links.iter().copied()).collect()
}

/// The numbers below 256 as bits, in as few bytes as they take, behind the number of these.
fn put_bits(out: &mut Vec<u8>, numbers: impl Iterator<Item = usize>) {
    let mut bytes = [0_u8; 32];
    for number in numbers {
        if let Some(byte) = bytes.get_mut(number / 8) {
            *byte |= 1 << (number % 8);
        }
    }
    let length = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    out.push(u8::try_from(length).expect("there are 32"));
    out.extend(bytes.iter().take(length));
}

/// The numbers of the bits that are set.
fn bits(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let each = bytes.iter().enumerate();
    each.flat_map(|(place, byte)| {
        (0..8).filter(move |bit| byte >> bit & 1 == 1).map(move |bit| place * 8 + bit)
    })
}

fn hash(announcements: &[SignedAnnouncement]) -> B256 {
    let count = u64::try_from(announcements.len()).expect("no list is longer than that");
    let hasher = Hasher::new("coxswain/signing/1/attempt").number(count);
    announcements.iter().fold(hasher, |hasher, signed| hasher.fixed(&signed.hash().0)).finish()
}

/// The valid lists of one attempt that a seat holds.
#[derive(Clone, Debug, Default)]
pub struct Lists(BTreeMap<usize, Vec<SubsetList>>);

/// What became of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// It is the first of its rank.
    New,
    /// It was there.
    Known,
    /// Another of its convener is there: the rank counts no more, and both are kept and passed on.
    Second,
    /// Two of its convener are there. It is dropped.
    Third,
}

impl Lists {
    /// Takes in a list that has passed its check, with its rank.
    pub fn hold(&mut self, rank: usize, list: SubsetList) -> Held {
        let of_rank = self.0.entry(rank).or_default();
        // By what it says: a signature can be made in more than one way.
        match (of_rank.iter().any(|held| held.context() == list.context()), of_rank.len()) {
            (true, _) => Held::Known,
            (false, 0) => {
                of_rank.push(list);
                Held::New
            }
            (false, 1) => {
                of_rank.push(list);
                Held::Second
            }
            (false, _) => Held::Third,
        }
    }

    /// The list to sign by, when the wait for lists is over: of the highest rank that made one and only one.
    pub fn take(&self) -> Option<&SubsetList> {
        self.0.values().find_map(|of_rank| match of_rank.as_slice() {
            [list] => Some(list),
            _ => None,
        })
    }

    /// The lists of ranks that made two.
    pub fn doubled(&self) -> impl Iterator<Item = &SubsetList> {
        self.0.values().filter(|of_rank| of_rank.len() > 1).flatten()
    }
}
