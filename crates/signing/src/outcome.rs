//! How signing ended, and who is said to have spoiled it.

use bitcoin::secp256k1::ecdsa::Signature;
use coxswain_protocol::Seat;

use crate::{ActionId, PreimageError};

/// How a job ended, with what was noticed of other seats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// Who is said to have spoiled attempts. A blame is one seat's word.
    pub blames: Vec<Blame>,
}

impl From<Outcome> for Report {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, blames: Vec::new() }
    }
}

impl From<Refusal> for Report {
    fn from(refusal: Refusal) -> Self {
        Outcome::Refused(refusal).into()
    }
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of it is signed.
    Signed(Signed),
    /// Too few seats were ready in any attempt.
    NotReady {
        /// How many were heard at most.
        heard: usize,
        /// How many are needed.
        needed: usize,
    },
    /// The last block has passed.
    Deadline,
    /// All attempts have failed.
    Exhausted(Vec<AttemptReport>),
    /// It is not signed at all.
    Refused(Refusal),
}

/// Signatures of all preimages, each verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// One a preimage, in order, with a low S.
    pub signatures: Vec<Signature>,
    /// Which attempt succeeded, counted from 1. 0 if that isn't known: others have signed without us.
    pub attempt: u64,
    /// Whose shares made them, if that is known.
    pub seats: Vec<Seat>,
    /// Who was ready to.
    pub heard: Vec<Seat>,
}

/// How one attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptReport {
    /// Which, counted from 1.
    pub attempt: u64,
    /// Who took part.
    pub seats: Vec<Seat>,
    /// What was noticed.
    pub blames: Vec<Blame>,
}

/// What one seat says of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blame {
    /// It cheated the one that says so, which never works with it again.
    Ban {
        /// Who cheated.
        seat: Seat,
        /// Who says so.
        by: Seat,
        /// What it did.
        reason: String,
    },
    /// It broke the protocol.
    Fault {
        /// Who did.
        seat: Seat,
        /// What it did.
        reason: String,
    },
    /// It sent nothing.
    Silent {
        /// Who.
        seat: Seat,
        /// In which round.
        round: u8,
    },
    /// One of these, and it can't be told which.
    Unattributed(Vec<Seat>),
}

/// Why a job is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The signer is for another chain.
    #[error("the job is of chain {job}, the signer of chain {signer}")]
    OtherChain {
        /// The job's.
        job: u64,
        /// The signer's.
        signer: u64,
    },
    /// The signer's key is another wallet's.
    #[error("the job is of another wallet than the signer's key")]
    OtherWallet,
    /// It is not what a wallet signs.
    #[error(transparent)]
    Preimages(#[from] PreimageError),
    /// Another action of the window was signed for. Or other preimages of this one.
    #[error("in this window action {recorded} was signed for, or other bytes of it")]
    Other {
        /// Which.
        recorded: ActionId,
    },
    /// It can't be recorded, so that nothing is signed.
    #[error("what is to be signed can't be recorded: {0}")]
    Unrecorded(String),
    /// Two actions were proposed in the window, each by a message of the leader's.
    #[error("two actions were proposed in this window, of which none is signed")]
    TwoActions,
    /// Somebody has announced with our key.
    #[error(
        "an announcement of ours is not on record: is another process using our key, or was an old record brought back?"
    )]
    NotOurs,
    /// Nobody can be shown by which message of the leader's the action was agreed on.
    #[error("the leader's message that the action was agreed on by is not known here")]
    NoLeaderMessage,
    /// The signatures made don't hold.
    #[error("a signature that was made does not hold")]
    Unsound,
}
