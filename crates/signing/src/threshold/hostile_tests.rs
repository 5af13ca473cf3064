//! One of five operators does what it likes: in each round, in what it announces, and as convener. The others sign all the same, never
//! take each other for cheats, and nothing is signed that was not the job.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use bitcoin::hashes::{Hash, sha256d};
use coxswain_rules::units::BlockNumber;

use super::{
    participant_tests::{
        Cheat, START, TIMES, World, action, address, key, marked, seat, spread, terms, untouched,
    },
    *,
};
use crate::{
    ActionId, Blame, Outcome, Refusal,
    group::{Announcement, SignedAnnouncement, SubsetList},
};

const CHEAT: u8 = 2;
const ALL: [u8; 5] = [1, 2, 3, 4, 5];

/// Which of the five convenes the first attempt, by rank.
fn conveners() -> Vec<u8> {
    let rank = |convener| ALL.into_iter().find(|number| address(*number) == convener).unwrap();
    terms().draw.conveners(1).into_iter().map(rank).collect()
}

/// All five sign, and one of them does this. The honest ones must all have signed the job; gives the attempt, by whom, and the world.
fn signed_with(cheat: u8, marks: &[u8], does: Cheat<'_>, then: impl FnOnce((u64, BTreeSet<u8>), &World<'_>)) {
    let mut tamper = untouched;
    let mut world = World::new(&ALL, terms(), &mut tamper);
    marked(&mut world, marks);
    world.cheat = Some((cheat, does));
    world.run();
    assert_eq!(world.reports.len(), 4, "all honest ones end");
    nobody_honest_is_named(&world, cheat);
    then(world.signed(), &world);
}

/// Neither banned, nor at fault, nor said to say two things.
fn nobody_honest_is_named(world: &World<'_>, cheat: u8) {
    assert!(world.alarms.iter().all(|operator| *operator == address(cheat)), "{:?}", world.alarms);
    for (number, report) in &world.reports {
        for blame in &report.blames {
            match blame {
                Blame::Ban { seat: named, .. } | Blame::Fault { seat: named, .. } => {
                    assert_eq!(*named, seat(cheat), "by {number}: {blame:?}");
                }
                Blame::Silent { .. } | Blame::Unattributed(_) => {}
            }
        }
        let banned = &world.recorded[number].banned;
        assert!(banned.values().flatten().all(|banned| *banned == seat(cheat)), "{number}: {banned:?}");
    }
}

/// Its messages of a round, changed; all else as an honest one does it, but that it keeps signatures to itself.
fn in_rounds<'a>(mut change: impl FnMut(&mut RoundMessage) -> bool + 'a) -> Cheat<'a> {
    Box::new(move |command| match command {
        Command::Send(to, mut message) => {
            if change(&mut message) {
                spread(CHEAT, Command::Send(to, message))
            } else {
                Vec::new()
            }
        }
        Command::Signatures(_) => Vec::new(),
        other => spread(CHEAT, other),
    })
}

#[test]
fn a_flipped_bit_in_round_3_is_not_attributed_and_a_later_attempt_signs() {
    let does = in_rounds(|message| {
        if message.round == 3 {
            message.bytes[63] ^= 1;
        }
        true
    });
    signed_with(CHEAT, &[4, 5], does, |(attempt, seats), world| {
        assert!(attempt > 1 && !seats.contains(&CHEAT), "{attempt}: {seats:?}");
        for number in [1, 3] {
            let blames = &world.reports[&number].blames;
            assert!(
                blames
                    .iter()
                    .any(|blame| matches!(blame, Blame::Unattributed(seats) if seats.contains(&seat(CHEAT)))),
                "{blames:?}"
            );
            assert!(world.recorded[&number].banned.is_empty(), "nobody is told apart");
        }
    });
}

/// What comes after a round's deadline is not used, and its sender was silent.
#[test]
fn a_message_that_comes_late_is_not_used() {
    for round in 1..=3 {
        let late = RefCell::new(Vec::new());
        let mut tamper = untouched;
        let mut world = World::new(&ALL, terms(), &mut tamper);
        marked(&mut world, &[4, 5]);
        let does = in_rounds(|message| {
            if message.round == round {
                late.borrow_mut().push(message.clone());
            }
            message.round != round
        });
        world.cheat = Some((CHEAT, does));
        world.run_to(START, START + TIMES.attempt().0 - 1);
        world.cheat = Some((CHEAT, in_rounds(|_| true)));
        assert!(world.reports.is_empty(), "the first attempt has failed");
        let late = late.take();
        assert!(late.len() >= 2);
        for message in late {
            let to = message.to.number();
            let operator = address(CHEAT);
            world.there.get_mut(&to).unwrap().handle(Event::Round { operator, message });
        }
        world.settle();
        world.run_to(START + TIMES.attempt().0, world.terms.last_block.0);
        nobody_honest_is_named(&world, CHEAT);
        assert_eq!(world.signed().0, 2);
        let silent = Blame::Silent { seat: seat(CHEAT), round };
        assert!(world.reports[&1].blames.contains(&silent), "{:?}", world.reports[&1]);
    }
}

/// What it has said in another window, said again in this one.
#[test]
fn messages_of_another_windows_session_are_its_fault_and_no_ban() {
    let mut said = BTreeMap::new();
    let recording = in_rounds(|message| {
        said.insert((message.round, message.to), message.bytes.clone());
        true
    });
    signed_with(CHEAT, &[4, 5], recording, |(attempt, seats), _| {
        assert!(attempt == 1 && seats.contains(&CHEAT));
    });
    for round in 1..=2 {
        let mut tamper = untouched;
        let mut world = World::new(&ALL, terms(), &mut tamper);
        // Other nonces, so that it is another session.
        marked(&mut world, &[4, 5]);
        marked(&mut world, &[4, 5]);
        world.cheat = Some((
            CHEAT,
            in_rounds(|message| {
                if message.round == round {
                    message.bytes.clone_from(&said[&(round, message.to)]);
                }
                true
            }),
        ));
        world.run();
        nobody_honest_is_named(&world, CHEAT);
        assert!(world.signed().0 > 1);
        for number in [1, 3] {
            let fault =
                |blame: &Blame| matches!(blame, Blame::Fault { seat: named, .. } if *named == seat(CHEAT));
            assert!(world.reports[&number].blames.iter().any(fault), "{round}: {:?}", world.reports[&number]);
            assert!(world.recorded[&number].banned.is_empty());
        }
    }
}

/// One operator runs twice, with one announcement: seat 3 sees the second face. Each is whole in itself until round 2. What seat 3 answers
/// fits only the face that it has seen, so that neither comes to an honest round 3, and it is silent there. (With an invented round 3,
/// nobody can be named: `two_faces_sign_nothing`.)
#[test]
fn two_faces_in_the_rounds_sign_nothing_and_a_later_attempt_signs() {
    let mut tamper = untouched;
    let mut world = World::new(&ALL, terms(), &mut tamper);
    marked(&mut world, &[4, 5]);
    world.start(CHEAT);
    let face = world.participant(CHEAT);
    world.face = Some((CHEAT, face, [3].into()));
    let does = |command| match command {
        Command::Lacking(_) | Command::Signatures(_) => Vec::new(),
        other => spread(CHEAT, other),
    };
    world.cheat = Some((CHEAT, Box::new(does)));
    world.run();
    nobody_honest_is_named(&world, CHEAT);
    let (attempt, seats) = world.signed();
    assert!(attempt > 1 && !seats.contains(&CHEAT), "{attempt}: {seats:?}");
    for number in [1, 3] {
        let silent = Blame::Silent { seat: seat(CHEAT), round: 3 };
        assert!(world.reports[&number].blames.contains(&silent), "{:?}", world.reports[&number]);
    }
}

/// The announcement that an honest one makes, as the cheat would rather have it.
fn announces<'a>(cheat: u8, mut changed: impl FnMut(&mut Announcement) + 'a) -> Cheat<'a> {
    Box::new(move |command| match command {
        Command::Announce(bytes) => {
            let signed = SignedAnnouncement::from_bytes(&bytes).unwrap();
            if signed.operator() != address(cheat) {
                return spread(cheat, Command::Announce(bytes));
            }
            let mut announcement = signed.announcement().clone();
            changed(&mut announcement);
            let signed = announcement.sign(&b"one"[..].into(), &key(cheat)).unwrap();
            spread(cheat, Command::Announce(signed.to_bytes().unwrap()))
        }
        other => spread(cheat, other),
    })
}

/// Some have heard it, and some haven't. The list says who signs.
#[test]
fn an_announcement_to_half_of_the_group_splits_no_attempt() {
    for told in [[1, 3], [3, 4], [4, 5], [1, 5]] {
        let does = Box::new(move |command| {
            let is_announcement = matches!(&command, Command::Announce(_));
            let mut events = spread(CHEAT, command);
            events.retain(|(to, _)| !is_announcement || told.contains(to));
            events
        });
        // It is chosen first by whoever has heard it.
        signed_with(CHEAT, &[1, 3, 4, 5], does, |(attempt, _), _| assert_eq!(attempt, 1, "{told:?}"));
    }
}

#[test]
fn two_nonces_to_different_halves_put_it_out_and_the_first_attempt_signs() {
    let does = Box::new(|command| match command {
        Command::Announce(bytes) => {
            let mut events = spread(CHEAT, Command::Announce(bytes.clone()));
            let signed = SignedAnnouncement::from_bytes(&bytes).unwrap();
            if signed.operator() == address(CHEAT) {
                let other = Announcement { nonce: [99; 32], ..signed.announcement().clone() };
                let other = other.sign(&b"one"[..].into(), &key(CHEAT)).unwrap();
                let others = spread(CHEAT, Command::Announce(other.to_bytes().unwrap()));
                events.retain(|(to, _)| *to < 3);
                events.extend(others.into_iter().filter(|(to, _)| *to >= 3));
            }
            events
        }
        other => spread(CHEAT, other),
    });
    signed_with(CHEAT, &[1, 3, 4, 5], does, |(attempt, seats), world| {
        assert!(attempt == 1 && !seats.contains(&CHEAT), "{attempt}: {seats:?}");
        let alarms = world.alarms.iter().filter(|operator| **operator == address(CHEAT)).count();
        assert!(alarms >= 4, "each honest one has seen both");
    });
}

/// It says that it never signs with the others, or that it has a link to none of them, or only to one.
#[test]
fn false_bans_and_false_links_put_out_whoever_makes_them() {
    let everybody = || ALL.into_iter().filter(|number| *number != CHEAT).map(seat).collect::<BTreeSet<_>>();
    let lies: [fn(&mut Announcement, BTreeSet<coxswain_protocol::Seat>); 4] = [
        |announcement, everybody| announcement.banned = everybody,
        |announcement, _| announcement.links.clear(),
        |announcement, _| announcement.banned = [seat(1)].into(),
        |announcement, _| announcement.links = [address(CHEAT), address(5)].into(),
    ];
    for lie in lies {
        let does = announces(CHEAT, move |announcement| lie(announcement, everybody()));
        signed_with(CHEAT, &[], does, |(attempt, seats), _| {
            assert!(attempt == 1 && !seats.contains(&CHEAT), "{attempt}: {seats:?}");
        });
    }
}

/// A list of three seats by a convener, by what it has announced itself. Each list is another.
fn listed(by: u8, announced: &BTreeMap<u8, SignedAnnouncement>, seats: [u8; 3]) -> Vec<u8> {
    let chosen = seats.map(|number| announced[&number].clone());
    SubsetList::sign(chosen.into(), &b"one"[..].into(), &key(by)).unwrap().to_bytes()
}

/// The first convener does this with its list; the others' are as they are. Gives the attempt that signs.
fn convened(does: impl Fn(u8, Vec<u8>, &BTreeMap<u8, SignedAnnouncement>) -> Vec<(u8, Event)>) -> u64 {
    let convener = conveners()[0];
    let announced = RefCell::new(BTreeMap::new());
    let mut tamper = untouched;
    let mut world = World::new(&ALL, terms(), &mut tamper);
    world.cheat = Some((
        convener,
        Box::new(|command| match command {
            Command::Announce(bytes) => {
                let signed = SignedAnnouncement::from_bytes(&bytes).unwrap();
                announced.borrow_mut().insert(signed.announcement().seat.number(), signed);
                spread(convener, Command::Announce(bytes))
            }
            Command::List(bytes) => {
                let list = SubsetList::from_bytes(&bytes).unwrap();
                if list.convener() == address(convener) {
                    does(convener, bytes, &announced.borrow())
                } else {
                    spread(convener, Command::List(bytes))
                }
            }
            other => spread(convener, other),
        }),
    ));
    world.run();
    nobody_honest_is_named(&world, convener);
    world.signed().0
}

#[test]
fn a_convener_that_sends_two_lists_is_gone_around_in_the_same_attempt() {
    // Its list to one only, who passes it on.
    assert_eq!(convened(|by, bytes, _| spread(by, Command::List(bytes)).into_iter().take(1).collect()), 1);
    // Two to all, and one to each half.
    for halves in [false, true] {
        let attempt = convened(move |by, _, announced| {
            let others: Vec<u8> = ALL.into_iter().filter(|number| *number != by).collect();
            let lists = [[others[0], others[1], others[2]], [others[1], others[2], others[3]]];
            let mut events = Vec::new();
            for (half, seats) in lists.into_iter().enumerate() {
                let all = spread(by, Command::List(listed(by, announced, seats)));
                events.extend(all.into_iter().filter(|(to, _)| !halves || usize::from(*to % 2) == half));
            }
            events
        });
        assert_eq!(attempt, 1);
    }
}

/// It goes by its own list, so that an attempt with it by another's fails.
#[test]
fn a_convener_that_sends_no_list_or_a_bad_one_spoils_one_attempt_at_most() {
    assert!(convened(|_, _, _| Vec::new()) <= 2);
    // One of fewer than the threshold.
    let attempt = convened(|by, _, announced| {
        let two = [1, 2].map(|number: u8| announced[&number].clone());
        let list = SubsetList::sign(two.into(), &b"one"[..].into(), &key(by)).unwrap();
        spread(by, Command::List(list.to_bytes()))
    });
    assert!(attempt <= 2, "{attempt}");
}

/// INC-49: the leader has proposed one thing to two of them and another to three. Whoever hears both stops, and nothing of any round
/// leaves anybody.
#[test]
fn inc_49_two_groups_that_have_agreed_on_different_actions_sign_neither() {
    let mut tamper = untouched;
    let mut world = World::new(&[1, 2], terms(), &mut tamper);
    world.terms.action_id = action(2);
    world.terms.digests.iter_mut().for_each(|digest| {
        *digest = bitcoin::secp256k1::Message::from_digest(sha256d::Hash::hash(&[9]).to_byte_array());
    });
    [3, 4, 5].into_iter().for_each(|number| world.start(number));
    world.run();
    assert_eq!(world.reports.len(), 5);
    for report in world.reports.values() {
        assert_eq!(report.outcome, Outcome::Refused(Refusal::TwoActions));
    }
    assert!(world.sent.is_empty(), "{:?}", world.sent);
}

/// The numbers of a linear congruence.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Anything at all, each time something else.
fn anything<'a>(cheat: u8, mut dice: Dice) -> Cheat<'a> {
    let mut said: Vec<RoundMessage> = Vec::new();
    Box::new(move |command| match command {
        Command::Send(to, mut message) => {
            let before = said.iter().rev().find(|it| it.round == message.round).cloned();
            said.push(message.clone());
            match (dice.roll(8), before) {
                (0, _) => return Vec::new(),
                (1, _) => {
                    let at = usize::try_from(dice.roll(message.bytes.len() as u64)).unwrap();
                    message.bytes[at] ^= 1 << dice.roll(8);
                }
                (2, _) => message.bytes.truncate(message.bytes.len() / 2),
                (3, Some(before)) => message.bytes = before.bytes,
                _ => {}
            }
            spread(cheat, Command::Send(to, message))
        }
        Command::Announce(bytes) => {
            let signed = SignedAnnouncement::from_bytes(&bytes).unwrap();
            if signed.operator() != address(cheat) {
                return spread(cheat, Command::Announce(bytes));
            }
            let mut announcement = signed.announcement().clone();
            let half = dice.roll(4) == 0;
            match dice.roll(8) {
                0 => drop(announcement.links.pop_first()),
                1 => announcement.banned = [seat(1 + u8::try_from(dice.roll(5)).unwrap())].into(),
                _ => {}
            }
            let signed = announcement.clone().sign(&b"one"[..].into(), &key(cheat)).unwrap();
            let mut events = spread(cheat, Command::Announce(signed.to_bytes().unwrap()));
            events.retain(|(to, _)| !half || to % 2 == 0);
            if dice.roll(16) == 0 {
                announcement.nonce = [98; 32];
                let other = announcement.sign(&b"one"[..].into(), &key(cheat)).unwrap();
                events.extend(spread(cheat, Command::Announce(other.to_bytes().unwrap())));
            }
            events
        }
        Command::List(bytes) => {
            let mut events = spread(cheat, Command::List(bytes));
            match dice.roll(4) {
                0 => events.clear(),
                1 => events.truncate(1),
                _ => {}
            }
            events
        }
        Command::Signatures(_) => Vec::new(),
        other => spread(cheat, other),
    })
}

/// Whatever one does, nothing but the job is signed, no honest one is named, and nearly always it is signed. More games with
/// COXSWAIN_GAMES.
#[test]
fn whatever_one_of_five_does_nothing_but_the_job_is_signed_and_no_honest_one_is_named() {
    let games = std::env::var("COXSWAIN_GAMES").map_or(4, |text| text.parse().unwrap());
    let (mut signed, mut attempts) = (0, 0);
    for game in 0..games {
        let cheat = 1 + u8::try_from(game % 5).unwrap();
        let mut tamper = untouched;
        let mut world = World::new(&ALL, terms(), &mut tamper);
        world.cheat = Some((cheat, anything(cheat, Dice(game))));
        world.run();
        assert_eq!(world.reports.len(), 4, "game {game}");
        nobody_honest_is_named(&world, cheat);
        let is_signed = |report: &crate::Report| matches!(report.outcome, Outcome::Signed(_));
        if world.reports.values().all(is_signed) {
            signed += 1;
            attempts += world.signed().0;
        } else {
            // Who knows the signatures tells the others.
            assert!(!world.reports.values().any(is_signed), "game {game}: {:?}", world.reports);
        }
    }
    println!("{signed} of {games} jobs were signed, in {attempts} attempts");
    assert!(signed * 10 >= games * 7, "{signed} of {games}");
}

/// Nobody who signs is told of an action that no leader has proposed.
#[test]
fn an_action_that_nobody_proposed_is_not_announced_by_a_cheat() {
    let does = Box::new(|command| match command {
        Command::Announce(bytes) => {
            let signed = SignedAnnouncement::from_bytes(&bytes).unwrap();
            if signed.operator() != address(CHEAT) {
                return spread(CHEAT, Command::Announce(bytes));
            }
            let invented =
                Announcement { action_id: ActionId([7; 32].into()), ..signed.announcement().clone() };
            let invented = invented.sign(&b"one"[..].into(), &key(CHEAT)).unwrap();
            spread(CHEAT, Command::Announce(invented.to_bytes().unwrap()))
        }
        other => spread(CHEAT, other),
    });
    signed_with(CHEAT, &[], does, |(attempt, seats), world| {
        assert!(attempt == 1 && !seats.contains(&CHEAT), "{seats:?}");
        assert_eq!(world.terms.start_block, BlockNumber(START));
    });
}
