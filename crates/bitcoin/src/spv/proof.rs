//! The whole proof of a transaction, and its check.

use bitcoin::{
    Block, Transaction, Txid,
    block::Header,
    consensus::encode,
    hashes::{Hash, sha256},
};
use coxswain_rules::units::Height;

use super::{
    linked::{LinkError, check_links},
    work::{NotProvable, WorkAsked, headers_needed},
};
use crate::{BranchError, MerkleBranch};

/// Proof that a transaction is in a block, and that work was done on that block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpvProof {
    /// The transaction.
    pub transaction: Transaction,
    /// The branch that leads to it.
    pub branch: MerkleBranch,
    /// The block's first transaction. Its branch shows how many levels the block's tree has.
    pub coinbase: Transaction,
    /// The branch that leads to that.
    pub coinbase_branch: MerkleBranch,
    /// The block's header, and those on it.
    pub headers: Vec<Header>,
}

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpvProofError {
    /// There is no header.
    #[error("there is no header")]
    NoHeaders,
    /// The headers are no chain.
    #[error(transparent)]
    Headers(#[from] LinkError),
    /// The transaction's branch doesn't lead to it.
    #[error(transparent)]
    Branch(#[from] BranchError),
    /// The coinbase's branch doesn't lead to it.
    #[error("coinbase: {0}")]
    CoinbaseBranch(#[source] BranchError),
    /// The transaction at the block's first position is no coinbase, or the coinbase is at another position.
    #[error("transaction {0} is not the block's coinbase")]
    NotCoinbase(Txid),
    /// The transaction to be proven is a coinbase, which no wallet makes.
    #[error("transaction {0} is a coinbase")]
    Coinbase(Txid),
    /// The branches are of different lengths: one of them ends above the leaves.
    #[error("the branches have {transaction} and {coinbase} nodes")]
    BranchLengths {
        /// How many nodes the transaction's has.
        transaction: usize,
        /// How many the coinbase's has.
        coinbase: usize,
    },
    /// The headers' work is not what the Bridge asks for.
    #[error(transparent)]
    Work(#[from] NotProvable),
    /// There are more headers than the Bridge asks for.
    #[error("there are {actual} headers, {needed} are enough")]
    TooManyHeaders {
        /// How many there are.
        actual: usize,
        /// How many are enough.
        needed: usize,
    },
}

impl SpvProof {
    /// Proof that the block has its transaction at this position, with its own header alone. `None` if it has none there.
    pub fn within(block: &Block, position: usize) -> Option<Self> {
        let txids: Vec<_> = block.txdata.iter().map(Transaction::compute_txid).collect();
        Some(Self {
            transaction: block.txdata.get(position)?.clone(),
            branch: MerkleBranch::within(&txids, position)?,
            coinbase: block.txdata.first()?.clone(),
            coinbase_branch: MerkleBranch::within(&txids, 0)?,
            headers: vec![block.header],
        })
    }

    /// Checks all that the Bridge checks of a proof, its first block being at this height: headers, branches, and work.
    ///
    /// # Errors
    /// If the Bridge would refuse it.
    pub fn check(&self, asked: &WorkAsked, height: Height) -> Result<(), SpvProofError> {
        let Self { transaction, branch, coinbase, coinbase_branch, headers } = self;
        check_links(headers)?;
        let first = headers.first().ok_or(SpvProofError::NoHeaders)?;
        if transaction.is_coinbase() {
            return Err(SpvProofError::Coinbase(transaction.compute_txid()));
        }
        branch.prove(transaction, first)?;
        if coinbase_branch.position != 0 || !coinbase.is_coinbase() {
            return Err(SpvProofError::NotCoinbase(coinbase.compute_txid()));
        }
        coinbase_branch.prove(coinbase, first).map_err(SpvProofError::CoinbaseBranch)?;
        let lengths = (branch.siblings.len(), coinbase_branch.siblings.len());
        if lengths.0 != lengths.1 {
            return Err(SpvProofError::BranchLengths { transaction: lengths.0, coinbase: lengths.1 });
        }
        let (needed, actual) = (headers_needed(asked, height, headers)?, headers.len());
        if needed == actual { Ok(()) } else { Err(SpvProofError::TooManyHeaders { actual, needed }) }
    }

    /// The nodes beside the way from the transaction to the root, the lowest first, each in internal byte order.
    pub fn merkle_proof(&self) -> Vec<u8> {
        nodes(&self.branch)
    }

    /// The same of the coinbase.
    pub fn coinbase_proof(&self) -> Vec<u8> {
        nodes(&self.coinbase_branch)
    }

    /// What the coinbase's id is the SHA-256 of.
    pub fn coinbase_preimage(&self) -> [u8; 32] {
        let mut stripped = self.coinbase.clone();
        stripped.input.iter_mut().for_each(|input| input.witness.clear());
        sha256::Hash::hash(&encode::serialize(&stripped)).to_byte_array()
    }

    /// The headers, 80 bytes each.
    pub fn header_bytes(&self) -> Vec<u8> {
        self.headers.iter().flat_map(encode::serialize).collect()
    }
}

fn nodes(branch: &MerkleBranch) -> Vec<u8> {
    branch.siblings.iter().flat_map(|node| node.to_byte_array()).collect()
}
