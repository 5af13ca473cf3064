//! Answers that were misunderstood once (`tests/cases/`), each file with what is right, and for each another of its kind.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

use std::{fs, path::Path};

use alloy::primitives::B256;
use coxswain_ethereum::{BlockSelector, ContractVerdict, Endpoints, Expected, RequestError};
use coxswain_rules::{
    Amount, Case, DepositSweepProposal, KeyHash, OutPoint, RevealedDeposit, RuleId, Subject,
    units::BlockNumber,
};
use coxswain_testkit::{FaultyEndpoint, Reply, TestChain, World};
use serde_json::{Value, json};

use crate::faults::{calls, count, faulty, first_call, heartbeat, verdict};

/// `eth-getlogs-words-not-understood.txt` is read where the words are: `log_ranges`.
const FILES: [&str; 6] = [
    "eth-bare-revert-then-good.json",
    "eth-block-not-there-yet.json",
    "eth-empty-answer-for-a-missing-block.json",
    "eth-getlogs-words-not-understood.txt",
    "eth-rate-limits-http-200.json",
    "eth-timeouts-in-words.json",
];

fn case(name: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    assert!(FILES.contains(&name));
    serde_json::from_str(&fs::read_to_string(folder.join(name)).unwrap()).unwrap()
}

#[test]
fn every_case_has_its_test() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    assert_eq!(files, FILES);
}

fn sweep() -> Case {
    let deposit = RevealedDeposit { outpoint: OutPoint::null(), reveal_block: BlockNumber(1) };
    let proposal = DepositSweepProposal { deposits: vec![deposit; 4], fee: Amount::ONE_SAT };
    Case { wallet: KeyHash([1; 20]), subject: Subject::DepositSweep { proposal, extra_info: vec![] } }
}

#[tokio::test]
async fn a_bare_revert_is_no_verdict_and_the_next_endpoint_is_asked() {
    let world = World::start().await.unwrap();
    let told = case("eth-bare-revert-then-good.json");
    let bare = [
        told["answer_1"]["error"].clone(),
        json!({ "code": 3, "message": "execution reverted", "data": "0x" }),
    ];
    for error in bare {
        let bare = faulty(&world, calls(Reply::Error(error.clone()))).await;
        let good = faulty(&world, calls(Reply::Result(told["answer_2"]["result"].clone()))).await;
        assert_eq!(verdict(&world, [&bare, &good], &heartbeat()).await, ContractVerdict::Valid, "{error}");

        let reason = told["answer_2_other_case"]["error"].clone();
        let good = faulty(&world, calls(Reply::Error(reason))).await;
        let ContractVerdict::Rejected(rejection) = verdict(&world, [&bare, &good], &sweep()).await else {
            panic!("{error}")
        };
        assert_eq!(rejection.rule, Some(RuleId::Ds8));

        // Nobody gives a reason: undecided, whoever else fails.
        let dead = faulty(&world, calls(Reply::Cut)).await;
        for verdict in
            [verdict(&world, [&bare], &sweep()).await, verdict(&world, [&bare, &dead], &sweep()).await]
        {
            assert!(
                matches!(&verdict, ContractVerdict::Undecided(e) if e.kind() == "revert-without-reason"),
                "{verdict:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_block_that_is_not_there_yet_is_asked_for_again() {
    let world = World::start().await.unwrap();
    let told = case("eth-block-not-there-yet.json");
    let mut errors: Vec<_> =
        told["answers_once"].as_array().unwrap().iter().map(|answer| answer["error"].clone()).collect();
    assert_eq!(errors.len(), 7);
    errors.push(json!({ "code": -32000, "message": "block 23456789 is not found" }));
    errors.push(json!({ "code": -32001, "message": "Header not found: 0x11" }));
    for error in errors {
        let node = faulty(&world, first_call(Reply::Error(error.clone()))).await;
        assert_eq!(verdict(&world, [&node], &heartbeat()).await, ContractVerdict::Valid, "{error}");
        assert_eq!(count(&node, "eth_call"), 2, "{error}");
    }
    // A contract's own words are no block's.
    let said = json!({ "code": 3, "message": "execution reverted: block not found", "data": "0x00" });
    let node = faulty(&world, first_call(Reply::Error(said))).await;
    let verdict = verdict(&world, [&node], &heartbeat()).await;
    assert!(matches!(&verdict, ContractVerdict::Undecided(e) if e.kind() == "unknown-revert"), "{verdict:?}");
}

#[tokio::test]
async fn an_empty_answer_for_a_block_that_is_missing_is_not_taken_for_no_code() {
    let world = World::start().await.unwrap();
    let told = case("eth-empty-answer-for-a-missing-block.json");
    let empty = told["answers_1"][0]["result"].clone();
    let missing = {
        let empty = empty.clone();
        move |method: &str| match method {
            "eth_call" | "eth_getCode" => Reply::Result(empty.clone()),
            "eth_getBlockByHash" => Reply::Result(Value::Null),
            _ => Reply::Forward,
        }
    };
    let first = faulty(&world, missing).await;
    let good = faulty(&world, |_| Reply::Forward).await;
    // The check of an endpoint asks for code only where contracts are expected.
    assert_eq!(verdict(&world, [&first, &good], &heartbeat()).await, ContractVerdict::Valid);
    let alone = verdict(&world, [&first], &heartbeat()).await;
    let ContractVerdict::Undecided(undecided) = alone else { panic!("{alone:?}") };
    assert_eq!(undecided.kind(), "no-block", "the block is looked up first: {undecided}");
    assert!(undecided.is_retryable());

    // Another of its kind: the code is there, and the call all the same has answered nothing.
    let first = faulty(&world, calls(Reply::Result(empty))).await;
    assert_eq!(verdict(&world, [&first, &good], &heartbeat()).await, ContractVerdict::Valid);
}

#[tokio::test]
async fn a_rate_limit_in_whatever_words_is_asked_again() {
    let world = World::start().await.unwrap();
    let told = case("eth-rate-limits-http-200.json");
    let mut errors: Vec<_> =
        told["answers_once"].as_array().unwrap().iter().map(|answer| answer["error"].clone()).collect();
    assert_eq!(errors.len(), 5);
    errors.push(json!({ "code": -32000, "message": "Rate limit exceeded, upgrade your plan" }));
    errors.push(json!({ "code": 429, "message": "slow down" }));
    for error in errors {
        let node = faulty(&world, first_call(Reply::Error(error.clone()))).await;
        assert_eq!(verdict(&world, [&node], &heartbeat()).await, ContractVerdict::Valid, "{error}");
        assert_eq!(count(&node, "eth_call"), 2, "{error}");

        let busy = faulty(&world, calls(Reply::Error(error.clone()))).await;
        let other = faulty(&world, |_| Reply::Forward).await;
        assert_eq!(verdict(&world, [&busy, &other], &heartbeat()).await, ContractVerdict::Valid, "{error}");
        assert_eq!(count(&busy, "eth_call"), 1, "{error}");
    }
}

#[tokio::test]
async fn a_time_out_in_words_is_asked_again_or_elsewhere() {
    let world = World::start().await.unwrap();
    let told = case("eth-timeouts-in-words.json");
    let mut errors: Vec<_> =
        told["answers_http_200"].as_array().unwrap().iter().map(|answer| answer["error"].clone()).collect();
    assert_eq!(errors.len(), 5);
    errors.push(json!({ "code": -32603, "message": "Gateway Timeout" }));
    for error in errors {
        let node = faulty(&world, first_call(Reply::Error(error.clone()))).await;
        assert_eq!(verdict(&world, [&node], &heartbeat()).await, ContractVerdict::Valid, "{error}");
        let late = faulty(&world, calls(Reply::Error(error.clone()))).await;
        let other = faulty(&world, |_| Reply::Forward).await;
        assert_eq!(verdict(&world, [&late, &other], &heartbeat()).await, ContractVerdict::Valid, "{error}");
    }
}

#[tokio::test]
async fn inc_47_the_block_that_comes_back_must_be_the_one_asked_for() {
    let chain = TestChain::start().unwrap();
    chain.mine(87).await.unwrap();
    let url = chain.endpoint();
    let honest = Endpoints::new(url.parse().unwrap()).unwrap();
    let at =
        async |number: u64| honest.block(BlockSelector::Number(BlockNumber(number))).await.unwrap().unwrap();
    let (forty, other) = (at(40).await, at(87).await);
    let raw: Value = honest.request("eth_getBlockByNumber", ("0x57", false)).await.unwrap();
    let swapped = FaultyEndpoint::start(url.parse().unwrap(), move |method| match method {
        "eth_getBlockByNumber" | "eth_getBlockByHash" => Reply::Result(raw.clone()),
        _ => Reply::Forward,
    })
    .await
    .unwrap();
    let alone = Endpoints::new(swapped.url().clone()).unwrap();
    let second =
        Endpoints::several([swapped.url().clone(), url.parse().unwrap()], Expected::default()).unwrap();
    for selector in [BlockSelector::Number(BlockNumber(40)), BlockSelector::Hash(forty.hash)] {
        let error = alone.block(selector).await.unwrap_err();
        assert!(matches!(error, RequestError::Garbage { .. }), "{selector}: {error}");
        assert!(error.to_string().contains(&other.to_string()), "{error}");
        assert_eq!(second.block(selector).await, Ok(Some(forty)), "{selector}");
    }
    for selector in
        [BlockSelector::Number(BlockNumber(87)), BlockSelector::Hash(other.hash), BlockSelector::Latest]
    {
        assert_eq!(alone.block(selector).await, Ok(Some(other)), "{selector}");
    }
    assert!(alone.header(BlockNumber(40)).await.is_err());
    assert_eq!(second.header(BlockNumber(40)).await.unwrap().unwrap().number, 40);
    let unknown = B256::repeat_byte(1);
    assert_eq!(honest.block(BlockSelector::Hash(unknown)).await, Ok(None));
}

/// The answer to the first request of a new endpoint, whose id is 0.
async fn answered(body: impl Into<String>) -> Result<u64, RequestError> {
    let body = body.into();
    let meet = move |_: &str| Reply::Body(body.clone());
    let node = FaultyEndpoint::start("http://127.0.0.1:1".parse().unwrap(), meet).await.unwrap();
    Endpoints::new(node.url().clone()).unwrap().chain_id().await
}

#[tokio::test]
async fn inc_28_null_beside_a_result_or_an_error_is_absent_and_anothers_id_is_no_answer() {
    for body in [
        r#"{"jsonrpc":"2.0","id":0,"result":"0x7"}"#,
        r#"{"id":0,"result":"0x7","error":null}"#,
        r#"{"error":null,"result":"0x7","id":0,"more":[1]}"#,
    ] {
        assert_eq!(answered(body).await, Ok(7), "{body}");
    }
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"result":"0x7"}"#,
        r#"{"jsonrpc":"2.0","id":"0","result":"0x7"}"#,
        r#"{"jsonrpc":"2.0","id":null,"result":"0x7"}"#,
        r#"{"jsonrpc":"2.0","result":"0x7"}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":3,"message":"execution reverted","data":"0x01"}}"#,
        r#"{"jsonrpc":"2.0","id":0,"result":"0x7","error":{"code":1,"message":"and an error"}}"#,
        r#"{"jsonrpc":"2.0","id":0,"result":null,"error":null}"#,
        r#"{"jsonrpc":"2.0","id":0,"error":null}"#,
        r#"[{"jsonrpc":"2.0","id":0,"result":"0x7"}]"#,
    ] {
        let error = answered(body).await.unwrap_err();
        assert!(matches!(error, RequestError::Garbage { .. }), "{body}: {error}");
    }
    let refused = r#""error":{"code":-32600,"message":"who are you?","data":"0x01"}"#;
    for (head, shown) in [(r#""id":0,"result":null"#, Some(r#""0x01""#)), (r#""id":null"#, None)] {
        let error = answered(format!("{{{head},{refused}}}")).await.unwrap_err();
        let RequestError::Rpc { code, data, .. } = &error else { panic!("{error}") };
        assert_eq!((*code, data.as_deref()), (-32600, shown), "an error without our id has no reason");
    }
}

#[tokio::test]
async fn inc_47_an_answer_over_8_mib_is_not_read() {
    let of = |length: usize| {
        let head = r#"{"jsonrpc":"2.0","id":0,"result":"0x7","more":""#;
        format!("{head}{}\"}}", "a".repeat(length - head.len() - 2))
    };
    assert_eq!(answered(of(8 << 20)).await, Ok(7));
    let error = answered(of((8 << 20) + 1)).await.unwrap_err();
    assert_eq!(error.kind(), "too-large", "{error}");
}

#[tokio::test]
async fn inc_47_what_an_endpoint_says_is_cut_and_escaped() {
    let message = format!("\u{1b}[2J\\r{}", "x".repeat(1000));
    let body = json!({ "id": 0, "error": { "code": 1, "message": message } }).to_string();
    let shown = answered(body).await.unwrap_err().to_string();
    assert!(shown.contains("\\u{1b}[2J") && !shown.chars().any(char::is_control), "{shown}");
    assert!(shown.chars().count() < 600, "{}", shown.len());
}
