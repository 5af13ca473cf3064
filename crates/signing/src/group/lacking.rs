//! What a seat says when it stops in an attempt: in which round, and whose messages it lacks or can't use. From then on, and for the rest
//! of the action, its operator and theirs count as without a link. Whoever is lacked and has said nothing is silent.

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256};
use bitcoin::secp256k1::{Message, PublicKey, Secp256k1, SecretKey, ecdsa::Signature};
use coxswain_protocol::{Seat, SigningGroup};

use super::{
    AnnouncementError, WindowId,
    announcement::{Reader, operator},
};
use crate::{ActionId, hash::Hasher};

/// A seat stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// In which window.
    pub window: WindowId,
    /// For which action.
    pub action_id: ActionId,
    /// In which attempt.
    pub attempt: u8,
    /// In which batch of the inputs.
    pub batch: u8,
    /// In which round.
    pub round: u8,
    /// Who says so.
    pub seat: Seat,
    /// Whose messages it lacks: nobody's, if it can't tell who is at fault.
    pub lacks: BTreeSet<Seat>,
}

/// That a seat stops, with its operator's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedLacking {
    lacking: Lacking,
    key: PublicKey,
    signature: Signature,
}

impl Lacking {
    fn to_bytes(&self) -> Vec<u8> {
        let Self { window, action_id, attempt, batch, round, seat, lacks } = self;
        let mut out = window.to_bytes();
        out.extend_from_slice(action_id.0.as_slice());
        let count = u8::try_from(lacks.len()).expect("there are at most 255 seats");
        out.extend_from_slice(&[*attempt, *batch, *round, seat.number(), count]);
        out.extend(lacks.iter().map(|seat| seat.number()));
        out
    }

    fn hash(&self) -> B256 {
        Hasher::new("coxswain/signing/1/lacking").bytes(&self.to_bytes()).finish()
    }

    /// Signs it.
    pub fn sign(self, key: &SecretKey) -> SignedLacking {
        let secp = Secp256k1::signing_only();
        let signature = secp.sign_ecdsa(&Message::from_digest(self.hash().0), key);
        SignedLacking { lacking: self, key: key.public_key(&secp), signature }
    }
}

impl SignedLacking {
    /// What it says.
    pub fn lacking(&self) -> &Lacking {
        &self.lacking
    }

    /// The operator who says so.
    pub fn operator(&self) -> Address {
        operator(&self.key)
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.lacking.to_bytes();
        out.extend_from_slice(&self.key.serialize());
        out.extend_from_slice(&self.signature.serialize_compact());
        out
    }

    /// What these bytes say, and no more. Nothing about it is checked yet.
    ///
    /// # Errors
    /// If they say nothing.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AnnouncementError> {
        let mut input = Reader(bytes);
        let window = input.window()?;
        let action_id = ActionId(B256::new(input.array()?));
        let [attempt, batch, round] = input.array()?;
        let seat = input.seat()?;
        let lacks = input.seats()?;
        let (key, signature) = input.key_and_signature()?;
        if !input.0.is_empty() {
            return Err(AnnouncementError::Malformed);
        }
        let lacking = Lacking { window, action_id, attempt, batch, round, seat, lacks };
        Ok(Self { lacking, key, signature })
    }

    /// Whether it counts: said by the holder of its seat about this action.
    ///
    /// # Errors
    /// If it doesn't.
    pub fn check(
        &self,
        window: &WindowId,
        action_id: ActionId,
        group: &SigningGroup,
    ) -> Result<(), AnnouncementError> {
        if self.lacking.window != *window || self.lacking.action_id != action_id {
            return Err(AnnouncementError::OtherWindow);
        }
        if group.holder(self.lacking.seat) != Some(self.operator()) {
            return Err(AnnouncementError::NotTheHolder);
        }
        let message = Message::from_digest(self.lacking.hash().0);
        let verified = Secp256k1::verification_only().verify_ecdsa(&message, &self.signature, &self.key);
        verified.map_err(|_| AnnouncementError::Signature)
    }
}
