//! Games between honest and hostile members. `COXSWAIN_SIM_GAMES` sets how many are played.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use coxswain_sim::{Game, Summary, run, run_coordinated, run_traced};

const fn game(seed: u64) -> Game {
    Game { seed, windows: 10, members: 10 }
}

/// Plays so many games, unless told otherwise, in which every rule must hold.
fn play<E: std::fmt::Display>(games: u64, run: impl Fn(Game) -> Result<Summary, E>) -> Summary {
    let games = std::env::var("COXSWAIN_SIM_GAMES").map_or(games, |count| count.parse().expect("a count"));
    let mut total = Summary::default();
    for seed in 0..games {
        total.add(&run(game(seed)).unwrap_or_else(|violation| panic!("{violation}")));
    }
    total
}

fn all_occur(names: &[&str], total: &Summary) {
    let missing: Vec<_> = names.iter().filter(|name| !total.counts.contains_key(**name)).collect();
    assert!(missing.is_empty(), "never: {missing:?}, in {total:?}");
}

#[test]
fn every_rule_holds_in_every_game_and_every_trouble_occurs_in_some() {
    let total = play(120, run);
    // A game in which nothing goes wrong proves nothing.
    let names = [
        "result: action",
        "result: no-op",
        "result: leader mistake",
        "result: equivocation",
        "result: leader idleness",
        "result: unproven idleness",
        "result: leader unreachable",
        "result: not heard",
        "result: came up later",
        "result: fee disagreement",
        "result: not sent",
        "result: undecided: no seed",
        "result: undecided: not understood",
        "result: undecided: no verdict",
        "result: undecided: one server's word",
        "fault: idleness",
        "fault: impersonation",
        "fault: rejected",
        "fault: equivocation",
        "fault: undecodable",
        "fault: no such action",
        "fault: not on the checklist",
        "unproven: idleness, Word",
        "unproven: idleness, HashRule",
        "unproven: idleness, OtherSeed",
        "unproven: idleness, Reseeded",
        "unproven: impersonation, Word",
        "other seed",
        "hash rule mismatch",
        "not understood",
        "new seed",
        "failed generation",
        "not journaled",
        "restart",
        "write",
        "write lost before",
        "write lost after",
        "write torn",
        "write unanswered",
        "ignored: not listening",
        "ignored: repeat",
        "ignored: too many",
        "ignored: nothing new",
        "ignored: own seat",
        "ignored: seat not held",
        "ignored: other window",
        "ignored: other wallet",
        "ignored: seed unknown",
        "ignored: not the leader",
        "ignored: not on the checklist",
        "ignored: no such action",
        "ignored: not understood",
        "ignored: undecodable",
        "ignored: hash rule mismatch",
        "ignored: late",
        "ignored: settled",
    ];
    all_occur(&names, &total);
}

#[test]
fn every_rule_holds_in_games_of_members_that_are_driven_as_in_a_node() {
    let total = play(40, run_coordinated);
    let names = [
        "result: action",
        "result: no-op",
        "result: leader mistake",
        "result: equivocation",
        "result: leader idleness",
        "result: not heard",
        "result: not sent",
        "result: undecided: no verdict",
        "fault: impersonation",
        "other seed",
        "new seed",
        "failed generation",
        "restart",
        "write",
        "write lost before",
        "write lost after",
        "write torn",
        "write unanswered",
    ];
    all_occur(&names, &total);
}

#[test]
fn a_seed_plays_the_same_game_event_for_event() {
    let (first, trace) = run_traced(game(3));
    let (second, again) = run_traced(game(3));
    assert_eq!(first, second);
    assert_eq!(first, run(game(3)), "telling it changes nothing");
    assert!(trace.len() > 1_000, "{}", trace.len());
    assert!(trace == again);
    assert!(run_traced(game(4)).1 != trace);
}
