//! Each way in which a network message can fail a member, with its name and what the network does about it.

use alloy_primitives::Address;
use coxswain_rules::{Action, units::BlockNumber};

use crate::{HashRule, Seat, wire::DecodeError};

/// What the network does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Acceptance {
    /// The message was of use, be it as evidence.
    Accept,
    /// It was of no use. No connection is held responsible: an honest one may have relayed it.
    Ignore,
    /// No honest connection brings such a message.
    Reject,
}

/// Why a member does not go by a message.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Ignored {
    /// No window is open.
    #[error("not listening")]
    NotListening,
    /// From nobody of the group.
    #[error("{0} is no operator of the wallet")]
    NotAMember(Address),
    /// Check 1.
    #[error("not a coordination message")]
    NotACoordinationMessage,
    /// Check 2.
    #[error("from our own seat {0}")]
    OwnSeat(Seat),
    /// Check 3.
    #[error("{author} does not hold seat {seat}")]
    SeatNotHeld {
        /// The seat that the message names.
        seat: Seat,
        /// Who signed it.
        author: Address,
    },
    /// Check 4.
    #[error("for the window of block {0}")]
    OtherWindow(BlockNumber),
    /// Check 5.
    #[error("for another wallet")]
    OtherWallet,
    /// The sender has sent this payload under this sequence number in this window.
    #[error("a repeat")]
    Repeat,
    /// The sender has said more in this window than is listened to.
    #[error("the sender has said enough")]
    TooMany,
    /// The sender has said the same before, or as many different things as are kept.
    #[error("nothing new")]
    NothingNew,
    /// Kept until the safe block's hash is known.
    #[error("kept until the seed is known")]
    SeedUnknown,
    /// Check 6: leader impersonation, if the seed holds.
    #[error("seat {0} does not lead")]
    NotTheLeader(Seat),
    /// Check 7: leader mistake, if the seed holds.
    #[error("{0} is not on the checklist")]
    NotOnChecklist(Action),
    /// Check 7: leader mistake, if the seed holds.
    #[error("there is no action {0}")]
    NoSuchAction(u32),
    /// Check 7: an action that may come to be known.
    #[error("action {0} is not understood")]
    NotUnderstood(u32),
    /// The message can be read, its proposal can't: leader mistake, if the seed holds.
    #[error("the proposal is undecodable: {0}")]
    Undecodable(DecodeError),
    /// Fits an earlier hash of the safe block.
    #[error("fits an earlier seed")]
    OtherSeed,
    /// Fits the other hash rule only.
    #[error("fits the hash rule {0}")]
    HashRuleMismatch(HashRule),
    /// Came after the active phase.
    #[error("late")]
    Late,
    /// An earlier message was settled on.
    #[error("settled already")]
    Settled,
}

impl Ignored {
    /// The name in output and metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NotListening => "not listening",
            Self::NotAMember(_) => "no member",
            Self::NotACoordinationMessage => "other kind",
            Self::OwnSeat(_) => "own seat",
            Self::SeatNotHeld { .. } => "seat not held",
            Self::OtherWindow(_) => "other window",
            Self::OtherWallet => "other wallet",
            Self::Repeat => "repeat",
            Self::TooMany => "too many",
            Self::NothingNew => "nothing new",
            Self::SeedUnknown => "seed unknown",
            Self::NotTheLeader(_) => "not the leader",
            Self::NotOnChecklist(_) => "not on the checklist",
            Self::NoSuchAction(_) => "no such action",
            Self::NotUnderstood(_) => "not understood",
            Self::Undecodable(_) => "undecodable",
            Self::OtherSeed => "other seed",
            Self::HashRuleMismatch(_) => "hash rule mismatch",
            Self::Late => "late",
            Self::Settled => "settled",
        }
    }

    /// What the network does with the message.
    pub const fn acceptance(&self) -> Acceptance {
        match self {
            Self::NotAMember(_) => Acceptance::Reject,
            Self::NotListening
            | Self::NotACoordinationMessage
            | Self::OwnSeat(_)
            | Self::SeatNotHeld { .. }
            | Self::OtherWindow(_)
            | Self::OtherWallet
            | Self::Repeat
            | Self::TooMany
            | Self::NothingNew => Acceptance::Ignore,
            Self::SeedUnknown
            | Self::NotTheLeader(_)
            | Self::NotOnChecklist(_)
            | Self::NoSuchAction(_)
            | Self::NotUnderstood(_)
            | Self::Undecodable(_)
            | Self::OtherSeed
            | Self::HashRuleMismatch(_)
            | Self::Late
            | Self::Settled => Acceptance::Accept,
        }
    }
}
