//! The list by which an attempt is signed: a convener's choice, with the announcements that it goes by.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256};
use bitcoin::secp256k1::{Message, PublicKey, Secp256k1, SecretKey, ecdsa::Signature};
use coxswain_protocol::{Seat, SigningGroup};

use super::{
    AnnouncementError, Conflicts, Draw, SignedAnnouncement, WindowId,
    announcement::{Reader, operator},
};
use crate::{ActionId, hash::Hasher};

/// The encoding's version.
const VERSION: u8 = 1;

/// A convener's list for one attempt, signed by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubsetList {
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
    /// An announcement in it is for something else.
    #[error("an announcement in it is of another attempt or action")]
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
    /// Lists these announcements.
    pub fn sign(mut announcements: Vec<SignedAnnouncement>, key: &SecretKey) -> Self {
        announcements.sort_by_key(|announcement| announcement.announcement().seat);
        let secp = Secp256k1::signing_only();
        let message = Message::from_digest(hash(&announcements).0);
        Self { signature: secp.sign_ecdsa(&message, key), key: key.public_key(&secp), announcements }
    }

    /// The seats that sign.
    pub fn seats(&self) -> BTreeSet<Seat> {
        self.announcements.iter().map(|announcement| announcement.announcement().seat).collect()
    }

    /// What its seats have announced, seat by seat.
    pub fn announcements(&self) -> &[SignedAnnouncement] {
        &self.announcements
    }

    /// The window that its first announcement is about. `None` if there is none in it.
    pub fn window(&self) -> Option<WindowId> {
        self.announcements.first().map(|signed| signed.announcement().window)
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
        let count = u8::try_from(self.announcements.len()).expect("there are at most 255 seats");
        let mut out = vec![VERSION, count];
        self.announcements.iter().for_each(|announcement| out.extend(announcement.to_bytes()));
        out.extend_from_slice(&self.key.serialize());
        out.extend_from_slice(&self.signature.serialize_compact());
        out
    }

    /// The list that these bytes are, and no more. Nothing about it is checked yet.
    ///
    /// # Errors
    /// If they are none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ListError> {
        let malformed = |_| ListError::Malformed;
        let mut input = Reader(bytes);
        if input.byte().map_err(malformed)? != VERSION {
            return Err(ListError::Malformed);
        }
        let count = input.byte().map_err(malformed)?;
        let announcements: Result<Vec<_>, _> = (0..count).map(|_| input.announcement()).collect();
        let announcements = announcements.map_err(malformed)?;
        let (key, signature) = input.key_and_signature().map_err(malformed)?;
        if input.0.is_empty() {
            Ok(Self { announcements, key, signature })
        } else {
            Err(ListError::Malformed)
        }
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
        let seats: Vec<Seat> = self.announcements.iter().map(|signed| signed.announcement().seat).collect();
        if seats.len() != attempt.threshold || !seats.is_sorted_by(|a, b| a < b) {
            return Err(ListError::Seats);
        }
        for signed in &self.announcements {
            let announcement = signed.announcement();
            if announcement.action_id != attempt.action_id || announcement.attempt != attempt.attempt {
                return Err(ListError::OtherAttempt);
            }
            signed
                .check(&attempt.window, attempt.group, attempt.attempt, &proposes)
                .map_err(ListError::Announcement)?;
        }
        let announced = self.announcements.iter().map(SignedAnnouncement::announcement);
        let conflicts = Conflicts::of(announced, attempt.group, &BTreeSet::new());
        if conflicts.among(&self.seats(), attempt.group) { Err(ListError::Conflict) } else { Ok(rank) }
    }
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
