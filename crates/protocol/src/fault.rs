//! Who did wrong in a window, and what is kept as proof.

use std::{fmt, sync::Arc};

use alloy_primitives::Address;
use coxswain_rules::{Action, KeyHash, Objection, units::BlockNumber};

use crate::{Seat, Window, wire::DecodeError};

/// What a leader said that it shouldn't have.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Mistake {
    /// It proposed an action that the window doesn't allow.
    NotOnChecklist(Action),
    /// It proposed an action that nobody knows.
    NoSuchAction(u32),
    /// Its proposal can't be decoded, though the message around it can.
    Undecodable(DecodeError),
    /// Its proposal's content was refused from the first block on, and still when the window ended.
    Rejected {
        /// Why.
        objection: Arc<Objection>,
        /// The block at which it was judged last.
        block: BlockNumber,
    },
    /// It sent two different messages.
    Equivocation {
        /// The second one, as its author signed it.
        #[serde(with = "crate::stored::bytes")]
        second: Arc<[u8]>,
    },
}

/// What a member did wrong.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum FaultKind {
    /// The leader sent nothing that could be accepted.
    LeaderIdleness {
        /// The first block at which we listened.
        listened_from: BlockNumber,
    },
    /// The leader said what it shouldn't have.
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
            Self::LeaderMistake(mistake) => match mistake {
                Mistake::NotOnChecklist(action) => write!(f, "{action} is not on the checklist"),
                Mistake::NoSuchAction(number) => write!(f, "there is no action {number}"),
                Mistake::Undecodable(error) => write!(f, "undecodable: {error}"),
                Mistake::Rejected { objection, block } => write!(f, "at block {block}, {objection}"),
                Mistake::Equivocation { .. } => f.write_str("equivocation"),
            },
            Self::LeaderImpersonation { seat } => write!(f, "seat {seat} does not lead"),
        }
    }
}

/// A record of what a member did wrong.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Fault {
    /// The wallet.
    pub wallet: KeyHash,
    /// The window.
    pub window: Window,
    /// The operator that is blamed.
    pub culprit: Address,
    /// For what.
    pub kind: FaultKind,
    /// The network message that proves it, as its author signed it. `None` for idleness.
    #[serde(with = "crate::stored::bytes_if_any")]
    pub signed: Option<Arc<[u8]>>,
}
