//! The contract's verdict on a case: one `eth_call`, pinned to one block by its hash.

use alloy::{
    primitives::{Address, Bytes, U256},
    rpc::types::{BlockId, TransactionInput, TransactionRequest},
    sol_types::{Panic, Revert, SolCall, SolError},
};
use coxswain_bindings::validator::WalletProposalValidator::{self as validator, bridgeCall};
use coxswain_rules::{self as rules, Case, Cause, Missing, OutPoint, Rejection, rule_of_deployed_reason};

use crate::{
    block::{Block, BlockSelector},
    calldata::calldata,
    endpoint::Endpoint,
    events::Position,
    reason::reason,
    request_error::RequestError,
    revert::revert_of,
};

/// How much of a contract's answer an error shows, in bytes.
const EXCERPT: usize = 68;

/// What the contract says of a case. Never guessed: what can't be read as a *yes* or a *no* is neither.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every rule holds.
    Valid,
    /// A rule is broken.
    Rejected(Rejection),
    /// There is no answer to go by.
    Undecided(Undecided),
}

/// A verdict, and the block that it holds for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The block judged at; none when it could not be told.
    pub block: Option<Block>,
    /// What the contract said.
    pub verdict: Verdict,
}

/// Why a case could not be judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Undecided {
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
        block: u64,
    },
    /// An event of the Bridge is not what the Bridge emits.
    #[error("event {} of block {} can't be read as one of the Bridge at {bridge}: {cause}", .at.index, .at.block)]
    UnreadableEvent {
        /// The Bridge.
        bridge: Address,
        /// Where the event stands.
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
        /// Where the contract should be.
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
    /// What the case needs besides, as from Bitcoin, could not be had.
    #[error("the proposal can't be completed: {reason}")]
    Incomplete {
        /// A stable name for the kind of failure, for programs.
        cause: &'static str,
        /// What could not be had, and why.
        reason: String,
    },
    /// The Bridge was not read as far as the rules need it.
    #[error(transparent)]
    Unread(#[from] Missing),
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
        /// The height read at.
        number: u64,
        /// The timestamp read at.
        timestamp: u64,
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

impl Undecided {
    /// Whether the same question may well be answered a moment later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Request(error) => error.is_retryable(),
            Self::NoBlock { .. } => true,
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
            Self::UnknownState { .. } => "unknown-state",
            Self::OtherBlock { .. } => "other-block",
        }
    }
}

/// A constant of the validator, next to the one that the rules evaluated here have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Constant {
    /// Its name in the contract.
    pub name: &'static str,
    /// The contract's.
    pub actual: u32,
    /// The rules'.
    pub expected: u32,
}

/// `WalletProposalValidator` on one chain, ours or the deployed one.
#[derive(Clone, Debug)]
pub struct ProposalValidator {
    endpoint: Endpoint,
    chain_id: u64,
    address: Address,
}

impl ProposalValidator {
    /// The validator at `address` on chain `chain_id`, asked through `endpoint`. Nothing is sent yet.
    pub const fn new(endpoint: Endpoint, chain_id: u64, address: Address) -> Self {
        Self { endpoint, chain_id, address }
    }

    /// Where the validator is.
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Judges a case at the block that the selector names now.
    ///
    /// Sends `eth_chainId` and the block's look-up together, then one `eth_call` at that block's hash.
    pub async fn validate(&self, case: &Case, at: BlockSelector) -> Judgement {
        match self.block(at).await {
            Ok(block) => Judgement { block: Some(block), verdict: self.validate_at(case, block).await },
            Err(undecided) => Judgement { block: None, verdict: Verdict::Undecided(undecided) },
        }
    }

    /// The block that the selector names now, on the right chain.
    ///
    /// # Errors
    /// When the endpoint gives no usable answer, serves another chain or has no such block.
    pub async fn block(&self, selector: BlockSelector) -> Result<Block, Undecided> {
        let (chain_id, block) = tokio::join!(self.endpoint.chain_id(), self.endpoint.block(selector));
        let endpoint = || self.endpoint.name().to_owned();
        let actual = chain_id?;
        if actual != self.chain_id {
            return Err(Undecided::WrongChain { endpoint: endpoint(), expected: self.chain_id, actual });
        }
        block?.ok_or_else(|| Undecided::NoBlock { endpoint: endpoint(), block: selector })
    }

    /// Judges a case at this block, with one `eth_call`.
    pub async fn validate_at(&self, case: &Case, block: Block) -> Verdict {
        match self.call(calldata(case), block).await {
            Ok(Answer::Returned(bytes))
                if U256::try_from_be_slice(&bytes) == Some(U256::ONE) && bytes.len() == 32 =>
            {
                Verdict::Valid
            }
            Ok(Answer::Returned(bytes)) => Verdict::Undecided(self.unknown_answer(bytes)),
            Ok(Answer::Reverted(bytes)) => {
                self.rejection(case, &bytes).map_or_else(Verdict::Undecided, Verdict::Rejected)
            }
            Err(undecided) => Verdict::Undecided(undecided),
        }
    }

    /// The Bridge that the validator reads.
    ///
    /// # Errors
    /// When there is no usable answer.
    pub async fn bridge(&self, block: Block) -> Result<Address, Undecided> {
        self.get(bridgeCall {}, block).await
    }

    /// The Bridge that the validator reads, which must be the one expected, if one is.
    ///
    /// # Errors
    /// When it reads another one, or there is no usable answer.
    pub async fn require_bridge(
        &self,
        expected: Option<Address>,
        block: Block,
    ) -> Result<Address, Undecided> {
        let actual = self.bridge(block).await?;
        match expected {
            Some(expected) if expected != actual => {
                Err(Undecided::OtherBridge { validator: self.address, expected, actual })
            }
            _ => Ok(actual),
        }
    }

    /// The validator's constants, by name, each with the rules' own.
    ///
    /// # Errors
    /// When there is no usable answer.
    pub async fn constants(&self, block: Block) -> Result<[Constant; 6], Undecided> {
        let (min_age, margin, size, request_min_age, request_margin, request_size) = tokio::try_join!(
            self.get(validator::DEPOSIT_MIN_AGECall {}, block),
            self.get(validator::DEPOSIT_REFUND_SAFETY_MARGINCall {}, block),
            self.get(validator::DEPOSIT_SWEEP_MAX_SIZECall {}, block),
            self.get(validator::REDEMPTION_REQUEST_MIN_AGECall {}, block),
            self.get(validator::REDEMPTION_REQUEST_TIMEOUT_SAFETY_MARGINCall {}, block),
            self.get(validator::REDEMPTION_MAX_SIZECall {}, block),
        )?;
        let constant = |name, actual, expected| Constant { name, actual, expected };
        Ok([
            constant("DEPOSIT_MIN_AGE", min_age, rules::DEPOSIT_MIN_AGE),
            constant("DEPOSIT_REFUND_SAFETY_MARGIN", margin, rules::DEPOSIT_REFUND_SAFETY_MARGIN),
            constant("DEPOSIT_SWEEP_MAX_SIZE", size.into(), rules::DEPOSIT_SWEEP_MAX_SIZE.into()),
            constant("REDEMPTION_REQUEST_MIN_AGE", request_min_age, rules::REDEMPTION_REQUEST_MIN_AGE),
            constant(
                "REDEMPTION_REQUEST_TIMEOUT_SAFETY_MARGIN",
                request_margin,
                rules::REDEMPTION_REQUEST_TIMEOUT_SAFETY_MARGIN,
            ),
            constant("REDEMPTION_MAX_SIZE", request_size.into(), rules::REDEMPTION_MAX_SIZE.into()),
        ])
    }

    /// Asks a view that never reverts.
    async fn get<Call: SolCall>(&self, call: Call, block: Block) -> Result<Call::Return, Undecided> {
        match self.call(call.abi_encode().into(), block).await? {
            Answer::Returned(bytes) => {
                Call::abi_decode_returns_validate(&bytes).map_err(|_| self.unknown_answer(bytes))
            }
            Answer::Reverted(bytes) if bytes.is_empty() => {
                Err(Undecided::RevertWithoutReason { address: self.address })
            }
            Answer::Reverted(bytes) => Err(self.unknown_revert(&bytes)),
        }
    }

    async fn call(&self, input: Bytes, block: Block) -> Result<Answer, Undecided> {
        let transaction = TransactionRequest::default().to(self.address).input(TransactionInput::new(input));
        let answer = self
            .endpoint
            .request::<_, Bytes>("eth_call", (transaction, BlockId::hash_canonical(block.hash)))
            .await;
        match answer {
            // An address without code accepts any call and answers nothing.
            Ok(bytes) if bytes.is_empty() => {
                let code: Bytes = self
                    .endpoint
                    .request("eth_getCode", (self.address, BlockId::hash_canonical(block.hash)))
                    .await?;
                if code.is_empty() {
                    Err(Undecided::NoCode { address: self.address, block })
                } else {
                    Ok(Answer::Returned(bytes))
                }
            }
            Ok(bytes) => Ok(Answer::Returned(bytes)),
            Err(RequestError::Rpc { method, endpoint, code, message, data }) => {
                match revert_of(code, &message, data.as_deref()) {
                    Some(bytes) => Ok(Answer::Reverted(bytes)),
                    None => Err(RequestError::Rpc { method, endpoint, code, message, data }.into()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    fn rejection(&self, case: &Case, bytes: &Bytes) -> Result<Rejection, Undecided> {
        if bytes.is_empty() {
            return Err(Undecided::RevertWithoutReason { address: self.address });
        }
        if let Ok(Panic { code }) = Panic::abi_decode_validate(bytes) {
            return Ok(Rejection { rule: None, cause: Cause::Panic(code) });
        }
        if let Ok(Revert { reason }) = Revert::abi_decode_validate(bytes) {
            return match rule_of_deployed_reason(case.action(), &reason) {
                Some(rule) => Ok(Rejection { rule: Some(rule), cause: Cause::Text(reason) }),
                None => Err(self.unknown_revert(bytes)),
            };
        }
        match reason(bytes).map(|reason| (reason.rule(case.action()), reason)) {
            Some((Some(rule), reason)) => Ok(Rejection { rule: Some(rule), cause: Cause::Reason(reason) }),
            _ => Err(self.unknown_revert(bytes)),
        }
    }

    fn unknown_revert(&self, bytes: &Bytes) -> Undecided {
        let error = match Revert::abi_decode_validate(bytes) {
            Ok(Revert { reason }) => format!("{reason:?}"),
            Err(_) => excerpt(bytes).to_string(),
        };
        Undecided::UnknownRevert { address: self.address, error }
    }

    fn unknown_answer(&self, bytes: Bytes) -> Undecided {
        Undecided::UnknownAnswer { address: self.address, answer: excerpt(&bytes), length: bytes.len() }
    }
}

/// How a contract call ended, as far as the endpoint tells.
enum Answer {
    Returned(Bytes),
    Reverted(Bytes),
}

/// What an error shows of a contract's answer.
pub(crate) fn excerpt(bytes: &Bytes) -> Bytes {
    bytes.slice(..bytes.len().min(EXCERPT))
}
