//! The light relay, which knows Bitcoin's difficulty, and who may send proofs.

use alloy::primitives::{Address, U256};
use coxswain_bindings::{
    maintainer_proxy::MaintainerProxy::{allSpvMaintainersCall, bridgeCall, isSpvMaintainerCall},
    relay::{
        LightRelay::{
            authorizationRequiredCall, currentEpochCall, getCurrentEpochDifficultyCall,
            getPrevEpochDifficultyCall, isAuthorizedCall, proofLengthCall, readyCall,
        },
        LightRelayMaintainerProxy,
    },
};

use crate::{
    error::ChainError,
    registry::ask,
    rpc::{Block, Endpoints},
};

/// The relay's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayState {
    /// The difficulty of the newest epoch that it knows.
    pub current: U256,
    /// The difficulty of the one before; zero if it knows none, and asks for no work then.
    pub previous: U256,
    /// The number of the newest epoch that it knows. `None` if it doesn't count epochs: a test's.
    pub epoch: Option<u64>,
}

/// The relay's requirements of a retarget proof and of its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayTerms {
    /// Whether it was told a first epoch.
    pub ready: bool,
    /// The number of the newest epoch that it knows.
    pub epoch: u64,
    /// How many headers on each side of an epoch's beginning it wants to see.
    pub proof_length: u64,
    /// Whether it hears only those who are authorised.
    pub authorization_required: bool,
}

/// The relay that a Bridge goes by.
#[derive(Clone, Debug)]
pub struct Relay {
    endpoints: Endpoints,
    address: Address,
}

impl Relay {
    /// The relay at this address.
    pub const fn new(endpoints: Endpoints, address: Address) -> Self {
        Self { endpoints, address }
    }

    /// What it knows, as of this block. Sends three `eth_call`s.
    ///
    /// # Errors
    /// If any of it has no usable answer.
    pub async fn state(&self, block: Block) -> Result<RelayState, ChainError> {
        let (endpoints, address) = (&self.endpoints, self.address);
        let (current, previous, epoch) = tokio::join!(
            ask(endpoints, address, getCurrentEpochDifficultyCall {}, block),
            ask(endpoints, address, getPrevEpochDifficultyCall {}, block),
            ask(endpoints, address, currentEpochCall {}, block),
        );
        Ok(RelayState { current: current?, previous: previous?, epoch: unless_unknown(epoch)? })
    }

    /// What it asks of who tells it a new difficulty, as of this block; `None` if it counts no epochs: a test's. Sends four
    /// `eth_call`s.
    ///
    /// # Errors
    /// If any of it has no usable answer.
    pub async fn terms(&self, block: Block) -> Result<Option<RelayTerms>, ChainError> {
        let (endpoints, address) = (&self.endpoints, self.address);
        let Some(epoch) = unless_unknown(ask(endpoints, address, currentEpochCall {}, block).await)? else {
            return Ok(None);
        };
        let (ready, proof_length, authorization_required) = tokio::try_join!(
            ask(endpoints, address, readyCall {}, block),
            ask(endpoints, address, proofLengthCall {}, block),
            ask(endpoints, address, authorizationRequiredCall {}, block),
        )?;
        Ok(Some(RelayTerms { ready, epoch, proof_length, authorization_required }))
    }

    /// Whether it hears this account, where it hears only those who are authorised.
    ///
    /// # Errors
    /// If there is no usable answer.
    pub async fn authorises(&self, account: Address, block: Block) -> Result<bool, ChainError> {
        ask(&self.endpoints, self.address, isAuthorizedCall(account), block).await
    }

    /// Returns its address.
    pub const fn address(&self) -> Address {
        self.address
    }
}

/// `None` if the contract has no such function.
fn unless_unknown<T>(answer: Result<T, ChainError>) -> Result<Option<T>, ChainError> {
    match answer {
        Err(ChainError::RevertWithoutReason { .. }) => Ok(None),
        answer => answer.map(Some),
    }
}

/// The proxy of the light relay, which refunds the gas.
#[derive(Clone, Debug)]
pub struct RelayProxy {
    endpoints: Endpoints,
    address: Address,
}

impl RelayProxy {
    /// The proxy at this address.
    pub const fn new(endpoints: Endpoints, address: Address) -> Self {
        Self { endpoints, address }
    }

    /// Returns its address.
    pub const fn address(&self) -> Address {
        self.address
    }

    /// The relay that it tells.
    ///
    /// # Errors
    /// If there is no usable answer.
    pub async fn relay(&self, block: Block) -> Result<Address, ChainError> {
        ask(&self.endpoints, self.address, LightRelayMaintainerProxy::lightRelayCall {}, block).await
    }

    /// Whether this account may tell it.
    ///
    /// # Errors
    /// If there is no usable answer.
    pub async fn includes(&self, account: Address, block: Block) -> Result<bool, ChainError> {
        let call = LightRelayMaintainerProxy::isAuthorizedCall(account);
        ask(&self.endpoints, self.address, call, block).await
    }
}

/// The maintainers that may send proofs through the proxy, which refunds their gas.
#[derive(Clone, Debug)]
pub struct SpvMaintainers {
    endpoints: Endpoints,
    proxy: Address,
}

impl SpvMaintainers {
    /// The maintainers of the proxy at this address.
    pub const fn new(endpoints: Endpoints, proxy: Address) -> Self {
        Self { endpoints, proxy }
    }

    /// The Bridge that the proxy sends them to.
    ///
    /// # Errors
    /// If there is no usable answer.
    pub async fn bridge(&self, block: Block) -> Result<Address, ChainError> {
        ask(&self.endpoints, self.proxy, bridgeCall {}, block).await
    }

    /// Whether this account may.
    ///
    /// # Errors
    /// If there is no usable answer.
    pub async fn includes(&self, account: Address, block: Block) -> Result<bool, ChainError> {
        let call = isSpvMaintainerCall(account);
        Ok(!ask(&self.endpoints, self.proxy, call, block).await?.is_zero())
    }

    /// All who may, in the proxy's own order. A removal changes it.
    ///
    /// # Errors
    /// If there is no usable answer.
    pub async fn all(&self, block: Block) -> Result<Vec<Address>, ChainError> {
        ask(&self.endpoints, self.proxy, allSpvMaintainersCall {}, block).await
    }
}
