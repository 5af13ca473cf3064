//! Who spends an output: searched for in steps that are bounded, whatever a stranger has put in the way.

use bitcoin::{OutPoint, Transaction, Txid};
use coxswain_rules::units::Height;
use serde::{Deserialize, Serialize};

/// Where a search goes on: all before was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cursor {
    /// A block's height.
    pub height: Height,
    /// The last transaction of that block that was looked at, in the order of their ids; `None` if none was.
    pub after: Option<Txid>,
}

impl Cursor {
    /// A search that begins with the block at this height: that which made the output.
    pub const fn at(height: Height) -> Self {
        Self { height, after: None }
    }
}

/// A transaction that spends the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spender {
    /// The transaction.
    pub transaction: Transaction,
    /// The height of the block that is said to have it; `None` in the mempool.
    pub height: Option<Height>,
}

/// The result of one step of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Search {
    /// The spender is found. Its own bytes show what it spends.
    Found(Box<Spender>),
    /// The search goes on here.
    More(Cursor),
    /// All that the backend has was looked at, and none spends the output. What comes later is looked at from here on; after a
    /// reorganisation, from its first block on.
    Ended(Cursor),
}

/// Whether the transaction spends the output.
pub(crate) fn spends(transaction: &Transaction, outpoint: OutPoint) -> bool {
    transaction.input.iter().any(|input| input.previous_output == outpoint)
}
