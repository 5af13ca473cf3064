//! Several servers, some of which lie: at each place in the list, the verdict is the honest one, or undecided.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

use crate::validators::{ANVIL, Observer, Validators, ask_everything};
use alloy::{
    primitives::{B256, U256},
    rpc::types::Header as RpcHeader,
};
use coxswain_ethereum::{
    Block, ChainError, ContractVerdict, Panel, ProposalValidator,
    decision::{Decision, Pace},
};
use coxswain_rules::{Action, Assurance, Assured, Case, network::Preset};
use coxswain_testkit::{Change, FaultyEndpoint, Reply, Scene};
use serde_json::{Value, json};
use url::Url;

/// What an honest majority's word is worth, with and without proofs.
const BEST: Assurance = if cfg!(feature = "proven") { Assurance::Proven } else { Assurance::Agreed };

type Meet = Box<dyn Fn(&str, &Value) -> Reply + Send + Sync>;

/// An answer to an `eth_call` that says yes.
fn yes() -> Reply {
    Reply::Result(json!(B256::from(U256::ONE)))
}

fn bent() -> Reply {
    Reply::Changed(Change::new(|answer| {
        for node in answer["accountProof"].as_array_mut().unwrap() {
            let mut text = node.as_str().unwrap().to_owned();
            let digit = if text.ends_with('0') { "1" } else { "0" };
            text.replace_range(text.len() - 1.., digit);
            *node = text.into();
        }
    }))
}

/// The header, changed, with the hash that it has then.
fn forged(change: fn(&mut RpcHeader)) -> Reply {
    Reply::Changed(Change::new(move |block| {
        let Ok(mut header) = serde_json::from_value::<RpcHeader>(block.clone()) else { return };
        change(&mut header);
        header.hash = header.inner.hash_slow();
        *block = serde_json::to_value(header).unwrap();
    }))
}

/// Each way to lie, or to fail.
fn lies() -> Vec<(&'static str, Meet)> {
    vec![
        (
            "says yes, with false proofs",
            Box::new(|method, _| match method {
                "eth_call" => yes(),
                "eth_getProof" => bent(),
                _ => Reply::Forward,
            }),
        ),
        (
            "a head a thousand blocks higher",
            Box::new(|method, params| match method {
                "eth_getBlockByNumber" if params[0] == "latest" => {
                    forged(|header| header.inner.number += 1000)
                }
                "eth_call" => yes(),
                _ => Reply::Forward,
            }),
        ),
        (
            "forged blocks at each height",
            Box::new(|method, _| match method {
                "eth_getBlockByNumber" => forged(|header| header.inner.state_root = B256::repeat_byte(6)),
                "eth_call" => yes(),
                _ => Reply::Forward,
            }),
        ),
        (
            "blocks that don't hash",
            Box::new(|method, _| match method {
                "eth_getBlockByNumber" => {
                    Reply::Changed(Change::new(|block| block["stateRoot"] = json!(B256::repeat_byte(6))))
                }
                _ => Reply::Forward,
            }),
        ),
        (
            "the block before, for each",
            Box::new(|method, params| match method {
                "eth_getBlockByNumber" if params[0] != "latest" => {
                    let height: U256 = params[0].as_str().unwrap().parse().unwrap();
                    Reply::Instead(json!([height.saturating_sub(U256::ONE), false]))
                }
                _ => Reply::Forward,
            }),
        ),
        (
            "another chain",
            Box::new(|method, _| match method {
                "eth_chainId" => Reply::Result(json!("0x1")),
                "eth_call" => yes(),
                _ => Reply::Forward,
            }),
        ),
        (
            "no state",
            Box::new(|method, _| match method {
                "eth_call" | "eth_getProof" | "eth_getCode" | "eth_createAccessList" => {
                    Reply::Error(json!({ "code": -32000, "message": "missing trie node" }))
                }
                _ => Reply::Forward,
            }),
        ),
        (
            "a bare revert",
            Box::new(|method, _| match method {
                "eth_call" => Reply::Error(json!({ "code": 3, "message": "execution reverted" })),
                _ => Reply::Forward,
            }),
        ),
        (
            "nothing",
            Box::new(|method, _| match method {
                "eth_call" | "eth_getCode" => Reply::Result(json!("0x")),
                _ => Reply::Forward,
            }),
        ),
        ("dead", Box::new(|_, _| Reply::Cut)),
    ]
}

struct Bench {
    validators: Validators<()>,
    valid: Case,
    broken: Case,
}

impl Bench {
    async fn set_up() -> Self {
        let validators = Validators::observed(()).await;
        let valid = validators.case(Action::DepositSweep);
        let mut broken = validators.case(Action::Redemption);
        let coxswain_rules::Subject::Redemption(proposal) = &mut broken.subject else { panic!() };
        proposal.fee = coxswain_rules::Amount::ZERO;
        Self { validators, valid, broken }
    }

    fn honest(&self) -> Url {
        honest(&self.validators.scene)
    }

    async fn node(&self, meet: Meet) -> FaultyEndpoint {
        FaultyEndpoint::start_inspecting(self.honest(), meet).await.unwrap()
    }

    async fn honest_node(&self) -> FaultyEndpoint {
        self.node(Box::new(|_, _| Reply::Forward)).await
    }

    async fn judged(
        &self,
        urls: &[Url],
        at_least: usize,
        case: &Case,
    ) -> Result<(Decision, Assured<ContractVerdict>), ChainError> {
        let panel = Panel::new(urls, ANVIL, at_least, false).unwrap();
        let mut decider = panel.decider(Pace::from(&Preset::LOCAL));
        let decision = panel.decide(&mut decider, 0).await?;
        let verdict = panel.validate(&self.validators.ours, case, &decision.header).await;
        Ok((decision, verdict))
    }
}

fn honest(scene: &Scene) -> Url {
    scene.world.chain.endpoint().parse().unwrap()
}

#[tokio::test]
async fn inc_47_one_liar_among_three_changes_nothing_wherever_it_stands() {
    let bench = Bench::set_up().await;
    let (first, second) = (bench.honest_node().await, bench.honest_node().await);
    let honestly = bench.judged(&[bench.honest()], 0, &bench.broken).await.unwrap();
    assert!(matches!(honestly.1.fact, ContractVerdict::Rejected(_)), "{honestly:?}");
    for (what, meet) in lies() {
        let liar = bench.node(meet).await;
        for place in 0..3 {
            let mut urls = vec![first.url().clone(), second.url().clone()];
            urls.insert(place, liar.url().clone());
            for (case, expected) in
                [(&bench.valid, &ContractVerdict::Valid), (&bench.broken, &honestly.1.fact)]
            {
                let (decision, verdict) = bench.judged(&urls, 0, case).await.unwrap();
                assert_eq!(verdict.fact, *expected, "{what} at {place}");
                assert_eq!(verdict.assurance, BEST, "{what} at {place}");
                assert_eq!(decision.header, honestly.0.header, "{what} at {place}");
                assert!(decision.named_by >= 2 && decision.of == 3, "{what}: {decision:?}");
            }
        }
    }
}

#[tokio::test]
async fn inc_47_of_two_a_liar_leaves_the_verdict_right_or_undecided_and_alone_it_is_its_word() {
    let bench = Bench::set_up().await;
    let honestly = bench.judged(&[bench.honest()], 0, &bench.broken).await.unwrap().1.fact;
    for (what, meet) in lies() {
        let liar = bench.node(meet).await;
        for urls in [[bench.honest(), liar.url().clone()], [liar.url().clone(), bench.honest()]] {
            match bench.judged(&urls, 0, &bench.broken).await {
                Ok((_, Assured { fact: ContractVerdict::Undecided(_), .. })) | Err(_) => {}
                Ok((decision, verdict)) => {
                    assert_eq!(verdict.fact, honestly, "{what}");
                    assert!(verdict.assurance > Assurance::Word || what == "dead", "{what}: {verdict:?}");
                    assert_eq!(decision.named_by, if what == "dead" { 1 } else { 2 }, "{what}");
                }
            }
            let dead_is_no_word = bench.judged(&urls, 2, &bench.broken).await;
            assert!(what != "dead" || dead_is_no_word.is_err(), "a quorum of 2 needs both");
        }
        match bench.judged(&[liar.url().clone()], 0, &bench.broken).await {
            Ok((_, verdict)) if verdict.fact != honestly => {
                let is_word = verdict.assurance == Assurance::Word;
                assert!(is_word, "{what}: {verdict:?}");
            }
            Ok((decision, _)) => assert_eq!(decision.named_by, 1, "{what}"),
            Err(_) => {}
        }
    }
}

#[tokio::test]
async fn inc_47_a_block_that_is_asked_for_is_named_by_enough_and_its_ancestor_by_hashes() {
    let bench = Bench::set_up().await;
    let honestly = Panel::new(&[bench.honest()], ANVIL, 0, false).unwrap();
    let (forty, eight) = (honestly.at_number(40).await.unwrap(), honestly.at_number(8).await.unwrap());
    assert_eq!((forty.header.number(), forty.named_by, forty.of), (40, 1, 1));
    let other = bench.honest_node().await;
    for (what, meet) in lies() {
        let liar = bench.node(meet).await;
        let urls = [liar.url().clone(), other.url().clone(), bench.honest()];
        let panel = Panel::new(&urls, ANVIL, 0, false).unwrap();
        let named = panel.at_number(40).await.unwrap();
        assert_eq!(named.header, forty.header, "{what}");
        assert!(named.named_by >= 2, "{what}");
        assert_eq!(panel.at_hash(forty.header.hash()).await.unwrap().header, forty.header, "{what}");
        assert_eq!(panel.ancestor(&forty.header, 8).await.unwrap(), eight.header, "{what}");
        assert_eq!(panel.ancestor(&forty.header, 40).await.unwrap(), forty.header, "{what}");
        let nothing = panel.at_number(1_000_000).await.unwrap_err();
        assert!(matches!(nothing, ChainError::NoDecision(_)), "{what}: {nothing}");
        let nothing = panel.at_hash(B256::repeat_byte(9)).await.unwrap_err();
        assert!(matches!(nothing, ChainError::NoBlock { .. }), "{what}: {nothing}");
    }
    // Of two that name two blocks, neither is named by enough.
    let forged = bench.node(lies().remove(2).1).await;
    let panel = Panel::new(&[forged.url().clone(), bench.honest()], ANVIL, 0, false).unwrap();
    assert!(panel.at_number(40).await.is_err());
}

/// Three servers, one of which lies at the place that comes next.
#[derive(Default)]
struct Lied {
    verdicts: usize,
}

impl Observer for Lied {
    async fn observe(
        &mut self,
        scene: &Scene,
        at: Block,
        asked: &ProposalValidator,
        case: &Case,
        said: &ContractVerdict,
    ) {
        let (_, meet) = lies().into_iter().next().unwrap();
        let liar = FaultyEndpoint::start_inspecting(honest(scene), meet).await.unwrap();
        let other = FaultyEndpoint::start(honest(scene), |_| Reply::Forward).await.unwrap();
        let mut urls = vec![honest(scene), other.url().clone()];
        urls.insert(self.verdicts % 3, liar.url().clone());
        let panel = Panel::new(&urls, ANVIL, 0, false).unwrap();
        let decision = panel.decide(&mut panel.decider(Pace::from(&Preset::LOCAL)), 0).await.unwrap();
        assert_eq!(decision.header.block(), at);
        let verdict = panel.validate(asked, case, &decision.header).await;
        assert_eq!((&verdict.fact, verdict.assurance), (said, BEST), "{case:?}");
        self.verdicts += 1;
    }
}

#[tokio::test]
async fn inc_47_the_agreement_suite_with_one_liar_among_three() {
    let mut validators = Validators::observed(Lied::default()).await;
    ask_everything(&mut validators).await;
    println!("{} verdicts", validators.observer.verdicts);
    assert!(validators.observer.verdicts > 90, "{}", validators.observer.verdicts);
}

#[cfg(feature = "proven")]
#[tokio::test]
async fn inc_47_servers_that_say_other_than_what_is_proven_are_an_alarm() {
    let bench = Bench::set_up().await;
    let liar = |method: &str, _: &Value| if method == "eth_call" { yes() } else { Reply::Forward };
    let (first, second) = (bench.node(Box::new(liar)).await, bench.node(Box::new(liar)).await);
    let urls = [first.url().clone(), second.url().clone(), bench.honest()];
    let (_, verdict) = bench.judged(&urls, 0, &bench.broken).await.unwrap();
    let ContractVerdict::Undecided(undecided @ ChainError::Contradicted { .. }) = verdict.fact else {
        panic!("{verdict:?}")
    };
    let told = undecided.to_string();
    for url in &urls {
        assert!(told.contains(&url.port().unwrap().to_string()), "who says what: {told}");
    }
}
