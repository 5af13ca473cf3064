//! Searches for what lasts, further back than the events that are kept.

use coxswain_rules::units::BlockNumber;
use coxswain_testkit::{Scene, World};
use serde_json::json;

use super::{Asked, endpoint, failing_once, head, limited, read, reader, spread, through};

#[tokio::test]
async fn inc_11_a_wallets_newest_transaction_is_found_however_long_ago_it_was() {
    let (world, wallets) = spread().await;
    let whole = read(&endpoint(&world), &world).await;
    let last = head(&endpoint(&world)).await;
    // At most 60 blocks at once, so that a search takes several requests.
    let (node, asked) =
        limited(&world, 60, json!({ "code": -32602, "message": "exceed maximum block range: 60" })).await;
    let events = reader(through(&node), &world, last.number.next().0);
    let log = events.follow(last).await.unwrap();
    assert!(asked.lock().unwrap().is_empty(), "there is nothing to read yet");
    let [first, second] = [wallets[0], wallets[1]];
    assert_eq!(log.transactions(second).count(), 0);
    let log = events.reach_back(BlockNumber(0), last).await.unwrap();
    for wallet in [first, second] {
        assert!(log.transactions(wallet).eq(whole.transactions(wallet)));
    }
    assert_eq!(log.new_wallets(), whole.new_wallets());
    assert_eq!(log.registration(second), whole.new_wallets().last());
    assert_eq!(log.reveals(first).count(), 0, "nothing is sought but what lasts");
    {
        let answered: Vec<_> = asked.lock().unwrap().iter().filter(|a| a.1).map(|a| a.0).collect();
        assert_eq!(answered[0].1, last.number.0, "the newest first: {answered:?}");
        assert!(answered.windows(2).all(|pair| pair[1].1 + 1 == pair[0].0), "{answered:?}");
        assert_eq!(answered.last().unwrap().0, 0);
    }
    let requests = node.methods().len();
    events.reach_back(BlockNumber(0), last).await.unwrap();
    assert_eq!(node.methods().len(), requests, "there is nothing before the chain's first block");
}

#[tokio::test]
async fn inc_11_inc_30_a_search_that_fails_goes_on_where_it_was() {
    let (world, wallets) = spread().await;
    let whole = read(&endpoint(&world), &world).await;
    let last = head(&endpoint(&world)).await;
    let (node, asked) = failing_once(&world, 40, 2).await;
    let events = reader(through(&node), &world, last.number.next().0);
    assert!(events.reach_back(BlockNumber(0), last).await.is_err());
    let log = events.reach_back(BlockNumber(0), last).await.unwrap();
    assert!(log.transactions(wallets[0]).eq(whole.transactions(wallets[0])));
    let asked = asked.lock().unwrap();
    assert_eq!(asked[2].0, asked[3].0, "{asked:?}");
    assert!(asked[3..].windows(2).all(|pair| pair[1].0.1 + 1 == pair[0].0.0), "{asked:?}");
}

#[tokio::test]
async fn inc_32_moves_of_funds_are_found_however_long_ago_they_were() {
    let scene = Scene::set(|_| {}).await.unwrap();
    let world = &scene.world;
    let whole = read(&endpoint(world), world).await;
    let last = head(&endpoint(world)).await;
    let events = reader(endpoint(world), world, last.number.next().0);
    let log = events.follow(last).await.unwrap();
    assert_eq!((log.commitments().len(), log.completed_moves().len()), (0, 0));
    let log = events.reach_back(BlockNumber(0), last).await.unwrap();
    assert_eq!((log.commitments().len(), log.completed_moves().len()), (2, 1));
    assert_eq!(log.commitments(), whole.commitments());
    assert_eq!(log.completed_moves(), whole.completed_moves());
}

#[tokio::test]
async fn inc_32_a_step_of_a_search_is_bounded_and_the_next_goes_on_where_it_was() {
    let world = World::start().await.unwrap();
    world.chain.mine(400).await.unwrap();
    let (node, asked) =
        limited(&world, 2, json!({ "code": -32602, "message": "exceed maximum block range: 2" })).await;
    let last = head(&endpoint(&world)).await;
    let events = reader(through(&node), &world, 300);
    let answered = |asked: &Asked| asked.lock().unwrap().iter().filter(|(_, answered)| *answered).count();
    for searched in [100, 0] {
        let log = events.reach_back(BlockNumber(0), last).await.unwrap();
        let requests = usize::try_from(300 - searched).unwrap() / 2;
        assert_eq!((log.searched(), answered(&asked)), (BlockNumber(searched), requests));
    }
    let ranges: Vec<_> = asked.lock().unwrap().iter().filter(|asked| asked.1).map(|asked| asked.0).collect();
    assert!(ranges.windows(2).all(|pair| pair[1].1 + 1 == pair[0].0), "none twice: {ranges:?}");
}
