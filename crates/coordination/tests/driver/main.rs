//! Coordinators over a channel, journals and advisors that answer, fail and hang as a test wants.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod clock;
mod doubles;
mod troubles;

use std::{sync::atomic::Ordering, time::Duration};

use coxswain_coordination::Count;
use coxswain_protocol::{Agreement, Entry};
use coxswain_rules::Action;
use coxswain_rules::units::BlockNumber;
use tokio::time::{Instant, sleep};

use doubles::{BLOCK, Mood, NETWORK, World, key, leader, redemption, wallet, window};

#[tokio::test(start_paused = true)]
async fn five_operators_reach_the_same_result_in_twenty_windows_in_a_row() {
    let mut world = World::without(5, &[]);
    for index in 1..=20 {
        let window = window(index);
        world.blocks(window.block().0 - 2..=window.end().0 + 1).await;
        let leads = key(leader(wallet(1), 5, index, 1)).address();
        for number in 1..=5 {
            let result = world.node(number).result();
            assert_eq!(result.window, window);
            assert_eq!(result.basis.unwrap().leader, leads);
            assert_eq!(result.agreement.proposal(), Some(&redemption(index)), "{result:?}");
            assert!(result.faults.is_empty() && result.notes.is_empty(), "{result:?}");
        }
    }
    assert_eq!(world.node(1).metrics.get(Count::Window, "action"), 20);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_broadcast_before_the_journal_has_it() {
    let mut world = World::without(1, &[]);
    let journal = world.books.get(&1).unwrap().mood.clone();
    journal.send_replace(Mood::Hangs);
    world.blocks(58..=61).await;
    assert_eq!((world.air.count(wallet(1)), world.entries(1, wallet(1)).len()), (0, 0));
    journal.send_replace(Mood::Answers);
    sleep(Duration::from_millis(1)).await;
    let entries = world.entries(1, wallet(1));
    assert!(matches!(&entries[..], [Entry::Sent(_)]), "{entries:?}");
    assert_eq!(world.air.count(wallet(1)), 1);
}

#[tokio::test(start_paused = true)]
async fn inc_46_a_disk_that_is_full_keeps_the_leader_silent_and_results_come_when_there_is_room() {
    let mut world = World::without(1, &[]);
    let journal = world.books.get(&1).unwrap().mood.clone();
    journal.send_replace(Mood::Fails);
    world.blocks(58..=95).await;
    assert_eq!(world.air.count(wallet(1)), 0);
    assert!(world.node(1).taken().is_empty(), "a result that isn't durable is not handed on");
    journal.send_replace(Mood::Answers);
    world.block(96).await;
    assert_eq!(world.node(1).result().agreement.name(), "not sent");
    assert!(world.node(1).metrics.get(Count::Journal, "failed") > 1);
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_never_answers_counts_as_failed_and_keeps_no_one_from_ending() {
    let mut world = World::without(1, &[]);
    world.books.get(&1).unwrap().mood.send_replace(Mood::Hangs);
    world.blocks(58..=95).await;
    assert_eq!(world.air.count(wallet(1)), 0);
    assert!(world.node(1).metrics.get(Count::Journal, "failed") > 0);
    let node = world.nodes.pop().unwrap();
    drop(node.clock);
    node.running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_told_to_end_finishes_what_the_journal_has_in_hand() {
    let mut world = World::without(1, &[]);
    let journal = world.books.get(&1).unwrap().mood.clone();
    journal.send_replace(Mood::Hangs);
    world.blocks(58..=60).await;
    let node = world.nodes.pop().unwrap();
    drop(node.clock);
    sleep(Duration::from_millis(1)).await;
    assert!(!node.running.is_finished());
    journal.send_replace(Mood::Answers);
    node.running.await.unwrap();
    assert_eq!(world.entries(1, wallet(1)).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn wallets_whose_endpoints_hang_delay_no_other_wallets_message_by_a_block() {
    let mut world = World::new(1, 20);
    for hanging in 1..=10 {
        world.servers.generating.lock().unwrap().insert(wallet(hanging), Mood::Hangs);
    }
    world.start(1);
    world.block(59).await;
    let began = Instant::now();
    world.nodes[0].clock.send_modify(|tick| tick.block = BlockNumber(60));
    while (11..=20).any(|number| world.air.count(wallet(number)) == 0) {
        sleep(Duration::from_millis(100)).await;
        assert!(began.elapsed() < BLOCK, "a block has passed");
    }
    assert_eq!(world.servers.open.load(Ordering::SeqCst), 10, "they are worked on all the same");
}

#[tokio::test(start_paused = true)]
async fn the_safe_block_is_asked_once_for_all_wallets_whatever_their_number() {
    let mut asked = Vec::new();
    for wallets in [1, 1_000] {
        let mut world = World::new(4, wallets);
        for number in 1..=wallets {
            world.servers.generating.lock().unwrap().insert(wallet(number), Mood::Answers);
        }
        world.start(1);
        world.blocks(58..=91).await;
        let results = world.node(1).taken();
        assert_eq!(results.len(), usize::from(wallets));
        let leads: Vec<_> = results.iter().filter(|it| it.agreement == Agreement::NoOp).collect();
        assert!(wallets == 1 || (150..400).contains(&leads.len()), "{} led", leads.len());
        asked.push(world.servers.hashes_read.load(Ordering::SeqCst));
    }
    // A leader reads it once more before it speaks; all others at each eighth of the active phase.
    assert!(asked[1] <= asked[0] + 4 && asked[1] < 15, "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_agreed_on_and_runs_still_is_handed_on_again_after_a_restart() {
    let end = window(1).end().0;
    let expiry = end + NETWORK.actions.validity(Action::Redemption).0;
    for (block, expected) in [(end + 2, 1), (expiry - 1, 1), (expiry, 0)] {
        let mut world = World::without(1, &[]);
        world.blocks(58..=end + 1).await;
        let result = world.node(1).result();
        world.kill(1).await;
        world.start(1);
        world.block(block).await;
        let again: Vec<_> = world.node(1).taken().into_iter().filter(|it| it.window == window(1)).collect();
        assert_eq!(again, vec![result; expected], "at {block}");
    }
}
