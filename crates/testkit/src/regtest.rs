//! A Bitcoin chain at regtest's difficulty: blocks that anyone can mine, and SPV proofs of what is in them.

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

use crate::Error;

/// The highest target there is: every other hash meets it.
const TARGET: Target = Target::MAX_ATTAINABLE_REGTEST;
const BLOCK_SECONDS: u32 = 600;
const SUBSIDY: Amount = Amount::from_sat(50_0000_0000);

/// The tip of a chain, which grows with every block mined.
#[derive(Clone, Debug)]
pub struct Regtest {
    tip: BlockHash,
    height: u32,
    time: u32,
}

impl Regtest {
    /// A chain whose first block will stand on an unknown one, at this Unix time.
    pub fn new(time: u32) -> Self {
        Self { tip: BlockHash::all_zeros(), height: 0, time }
    }

    /// Mines the transactions into the next block, behind its coinbase.
    pub fn mine(&mut self, transactions: &[Transaction]) -> Result<Block, Error> {
        let height = self.height.checked_add(1).ok_or(Error::Overflow { what: "the height" })?;
        let time =
            self.time.checked_add(BLOCK_SECONDS).ok_or(Error::Overflow { what: "the block's time" })?;
        let header = block::Header {
            version: block::Version::TWO,
            prev_blockhash: self.tip,
            merkle_root: TxMerkleNode::all_zeros(),
            time,
            bits: TARGET.to_compact_lossy(),
            nonce: 0,
        };
        let txdata = [vec![coinbase(height)], transactions.to_vec()].concat();
        let mut block = Block { header, txdata };
        commit_to_witnesses(&mut block)?;
        block.header.merkle_root =
            block.compute_merkle_root().ok_or(Error::Absent("transaction to put into a block"))?;
        while block.header.validate_pow(TARGET).is_err() {
            block.header.nonce =
                block.header.nonce.checked_add(1).ok_or(Error::Overflow { what: "the nonce" })?;
        }
        *self = Self { tip: block.block_hash(), height, time };
        Ok(block)
    }
}

/// Proves to the Bridge that the block holds its transaction at `position`; 0 is the coinbase.
pub(crate) fn spv_proof(block: &Block, position: usize) -> Result<Proof, Error> {
    let coinbase = block.txdata.first().ok_or(Error::Absent("coinbase in the block"))?;
    let coinbase = encode::serialize(&without_witness(coinbase));
    let txids: Vec<_> = block.txdata.iter().map(Transaction::compute_txid).collect();
    Ok(Proof {
        merkleProof: merkle_branch(&txids, position).into(),
        txIndexInBlock: U256::from(position),
        bitcoinHeaders: encode::serialize(&block.header).into(),
        coinbasePreimage: B256::new(sha256::Hash::hash(&coinbase).to_byte_array()),
        coinbaseProof: merkle_branch(&txids, 0).into(),
    })
}

/// The hashes to be hashed with a transaction's, in turn, to arrive at the Merkle root.
fn merkle_branch(txids: &[Txid], mut position: usize) -> Vec<u8> {
    let mut level: Vec<[u8; 32]> = txids.iter().map(|txid| txid.to_byte_array()).collect();
    let mut branch = Vec::new();
    while level.len() > 1 {
        // A hash without a neighbour is paired with itself.
        let sibling = level.get(position ^ 1).or(level.get(position)).copied().unwrap_or_default();
        branch.extend(sibling);
        level = level
            .chunks(2)
            .map(|pair| {
                let mut engine = sha256d::Hash::engine();
                pair.iter().chain(pair.first()).take(2).for_each(|hash| engine.input(hash));
                sha256d::Hash::from_engine(engine).to_byte_array()
            })
            .collect();
        position /= 2;
    }
    branch
}

/// A coinbase that commits to its height (BIP 34), and pays anyone.
fn coinbase(height: u32) -> Transaction {
    Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig: Builder::new().push_int(height.into()).push_slice(b"coxswain").into_script(),
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[[0; 32]]),
        }],
        output: vec![TxOut { value: SUBSIDY, script_pubkey: Builder::new().push_int(1).into_script() }],
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

fn without_witness(transaction: &Transaction) -> Transaction {
    let mut transaction = transaction.clone();
    transaction.input.iter_mut().for_each(|input| input.witness.clear());
    transaction
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(txid: Txid, branch: &[u8], mut position: usize) -> [u8; 32] {
        branch.chunks(32).fold(txid.to_byte_array(), |hash, sibling| {
            let pair = if position.is_multiple_of(2) { [&hash, sibling] } else { [sibling, &hash] };
            position /= 2;
            sha256d::Hash::hash(&pair.concat()).to_byte_array()
        })
    }

    #[test]
    fn branches_lead_to_the_root_from_every_position() {
        for others in 0..7 {
            let transactions: Vec<_> = (0..others).map(|n| coinbase(1_000 + n)).collect();
            let block = Regtest::new(0).mine(&transactions).unwrap();
            let txids: Vec<_> = block.txdata.iter().map(Transaction::compute_txid).collect();
            for (position, &txid) in txids.iter().enumerate() {
                let branch = merkle_branch(&txids, position);
                assert_eq!(fold(txid, &branch, position), block.header.merkle_root.to_byte_array());
            }
        }
    }

    #[test]
    fn blocks_stand_on_each_other_and_commit_to_their_witnesses() {
        let mut regtest = Regtest::new(0);
        let first = regtest.mine(&[]).unwrap();
        let second = regtest.mine(&[coinbase(9)]).unwrap();
        assert_eq!(second.header.prev_blockhash, first.block_hash());
        assert!(second.check_merkle_root() && second.check_witness_commitment());
    }
}
