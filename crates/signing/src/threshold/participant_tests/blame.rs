//! Who is named for an attempt that fails, who is not, and with whom the next one goes on.

use super::*;

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
