//! Five operators sign one job, block by block, in memory: with some away, some cheating, some restarted.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod announcements;
mod attempts;
mod batches;
mod blame;
mod repeats;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use alloy_primitives::{Address, B256};
use bitcoin::{
    hashes::{Hash, sha256d},
    secp256k1::{Message, Secp256k1, SecretKey},
};
use coxswain_protocol::{Seat, Seed, SigningGroup};
use coxswain_rules::{
    KeyHash,
    network::SigningTimes,
    units::{BlockNumber, Blocks},
};

use super::{tests::keys, *};
use crate::{
    ActionId, Blame, Outcome, Refusal, Report,
    group::{Announcement, Draw, Lacking, SignedAnnouncement, SubsetList, WindowId, operator as address_of},
};

pub(super) const START: u64 = 1000;
pub(super) const TIMES: SigningTimes = SigningTimes {
    attempts: 5,
    delay: Blocks(1),
    announcement: Blocks(2),
    rounds: Blocks(4),
    pause: Blocks(1),
    list_wait: Blocks(1),
    last_round: Blocks(2),
};

pub(super) fn seat(number: u8) -> Seat {
    Seat::try_from(u64::from(number)).unwrap()
}

pub(super) fn key(operator: u8) -> SecretKey {
    SecretKey::from_slice(&[operator; 32]).unwrap()
}

pub(super) fn address(operator: u8) -> Address {
    address_of(&key(operator).public_key(&Secp256k1::new()))
}

pub(super) fn action(byte: u8) -> ActionId {
    ActionId(B256::repeat_byte(byte))
}

pub(super) fn terms() -> Terms {
    let group = SigningGroup::new((1..=5).map(address).collect()).unwrap();
    let wallet = KeyHash([0x22; 20]);
    Terms {
        window: WindowId { chain_id: 31337, wallet, coordination_block: BlockNumber(900) },
        action_id: action(1),
        digests: (0..2_u8)
            .map(|input| Message::from_digest(sha256d::Hash::hash(&[input]).to_byte_array()))
            .collect(),
        draw: Draw::new(Seed(B256::repeat_byte(0x11)), wallet, &group),
        group,
        times: TIMES,
        start_block: BlockNumber(START),
        last_block: BlockNumber(START + 5 * TIMES.attempt().0),
        read_bytes: READ_BYTES,
        wants_quorum: false,
    }
}

/// The leader has signed a message for each of two actions.
fn proposes(message: &[u8], id: ActionId) -> bool {
    (message == b"one" && id == action(1)) || (message == b"two" && id == action(2))
}

/// Five operators, as far as they are there, and what stands between them.
pub(super) struct World<'a> {
    pub(super) terms: Terms,
    pub(super) there: BTreeMap<u8, Participant>,
    pub(super) recorded: BTreeMap<u8, Recorded>,
    pub(super) reports: BTreeMap<u8, Report>,
    tamper: &'a mut dyn FnMut(&mut RoundMessage) -> bool,
    /// An operator that does what it likes, and what comes of what an honest one would do in its place. Its own end counts for nothing.
    pub(super) cheat: Option<(u8, Cheat<'a>)>,
    /// An operator's second face, which hears all that the first does and has said the same so far, and who sees it in the rounds.
    pub(super) face: Option<(u8, Participant, BTreeSet<u8>)>,
    pub(super) sent: BTreeMap<u8, usize>,
    opened: BTreeMap<u8, Vec<Batch>>,
    pub(super) alarms: Vec<Address>,
    randomness: u8,
}

/// What comes to whom.
pub(super) type Cheat<'a> = Box<dyn FnMut(Command) -> Vec<(u8, Event)> + 'a>;

fn of(operator: Address) -> u8 {
    (1..=5).find(|number| address(*number) == operator).unwrap()
}

/// What comes of a command of an honest operator: all others get it.
pub(super) fn spread(from: u8, command: Command) -> Vec<(u8, Event)> {
    let others = |event: &dyn Fn() -> Event| {
        (1..=5).filter(|number| *number != from).map(|to| (to, event())).collect()
    };
    match command {
        Command::Announce(bytes) => others(&|| Event::Announcement(bytes.clone())),
        Command::List(bytes) => others(&|| Event::List(bytes.clone())),
        Command::Lacking(bytes) => others(&|| Event::Lacking(bytes.clone())),
        Command::Signatures(signatures) => others(&|| Event::Signatures(signatures.clone())),
        Command::Send(to, message) => vec![(of(to), Event::Round { operator: address(from), message })],
        Command::Record(..) | Command::Open(_) | Command::TwoFaces(_) | Command::Finish(_) => Vec::new(),
    }
}

impl<'a> World<'a> {
    pub(super) fn new(
        there: &[u8],
        terms: Terms,
        tamper: &'a mut dyn FnMut(&mut RoundMessage) -> bool,
    ) -> Self {
        let mut world = Self {
            terms,
            there: BTreeMap::new(),
            recorded: BTreeMap::new(),
            reports: BTreeMap::new(),
            tamper,
            cheat: None,
            face: None,
            sent: BTreeMap::new(),
            opened: BTreeMap::new(),
            alarms: Vec::new(),
            randomness: 0,
        };
        there.iter().for_each(|operator| world.start(*operator));
        world
    }

    /// Starts an operator, by its record.
    pub(super) fn start(&mut self, operator: u8) {
        self.randomness += 1;
        let participant = self.participant(operator);
        self.there.insert(operator, participant);
    }

    /// One that is in its place: with the same record, it says the same until it comes to the rounds.
    pub(super) fn participant(&mut self, operator: u8) -> Participant {
        let mut random = [operator, self.randomness, 0, 0];
        let random = Box::new(move || {
            random[2] += 1;
            let mut nonce = [0; 32];
            nonce[..4].copy_from_slice(&random);
            nonce
        });
        let recorded = self.recorded.entry(operator).or_default().clone();
        let own = vec![keys()[usize::from(operator) - 1].clone()];
        let message = if self.terms.action_id == action(1) { b"one" } else { b"two" };
        let (message, proposes) = (message[..].into(), Box::new(proposes));
        let mut participant =
            Participant::new(self.terms.clone(), own, key(operator), message, proposes, recorded, random);
        participant.handle(Event::Links((1..=5).map(address).collect()));
        participant
    }

    pub(super) fn run_to(&mut self, from: u64, to: u64) {
        for block in from..=to {
            let face = self.face.as_mut().map(|(_, face, _)| face);
            for participant in self.there.values_mut().chain(face) {
                participant.handle(Event::Block(BlockNumber(block)));
            }
            self.settle();
        }
    }

    pub(super) fn run(&mut self) -> &BTreeMap<u8, Report> {
        self.run_to(START, self.terms.last_block.0 + 1);
        &self.reports
    }

    /// Carries out all commands, and what follows from them.
    pub(super) fn settle(&mut self) {
        let mut events: VecDeque<(u8, Event)> = VecDeque::new();
        loop {
            let mut commands = Vec::new();
            for (operator, participant) in &mut self.there {
                while let Some(command) = participant.poll() {
                    commands.push((*operator, command));
                }
            }
            if let Some((from, face, seers)) = &mut self.face {
                let seen =
                    |command: &Command| matches!(command, Command::Send(to, _) if seers.contains(&of(*to)));
                commands.retain(|(by, command)| by != from || !seen(command));
                while let Some(command) = face.poll() {
                    match command {
                        Command::Record(number, _) => face.handle(Event::Recorded(number)),
                        command if seen(&command) => commands.push((*from, command)),
                        _ => {}
                    }
                }
            }
            for (from, command) in commands {
                let is_free = !matches!(command, Command::Record(..) | Command::Open(_) | Command::Finish(_));
                if let Some((_, does)) = self.cheat.as_mut().filter(|(cheat, _)| is_free && *cheat == from) {
                    events.extend(does(command));
                    continue;
                }
                match command {
                    Command::Record(number, record) => {
                        self.keep(from, record);
                        events.push_back((from, Event::Recorded(number)));
                    }
                    Command::Send(to, mut message) => {
                        *self.sent.entry(message.round).or_default() += 1;
                        if (self.tamper)(&mut message) {
                            events.extend(spread(from, Command::Send(to, message)));
                        }
                    }
                    Command::Open(batch) => self.opened.entry(from).or_default().push(batch),
                    Command::TwoFaces(operator) => self.alarms.push(operator),
                    Command::Finish(_) if self.cheat.as_ref().is_some_and(|(cheat, _)| *cheat == from) => {}
                    Command::Finish(report) => assert!(self.reports.insert(from, report).is_none()),
                    spoken => events.extend(spread(from, spoken)),
                }
            }
            if events.is_empty() {
                return;
            }
            for (to, event) in events.drain(..) {
                if let Some((operator, face, _)) = &mut self.face
                    && *operator == to
                    && !matches!(event, Event::Recorded(_))
                {
                    face.handle(event.clone());
                }
                if let Some(participant) = self.there.get_mut(&to) {
                    participant.handle(event);
                }
            }
        }
    }

    fn keep(&mut self, operator: u8, record: Record) {
        let recorded = self.recorded.entry(operator).or_default();
        match record {
            Record::Announced(seat, attempt, nonce) => {
                let again =
                    recorded.announced.iter().any(|(of, number, _)| (*of, *number) == (seat, attempt));
                assert!(!again, "one nonce a seat and attempt");
                recorded.announced.insert((seat, attempt, nonce));
            }
            Record::Attempt(attempt, ..) => {
                recorded.attempts.insert(attempt);
            }
            Record::Ban(by, seat) => {
                recorded.banned.entry(by).or_default().insert(seat);
            }
            Record::Marks(operators) => {
                operators.into_iter().for_each(|operator| *recorded.marks.entry(operator).or_default() += 1);
            }
        }
    }

    /// The attempt that was signed in, and by whom: all that have finished must say the same.
    pub(super) fn signed(&self) -> (u64, BTreeSet<u8>) {
        let mut found = BTreeSet::new();
        let secp = Secp256k1::verification_only();
        for report in self.reports.values() {
            let Outcome::Signed(signed) = &report.outcome else { panic!("{report:?}") };
            for (digest, signature) in self.terms.digests.iter().zip(&signed.signatures) {
                secp.verify_ecdsa(digest, signature, keys()[0].public()).unwrap();
            }
            assert_eq!(signed.signatures.len(), self.terms.digests.len());
            found.insert((signed.attempt, signed.seats.iter().map(|seat| seat.number()).collect()));
        }
        assert_eq!(found.len(), 1, "{found:?}");
        found.pop_first().unwrap()
    }
}

pub(super) fn untouched(_: &mut RoundMessage) -> bool {
    true
}

/// As if these operators had failed before: the others are chosen first.
pub(super) fn marked(world: &mut World<'_>, operators: &[u8]) {
    let there: Vec<u8> = world.there.keys().copied().collect();
    for number in there {
        world.recorded.entry(number).or_default().marks =
            operators.iter().map(|of| (address(*of), 1)).collect();
        world.start(number);
    }
}

fn announcement(by: u8, id: u8, message: &[u8], nonce: u8) -> Vec<u8> {
    let announcement = Announcement {
        window: terms().window,
        action_id: action(id),
        attempt: 1,
        seat: seat(by),
        banned: BTreeSet::new(),
        links: (1..=5).map(address).collect(),
        nonce: [nonce; 32],
    };
    announcement.sign(&message.into(), &key(by)).unwrap().to_bytes().unwrap()
}
