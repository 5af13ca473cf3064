//! What a seat says when it is ready to sign: one announcement a seat and attempt, for the whole action, signed by its operator.

use std::{collections::BTreeSet, sync::Arc};

use alloy_primitives::{Address, B256};
use bitcoin::secp256k1::{Message, PublicKey, Secp256k1, SecretKey, ecdsa::Signature};
use coxswain_protocol::{Seat, SigningGroup};
use coxswain_rules::{KeyHash, units::BlockNumber};

use crate::{ActionId, hash::Hasher};

/// The most bytes of a leader's message that is carried, so that with all else a list takes one frame of 64 KiB. A proposal of 255 deposits
/// takes half of it.
pub const MAX_LEADER_MESSAGE: usize = 24 << 10;
/// The encoding's version.
const VERSION: u8 = 1;

/// The window of a wallet that announcements are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowId {
    /// The chain.
    pub chain_id: u64,
    /// The wallet.
    pub wallet: KeyHash,
    /// The window's first block.
    pub coordination_block: BlockNumber,
}

impl WindowId {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut out = self.chain_id.to_be_bytes().to_vec();
        out.extend_from_slice(&self.wallet.0);
        out.extend_from_slice(&self.coordination_block.0.to_be_bytes());
        out
    }
}

/// A seat is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// In which window.
    pub window: WindowId,
    /// For which action.
    pub action_id: ActionId,
    /// For which attempt, counted from 1.
    pub attempt: u8,
    /// Which seat.
    pub seat: Seat,
    /// The seats that it never signs with.
    pub banned: BTreeSet<Seat>,
    /// The operators that it has a link to.
    pub links: BTreeSet<Address>,
    /// Fresh for each announcement.
    pub nonce: [u8; 32],
}

/// An announcement with its operator's signature, and with a leader's message that proposes the action. Alone, it comes with the very
/// message that it was signed with, whose hash is signed. In a list one message stands for all: each repetition of the leader's is
/// other bytes, so that they were signed with different ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedAnnouncement {
    announcement: Announcement,
    /// The hash of the leader's message that it was signed with.
    message_hash: B256,
    /// The message that it has come with.
    leader_message: Arc<[u8]>,
    key: PublicKey,
    signature: Signature,
}

/// Why an announcement doesn't count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnnouncementError {
    /// It can't be read.
    #[error("it is no announcement")]
    Malformed,
    /// It is about something else.
    #[error("it is of another window or wallet")]
    OtherWindow,
    /// The group has no such seat, or another operator holds it.
    #[error("its signer doesn't hold its seat")]
    NotTheHolder,
    /// Its signature doesn't hold.
    #[error("its signature doesn't hold")]
    Signature,
    /// No attempt has this number.
    #[error("there is no such attempt")]
    Attempt,
    /// It names a seat or an operator that the group doesn't have.
    #[error("it names a seat or an operator that the group doesn't have")]
    Stranger,
    /// The message that it carries is not one of the leader's.
    #[error("the leader's message that it carries doesn't propose its action")]
    LeaderMessage,
}

impl Announcement {
    fn to_bytes(&self) -> Vec<u8> {
        let Self { window, action_id, attempt, seat, banned, links, nonce } = self;
        let count = |count: usize| u8::try_from(count).expect("there are at most 255 seats");
        let mut out = vec![VERSION];
        out.extend(window.to_bytes());
        out.extend_from_slice(action_id.0.as_slice());
        out.extend_from_slice(&[*attempt, seat.number(), count(banned.len())]);
        out.extend(banned.iter().map(|seat| seat.number()));
        out.push(count(links.len()));
        links.iter().for_each(|operator| out.extend_from_slice(operator.as_slice()));
        out.extend_from_slice(nonce);
        out
    }

    fn hash(&self, message_hash: &B256) -> B256 {
        let hasher = Hasher::new("coxswain/signing/1/announcement").bytes(&self.to_bytes());
        hasher.fixed(&message_hash.0).finish()
    }

    /// Signs it, with the leader's message that proposes the action, as that was signed. `None` if it doesn't fit: too many links, or
    /// too long a message.
    pub fn sign(self, leader_message: &Arc<[u8]>, key: &SecretKey) -> Option<SignedAnnouncement> {
        if leader_message.len() > MAX_LEADER_MESSAGE || self.links.len() > 255 {
            return None;
        }
        let secp = Secp256k1::signing_only();
        let message_hash = hash_message(leader_message);
        let signature = secp.sign_ecdsa(&Message::from_digest(self.hash(&message_hash).0), key);
        let (leader_message, key) = (Arc::clone(leader_message), key.public_key(&secp));
        Some(SignedAnnouncement { announcement: self, message_hash, leader_message, key, signature })
    }
}

fn hash_message(leader_message: &[u8]) -> B256 {
    Hasher::new("coxswain/signing/1/leader-message").bytes(leader_message).finish()
}

impl SignedAnnouncement {
    /// What is announced.
    pub fn announcement(&self) -> &Announcement {
        &self.announcement
    }

    /// The operator who signed it.
    pub fn operator(&self) -> Address {
        operator(&self.key)
    }

    /// Names it: two that differ in anything that is signed differ in this.
    pub(super) fn hash(&self) -> B256 {
        self.announcement.hash(&self.message_hash)
    }

    /// What of it is neither what is announced nor the leader's message.
    pub(super) fn put_proof(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.message_hash.as_slice());
        out.extend_from_slice(&self.key.serialize());
        out.extend_from_slice(&self.signature.serialize_compact());
    }

    /// The same, beside a list's message.
    pub(super) fn beside(self, leader_message: &Arc<[u8]>) -> Self {
        Self { leader_message: Arc::clone(leader_message), ..self }
    }

    /// Its bytes. `None` if it was signed with another message than the one that it has come with: then the list that it has come in
    /// is what can be passed on.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        if hash_message(&self.leader_message) != self.message_hash {
            return None;
        }
        let mut out = self.announcement.to_bytes();
        put_message(&mut out, &self.leader_message);
        out.extend_from_slice(&self.key.serialize());
        out.extend_from_slice(&self.signature.serialize_compact());
        Some(out)
    }

    /// The announcement that these bytes are, and no more. Nothing about it is checked yet.
    ///
    /// # Errors
    /// If they are none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AnnouncementError> {
        let mut input = Reader(bytes);
        let announcement = input.announcement()?;
        let leader_message = input.message()?;
        let message_hash = hash_message(&leader_message);
        let (key, signature) = input.key_and_signature()?;
        if !input.0.is_empty() {
            return Err(AnnouncementError::Malformed);
        }
        Ok(Self { announcement, message_hash, leader_message, key, signature })
    }

    /// Whether it counts: made by the holder of its seat for this window, and with a message that `proposes` its action, as the leader
    /// may propose it under a seed that we hold.
    ///
    /// # Errors
    /// If it doesn't.
    pub fn check(
        &self,
        window: &WindowId,
        group: &SigningGroup,
        attempts: u8,
        proposes: impl Fn(&[u8], ActionId) -> bool,
    ) -> Result<(), AnnouncementError> {
        let Announcement { attempt, seat, action_id, banned, links, .. } = &self.announcement;
        if self.announcement.window != *window {
            return Err(AnnouncementError::OtherWindow);
        }
        if !(1..=attempts).contains(attempt) {
            return Err(AnnouncementError::Attempt);
        }
        if group.holder(*seat) != Some(self.operator()) {
            return Err(AnnouncementError::NotTheHolder);
        }
        // So that nobody makes lists longer than they must be.
        if !banned.iter().all(|seat| group.holder(*seat).is_some())
            || !links.iter().all(|operator| group.contains(*operator))
        {
            return Err(AnnouncementError::Stranger);
        }
        let message = Message::from_digest(self.hash().0);
        // Only a low S: there is one form of each signature.
        if Secp256k1::verification_only().verify_ecdsa(&message, &self.signature, &self.key).is_err() {
            return Err(AnnouncementError::Signature);
        }
        if proposes(&self.leader_message, *action_id) {
            Ok(())
        } else {
            Err(AnnouncementError::LeaderMessage)
        }
    }
}

/// A leader's message, behind its length.
pub(super) fn put_message(out: &mut Vec<u8>, leader_message: &[u8]) {
    let length = u32::try_from(leader_message.len()).expect("it is bounded");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(leader_message);
}

/// The Ethereum address of a key.
pub(crate) fn operator(key: &PublicKey) -> Address {
    let uncompressed = key.serialize_uncompressed();
    let (_, raw) = uncompressed.split_first_chunk::<1>().expect("it has 65 bytes");
    Address::from_raw_public_key(raw)
}

/// Reads fields one after another.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn array<const WIDTH: usize>(&mut self) -> Result<[u8; WIDTH], AnnouncementError> {
        let (field, rest) = self.0.split_first_chunk::<WIDTH>().ok_or(AnnouncementError::Malformed)?;
        self.0 = rest;
        Ok(*field)
    }

    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8], AnnouncementError> {
        let (field, rest) = self.0.split_at_checked(length).ok_or(AnnouncementError::Malformed)?;
        self.0 = rest;
        Ok(field)
    }

    pub(super) fn byte(&mut self) -> Result<u8, AnnouncementError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u64(&mut self) -> Result<u64, AnnouncementError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn window(&mut self) -> Result<WindowId, AnnouncementError> {
        Ok(WindowId {
            chain_id: self.u64()?,
            wallet: KeyHash(self.array()?),
            coordination_block: BlockNumber(self.u64()?),
        })
    }

    pub(super) fn seat(&mut self) -> Result<Seat, AnnouncementError> {
        Seat::try_from(u64::from(self.byte()?)).map_err(|_| AnnouncementError::Malformed)
    }

    /// Seats behind their number, going up.
    pub(super) fn seats(&mut self) -> Result<BTreeSet<Seat>, AnnouncementError> {
        let count = usize::from(self.byte()?);
        let numbers = self.bytes(count)?;
        if !numbers.is_sorted_by(|a, b| a < b) {
            return Err(AnnouncementError::Malformed);
        }
        let seats = numbers.iter().map(|number| Seat::try_from(u64::from(*number)));
        seats.collect::<Result<_, _>>().map_err(|_| AnnouncementError::Malformed)
    }

    pub(super) fn key_and_signature(&mut self) -> Result<(PublicKey, Signature), AnnouncementError> {
        let malformed = |_| AnnouncementError::Malformed;
        let key = PublicKey::from_slice(&self.array::<33>()?).map_err(malformed)?;
        Ok((key, Signature::from_compact(&self.array::<64>()?).map_err(malformed)?))
    }

    /// A leader's message, behind its length.
    pub(super) fn message(&mut self) -> Result<Arc<[u8]>, AnnouncementError> {
        let length = usize::try_from(u32::from_be_bytes(self.array()?));
        let length = length.ok().filter(|length| *length <= MAX_LEADER_MESSAGE);
        Ok(self.bytes(length.ok_or(AnnouncementError::Malformed)?)?.into())
    }

    /// Operators behind their number, going up.
    pub(super) fn operators(&mut self) -> Result<&'a [[u8; 20]], AnnouncementError> {
        let count = usize::from(self.byte()?);
        let (operators, _) = self.bytes(count * 20)?.as_chunks::<20>();
        if operators.is_sorted_by(|a, b| a < b) { Ok(operators) } else { Err(AnnouncementError::Malformed) }
    }

    /// Bits, in at most 32 bytes, behind the number of these.
    pub(super) fn bits(&mut self) -> Result<&'a [u8], AnnouncementError> {
        let length = usize::from(self.byte()?);
        if length > 32 { Err(AnnouncementError::Malformed) } else { self.bytes(length) }
    }

    pub(super) fn action_id(&mut self) -> Result<ActionId, AnnouncementError> {
        Ok(ActionId(B256::new(self.array()?)))
    }

    /// What an announcement beside `announcement` was signed with, and by whom.
    pub(super) fn proof(
        &mut self,
        announcement: Announcement,
        leader_message: &Arc<[u8]>,
    ) -> Result<SignedAnnouncement, AnnouncementError> {
        let message_hash = B256::new(self.array()?);
        let (key, signature) = self.key_and_signature()?;
        let leader_message = Arc::clone(leader_message);
        Ok(SignedAnnouncement { announcement, message_hash, leader_message, key, signature })
    }

    /// One announcement. What goes up in it must go up: there is one encoding.
    fn announcement(&mut self) -> Result<Announcement, AnnouncementError> {
        if self.byte()? != VERSION {
            return Err(AnnouncementError::Malformed);
        }
        Ok(Announcement {
            window: self.window()?,
            action_id: self.action_id()?,
            attempt: self.byte()?,
            seat: self.seat()?,
            banned: self.seats()?,
            links: self.operators()?.iter().map(|operator| Address::new(*operator)).collect(),
            nonce: self.array()?,
        })
    }
}
