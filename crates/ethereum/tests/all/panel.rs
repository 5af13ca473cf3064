//! Several servers, some of which lie: at each place in the list, the verdict is the honest one, or undecided.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

mod events;

use crate::validators::{ANVIL, Observer, Validators, ask_everything};
use alloy::{
    primitives::{B256, U256, hex},
    rpc::types::Header as RpcHeader,
    sol_types::SolError,
};
use coxswain_bindings::validator::WalletProposalValidator::DepositNotRevealed;
use coxswain_ethereum::{Block, ChainError, ContractVerdict, Panel, ProposalValidator, decision::Decision};
use coxswain_rules::{
    Action, Assurance, Assured, Case,
    network::Preset,
    units::{BlockNumber, UnixTime},
};
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

/// An answer to an `eth_call` that says no, with this error.
fn reverts(error: &impl SolError) -> Reply {
    let data = hex::encode_prefixed(error.abi_encode());
    Reply::Error(json!({ "code": 3, "message": "execution reverted", "data": data }))
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
        ("gigabytes", Box::new(|_, _| Reply::Endless)),
        (
            "a rejection that can't be",
            Box::new(|method, _| match method {
                "eth_call" => reverts(&DepositNotRevealed { index: U256::from(99) }),
                "eth_getProof" => Reply::Error(json!({ "code": -32000, "message": "missing trie node" })),
                _ => Reply::Forward,
            }),
        ),
        ("dead", Box::new(|_, _| Reply::Cut)),
    ]
}

/// The lies that are told apart from silence, whatever is asked.
const SAYS_OTHERWISE: [&str; 4] = [
    "a head a thousand blocks higher",
    "forged blocks at each height",
    "blocks that don't hash",
    "another chain",
];

/// A valid case and one that breaks a rule, and whom to ask about them.
struct Asked {
    validators: Validators<()>,
    valid: Case,
    broken: Case,
}

impl Asked {
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
        self.judged_by(&Panel::new(urls, ANVIL, at_least, false).unwrap(), case).await
    }

    async fn judged_by(
        &self,
        panel: &Panel,
        case: &Case,
    ) -> Result<(Decision, Assured<ContractVerdict>), ChainError> {
        let mut decider = panel.decider(Preset::LOCAL.block_times);
        let decision = panel.decide(&mut decider, UnixTime(0)).await?;
        let verdict = self.validators.ours.assured_verdict(panel, case, &decision.header).await;
        Ok((decision, verdict))
    }
}

fn honest(scene: &Scene) -> Url {
    scene.world.chain.url()
}

#[tokio::test]
async fn inc_47_one_liar_among_three_changes_nothing_wherever_it_stands() {
    let asked = Asked::set_up().await;
    let (first, second) = (asked.honest_node().await, asked.honest_node().await);
    let honestly = asked.judged(&[asked.honest()], 0, &asked.broken).await.unwrap();
    assert!(matches!(honestly.1.fact, ContractVerdict::Rejected(_)), "{honestly:?}");
    for (what, meet) in lies() {
        let liar = asked.node(meet).await;
        for place in 0..3 {
            let mut urls = vec![first.url().clone(), second.url().clone()];
            urls.insert(place, liar.url().clone());
            for (case, expected) in
                [(&asked.valid, &ContractVerdict::Valid), (&asked.broken, &honestly.1.fact)]
            {
                let panel = Panel::new(&urls, ANVIL, 0, false).unwrap();
                let (decision, verdict) = asked.judged_by(&panel, case).await.unwrap();
                // Who says what isn't so is named, and nobody else.
                let named: Vec<_> = panel.dissents().into_iter().map(|dissent| dissent.endpoint).collect();
                let name = format!("127.0.0.1:{}", liar.url().port().unwrap());
                let is_no = *expected != ContractVerdict::Valid;
                let lies = match what {
                    "says yes, with false proofs" => is_no,
                    "a rejection that can't be" => true,
                    _ => SAYS_OTHERWISE.contains(&what),
                };
                // Proofs and code that don't hold show only where the liar is the one asked for them.
                let may_show = matches!(what, "says yes, with false proofs" | "nothing");
                assert!(named.iter().all(|named| *named == name), "{what} at {place}: {named:?}");
                assert!(named.len() == usize::from(lies) || may_show, "{what} at {place}: {named:?}");
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
    let asked = Asked::set_up().await;
    let honestly = asked.judged(&[asked.honest()], 0, &asked.broken).await.unwrap().1.fact;
    for (what, meet) in lies() {
        let liar = asked.node(meet).await;
        for urls in [[asked.honest(), liar.url().clone()], [liar.url().clone(), asked.honest()]] {
            match asked.judged(&urls, 0, &asked.broken).await {
                Ok((_, Assured { fact: ContractVerdict::Undecided(_), .. })) | Err(_) => {}
                Ok((decision, verdict)) => {
                    assert_eq!(verdict.fact, honestly, "{what}");
                    let is_silent = matches!(what, "dead" | "gigabytes");
                    assert!(verdict.assurance > Assurance::Word || is_silent, "{what}: {verdict:?}");
                    assert_eq!(decision.named_by, if is_silent { 1 } else { 2 }, "{what}");
                }
            }
            let dead_is_no_word = asked.judged(&urls, 2, &asked.broken).await;
            assert!(what != "dead" || dead_is_no_word.is_err(), "a quorum of 2 needs both");
        }
        match asked.judged(&[liar.url().clone()], 0, &asked.broken).await {
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
    let asked = Asked::set_up().await;
    let honestly = Panel::new(&[asked.honest()], ANVIL, 0, false).unwrap();
    let (forty, eight) = (
        honestly.at_number(BlockNumber(40)).await.unwrap(),
        honestly.at_number(BlockNumber(8)).await.unwrap(),
    );
    assert_eq!((forty.header.number(), forty.named_by, forty.of), (BlockNumber(40), 1, 1));
    let other = asked.honest_node().await;
    for (what, meet) in lies() {
        let liar = asked.node(meet).await;
        let urls = [liar.url().clone(), other.url().clone(), asked.honest()];
        let panel = Panel::new(&urls, ANVIL, 0, false).unwrap();
        let named = panel.at_number(BlockNumber(40)).await.unwrap();
        assert_eq!(named.header, forty.header, "{what}");
        assert!(named.named_by >= 2, "{what}");
        assert_eq!(panel.at_hash(forty.header.hash()).await.unwrap().header, forty.header, "{what}");
        for named in [&eight, &forty] {
            let ancestor = panel.ancestor(&forty.header, named.header.number()).await.unwrap();
            let expected = Assured { fact: named.header.clone(), assurance: Assurance::Proven };
            assert_eq!(ancestor, expected, "{what}");
        }
        let nothing = panel.at_number(BlockNumber(1_000_000)).await.unwrap_err();
        let is_none = matches!(nothing, ChainError::NoDecision { .. } | ChainError::NoBlock { .. });
        assert!(is_none, "{what}: {nothing}");
        let nothing = panel.at_hash(B256::repeat_byte(9)).await.unwrap_err();
        assert!(matches!(nothing, ChainError::NoBlock { .. }), "{what}: {nothing}");
    }
    // Of two that name two blocks, neither is named by enough.
    let forged = asked.node(lies().remove(2).1).await;
    let panel = Panel::new(&[forged.url().clone(), asked.honest()], ANVIL, 0, false).unwrap();
    assert!(panel.at_number(BlockNumber(40)).await.is_err());
}

/// One server lies: among three, among two and alone. Each time it lies in the next way, at the next place.
#[derive(Default)]
struct Lied {
    verdicts: usize,
}

impl Lied {
    async fn judged(
        &self,
        urls: &[Url],
        asked: &ProposalValidator,
        case: &Case,
    ) -> Result<(Decision, Assured<ContractVerdict>), ChainError> {
        let panel = Panel::new(urls, ANVIL, 0, false).unwrap();
        let decision = panel.decide(&mut panel.decider(Preset::LOCAL.block_times), UnixTime(0)).await?;
        let verdict = asked.assured_verdict(&panel, case, &decision.header).await;
        Ok((decision, verdict))
    }
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
        let mut lies = lies();
        // Another place, each time that all lies were told.
        let (lie, place) = (self.verdicts % lies.len(), self.verdicts / lies.len());
        let (what, meet) = lies.swap_remove(lie);
        let liar = FaultyEndpoint::start_inspecting(honest(scene), meet).await.unwrap();
        let other = FaultyEndpoint::start(honest(scene), |_| Reply::Forward).await.unwrap();

        let mut three = vec![honest(scene), other.url().clone()];
        three.insert(place % 3, liar.url().clone());
        let (decision, verdict) = self.judged(&three, asked, case).await.unwrap();
        assert_eq!(decision.header.block(), at, "{what}");
        assert_eq!((&verdict.fact, verdict.assurance), (said, BEST), "{what}: {case:?}");

        let mut two = vec![honest(scene)];
        two.insert(place % 2, liar.url().clone());
        match self.judged(&two, asked, case).await {
            Ok((_, Assured { fact: ContractVerdict::Undecided(_), .. })) | Err(_) => {}
            Ok((_, verdict)) => {
                assert_eq!(&verdict.fact, said, "{what} of two: {case:?}");
                let is_silent = matches!(what, "dead" | "gigabytes");
                assert!(verdict.assurance > Assurance::Word || is_silent, "{what} of two: {case:?}");
            }
        }

        if let Ok((decision, verdict)) = self.judged(&[liar.url().clone()], asked, case).await {
            let is_word = verdict.assurance == Assurance::Word;
            assert!(verdict.fact == *said || is_word, "{what} alone: {case:?}: {verdict:?}");
            assert_eq!(decision.named_by, 1, "{what} alone");
        }
        self.verdicts += 1;
    }
}

#[tokio::test]
async fn inc_47_the_agreement_suite_with_one_liar_among_three_among_two_and_alone() {
    let mut validators = Validators::observed(Lied::default()).await;
    ask_everything(&mut validators).await;
    let verdicts = validators.observer.verdicts;
    println!("{verdicts} verdicts");
    assert!(verdicts > 90 && verdicts > 6 * lies().len(), "each lie is told at each place: {verdicts}");
}

#[cfg(feature = "proven")]
#[tokio::test]
async fn inc_47_servers_that_say_other_than_what_is_proven_are_an_alarm() {
    let asked = Asked::set_up().await;
    let liar = |method: &str, _: &Value| if method == "eth_call" { yes() } else { Reply::Forward };
    let (first, second) = (asked.node(Box::new(liar)).await, asked.node(Box::new(liar)).await);
    let urls = [first.url().clone(), second.url().clone(), asked.honest()];
    let (_, verdict) = asked.judged(&urls, 0, &asked.broken).await.unwrap();
    let ContractVerdict::Undecided(undecided @ ChainError::Contradicted { .. }) = verdict.fact else {
        panic!("{verdict:?}")
    };
    let told = undecided.to_string();
    for url in &urls {
        assert!(told.contains(&url.port().unwrap().to_string()), "who says what: {told}");
    }
}

#[tokio::test]
async fn a_rejection_whose_values_cannot_be_is_an_answer_that_is_not_understood() {
    let asked = Asked::set_up().await;
    let (_, meet) = lies().into_iter().find(|(what, _)| what.starts_with("a rejection")).unwrap();
    let liar = asked.node(meet).await;
    let (_, verdict) = asked.judged(&[liar.url().clone()], 0, &asked.valid).await.unwrap();
    let ContractVerdict::Undecided(undecided) = verdict.fact else { panic!("{verdict:?}") };
    assert_eq!(undecided.kind(), "impossible-rejection");
    assert!(undecided.to_string().contains("deposit 99 is not revealed"), "{undecided}");
}

/// Refuses blocks that are named by hash.
fn by_number_only(method: &str, params: &Value) -> Reply {
    match method {
        "eth_call" if params[1].is_object() => Reply::Error(json!({
            "code": -32602,
            "message": "invalid argument 1: json: cannot unmarshal object into Go value of type string",
        })),
        _ => Reply::Forward,
    }
}

#[tokio::test]
async fn a_server_that_takes_no_hash_is_asked_by_number_and_for_the_blocks_name_before_and_after() {
    let asked = Asked::set_up().await;
    let no_proof = |method: &str| match method {
        "eth_getProof" => Some(Reply::Error(json!({ "code": -32601, "message": "method not found" }))),
        _ => None,
    };
    let node = asked
        .node(Box::new(move |method, params| {
            no_proof(method).unwrap_or_else(|| by_number_only(method, params))
        }))
        .await;
    let (_, verdict) = asked.judged(&[node.url().clone()], 0, &asked.valid).await.unwrap();
    assert_eq!(verdict.fact, ContractVerdict::Valid);
    let mut methods = node.methods();
    methods.retain(|method| matches!(method.as_str(), "eth_call" | "eth_getBlockByNumber"));
    let call = methods.iter().rposition(|method| method == "eth_call").unwrap();
    assert_eq!((methods[call - 1].as_str(), methods[call + 1].as_str()), {
        ("eth_getBlockByNumber", "eth_getBlockByNumber")
    });

    // The block's name changes while the call is answered: what it says is of nobody knows which.
    let called = std::sync::atomic::AtomicBool::new(false);
    let moving = asked
        .node(Box::new(move |method, params| match method {
            "eth_call" if params[1].is_string() => {
                called.store(true, std::sync::atomic::Ordering::SeqCst);
                yes()
            }
            "eth_getBlockByNumber" if called.load(std::sync::atomic::Ordering::SeqCst) => {
                forged(|header| header.inner.state_root = B256::repeat_byte(6))
            }
            _ => no_proof(method).unwrap_or_else(|| by_number_only(method, params)),
        }))
        .await;
    let (_, verdict) = asked.judged(&[moving.url().clone()], 0, &asked.broken).await.unwrap();
    assert!(matches!(verdict.fact, ContractVerdict::Undecided(_)), "{verdict:?}");
}

#[cfg(feature = "proven")]
#[tokio::test]
async fn a_newer_block_is_taken_if_no_server_proves_the_one_decided_on() {
    use coxswain_ethereum::{BlockSelector, Endpoints, Expected, Tbtc, Wanted};

    let asked = Asked::set_up().await;
    let chain = &asked.validators.scene.world.chain;
    let head = Panel::new(&[asked.honest()], ANVIL, 0, false).unwrap();
    let head = head.decide(&mut head.decider(None), UnixTime(0)).await.unwrap().header.number();
    chain.mine(1).await.unwrap();
    // Two of three are a block behind, and the third, like the second, keeps the state of its newest block only.
    let newest = move |number: u64| {
        move |method: &str, params: &Value| match method {
            "eth_getBlockByNumber" if params[0] == "latest" => {
                Reply::Instead(json!([format!("{number:#x}"), false]))
            }
            "eth_getProof" if params[2] != format!("{:#x}", head.next().0) => {
                Reply::Error(json!({ "code": -32000, "message": "missing trie node" }))
            }
            _ => Reply::Forward,
        }
    };
    let nodes = [
        asked.node(Box::new(newest(head.0))).await,
        asked.node(Box::new(newest(head.0))).await,
        asked.node(Box::new(newest(head.next().0))).await,
    ];
    let urls = nodes.each_ref().map(|node| node.url().clone());
    let wanted = Wanted { validator: Some(asked.validators.ours.address()), ..Wanted::default() };
    let endpoints = Endpoints::several(urls, Expected::default()).unwrap();
    let tbtc = Tbtc::resolve(&endpoints, &wanted, BlockSelector::Latest).await.unwrap();
    assert_eq!((tbtc.block().number, tbtc.assurance), (head.next(), Assurance::Proven));
    assert!(tbtc.named.named_by >= 2, "{:?}", tbtc.named);
    // Asked for by its number, it is that block.
    let tbtc = Tbtc::resolve(&endpoints, &wanted, BlockSelector::Number(head)).await.unwrap();
    assert_eq!((tbtc.block().number, tbtc.assurance), (head, Assurance::Agreed));
}

#[tokio::test]
async fn inc_47_blocks_are_named_by_enough_one_by_one() {
    let asked = Asked::set_up().await;
    let other = asked.honest_node().await;
    let heights: Vec<_> = (0..70).map(BlockNumber).collect();
    let honestly = Panel::new(&[asked.honest()], ANVIL, 0, false).unwrap();
    let expected = honestly.at_numbers(&heights).await.unwrap();
    for (what, meet) in lies() {
        let liar = asked.node(meet).await;
        let urls = [liar.url().clone(), other.url().clone(), asked.honest()];
        let panel = Panel::new(&urls, ANVIL, 0, false).unwrap();
        let named = panel.at_numbers(&heights).await.unwrap();
        assert_eq!(named.len(), 70);
        for (named, expected) in named.into_iter().zip(&expected) {
            let header = |named: Result<_, _>| named.ok().map(|named: coxswain_ethereum::Named| named.header);
            assert_eq!(header(named), header(expected.clone()), "{what}");
        }
    }
    // Where two contradict each other, none is.
    let forged = asked.node(lies().remove(2).1).await;
    let panel = Panel::new(&[forged.url().clone(), asked.honest()], ANVIL, 0, false).unwrap();
    assert!(panel.at_numbers(&heights).await.unwrap().iter().all(Result::is_err));
}
