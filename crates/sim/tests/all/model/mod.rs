//! Explores every way in which a small game can go: the protocol's own members, model-checked. Two honest members and a
//! hostile one play two windows of six blocks. Messages arrive before the next block, in any order; heads lag by a block at
//! most. `COXSWAIN_MODEL_ACTS` sets how many things go wrong in the game whose hostile member proposes twice; in the game
//! in which it can say anything, one does.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod cast;
mod game;
mod rules;

use std::{collections::BTreeSet, time::Instant};

use stateright::{Checker, Expectation, HasDiscoveries, Model, Property};

use cast::{Cast, Line};
use game::{Bounds, Game};

/// Explores a game to its end. Gives the number of its states and what was seen, or tells of each broken rule a way to it, and
/// panics.
fn explore(bounds: Bounds) -> (usize, BTreeSet<&'static str>) {
    let started = Instant::now();
    let game = Game { cast: Cast::new(), bounds };
    let checker = game.checker().threads(2).finish_when(HasDiscoveries::AllFailures).spawn_dfs().join();
    let discoveries = checker.discoveries();
    let mut broken = 0;
    for Property { expectation, name, .. } in checker.model().properties() {
        if let (Expectation::Always, Some(path)) = (expectation, discoveries.get(name)) {
            println!("broken: {name}, by {:?}", path.clone().into_actions());
            broken += 1;
        }
    }
    assert_eq!(broken, 0, "rules are broken, in the ways told above");
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    println!(
        "{bounds:?}: {states} states, up to {depth} steps deep, {:.0} s",
        started.elapsed().as_secs_f64()
    );
    (states, discoveries.into_keys().collect())
}

#[test]
fn no_way_that_a_small_game_can_go_breaks_the_protocol() {
    let acts = std::env::var("COXSWAIN_MODEL_ACTS").map_or(1, |acts| acts.parse().expect("a number"));
    let games = [Bounds { acts: 1, lines: &Line::ALL }, Bounds { acts, lines: &[Line::First, Line::Second] }];
    let (mut states, mut seen) = (0, BTreeSet::new());
    for bounds in games {
        let (more, sights) = explore(bounds);
        states += more;
        seen.extend(sights);
    }
    // A rule that nothing puts to the test proves nothing. Some sights take two acts.
    let unseen: Vec<_> = rules::sights(acts).filter(|name| !seen.contains(name)).collect();
    assert_eq!(unseen, [] as [&str; 0]);
    println!("{states} states with up to {acts} acts: every rule held, {} witnesses", seen.len());
}
