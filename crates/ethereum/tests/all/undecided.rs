//! What can't be read as a *yes* or a *no* is neither: faults of the endpoint and of what it serves, each named.
//! A real chain stands behind the faulty endpoint, so that only the fault differs from a valid verdict.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

use alloy::primitives::{Address, B256};
use coxswain_ethereum::{
    BlockSelector, ChainError, ContractVerdict, Endpoints, ProposalValidator, RequestError,
};
use coxswain_testkit::{FaultyEndpoint, Reply, World};
use serde_json::json;

use crate::{
    faults::{calls, count, faulty, first_call, heartbeat, verdict},
    validators::ANVIL,
};

/// One attempt and two more.
const ATTEMPTS: usize = 2;

async fn why_undecided(world: &World, node: &FaultyEndpoint) -> ChainError {
    match verdict(world, [node], &heartbeat()).await {
        ContractVerdict::Undecided(undecided) => undecided,
        decided => panic!("{decided:?}"),
    }
}

#[tokio::test]
async fn without_a_fault_the_verdict_takes_one_call() {
    let world = World::start().await.unwrap();
    let node = faulty(&world, |_| Reply::Forward).await;
    assert_eq!(verdict(&world, [&node], &heartbeat()).await, ContractVerdict::Valid);
    let mut methods = node.methods();
    methods.sort();
    assert_eq!(methods, ["eth_call", "eth_chainId", "eth_getBlockByNumber"]);
}

#[tokio::test]
async fn inc_22_a_connection_cut_after_the_request_was_sent_is_asked_again_then_undecided() {
    let world = World::start().await.unwrap();
    let node = faulty(&world, calls(Reply::Cut)).await;
    let undecided = why_undecided(&world, &node).await;
    assert_eq!(undecided.kind(), "interrupted", "{undecided}");
    assert!(undecided.is_retryable());
    assert!(undecided.to_string().contains("was lost before the answer came"), "{undecided}");
    assert_eq!(count(&node, "eth_call"), ATTEMPTS);

    let node = faulty(&world, first_call(Reply::Cut)).await;
    assert_eq!(verdict(&world, [&node], &heartbeat()).await, ContractVerdict::Valid);
    assert_eq!(count(&node, "eth_call"), 2);
}

#[tokio::test]
async fn a_busy_endpoint_is_asked_again_and_one_that_refuses_is_not() {
    let world = World::start().await.unwrap();
    let limit = json!({ "code": -32005, "message": "limit exceeded" });
    for passing in [Reply::Status(429), Reply::Status(503), Reply::Error(limit)] {
        let node = faulty(&world, first_call(passing)).await;
        assert_eq!(verdict(&world, [&node], &heartbeat()).await, ContractVerdict::Valid);
    }
    for status in [401, 404] {
        let node = faulty(&world, calls(Reply::Status(status))).await;
        let undecided = why_undecided(&world, &node).await;
        assert_eq!(undecided.kind(), "http-status", "{undecided}");
        assert!(undecided.to_string().contains(&status.to_string()), "{undecided}");
        assert_eq!(count(&node, "eth_call"), 1);
    }
}

#[tokio::test]
async fn nobody_at_the_address_is_undecided() {
    let world = World::start().await.unwrap();
    let node = faulty(&world, |_| Reply::Forward).await;
    let url = node.url().clone();
    drop(node);
    // The port may be reused in principle; that nobody listens is what the drop awaits.
    let endpoint = Endpoints::new(url).unwrap();
    let validator = ProposalValidator::new(endpoint, ANVIL, world.validator);
    let verdict = validator.validate(&heartbeat(), BlockSelector::Latest).await.verdict;
    let ContractVerdict::Undecided(undecided) = verdict else { panic!("{verdict:?}") };
    assert_eq!(undecided.kind(), "unreachable", "{undecided}");
    assert!(undecided.to_string().contains("can't connect"), "{undecided}");
}

#[tokio::test]
async fn inc_24_another_chain_is_undecided() {
    let world = World::start().await.unwrap();
    let chain = |id: &'static str| {
        move |method: &str| match method {
            "eth_chainId" => Reply::Result(json!(id)),
            _ => Reply::Forward,
        }
    };
    let node = faulty(&world, chain("0x1")).await;
    let undecided = why_undecided(&world, &node).await;
    assert!(matches!(undecided, ChainError::WrongChain { expected: ANVIL, actual: 1, .. }), "{undecided:?}");
    assert!(undecided.to_string().ends_with("serves chain 1, expected chain 31337"), "{undecided}");
    assert_eq!(count(&node, "eth_call"), 0, "nothing is asked of another chain");
    let node = faulty(&world, chain("0x7a69")).await;
    assert_eq!(verdict(&world, [&node], &heartbeat()).await, ContractVerdict::Valid);
}

#[tokio::test]
async fn inc_24_an_address_without_code_is_undecided() {
    let world = World::start().await.unwrap();
    let endpoint = Endpoints::new(world.chain.url()).unwrap();
    let nobody = Address::repeat_byte(0xab);
    let validator = ProposalValidator::new(endpoint, ANVIL, nobody);
    let judgement = validator.validate(&heartbeat(), BlockSelector::Latest).await;
    let ContractVerdict::Undecided(undecided) = judgement.verdict else { panic!("{judgement:?}") };
    assert_eq!(undecided, ChainError::NoCode { address: nobody, block: judgement.block.unwrap() });
    assert!(undecided.to_string().starts_with(&format!("there is no code at {nobody}")), "{undecided}");
}

#[tokio::test]
async fn inc_28_an_answer_that_is_no_verdict_is_undecided() {
    let world = World::start().await.unwrap();
    let word = |last: u8| B256::with_last_byte(last);
    let longer = [word(1).as_slice(), &[0]].concat();
    let two_words = [word(1), word(1)].concat();
    let answers = [
        json!("0x"),
        json!("0x01"),
        json!(word(1).to_string().strip_suffix("01").unwrap()),
        json!(word(0)),
        json!(word(2)),
        json!(B256::repeat_byte(0xff)),
        json!(alloy::hex::encode_prefixed(longer)),
        json!(alloy::hex::encode_prefixed(two_words)),
    ];
    for answer in answers {
        let node = faulty(&world, calls(Reply::Result(answer.clone()))).await;
        let undecided = why_undecided(&world, &node).await;
        assert_eq!(undecided.kind(), "unknown-answer", "{answer}: {undecided}");
    }
}

#[tokio::test]
async fn inc_28_an_answer_that_is_not_json_rpc_is_undecided() {
    let world = World::start().await.unwrap();
    let bodies = ["", "{", "<html>Bad gateway</html>", "[]", "{}", r#"{"jsonrpc":"2.0","id":0}"#];
    let replies = bodies.into_iter().map(|body| Reply::Body(body.to_owned()));
    let results = [json!(null), json!(7), json!({}), json!("1"), json!("0x0"), json!("0xzz"), json!([true])];
    for reply in replies.chain(results.into_iter().map(Reply::Result)) {
        let node = faulty(&world, calls(reply.clone())).await;
        let undecided = why_undecided(&world, &node).await;
        assert_eq!(undecided.kind(), "garbage", "{reply:?}: {undecided}");
        assert_eq!(count(&node, "eth_call"), 1);
    }
    for (method, result) in
        [("eth_chainId", json!("seven")), ("eth_getBlockByNumber", json!({ "number": "0x1" }))]
    {
        let meet =
            move |asked: &str| if asked == method { Reply::Result(result.clone()) } else { Reply::Forward };
        let node = faulty(&world, meet).await;
        let undecided = why_undecided(&world, &node).await;
        assert!(matches!(undecided, ChainError::Request(RequestError::Garbage { .. })), "{undecided:?}");
    }
}

#[tokio::test]
async fn inc_28_a_revert_that_is_not_the_validators_is_undecided() {
    let world = World::start().await.unwrap();
    let revert =
        |data: &str| Reply::Error(json!({ "code": 3, "message": "execution reverted", "data": data }));
    // Unknown selector; a known error cut short, with a byte too many, and of another action; an unknown text.
    let fee_too_high = alloy::hex::encode_prefixed(
        [alloy::primitives::keccak256("FeeTooHigh(uint256,uint256)")[..4].to_vec(), vec![0; 64]].concat(),
    );
    let text = "0x08c379a0000000000000000000000000000000000000000000000000000000000000002000000000000000000000000000000000000000000000000000000000000000044f6f707300000000000000000000000000000000000000000000000000000000";
    let short = &fee_too_high[..fee_too_high.len() - 2];
    let long = format!("{fee_too_high}00");
    for data in ["0xdeadbeef", "0x00", short, &long, &fee_too_high, text] {
        let node = faulty(&world, calls(revert(data))).await;
        let undecided = why_undecided(&world, &node).await;
        assert_eq!(undecided.kind(), "unknown-revert", "{data}: {undecided}");
    }
    let node = faulty(&world, calls(revert(text))).await;
    assert!(why_undecided(&world, &node).await.to_string().ends_with("\"Oops\""));
}
