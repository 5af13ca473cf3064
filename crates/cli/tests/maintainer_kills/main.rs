//! A maintainer that is killed: at named points, and anywhere. No proof is sent twice, and none is lost.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

#[path = "../proving/mod.rs"]
mod proving;

use std::{env, time::Duration};

use proving::Unproven;
use tokio::time::sleep;

const POINTS: [&str; 5] = ["pass/before", "record/before", "record/after", "pass/after", "kept/after"];

fn number(variable: &str, otherwise: u64) -> u64 {
    env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

/// A world in which each wallet has something unproven, whenever a maintainer starts.
async fn begin() -> Unproven {
    let unproven = Unproven::new(2).await;
    unproven.authorise().await;
    unproven.world.chain.mine_every(1).await.unwrap();
    unproven
}

/// Each sweep is proven by one transaction, and none reverted.
async fn end(unproven: &Unproven, sweeps: usize) {
    assert_eq!(unproven.sent().await, (sweeps, 0));
}

#[tokio::test]
async fn a_maintainer_killed_at_each_point_sends_no_proof_twice_and_loses_none() {
    let kills = number("COXSWAIN_HITS", 1);
    let mut unproven = begin().await;
    let mut sweeps = 0;
    for point in POINTS {
        for kill in 0..kills {
            for wallet in [0, 1] {
                unproven.sweep(wallet).await;
                sweeps += 1;
            }
            // The second pass of a point is the other wallet's, or the next round's.
            let named = format!("{point}:{}", 1 + kill % 2);
            let mut killed = unproven.start("only = \"spv\"\nevery = \"1s\"", &[("COXSWAIN_POINT", &named)]);
            killed.stands().await;
            killed.kill();
            let mut program = unproven.start("only = \"spv\"\nevery = \"1s\"", &[]);
            unproven.settle(&program).await;
            program.health(|_, _| true).await;
            assert_eq!(program.terminate().code(), Some(0), "{named}");
        }
        end(&unproven, sweeps).await;
        println!("{point}: {kills} kills, {sweeps} proofs so far, none twice");
    }
}

#[tokio::test]
async fn a_maintainer_killed_anywhere_sends_no_proof_twice_and_loses_none() {
    let kills = number("COXSWAIN_KILLS", 3);
    let mut dice = number("COXSWAIN_SEED", 1);
    let mut unproven = begin().await;
    for kill in 0..kills {
        for wallet in [0, 1] {
            unproven.sweep(wallet).await;
        }
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let killed = unproven.start("only = \"spv\"\nevery = \"1s\"", &[]);
        // Long enough for all of it to be behind it, or too short for anything.
        sleep(Duration::from_millis((dice >> 33) % 5_000)).await;
        killed.kill();
        let mut program = unproven.start("only = \"spv\"\nevery = \"1s\"", &[]);
        unproven.settle(&program).await;
        program.health(|_, _| true).await;
        assert_eq!(program.terminate().code(), Some(0), "kill {kill}");
    }
    end(&unproven, usize::try_from(2 * kills).unwrap()).await;
    println!("{kills} kills anywhere, {} proofs, none twice", 2 * kills);
}
