//! What is kept of the events between two runs: gone on with only on the chain that was read, and as far as today's servers have
//! told it.

use std::sync::atomic::AtomicU8;

use alloy::primitives::Address;
use coxswain_ethereum::{CheckedLog, Expected, KeptLog, NotResumed, Panel};

use super::*;

async fn checked(kept: &KeptLog, endpoints: &Endpoints, bridge: Address) -> Result<CheckedLog, NotResumed> {
    kept.check(&Panel::of(endpoints, 31337), endpoints, bridge).await
}

/// A reader that has followed the chain by blocks, from this depth on.
async fn followed(endpoints: &Endpoints, world: &World, depths: &[u64]) -> EventReader {
    let events = reader(endpoints.clone(), world, 0);
    let newest = head(endpoints).await.number;
    for depth in depths {
        let number = BlockSelector::Number(newest.saturating_sub(Blocks(*depth)));
        events.follow(endpoints.block(number).await.unwrap().unwrap()).await.unwrap();
    }
    events
}

#[tokio::test]
async fn a_kept_log_is_read_on_and_a_branch_that_was_left_shows_in_its_changes() {
    let (world, wallets) = spread().await;
    let bridge = world.bridge.address();
    let endpoints = endpoint(&world);
    let none = reader(endpoints.clone(), &world, 0);
    assert!(none.kept().is_none(), "nothing is read yet");
    let events = followed(&endpoints, &world, &[100, 2, 0]).await;
    let kept = events.kept().unwrap();
    let stored = serde_json::to_string(&kept).unwrap();
    let kept: KeptLog = serde_json::from_str(&stored).unwrap();
    println!("{} bytes of {} events", stored.len(), events.log().events().len());

    // The newest blocks are replaced, and with them a sweep.
    world.chain.rpc().tell("anvil_rollback", (1,)).await.unwrap();
    world.chain.mine(2).await.unwrap();
    let (node, asked) = limited(&world, u64::MAX, Value::Null).await;
    // The same server, through something that counts.
    let kept_through = told_by(&kept, &node);
    let through = through(&node);
    let before = node.methods().len();
    let log = checked(&kept_through, &through, bridge).await.unwrap();
    assert_eq!(node.methods()[before..], ["eth_getBlockByNumber"], "one question");
    let resumed = EventReader::resuming(through.clone(), log, Blocks(FINAL_DEPTH));
    let newest = head(&through).await;
    let log = resumed.follow(newest).await.unwrap();
    let unsettled = events.log().extent().unsettled.0;
    assert_eq!(asked.lock().unwrap()[..], [((unsettled, newest.number.0), true)], "none of the settled");
    assert_eq!(log.events(), read(&endpoint(&world), &world).await.events());
    let changes = log.changes_since(&events.log());
    assert_eq!((changes.removed.len(), changes.added.len()), (1, 0), "the sweep of the branch that was left");
    assert_eq!(log.transactions(wallets[1]).count() + 1, events.log().transactions(wallets[1]).count());
}

/// The log as if this server had told it.
fn told_by(kept: &KeptLog, server: &FaultyEndpoint) -> KeptLog {
    let mut kept = serde_json::to_value(kept).unwrap();
    kept["servers"] = json!([through(server).name()]);
    serde_json::from_value(kept).unwrap()
}

#[tokio::test]
async fn a_kept_log_of_another_chain_bridge_version_or_server_is_not_gone_on_with() {
    let (world, _) = spread().await;
    let bridge = world.bridge.address();
    let endpoints = endpoint(&world);
    let kept = followed(&endpoints, &world, &[0]).await.kept().unwrap();
    assert!(checked(&kept, &endpoints, bridge).await.is_ok());
    let other = Address::repeat_byte(1);
    assert!(matches!(checked(&kept, &endpoints, other).await, Err(NotResumed::OtherBridge(_))));
    // As a version that knows one kind of event fewer has kept it.
    let mut fewer = serde_json::to_value(&kept).unwrap();
    fewer["kinds"].as_array_mut().unwrap().pop();
    let fewer: KeptLog = serde_json::from_value(fewer).unwrap();
    assert!(matches!(checked(&fewer, &endpoints, bridge).await, Err(NotResumed::OtherKinds)));
    let (node, _) = limited(&world, u64::MAX, Value::Null).await;
    assert!(matches!(checked(&kept, &through(&node), bridge).await, Err(NotResumed::OtherServers)));
    let changed = serde_json::to_string(&kept).unwrap();
    let hash = format!("{:?}", head(&endpoints).await.hash);
    assert!(changed.contains(&hash), "{changed}");
    let changed: KeptLog = serde_json::from_str(&changed.replace(&hash, &format!("0x{:064x}", 1))).unwrap();
    assert!(matches!(checked(&changed, &endpoints, bridge).await, Err(NotResumed::OtherChain(_))));
    // The only block that tells it is replaced: then all is read anew.
    world.chain.rpc().tell("anvil_rollback", (1,)).await.unwrap();
    assert!(
        matches!(checked(&kept, &endpoints, bridge).await, Err(NotResumed::OtherChain(_))),
        "no such block"
    );
    world.chain.mine(1).await.unwrap();
    assert!(matches!(checked(&kept, &endpoints, bridge).await, Err(NotResumed::OtherChain(_))));
    // A server that says nothing decides nothing.
    let silent =
        FaultyEndpoint::start(world.chain.endpoint().parse().unwrap(), |_| Reply::Status(500)).await.unwrap();
    let kept = told_by(&kept, &silent);
    assert!(matches!(checked(&kept, &through(&silent), bridge).await, Err(NotResumed::Untold(_))));
}

#[tokio::test]
async fn what_one_of_two_servers_told_is_read_anew() {
    let (world, _) = spread().await;
    let bridge = world.bridge.address();
    let is_dead = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let dead = Arc::clone(&is_dead);
    let url: url::Url = world.chain.endpoint().parse().unwrap();
    let meet = move |_: &str| if dead.load(Ordering::Relaxed) { Reply::Status(500) } else { Reply::Forward };
    let second = FaultyEndpoint::start(url.clone(), meet).await.unwrap();
    let both = || Endpoints::several([url.clone(), second.url().clone()], Expected::default()).unwrap();
    // One is silent: the other is believed at its word.
    let kept = followed(&both(), &world, &[0]).await.kept().unwrap();
    let refused = checked(&kept, &both(), bridge).await.unwrap_err();
    assert!(matches!(refused, NotResumed::TooFew { said_by: 1, required: 2 }), "{refused}");
    is_dead.store(false, Ordering::Relaxed);
    assert!(checked(&kept, &both(), bridge).await.is_err(), "that it speaks now changes nothing");
    let kept = followed(&both(), &world, &[0]).await.kept().unwrap();
    let endpoints = both();
    let log = checked(&kept, &endpoints, bridge).await.unwrap();
    // It is what fewest have said that counts, in all runs.
    is_dead.store(true, Ordering::Relaxed);
    let alone = both();
    let events = EventReader::resuming(alone.clone(), log, Blocks(FINAL_DEPTH));
    world.chain.mine(1).await.unwrap();
    events.follow(head(&alone).await).await.unwrap();
    let refused = checked(&events.kept().unwrap(), &alone, bridge).await.unwrap_err();
    assert!(matches!(refused, NotResumed::TooFew { said_by: 1, .. }), "{refused}");
}

/// What a server has hidden while it was the only one that spoke shows once another speaks.
#[tokio::test]
async fn inc_47_what_one_of_two_servers_told_is_read_again_once_both_speak() {
    let (world, wallets) = spread().await;
    const SILENT: u8 = 0;
    const ANSWERS_BLOCKS: u8 = 1;
    const ANSWERS: u8 = 2;
    let speaks = Arc::new(AtomicU8::new(SILENT));
    let (others, own) = (Arc::clone(&speaks), Arc::clone(&speaks));
    let url: url::Url = world.chain.endpoint().parse().unwrap();
    // It hides all logs as long as the other says nothing of them.
    let meet = move |method: &str| match method {
        "eth_getLogs" if others.load(Ordering::Relaxed) != ANSWERS => Reply::Result(json!([])),
        _ => Reply::Forward,
    };
    let liar = FaultyEndpoint::start(url.clone(), meet).await.unwrap();
    let meet = move |method: &str| match own.load(Ordering::Relaxed) {
        SILENT => Reply::Status(500),
        ANSWERS_BLOCKS if method == "eth_getLogs" => Reply::Status(500),
        _ => Reply::Forward,
    };
    let other = FaultyEndpoint::start(url, meet).await.unwrap();
    let servers = [liar.url().clone(), other.url().clone()];
    let endpoints = Endpoints::several(servers, Expected::default()).unwrap();
    let events = followed(&endpoints, &world, &[0]).await;
    let told = events.log();
    assert_eq!(told.reveals(wallets[0]).count(), 0, "it is believed at its word");
    assert!(told.is_word());
    speaks.store(ANSWERS_BLOCKS, Ordering::Relaxed);
    for each in endpoints.each() {
        head(&each).await;
    }
    assert!(events.log().is_word(), "that another speaks makes it no more");
    events.follow(head(&endpoints).await).await.unwrap_err();
    assert!(events.log().is_word(), "nor that it is to be read again");
    speaks.store(ANSWERS, Ordering::Relaxed);
    // Up to an earlier block: what is above is one server's word still.
    let number = head(&endpoints).await.number.saturating_sub(Blocks(1));
    let earlier = endpoints.block(BlockSelector::Number(number)).await.unwrap().unwrap();
    assert!(events.follow(earlier).await.unwrap().is_word());
    // The same block again.
    let log = events.follow(head(&endpoints).await).await.unwrap();
    assert_eq!(log.events(), read(&endpoint(&world), &world).await.events());
    assert!(!log.is_word());
    assert!(told.is_word(), "what was told before stays one server's word");
    assert!(checked(&events.kept().unwrap(), &endpoints, world.bridge.address()).await.is_ok());
}

#[tokio::test]
async fn what_does_not_last_is_forgotten_once_it_is_old() {
    let (world, wallets) = spread().await;
    let endpoints = endpoint(&world);
    let events = followed(&endpoints, &world, &[0]).await;
    let kept = events.kept().unwrap();
    let log = checked(&kept, &endpoints, world.bridge.address()).await.unwrap();
    let all = events.log();
    let second = all.reveals(wallets[0]).nth(1).unwrap().at.block;
    let forgetting = |block| log.clone().forgetting_before(block);
    assert_eq!(forgetting(second).log().reveals(wallets[0]).count(), 1);
    assert_eq!(forgetting(second.next()).log().reveals(wallets[0]).count(), 0);
    let short = forgetting(second);
    assert!(short.log().transactions(wallets[0]).eq(all.transactions(wallets[0])), "what lasts stays");
    assert_eq!(short.log().from_block(), second);
    assert_eq!(short.log().searched(), all.searched());
    // What is not read yet is not passed over.
    let unsettled = all.extent().unsettled;
    assert_eq!(forgetting(unsettled.saturating_add(Blocks(50))).log().from_block(), unsettled);
    // And it can be reached back for.
    let resumed = EventReader::resuming(endpoints.clone(), short, Blocks(FINAL_DEPTH));
    let log = resumed.extend_to(BlockNumber(0), head(&endpoints).await).await.unwrap();
    assert_eq!(log.events(), all.events());
}
