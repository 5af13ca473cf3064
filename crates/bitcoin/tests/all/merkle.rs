//! Branches of Merkle trees: of blocks of all sizes, and those that prove nothing.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "only tests here")]

use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxMerkleNode,
    TxOut, Txid, Witness, absolute,
    block::{Header, Version},
    hashes::{Hash, HashEngine, sha256d},
    transaction,
};
use coxswain_bitcoin::{BranchError, MerkleBranch};

fn transaction(number: u8, script: usize) -> Transaction {
    Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::new(Txid::from_byte_array([number; 32]), 0),
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[[number; 70]]),
        }],
        output: vec![TxOut {
            value: Amount::from_sat(number.into()),
            script_pubkey: ScriptBuf::from_bytes(vec![0x51; script]),
        }],
    }
}

fn block(count: u8) -> Block {
    let header = Header {
        version: Version::TWO,
        prev_blockhash: BlockHash::all_zeros(),
        merkle_root: TxMerkleNode::all_zeros(),
        time: 0,
        bits: CompactTarget::from_consensus(0),
        nonce: 0,
    };
    let txdata = (0..count).map(|number| transaction(number, 22)).collect();
    let mut block = Block { header, txdata };
    block.header.merkle_root = block.compute_merkle_root().unwrap();
    block
}

fn parent(left: TxMerkleNode, right: TxMerkleNode) -> TxMerkleNode {
    let mut engine = sha256d::Hash::engine();
    engine.input(left.as_byte_array());
    engine.input(right.as_byte_array());
    TxMerkleNode::from_raw_hash(sha256d::Hash::from_engine(engine))
}

fn branch(block: &Block, position: usize) -> MerkleBranch {
    let txids = block.txdata.iter().map(|transaction| transaction.compute_txid().to_raw_hash());
    let mut row: Vec<_> = txids.map(TxMerkleNode::from_raw_hash).collect();
    let (mut at, mut siblings) = (position, Vec::new());
    while row.len() > 1 {
        row.extend((row.len() % 2 == 1).then_some(row[row.len() - 1]));
        siblings.push(row[at ^ 1]);
        row = row.chunks(2).map(|pair| parent(pair[0], pair[1])).collect();
        at /= 2;
    }
    MerkleBranch { position: position.try_into().unwrap(), siblings }
}

#[test]
fn every_transaction_of_blocks_of_all_sizes_is_proven_at_its_position_alone() {
    for count in 1..=17 {
        let block = block(count);
        let txids: Vec<_> = block.txdata.iter().map(Transaction::compute_txid).collect();
        assert_eq!(MerkleBranch::within(&txids, txids.len()), None);
        for (position, transaction) in block.txdata.iter().enumerate() {
            let good = branch(&block, position);
            assert_eq!(MerkleBranch::within(&txids, position), Some(good.clone()));
            assert_eq!(good.prove(transaction, &block.header), Ok(()), "{position} of {count}");
            for other in 0..u32::from(count) + 2 {
                let moved = MerkleBranch { position: other, ..good.clone() };
                let outcome = moved.prove(transaction, &block.header);
                assert_eq!(outcome.is_ok(), other == good.position, "{position} of {count} as {other}");
            }
            for (level, _) in good.siblings.iter().enumerate() {
                let mut wrong = good.clone();
                wrong.siblings[level] = TxMerkleNode::all_zeros();
                let other = BranchError::OtherRoot(transaction.compute_txid());
                assert_eq!(wrong.prove(transaction, &block.header), Err(other));
                let cut = MerkleBranch { siblings: good.siblings[..level].to_vec(), ..good.clone() };
                assert!(cut.prove(transaction, &block.header).is_err());
            }
        }
    }
}

#[test]
fn a_transaction_that_could_be_an_inner_node_is_never_proven() {
    // 4 + 1 + 41 + 1 + 8 + 1 + script + 4 bytes without witness.
    for (script, size) in [(3, 63), (4, 64), (5, 65)] {
        let transaction = transaction(7, script);
        assert_eq!(transaction.base_size(), size);
        let mut block = block(1);
        block.txdata = vec![transaction.clone()];
        block.header.merkle_root = block.compute_merkle_root().unwrap();
        let branch = MerkleBranch { position: 0, siblings: Vec::new() };
        let could_be = Err(BranchError::CouldBeNode(transaction.compute_txid()));
        let expected = if size == 64 { could_be } else { Ok(()) };
        assert_eq!(branch.prove(&transaction, &block.header), expected);
    }
}

#[test]
fn a_repeated_last_transaction_has_no_second_position() {
    // Three transactions: the tree has the third twice.
    let block = block(3);
    let good = branch(&block, 2);
    let repeated = MerkleBranch { position: 3, ..good.clone() };
    assert_eq!(good.prove(&block.txdata[2], &block.header), Ok(()));
    assert_eq!(repeated.prove(&block.txdata[2], &block.header), Err(BranchError::Repeated(3)));
}

#[test]
fn branches_have_as_many_levels_as_a_tree_can() {
    let block = block(2);
    for levels in [2, 32, 33, 64, 65, 1_000] {
        let long = MerkleBranch { position: u32::MAX, siblings: vec![TxMerkleNode::all_zeros(); levels] };
        let outcome = long.prove(&block.txdata[0], &block.header);
        let no_such = Err(BranchError::NoSuchPosition { levels, position: u32::MAX });
        let other = Err(BranchError::OtherRoot(block.txdata[0].compute_txid()));
        assert_eq!(outcome, if levels == 32 { other } else { no_such });
    }
}
