//! Plays many games, or one again: `coxswain-sim --first 0 --games 10000`, `coxswain-sim --replay 42`.

use std::process::ExitCode;

use clap::Parser;
use coxswain_sim::{Game, Summary, run, run_coordinated, run_traced};

#[derive(Parser)]
struct Arguments {
    /// The first seed to play.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// How many seeds to play.
    #[arg(long, default_value_t = 1_000)]
    games: u64,
    /// Windows in each game.
    #[arg(long, default_value_t = 50)]
    windows: u64,
    /// Members in each game.
    #[arg(long, default_value_t = 10)]
    members: u8,
    /// Drive the members as a node does, with its coordination, under simulated time.
    #[arg(long, conflicts_with = "replay")]
    coordinated: bool,
    /// Play this seed alone, and tell every event.
    #[arg(long)]
    replay: Option<u64>,
}

fn main() -> ExitCode {
    let Arguments { first, games, windows, members, coordinated, replay } = Arguments::parse();
    if let Some(seed) = replay {
        let (result, trace) = run_traced(Game { seed, windows, members });
        trace.iter().for_each(|line| println!("{line}"));
        return report(result.map_err(|violation| violation.to_string()));
    }
    let mut total = Summary::default();
    for seed in first..first.saturating_add(games) {
        let game = Game { seed, windows, members };
        match if coordinated { run_coordinated(game) } else { run(game) } {
            Ok(summary) => total.add(&summary),
            Err(violation) => return report(Err(violation.to_string())),
        }
    }
    let driven = if coordinated { ", driven as in a node" } else { "" };
    println!("{games} games of {windows} windows with {members} members{driven}: every rule held");
    report(Ok(total))
}

fn report(result: Result<Summary, String>) -> ExitCode {
    match result {
        Ok(summary) => {
            for (name, count) in &summary.counts {
                println!("{count:>12}  {name}");
            }
            println!("{:>12}  bytes held at most", summary.most_retained);
            ExitCode::SUCCESS
        }
        Err(violation) => {
            eprintln!("{violation}");
            ExitCode::FAILURE
        }
    }
}
