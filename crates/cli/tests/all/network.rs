//! `coxswain identity`, `ping` and `group` as a person or a script meets them.

#![cfg(feature = "node")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

use std::{io::Write, net::SocketAddr, time::SystemTime};

use crate::support::coxswain;
use coxswain_network::{AdmissionRule, Config, Driver, Identity};
use coxswain_testkit::{DOUBLE_BRIDGE, DOUBLE_REGISTRY, Registry};
use tempfile::NamedTempFile;
use tokio::{io::AsyncWriteExt, net::TcpListener};

/// Private key 0x11…11, as the network's vectors have it.
const KEYSTORE: &str = include_str!("../../../ethereum/tests/keystore.json");
const ADDRESS: &str = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A";
const PEER_ID: &str = "16Uiu2HAmHzBkRq62mG95vsjKMuYQBezZCtjPXYWUoyVxMxi71aB3";

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn path(file: &NamedTempFile) -> &str {
    file.path().to_str().unwrap()
}

#[tokio::test]
async fn identity_agrees_with_the_vectors() {
    let (keystore, password) = (file(KEYSTORE), file("correct horse\n"));
    let base = ["identity", "--keystore", path(&keystore), "--password-file", path(&password)];
    let hosts = ["--host", "node.example", "--host", "203.0.113.5", "--host", "2a01:4f8::1", "--json"];
    let run = coxswain(&[&base[..], &hosts].concat(), "").await;
    assert_eq!(run.code, 0, "{run:?}");
    let json = run.json();
    assert_eq!((json["address"].as_str(), json["peerId"].as_str()), (Some(ADDRESS), Some(PEER_ID)));
    assert_eq!(json["multiaddrs"][0], format!("/dns4/node.example/tcp/3919/ipfs/{PEER_ID}"));
    assert_eq!(json["multiaddrs"][1], format!("/ip4/203.0.113.5/tcp/3919/ipfs/{PEER_ID}"));
    assert_eq!(json["multiaddrs"][2], format!("/ip6/2a01:4f8::1/tcp/3919/ipfs/{PEER_ID}"));
    let text = coxswain(&base, "").await.stdout;
    assert!(text.contains(ADDRESS) && text.contains(PEER_ID), "{text}");
}

#[tokio::test]
async fn a_key_that_cant_be_opened_is_a_usage_error() {
    let (keystore, wrong) = (file(KEYSTORE), file("wrong"));
    let run =
        coxswain(&["identity", "--keystore", path(&keystore), "--password-file", path(&wrong)], "").await;
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("the password is another"), "{run:?}");
    let run = coxswain(&["identity", "--keystore", path(&keystore)], "").await;
    assert!(run.code == 2 && run.stderr.contains("--password-file"), "{run:?}");
    let run = coxswain(&["identity", "--keystore", "/nowhere", "--password-file", path(&wrong)], "").await;
    assert!(run.code == 2 && run.stderr.contains("can't be read"), "{run:?}");
}

/// A node of another operator; gives its multiaddr.
async fn node(number: u8, admission: AdmissionRule) -> String {
    let identity = Identity::from_secret([number; 32]).unwrap();
    let peer = identity.peer_id();
    let mut config = Config::new(identity, SystemTime::now());
    config.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.admission = admission;
    config.agent = "an agent\u{1b}[31m".to_owned();
    let (_, driver) = Driver::bind(config).await.unwrap();
    let socket = driver.listening().next().unwrap();
    tokio::spawn(driver.run(std::future::pending()));
    multiaddr(socket, &peer.to_base58())
}

fn multiaddr(socket: SocketAddr, peer: &str) -> String {
    format!("/ip4/{}/tcp/{}/ipfs/{peer}", socket.ip(), socket.port())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ping_says_what_a_peer_is_or_at_which_step_it_failed() {
    let (keystore, password) = (file(KEYSTORE), file("correct horse"));
    let answering = node(0x22, AdmissionRule::Any).await;
    let refusing = node(0x33, AdmissionRule::list([]).unwrap()).await;
    let other = answering.rsplit_once('/').unwrap().0.to_owned() + "/" + refusing.rsplit_once('/').unwrap().1;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = multiaddr(closed.local_addr().unwrap(), PEER_ID);
    drop(closed);
    // Something else that listens there.
    let web = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = multiaddr(web.local_addr().unwrap(), answering.rsplit_once('/').unwrap().1);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = web.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let base = ["ping", "--keystore", path(&keystore), "--password-file", path(&password), "--json"];
    let run = coxswain(&[&base[..], &[&answering]].concat(), "").await;
    assert_eq!(run.code, 0, "{run:?}");
    let peer = &run.json()["peers"][0];
    assert_eq!(peer["operator"], "0x1563915e194D8CfBA1943570603F7606A3115508");
    assert_eq!(peer["agent"], "an agent\\u{1b}[31m");
    let protocols = peer["protocols"].as_array().unwrap();
    for name in ["/floodsub/1.0.0", "/ipfs/id/1.0.0", "/ipfs/kad/1.0.0", "/ipfs/ping/1.0.0"] {
        assert!(protocols.iter().any(|protocol| protocol == name), "{name}: {protocols:?}");
    }
    let run =
        coxswain(&[&base[..], &[&answering, &refusing, &other, &nobody, &elsewhere]].concat(), "").await;
    assert_eq!(run.code, 1, "{run:?}");
    let json = run.json();
    let steps: Vec<_> = json["peers"].as_array().unwrap().iter().map(|peer| &peer["failedAt"]).collect();
    assert_eq!(steps[0].as_str(), None);
    assert_eq!(steps[1..], ["admission", "identity", "TCP", "security protocol"], "{json:#}");
    let text = coxswain(&[&base[..5], &[&refusing]].concat(), "").await.stdout;
    assert!(text.contains("failed at   admission") && text.contains("stake and registration"), "{text}");
    let run = coxswain(&[&base[..], &["/ip4/127.0.0.1/tcp/1"]].concat(), "").await;
    assert!(run.code == 2 && run.stderr.contains("peer id"), "{run:?}");
}

#[tokio::test]
async fn a_group_needs_an_endpoint() {
    let run = coxswain(&["group", "--wallet", "0x8db50eb52063ea9d98b3eac91489a90f738986f6"], "").await;
    assert!(run.code == 2 && run.stderr.contains("--rpc-url"), "{run:?}");
    let wallet = "0x8db50eb52063ea9d98b3eac91489a90f738986f6";
    let hash = format!("0x{}", "11".repeat(32));
    let run = coxswain(&["leader", "--wallet", wallet, "--safe-block-hash", &hash], "").await;
    assert!(run.code == 2 && run.stderr.contains("--operators"), "{run:?}");
}

/// The wallet that the double knows, and where.
fn of_the_double(url: &str) -> Vec<String> {
    let wallet = Registry::wallet().to_string();
    let (bridge, registry) = (DOUBLE_BRIDGE.to_string(), DOUBLE_REGISTRY.to_string());
    let arguments = ["--wallet", &wallet, "--bridge", &bridge, "--registry", &registry, "--rpc-url", url];
    arguments.map(ToOwned::to_owned).into()
}

#[tokio::test]
async fn a_group_is_read_from_the_chain_by_seat_and_a_leader_drawn_from_it() {
    let served = Registry::of_five().serve().await.unwrap();
    let of_the_double = of_the_double(served.url().as_str());
    let run = async |command: &[&str]| {
        let arguments: Vec<_> =
            command[..1].iter().copied().chain(of_the_double.iter().map(|word| &word[..])).collect();
        coxswain(&[&arguments[..], &command[1..]].concat(), "").await
    };
    let [first, second] = [11, 13].map(|id| Registry::operator(id).to_checksum(None));
    let group = run(&["group"]).await;
    assert_eq!((group.code, group.stdout.as_str()), (0, &format!("{first}\n{second}\n{first}\n")[..]));
    let json = run(&["group", "--json"]).await.json();
    assert_eq!(json["operators"], serde_json::json!([first, second, first]));
    assert_eq!(json["wallet"], Registry::wallet().to_string());

    // What it prints is what `leader` reads; without a file, it reads the chain itself.
    let block = ["leader", "--block", "600", "--json"];
    let from_chain = run(&block).await;
    assert_eq!(from_chain.code, 0, "{from_chain:?}");
    let file = file(&group.stdout);
    let from_file = run(&[&block[..], &["--operators", path(&file)]].concat()).await;
    // But for that the group is the chain's word.
    let (mut drawn, assurance) = (from_chain.json(), from_file.json()["assurance"].clone());
    assert_eq!(drawn["assurance"]["state"], "word");
    drawn["assurance"] = assurance;
    assert_eq!(drawn, from_file.json());
    assert!([&first, &second].contains(&&from_chain.json()["leader"].as_str().unwrap().to_owned()));
}

#[tokio::test]
async fn a_wallet_without_a_group_exits_1_and_a_group_that_cant_be_trusted_3() {
    let run = async |change: fn(&mut Registry)| {
        let mut registry = Registry::of_five();
        change(&mut registry);
        let served = registry.serve().await.unwrap();
        let arguments = of_the_double(served.url().as_str());
        let arguments: Vec<_> = ["group"].into_iter().chain(arguments.iter().map(|word| &word[..])).collect();
        let run = coxswain(&arguments, "").await;
        (run.code, run.stdout + &run.stderr)
    };
    let (code, said) = run(|registry| registry.wallets.clear()).await;
    assert!(code == 1 && said.contains("no wallet"), "{code}: {said}");
    let (code, said) = run(|registry| registry.kept.clear()).await;
    assert!(code == 1 && said.contains("closed"), "{code}: {said}");
    let (code, said) = run(|registry| registry.submitted[0].1.result.members[2] = 12).await;
    assert!(code == 3 && said.contains("its members have another hash"), "{code}: {said}");
    let (code, said) = run(|registry| registry.dead = true).await;
    assert!(code == 3 && said.contains("out of service"), "{code}: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ping_says_by_which_rule_a_peer_is_let_in() {
    let (keystore, password) = (file(KEYSTORE), file("correct horse"));
    let peer = node(0x22, AdmissionRule::Any).await;
    let stranger = node(0x33, AdmissionRule::Any).await;
    let admitted = async |more: &[&str]| {
        let base = ["ping", "--keystore", path(&keystore), "--password-file", path(&password), "--json"];
        let run = coxswain(&[&base[..], more].concat(), "").await;
        assert_eq!(run.code, 0, "{run:?}");
        let json = run.json();
        let peers = json["peers"].as_array().unwrap().iter();
        peers.map(|peer| peer["admitted"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(admitted(&[&peer]).await, ["not asked, as no Ethereum endpoint is given"]);
    assert_eq!(admitted(&[&peer, "--configured", &peer]).await, ["yes, it is a configured peer"]);

    let mut registry = Registry::of_five();
    let operator = Identity::from_secret([0x22; 32]).unwrap().operator().address();
    registry.operators.insert(13, operator);
    let served = registry.clone().serve().await.unwrap();
    let (bridge, contract) = (DOUBLE_BRIDGE.to_string(), DOUBLE_REGISTRY.to_string());
    let url = served.url().as_str();
    let contracts = ["--rpc-url", url, "--registry", &contract, "--bridge", &bridge];
    let said = admitted(&[&contracts[..], &[&peer]].concat()).await;
    assert!(said[0].starts_with("no, ") && said[0].ends_with("is not eligible"), "{said:?}");
    let wallet = Registry::wallet().to_string();
    let said = admitted(&[&contracts[..], &["--wallet", &wallet, &peer, &stranger]].concat()).await;
    assert_eq!(said[0], "yes, it holds a seat of one of our wallets");
    assert!(said[1].starts_with("no, "), "{said:?}");
    registry.providers.insert(operator, Registry::operator(111));
    let served = registry.serve().await.unwrap();
    let said = admitted(&["--rpc-url", served.url().as_str(), "--registry", &contract, &peer]).await;
    assert_eq!(said, ["yes, it is eligible"]);
}

#[tokio::test]
async fn an_open_question_looks_alike_in_all_commands() {
    let (keystore, password) = (file(KEYSTORE), file("correct horse"));
    let (wallet, nowhere) = (Registry::wallet().to_string(), "http://127.0.0.1:1");
    let contract = DOUBLE_REGISTRY.to_string();
    let peer = multiaddr("127.0.0.1:1".parse().unwrap(), PEER_ID);
    let heartbeat = serde_json::json!({
        "action": "heartbeat", "wallet": wallet, "message": "0xffffffffffffffff0123456789abcdef",
    });
    let commands: [&[&str]; 7] = [
        &["validate", "--validator", &contract],
        &["explain", "--validator", &contract],
        &["propose", "--validator", &contract, "--wallet", &wallet, "--bitcoin-url", "tcp://127.0.0.1:1"],
        &["window"],
        &["leader", "--wallet", &wallet, "--block", "600", "--bridge", &contract, "--registry", &contract],
        &["group", "--wallet", &wallet, "--bridge", &contract, "--registry", &contract],
        &["ping", "--keystore", path(&keystore), "--password-file", path(&password), &peer],
    ];
    for command in commands {
        let command = [command, &["--rpc-url", nowhere]].concat();
        let run = coxswain(&command, &heartbeat.to_string()).await;
        assert_eq!((run.code, run.stderr.as_str()), (3, ""), "{run:?}");
        let [first, second] = [0, 1].map(|line| run.stdout.lines().nth(line).unwrap().to_owned());
        assert!(first.starts_with("UNDECIDED  ") && second.starts_with(&" ".repeat(11)), "{run:?}");
        let reason = second.trim_start();
        let json = coxswain(&[&command[..], &["--json"]].concat(), &heartbeat.to_string()).await.json();
        assert_eq!(json["cause"], "unreachable", "{json:#}");
        assert!(json["reason"].as_str().unwrap().starts_with(reason), "{json:#}");
        let outcome = json.get("verdict").or(json.get("outcome")).unwrap();
        assert_eq!(outcome, "undecided", "{json:#}");
    }
    // What servers show and can't be is as open as what they don't say.
    let mut registry = Registry::of_five();
    registry.submitted.clear();
    let served = registry.serve().await.unwrap();
    let of_the_double = of_the_double(served.url().as_str());
    let arguments: Vec<_> = of_the_double.iter().map(|word| &word[..]).chain(["--json"]).collect();
    for command in [&["group"][..], &["leader", "--block", "600"]] {
        let run = coxswain(&[command, &arguments].concat(), "").await;
        assert_eq!((run.code, &run.json()["cause"]), (3, &serde_json::json!("contradiction")), "{run:?}");
    }
}
