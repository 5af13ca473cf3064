//! A chain of transactions of which none is proven.

use bitcoin::Txid;
use coxswain_testkit::{DepositSpec, standard_scripts};

use super::{
    bench::{Bench, FEE, Kind, minutes, sent},
    kinds::{REDEEMED, nothing_left},
};

#[tokio::test]
async fn a_chain_of_three_is_proven_oldest_first_however_long_ago_its_events_were() {
    let mut bench = Bench::new(Kind::Electrum).await;
    let wallet = bench.funded(1).await;
    let redeemer = bench.world.depositor;
    let [script, ..] = standard_scripts(1);
    let request = bench.world.request_redemption(&wallet, redeemer, script, REDEEMED).await.unwrap();
    let mut chain = Vec::new();
    let deposit = bench.world.reveal(&wallet, DepositSpec::default()).await.unwrap();
    chain.push(bench.world.sweep(&wallet, &[deposit], FEE).await.unwrap());
    chain.push(bench.world.redeem(&wallet, &[request], FEE).await.unwrap());
    let deposit = bench.world.reveal(&wallet, DepositSpec::default()).await.unwrap();
    chain.push(bench.world.sweep(&wallet, &[deposit], FEE).await.unwrap());
    // Two weeks without an event: a look-back of a week would see nothing.
    bench.world.chain.advance(14 * 24 * 3600).await.unwrap();

    let mut maintainer = bench.maintainer(0).await;
    let mut proven: Vec<Txid> = Vec::new();
    for _ in 0..3 {
        proven.extend(sent(&maintainer.pass(minutes(0)).await.unwrap()));
    }
    assert_eq!(proven, chain.iter().map(bitcoin::Transaction::compute_txid).collect::<Vec<_>>());
    assert!(bench.is_in_step(&wallet).await);
    nothing_left(&bench, &mut maintainer).await;
}
