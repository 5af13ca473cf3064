//! How what is said about signing goes over the network: to all on a topic of the wallet, in four kinds of envelopes; and each seat's
//! part to each other seat, as a frame of a direct stream.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bitcoin::secp256k1::ecdsa::Signature;
use coxswain_network::{ChannelRules, ChannelVerdict, Identity, Slot, open};
use coxswain_protocol::{
    Seat, SigningGroup,
    wire::{Envelope, OperatorKey},
};
use coxswain_rules::KeyHash;
use coxswain_signing::{
    group::{SignedAnnouncement, SignedLacking, SubsetList, WindowId},
    threshold::{Event, FRAME_BYTES, RoundMessage},
};

/// An announcement.
pub(super) const ANNOUNCEMENT: &[u8] = b"coxswain/signing/announcement/1";
/// A convener's list.
pub(super) const LIST: &[u8] = b"coxswain/signing/list/1";
/// Whose messages a seat lacks.
pub(super) const LACKING: &[u8] = b"coxswain/signing/lacking/1";
/// Signatures that are whole.
pub(super) const SIGNATURES: &[u8] = b"coxswain/signing/signatures/1";

/// How many messages of a seat and action are passed on. Each attempt takes an announcement, and a word on what was lacking.
const QUOTA: usize = 16;
/// What comes before a frame's message: attempt, batch, round, from, to.
const HEADER: usize = 5;
const _: () = assert!(HEADER <= FRAME_BYTES);

/// An envelope of ours. `None` if it is too long to be sent.
pub(super) fn envelope(identity: &Identity, kind: &[u8], payload: &[u8], sequence: u64) -> Option<Vec<u8>> {
    let sender = identity.operator().compressed();
    Envelope { sender, payload, kind, sequence }.encode().ok()
}

/// What has come on the topic. `None` if it is of none of the kinds.
pub(super) fn event(author: &OperatorKey, envelope: &[u8]) -> Option<Event> {
    let opened = open(author, envelope).ok()?;
    let payload = opened.payload.to_vec();
    Some(match opened.kind {
        ANNOUNCEMENT => Event::Announcement(payload),
        LIST => Event::List(payload),
        LACKING => Event::Lacking(payload),
        SIGNATURES => Event::Signatures(signatures(&payload)?),
        _ => return None,
    })
}

/// Signatures as bytes, one after another.
pub(super) fn put_signatures(signatures: &[Signature]) -> Vec<u8> {
    signatures.iter().flat_map(Signature::serialize_compact).collect()
}

fn signatures(bytes: &[u8]) -> Option<Vec<Signature>> {
    let (each, rest) = bytes.as_chunks::<64>();
    if !rest.is_empty() {
        return None;
    }
    each.iter().map(|bytes| Signature::from_compact(bytes).ok()).collect()
}

/// A seat's message as a frame.
pub(super) fn frame(message: &RoundMessage) -> Vec<u8> {
    let RoundMessage { attempt, batch, round, from, to, bytes } = message;
    [&[*attempt, *batch, *round, from.number(), to.number()], &bytes[..]].concat()
}

/// The message in a frame. `None` if it is none.
pub(super) fn message(frame: &[u8]) -> Option<RoundMessage> {
    let (&[attempt, batch, round, from, to], bytes) = frame.split_first_chunk::<HEADER>()?;
    let seat = |number: u8| Seat::try_from(u64::from(number)).ok();
    Some(RoundMessage { attempt, batch, round, from: seat(from)?, to: seat(to)?, bytes: bytes.to_vec() })
}

/// What the topic accepts: of each author what it has signed itself, for its own seats, about no window that is over.
pub(super) struct Rules {
    pub(super) chain_id: u64,
    pub(super) wallet: KeyHash,
    pub(super) group: SigningGroup,
    /// The first block of the last window that was signed in.
    pub(super) floor: Arc<AtomicU64>,
}

impl Rules {
    fn verdict(&self, author: &OperatorKey, envelope: &[u8]) -> Option<ChannelVerdict> {
        let opened = open(author, envelope).ok()?;
        let ours = |window: WindowId| (window.chain_id, window.wallet) == (self.chain_id, self.wallet);
        // Each seat has a quota: nobody takes that of another's.
        let lane = |seat: Seat| (self.group.holder(seat) == Some(author.address())).then_some(seat.number());
        let (operator, window, lane, distinct) = match opened.kind {
            ANNOUNCEMENT => {
                let signed = SignedAnnouncement::from_bytes(opened.payload).ok()?;
                let said = signed.announcement();
                (signed.operator(), said.window, lane(said.seat)?, Some(said.action_id.0.0))
            }
            LIST => {
                let list = SubsetList::from_bytes(opened.payload).ok()?;
                (list.convener(), list.window(), 0, None)
            }
            LACKING => {
                let signed = SignedLacking::from_bytes(opened.payload).ok()?;
                (signed.operator(), signed.lacking().window, lane(signed.lacking().seat)?, None)
            }
            SIGNATURES => {
                signatures(opened.payload)?;
                let period = self.floor.load(Ordering::Relaxed);
                return Some(ChannelVerdict::Accept { slot: Slot { period, lane: 0 }, distinct: None });
            }
            _ => return None,
        };
        let is_over = window.coordination_block.0 < self.floor.load(Ordering::Relaxed);
        if operator != author.address() || !ours(window) || is_over {
            return None;
        }
        let slot = Slot { period: window.coordination_block.0, lane };
        Some(ChannelVerdict::Accept { slot, distinct })
    }
}

impl ChannelRules for Rules {
    fn quota(&self) -> usize {
        QUOTA
    }

    fn assess(&mut self, author: &OperatorKey, envelope: &[u8]) -> ChannelVerdict {
        self.verdict(author, envelope).unwrap_or(ChannelVerdict::Ignore)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use alloy_primitives::B256;
    use bitcoin::secp256k1::SecretKey;
    use coxswain_rules::units::BlockNumber;
    use coxswain_signing::{
        ActionId,
        group::{Announcement, Lacking},
    };

    use super::*;

    const WALLET: KeyHash = KeyHash([7; 20]);
    const FLOOR: u64 = 1800;

    fn identity(number: u8) -> Identity {
        Identity::from_secret([number; 32]).unwrap()
    }

    fn seat(number: u8) -> Seat {
        Seat::try_from(u64::from(number)).unwrap()
    }

    /// What is said of a message of this author's. Operator 1 holds seats 1 and 3, operator 2 holds seat 2.
    fn verdict(author: u8, kind: &[u8], payload: &[u8]) -> ChannelVerdict {
        let group = [1, 2, 1].map(|number| identity(number).operator().address());
        let group = SigningGroup::new(group.into()).unwrap();
        let mut rules =
            Rules { chain_id: 31337, wallet: WALLET, group, floor: Arc::new(AtomicU64::new(FLOOR)) };
        let author = identity(author);
        rules.assess(author.operator(), &envelope(&author, kind, payload, 1).unwrap())
    }

    fn window(block: u64) -> WindowId {
        WindowId { chain_id: 31337, wallet: WALLET, coordination_block: BlockNumber(block) }
    }

    fn announced(by: u8, window: WindowId, number: u8) -> Vec<u8> {
        let announcement = Announcement {
            window,
            action_id: ActionId(B256::repeat_byte(5)),
            attempt: 1,
            seat: seat(number),
            banned: BTreeSet::new(),
            links: BTreeSet::new(),
            nonce: [6; 32],
        };
        let key = SecretKey::from_slice(&[by; 32]).unwrap();
        announcement.sign(&[][..].into(), &key).unwrap().to_bytes().unwrap()
    }

    fn lacking(by: u8, number: u8) -> Vec<u8> {
        let (window, action_id) = (window(FLOOR), ActionId(B256::repeat_byte(5)));
        let lacking = Lacking {
            window,
            action_id,
            attempt: 1,
            batch: 0,
            round: 1,
            seat: seat(number),
            lacks: [].into(),
        };
        lacking.sign(&SecretKey::from_slice(&[by; 32]).unwrap()).to_bytes()
    }

    fn accepted(lane: u8, distinct: Option<[u8; 32]>) -> ChannelVerdict {
        ChannelVerdict::Accept { slot: Slot { period: FLOOR, lane }, distinct }
    }

    #[test]
    fn each_seat_has_a_quota_and_only_its_holder_takes_it() {
        for own in [1, 3] {
            assert_eq!(
                verdict(1, ANNOUNCEMENT, &announced(1, window(FLOOR), own)),
                accepted(own, Some([5; 32]))
            );
            assert_eq!(verdict(1, LACKING, &lacking(1, own)), accepted(own, None));
        }
        // Another's seat, and one that there isn't.
        for other in [2, 4, 255] {
            let announced = announced(1, window(FLOOR), other);
            assert_eq!(verdict(1, ANNOUNCEMENT, &announced), ChannelVerdict::Ignore);
            assert_eq!(verdict(1, LACKING, &lacking(1, other)), ChannelVerdict::Ignore);
        }
    }

    #[test]
    fn what_is_of_another_or_over_is_not_passed_on() {
        let good = announced(2, window(FLOOR), 2);
        assert_eq!(verdict(2, ANNOUNCEMENT, &good), accepted(2, Some([5; 32])));
        let ignored = [
            ("passed on as one's own", 1, good.clone()),
            ("a window that is over", 2, announced(2, window(FLOOR - 1), 2)),
            ("another chain", 2, announced(2, WindowId { chain_id: 1, ..window(FLOOR) }, 2)),
            ("another wallet", 2, announced(2, WindowId { wallet: KeyHash([8; 20]), ..window(FLOOR) }, 2)),
            ("bytes behind it", 2, [&good[..], &[0]].concat()),
        ];
        for (what, author, payload) in ignored {
            assert_eq!(verdict(author, ANNOUNCEMENT, &payload), ChannelVerdict::Ignore, "{what}");
        }
        assert_eq!(verdict(2, b"another kind", &good), ChannelVerdict::Ignore);
    }
}
