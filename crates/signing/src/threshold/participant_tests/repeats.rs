//! What seats say of an action once they have finished with it, for those who come late.

use super::*;

/// The first block of an attempt's announcement phase.
fn announcing(attempt: u64) -> u64 {
    START + (attempt - 1) * TIMES.attempt().0 + TIMES.delay.0
}

/// All who are there sign in the first attempt.
fn signed(world: &mut World<'_>) -> (u64, BTreeSet<u8>) {
    world.run_to(START, START + TIMES.attempt().0 - 1);
    world.signed()
}

/// One that comes in the second attempt hears all three, and nobody takes those for ready, nor signs again.
#[test]
fn who_has_finished_repeats_its_announcement_and_signs_nothing_more() {
    let mut tamper = untouched;
    let mut world = World::new(&[1, 2, 3], terms(), &mut tamper);
    assert_eq!(signed(&mut world), (1, [1, 2, 3].into()));
    let (sent, recorded) = (world.sent.clone(), world.recorded.clone());
    world.start(4);
    world.run_to(START + TIMES.attempt().0, world.terms.last_block.0 + 1);
    assert_eq!(world.reports[&4].outcome, Outcome::NotReady { heard: 4, needed: 3 });
    assert_eq!(world.sent, sent, "nothing of any round leaves");
    assert!(recorded.iter().all(|(operator, before)| world.recorded[operator] == *before));
    assert!(world.recorded[&4].attempts.is_empty());
}

/// It doesn't know in which attempt, nor by whom: signatures don't tell.
#[test]
fn who_comes_late_takes_the_others_signatures_and_names_no_attempt() {
    let mut tamper = untouched;
    let mut world = World::new(&[1, 2, 3], terms(), &mut tamper);
    signed(&mut world);
    let Outcome::Signed(by_others) = world.reports[&1].outcome.clone() else { panic!("it has signed") };
    world.start(4);
    world.run_to(START + TIMES.attempt().0, announcing(2));
    world.there.get_mut(&4).unwrap().handle(Event::Signatures(by_others.signatures.clone()));
    world.settle();
    let Outcome::Signed(late) = &world.reports[&4].outcome else { panic!("{:?}", world.reports[&4]) };
    assert_eq!(late.signatures, by_others.signatures);
    assert_eq!((late.attempt, late.seats.as_slice()), (0, &[][..]));
}

/// The same bytes, once in every later attempt's announcement phase, at whichever of its blocks.
#[test]
fn what_was_announced_is_repeated_in_each_later_announcement_phase_until_the_end() {
    let mut tamper = untouched;
    let mut world = World::new(&[1, 2, 3], terms(), &mut tamper);
    signed(&mut world);
    let announced = world.recorded[&1].announced.clone();
    let one = world.there.get_mut(&1).unwrap();
    let mut said = |block| {
        one.handle(Event::Block(BlockNumber(block)));
        let commands = std::iter::from_fn(|| one.poll());
        let said = commands.map(|command| match command {
            Command::Announce(bytes) => bytes,
            other => panic!("{other:?}"),
        });
        said.collect::<Vec<_>>()
    };
    assert!(said(announcing(2) - 1).is_empty());
    let again = said(announcing(2));
    let its = SignedAnnouncement::from_bytes(&again[0]).unwrap().announcement().clone();
    assert_eq!(BTreeSet::from([(its.seat, its.attempt, its.nonce)]), announced);
    assert_eq!((again.len(), its.attempt), (1, 1));
    assert!(said(announcing(2) + 1).is_empty(), "once");
    assert_eq!(said(announcing(3)), again);
    // Of the fourth attempt only the phase's last block comes, of the fifth only the one behind it.
    assert_eq!(said(announcing(4) + TIMES.announcement.0 - 1), again);
    assert!(said(announcing(5) + TIMES.announcement.0).is_empty());
    // There is no sixth attempt.
    assert!(said(announcing(6)).is_empty());
}

/// Nothing after the job's last block, which may come before the last attempt.
#[test]
fn nothing_is_repeated_after_the_last_block() {
    for (last, count) in [(announcing(2) - 1, 0), (announcing(2), 1)] {
        let mut tamper = untouched;
        let terms = Terms { last_block: BlockNumber(last), ..terms() };
        let mut world = World::new(&[1, 2, 3], terms, &mut tamper);
        signed(&mut world);
        let one = world.there.get_mut(&1).unwrap();
        one.handle(Event::Block(BlockNumber(announcing(2))));
        assert_eq!(std::iter::from_fn(|| one.poll()).count(), count);
    }
}

/// Whether the first action is signed by then, or was stopped as another was seen: whoever comes late with that other signs nothing.
#[test]
fn inc_49_who_comes_late_with_another_action_hears_of_the_first_and_stops() {
    for stopped in [false, true] {
        let mut tamper = untouched;
        let mut world = World::new(&[1, 2], terms(), &mut tamper);
        if stopped {
            world.run_to(START, announcing(1));
            for there in world.there.values_mut() {
                there.handle(Event::Announcement(announcement(3, 2, b"two", 1)));
            }
            world.settle();
            assert!(world.reports.values().all(|it| it.outcome == Outcome::Refused(Refusal::TwoActions)));
        } else {
            world.start(3);
            signed(&mut world);
        }
        let sent = world.sent.clone();
        world.terms.action_id = action(2);
        world.start(4);
        world.start(5);
        world.run_to(START + TIMES.attempt().0, world.terms.last_block.0);
        for late in [4, 5] {
            assert_eq!(world.reports[&late].outcome, Outcome::Refused(Refusal::TwoActions), "{stopped}");
        }
        assert_eq!(world.sent, sent);
    }
}
