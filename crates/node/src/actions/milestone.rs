//! What an action has come to, as it is recorded: one milestone after the other, each once.

use std::fmt;

use alloy_primitives::Bytes;
use bitcoin::{Amount, OutPoint, ScriptBuf, Txid};
use coxswain_protocol::{Schedule, Seat, Window};
use coxswain_rules::{
    Proposal,
    units::{BlockNumber, Height},
};
use coxswain_signing::ActionId;
use serde::{Deserialize, Serialize};

/// A milestone, and when it was reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// The height that windows go by.
    pub at: BlockNumber,
    /// What was reached.
    pub milestone: Milestone,
}

/// What an action has come to.
///
/// ```text
/// Agreed ───────────► Assembled ───► Signed ───► Broadcast ───► InMempool ───► Confirmed ───► Over: proven
///   │                 ▲       │                     │               │           ▲     │
///   └──► Waiting ─────┘       └──► Over: alive      └───► Stuck ◄───┘           │     └──► Broadcast, InMempool:
///        (moving funds)            (a heartbeat)            └───────────────────┘          its block was replaced
///
/// Agreed, Waiting, Assembled ──► Signed      others were faster, and it is found on Bitcoin
/// Signed ──► InMempool, Confirmed            what lies between was not seen
/// Broadcast, InMempool ──► Confirmed
/// Stuck ──► Stuck                            24 more blocks have come
/// Assembled ──► Assembled                    it was assembled anew, and is another one
/// Confirmed ──► Confirmed                    in another block
/// all but Over ──► Over                      rejected, skipped, expired, failed, replaced …
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Milestone {
    /// A window has agreed on it.
    Agreed(Agreed),
    /// It was judged at its start, and waits to be judged again: moving funds.
    Waiting,
    /// It was judged, and what is to be signed is assembled.
    Assembled(Assembled),
    /// Its transaction is signed, and is handed to Bitcoin from now on.
    Signed(SignedTransaction),
    /// A Bitcoin server has taken its transaction, or had it.
    Broadcast {
        /// Bitcoin's height then.
        height: Height,
    },
    /// Enough Bitcoin servers show its transaction among those that wait for a block.
    InMempool {
        /// Bitcoin's height then.
        height: Height,
    },
    /// Its transaction has waited for a block for long.
    Stuck(Stuck),
    /// Its transaction is in a block.
    Confirmed {
        /// The block's height.
        height: Height,
    },
    /// Nothing more is done for it.
    Over(End),
}

/// What a window has agreed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreed {
    /// The window.
    pub window: Window,
    /// Names the action.
    pub action_id: ActionId,
    /// What is to be done.
    pub proposal: Proposal,
    /// When.
    pub schedule: Schedule,
}

/// What is to be signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Assembled {
    /// A heartbeat's message.
    Heartbeat,
    /// A transaction.
    Transaction {
        /// What it spends.
        inputs: Vec<OutPoint>,
        /// What it pays for its block, in satoshis.
        #[serde(with = "bitcoin::amount::serde::as_sat")]
        fee: Amount,
        /// How large it will be, in virtual bytes.
        vsize: u64,
    },
}

/// A transaction that is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedTransaction {
    /// Its id.
    pub txid: Txid,
    /// Its bytes.
    pub raw: Bytes,
    /// What it spends, with the scripts of that.
    pub inputs: Vec<(OutPoint, ScriptBuf)>,
    /// What it pays for its block, in satoshis.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub fee: Amount,
    /// How large it is, in virtual bytes.
    pub vsize: u64,
    /// In which attempt it was signed, counted from 1. 0 if others have signed it without us.
    pub attempt: u64,
    /// By whom, as far as we know.
    pub seats: Vec<Seat>,
    /// Bitcoin's height, or one that it had before: none that conflicts with it is in an earlier block.
    pub height: Height,
}

impl SignedTransaction {
    /// What it pays, in sat/kwu, rounded down.
    pub fn fee_rate(&self) -> u64 {
        let weight = u128::from(self.vsize).saturating_mul(4).max(1);
        u64::try_from(u128::from(self.fee.to_sat()).saturating_mul(1_000) / weight).unwrap_or(u64::MAX)
    }
}

/// A transaction that has waited for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stuck {
    /// Since which height.
    pub since: Height,
    /// Bitcoin's height now.
    pub height: Height,
    /// What it pays, in sat/kwu.
    pub fee_rate: u64,
    /// The estimated fee rate of the next block, in sat/kwu. `None` if no server has an estimate.
    pub next_block: Option<u64>,
}

/// How an action has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// The Bridge has taken the proof of its transaction.
    Proven,
    /// The heartbeat's message is signed.
    Alive(Alive),
    /// The wallet was busy with the action of another window.
    Busy {
        /// That window's index.
        with: u64,
    },
    /// It was judged invalid.
    Rejected(String),
    /// It is not begun, for this reason.
    Skipped(String),
    /// It was not signed, or what was signed doesn't fit.
    Failed(String),
    /// Its time was over.
    Expired(String),
    /// A transaction that conflicts with its own is in a block.
    Replaced(Txid),
    /// This node signs nothing for the wallet.
    NoSigner,
}

/// The seats that were ready for a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alive {
    /// How many seats were ready.
    pub active: usize,
    /// How many there are.
    pub of: usize,
    /// The others.
    pub silent: Vec<Seat>,
    /// How many heartbeats in a row, this one included, had too few.
    pub low_in_a_row: u32,
}

/// How many heartbeats in a row with too few seats are an alarm.
const HEARTBEATS: u32 = 3;

impl Alive {
    /// Whether somebody should look: too few seats were ready, heartbeat after heartbeat.
    pub(crate) const fn is_alarm(&self) -> bool {
        self.low_in_a_row >= HEARTBEATS
    }
}

impl Milestone {
    /// Whether the other may follow it, as the diagram above has it.
    pub(super) const fn leads_to(&self, next: &Self) -> bool {
        match self {
            Self::Agreed(_) => {
                matches!(next, Self::Waiting | Self::Assembled(_) | Self::Signed(_) | Self::Over(_))
            }
            Self::Waiting | Self::Assembled(_) => {
                matches!(next, Self::Assembled(_) | Self::Signed(_) | Self::Over(_))
            }
            Self::Signed(_) => matches!(
                next,
                Self::Broadcast { .. } | Self::InMempool { .. } | Self::Confirmed { .. } | Self::Over(_)
            ),
            Self::Broadcast { .. } => matches!(
                next,
                Self::InMempool { .. } | Self::Stuck(_) | Self::Confirmed { .. } | Self::Over(_)
            ),
            Self::InMempool { .. } | Self::Stuck(_) => {
                matches!(next, Self::Stuck(_) | Self::Confirmed { .. } | Self::Over(_))
            }
            Self::Confirmed { .. } => matches!(
                next,
                Self::Confirmed { .. } | Self::Broadcast { .. } | Self::InMempool { .. } | Self::Over(_)
            ),
            Self::Over(_) => false,
        }
    }

    /// Its name in documents and output.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Agreed(_) => "agreed",
            Self::Waiting => "waiting",
            Self::Assembled(_) => "assembled",
            Self::Signed(_) => "signed",
            Self::Broadcast { .. } => "broadcast",
            Self::InMempool { .. } => "in a mempool",
            Self::Stuck(_) => "stuck",
            Self::Confirmed { .. } => "confirmed",
            Self::Over(end) => end.name(),
        }
    }
}

impl End {
    /// Its name in documents and output.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Alive(_) => "heartbeat signed",
            Self::Busy { .. } => "refused as busy",
            Self::Rejected(_) => "rejected",
            Self::Skipped(_) => "skipped",
            Self::Failed(_) => "failed",
            Self::Expired(_) => "expired",
            Self::Replaced(_) => "replaced",
            Self::NoSigner => "no signer",
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Proven | Self::NoSigner => Ok(()),
            Self::Alive(Alive { active, of, .. }) => write!(f, ": {active} of {of} seats were ready"),
            Self::Busy { with } => write!(f, " with the action of window {with}"),
            Self::Rejected(why) | Self::Skipped(why) | Self::Failed(why) | Self::Expired(why) => {
                write!(f, ": {why}")
            }
            Self::Replaced(by) => write!(f, " by transaction {by}"),
        }
    }
}

impl fmt::Display for Milestone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agreed(agreed) => write!(f, "agreed: {}", agreed.proposal.action()),
            Self::Signed(signed) => write!(f, "signed: transaction {}", signed.txid),
            Self::Stuck(Stuck { since, height, .. }) => {
                let blocks = height.saturating_since(*since);
                write!(f, "stuck: it has waited for {blocks} blocks of Bitcoin")
            }
            Self::Confirmed { height } => write!(f, "confirmed in block {height} of Bitcoin"),
            Self::Over(end) => end.fmt(f),
            Self::Waiting | Self::Assembled(_) | Self::Broadcast { .. } | Self::InMempool { .. } => {
                f.write_str(self.name())
            }
        }
    }
}
