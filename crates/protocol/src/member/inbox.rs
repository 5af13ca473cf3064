//! What members have said in a window: checks 1 to 5, repeats and quotas, and the few messages of each sender that are
//! kept. What they are worth depends on the seed and is told elsewhere, anew whenever the seed changes.

use std::{collections::BTreeMap, mem::size_of, sync::Arc};

use alloy_primitives::{Address, B256};
use coxswain_rules::{KeyHash, units::BlockNumber};

use crate::{
    Ignored, MAX_SIGNED_BYTES, Received, Seat, SigningGroup, Window,
    wire::{DecodeError, Decoded, MAX_EVIDENCE_BYTES, MAX_MESSAGE_BYTES, Proposed},
};

/// How many of a sender's messages are listened to in a window. (An honest leader sends one, and repeats it.)
pub const MAX_MESSAGES_PER_SENDER: usize = 64;

/// The most bytes that a member holds for one sender: which messages it has heard, and at most four of them with what
/// they say (two different ones through its first seat, one through another seat, one that can't be decoded).
pub const MAX_RETAINED_PER_SENDER: usize = MAX_MESSAGES_PER_SENDER * size_of::<Heard>()
    + 3 * (MAX_SIGNED_BYTES + 2 * MAX_MESSAGE_BYTES)
    + MAX_EVIDENCE_BYTES
    + 1024;

/// A message's sequence number, and the hash of its payload.
type Heard = (u64, B256);

/// What a message proposes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Content {
    Proposed(Proposed),
    Undecodable(DecodeError),
}

/// A message that passed checks 1 to 5.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Kept {
    pub(super) author: Address,
    pub(super) seat: Seat,
    pub(super) content: Content,
    pub(super) signed: Arc<[u8]>,
    /// The head when it came.
    pub(super) came: BlockNumber,
    /// Which of all messages kept it is.
    pub(super) order: u64,
}

/// What is remembered of a sender until the window ends, reseeds included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Sender {
    heard: Vec<Heard>,
    /// The first message of each of its first two different proposals through the seat that it can lead through.
    proposals: Vec<Arc<Kept>>,
    undecodable: Option<Arc<Kept>>,
    other_seat: Option<Arc<Kept>>,
}

/// What members have said in a window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Inbox {
    senders: BTreeMap<Address, Sender>,
    kept: u64,
}

/// What a message is held against.
pub(super) struct Place<'a> {
    pub(super) group: &'a SigningGroup,
    pub(super) me: Address,
    pub(super) wallet: KeyHash,
    pub(super) window: Window,
    pub(super) now: BlockNumber,
}

impl Inbox {
    /// Takes a message in, and gives it back if it is kept.
    pub(super) fn take(&mut self, received: Received, place: &Place<'_>) -> Result<Arc<Kept>, Ignored> {
        let author = received.author();
        if !place.group.contains(author) {
            return Err(Ignored::NotAMember(author));
        }
        if let Some(seat) = received.seat().filter(|seat| place.group.holder(*seat) == Some(place.me)) {
            return Err(Ignored::OwnSeat(seat));
        }
        let seat = received.check(place.group, place.wallet, &place.window)?;
        let content = match received.body() {
            None => return Err(Ignored::NotACoordinationMessage),
            Some(Decoded::Message(message)) => Content::Proposed(message.proposed.clone()),
            Some(Decoded::Undecodable(it)) => Content::Undecodable(it.error),
        };

        let sender = self.senders.entry(author).or_default();
        let heard = (received.sequence(), received.payload_hash());
        if sender.heard.contains(&heard) {
            return Err(Ignored::Repeat);
        }
        let leads_through = place.group.first_seat(author) == Some(seat);
        let decodable = !matches!(content, Content::Undecodable(_));
        // Two different proposals are taken whatever the quota, or else many messages would hide the second.
        let different = leads_through
            && decodable
            && sender.proposals.len() < 2
            && sender.proposals.iter().all(|kept| kept.content != content);
        let full = sender.heard.len() >= MAX_MESSAGES_PER_SENDER;
        if full && !different {
            return Err(Ignored::TooMany);
        }
        if !full {
            sender.heard.push(heard);
        }
        let signed = Arc::clone(received.signed());
        let kept = Arc::new(Kept { author, seat, content, signed, came: place.now, order: self.kept });
        let free = match (leads_through, decodable) {
            (true, true) => {
                if different {
                    sender.proposals.push(Arc::clone(&kept));
                }
                different
            }
            (true, false) => fill(&mut sender.undecodable, &kept),
            // A huge one is no better proof than a small one.
            (false, _) => kept.signed.len() <= MAX_SIGNED_BYTES && fill(&mut sender.other_seat, &kept),
        };
        if !free {
            return Err(Ignored::NothingNew);
        }
        self.kept += 1;
        Ok(kept)
    }

    /// The different proposals of a sender through the seat that it can lead through, at most two, the first first.
    pub(super) fn proposals(&self, sender: Address) -> &[Arc<Kept>] {
        self.senders.get(&sender).map_or(&[], |sender| &sender.proposals)
    }

    /// All messages kept, those of this sender first.
    pub(super) fn messages(&self, first: Address) -> impl Iterator<Item = &Arc<Kept>> {
        let others = self.senders.iter().filter(move |(address, _)| **address != first);
        let senders = self.senders.get(&first).into_iter().chain(others.map(|(_, sender)| sender));
        senders
            .flat_map(|sender| sender.proposals.iter().chain(&sender.undecodable).chain(&sender.other_seat))
    }

    /// Bytes held for senders. At most [`MAX_RETAINED_PER_SENDER`] for each operator of the group.
    pub(super) fn retained_bytes(&self) -> usize {
        let heard: usize = self.senders.values().map(|sender| sender.heard.capacity()).sum();
        let kept: usize = self.messages(Address::ZERO).map(|kept| kept.retained_bytes()).sum();
        heard * size_of::<Heard>() + kept
    }
}

impl Kept {
    fn retained_bytes(&self) -> usize {
        let content = match &self.content {
            Content::Proposed(proposed) => proposed.heap_bytes(),
            Content::Undecodable(_) => 0,
        };
        size_of::<Self>() + self.signed.len() + content
    }
}

fn fill(slot: &mut Option<Arc<Kept>>, kept: &Arc<Kept>) -> bool {
    let free = slot.is_none();
    slot.get_or_insert_with(|| Arc::clone(kept));
    free
}
