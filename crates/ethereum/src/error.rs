//! Why a question to the chain has no usable answer.

use alloy::primitives::{Address, Bytes};
use coxswain_rules::{
    Assurance, MissingError, OutPoint,
    units::{BlockNumber, UnixTime},
};

#[cfg(feature = "proven")]
use crate::proof::ProofError;
use crate::{
    decision::DecisionError,
    rpc::{Block, BlockSelector, Position, RequestError},
};

/// How much of a contract's answer an error shows, in bytes.
const EXCERPT: usize = 68;

/// Why a case could not be judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The endpoint gave no usable answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The endpoint serves another chain.
    #[error("{endpoint} serves chain {actual}, expected chain {expected}")]
    WrongChain {
        /// The endpoint's host and port.
        endpoint: String,
        /// The chain id asked for.
        expected: u64,
        /// The chain id found.
        actual: u64,
    },
    /// The endpoint serves a chain that is not the network's.
    #[error("{endpoint} serves chain {actual}, which is not {network}")]
    WrongNetwork {
        /// The endpoint's host and port.
        endpoint: String,
        /// The network asked for.
        network: &'static str,
        /// The chain id found.
        actual: u64,
    },
    /// A deposit's reveal is not where it should be.
    #[error("no reveal of deposit {outpoint} by the Bridge at {bridge} in block {block}")]
    NoReveal {
        /// The deposit.
        outpoint: OutPoint,
        /// The Bridge asked for.
        bridge: Address,
        /// The block looked in.
        block: BlockNumber,
    },
    /// An event of the Bridge is not what the Bridge emits.
    #[error("event {} of block {} can't be read as one of the Bridge at {bridge}: {cause}", .at.index, .at.block)]
    UnreadableEvent {
        /// The Bridge.
        bridge: Address,
        /// The event's position in the chain.
        at: Position,
        /// Why not.
        cause: String,
    },
    /// The endpoint has no such block.
    #[error("{endpoint} has no block {block}")]
    NoBlock {
        /// The endpoint's host and port.
        endpoint: String,
        /// The block asked for.
        block: BlockSelector,
    },
    /// No contract is deployed where the validator, or the Bridge, should be.
    #[error("there is no code at {address} in {block}")]
    NoCode {
        /// The address of the contract.
        address: Address,
        /// The block looked at.
        block: Block,
    },
    /// The validator reads another Bridge than it should.
    #[error("the validator at {validator} reads the Bridge at {actual}, expected {expected}")]
    OtherBridge {
        /// The validator.
        validator: Address,
        /// The Bridge asked for.
        expected: Address,
        /// The Bridge that the validator names.
        actual: Address,
    },
    /// A view that the rules read, the Bridge's or its watchtower's, failed or answered with something else.
    #[error(
        "the Bridge at {bridge} can't be read in {block}: a view failed, or its answer is not of its type"
    )]
    UnreadableBridge {
        /// The Bridge.
        bridge: Address,
        /// The block read at.
        block: Block,
    },
    /// The Bridge is in a state that this version does not know.
    #[error("the Bridge gives {item} the unknown state {state}")]
    UnknownState {
        /// Which wallet or request.
        item: String,
        /// The number.
        state: u8,
    },
    /// Something else that the case needs, from Bitcoin for example, is not available.
    #[error("the proposal can't be completed: {reason}")]
    Incomplete {
        /// A stable name for the kind of failure, for programs.
        cause: &'static str,
        /// What could not be had, and why.
        reason: String,
    },
    /// The rules need something of the Bridge that was not read.
    #[error(transparent)]
    Unread(#[from] MissingError),
    /// The Bridge was read at another block than was asked for.
    #[error(
        "{endpoint} read the Bridge in block {number} of chain {chain_id} (time {timestamp}) instead of {expected}"
    )]
    OtherBlock {
        /// The endpoint's host and port.
        endpoint: String,
        /// The block asked for.
        expected: Block,
        /// The chain id read at.
        chain_id: u64,
        /// The number of the block read at.
        number: BlockNumber,
        /// The timestamp read at.
        timestamp: UnixTime,
    },
    /// The Bridge's state came in a form that it can't have.
    #[error("the answer to reading the Bridge at {bridge} is malformed: {answer} ({length} bytes)")]
    UnknownSnapshot {
        /// The Bridge.
        bridge: Address,
        /// The answer's first bytes.
        answer: Bytes,
        /// How long the answer is.
        length: usize,
    },
    /// The call reverted and gave no reason: out of gas within, or a Bridge that is not one.
    #[error("the call to {address} reverted without a reason")]
    RevertWithoutReason {
        /// The validator.
        address: Address,
    },
    /// The call reverted with an error that is none of the validator's for such a proposal.
    #[error("the call to {address} reverted with an unknown error: {error}")]
    UnknownRevert {
        /// The validator.
        address: Address,
        /// The text of an `Error(string)`, else the error's first bytes in hex.
        error: String,
    },
    /// The call reverted with a reason that can't be of this proposal.
    #[error("the call to {address} reverted with what can't be of this proposal: {rejection}")]
    ImpossibleRejection {
        /// The validator.
        address: Address,
        /// What it says.
        rejection: String,
    },
    /// No block is named by enough servers.
    #[error("{error}{}", .failures.iter().map(|failure| format!("; {failure}")).collect::<String>())]
    NoDecision {
        /// Why.
        #[source]
        error: DecisionError,
        /// Why servers gave no answer.
        failures: Vec<RequestError>,
    },
    /// The facts are not as well assured as was required.
    #[error("there is an answer, but it is known by {actual} only, and {required} is required: {answer}")]
    TooWeak {
        /// How far it is to be believed.
        actual: Assurance,
        /// How far it should be.
        required: Assurance,
        /// The answer.
        answer: String,
    },
    /// Enough servers say other than what is proven: one of the two is wrong, and that must not be.
    #[error("the servers say other than what is proven in {block}: {said}")]
    Contradicted {
        /// The block.
        block: Block,
        /// Each server's answer.
        said: String,
    },
    /// The state that the answer depends on is not proven.
    #[cfg(feature = "proven")]
    #[error(transparent)]
    Unproven(#[from] ProofError),
    /// The call succeeded with something other than `true`.
    #[error("the answer of {address} is not what it can be: {answer} ({length} bytes)")]
    UnknownAnswer {
        /// The validator.
        address: Address,
        /// The answer's first bytes.
        answer: Bytes,
        /// How long the answer is.
        length: usize,
    },
}

impl ChainError {
    /// Whether the same question may well be answered a moment later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Request(error) => error.is_retryable(),
            Self::NoBlock { .. } | Self::NoDecision { .. } => true,
            _ => false,
        }
    }

    /// A stable name for the kind of failure, for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Request(error) => error.kind(),
            Self::WrongChain { .. } | Self::WrongNetwork { .. } => "wrong-chain",
            Self::NoReveal { .. } => "no-reveal",
            Self::UnreadableEvent { .. } => "unreadable-event",
            Self::NoBlock { .. } => "no-block",
            Self::NoCode { .. } => "no-code",
            Self::OtherBridge { .. } => "other-bridge",
            Self::RevertWithoutReason { .. } => "revert-without-reason",
            Self::UnknownRevert { .. } => "unknown-revert",
            Self::UnknownAnswer { .. } | Self::UnknownSnapshot { .. } => "unknown-answer",
            Self::UnreadableBridge { .. } => "unreadable-bridge",
            Self::Incomplete { cause, .. } => cause,
            Self::Unread(_) => "unread",
            Self::NoDecision { .. } => "no-decision",
            Self::TooWeak { .. } => "too-weak",
            Self::ImpossibleRejection { .. } => "impossible-rejection",
            Self::Contradicted { .. } => "contradicted",
            #[cfg(feature = "proven")]
            Self::Unproven(_) => "unproven",
            Self::UnknownState { .. } => "unknown-state",
            Self::OtherBlock { .. } => "other-block",
        }
    }
}

/// Returns the part of a contract's answer that an error shows.
pub(crate) fn excerpt(bytes: &Bytes) -> Bytes {
    bytes.slice(..bytes.len().min(EXCERPT))
}
