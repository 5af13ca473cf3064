//! `coxswain prove` and `coxswain maintain --once` as a person or a script meets them, on the real Bridge.

use crate::{
    proving::Unproven,
    support::{Run, coxswain},
};

/// A wallet with a main UTXO, and a maintainer that is authorised.
async fn set_up() -> Unproven {
    let unproven = Unproven::new(1).await;
    unproven.authorise().await;
    unproven
}

async fn sweep(unproven: &mut Unproven) -> String {
    unproven.sweep(0).await.compute_txid().to_string()
}

async fn program(unproven: &Unproven, command: &[&str], with_key: bool) -> Run {
    let Unproven { world, proxy, electrum, folder, .. } = unproven;
    let (bridge, proxy) = (world.bridge.address().to_string(), proxy.to_string());
    let (rpc_url, bitcoin_url) = (world.chain.endpoint(), electrum.url().to_string());
    let [keystore, password] = ["key.json", "password"].map(|name| folder.path().join(name));
    let mut arguments = command.to_vec();
    arguments.extend(["--rpc-url", &rpc_url, "--bitcoin-url", &bitcoin_url]);
    arguments.extend(["--bridge", &bridge, "--maintainer-proxy", &proxy]);
    if with_key {
        arguments.extend(["--keystore", keystore.to_str().unwrap()]);
        arguments.extend(["--password-file", password.to_str().unwrap()]);
    }
    coxswain(&arguments, "").await
}

#[tokio::test]
async fn prove_shows_what_it_would_send_and_sends_when_told() {
    let mut unproven = set_up().await;
    let tx = sweep(&mut unproven).await;
    let run = program(&unproven, &["prove", "--tx", &tx, "--json"], false).await;
    assert_eq!(run.code, 0, "{run:?}");
    let json = run.json();
    assert_eq!((json["state"].as_str(), json["action"].as_str()), (Some("ready"), Some("deposit-sweep")));
    assert_eq!(json["call"]["to"], unproven.proxy.to_string());
    let run = program(&unproven, &["prove", "--tx", &tx], true).await;
    assert!(run.code == 0 && run.stdout.starts_with("READY  deposit-sweep of wallet 0x"), "{run:?}");
    assert!(!unproven.is_in_step(0).await, "a dry run");

    unproven.world.chain.mine_every(1).await.unwrap();
    let run = program(&unproven, &["prove", "--tx", &tx, "--send", "--json"], true).await;
    assert_eq!((run.code, run.json()["state"].as_str()), (0, Some("sent")), "{run:?}");
    assert!(unproven.is_in_step(0).await);
    let run = program(&unproven, &["prove", "--tx", &tx, "--json"], true).await;
    assert_eq!((run.code, run.json()["state"].as_str()), (0, Some("proven")), "{run:?}");

    // What is nobody's, and what is nowhere.
    let strangers = unproven.world.bitcoin.pay(&[]).unwrap();
    let id = strangers.compute_txid().to_string();
    for mined in [false, true] {
        if mined {
            unproven.world.bitcoin.mine(std::slice::from_ref(&strangers)).unwrap();
        }
        let run = program(&unproven, &["prove", "--tx", &id, "--json"], false).await;
        assert_eq!((run.code, run.json()["state"].as_str()), (1, Some("no_wallets")), "{run:?}");
    }
    let run = program(&unproven, &["prove", "--tx", &id, "--send"], false).await;
    assert!(run.code == 2 && run.stderr.contains("--keystore"), "{run:?}");
}

#[tokio::test]
async fn maintain_once_proves_all_that_is_unproven() {
    let mut unproven = set_up().await;
    let idle = program(&unproven, &["maintain", "--once"], true).await;
    assert_eq!((idle.code, idle.stdout.as_str()), (0, "1 wallets looked at\n"));
    let txs = [sweep(&mut unproven).await, sweep(&mut unproven).await];
    let run = program(&unproven, &["maintain", "--once", "--json"], false).await;
    assert_eq!((run.code, run.json()["items"][0]["state"].as_str()), (0, Some("ready")), "{run:?}");
    unproven.world.chain.mine_every(1).await.unwrap();
    let run = program(&unproven, &["maintain", "--once", "--json"], true).await;
    assert_eq!(run.code, 0, "{run:?}");
    let json = run.json();
    let sent: Vec<_> = json["items"].as_array().unwrap().iter().map(|item| &item["transaction"]).collect();
    assert_eq!(sent, txs.each_ref());
    assert!(json["items"].as_array().unwrap().iter().all(|item| item["state"] == "sent"), "{json}");
    assert!(unproven.is_in_step(0).await);

    let refused = program(&unproven, &["maintain"], true).await;
    assert!(refused.code == 2 && refused.stderr.contains("--once"), "{refused:?}");
}
