//! Resolves the chain that an endpoint serves, the contracts on it, and the one block that a decision is made at.

use alloy::primitives::Address;
use coxswain_rules::{
    Assurance, Assured,
    network::{Parameters, Preset},
    units::BlockNumber,
};

use crate::{
    decision::{Named, Pace},
    error::ChainError,
    panel::Panel,
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
        let (id, server) = Panel::chain_id(endpoint).await?;
        let chain = Self::new(id);
        chain.require(network, &server)?;
        Ok(chain)
    }

    /// How its blocks follow on the clock.
    pub fn pace(&self) -> Pace {
        self.network.and_then(|network| network.block_times)
    }

    /// All servers of it, and the block that a selector names now, as they are to be believed.
    ///
    /// # Errors
    /// If too few name one.
    pub async fn named(&self, endpoint: &Endpoints, at: BlockSelector) -> Result<(Panel, Named), ChainError> {
        let panel = Panel::of(endpoint, self.id);
        let named = match at {
            BlockSelector::Latest => {
                panel.decide(&mut panel.decider(self.pace()), endpoint.expected().now()).await?.into()
            }
            BlockSelector::Number(number) => panel.at_number(number).await?,
            BlockSelector::Hash(hash) => panel.at_hash(hash).await?,
            BlockSelector::Earliest => panel.at_number(BlockNumber(0)).await?,
            BlockSelector::Safe | BlockSelector::Finalized => panel.at_tag(at).await?,
        };
        Ok((panel, named))
    }

    fn require(&self, network: Option<Preset>, server: &str) -> Result<(), ChainError> {
        match network {
            Some(network) if !network.chain_ids.contains(&self.id) => Err(ChainError::WrongNetwork {
                endpoint: server.to_owned(),
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
    /// The endpoints that are asked.
    pub endpoint: Endpoints,
    /// The chain.
    pub chain: Chain,
    /// The validator.
    pub validator: Address,
    /// The Bridge that the validator reads.
    pub bridge: Address,
    /// The block, and who names it.
    pub named: Named,
    /// All servers, asked side by side.
    pub panel: Panel,
    /// How far it is to be believed that the validator reads that Bridge.
    pub assurance: Assurance,
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
    /// The cause.
    #[source]
    pub error: ResolveError,
}

/// Why there is nothing to decide on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The validator's address is unknown.
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
    /// Finds chain, contracts and block, as all servers are to be believed. If none of them proves the state of the block that
    /// they decide on, and it wasn't asked for by its name, a newer one is taken that one of them proves.
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
        let (id, server) = Panel::chain_id(endpoint).await?;
        let chain = Chain::new(id);
        *known_chain = Some(chain);
        chain.require(wanted.network, &server)?;
        let Wanted { validator, bridge, .. } = wanted.on(&chain);
        let validator = validator.ok_or(ResolveError::UnknownValidator { chain_id: chain.id })?;
        *known_validator = Some(validator);
        let (panel, mut named) = chain.named(endpoint, at).await?;
        *known_block = Some(named.header.block());
        let contract = ProposalValidator::new(endpoint.clone(), chain.id, validator);
        let mut read = contract.assured_bridge(&panel, bridge, &named.header).await;
        if cfg!(feature = "proven")
            && at == BlockSelector::Latest
            && read.as_ref().map_or_else(ChainError::is_retryable, |read| read.assurance < Assurance::Proven)
        {
            for newer in panel.newest(&named.header).await {
                let again = contract.assured_bridge(&panel, bridge, &newer.header).await;
                if again.as_ref().is_ok_and(|again| again.assurance == Assurance::Proven) {
                    *known_block = Some(newer.header.block());
                    (named, read) = (newer, again);
                    break;
                }
            }
        }
        let Assured { fact: bridge, assurance } = read?;
        Ok(Self { endpoint: endpoint.clone(), chain, validator, bridge, named, panel, assurance })
    }

    /// The block.
    pub const fn block(&self) -> Block {
        self.named.header.block()
    }

    /// The validator, to be asked.
    pub fn proposal_validator(&self) -> ProposalValidator {
        ProposalValidator::new(self.endpoint.clone(), self.chain.id, self.validator)
    }
}
