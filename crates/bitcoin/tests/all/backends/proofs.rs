//! Proofs and spenders where a server lies about them: the next one's are taken.

use bitcoin::{Amount, Network, Txid, hashes::Hash};
use coxswain_bitcoin::{Backend, Backends, Cursor, Expected, Mined, Search, Spender};
use coxswain_testkit::{BitcoinLie, Reply, Serving};
use serde_json::json;

use crate::backends::{
    conformance::first_output,
    hostile::{Ground, Kind, endpoint, serving, wallets_own, with_chain},
};

/// Who shows a branch, or a coinbase, that leads nowhere, or makes up a spender, keeps nobody from the next one's.
#[tokio::test]
async fn inc_47_a_proof_that_does_not_hold_is_had_from_the_next_server() {
    let ground = Ground::new();
    let height = ground.chain.height().saturating_sub(10);
    let spender = ground.chain.blocks_from(height)[0].txdata[1].clone();
    let spent = first_output(&ground.spent);
    let mut made_up = spender.clone();
    made_up.output[0].value = Amount::from_sat(1);
    made_up.input[0].witness.clear();
    let mined = Mined { txid: spender.compute_txid(), height };
    let txid = mined.txid;
    for kind in [Kind::Electrum, Kind::Core] {
        let others = BitcoinLie::Spender(spent.outpoint, spent.script.clone(), made_up.clone());
        let others = others.meet(&ground.chain);
        let lie = move |method: &str, params: &serde_json::Value| match method {
            "blockchain.transaction.get_merkle" => {
                Reply::Result(json!({ "block_height": height, "pos": 0, "merkle": [] }))
            }
            "blockchain.transaction.id_from_pos" => Reply::Result(json!({ "tx_hash": txid, "merkle": [] })),
            "getblock" if params.get(1) == Some(&json!(1)) => Reply::Result(json!({ "tx": [txid] })),
            _ => others(method, params),
        };
        let liar = kind.start(&ground.chain, serving(), lie).await;
        let honest = ground.honest(kind).await;
        for expected in [with_chain(&ground.chain), Expected::on(Network::Regtest)] {
            let backends = Backends::new(vec![endpoint(&liar), endpoint(&honest)], expected);
            let header = backends.headers(height, 1).await.unwrap()[0];
            let branch = backends.branches(&[mined]).await.unwrap().pop().unwrap().unwrap();
            assert_eq!(branch.prove(&spender, &header), Ok(()), "{kind:?}");
            let coinbase = backends.coinbase(height).await.unwrap();
            assert!(coinbase.transaction.is_coinbase(), "{kind:?}");
            let found = backends.spender(&spent, Cursor::at(height)).await.unwrap();
            let there = Spender { transaction: spender.clone(), height: Some(height) };
            assert_eq!(found, Search::Found(Box::new(there)), "{kind:?}");
        }
        // Alone, it shows nothing.
        let backends = Backends::new(vec![endpoint(&liar)], with_chain(&ground.chain));
        assert!(backends.branches(&[mined]).await.unwrap()[0].is_err(), "{kind:?}");
        assert!(kind == Kind::Core || backends.coinbase(height).await.is_err());
        assert!(backends.spender(&spent, Cursor::at(height)).await.is_err(), "{kind:?}");
    }
}

/// A history of transactions that nobody has, whose end no search comes to, keeps nobody from the spender that the next one shows.
#[tokio::test]
async fn inc_47_a_search_without_an_end_keeps_nobody_from_the_next_servers_spender() {
    let ground = Ground::new();
    let height = ground.chain.height().saturating_sub(10);
    let spender = ground.chain.blocks_from(height)[0].txdata[1].clone();
    let spent = first_output(&ground.spent);
    let listed: Vec<_> = (0..=200_u8)
        .map(|number| json!({ "tx_hash": Txid::from_byte_array([number; 32]), "height": 1_000_000 }))
        .collect();
    let lie = move |method: &str, _: &serde_json::Value| match method {
        "blockchain.scripthash.get_history" => Reply::Result(json!(listed)),
        _ => Reply::Forward,
    };
    let liar = Kind::Electrum.start(&ground.chain, serving(), lie).await;
    let alone = Backends::new(vec![endpoint(&liar)], with_chain(&ground.chain));
    assert!(matches!(alone.spender(&spent, Cursor::at(height)).await, Ok(Search::More(_))));
    for kind in [Kind::Electrum, Kind::Core] {
        let honest = ground.honest(kind).await;
        let backends = Backends::new(vec![endpoint(&liar), endpoint(&honest)], with_chain(&ground.chain));
        let found = backends.spender(&spent, Cursor::at(height)).await.unwrap();
        let there = Spender { transaction: spender.clone(), height: Some(height) };
        assert_eq!(found, Search::Found(Box::new(there)), "{kind:?}");
    }
}

/// A spender that nobody proves is none, and one that its owner has signed waits, in whatever block it is said to be.
#[tokio::test]
async fn inc_47_a_spenders_height_is_nobodys_word() {
    let ground = Ground::new();
    let (output, spender) = wallets_own(&ground.chain);
    let mut unsigned = spender.clone();
    unsigned.input[0].witness.clear();
    let honest = ground.honest(Kind::Electrum).await;
    for (shown, waits) in [(spender, true), (unsigned, false)] {
        let (script, outpoint, txid) = (output.script.clone(), output.outpoint, shown.compute_txid());
        let others = BitcoinLie::Spender(outpoint, script, shown.clone()).meet(&ground.chain);
        let height = ground.chain.height();
        let lie = move |method: &str, params: &serde_json::Value| match method {
            "blockchain.scripthash.get_history" => {
                let funding = json!({ "tx_hash": outpoint.txid, "height": height });
                Reply::Result(json!([funding, { "tx_hash": txid, "height": height }]))
            }
            _ => others(method, params),
        };
        let liar = Kind::Electrum.start(&ground.chain, serving(), lie).await;
        let backends = Backends::new(vec![endpoint(&liar), endpoint(&honest)], with_chain(&ground.chain));
        let found = backends.spender(&output, Cursor::at(height)).await.unwrap();
        let expected = Spender { transaction: shown, height: None };
        match waits {
            true => assert_eq!(found, Search::Found(Box::new(expected))),
            false => assert!(matches!(found, Search::Ended(_)), "{found:?}"),
        }
    }
}

/// Servers that show an output only while it is unspent leave nothing to verify its spender by: it is their word.
#[tokio::test]
async fn a_spender_in_a_mempool_is_a_word_where_nobody_shows_the_output() {
    let ground = Ground::new();
    let (output, spender) = wallets_own(&ground.chain);
    let terse = Serving { verbose: false, ..serving() };
    let server = Kind::Electrum.start(&ground.chain, terse, |_, _| Reply::Forward).await;
    let backends = Backends::new(vec![endpoint(&server)], with_chain(&ground.chain));
    let from = Cursor::at(ground.chain.height());
    assert!(matches!(backends.spender(&output, from).await, Ok(Search::Ended(_))));
    ground.chain.broadcast(&spender).unwrap();
    let waiting = Spender { transaction: spender, height: None };
    assert_eq!(backends.spender(&output, from).await, Ok(Search::Found(Box::new(waiting))));
}
