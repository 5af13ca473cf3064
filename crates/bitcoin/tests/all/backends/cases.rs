//! Small inputs from public bug reports, each with what is right, and a second one of its kind.

use std::time::{Duration, SystemTime};

use bitcoin::{BlockHash, Network, OutPoint, Transaction, block::Header, consensus::encode};
use coxswain_bitcoin::{
    Backend, BackendError, Backends, CORE_METHODS, Endpoint, Expected, Limits, Server,
    chain::{HeaderRules, Start},
};
use coxswain_rules::{
    Assurance, Assured,
    units::{Confirmations, Height},
};
use coxswain_testkit::{BitcoinServer, Regtest, Reply, Serving};
use serde_json::{Value, json};

use crate::backends::{
    conformance::{first_output, mined},
    hostile::with_chain,
};

/// The case in this file.
macro_rules! case {
    ($name:literal) => {
        serde_json::from_str::<Value>(include_str!(concat!("../../../vectors/cases/", $name, ".json")))
            .unwrap()
    };
}

fn endpoint(server: &BitcoinServer) -> Endpoint {
    Endpoint::new(server.url(), Limits::default()).unwrap()
}

async fn electrum(
    chain: &Regtest,
    meet: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static,
) -> BitcoinServer {
    BitcoinServer::electrum(chain, Serving::default(), meet).await.unwrap()
}

async fn core(
    chain: &Regtest,
    meet: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static,
) -> BitcoinServer {
    BitcoinServer::core(chain, Serving::default(), meet).await.unwrap()
}

/// A node whose user may ask for these methods only: any other spoils the whole batch.
async fn restricted(chain: &Regtest, allowed: Vec<String>) -> BitcoinServer {
    core(chain, move |method, _| {
        if allowed.iter().any(|allowed| allowed == method) { Reply::Forward } else { Reply::Status(403) }
    })
    .await
}

#[tokio::test]
async fn case_core_rpcwhitelist() {
    let case = case!("core-rpcwhitelist");
    let line = case["bitcoin.conf"][0].as_str().unwrap();
    let (_, allowed) = line.split_once(':').unwrap();
    let chain = Regtest::new();
    let deposit = mined(&chain, 1, 50_000);
    // The list of the report, and the one that is documented: `getblock` is on it, too.
    for (allowed, proves) in [
        (allowed.split(',').map(str::to_owned).collect::<Vec<_>>(), false),
        (CORE_METHODS.map(str::to_owned).to_vec(), true),
    ] {
        let node = restricted(&chain, allowed).await;
        let endpoint = endpoint(&node);
        endpoint.tip().await.unwrap();
        assert_eq!(endpoint.fee_rates().await.unwrap().relay_minimum.to_sat_per_kwu(), 250);
        assert_eq!(endpoint.unspent(&[first_output(&deposit)]).await.unwrap(), [Ok(true)]);
        let backends = Backends::new(vec![endpoint], Expected::on(Network::Regtest));
        let known = backends.transactions(&[first_output(&deposit).outpoint]).await.unwrap().remove(0);
        match known {
            Ok(known) => assert!(proves && known.fact.unwrap().confirmations == Confirmations(1)),
            // Its remedy names rpcwhitelist.
            Err(error) => {
                assert!(!proves && matches!(error, BackendError::Http { status: 403, .. }), "{error}")
            }
        }
    }
}

/// The second: btcd's own methods are asked of a node that hasn't Bitcoin Core's, and only then.
#[tokio::test]
async fn second_case_of_core_rpcwhitelist() {
    let chain = Regtest::new();
    let missing = || Reply::Error(json!({ "code": -32601, "message": "Method not found" }));
    let btcd = core(&chain, move |method, _| match method {
        "getmempoolinfo" | "getnetworkinfo" | "estimatesmartfee" => missing(),
        "getinfo" => Reply::Result(json!({ "version": 240_200, "relayfee": 0.000_01 })),
        "estimatefee" => Reply::Result(json!(0.000_123_4)),
        _ => Reply::Forward,
    })
    .await;
    let rates = endpoint(&btcd).fee_rates().await.unwrap();
    assert_eq!(rates.relay_minimum.to_sat_per_kwu(), 250);
    assert_eq!(rates.next_block.map(bitcoin::FeeRate::to_sat_per_kwu), Some(3_085));
}

#[tokio::test]
async fn case_electrum_absent_then_known() {
    let case = case!("electrum-absent-then-known");
    let hex = case["server_2"]["result"]["hex"].as_str().unwrap();
    let transaction: Transaction = encode::deserialize_hex(hex).unwrap();
    let outpoint = OutPoint::new(transaction.compute_txid(), 0);
    let (first, second) = (case["server_1"]["error"].clone(), case["server_2"]["result"].clone());
    let chain = Regtest::new();
    let answers = |reply: Reply| {
        move |method: &str, _: &Value| match method {
            "blockchain.transaction.get" => reply.clone(),
            _ => Reply::Forward,
        }
    };
    let denies = electrum(&chain, answers(Reply::Error(first))).await;
    let knows = electrum(&chain, answers(Reply::Result(second))).await;
    for turned in [false, true] {
        let mut endpoints = vec![endpoint(&denies), endpoint(&knows)];
        if turned {
            endpoints.reverse();
        }
        let backends = Backends::new(endpoints, Expected::on(Network::Regtest));
        let answer = backends.transactions(&[outpoint]).await.unwrap().remove(0).unwrap();
        assert_eq!(answer.fact.unwrap().transaction, transaction);
    }
}

/// The second: two that deny, in words that nobody knows, and one that shows it in a block.
#[tokio::test]
async fn second_case_of_electrum_absent_then_known() {
    let chain = Regtest::new();
    let deposit = mined(&chain, 1, 50_000);
    let denies = |method: &str, _: &Value| match method {
        "blockchain.transaction.get" => Reply::Error(
            json!({ "code": 2, "message": "daemon error: No such mempool or blockchain transaction" }),
        ),
        _ => Reply::Forward,
    };
    let servers = [
        electrum(&chain, denies).await,
        electrum(&chain, denies).await,
        core(&chain, |_, _| Reply::Forward).await,
    ];
    let backends = Backends::new(servers.iter().map(endpoint).collect(), with_chain(&chain));
    let answer = backends.transactions(&[first_output(&deposit).outpoint]).await.unwrap().remove(0).unwrap();
    assert_eq!((answer.fact.unwrap().confirmations, answer.assurance), (Confirmations(1), Assurance::Proven));
}

/// A header of this time and these bits that somebody has mined, if they are easy.
fn cheap(mut header: Header) -> Header {
    while !header.target().is_met_by(header.block_hash()) {
        header.nonce = header.nonce.wrapping_add(1);
    }
    header
}

/// An Electrum server of mainnet's genesis, at this height with this header, whatever it is asked for.
async fn relative(genesis: String, height: Height, header: Header) -> BitcoinServer {
    let hex = encode::serialize_hex(&header);
    electrum(&Regtest::new(), move |method, params| match method {
        "blockchain.block.header" if params[0] == 0 => Reply::Result(json!(genesis)),
        "blockchain.block.header" => Reply::Result(json!(hex)),
        "blockchain.headers.subscribe" => Reply::Result(json!({ "height": height, "hex": hex })),
        "blockchain.block.headers" => Reply::Result(json!({ "count": 1, "hex": hex, "max": 2016 })),
        _ => Reply::Forward,
    })
    .await
}

#[tokio::test]
async fn case_electrum_bitcoin_cash_server() {
    let case = case!("electrum-bitcoin-cash-server");
    let answers = &case["answers"];
    let genesis = answers["blockchain.block.header [0]"].as_str().unwrap().to_owned();
    let newest = &answers["blockchain.headers.subscribe"];
    // The public header that the case names.
    let hex = newest["hex"].as_str().unwrap().split(' ').find_map(|word| {
        let word = word.trim_end_matches(')');
        (word.len() == 160).then_some(word)
    });
    let header: Header = encode::deserialize_hex(hex.unwrap()).unwrap();
    let height = Height(u32::try_from(newest["height"].as_u64().unwrap()).unwrap());
    let server = relative(genesis, height, header).await;
    let backends = Backends::new(vec![endpoint(&server)], Expected::on(Network::Bitcoin));
    let start = Start::mainnet();
    let error = backends.tip().await.unwrap_err();
    assert!(
        matches!(error, BackendError::OtherChain { height, actual, expected, .. }
            if height == start.height && actual == header.block_hash() && expected == start.header.block_hash()),
        "{error}"
    );
    assert_eq!((error.kind(), error.is_retryable()), ("wrong-network", false));
    assert_eq!(backends.health().await[0].problem.as_ref().map(BackendError::kind), Some("wrong-network"));
}

/// The second: a relative among three is named, and makes nobody late who isn't.
#[tokio::test]
async fn second_case_of_electrum_bitcoin_cash_server() {
    let chain = Regtest::new();
    let other = chain.fork();
    // They part where our chain starts, and the relative is longer.
    other.reorganize(60, &[]).unwrap();
    other.mine_empty(20).unwrap();
    let servers = [
        electrum(&other, |_, _| Reply::Forward).await,
        electrum(&chain, |_, _| Reply::Forward).await,
        core(&chain, |_, _| Reply::Forward).await,
    ];
    let backends = Backends::new(servers.iter().map(endpoint).collect(), with_chain(&chain));
    assert_eq!(backends.tip().await.unwrap().height, chain.height());
    let problems: Vec<_> = backends
        .health()
        .await
        .iter()
        .map(|health| health.problem.as_ref().map(BackendError::kind))
        .collect();
    assert_eq!(problems, [Some("wrong-network"), None, None]);
}

#[tokio::test]
async fn case_electrum_busy_taken_for_unindexed() {
    let case = case!("electrum-busy-taken-for-unindexed");
    let chain = Regtest::new();
    let deposit = mined(&chain, 1, 50_000);
    let outpoint = first_output(&deposit).outpoint;
    for busy in [&case["first"]["error"], &case["also"]["error"]] {
        let busy = busy.clone();
        let server = electrum(&chain, move |method, params| match method {
            "blockchain.transaction.get" if params[1] == true => Reply::Error(busy.clone()),
            "blockchain.scripthash.listunspent" => Reply::Result(json!([])),
            _ => Reply::Forward,
        })
        .await;
        let error = endpoint(&server).sightings(&[outpoint]).await.unwrap().remove(0).unwrap_err();
        assert!(error.kind() == "rpc-error" && error.is_retryable(), "{error}");
        // Passed on to the others, it hurts nobody.
        let spares =
            [core(&chain, |_, _| Reply::Forward).await, electrum(&chain, |_, _| Reply::Forward).await];
        let endpoints = vec![endpoint(&server), endpoint(&spares[0]), endpoint(&spares[1])];
        let backends = Backends::new(endpoints, Expected::on(Network::Regtest));
        assert!(backends.transactions(&[outpoint]).await.unwrap().remove(0).unwrap().fact.is_some());
    }
}

/// The second: a node that loads its blocks, and says meanwhile that it has no such output.
#[tokio::test]
async fn second_case_of_electrum_busy_taken_for_unindexed() {
    let chain = Regtest::new();
    let outpoint = first_output(&mined(&chain, 1, 50_000)).outpoint;
    let server = core(&chain, |method, _| match method {
        "getrawtransaction" => Reply::Error(json!({ "code": -28, "message": "Loading block index…" })),
        "gettxout" => Reply::Result(Value::Null),
        _ => Reply::Forward,
    })
    .await;
    let error = endpoint(&server).sightings(&[outpoint]).await.unwrap().remove(0).unwrap_err();
    assert!(error.kind() == "rpc-error" && error.is_retryable(), "{error}");
}

#[tokio::test]
async fn case_electrum_version_out_of_range() {
    let case = case!("electrum-version-out-of-range");
    for answer in case["answers"].as_array().unwrap() {
        let version = answer[1].as_str().unwrap().to_owned();
        let answer = answer.clone();
        let server = electrum(&Regtest::new(), move |method, _| match method {
            "server.version" => Reply::Result(answer.clone()),
            _ => Reply::Forward,
        })
        .await;
        let error = endpoint(&server).tip().await.unwrap_err();
        assert_eq!(error.kind(), "other-version");
        let words = format!("speaks version {version} of Electrum's protocol, 1.4 to 1.4.5 are understood");
        assert!(error.to_string().contains(&words), "{error}");
    }
}

/// The second: versions are numbers, not words: 1.10 is no 1.1, nor within 1.4 and 1.4.5; and one that is no version at all.
#[tokio::test]
async fn second_case_of_electrum_version_out_of_range() {
    for (version, understood) in
        [("1.4.2", true), ("1.4", true), ("1.10", false), ("1.40", false), ("new", false)]
    {
        let server = electrum(&Regtest::new(), move |method, _| match method {
            "server.version" => Reply::Result(json!(["ElectrumX", version])),
            _ => Reply::Forward,
        })
        .await;
        assert_eq!(endpoint(&server).tip().await.is_ok(), understood, "{version}");
    }
}

#[tokio::test]
async fn case_electrum_worthless_header() {
    let case = case!("electrum-worthless-header");
    let answers = case["answers"].clone();
    let mined: Header =
        encode::deserialize_hex(answers["blockchain.block.header [959901]"].as_str().unwrap()).unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    // Two tries of a nonce.
    let newest = cheap(Header { time: u32::try_from(now).unwrap(), ..mined });
    let txid = case["txid"].as_str().unwrap().parse().unwrap();
    let shown = answers.clone();
    let hex = encode::serialize_hex(&newest);
    let server = electrum(&Regtest::new(), move |method, params| match method {
        "blockchain.block.header" if params[0] == 0 => {
            Reply::Result(shown["blockchain.block.header [0]"].clone())
        }
        "blockchain.block.header" => Reply::Result(shown["blockchain.block.header [959901]"].clone()),
        "blockchain.block.headers" => Reply::Result(json!({ "count": 1, "hex": hex, "max": 2016 })),
        "blockchain.headers.subscribe" => Reply::Result(json!({ "height": 960_000, "hex": hex })),
        "blockchain.transaction.get" => {
            Reply::Result(shown["blockchain.transaction.get [txid, true]"].clone())
        }
        "blockchain.transaction.get_merkle" => {
            Reply::Result(shown["blockchain.transaction.get_merkle"].clone())
        }
        _ => Reply::Forward,
    })
    .await;
    // By itself the answer holds together.
    assert!(
        endpoint(&server).sightings(&[OutPoint::new(txid, 0)]).await.unwrap()[0].as_ref().unwrap().is_some()
    );
    let backends = Backends::new(vec![endpoint(&server)], Expected::on(Network::Bitcoin));
    assert_eq!(backends.tip().await.unwrap_err().kind(), "wrong-network");
    assert_eq!(backends.transactions(&[OutPoint::new(txid, 0)]).await.unwrap_err().kind(), "wrong-network");
}

/// The second: headers that stand on the chain's start, and are easier than it: from mainnet's real start, with its real rules.
#[tokio::test]
async fn second_case_of_electrum_worthless_header() {
    let start = Start::mainnet();
    let easy = Header {
        prev_blockhash: start.header.block_hash(),
        time: start.header.time + 600,
        bits: bitcoin::Target::MAX_ATTAINABLE_REGTEST.to_compact_lossy(),
        ..start.header
    };
    let hex: String = [start.header, cheap(easy)].iter().map(encode::serialize_hex).collect();
    let genesis =
        encode::serialize_hex(&bitcoin::blockdata::constants::genesis_block(Network::Bitcoin).header);
    let server = electrum(&Regtest::new(), move |method, _| match method {
        "blockchain.block.header" => Reply::Result(json!(genesis)),
        "blockchain.block.headers" => Reply::Result(json!({ "count": 2, "hex": hex, "max": 2016 })),
        _ => Reply::Forward,
    })
    .await;
    let clock =
        || SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(Start::mainnet().header.time) + 700);
    let expected = Expected { clock, ..Expected::on(Network::Bitcoin) };
    assert_eq!(expected.chain.map(|(_, rules)| rules), Some(HeaderRules::MAINNET));
    let error = Backends::new(vec![endpoint(&server)], expected).tip().await.unwrap_err();
    assert!(error.kind() == "bad-header" && error.to_string().contains("its bits are"), "{error}");
}

/// Nobody's answer is more than his word if it isn't proven, and what is proven is so whoever shows it.
#[tokio::test]
async fn one_server_alone_proves_what_is_mined_and_gives_its_word_for_the_rest() {
    let chain = Regtest::new();
    let deposit = mined(&chain, 1, 50_000);
    let server = core(&chain, |_, _| Reply::Forward).await;
    let backends = Backends::new(vec![endpoint(&server)], with_chain(&chain));
    let known = backends.transactions(&[first_output(&deposit).outpoint]).await.unwrap().remove(0).unwrap();
    assert_eq!(known.assurance, Assurance::Proven);
    let absent = OutPoint::new(
        bitcoin::Txid::from_raw_hash(
            BlockHash::from_raw_hash(bitcoin::hashes::Hash::hash(b"x")).to_raw_hash(),
        ),
        0,
    );
    let none = backends.transactions(&[absent]).await.unwrap().remove(0);
    assert_eq!(none, Ok(Assured { fact: None, assurance: Assurance::Word }));
}
