//! Proves that a transaction is in a block, by a branch of the block's Merkle tree from the transaction to the root.

use bitcoin::{
    Transaction, TxMerkleNode, Txid,
    block::Header,
    hashes::{Hash, HashEngine, sha256d},
};

/// The size, without witness, of what an inner node of a Merkle tree can be taken for: two hashes.
const INNER_NODE_SIZE: usize = 64;
/// More levels than any block's tree has.
const MOST_LEVELS: usize = 32;

/// A transaction's index in its block, and the hashes that lead from it to the block's Merkle root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MerkleBranch {
    /// The transaction's position in the block, from 0.
    pub position: u32,
    /// The nodes beside the way to the root, the lowest first.
    pub siblings: Vec<TxMerkleNode>,
}

/// Why a branch proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BranchError {
    /// The transaction could be an inner node of the tree: two hashes that somebody chose.
    #[error("transaction {0} has {INNER_NODE_SIZE} bytes without witness, and could be an inner node")]
    CouldBeNode(Txid),
    /// The tree has no such position, or would have too many levels.
    #[error("a branch of {levels} nodes leads to no position {position}")]
    NoSuchPosition {
        /// How many nodes the branch has.
        levels: usize,
        /// The position.
        position: u32,
    },
    /// The position is one that the tree makes up where its last transaction has no neighbour.
    #[error("the transaction at position {0} is the repeated last one")]
    Repeated(u32),
    /// The branch leads to another root.
    #[error("transaction {0} is not in the block by this branch")]
    OtherRoot(Txid),
}

impl MerkleBranch {
    /// The branch to the transaction at this position of a block that has these. `None` if there is no such position.
    pub fn within(txids: &[Txid], position: usize) -> Option<Self> {
        let mut row: Vec<_> =
            txids.iter().map(|txid| TxMerkleNode::from_raw_hash(txid.to_raw_hash())).collect();
        row.get(position)?;
        let (mut index, mut siblings) = (position, Vec::new());
        while row.len() > 1 {
            if let (false, Some(&last)) = (row.len().is_multiple_of(2), row.last()) {
                row.push(last);
            }
            siblings.push(*row.get(index ^ 1)?);
            row = row.as_chunks().0.iter().map(|&[left, right]| parent(left, right)).collect();
            index /= 2;
        }
        Some(Self { position: u32::try_from(position).ok()?, siblings })
    }

    /// Checks that the transaction is in the block of this header, at this position.
    ///
    /// # Errors
    /// If the branch doesn't prove that.
    pub fn prove(&self, transaction: &Transaction, header: &Header) -> Result<(), BranchError> {
        let txid = transaction.compute_txid();
        if transaction.base_size() == INNER_NODE_SIZE {
            return Err(BranchError::CouldBeNode(txid));
        }
        self.lead(txid, header)
    }

    /// Checks that the branch leads from what has this id, be it a transaction or an inner node, to the header's root.
    pub(crate) fn lead(&self, txid: Txid, header: &Header) -> Result<(), BranchError> {
        let Self { position, siblings } = self;
        let (position, levels) = (*position, siblings.len());
        let mut rest = u64::from(position);
        if levels > MOST_LEVELS || rest >= 1 << levels {
            return Err(BranchError::NoSuchPosition { levels, position });
        }
        let mut node = TxMerkleNode::from_raw_hash(txid.to_raw_hash());
        for &sibling in siblings {
            let is_right = rest % 2 == 1;
            if is_right && sibling == node {
                return Err(BranchError::Repeated(position));
            }
            node = if is_right { parent(sibling, node) } else { parent(node, sibling) };
            rest /= 2;
        }
        if node == header.merkle_root { Ok(()) } else { Err(BranchError::OtherRoot(txid)) }
    }
}

fn parent(left: TxMerkleNode, right: TxMerkleNode) -> TxMerkleNode {
    let mut engine = sha256d::Hash::engine();
    engine.input(left.as_byte_array());
    engine.input(right.as_byte_array());
    TxMerkleNode::from_raw_hash(sha256d::Hash::from_engine(engine))
}
