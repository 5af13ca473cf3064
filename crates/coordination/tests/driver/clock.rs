//! Windows from streams of blocks that skip, repeat, go back and fall silent; restarts; a clock that is set back.

use std::collections::BTreeMap;

use coxswain_protocol::Entry;

use crate::doubles::{Said, World, leader, wallet, window};

#[tokio::test(start_paused = true)]
async fn inc_14_each_window_runs_once_whatever_the_stream_does() {
    let streams: [(&str, Vec<u64>, &[u64]); 5] = [
        ("repeats", (58..=160).flat_map(|block| [block, block, block - 1]).collect(), &[1, 2]),
        ("jumps over the coordination block", [58, 59, 63].into_iter().chain(64..=160).collect(), &[1, 2]),
        ("jumps 50 blocks", [59, 109, 159, 209, 210, 211, 212].into(), &[1, 2, 3]),
        ("goes back across the safe block", (58..=62).chain(50..=160).collect(), &[1, 2]),
        ("falls silent and comes back", (58..=62).chain(152..=153).chain(180..=212).collect(), &[1, 2, 3]),
    ];
    for (name, stream, expected) in streams {
        let mut world = World::without(1, &[]);
        world.blocks(stream).await;
        let mut ran = BTreeMap::<u64, usize>::new();
        for result in world.node(1).taken() {
            *ran.entry(result.window.index()).or_default() += 1;
        }
        let once: BTreeMap<_, _> = expected.iter().map(|index| (*index, 1)).collect();
        assert_eq!(ran, once, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_window_opens_without_blocks() {
    let mut world = World::without(1, &[]);
    world.blocks([59, 59, 59]).await;
    assert_eq!((world.air.count(wallet(1)), world.node(1).taken().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn inc_15_a_leader_that_restarts_says_the_same_bytes_again_and_runs_no_window_twice() {
    let leads = leader(wallet(1), 4, 1, 1);
    let mut world = World::without(4, &[]);
    world.blocks(58..=62).await;
    world.kill(leads).await;
    world.start(leads);
    world.blocks(63..=91).await;
    for node in &mut world.nodes {
        let result = node.result();
        assert_eq!((result.agreement.name(), result.faults.len()), ("action", 0));
    }
    let said = world.air.said.lock().unwrap().clone();
    assert!(said.len() > 4 && said.iter().all(|said| *said == said_first(&world)), "{}", said.len());
    world.kill(leads).await;
    world.start(leads);
    world.blocks(92..=118).await;
    let again = world.node(leads).result();
    assert_eq!(world.entries(leads, wallet(1)).last(), Some(&Entry::Result(again)), "no window runs twice");
}

fn said_first(world: &World) -> Said {
    world.air.said.lock().unwrap()[0].clone()
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_runs_no_window_again_and_goes_on_with_the_next() {
    let mut world = World::without(1, &[]);
    world.blocks(58..=100).await;
    assert_eq!(world.node(1).result().window, window(1));
    world.nodes[0].clock.send_modify(|tick| tick.set_back += 1);
    world.blocks(20..=118).await;
    assert!(world.node(1).taken().is_empty(), "it stays run");
    world.blocks(119..=160).await;
    assert_eq!(world.node(1).result().window, window(2));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_while_a_window_runs_says_nothing_else_in_it() {
    let mut world = World::without(1, &[]);
    world.blocks(58..=63).await;
    world.nodes[0].clock.send_modify(|tick| tick.set_back += 1);
    world.blocks(50..=91).await;
    assert_eq!(world.node(1).result().agreement.name(), "action");
    let said = world.air.said.lock().unwrap().clone();
    assert!(said.iter().all(|said| *said == said_first(&world)));
    let sent = world.entries(1, wallet(1)).iter().filter(|entry| matches!(entry, Entry::Sent(_))).count();
    assert_eq!(sent, 1);
}
