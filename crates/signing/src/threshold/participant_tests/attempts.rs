//! Who takes part in an attempt, whose word counts in it, and what becomes of it when blocks are few or somebody restarts.

use super::*;

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
