//! How a block is put together, and how it is proven what is in one.

use alloy::primitives::{B256, U256};
use bitcoin::{
    Amount, Block, BlockHash, OutPoint, ScriptBuf, Sequence, Target, Transaction, TxIn, TxMerkleNode, TxOut,
    Txid, Witness, absolute, block,
    consensus::encode,
    hashes::{Hash, HashEngine, sha256, sha256d},
    opcodes::all::OP_RETURN,
    script::Builder,
    transaction,
};
use coxswain_bindings::bridge::Proof;
use coxswain_rules::units::Height;

use super::anyone;
use crate::Error;

/// The highest target there is: every other hash meets it.
const TARGET: Target = Target::MAX_ATTAINABLE_REGTEST;
/// Votes for no soft fork (BIP 9): regtest has them all from the start.
const VERSION: block::Version = block::Version::from_consensus(0x2000_0000);
const SUBSIDY: u64 = 50_0000_0000;
const HALVING: u32 = 150;

/// A block of these transactions on the one with this hash. `number` makes it differ from others of its height.
pub(super) fn assemble(
    parent: BlockHash,
    height: Height,
    time: u32,
    number: u64,
    transactions: &[Transaction],
) -> Result<Block, Error> {
    let header = block::Header {
        version: VERSION,
        prev_blockhash: parent,
        merkle_root: TxMerkleNode::all_zeros(),
        time,
        bits: TARGET.to_compact_lossy(),
        nonce: 0,
    };
    let txdata = [vec![coinbase(height, number)], transactions.to_vec()].concat();
    let mut block = Block { header, txdata };
    commit_to_witnesses(&mut block)?;
    block.header.merkle_root =
        block.compute_merkle_root().ok_or(Error::Absent("transaction to put into a block"))?;
    while block.header.validate_pow(TARGET).is_err() {
        block.header.nonce =
            block.header.nonce.checked_add(1).ok_or(Error::Overflow { what: "the nonce" })?;
    }
    Ok(block)
}

/// A coinbase that commits to its height (BIP 34), and pays anyone.
fn coinbase(height: Height, number: u64) -> Transaction {
    let value = Amount::from_sat(SUBSIDY.checked_shr(height.0 / HALVING).unwrap_or_default());
    Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig: Builder::new()
                .push_int(height.0.into())
                .push_slice(number.to_be_bytes())
                .into_script(),
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[[0; 32]]),
        }],
        output: vec![TxOut { value, script_pubkey: anyone::script_pubkey() }],
    }
}

/// Puts into the coinbase what binds a block to its transactions' witnesses (BIP 141).
fn commit_to_witnesses(block: &mut Block) -> Result<(), Error> {
    const HEADER: [u8; 4] = [0xaa, 0x21, 0xa9, 0xed];
    let root = block.witness_root().ok_or(Error::Absent("transaction to put into a block"))?;
    let commitment = Block::compute_witness_commitment(&root, &[0; 32]).to_byte_array();
    let mut data = [0; 36];
    let (header, rest) = data.split_at_mut(HEADER.len());
    header.copy_from_slice(&HEADER);
    rest.copy_from_slice(&commitment);
    let script_pubkey: ScriptBuf = Builder::new().push_opcode(OP_RETURN).push_slice(data).into_script();
    if let Some(coinbase) = block.txdata.first_mut() {
        coinbase.output.push(TxOut { value: Amount::ZERO, script_pubkey });
    }
    Ok(())
}

/// Proves to the Bridge that the block holds its transaction at `position`; 0 is the coinbase.
pub(crate) fn spv_proof(block: &Block, position: usize) -> Result<Proof, Error> {
    let coinbase = block.txdata.first().ok_or(Error::Absent("coinbase in the block"))?;
    let coinbase = encode::serialize(&without_witness(coinbase));
    let bytes = |branch: Vec<Txid>| branch.iter().flat_map(|txid| txid.to_byte_array()).collect::<Vec<_>>();
    Ok(Proof {
        merkleProof: bytes(merkle_branch(block, position)).into(),
        txIndexInBlock: U256::from(position),
        bitcoinHeaders: encode::serialize(&block.header).into(),
        coinbasePreimage: B256::new(sha256::Hash::hash(&coinbase).to_byte_array()),
        coinbaseProof: bytes(merkle_branch(block, 0)).into(),
    })
}

/// The hashes to be hashed with a transaction's, in turn, to arrive at the Merkle root.
pub(crate) fn merkle_branch(block: &Block, mut position: usize) -> Vec<Txid> {
    let mut level: Vec<Txid> = block.txdata.iter().map(Transaction::compute_txid).collect();
    let mut branch = Vec::new();
    while level.len() > 1 {
        // A hash without a neighbour is paired with itself.
        branch.extend(level.get(position ^ 1).or(level.get(position)));
        level = level
            .chunks(2)
            .map(|pair| {
                let mut engine = sha256d::Hash::engine();
                pair.iter().chain(pair.first()).take(2).for_each(|hash| engine.input(hash.as_byte_array()));
                Txid::from_raw_hash(sha256d::Hash::from_engine(engine))
            })
            .collect();
        position /= 2;
    }
    branch
}

fn without_witness(transaction: &Transaction) -> Transaction {
    let mut transaction = transaction.clone();
    transaction.input.iter_mut().for_each(|input| input.witness.clear());
    transaction
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(txid: Txid, branch: &[Txid], mut position: usize) -> [u8; 32] {
        branch.iter().fold(txid.to_byte_array(), |hash, sibling| {
            let sibling = sibling.to_byte_array();
            let pair = if position.is_multiple_of(2) { [hash, sibling] } else { [sibling, hash] };
            position /= 2;
            sha256d::Hash::hash(&pair.concat()).to_byte_array()
        })
    }

    #[test]
    fn branches_lead_to_the_root_from_every_position() {
        for others in 0..7 {
            let transactions: Vec<_> = (0..others).map(|n| coinbase(Height(1_000 + n), 0)).collect();
            let block = assemble(BlockHash::all_zeros(), Height(1), 0, 0, &transactions).unwrap();
            let txids: Vec<_> = block.txdata.iter().map(Transaction::compute_txid).collect();
            for (position, &txid) in txids.iter().enumerate() {
                let branch = merkle_branch(&block, position);
                assert_eq!(fold(txid, &branch, position), block.header.merkle_root.to_byte_array());
            }
            assert!(block.check_merkle_root() && block.check_witness_commitment());
        }
    }
}
