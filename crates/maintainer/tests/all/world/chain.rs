//! A chain of transactions of which none is proven.

use bitcoin::Txid;
use coxswain_testkit::{DepositSpec, standard_scripts};

use super::{
    kinds::{REDEEMED, nothing_left},
    unproven::{FEE, Kind, Unproven, minutes, sent},
};

#[tokio::test]
async fn a_chain_of_three_is_proven_oldest_first_however_long_ago_its_events_were() {
    let mut unproven = Unproven::new(Kind::Electrum).await;
    let wallet = unproven.funded(1).await;
    let redeemer = unproven.world.depositor;
    let [script, ..] = standard_scripts(1);
    let request = unproven.world.request_redemption(&wallet, redeemer, script, REDEEMED).await.unwrap();
    let mut chain = Vec::new();
    let deposit = unproven.world.reveal(&wallet, DepositSpec::default()).await.unwrap();
    chain.push(unproven.world.sweep(&wallet, &[deposit], FEE).await.unwrap());
    chain.push(unproven.world.redeem(&wallet, &[request], FEE).await.unwrap());
    let deposit = unproven.world.reveal(&wallet, DepositSpec::default()).await.unwrap();
    chain.push(unproven.world.sweep(&wallet, &[deposit], FEE).await.unwrap());
    // Two weeks without an event: a look-back of a week would see nothing.
    unproven.world.chain.advance(14 * 24 * 3600).await.unwrap();

    let mut maintainer = unproven.maintainer(0).await;
    let mut proven: Vec<Txid> = Vec::new();
    for _ in 0..3 {
        proven.extend(sent(&maintainer.pass(minutes(0)).await.unwrap()));
    }
    assert_eq!(proven, chain.iter().map(bitcoin::Transaction::compute_txid).collect::<Vec<_>>());
    assert!(unproven.is_in_step(&wallet).await);
    nothing_left(&unproven, &mut maintainer).await;
}
