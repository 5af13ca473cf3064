//! Answers that can't be used: each is told from the others, and nothing is concluded from any.

use std::time::Duration;

use bitcoin::{FeeRate, OutPoint, consensus::encode::serialize_hex};
use coxswain_bitcoin::{BackendError, Endpoint, Limits, Server};
use coxswain_rules::units::Height;
use coxswain_testkit::{BitcoinServer, Regtest, Reply, Serving};
use serde_json::{Value, json};

use crate::backends::conformance::{coin, first_output, mined};

async fn electrum(
    chain: &Regtest,
    meet: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static,
) -> (BitcoinServer, Endpoint) {
    let server = BitcoinServer::electrum(chain, Serving::default(), meet).await.unwrap();
    let endpoint = Endpoint::new(server.url(), Limits::default()).unwrap();
    (server, endpoint)
}

async fn core(
    chain: &Regtest,
    meet: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static,
) -> (BitcoinServer, Endpoint) {
    let server = BitcoinServer::core(chain, Serving::default(), meet).await.unwrap();
    let endpoint = Endpoint::new(server.url(), Limits::default()).unwrap();
    (server, endpoint)
}

/// Answers one method like this, and the others honestly.
fn lying(method: &'static str, reply: Reply) -> impl Fn(&str, &Value) -> Reply + Send + Sync + 'static {
    move |asked, _| if asked == method { reply.clone() } else { Reply::Forward }
}

/// The one item's error.
async fn transaction_error(endpoint: &Endpoint, outpoint: OutPoint) -> BackendError {
    endpoint.sightings(&[outpoint]).await.unwrap().remove(0).unwrap_err()
}

#[tokio::test]
async fn another_transaction_than_the_one_asked_for_is_garbage() {
    let chain = Regtest::new();
    let (asked, other) = (mined(&chain, 1, 50_000), mined(&chain, 2, 50_000));
    let block = chain.blocks_from(chain.height())[0].block_hash();
    let described = json!({ "hex": serialize_hex(&other), "blockhash": block, "confirmations": 1 });
    let outpoint = first_output(&asked).outpoint;
    let (_server, endpoint) =
        electrum(&chain, lying("blockchain.transaction.get", Reply::Result(described.clone()))).await;
    let error = transaction_error(&endpoint, outpoint).await;
    assert!(
        error.kind() == "garbage" && error.to_string().contains(&other.compute_txid().to_string()),
        "{error}"
    );
    let (_server, endpoint) = core(&chain, lying("getrawtransaction", Reply::Result(described))).await;
    let error = transaction_error(&endpoint, outpoint).await;
    assert!(
        error.kind() == "garbage" && error.to_string().contains(&other.compute_txid().to_string()),
        "{error}"
    );
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn headers_without_work_or_out_of_line_are_not_believed() {
    let chain = Regtest::new();
    let headers: Vec<_> = chain.blocks_from(Height(0)).iter().take(3).map(|block| block.header).collect();
    let hex = |headers: &[bitcoin::block::Header]| headers.iter().map(serialize_hex).collect::<String>();
    let mut idle = headers[2];
    while idle.validate_pow(idle.target()).is_ok() {
        idle.nonce += 1;
    }
    for (answer, kind) in [
        (hex(&[headers[0], headers[1], idle]), "garbage"),
        (hex(&[headers[0], headers[2]]), "changed"),
        (hex(&headers[..2])[..300].to_owned(), "garbage"),
        (hex(&[headers.as_slice(), &headers].concat()), "garbage"),
        ("zz".repeat(80), "garbage"),
    ] {
        let lie = Reply::Result(json!({ "hex": answer, "count": 3, "max": 2016 }));
        let (_server, endpoint) = electrum(&chain, lying("blockchain.block.headers", lie)).await;
        let error = endpoint.headers(Height(0), 3).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    let lie = Reply::Result(json!({ "height": 2, "hex": hex(&[idle]) }));
    let (_server, endpoint) = electrum(&chain, lying("blockchain.headers.subscribe", lie)).await;
    assert_eq!(endpoint.tip().await.unwrap_err().kind(), "garbage");
    let (_server, endpoint) =
        core(&chain, lying("getblockheader", Reply::Result(json!(hex(&headers[1..2]))))).await;
    let error = endpoint.tip().await.unwrap_err();
    assert!(
        error.kind() == "garbage" && error.to_string().contains(&headers[1].block_hash().to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn an_answer_over_the_limit_is_one_items() {
    let chain = Regtest::new();
    let outpoint = first_output(&mined(&chain, 1, 50_000)).outpoint;
    let endless = "x".repeat(70_000);
    for limit in [65_536, 80_000] {
        let limits = Limits { bytes: limit, ..Limits::default() };
        let large = Reply::Result(json!(endless));
        let lists = BitcoinServer::electrum(
            &chain,
            Serving::default(),
            lying("blockchain.transaction.get", large.clone()),
        );
        let node = BitcoinServer::core(&chain, Serving::default(), lying("getrawtransaction", large));
        for server in [lists.await.unwrap(), node.await.unwrap()] {
            let endpoint = Endpoint::new(server.url(), limits).unwrap();
            let kind = if limit < endless.len() { "too-large" } else { "garbage" };
            assert_eq!(transaction_error(&endpoint, outpoint).await.kind(), kind);
        }
    }
}

#[tokio::test]
async fn what_is_no_json_rpc_is_garbage_and_what_stays_away_is_late() {
    let chain = Regtest::new();
    let outpoint = first_output(&mined(&chain, 1, 50_000)).outpoint;
    for body in ["", "hello", "{}", "[]", "null", r#"{"id":99,"result":1}"#, r#"{"id":"x","result":1}"#] {
        let (_server, endpoint) = core(&chain, move |_, _| Reply::Body(body.to_owned())).await;
        assert_eq!(endpoint.sightings(&[outpoint]).await.unwrap_err().kind(), "garbage", "{body}");
    }
    for body in ["hello", r#"{"id":99,"result":1}"#] {
        let (_server, endpoint) = electrum(&chain, move |_, _| Reply::Body(body.to_owned())).await;
        assert_eq!(endpoint.tip().await.unwrap_err().kind(), "garbage", "{body}");
    }
    let limits = Limits { answer: Duration::from_millis(50), ..Limits::default() };
    let server =
        BitcoinServer::electrum(&chain, Serving::default(), lying("blockchain.relayfee", Reply::Stall))
            .await
            .unwrap();
    let endpoint = Endpoint::new(server.url(), limits).unwrap();
    assert_eq!(endpoint.fee_rates().await.unwrap_err().kind(), "timed-out");
    assert_eq!(
        endpoint.genesis().await.unwrap(),
        chain.blocks_from(Height(0))[0].block_hash(),
        "the next call connects anew"
    );
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_opened_again() {
    let chain = Regtest::new();
    let (server, endpoint) = electrum(&chain, |_, _| Reply::Forward).await;
    endpoint.tip().await.unwrap();
    server.hang_up();
    assert_eq!(endpoint.tip().await.unwrap().height, chain.height());
}

#[tokio::test]
async fn estimates_are_rates_or_none() {
    let chain = Regtest::new();
    for (estimate, expected) in
        [(Some(0.000_123_4), Some(3_085)), (Some(-1.0), None), (Some(0.0), None), (None, None)]
    {
        let serving = Serving { estimate, ..Serving::default() };
        for server in [
            BitcoinServer::electrum(&chain, serving.clone(), |_, _| Reply::Forward).await.unwrap(),
            BitcoinServer::core(&chain, serving.clone(), |_, _| Reply::Forward).await.unwrap(),
        ] {
            let endpoint = Endpoint::new(server.url(), Limits::default()).unwrap();
            let rates = endpoint.fee_rates().await.unwrap();
            assert_eq!(rates.next_block.map(FeeRate::to_sat_per_kwu), expected, "{estimate:?}");
            assert_eq!(rates.relay_minimum.to_sat_per_kwu(), 250);
        }
    }
    let refused = Reply::Error(json!({ "code": 2, "message": "no estimates here" }));
    let (_server, endpoint) = electrum(&chain, lying("blockchain.estimatefee", refused.clone())).await;
    assert_eq!(endpoint.fee_rates().await.unwrap().next_block, None);
    // Without a least rate nothing can be said of a fee.
    let (_server, endpoint) = electrum(&chain, lying("blockchain.relayfee", refused.clone())).await;
    assert_eq!(endpoint.fee_rates().await.unwrap_err().kind(), "rpc-error");
    let (_server, endpoint) = core(&chain, move |method, _| match method {
        "getmempoolinfo" | "getnetworkinfo" => refused.clone(),
        _ => Reply::Forward,
    })
    .await;
    assert_eq!(endpoint.fee_rates().await.unwrap_err().kind(), "garbage");
    // While its mempool is full, a node relays only what pays more.
    let full = Reply::Result(json!({ "mempoolminfee": 0.000_05, "minrelaytxfee": 0.000_01 }));
    let (_server, endpoint) = core(&chain, lying("getmempoolinfo", full)).await;
    assert_eq!(endpoint.fee_rates().await.unwrap().relay_minimum.to_sat_per_kwu(), 1_250);
}

/// btcd's `gettxout` doesn't notice what the mempool spends; its `gettxspendingprevout` does.
#[tokio::test]
async fn an_output_that_a_mempool_spends_is_spent_even_if_one_answer_forgets_it() {
    let chain = Regtest::new();
    let funding = mined(&chain, 1, 50_000);
    let output = first_output(&funding);
    let blind = json!({
        "bestblock": chain.blocks_from(chain.height())[0].block_hash(),
        "confirmations": 1,
        "scriptPubKey": { "hex": output.script.to_hex_string() },
    });
    let (_server, endpoint) = core(&chain, lying("gettxout", Reply::Result(blind))).await;
    let asked = [output];
    assert_eq!(endpoint.unspent(&asked).await.unwrap(), [Ok(true)]);
    chain.broadcast(&crate::backends::conformance::spend(&funding, 1, coin(2, 40_000))).unwrap();
    assert_eq!(endpoint.unspent(&asked).await.unwrap(), [Ok(false)]);
}

/// Without an index, a block is found by counting down from the tip: it must be the tip that the count was made at.
#[tokio::test]
async fn a_tip_that_moves_between_two_answers_is_noticed() {
    let chain = Regtest::new();
    let output = first_output(&mined(&chain, 1, 50_000));
    let blocks = chain.blocks_from(chain.height().saturating_sub(1));
    for (block, kind) in [(&blocks[0], Some("changed")), (&blocks[1], None)] {
        let entry = json!({
            "bestblock": block.block_hash(),
            "confirmations": 1,
            "scriptPubKey": { "hex": output.script.to_hex_string() },
        });
        let serving = Serving { index: false, ..Serving::default() };
        let meet = lying("gettxout", Reply::Result(entry));
        let server = BitcoinServer::core(&chain, serving, meet).await.unwrap();
        let endpoint = Endpoint::new(server.url(), Limits::default()).unwrap();
        let answers = endpoint.sightings(&[output.outpoint]).await.unwrap();
        assert_eq!(answers[0].as_ref().err().map(BackendError::kind), kind, "{answers:?}");
    }
}

#[tokio::test]
async fn errors_name_host_and_port_and_no_password() {
    let chain = Regtest::new();
    let (server, endpoint) = core(&chain, |_, _| Reply::Forward).await;
    let address = format!("127.0.0.1:{}", server.url().port().unwrap());
    drop(server);
    let error = endpoint.tip().await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(shown.contains(&address) && !shown.contains("secret"), "{shown}");
    assert!(error.to_string().starts_with("getblockchaininfo: can't connect to 127.0.0.1:"), "{error}");
}

#[tokio::test]
async fn answers_too_large_together_are_asked_for_in_halves() {
    let chain = Regtest::new();
    let outpoints: Vec<_> = (1..=5).map(|n| first_output(&mined(&chain, n, 50_000)).outpoint).collect();
    let server = BitcoinServer::core(&chain, Serving::default(), |_, _| Reply::Forward).await.unwrap();
    let endpoint = |bytes| Endpoint::new(server.url(), Limits { bytes, ..Limits::default() }).unwrap();
    let roomy = endpoint(Limits::default().bytes);
    let expected = roomy.sightings(&outpoints).await.unwrap();
    assert!(expected.iter().all(|known| matches!(known, Ok(Some(_)))), "{expected:?}");

    // Room for the answers to two.
    let tight = endpoint(1_200);
    assert_eq!(tight.sightings(&outpoints).await.unwrap(), expected);
    assert!(tight.round_trips() > roomy.round_trips(), "{} batches", tight.round_trips());
    // For none.
    let error = endpoint(100).sightings(&outpoints).await.unwrap_err();
    assert_eq!(error.kind(), "too-large");
}
