//! Five operators sign one job, block by block, in memory: with some away, some cheating, some restarted.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

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

#[test]
fn five_operators_sign_in_the_first_attempt_and_all_get_the_signatures() {
    let mut tamper = untouched;
    let mut world = World::new(&[1, 2, 3, 4, 5], terms(), &mut tamper);
    assert_eq!(world.run().len(), 5);
    let (attempt, seats) = world.signed();
    assert_eq!((attempt, seats.len()), (1, 3));
    assert!(world.alarms.is_empty());
}

#[test]
fn two_may_be_gone_and_not_three() {
    for gone in [[1, 2], [3, 4], [2, 5]] {
        let there: Vec<u8> = (1..=5).filter(|number| !gone.contains(number)).collect();
        let mut tamper = untouched;
        let mut world = World::new(&there, terms(), &mut tamper);
        world.run();
        assert_eq!(world.signed(), (1, there.iter().copied().collect()));
    }
    let mut tamper = untouched;
    let mut world = World::new(&[2, 4], terms(), &mut tamper);
    for report in world.run().values() {
        assert_eq!(report.outcome, Outcome::NotReady { heard: 2, needed: 3 });
    }
    assert!(world.sent.is_empty(), "nothing of any round leaves");
}

#[test]
fn a_first_sweep_wants_four() {
    for (there, signs) in [(&[1, 2, 3, 4][..], true), (&[1, 2, 3], false)] {
        let mut tamper = untouched;
        let terms = Terms { wants_quorum: true, ..terms() };
        let mut world = World::new(there, terms, &mut tamper);
        world.run();
        if signs {
            world.signed();
        } else {
            assert!(world.sent.is_empty());
            let not_ready = Outcome::NotReady { heard: 3, needed: 3 };
            assert!(world.reports.values().all(|report| report.outcome == not_ready));
        }
    }
}

/// Who flips a bit is banned by whoever saw it, and a later attempt goes without it; the ban outlives a restart.
#[test]
fn a_cheat_is_named_banned_and_left_out() {
    for (round, last) in [(1, false), (2, true)] {
        let mut tamper = |message: &mut RoundMessage| {
            if (message.from, message.round) == (seat(2), round) {
                let at = if last { message.bytes.len() - 1 } else { 32 * 3 };
                message.bytes[at] ^= 1;
            }
            true
        };
        let mut world = World::new(&[1, 2, 3, 4, 5], terms(), &mut tamper);
        marked(&mut world, &[4, 5]);
        world.run();
        let (attempt, seats) = world.signed();
        assert!(attempt > 1 && !seats.contains(&2), "{attempt}: {seats:?}");
        for victim in [1, 3] {
            let bans = &world.recorded[&victim].banned;
            assert_eq!(bans, &BTreeMap::from([(seat(victim), BTreeSet::from([seat(2)]))]));
            let named = |blame: &Blame| matches!(blame, Blame::Ban { seat: banned, by, .. } if (*banned, *by) == (seat(2), seat(victim)));
            assert!(world.reports[&victim].blames.iter().any(named), "{:?}", world.reports[&victim]);
        }
        // In another window, after a restart, they don't sign with it either.
        let recorded = world.recorded.clone();
        let mut tamper = untouched;
        let mut next = World::new(&[1, 2, 3, 4, 5], terms(), &mut tamper);
        for (operator, recorded) in recorded {
            next.recorded.insert(operator, Recorded { banned: recorded.banned, ..Recorded::default() });
            next.start(operator);
        }
        next.run();
        assert!(!next.signed().1.contains(&2));
    }
}

#[test]
fn a_silent_seat_is_named_with_its_round_and_the_next_attempt_goes_on() {
    for round in 1..=3 {
        let mut tamper = |message: &mut RoundMessage| (message.from, message.round) != (seat(2), round);
        let mut world = World::new(&[1, 2, 3, 4, 5], terms(), &mut tamper);
        marked(&mut world, &[4, 5]);
        world.run();
        let (attempt, _) = world.signed();
        // In round 3 the silent one has the signatures itself, and hands them out.
        assert_eq!(attempt > 1, round < 3);
        if round < 3 {
            let silent = Blame::Silent { seat: seat(2), round };
            assert!(world.reports[&1].blames.contains(&silent), "{:?}", world.reports[&1]);
        }
    }
}

/// One that hears nobody, and says so, is not silent; nor is one whose link to a single other has gone. They don't sign together again.
#[test]
fn a_broken_link_is_nobodys_silence_and_is_gone_around() {
    let mut tamper =
        |message: &mut RoundMessage| !matches!((message.from.number(), message.to.number()), (1, 2) | (2, 1));
    let mut world = World::new(&[1, 2, 3, 4, 5], terms(), &mut tamper);
    marked(&mut world, &[4, 5]);
    world.run();
    let (attempt, seats) = world.signed();
    assert!(attempt == 2 && !(seats.contains(&1) && seats.contains(&2)), "{attempt}: {seats:?}");
    for report in world.reports.values() {
        assert!(!report.blames.iter().any(|blame| matches!(blame, Blame::Silent { .. })), "{report:?}");
    }
}

/// Who stops for a cheat's message isn't lacked by the others: they sign together the next time.
#[test]
fn who_is_cheated_is_not_taken_for_silent() {
    let mut tamper = |message: &mut RoundMessage| {
        if (message.from, message.to, message.round) == (seat(2), seat(1), 1) {
            message.bytes[96] ^= 1;
        }
        true
    };
    let mut world = World::new(&[1, 2, 3], terms(), &mut tamper);
    marked(&mut world, &[]);
    world.run_to(START, START + TIMES.attempt().0);
    world.start(4);
    world.run_to(START + TIMES.attempt().0 + 1, world.terms.last_block.0);
    let (attempt, seats) = world.signed();
    assert!(attempt == 2 && seats.contains(&3) && seats.contains(&4), "{attempt}: {seats:?}");
    for report in world.reports.values() {
        assert!(!report.blames.iter().any(|blame| matches!(blame, Blame::Silent { .. })), "{report:?}");
    }
}

/// Somebody else's word, another action's, and an attempt that there isn't.
#[test]
fn what_is_said_to_be_lacking_counts_from_the_seats_holder_only() {
    let lacking = |attempt, round, id| Lacking {
        window: terms().window,
        action_id: action(id),
        attempt,
        batch: 0,
        round,
        seat: seat(1),
        lacks: [seat(2), seat(3)].into(),
    };
    let mut tamper = untouched;
    let mut world = World::new(&[1, 2, 3], terms(), &mut tamper);
    let good = lacking(1, 1, 1).sign(&key(1));
    for bytes in [
        lacking(1, 1, 1).sign(&key(2)).to_bytes(),
        lacking(1, 1, 2).sign(&key(1)).to_bytes(),
        lacking(0, 1, 1).sign(&key(1)).to_bytes(),
        lacking(6, 1, 1).sign(&key(1)).to_bytes(),
        lacking(1, 4, 1).sign(&key(1)).to_bytes(),
        good.to_bytes()[1..].to_vec(),
        [good.to_bytes(), vec![0]].concat(),
    ] {
        world.there.get_mut(&2).unwrap().handle(Event::Lacking(bytes));
        assert!(world.there.get_mut(&2).unwrap().poll().is_none());
    }
    for passed_on in [true, false] {
        world.there.get_mut(&2).unwrap().handle(Event::Lacking(good.to_bytes()));
        let command = world.there.get_mut(&2).unwrap().poll();
        assert_eq!(matches!(command, Some(Command::Lacking(bytes)) if bytes == good.to_bytes()), passed_on);
    }
}

/// Five inputs, of which two fit at once.
fn in_batches() -> Terms {
    let [one, two, three] = ROUND_BYTES;
    let pair = 2 * (one + two) + 5 * three + 3 * FRAME_BYTES;
    let digests = (0..5_u8).map(|input| sha256d::Hash::hash(&[input]).to_byte_array());
    Terms { digests: digests.map(Message::from_digest).collect(), read_bytes: 2 * pair, ..terms() }
}

#[test]
fn inputs_that_do_not_fit_at_once_go_in_batches_and_are_signed_together() {
    let mut seen = Vec::new();
    let mut tamper = |message: &mut RoundMessage| {
        seen.push((message.batch, message.round));
        true
    };
    let mut world = World::new(&[1, 2, 3, 4, 5], in_batches(), &mut tamper);
    assert_eq!(world.run().len(), 5);
    assert_eq!(world.signed().0, 1);
    assert_eq!(world.sent, [(1, 18), (2, 18), (3, 6)].into(), "three seats, three batches, and round 3 once");
    let opened: BTreeSet<_> = world
        .opened
        .values()
        .map(|batches| {
            assert!(
                batches.iter().all(|batch| batch.peers.values().sum::<usize>() <= world.terms.read_bytes)
            );
            batches.iter().map(|batch| (batch.number, batch.id)).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!((world.opened.len(), opened.len()), (3, 1), "all know them by the same names");
    assert_eq!(opened.first().unwrap().iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 1, 2]);
    drop(world);
    assert!(seen.is_sorted(), "one after the other: {seen:?}");
}

/// In whichever batch: the attempt is over, nothing of round 3 leaves in it, and the next one goes without the cheat.
#[test]
fn a_cheat_in_any_batch_ends_the_attempt_before_round_3() {
    for (batch, round) in [(0, 2), (1, 1), (2, 2)] {
        let mut third = 0;
        let mut tamper = |message: &mut RoundMessage| {
            if (message.from, message.batch, message.round) == (seat(2), batch, round) {
                let at = if round == 2 { message.bytes.len() - 1 } else { 32 * 3 };
                message.bytes[at] ^= 1;
            }
            let is_honest = message.from != seat(2);
            third += usize::from(is_honest && (message.attempt, message.round) == (1, 3));
            true
        };
        let mut world = World::new(&[1, 2, 3, 4, 5], in_batches(), &mut tamper);
        marked(&mut world, &[4, 5]);
        world.run();
        let (attempt, seats) = world.signed();
        assert!(attempt > 1 && !seats.contains(&2), "{attempt}: {seats:?}");
        for victim in [1, 3] {
            assert_eq!(world.recorded[&victim].banned, [(seat(victim), [seat(2)].into())].into());
        }
        drop(world);
        assert_eq!(third, 0, "batch {batch}, round {round}");
    }
}

#[test]
fn a_seat_that_is_silent_in_a_later_batch_is_named_and_nobody_else() {
    let mut tamper =
        |message: &mut RoundMessage| (message.from, message.batch, message.round) != (seat(2), 1, 2);
    let mut world = World::new(&[1, 2, 3, 4, 5], in_batches(), &mut tamper);
    marked(&mut world, &[4, 5]);
    world.run();
    assert!(world.signed().0 > 1);
    for victim in [1, 3] {
        assert_eq!(world.reports[&victim].blames, [Blame::Silent { seat: seat(2), round: 2 }]);
    }
}

/// The last block with which round 3 begins, and the first with which it doesn't.
#[test]
fn round_3_begins_only_if_enough_blocks_remain() {
    for (last, begins) in [(START + 6, true), (START + 5, false)] {
        let mut tamper = untouched;
        let mut world =
            World::new(&[1, 2, 3], Terms { last_block: BlockNumber(last), ..terms() }, &mut tamper);
        world.run();
        assert_eq!(world.sent.contains_key(&3), begins);
        let deadline = |report: &Report| report.outcome == Outcome::Deadline;
        assert_eq!(world.reports.values().all(deadline), !begins);
    }
}

#[test]
fn who_restarts_joins_later_attempts_only() {
    for at in [START + 1, START + 3, START + 4] {
        let mut tamper = |message: &mut RoundMessage| message.attempt > 1;
        let mut world = World::new(&[1, 2, 3, 4, 5], terms(), &mut tamper);
        world.run_to(START, at);
        world.start(1);
        world.run_to(at + 1, START + TIMES.attempt().0 - 1);
        let of_first =
            |recorded: &Recorded| recorded.announced.iter().filter(|(_, attempt, _)| *attempt == 1).count();
        assert_eq!(of_first(&world.recorded[&1]), 1, "it announced once, before");
        world.run_to(START + TIMES.attempt().0, world.terms.last_block.0);
        // Those who lacked each other's messages don't sign together in this action.
        assert_eq!(world.signed().0, 2);
        assert_eq!(world.recorded[&1].announced.len(), 2);
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

#[test]
fn inc_49_nobody_signs_in_a_window_with_two_actions() {
    for at in [START + 1, START + 2] {
        let mut tamper = untouched;
        let mut world = World::new(&[1, 2, 3, 4], terms(), &mut tamper);
        world.run_to(START, at);
        // Only one of them is told: it tells the others.
        world.there.get_mut(&1).unwrap().handle(Event::Announcement(announcement(5, 2, b"two", 1)));
        world.settle();
        world.run_to(at + 1, world.terms.last_block.0 + 1);
        for report in world.reports.values() {
            assert_eq!(report.outcome, Outcome::Refused(Refusal::TwoActions));
        }
        assert_eq!((world.reports.len(), world.sent.len()), (4, 0));
    }
}

#[test]
fn an_announcement_with_a_message_that_is_not_the_leaders_stops_nobody() {
    let mut tamper = untouched;
    let mut world = World::new(&[1, 2, 3], terms(), &mut tamper);
    world.run_to(START, START + 1);
    world.there.get_mut(&1).unwrap().handle(Event::Announcement(announcement(5, 2, b"forged", 1)));
    world.run_to(START + 2, world.terms.last_block.0);
    assert_eq!(world.signed(), (1, [1, 2, 3].into()));
}

#[test]
fn an_announcement_of_ours_that_we_have_not_recorded_stops_us() {
    let mut tamper = untouched;
    let mut world = World::new(&[1, 2, 3, 4], terms(), &mut tamper);
    world.run_to(START, START + 1);
    world.there.get_mut(&1).unwrap().handle(Event::Announcement(announcement(1, 1, b"one", 1)));
    world.run_to(START + 2, world.terms.last_block.0);
    assert_eq!(world.reports.remove(&1).unwrap().outcome, Outcome::Refused(Refusal::NotOurs));
    assert!(!world.signed().1.contains(&1));
}

#[test]
fn two_nonces_put_an_operator_out_and_it_is_an_alarm() {
    let mut tamper = untouched;
    let mut world = World::new(&[1, 2, 3, 4], terms(), &mut tamper);
    world.run_to(START, START + 1);
    for nonce in [1, 2] {
        world.there.get_mut(&1).unwrap().handle(Event::Announcement(announcement(5, 1, b"one", nonce)));
    }
    world.settle();
    assert_eq!(world.alarms, vec![address(5); 4], "each has seen both");
    world.run_to(START + 2, world.terms.last_block.0);
    assert!(!world.signed().1.contains(&5));
}

/// A list of the first attempt's first convener that carries these seats' announcements, each with this nonce.
fn listed(seats: [(u8, u8); 3]) -> Event {
    let announced = seats.map(|(by, nonce)| announcement(by, 1, b"one", nonce));
    let announced = announced.map(|bytes| SignedAnnouncement::from_bytes(&bytes).unwrap());
    let convener = terms().draw.conveners(1)[0];
    let convener = (1..=5).find(|number| address(*number) == convener).unwrap();
    let list = SubsetList::sign(announced.into(), &b"one"[..].into(), &key(convener));
    Event::List(list.unwrap().to_bytes())
}

#[test]
fn an_announcement_of_ours_that_only_a_list_shows_stops_us() {
    let mut tamper = untouched;
    let mut world = World::new(&[1], terms(), &mut tamper);
    world.run_to(START, START + 2);
    world.there.get_mut(&1).unwrap().handle(listed([(1, 9), (2, 9), (3, 9)]));
    world.settle();
    assert_eq!(world.reports[&1].outcome, Outcome::Refused(Refusal::NotOurs));
    assert!(world.recorded[&1].attempts.is_empty());
}

#[test]
fn two_nonces_of_which_a_list_shows_one_are_an_alarm() {
    let mut tamper = untouched;
    let mut world = World::new(&[4], terms(), &mut tamper);
    world.run_to(START, START + 1);
    world.there.get_mut(&4).unwrap().handle(Event::Announcement(announcement(5, 1, b"one", 1)));
    world.there.get_mut(&4).unwrap().handle(listed([(1, 9), (2, 9), (5, 2)]));
    world.settle();
    assert_eq!(world.alarms, [address(5)]);
}

/// A round's message counts only over the link to the operator who holds its seat.
#[test]
fn nobody_speaks_for_anothers_seat() {
    let mut tamper = untouched;
    let mut world = World::new(&[1, 2, 3], terms(), &mut tamper);
    world.run_to(START, START + 3);
    // The list is taken, and nobody has said anything yet.
    for participant in world.there.values_mut() {
        participant.handle(Event::Block(BlockNumber(START + 4)));
    }
    // A message that claims to be seat 2's, from operator 3, before seat 2's own.
    let forged =
        RoundMessage { attempt: 1, batch: 0, round: 1, from: seat(2), to: seat(1), bytes: vec![0; 10] };
    world.there.get_mut(&1).unwrap().handle(Event::Round { operator: address(3), message: forged });
    world.run_to(START + 4, world.terms.last_block.0);
    assert_eq!(world.signed(), (1, [1, 2, 3].into()));
}
