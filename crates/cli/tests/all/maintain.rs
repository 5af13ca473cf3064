//! `coxswain prove` and `coxswain maintain --once` as a person or a script meets them, on the real Bridge.

use std::io::Write;

use alloy_primitives::{Address, address};
use bitcoin::Amount;
use coxswain_bindings::maintainer_proxy::MaintainerProxy::authorizeSpvMaintainerCall;
use coxswain_rules::main_utxo_hash;
use coxswain_testkit::{BitcoinServer, DepositSpec, Reply, Serving, Wallet, World};
use tempfile::NamedTempFile;

use crate::support::{Run, coxswain};

const FEE: Amount = Amount::from_sat(10_000);
const KEYSTORE: &str = include_str!("../../../ethereum/tests/keystore.json");
const ACCOUNT: Address = address!("0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A");

struct Bench {
    world: World,
    wallet: Wallet,
    proxy: Address,
    electrum: BitcoinServer,
    keystore: NamedTempFile,
    password: NamedTempFile,
}

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

impl Bench {
    /// A wallet with a main UTXO, and a maintainer that is authorised.
    async fn new() -> Self {
        let mut world = World::start().await.unwrap();
        let wallet = world.wallet(1).await.unwrap();
        let deposit = world.reveal(&wallet, DepositSpec::default()).await.unwrap();
        world.sweep(&wallet, &[deposit], FEE).await.unwrap();
        world.proves = false;
        let proxy = world.deploy_maintainer_proxy().await.unwrap();
        let authorise = authorizeSpvMaintainerCall { maintainer: ACCOUNT };
        world.chain.send(world.governance, proxy, &authorise).await.unwrap();
        world.chain.fund(ACCOUNT).await.unwrap();
        let serving = Serving::default();
        let electrum = BitcoinServer::electrum(&world.bitcoin, serving, |_, _| Reply::Forward).await.unwrap();
        Self { world, wallet, proxy, electrum, keystore: file(KEYSTORE), password: file("correct horse\n") }
    }

    /// Has the wallet sweep one more deposit, unproven: the transaction's id.
    async fn sweep(&mut self) -> String {
        let deposit = self.world.reveal(&self.wallet, DepositSpec::default()).await.unwrap();
        self.world.sweep(&self.wallet, &[deposit], FEE).await.unwrap().compute_txid().to_string()
    }

    async fn run(&self, command: &[&str], with_key: bool) -> Run {
        let (bridge, proxy) = (self.world.bridge.address().to_string(), self.proxy.to_string());
        let (rpc_url, bitcoin_url) = (self.world.chain.endpoint(), self.electrum.url().to_string());
        let (keystore, password) = (self.keystore.path().to_str(), self.password.path().to_str());
        let mut arguments = command.to_vec();
        arguments.extend(["--rpc-url", &rpc_url, "--bitcoin-url", &bitcoin_url]);
        arguments.extend(["--bridge", &bridge, "--maintainer-proxy", &proxy]);
        if with_key {
            arguments.extend(["--keystore", keystore.unwrap(), "--password-file", password.unwrap()]);
        }
        coxswain(&arguments, "").await
    }

    async fn is_in_step(&self) -> bool {
        let wallet = self.world.bridge.wallets(self.wallet.key_hash().into()).call().await.unwrap();
        self.world.main_utxo(&self.wallet).is_some_and(|utxo| main_utxo_hash(&utxo) == wallet.mainUtxoHash)
    }
}

#[tokio::test]
async fn prove_shows_what_it_would_send_and_sends_when_told() {
    let mut bench = Bench::new().await;
    let tx = bench.sweep().await;
    let run = bench.run(&["prove", "--tx", &tx, "--json"], false).await;
    assert_eq!(run.code, 0, "{run:?}");
    let json = run.json();
    assert_eq!((json["state"].as_str(), json["action"].as_str()), (Some("ready"), Some("deposit-sweep")));
    assert_eq!(json["call"]["to"], bench.proxy.to_string());
    let run = bench.run(&["prove", "--tx", &tx], true).await;
    assert!(run.code == 0 && run.stdout.starts_with("READY  deposit-sweep of wallet 0x"), "{run:?}");
    assert!(!bench.is_in_step().await, "a dry run");

    bench.world.chain.mine_every(1).await.unwrap();
    let run = bench.run(&["prove", "--tx", &tx, "--send", "--json"], true).await;
    assert_eq!((run.code, run.json()["state"].as_str()), (0, Some("sent")), "{run:?}");
    assert!(bench.is_in_step().await);
    let run = bench.run(&["prove", "--tx", &tx, "--json"], true).await;
    assert_eq!((run.code, run.json()["state"].as_str()), (0, Some("proven")), "{run:?}");

    // What is nobody's, and what is nowhere.
    let strangers = bench.world.bitcoin.pay(&[]).unwrap();
    let id = strangers.compute_txid().to_string();
    for mined in [false, true] {
        if mined {
            bench.world.bitcoin.mine(std::slice::from_ref(&strangers)).unwrap();
        }
        let run = bench.run(&["prove", "--tx", &id, "--json"], false).await;
        assert_eq!((run.code, run.json()["state"].as_str()), (1, Some("no_wallets")), "{run:?}");
    }
    let run = bench.run(&["prove", "--tx", &id, "--send"], false).await;
    assert!(run.code == 2 && run.stderr.contains("--keystore"), "{run:?}");
}

#[tokio::test]
async fn maintain_once_proves_all_that_is_unproven() {
    let mut bench = Bench::new().await;
    let idle = bench.run(&["maintain", "--once"], true).await;
    assert_eq!((idle.code, idle.stdout.as_str()), (0, "1 wallets looked at\n"));
    let txs = [bench.sweep().await, bench.sweep().await];
    let run = bench.run(&["maintain", "--once", "--json"], false).await;
    assert_eq!((run.code, run.json()["items"][0]["state"].as_str()), (0, Some("ready")), "{run:?}");
    bench.world.chain.mine_every(1).await.unwrap();
    let run = bench.run(&["maintain", "--once", "--json"], true).await;
    assert_eq!(run.code, 0, "{run:?}");
    let json = run.json();
    let sent: Vec<_> = json["items"].as_array().unwrap().iter().map(|item| &item["transaction"]).collect();
    assert_eq!(sent, txs.each_ref());
    assert!(json["items"].as_array().unwrap().iter().all(|item| item["state"] == "sent"), "{json}");
    assert!(bench.is_in_step().await);

    let refused = bench.run(&["maintain"], true).await;
    assert!(refused.code == 2 && refused.stderr.contains("--once"), "{refused:?}");
}
