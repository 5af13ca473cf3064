//! `coxswain doctor` as a person or a script runs it: green with nothing wrong, and for each thing wrong that one red.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

use crate::support::{Run, coxswain};
use alloy_primitives::{Address, B256, hex, keccak256};
use coxswain_testkit::{BitcoinServer, FaultyEndpoint, Reply, Serving, World, deployed_validator};
use serde_json::{Value, json};

/// A world to examine, with what the program prints of it.
struct Examined {
    world: World,
    url: String,
    validator: String,
    bridge: String,
}

impl Examined {
    async fn set_up() -> Self {
        let world = World::start().await.unwrap();
        let (bridge, validator) = (world.bridge.address().to_string(), world.validator.to_string());
        Self { url: world.chain.endpoint(), validator, bridge, world }
    }

    async fn doctor(&self, urls: &[&str], more: &[&str]) -> Run {
        let mut arguments = vec!["doctor", "--validator", &self.validator];
        for url in urls {
            arguments.extend(["--rpc-url", url]);
        }
        arguments.extend(more);
        coxswain(&arguments, "").await
    }

    /// The checks that fail through an endpoint that meets requests so, each with what was found.
    async fn wrong(
        &self,
        meet: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static,
    ) -> Vec<(String, String)> {
        let node = FaultyEndpoint::start_inspecting(self.url.parse().unwrap(), meet).await.unwrap();
        let run = self.doctor(&[node.url().as_str()], &["--json"]).await;
        assert_eq!(run.code, 1, "{run:?}");
        wrong(&run)
    }
}

/// What is said of an honest server's proofs.
const PROOFS: &str = if cfg!(feature = "proven") { "it proves the " } else { "it proves no state" };

/// The checks that failed, each with what was found.
fn wrong(run: &Run) -> Vec<(String, String)> {
    let json = run.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let checks = json["checks"].as_array().unwrap();
    for check in checks {
        assert_eq!(check["ok"] == json!(true), check.get("remedy").is_none(), "{check}");
    }
    assert_eq!(json["ok"], json!(checks.iter().all(|check| check["ok"] == json!(true))));
    let wrong = checks.iter().filter(|check| check["ok"] == json!(false));
    wrong.map(|check| (text(&check["check"]), text(&check["found"]))).collect()
}

/// Of what is wrong, the names.
fn names(wrong: &[(String, String)]) -> Vec<&str> {
    wrong.iter().map(|(name, _)| name.as_str()).collect()
}

async fn closed_port() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn all_is_well_with_either_validator_and_each_check_says_what_was_found() {
    let examined = Examined::set_up().await;
    let deployed = examined.world.deploy_validator(&deployed_validator().unwrap()).await.unwrap().to_string();
    let run = examined.doctor(&[&examined.url, &examined.url], &["--bridge", &examined.bridge]).await;
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    for words in [
        "Ethereum at localhost:",
        "chain                   31337, local\n",
        "0 behind the best",
        &format!("bytes of code at {}", examined.validator),
        "all 6 as in the rules evaluated here",
        "readable in one call",
        "\nall 19 checks passed",
        "1 of 1 answers, 1 must say the same: what it doesn't prove is its word; three are recommended",
        PROOFS,
    ] {
        assert!(run.stdout.contains(words), "{words}: {}", run.stdout);
    }
    let arguments = ["doctor", "--rpc-url", &examined.url, "--validator", &deployed, "--json"];
    let run = coxswain(&arguments, "").await;
    assert_eq!((run.code, &run.json()["ok"]), (0, &json!(true)), "{run:?}");
    let checks: Vec<_> =
        run.json()["checks"].as_array().unwrap().iter().map(|check| check["check"].clone()).collect();
    let expected = [
        "chain",
        "newest block",
        "proofs",
        "validator",
        "validator's Bridge",
        "constants",
        "Bridge",
        "Bridge's state",
        "Bridge's events",
        "quorum",
    ];
    assert_eq!(checks, expected);
}

#[tokio::test]
async fn inc_24_offline_wrong_chain_behind_and_no_code_are_told_apart() {
    let examined = Examined::set_up().await;
    let dead = format!("http://{}", closed_port().await);
    let run = examined.doctor(&[&dead], &["--json"]).await;
    assert_eq!(run.code, 1, "{run:?}");
    assert_eq!(names(&wrong(&run)), ["answers", "quorum"]);
    assert!(wrong(&run)[0].1.contains("can't connect"), "{run:?}");

    // Another network than the one asked for, and another than the endpoint before it.
    let run = examined.doctor(&[&examined.url], &["--network", "mainnet", "--json"]).await;
    let found = "31337, local, which is not mainnet".to_owned();
    let nobody_answers = "0 of 1 answer, 1 must say the same".to_owned();
    assert_eq!(wrong(&run), [("chain".to_owned(), found), ("quorum".to_owned(), nobody_answers)]);
    let other = FaultyEndpoint::start(examined.url.parse().unwrap(), |method| match method {
        "eth_chainId" => Reply::Result(json!("0x539")),
        _ => Reply::Forward,
    });
    let other = other.await.unwrap();
    let run = examined.doctor(&[&examined.url, other.url().as_str()], &["--json"]).await;
    let found = "1337, local, but an endpoint before it serves 31337".to_owned();
    let one_answers = "1 of 2 answers, 2 must say the same".to_owned();
    let told = wrong(&run);
    assert_eq!(told[..2], [("chain".to_owned(), found), ("quorum".to_owned(), one_answers)]);
    let [(check, agreement)] = &told[2..] else { panic!("{told:?}") };
    let who = format!("{} says that it serves chain 1337", other.url().authority());
    assert!(check == "agreement" && agreement.contains(&who), "{agreement}");

    // Eleven blocks behind, and ten.
    let (copy, at) = (examined.url.clone(), examined.world.bridge.address().to_string());
    examined.world.chain.mine(20).await.unwrap();
    let latest = coxswain(&["window", "--rpc-url", &copy, "--json"], "").await.json()["block"].clone();
    for (lag, expected) in [(10, &[][..]), (11, &["newest block"])] {
        let number = format!("{:#x}", latest.as_u64().unwrap() - lag);
        let meet = move |method: &str, params: &Value| match (method, &params[0]) {
            ("eth_getBlockByNumber", tag) if tag == "latest" => {
                Reply::Result(json!({ "number": number, "hash": B256::repeat_byte(7), "timestamp": "0x1" }))
            }
            // What is read at that block can be read.
            ("eth_call" | "eth_getLogs" | "eth_getBlockByHash", _) => Reply::Forward,
            _ => Reply::Forward,
        };
        let node = FaultyEndpoint::start_inspecting(copy.parse().unwrap(), meet).await.unwrap();
        let third = FaultyEndpoint::start(copy.parse().unwrap(), |_| Reply::Forward).await.unwrap();
        let urls = [copy.as_str(), node.url().as_str(), third.url().as_str()];
        let run = examined.doctor(&urls, &["--json", "--bridge", &at]).await;
        let of_lagging: Vec<_> = wrong(&run).into_iter().filter(|(name, _)| name == "newest block").collect();
        assert_eq!(names(&of_lagging), expected, "{run:?}");
    }

    let nobody = Address::repeat_byte(0xab).to_string();
    let run = coxswain(&["doctor", "--rpc-url", &examined.url, "--validator", &nobody, "--json"], "").await;
    assert_eq!(run.code, 1, "{run:?}");
    assert_eq!(wrong(&run), [("validator".to_owned(), format!("no code at {nobody}"))]);
    let run = coxswain(&["doctor", "--rpc-url", &examined.url, "--json"], "").await;
    assert_eq!(wrong(&run), [("validator".to_owned(), "none is known for chain 31337".to_owned())]);
    let run = examined.doctor(&[&examined.url], &["--bridge", &nobody, "--json"]).await;
    assert_eq!(names(&wrong(&run)), ["validator's Bridge", "Bridge"], "{run:?}");
}

#[tokio::test]
async fn a_stale_mainnet_endpoint_is_behind() {
    let examined = Examined::set_up().await;
    let meet = |age: u64| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        move |method: &str, params: &Value| match (method, &params[0]) {
            ("eth_chainId", _) => Reply::Result(json!("0x1")),
            ("eth_getBlockByNumber", _) => Reply::Result(
                json!({ "number": "0x1", "hash": B256::repeat_byte(7), "timestamp": format!("{:#x}", now - age) }),
            ),
            _ => Reply::Forward,
        }
    };
    assert!(!names(&examined.wrong(meet(170)).await).contains(&"newest block"));
    assert!(names(&examined.wrong(meet(181)).await).contains(&"newest block"));
}

#[tokio::test]
async fn the_largest_block_and_time_are_no_panic() {
    let examined = Examined::set_up().await;
    let most = json!({
        "number": "0xffffffffffffffff", "hash": B256::repeat_byte(7), "timestamp": "0xffffffffffffffff",
    });
    let meet = move |method: &str, _: &Value| match method {
        "eth_getBlockByNumber" => Reply::Result(most.clone()),
        _ => Reply::Forward,
    };
    // No more than that the rest can't be read there.
    assert!(!names(&examined.wrong(meet).await).contains(&"chain"));
}

#[tokio::test]
async fn each_thing_wrong_with_the_contracts_is_the_one_that_is_red() {
    let examined = Examined::set_up().await;
    let call_of = |signature: &str| hex::encode_prefixed(&keccak256(signature)[..4]);
    // Answers one view of the validator with another number.
    let answering = |signature: &str, word: B256| {
        let selector = call_of(signature);
        move |method: &str, params: &Value| {
            let input = params[0]["input"].as_str().unwrap_or_default();
            if method == "eth_call" && input == selector {
                Reply::Result(json!(word))
            } else {
                Reply::Forward
            }
        }
    };
    for (name, value) in [
        ("DEPOSIT_MIN_AGE", 7200),
        ("DEPOSIT_REFUND_SAFETY_MARGIN", 86400),
        ("DEPOSIT_SWEEP_MAX_SIZE", 20),
        ("REDEMPTION_MAX_SIZE", 20),
        ("REDEMPTION_REQUEST_MIN_AGE", 600),
        ("REDEMPTION_REQUEST_TIMEOUT_SAFETY_MARGIN", 7200),
    ] {
        let other = B256::from(alloy_primitives::U256::from(value + 1));
        let wrong = examined.wrong(answering(&format!("{name}()"), other)).await;
        let found = format!("{name} is {}, expected {value}", value + 1);
        assert_eq!(wrong, [("constants".to_owned(), found)]);
    }
    let wrong = examined.wrong(answering("DEPOSIT_MIN_AGE()", B256::repeat_byte(0xff))).await;
    assert_eq!(names(&wrong), ["constants"], "what is no answer is none: {wrong:?}");
    assert!(wrong[0].1.contains("is not what it can be"), "{wrong:?}");

    // The snapshot reader's call has no `to`.
    let refused = json!({ "code": -32602, "message": "missing field to" });
    let wrong = examined
        .wrong(move |method, params| match (method, params[0].get("to")) {
            ("eth_call", None) => Reply::Error(refused.clone()),
            _ => Reply::Forward,
        })
        .await;
    assert_eq!(names(&wrong), ["Bridge's state"]);
    let refused = json!({ "code": -32601, "message": "the method eth_getLogs does not exist" });
    let wrong = examined
        .wrong(move |method, _| match method {
            "eth_getLogs" => Reply::Error(refused.clone()),
            _ => Reply::Forward,
        })
        .await;
    assert_eq!(names(&wrong), ["Bridge's events"]);
}

#[tokio::test]
async fn one_sick_endpoint_leaves_the_others_well_and_a_sick_bitcoin_server_is_named() {
    let examined = Examined::set_up().await;
    let (dead, server) = (format!("http://{}", closed_port().await), closed_port().await);
    let bitcoin = format!("tcp://{server}");
    let run = examined.doctor(&[&dead, &examined.url], &["--bitcoin-url", &bitcoin]).await;
    assert_eq!(run.code, 1, "{run:?}");
    let server = format!("Electrum at {server}\n  wrong  ");
    for words in [&server, "lets this machine connect", "2 of 13 checks failed"] {
        assert!(run.stdout.contains(words), "{words}: {}", run.stdout);
    }
    assert_eq!(run.stdout.matches("\n  wrong ").count(), 2, "{}", run.stdout);
}

/// The remedy of the one Bitcoin server there is.
async fn bitcoin_remedy(examined: &Examined, url: &str) -> String {
    let run = examined.doctor(&[&examined.url], &["--json", "--bitcoin-url", url]).await;
    assert_eq!(run.code, 1, "{run:?}");
    let json = run.json();
    let wrong: Vec<_> =
        json["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == json!(false)).collect();
    assert_eq!(wrong.len(), 1, "{run:?}");
    wrong[0]["remedy"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn each_cause_of_a_bitcoin_servers_refusal_has_its_remedy() {
    let examined = Examined::set_up().await;
    let chain = &examined.world.bitcoin;
    // A certificate of its own, and another than the one named.
    let server = BitcoinServer::electrum_over_tls(chain, Serving::default()).await.unwrap();
    let named = server.url().to_string();
    let bare = named.split('#').next().unwrap();
    let remedy = bitcoin_remedy(&examined, bare).await;
    assert!(remedy.ends_with(&format!("trust it and no other: {named}")), "{remedy}");
    let remedy = bitcoin_remedy(&examined, &format!("{bare}#{}", "ab".repeat(32))).await;
    assert!(remedy.contains("if it has a new certificate, give its SHA-256 behind #"), "{remedy}");
    assert_eq!(examined.doctor(&[&examined.url], &["--bitcoin-url", &named]).await.code, 0);

    let core = BitcoinServer::core(chain, Serving::default(), |_, _| Reply::Forward).await.unwrap();
    let remedy = bitcoin_remedy(&examined, &core.url().as_str().replace("secret", "guess")).await;
    assert!(remedy.contains("user and password") && remedy.contains("?cookie="), "{remedy}");
    let remedy = bitcoin_remedy(&examined, "http://127.0.0.1:1/?cookie=/no/such/file").await;
    assert!(remedy.contains("?cookie= names the node's cookie file"), "{remedy}");
    for (status, words) in [
        (
            403,
            "where its bitcoin.conf has rpcwhitelist, that must name estimatesmartfee,getblock,getblockchaininfo,",
        ),
        (503, "rpcworkqueue and rpcthreads"),
    ] {
        let node = FaultyEndpoint::start(examined.url.parse().unwrap(), move |_| Reply::Status(status))
            .await
            .unwrap();
        let url = node.url().as_str().replace("http://", "http://user:password@");
        let remedy = bitcoin_remedy(&examined, &url).await;
        assert!(remedy.contains(words), "{status}: {remedy}");
    }
    let warming = json!({ "code": -28, "message": "Loading block index…" });
    let node = BitcoinServer::core(chain, Serving::default(), move |_, _| Reply::Error(warming.clone()))
        .await
        .unwrap();
    assert!(bitcoin_remedy(&examined, node.url().as_str()).await.contains("the node is starting"));

    // Another network, and a node that isn't synced: four blocks behind two others. (Of two, nobody could tell which is right.)
    let other = Serving { network: bitcoin::Network::Signet, ..Serving::default() };
    let server = BitcoinServer::core(chain, other, |_, _| Reply::Forward).await.unwrap();
    let remedy = bitcoin_remedy(&examined, server.url().as_str()).await;
    assert_eq!(remedy, "give an endpoint of the network, or another --bitcoin-network");
    let behind = Serving { behind: 4, ..Serving::default() };
    let server = BitcoinServer::core(chain, behind, |_, _| Reply::Forward).await.unwrap();
    let second = BitcoinServer::core(chain, Serving::default(), |_, _| Reply::Forward).await.unwrap();
    let urls = [&core, &second, &server].map(|server| ["--bitcoin-url", server.url().as_str()]);
    let run = examined.doctor(&[&examined.url], &urls.concat()).await;
    assert!(run.code == 1 && run.stdout.contains("let the node sync, or leave it out"), "{run:?}");
}

#[tokio::test]
async fn each_cause_of_an_ethereum_endpoints_refusal_has_its_remedy() {
    let examined = Examined::set_up().await;
    for (status, words) in [
        (401, "doesn't admit you"),
        (403, "doesn't admit you"),
        (404, "the path"),
        (429, "plan's limit"),
        (503, "overloaded"),
    ] {
        let node = FaultyEndpoint::start(examined.url.parse().unwrap(), move |_| Reply::Status(status))
            .await
            .unwrap();
        let run = examined.doctor(&[node.url().as_str()], &["--json"]).await;
        let remedy = run.json()["checks"][0]["remedy"].as_str().unwrap().to_owned();
        assert!(remedy.contains(words), "{status}: {remedy}");
    }
    let remedy = async |urls: &[&str], more: &[&str]| {
        let run = examined.doctor(urls, &[more, &["--json"]].concat()).await;
        let json = run.json();
        let wrong = json["checks"].as_array().unwrap().iter().find(|check| check["ok"] == json!(false));
        wrong.unwrap_or_else(|| panic!("{run:?}"))["remedy"].as_str().unwrap().to_owned()
    };
    let other = remedy(&[&examined.url], &["--network", "mainnet"]).await;
    assert_eq!(other, "give an endpoint of the network, or another --network");
    // A node that isn't synced is twenty blocks behind the other one.
    examined.world.chain.mine(20).await.unwrap();
    let meet = |method: &str, params: &Value| match (method, &params[0]) {
        ("eth_getBlockByNumber", tag) if tag == "latest" => Reply::Instead(json!(["0x1", false])),
        _ => Reply::Forward,
    };
    let node = FaultyEndpoint::start_inspecting(examined.url.parse().unwrap(), meet).await.unwrap();
    let third = FaultyEndpoint::start(examined.url.parse().unwrap(), |_| Reply::Forward).await.unwrap();
    let unsynced = remedy(&[&examined.url, node.url().as_str(), third.url().as_str()], &[]).await;
    assert_eq!(unsynced, "let the node sync, or leave it out");
    let nobody = remedy(&["http://127.0.0.1:1"], &[]).await;
    assert!(nobody.starts_with("check the address"), "{nobody}");
}

#[tokio::test]
async fn a_silent_endpoint_is_waited_for_as_long_as_is_wanted() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let run = coxswain(&["doctor", "--rpc-url", &url, "--rpc-timeout", "100ms", "--json"], "").await;
    assert_eq!(run.code, 1, "{run:?}");
    assert!(wrong(&run)[0].1.ends_with("did not answer within 100ms"), "{run:?}");
}

#[test]
fn lines_are_printed_as_they_are_known() {
    use std::io::{BufRead, BufReader};
    // Accepts, and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_coxswain"))
        .args(["doctor", "--rpc-url", &format!("http://{}", silent.local_addr().unwrap())])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("Ethereum at 127.0.0.1:"), "{line}");
    assert!(child.try_wait().unwrap().is_none(), "it still waits");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn bitcoin_servers_are_checked_too_each_for_its_network() {
    let examined = Examined::set_up().await;
    let serving = Serving { estimate: Some(0.000_1), ..Serving::default() };
    let electrum =
        BitcoinServer::electrum(&examined.world.bitcoin, serving, |_, _| Reply::Forward).await.unwrap();
    let serving = Serving { estimate: Some(0.000_1), ..Serving::default() };
    let core = BitcoinServer::core(&examined.world.bitcoin, serving, |_, _| Reply::Forward).await.unwrap();
    let silent = BitcoinServer::core(&examined.world.bitcoin, Serving::default(), |_, _| Reply::Forward)
        .await
        .unwrap();
    let urls = [electrum.url(), core.url(), silent.url()].map(ToString::to_string);
    let bitcoin = ["--bitcoin-url", &urls[0], "--bitcoin-url", &urls[1]];
    let run = examined.doctor(&[&examined.url], &bitcoin).await;
    assert_eq!(run.code, 0, "{run:?}");
    for words in ["Electrum at ", "Bitcoin Core at ", "next block at 10 sat/vB", "all 13 checks"] {
        assert!(run.stdout.contains(words), "{words}: {}", run.stdout);
    }
    // Of two, one makes no estimate: there is none to go by.
    let two = ["--bitcoin-url", &urls[0], "--bitcoin-url", &urls[2]];
    let run = examined.doctor(&[&examined.url], &two).await;
    assert_eq!(run.code, 1, "{run:?}");
    for words in ["no fee estimate", "too few servers tell an estimate of fees", "1 of 13 checks failed"] {
        assert!(run.stdout.contains(words), "{words}: {}", run.stdout);
    }
    let other = [&bitcoin[..], &["--bitcoin-network", "bitcoin", "--json"]].concat();
    let run = examined.doctor(&[&examined.url], &other).await;
    let expected = ["network, newest block", "network, newest block", "agreement"];
    assert_eq!((run.code, names(&wrong(&run))), (1, expected.to_vec()), "{run:?}");
}

#[tokio::test]
async fn usage_exits_2() {
    for arguments in [
        &["doctor"][..],
        &["doctor", "--rpc-url", "ftp://127.0.0.1"],
        &["doctor", "--rpc-url", "http://127.0.0.1:1", "--bitcoin-url", "tcp://127.0.0.1"],
        &["doctor", "--rpc-url", "http://127.0.0.1:1", "--bitcoin-network", "moon"],
    ] {
        let run = coxswain(arguments, "").await;
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{arguments:?}: {run:?}");
        assert!(run.stderr.contains("--rpc-url") || run.stderr.contains("--bitcoin-"), "{run:?}");
    }
}
