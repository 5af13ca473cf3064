//! Several maintainers, at work on the same.

use coxswain_maintainer::ItemState;
use coxswain_testkit::DepositSpec;

use super::unproven::{FEE, Kind, Unproven, minutes, sent};

#[tokio::test]
async fn inc_43_two_maintainers_take_turns_and_no_proof_reverts() {
    const WALLETS: u64 = 10;
    const ROUNDS: usize = 5;
    let mut unproven = Unproven::new(Kind::Electrum).await;
    let mut wallets = Vec::new();
    for seed in 0..WALLETS {
        wallets.push(unproven.funded(seed + 1).await);
    }
    let accounts = [unproven.stranger(0).1, unproven.stranger(1).1];
    let [mut first, mut second] = [unproven.maintainer(0).await, unproven.maintainer(1).await];
    let (mut proven, mut others_turn) = (0, 0);
    for round in 0..ROUNDS {
        for wallet in &wallets {
            let deposit = unproven.world.reveal(wallet, DepositSpec::default()).await.unwrap();
            unproven.world.sweep(wallet, &[deposit], FEE).await.unwrap();
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
            assert!(unproven.is_in_step(wallet).await);
        }
    }
    let expected = wallets.len() * ROUNDS;
    assert_eq!(proven, expected);
    assert!(others_turn > 0, "each waited for the other sometimes");
    assert_eq!(unproven.world.chain.transactions_of(&accounts).await.unwrap(), (expected, 0));
}
