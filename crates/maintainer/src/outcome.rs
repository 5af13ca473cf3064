//! What a pass comes to: each transaction, and what became of it; or why nothing was proven.

use std::time::Duration;

use alloy::primitives::Address;
use bitcoin::Txid;
use coxswain_bitcoin::spv::{NotProvable, ReadError};
use coxswain_ethereum::{
    ChainError,
    submit::{Call, Mined, SubmitError},
};
use coxswain_rules::{KeyHash, units::Height};

use crate::{
    find::FindError,
    kind::{Kind, Misfits},
    order::Deadline,
};

/// What became of a transaction in a pass. Each pass looks at it anew, in this order:
///
/// ```text
/// does it fit a kind? ── no ──► Coinbase, Proven (it is booked), UnknownSpend
///   │
/// is it in a block?   ── no ──► Unconfirmed
///   │
/// is it our turn?     ── no ──► Paused, OthersTurn
///   │
/// is there a proof?   ── no ──► NotProvable
///   │
/// do we send?         ── no ──► Ready
///   │                 ── another does ──► OthersCall
///   │
/// is it mined, deep?  ── no ──► Overtaken (it is booked by now)
///   │
///   └──► Sent
/// ```
///
/// Each step may end in Failed. Where that is the transaction's own fault, it is set aside for growing pauses.
#[derive(Debug)]
#[non_exhaustive]
pub enum ItemState {
    /// It is in the mempool.
    Unconfirmed,
    /// It can't be proven now.
    NotProvable(NotProvable),
    /// It is set aside after a failure.
    Paused,
    /// Another maintainer has the turn for so long.
    OthersTurn(Duration),
    /// Another's transaction with the same call waits to be mined.
    OthersCall,
    /// It could be sent: this call passes.
    Ready(Call),
    /// It was proven, and is booked.
    Sent(Mined),
    /// The Bridge has booked it: another has proven it.
    Proven,
    /// The Bridge has booked it: another has proven it while this became of our own proof.
    Overtaken(SubmitError),
    /// It is a coinbase.
    Coinbase,
    /// It fits no kind: an alarm.
    UnknownSpend(Box<Misfits>),
    /// It failed.
    Failed(ItemError),
}

impl ItemState {
    /// A stable name for the state, for programs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Unconfirmed => "unconfirmed",
            Self::NotProvable(reason) => reason.kind(),
            Self::Paused => "paused",
            Self::OthersTurn(_) => "others_turn",
            Self::OthersCall => "others_call",
            Self::Ready(_) => "ready",
            Self::Sent(_) => "sent",
            Self::Proven | Self::Overtaken(_) => "proven",
            Self::Coinbase => "coinbase",
            Self::UnknownSpend(_) => "unknown_spend",
            Self::Failed(_) => "failed",
        }
    }

    /// Why it is not proven, if there is more to say than the name does.
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::NotProvable(reason) => Some(reason.to_string()),
            Self::OthersTurn(left) => {
                Some(format!("another maintainer has the turn for {} s", left.as_secs()))
            }
            Self::UnknownSpend(misfits) => Some(misfits.to_string()),
            Self::Failed(error) => Some(error.to_string()),
            Self::Overtaken(error) => Some(error.to_string()),
            Self::Unconfirmed
            | Self::Paused
            | Self::OthersCall
            | Self::Ready(_)
            | Self::Sent(_)
            | Self::Proven
            | Self::Coinbase => None,
        }
    }
}

/// Why a transaction was not proven. All others are.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ItemError {
    /// The Bridge, or what is found by it, can't be read.
    #[error(transparent)]
    Find(#[from] FindError),
    /// There is no proof.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It was not sent, or not mined.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

impl ItemError {
    /// Whether the transaction itself is to be set aside: the same may well fail again.
    pub(crate) const fn is_of_transaction(&self) -> bool {
        match self {
            Self::Find(_) => false,
            Self::Read(error) => matches!(error, ReadError::Proof(_)),
            Self::Submit(error) => error.is_of_call(),
        }
    }
}

/// A transaction, and what became of it.
#[derive(Debug)]
pub struct Item {
    /// The wallet.
    pub wallet: KeyHash,
    /// The transaction.
    pub txid: Txid,
    /// What it is to the Bridge, if it can be proven.
    pub kind: Option<Kind>,
    /// By when it must be.
    pub deadline: Deadline,
    /// The height of the block that has it. `None` if it is in none, or that was not asked.
    pub height: Option<Height>,
    /// What became of it.
    pub state: ItemState,
}

/// What a pass came to.
#[derive(Debug, Default)]
pub struct Pass {
    /// Bitcoin's height. `None` if it could not be told.
    pub tip: Option<Height>,
    /// The newest epoch that the relay knows. `None` if it counts none.
    pub relay_epoch: Option<u32>,
    /// How many wallets were looked at.
    pub wallets: usize,
    /// The transactions found, in the order in which they were treated.
    pub items: Vec<Item>,
    /// The wallets of which it can't be told what is unproven.
    pub unknown: Vec<(KeyHash, FindError)>,
}

/// Why nothing was proven in a pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PassError {
    /// The chain gave no usable answer.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The endpoint shows no block.
    #[error("there is no newest block")]
    NoBlock,
    /// The account may not send proofs.
    #[error("account {0} is no authorised SPV maintainer")]
    Unauthorised(Address),
    /// The proxy sends proofs to another Bridge.
    #[error("the maintainer proxy is of the Bridge at {0}")]
    OtherBridge(Address),
    /// The relay knows one epoch only, and would ask for no work of the one before.
    #[error("the relay at {0} knows no previous difficulty: nothing is proven by it")]
    RelayWithoutPrevious(Address),
    /// The relay's numbers are beyond any difficulty.
    #[error("the relay at {0} has a difficulty or an epoch that is none")]
    RelayOutOfRange(Address),
}
