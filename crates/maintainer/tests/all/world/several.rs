//! Several maintainers, at work on the same.

use coxswain_maintainer::ItemState;
use coxswain_testkit::DepositSpec;

use super::bench::{Bench, FEE, Kind, minutes, sent};

#[tokio::test]
async fn inc_43_two_maintainers_take_turns_and_no_proof_reverts() {
    const WALLETS: u64 = 10;
    const ROUNDS: usize = 5;
    let mut bench = Bench::new(Kind::Electrum).await;
    let mut wallets = Vec::new();
    for seed in 0..WALLETS {
        wallets.push(bench.funded(seed + 1).await);
    }
    let accounts = [bench.stranger(0).1, bench.stranger(1).1];
    let [mut first, mut second] = [bench.maintainer(0).await, bench.maintainer(1).await];
    let (mut proven, mut others_turn) = (0, 0);
    for round in 0..ROUNDS {
        for wallet in &wallets {
            let deposit = bench.world.reveal(wallet, DepositSpec::default()).await.unwrap();
            bench.world.sweep(wallet, &[deposit], FEE).await.unwrap();
        }
        for minute in [0, 1, 2, 3, 6] {
            let now = minutes(u64::try_from(round).unwrap() * 60 + minute);
            let (a, b) = tokio::join!(first.pass(now), second.pass(now));
            for pass in [a.unwrap(), b.unwrap()] {
                proven += sent(&pass).len();
                let turns = pass.items.iter().filter(|item| matches!(item.state, ItemState::OthersTurn(_)));
                others_turn += turns.count();
            }
        }
        for wallet in &wallets {
            assert!(bench.is_in_step(wallet).await);
        }
    }
    let expected = wallets.len() * ROUNDS;
    assert_eq!(proven, expected);
    assert!(others_turn > 0, "each waited for the other sometimes");
    assert_eq!(bench.world.chain.transactions_of(&accounts).await.unwrap(), (expected, 0));
}
