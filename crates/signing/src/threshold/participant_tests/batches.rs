//! Inputs that do not fit at once.

use super::*;

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
