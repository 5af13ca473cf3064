//! Where tBTC is: which chain an endpoint serves, which contracts are on it, and the one block that a decision is made at.

use alloy::primitives::Address;
use coxswain_rules::network::{Parameters, Preset};

use crate::{
    error::ChainError,
    rpc::{Block, BlockSelector, Endpoints, Expected},
    validator::ProposalValidator,
};

/// The chain that an endpoint serves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chain {
    /// Its id.
    pub id: u64,
    /// The network that it is, if that is known by name.
    pub network: Option<Preset>,
}

impl Chain {
    /// The chain with this id.
    pub fn new(id: u64) -> Self {
        Self { id, network: Preset::of_chain(id) }
    }

    /// What all members of a wallet on this chain must agree on: its network's, else the protocol's own values.
    pub fn parameters(&self) -> Parameters {
        self.network.map_or(Parameters::DEFAULT, |network| network.parameters)
    }

    /// The chain that the endpoint serves, which must be the network's if one is asked for.
    ///
    /// # Errors
    /// If the endpoint gives no usable answer, or serves another chain.
    pub async fn served(endpoint: &Endpoints, network: Option<Preset>) -> Result<Self, ChainError> {
        let chain = Self::new(endpoint.chain_id().await?);
        chain.require(network, endpoint)?;
        Ok(chain)
    }

    fn require(&self, network: Option<Preset>, endpoint: &Endpoints) -> Result<(), ChainError> {
        match network {
            Some(network) if !network.chain_ids.contains(&self.id) => Err(ChainError::WrongNetwork {
                endpoint: endpoint.name().to_owned(),
                network: network.name,
                actual: self.id,
            }),
            _ => Ok(()),
        }
    }
}

/// What is asked for, and what is not left to the network's preset.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Wanted {
    /// The network that the endpoints must serve. `None`: the one that the chain id names.
    pub network: Option<Preset>,
    /// The validator to ask. `None`: the network's.
    pub validator: Option<Address>,
    /// The Bridge that the validator must read. `None`: the network's, else the one that it reads.
    pub bridge: Option<Address>,
}

impl Wanted {
    /// What is wanted on this chain: what is asked for, else the contracts of its network.
    #[must_use]
    pub fn on(&self, chain: &Chain) -> Self {
        let contracts = chain.network.and_then(|network| network.contracts);
        Self {
            network: self.network,
            validator: self.validator.or(contracts.map(|contracts| contracts.validator)),
            bridge: self.bridge.or(contracts.map(|contracts| contracts.bridge)),
        }
    }

    /// What endpoints are checked for.
    pub fn expected(&self) -> Expected {
        let contracts = self.network.and_then(|network| network.contracts);
        let validator = self.validator.or(contracts.map(|contracts| contracts.validator));
        Expected { network: self.network, contracts: validator.into_iter().collect(), ..Expected::default() }
    }
}

/// tBTC as of one block of one chain.
#[derive(Clone, Debug)]
pub struct Tbtc {
    /// Where it is asked.
    pub endpoint: Endpoints,
    /// The chain.
    pub chain: Chain,
    /// The validator.
    pub validator: Address,
    /// The Bridge that the validator reads.
    pub bridge: Address,
    /// The block.
    pub block: Block,
}

/// Why chain, contracts and block are not all known, and which of them are.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct UnresolvedError {
    /// The chain, if the endpoint told it.
    pub chain: Option<Chain>,
    /// The validator, if it is known where it is.
    pub validator: Option<Address>,
    /// The block, if there is one.
    pub block: Option<Block>,
    /// What is missing.
    #[source]
    pub error: ResolveError,
}

/// Why there is nothing to decide on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// Nothing says where the validator is.
    #[error("no validator is known for chain {chain_id}")]
    UnknownValidator {
        /// The chain that the endpoint serves.
        chain_id: u64,
    },
    /// The endpoint gave no usable answer.
    #[error(transparent)]
    Undecided(#[from] ChainError),
}

impl Tbtc {
    /// Finds chain, contracts and block. Sends `eth_chainId` and the block's look-up together, then one `eth_call`, at that
    /// block.
    ///
    /// # Errors
    /// If the endpoint gives no usable answer, serves another chain, has no such block, no validator is known for its
    /// chain, or the validator reads another Bridge. The error also says what is known.
    pub async fn resolve(
        endpoint: &Endpoints,
        wanted: &Wanted,
        at: BlockSelector,
    ) -> Result<Self, UnresolvedError> {
        let mut known = (None, None, None);
        let resolved = Self::find(endpoint, wanted, at, &mut known).await;
        let (chain, validator, block) = known;
        resolved.map_err(|error| UnresolvedError { chain, validator, block, error })
    }

    async fn find(
        endpoint: &Endpoints,
        wanted: &Wanted,
        at: BlockSelector,
        (known_chain, known_validator, known_block): &mut (Option<Chain>, Option<Address>, Option<Block>),
    ) -> Result<Self, ResolveError> {
        let (chain_id, block) = tokio::join!(endpoint.chain_id(), endpoint.block(at));
        let chain = Chain::new(chain_id.map_err(ChainError::from)?);
        *known_chain = Some(chain);
        chain.require(wanted.network, endpoint)?;
        let Wanted { validator, bridge, .. } = wanted.on(&chain);
        let validator = validator.ok_or(ResolveError::UnknownValidator { chain_id: chain.id })?;
        *known_validator = Some(validator);
        let no_block = || ChainError::NoBlock { endpoint: endpoint.name().to_owned(), block: at };
        let block = block.map_err(ChainError::from)?.ok_or_else(no_block)?;
        *known_block = Some(block);
        let contract = ProposalValidator::new(endpoint.clone(), chain.id, validator);
        let bridge = contract.require_bridge(bridge, block).await?;
        Ok(Self { endpoint: endpoint.clone(), chain, validator, bridge, block })
    }

    /// The validator, to be asked.
    pub fn proposal_validator(&self) -> ProposalValidator {
        ProposalValidator::new(self.endpoint.clone(), self.chain.id, self.validator)
    }
}
