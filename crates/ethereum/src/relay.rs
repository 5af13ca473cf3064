//! The light relay, which knows Bitcoin's difficulty, and who may send proofs.

use alloy::primitives::{Address, U256};
use coxswain_bindings::{
    maintainer_proxy::MaintainerProxy::{allSpvMaintainersCall, bridgeCall, isSpvMaintainerCall},
    relay::LightRelay::{currentEpochCall, getCurrentEpochDifficultyCall, getPrevEpochDifficultyCall},
};

use crate::{
    error::ChainError,
    registry::ask,
    rpc::{Block, Endpoints},
};

/// What the relay knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayState {
    /// The difficulty of the newest epoch that it knows.
    pub current: U256,
    /// The difficulty of the one before; zero if it knows none, and asks for no work then.
    pub previous: U256,
    /// The number of the newest epoch that it knows. `None` if it doesn't count epochs: a test's.
    pub epoch: Option<u64>,
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
        let epoch = match epoch {
            Err(ChainError::RevertWithoutReason { .. }) => None,
            epoch => Some(epoch?),
        };
        Ok(RelayState { current: current?, previous: previous?, epoch })
    }
}

/// Who may send proofs through the proxy that refunds their gas.
#[derive(Clone, Debug)]
pub struct SpvMaintainers {
    endpoints: Endpoints,
    proxy: Address,
}

impl SpvMaintainers {
    /// Those of the proxy at this address.
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
