//! The contract's verdict on a case: one `eth_call`, pinned to one block by its hash.

use alloy::{
    primitives::{Address, Bytes, U256},
    rpc::types::{TransactionInput, TransactionRequest},
    sol_types::{Panic, Revert, SolCall, SolError},
};
use coxswain_bindings::validator::WalletProposalValidator::{self as validator, bridgeCall};
use coxswain_rules::{self as rules, Assurance, Assured, Case, Cause, Rejection, rule_of_deployed_reason};

use super::{calldata, reason};
#[cfg(feature = "proven")]
use crate::proof::{Call, Proven, Prover};
use crate::{
    error::{ChainError, excerpt},
    panel::Panel,
    rpc::{Block, BlockSelector, Called, Endpoints, HashedHeader},
};

/// What the contract says of a case. Never guessed: what can't be read as a *yes* or a *no* is neither.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContractVerdict {
    /// Every rule holds.
    Valid,
    /// A rule is broken.
    Rejected(Rejection),
    /// There is no usable answer.
    Undecided(ChainError),
}

/// A verdict, and the block that it holds for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The block judged at. `None` if it could not be told.
    pub block: Option<Block>,
    /// The contract's answer.
    pub verdict: ContractVerdict,
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
    endpoint: Endpoints,
    chain_id: u64,
    address: Address,
}

impl ProposalValidator {
    /// The validator at `address` on chain `chain_id`, asked through `endpoint`. Nothing is sent yet.
    pub const fn new(endpoint: Endpoints, chain_id: u64, address: Address) -> Self {
        Self { endpoint, chain_id, address }
    }

    /// Returns the validator's address.
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Judges a case at the block that the selector names now.
    ///
    /// Sends `eth_chainId` and the block's look-up together, then one `eth_call` at that block's hash.
    pub async fn validate(&self, case: &Case, at: BlockSelector) -> Judgement {
        match self.block(at).await {
            Ok(block) => Judgement { block: Some(block), verdict: self.validate_at(case, block).await },
            Err(undecided) => Judgement { block: None, verdict: ContractVerdict::Undecided(undecided) },
        }
    }

    /// The block that the selector names now, on the right chain.
    ///
    /// # Errors
    /// When the endpoint gives no usable answer, serves another chain or has no such block.
    pub async fn block(&self, selector: BlockSelector) -> Result<Block, ChainError> {
        let (chain_id, block) = tokio::join!(self.endpoint.chain_id(), self.endpoint.block(selector));
        let endpoint = || self.endpoint.name().to_owned();
        let actual = chain_id?;
        if actual != self.chain_id {
            return Err(ChainError::WrongChain { endpoint: endpoint(), expected: self.chain_id, actual });
        }
        block?.ok_or_else(|| ChainError::NoBlock { endpoint: endpoint(), block: selector })
    }

    /// Judges a case at this block, with one `eth_call`.
    pub async fn validate_at(&self, case: &Case, block: Block) -> ContractVerdict {
        match self.call(calldata(case), block).await {
            Ok(called) => self.verdict(case, called),
            Err(undecided) => ContractVerdict::Undecided(undecided),
        }
    }

    /// Judges a case at a block that was decided on, or named, as all servers are to be believed.
    pub async fn assured_verdict(
        &self,
        panel: &Panel,
        case: &Case,
        at: &HashedHeader,
    ) -> Assured<ContractVerdict> {
        match panel.call(Some(self.address), calldata(case), at).await {
            Ok(called) => called.map(|called| self.verdict(case, called)),
            Err(error) => Assured { fact: ContractVerdict::Undecided(error), assurance: Assurance::Word },
        }
    }

    /// Judges a case at the block of this header, by a call that is run here, on state that is proven against it.
    #[cfg(feature = "proven")]
    pub async fn prove_at(&self, prover: &Prover, case: &Case, header: &HashedHeader) -> ContractVerdict {
        let call = Call { to: Some(self.address), input: calldata(case) };
        match prover.call(&call, header).await {
            Ok(Proven { has_code: false, .. }) => ContractVerdict::Undecided(ChainError::NoCode {
                address: self.address,
                block: header.block(),
            }),
            Ok(Proven { called, .. }) => self.verdict(case, called),
            Err(unproven) => ContractVerdict::Undecided(unproven.into()),
        }
    }

    /// The verdict that an answer gives which was given before. `None` if there is none.
    pub fn recorded_verdict(
        &self,
        case: &Case,
        answer: impl Fn(&Bytes) -> Option<Called>,
    ) -> Option<ContractVerdict> {
        answer(&calldata(case)).map(|called| self.verdict(case, called))
    }

    /// What the contract's answer to [`calldata`] says of the case. A rejection that can't be is not understood.
    pub fn verdict(&self, case: &Case, called: Called) -> ContractVerdict {
        match called {
            Called::Returned(bytes)
                if U256::try_from_be_slice(&bytes) == Some(U256::ONE) && bytes.len() == 32 =>
            {
                ContractVerdict::Valid
            }
            Called::Returned(bytes) => ContractVerdict::Undecided(self.unknown_answer(bytes)),
            Called::Reverted(bytes) => match self.rejection(case, &bytes) {
                Ok(rejection) if rejection.can_be(case) => ContractVerdict::Rejected(rejection),
                Ok(rejection) => ContractVerdict::Undecided(ChainError::ImpossibleRejection {
                    address: self.address,
                    rejection: rejection.to_string(),
                }),
                Err(error) => ContractVerdict::Undecided(error),
            },
        }
    }

    /// The Bridge that the validator reads.
    ///
    /// # Errors
    /// When there is no usable answer.
    pub async fn bridge(&self, block: Block) -> Result<Address, ChainError> {
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
    ) -> Result<Address, ChainError> {
        let actual = self.bridge(block).await?;
        self.expect_bridge(expected, actual)
    }

    /// As [`require_bridge`](Self::require_bridge), as all servers are to be believed.
    ///
    /// # Errors
    /// When it reads another one, or there is no usable answer.
    pub(crate) async fn assured_bridge(
        &self,
        panel: &Panel,
        expected: Option<Address>,
        at: &HashedHeader,
    ) -> Result<Assured<Address>, ChainError> {
        let called = panel.call(Some(self.address), bridgeCall {}.abi_encode().into(), at).await?;
        let actual = self.read::<bridgeCall>(called.fact)?;
        let fact = self.expect_bridge(expected, actual)?;
        Ok(Assured { fact, assurance: called.assurance })
    }

    fn expect_bridge(&self, expected: Option<Address>, actual: Address) -> Result<Address, ChainError> {
        match expected {
            Some(expected) if expected != actual => {
                Err(ChainError::OtherBridge { validator: self.address, expected, actual })
            }
            _ => Ok(actual),
        }
    }

    /// The validator's constants, by name, each with the rules' own.
    ///
    /// # Errors
    /// When there is no usable answer.
    pub async fn constants(&self, block: Block) -> Result<[Constant; 6], ChainError> {
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
    async fn get<Call: SolCall>(&self, call: Call, block: Block) -> Result<Call::Return, ChainError> {
        let called = self.call(call.abi_encode().into(), block).await?;
        self.read::<Call>(called)
    }

    /// What a view answers that never reverts.
    fn read<Call: SolCall>(&self, called: Called) -> Result<Call::Return, ChainError> {
        match called {
            Called::Returned(bytes) => {
                Call::abi_decode_returns_validate(&bytes).map_err(|_| self.unknown_answer(bytes))
            }
            Called::Reverted(bytes) if bytes.is_empty() => {
                Err(ChainError::RevertWithoutReason { address: self.address })
            }
            Called::Reverted(bytes) => Err(self.unknown_revert(&bytes)),
        }
    }

    async fn call(&self, input: Bytes, block: Block) -> Result<Called, ChainError> {
        let transaction = TransactionRequest::default().to(self.address).input(TransactionInput::new(input));
        let called = self.endpoint.call(transaction, block).await?;
        // An address without code accepts any call and answers nothing.
        if called == Called::Returned(Bytes::new())
            && self.endpoint.code(self.address, block).await?.is_empty()
        {
            return Err(ChainError::NoCode { address: self.address, block });
        }
        Ok(called)
    }

    fn rejection(&self, case: &Case, bytes: &Bytes) -> Result<Rejection, ChainError> {
        if bytes.is_empty() {
            return Err(ChainError::RevertWithoutReason { address: self.address });
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

    fn unknown_revert(&self, bytes: &Bytes) -> ChainError {
        let error = match Revert::abi_decode_validate(bytes) {
            Ok(Revert { reason }) => format!("{reason:?}"),
            Err(_) => excerpt(bytes).to_string(),
        };
        ChainError::UnknownRevert { address: self.address, error }
    }

    fn unknown_answer(&self, bytes: Bytes) -> ChainError {
        ChainError::UnknownAnswer { address: self.address, answer: excerpt(&bytes), length: bytes.len() }
    }
}
