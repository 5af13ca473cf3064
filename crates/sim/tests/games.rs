//! Games between honest and hostile members. `COXSWAIN_SIM_GAMES` sets how many are played.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use coxswain_sim::{Game, Summary, run, run_traced};

const fn game(seed: u64) -> Game {
    Game { seed, windows: 10, members: 10 }
}

#[test]
fn every_rule_holds_in_every_game_and_every_trouble_occurs_in_some() {
    let games = std::env::var("COXSWAIN_SIM_GAMES").map_or(60, |count| count.parse().expect("a count"));
    let mut total = Summary::default();
    for seed in 0..games {
        total.add(&run(game(seed)).unwrap_or_else(|violation| panic!("{violation}")));
    }
    // A game in which nothing goes wrong proves nothing.
    for name in [
        "action",
        "no-op",
        "no result",
        "undecided",
        "leader idleness",
        "leader impersonation",
        "leader mistake",
        "rejected content",
        "equivocation",
        "unproven fault",
        "failed generation",
        "restart",
        "new seed",
        "ignored: not listening",
        "ignored: repeat",
        "ignored: too many",
        "ignored: own seat",
        "ignored: seat not held",
        "ignored: other window",
        "ignored: other wallet",
        "ignored: not the leader",
        "ignored: not on the checklist",
        "ignored: settled",
    ] {
        assert!(total.counts.get(name).is_some_and(|count| *count > 0), "never: {name}, in {total:?}");
    }
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
