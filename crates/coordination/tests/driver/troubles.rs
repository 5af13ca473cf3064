//! What goes wrong on the channel and with servers, one incident a test.

use std::sync::atomic::Ordering;

use coxswain_coordination::Count;
use coxswain_protocol::{Entry, FaultKind, Mistake, wire::Proposed};

use crate::doubles::{Mood, World, key, leader, redemption, wallet, window};

/// Somebody who doesn't lead the first window under the hash of this byte.
fn follower(byte: u8) -> u8 {
    (1..=4).find(|number| *number != leader(wallet(1), 4, 1, byte)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn inc_16_a_reorganisation_before_anything_is_sent_changes_the_leader_and_blames_nobody() {
    let before = leader(wallet(1), 4, 1, 1);
    let byte = (2..=255).find(|byte| leader(wallet(1), 4, 1, *byte) != before).unwrap();
    let mut world = World::without(4, &[]);
    world.servers.generating.lock().unwrap().insert(wallet(1), Mood::Hangs);
    world.blocks(58..=60).await;
    *world.servers.byte.lock().unwrap() = byte;
    world.servers.generating.lock().unwrap().clear();
    world.blocks(61..=91).await;
    for node in &mut world.nodes {
        let result = node.result();
        assert_eq!(result.basis.unwrap().leader, key(leader(wallet(1), 4, 1, byte)).address());
        assert_eq!((result.agreement.name(), result.faults.len()), ("action", 0));
    }
}

#[tokio::test(start_paused = true)]
async fn inc_17_a_generation_that_takes_longer_than_the_active_phase_is_given_up_and_nothing_is_sent() {
    let leads = leader(wallet(1), 4, 1, 1);
    let mut world = World::without(4, &[]);
    world.servers.generating.lock().unwrap().insert(wallet(1), Mood::Hangs);
    world.blocks(58..=79).await;
    assert_eq!(world.servers.open.load(Ordering::SeqCst), 1, "up to the active phase's last block");
    world.block(80).await;
    assert_eq!(world.servers.open.load(Ordering::SeqCst), 0);
    world.blocks(81..=91).await;
    assert_eq!(world.air.count(wallet(1)), 0);
    for node in &mut world.nodes {
        let expected = if node.number == leads { "not sent" } else { "leader idleness" };
        assert_eq!(node.result().agreement.name(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn inc_18_inc_48_a_flood_keeps_no_leader_from_being_heard() {
    let (hostile, leads) = (follower(1), leader(wallet(1), 4, 1, 1));
    let mut world = World::without(4, &[hostile]);
    let journal = world.books.get(&leads).unwrap().mood.clone();
    journal.send_replace(Mood::Hangs);
    world.blocks(59..=60).await;
    for fee in 0..10_000 {
        let proposed = Proposed::Action(redemption(fee));
        world.air.propose(wallet(1), 4, hostile, window(1), proposed);
    }
    journal.send_replace(Mood::Answers);
    world.blocks(61..=91).await;
    for node in &mut world.nodes {
        let result = node.result();
        assert_eq!(result.agreement.proposal(), Some(&redemption(1)), "{:?}", result.agreement);
        let blamed: Vec<_> = result.faults.iter().map(|fault| fault.culprit).collect();
        assert!(!blamed.is_empty() && blamed.iter().all(|culprit| *culprit == key(hostile).address()));
        assert!(node.metrics.get(Count::Message, "too many") > 1_000);
    }
}

#[tokio::test(start_paused = true)]
async fn inc_19_who_proposes_without_leading_is_recorded_with_the_signed_message() {
    let hostile = follower(1);
    let mut world = World::without(4, &[hostile]);
    world.blocks(58..=60).await;
    world.air.propose(wallet(1), 4, hostile, window(1), Proposed::NoOp);
    world.blocks(61..=91).await;
    for node in &mut world.nodes {
        let result = node.result();
        assert_eq!(result.agreement.name(), "action");
        let [fault] = &result.faults[..] else { panic!("{:?}", result.faults) };
        assert!(matches!(fault.kind, FaultKind::LeaderImpersonation { .. }) && fault.signed.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn inc_21_a_silent_leader_is_recorded_as_idle_and_the_journal_has_it() {
    let leads = leader(wallet(1), 4, 1, 1);
    let mut world = World::without(4, &[leads]);
    world.blocks(58..=91).await;
    for number in (1..=4).filter(|number| *number != leads) {
        let result = world.node(number).result();
        assert_eq!(result.agreement.name(), "leader idleness");
        assert_eq!(result.faults[0].culprit, key(leads).address());
        assert_eq!(world.entries(number, wallet(1)), [Entry::Result(result)]);
    }
}

#[tokio::test(start_paused = true)]
async fn inc_22_judging_is_tried_again_until_the_window_ends_and_nobody_is_blamed() {
    for (recovers, expected) in [(Some(88), "action"), (None, "undecided: no verdict")] {
        let mut world = World::without(4, &[]);
        world.blocks(58..=60).await;
        for block in 61..=91 {
            let down = recovers.is_none_or(|recovers| block < recovers);
            *world.servers.judging.lock().unwrap() = if down { Mood::Fails } else { Mood::Answers };
            world.block(block).await;
        }
        for node in &mut world.nodes {
            let result = node.result();
            let leads = node.number == leader(wallet(1), 4, 1, 1);
            let expected = if leads { "action" } else { expected };
            assert_eq!((result.agreement.name(), result.faults.len()), (expected, 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn inc_22_judging_that_hangs_is_given_up_with_its_window() {
    let mut world = World::without(4, &[]);
    world.blocks(58..=60).await;
    *world.servers.judging.lock().unwrap() = Mood::Hangs;
    world.blocks(61..=120).await;
    assert_eq!(world.servers.open.load(Ordering::SeqCst), 1, "the next window's leader");
    for node in &mut world.nodes {
        assert!(node.result().faults.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn inc_49_a_leader_that_says_two_things_gets_nothing_and_both_are_kept() {
    let leads = leader(wallet(1), 4, 1, 1);
    let mut world = World::without(4, &[leads]);
    world.blocks(58..=61).await;
    for fee in [1, 2] {
        world.air.propose(wallet(1), 4, leads, window(1), Proposed::Action(redemption(fee)));
    }
    world.blocks(62..=91).await;
    for node in &mut world.nodes {
        let result = node.result();
        assert_eq!(result.agreement.name(), "equivocation");
        assert!(
            result
                .faults
                .iter()
                .any(|fault| matches!(fault.kind, FaultKind::LeaderMistake(Mistake::Equivocation { .. })))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn inc_50_who_joins_late_or_has_lost_its_peers_calls_nobody_idle() {
    let leads = leader(wallet(1), 4, 1, 1);
    let mut others = (1..=4).filter(|number| *number != leads);
    let (late, alone) = (others.next().unwrap(), others.next().unwrap());
    let mut world = World::without(4, &[leads, late]);
    world.blocks(58..=64).await;
    world.start(late);
    world.node(alone).linked.lock().unwrap().clear();
    world.blocks(65..=91).await;
    for number in [late, alone] {
        let result = world.node(number).result();
        assert_eq!((result.agreement.name(), result.faults.len()), ("not heard", 0));
    }
}
