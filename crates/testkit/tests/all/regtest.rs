//! The Bitcoin chain refuses what a node would, and keeps what a node keeps.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test itself")]

use std::slice;

use bitcoin::{
    Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness, absolute, hashes::Hash,
    opcodes::OP_TRUE, script::Builder, transaction,
};
use coxswain_rules::units::{Confirmations, Height};
use coxswain_testkit::{DepositSpec, Error, Funding, Refusal, Regtest, World};

/// What unlocks the coins that anyone can spend.
fn key() -> ScriptBuf {
    Builder::new().push_opcode(OP_TRUE).into_script()
}

fn coin(satoshis: u64) -> TxOut {
    TxOut { value: Amount::from_sat(satoshis), script_pubkey: key().to_p2wsh() }
}

fn spend(previous_output: OutPoint, satoshis: u64) -> Transaction {
    Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[key().as_bytes()]),
        }],
        output: vec![coin(satoshis)],
    }
}

fn first(transaction: &Transaction) -> OutPoint {
    OutPoint::new(transaction.compute_txid(), 0)
}

/// A coin of this worth, in a block.
fn mined(chain: &Regtest, satoshis: u64) -> OutPoint {
    let transaction = chain.pay(&[coin(satoshis)]).unwrap();
    chain.mine(slice::from_ref(&transaction)).unwrap();
    first(&transaction)
}

fn refusal(outcome: Result<(), Error>) -> Refusal {
    match outcome {
        Err(Error::Refused { refusal, .. }) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_waits_or_is_mined_is_not_taken_again() {
    let chain = Regtest::new();
    let transaction = chain.pay(&[coin(50_000)]).unwrap();
    chain.broadcast(&transaction).unwrap();
    assert_eq!(refusal(chain.broadcast(&transaction)), Refusal::Waits);
    chain.mine_mempool().unwrap();
    assert_eq!(chain.mempool(), []);
    assert_eq!(refusal(chain.broadcast(&transaction)), Refusal::Mined);
    assert_eq!(refusal(chain.mine(&[transaction]).map(drop)), Refusal::Mined);
}

#[test]
fn what_is_spent_or_was_never_there_is_not_spent() {
    let chain = Regtest::new();
    let spent = mined(&chain, 50_000);
    let spending = spend(spent, 40_000);
    chain.broadcast(&spending).unwrap();
    let conflict = Refusal::Conflict { outpoint: spent, by: spending.compute_txid() };
    assert_eq!(refusal(chain.broadcast(&spend(spent, 30_000))), conflict);
    // A child may wait with its parent, and be mined with it, behind it only.
    let child = spend(first(&spending), 30_000);
    chain.broadcast(&child).unwrap();
    let turned = chain.mine(&[child.clone(), spending.clone()]);
    assert_eq!(refusal(turned.map(drop)), Refusal::Missing(first(&spending)));
    chain.mine(&[spending, child]).unwrap();
    assert_eq!(refusal(chain.broadcast(&spend(spent, 30_000))), Refusal::Missing(spent));
    let nowhere = OutPoint::new(Txid::all_zeros(), 1);
    assert_eq!(refusal(chain.broadcast(&spend(nowhere, 1))), Refusal::Missing(nowhere));
    let twice = mined(&chain, 50_000);
    let both = [spend(twice, 40_000), spend(twice, 30_000)];
    assert_eq!(refusal(chain.mine(&both).map(drop)), Refusal::Missing(twice));
}

#[test]
fn a_coinbase_is_spent_from_a_hundred_blocks_above_it_on() {
    let chain = Regtest::new();
    let block = chain.mine(&[]).unwrap();
    let coinbase = OutPoint::new(block.txdata[0].compute_txid(), 0);
    chain.mine_empty(98).unwrap();
    assert_eq!(refusal(chain.broadcast(&spend(coinbase, 1_000))), Refusal::Immature(coinbase));
    chain.mine_empty(1).unwrap();
    chain.broadcast(&spend(coinbase, 1_000)).unwrap();
}

#[test]
fn scripts_values_and_fees_are_held_to() {
    let chain = Regtest::new();
    let outpoint = mined(&chain, 50_000);
    let mut without_key = spend(outpoint, 40_000);
    without_key.input[0].witness.clear();
    assert_eq!(refusal(chain.broadcast(&without_key)), Refusal::Script { index: 0 });
    assert_eq!(refusal(chain.mine(&[without_key]).map(drop)), Refusal::Script { index: 0 });
    assert_eq!(refusal(chain.broadcast(&spend(outpoint, 50_001))), Refusal::Value);
    // One satoshi per virtual byte: the last that is too low, the first that isn't.
    let vsize = u64::try_from(spend(outpoint, 0).vsize()).unwrap();
    let [fee, least] = [vsize - 1, vsize].map(Amount::from_sat);
    let low = spend(outpoint, 50_000 - fee.to_sat());
    assert_eq!(refusal(chain.broadcast(&low)), Refusal::Fee { fee, least });
    chain.broadcast(&spend(outpoint, 50_000 - least.to_sat())).unwrap();
    // A miner takes what it likes.
    chain.mine(&[low]).unwrap();
    assert_eq!(chain.mempool(), [], "the rival can't be mined any more");
}

#[test]
fn a_reorganisation_returns_what_it_undoes_unless_it_contradicts_it() {
    for contradicted in [false, true] {
        let chain = Regtest::new();
        let outpoint = mined(&chain, 50_000);
        let (undone, rival) = (spend(outpoint, 40_000), spend(outpoint, 30_000));
        chain.mine(slice::from_ref(&undone)).unwrap();
        chain.mine_empty(1).unwrap();
        let (height, tip) = (chain.height(), chain.blocks_from(chain.height()));
        let instead = if contradicted { vec![rival] } else { Vec::new() };
        chain.reorganize(2, &instead).unwrap();
        assert_eq!(chain.height(), height.next());
        assert_ne!(chain.blocks_from(height)[0], tip[0]);
        let waiting = chain.mempool();
        assert_eq!(waiting, if contradicted { Vec::new() } else { vec![undone] });
        let headers: Vec<_> = chain.blocks_from(Height(0)).iter().map(|block| block.header).collect();
        let linked = |pair: &[bitcoin::block::Header]| pair[1].prev_blockhash == pair[0].block_hash();
        assert!(headers.windows(2).all(linked));
    }
}

#[tokio::test]
async fn deposits_are_funded_as_they_are_asked_to_be() {
    let mut world = World::start().await.unwrap();
    let wallet = world.wallet(1).await.unwrap();
    let with = |funding| DepositSpec { funding, outputs_before: 0, ..DepositSpec::default() };
    let before = world.bitcoin.height();
    let deep = world.reveal(&wallet, with(Funding::Mined { confirmations: Confirmations(3) })).await.unwrap();
    assert_eq!(world.bitcoin.height(), before.saturating_add(3));
    let blocks = world.bitcoin.blocks_from(before.next());
    assert_eq!(blocks[0].txdata[1], deep.funding);
    assert_eq!(deep.outpoint.vout, 0);
    let waiting = world.reveal(&wallet, with(Funding::Waiting)).await.unwrap();
    let absent = world.reveal(&wallet, with(Funding::Absent)).await.unwrap();
    assert_ne!(absent.funding, waiting.funding);
    assert_eq!(world.bitcoin.mempool(), [waiting.funding]);
    assert_eq!(world.bitcoin.height(), before.saturating_add(3));
    // What is not mined can't be swept.
    let error = world.sweep(&wallet, &[absent], Amount::from_sat(10_000)).await.unwrap_err();
    assert!(matches!(error, Error::Refused { refusal: Refusal::Missing(_), .. }), "{error}");
}
