//! Events, as a panel's servers tell them: what one adds, changes or leaves out.

use std::sync::atomic::{AtomicBool, Ordering};

use coxswain_ethereum::{Endpoints, EventLog, EventReader, Expected, Panel};
use coxswain_rules::units::{BlockNumber, Blocks, UnixTime};
use coxswain_testkit::{Change, Reply};
use serde_json::{Value, json};
use url::Url;

use super::{Asked, Meet};
use crate::validators::ANVIL;

#[tokio::test]
async fn inc_47_events_are_read_as_enough_servers_tell_them() {
    let asked = Asked::set_up().await;
    let bridge = asked.validators.scene.world.bridge.address();
    let honest_panel = Panel::new(&[asked.honest()], ANVIL, 0, false).unwrap();
    let head =
        honest_panel.decide(&mut honest_panel.decider(None), UnixTime(0)).await.unwrap().header.block();
    let read = async |urls: &[Url]| {
        let endpoints = Endpoints::several(urls.iter().cloned(), Expected::default()).unwrap();
        let reader = EventReader::new(endpoints, EventLog::new(bridge, BlockNumber(0)), Blocks(96));
        reader.follow(head).await
    };
    let expected = read(&[asked.honest()]).await.unwrap();
    let wallet = asked.validators.scene.working.key_hash();
    assert!(expected.reveals(wallet).count() > 0);
    let other = asked.honest_node().await;
    let lies: [(&str, Meet); 4] = [
        (
            "none",
            Box::new(
                |method, _| if method == "eth_getLogs" { Reply::Result(json!([])) } else { Reply::Forward },
            ),
        ),
        (
            "one less",
            Box::new(|method, _| match method {
                "eth_getLogs" => Reply::Changed(Change::new(|logs| drop(logs.as_array_mut().unwrap().pop()))),
                _ => Reply::Forward,
            }),
        ),
        (
            "another wallet's",
            Box::new(|method, _| match method {
                "eth_getLogs" => Reply::Changed(Change::new(|logs| {
                    for log in logs.as_array_mut().unwrap() {
                        log["data"] = json!(log["data"].as_str().unwrap().replace('1', "2"));
                    }
                })),
                _ => Reply::Forward,
            }),
        ),
        ("dead", Box::new(|_, _| Reply::Cut)),
    ];
    for (what, meet) in lies {
        let liar = asked.node(meet).await;
        for place in 0..3 {
            let mut urls = vec![asked.honest(), other.url().clone()];
            urls.insert(place, liar.url().clone());
            let log = read(&urls).await.unwrap();
            let reveals: Vec<_> = log.reveals(wallet).collect();
            assert_eq!(reveals, expected.reveals(wallet).collect::<Vec<_>>(), "{what} at {place}");
        }
        for urls in [[asked.honest(), liar.url().clone()], [liar.url().clone(), asked.honest()]] {
            assert_eq!(read(&urls).await.is_ok(), what == "dead", "{what}");
        }
    }
}

/// A server leaves out without a word what it doesn't have yet, or any more. So what one leaves out that doesn't name the block of
/// the decision, before it answers and after, is not absent.
#[tokio::test]
async fn inc_47_events_are_absent_only_where_the_block_of_the_decision_is_named_before_and_after() {
    let asked = Asked::set_up().await;
    let scene = &asked.validators.scene;
    let bridge = scene.world.bridge.address();
    let panel = Panel::new(&[asked.honest()], ANVIL, 0, false).unwrap();
    let head = panel.decide(&mut panel.decider(None), UnixTime(0)).await.unwrap().header.block();
    // It has the block while it is asked, and no more once it has answered; or not yet.
    let leaving_out = |is_before: bool| -> Meet {
        let gone = AtomicBool::new(is_before);
        Box::new(move |method, _| match method {
            "eth_getLogs" => {
                gone.store(!is_before, Ordering::SeqCst);
                Reply::Result(json!([]))
            }
            "eth_getBlockByNumber" if gone.load(Ordering::SeqCst) => Reply::Result(Value::Null),
            _ => Reply::Forward,
        })
    };
    let deposit = scene.deposits[0].revealed();
    for is_before in [true, false] {
        let two = [asked.node(leaving_out(is_before)).await, asked.node(leaving_out(is_before)).await];
        let urls = [two[0].url().clone(), two[1].url().clone(), asked.honest()];
        let endpoints = Endpoints::several(urls, Expected::default()).unwrap();
        let undecided = endpoints.reveals(bridge, &[deposit], head).await.unwrap_err();
        assert_eq!(undecided.kind(), "not-agreed", "{undecided}");
        let reader = EventReader::new(endpoints.clone(), EventLog::new(bridge, BlockNumber(0)), Blocks(96));
        assert_eq!(reader.follow(head).await.unwrap_err().kind(), "not-agreed");
        assert_eq!(reader.log().events(), []);
        let reader = EventReader::new(endpoints, EventLog::new(bridge, head.number.next()), Blocks(96));
        assert_eq!(reader.reach_back(BlockNumber(0), head).await.unwrap_err().kind(), "not-agreed");
        assert_eq!(reader.log().searched(), head.number.next());
    }
    // Two that name it, and show none, are enough: what they show is nothing.
    let none = |method: &str, _: &Value| match method {
        "eth_getLogs" => Reply::Result(json!([])),
        _ => Reply::Forward,
    };
    let two = [asked.node(Box::new(none)).await, asked.node(Box::new(none)).await];
    let urls = [two[0].url().clone(), two[1].url().clone(), asked.honest()];
    let endpoints = Endpoints::several(urls, Expected::default()).unwrap();
    assert_eq!(endpoints.reveals(bridge, &[deposit], head).await.unwrap(), [None]);
    // But who shows one all the same is heard.
    let said = endpoints.reveals_said(bridge, &[deposit], head).await.unwrap();
    assert!(said[0].is_absent() && said[0].agreed().is_none(), "{:?}", said[0]);
    assert_eq!((said[0].shown.len(), said[0].absent.len()), (1, 2));
    let shown = said[0].to_string();
    assert!(shown.contains("shows one with blinding factor 0x") && shown.contains(" shows none"), "{shown}");
}
