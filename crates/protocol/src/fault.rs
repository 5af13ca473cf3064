//! Who did wrong in a window, and what is kept as proof.

use std::{fmt, sync::Arc};

use alloy_primitives::Address;
use coxswain_rules::{Action, KeyHash, Objection};

use crate::{Seat, Window};

/// What a leader proposed that it shouldn't have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// An action that the window doesn't allow.
    NotOnChecklist(Action),
    /// Content that was still refused when the window ended.
    Rejected {
        /// Why.
        objection: Objection,
        /// The block it was judged at.
        block: u64,
    },
}

/// What a member did wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The leader made no proposal that could be accepted.
    LeaderIdleness {
        /// The first block at which we listened: a late one weakens the charge.
        listened_from: u64,
    },
    /// The leader proposed what it shouldn't have.
    LeaderMistake(Mistake),
    /// A member that doesn't lead spoke as if it did.
    LeaderImpersonation {
        /// The seat that it spoke through.
        seat: Seat,
    },
}

impl FaultKind {
    /// The kind's name in documents and output.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::LeaderIdleness { .. } => "leader idleness",
            Self::LeaderMistake(_) => "leader mistake",
            Self::LeaderImpersonation { .. } => "leader impersonation",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name())?;
        match self {
            Self::LeaderIdleness { listened_from } => {
                write!(f, "no acceptable message since block {listened_from}")
            }
            Self::LeaderMistake(Mistake::NotOnChecklist(action)) => {
                write!(f, "{action} is not on the checklist")
            }
            Self::LeaderMistake(Mistake::Rejected { objection, block }) => {
                write!(f, "at block {block}, {objection}")
            }
            Self::LeaderImpersonation { seat } => write!(f, "seat {seat} does not lead"),
        }
    }
}

/// A record of what a member did wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The wallet.
    pub wallet: KeyHash,
    /// The window.
    pub window: Window,
    /// Who is blamed.
    pub culprit: Address,
    /// For what.
    pub kind: FaultKind,
    /// The network message that proves it, as its author signed it, where there is one.
    pub signed: Option<Arc<[u8]>>,
}
