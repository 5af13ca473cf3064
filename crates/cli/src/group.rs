//! `coxswain group`: which operators hold a wallet's seats, as the chain says.

use std::fmt;

use alloy_primitives::{Address, B256, hex};
use coxswain_ethereum::{
    BlockSelector, Chain, GroupError, Groups, WalletGroup, registry::MAINNET_REGISTRY_FROM,
};
use coxswain_protocol::SigningGroup;
use coxswain_rules::{Assurances, KeyHash, network::Preset, units::BlockNumber};
use serde::{Serialize, Serializer};
use url::Url;

use crate::{
    arguments::{AskingArguments, GroupArguments, RegistryArguments},
    coordination::{CoordinationError, endpoint, require},
    report::{AssuranceFields, Report, Text},
};

/// A wallet's signing group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupReport {
    wallet: KeyHash,
    group: WalletGroup,
    known: Assurances,
}

/// What was read, and how it is known.
pub(crate) struct Read {
    pub(crate) fact: WalletGroup,
    pub(crate) known: Assurances,
}

/// Reads the group.
///
/// # Errors
/// If the wallet is unknown or gone, or the endpoint gives no usable answer.
pub async fn group(arguments: &GroupArguments) -> Result<GroupReport, CoordinationError> {
    let GroupArguments { wallet, rpc_url, network, registry, asking, .. } = arguments;
    let read = read(*wallet, rpc_url, network.map(Into::into), registry, asking).await;
    if let Err(CoordinationError::Group { error, known }) = &read {
        require(known, arguments.require, || error.to_string())?;
    }
    let Read { fact: group, known } = read?;
    require(&known, arguments.require, || format!("the group has {} seats", group.operators.len()))?;
    Ok(GroupReport { wallet: *wallet, group, known })
}

/// Reads a wallet's group from the chain, at its newest block.
pub(crate) async fn read(
    wallet: KeyHash,
    urls: &[Url],
    network: Option<Preset>,
    arguments: &RegistryArguments,
    asking: &AskingArguments,
) -> Result<Read, CoordinationError> {
    let endpoint = endpoint(urls, network, asking)?;
    let chain = Chain::served(&endpoint, network).await?;
    let contracts = chain.network.and_then(|network| network.contracts);
    let needed = |argument: &str| {
        CoordinationError::Usage(format!("{argument} is needed on a chain whose contracts aren't known"))
    };
    let bridge = arguments.bridge.or(contracts.map(|contracts| contracts.bridge));
    let registry = arguments.registry.or(contracts.map(|contracts| contracts.wallet_registry));
    let bridge = bridge.ok_or_else(|| needed("--bridge"))?;
    let registry = registry.ok_or_else(|| needed("--registry"))?;
    let is_mainnets = contracts.is_some_and(|contracts| contracts.wallet_registry == registry);
    let from_block = if is_mainnets { MAINNET_REGISTRY_FROM } else { BlockNumber(0) };
    let (panel, named) = chain.named(&endpoint, BlockSelector::Latest).await?;
    let groups = Groups::new(panel, endpoint, bridge, registry, from_block);
    let mut known = Assurances::at(named.named_by, named.of, false);
    let read = groups.of(wallet, &named.header).await.map_err(|error| match error {
        GroupError::Undecided(undecided) => CoordinationError::Undecided(undecided),
        other => CoordinationError::Group { error: Box::new(other), known },
    })?;
    known.count_state(read.assurance);
    Ok(Read { fact: read.fact, known })
}

/// The group as the protocol has it.
pub(crate) fn signing_group(operators: Vec<Address>) -> Result<SigningGroup, CoordinationError> {
    SigningGroup::new(operators).map_err(|error| CoordinationError::Usage(error.to_string()))
}

impl Report for GroupReport {}

impl Serialize for GroupReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Fields {
            wallet: Text<KeyHash>,
            wallet_id: B256,
            public_key: String,
            operators: Vec<Text<Address>>,
            assurance: AssuranceFields,
        }
        let WalletGroup { id, key, operators, .. } = &self.group;
        let fields = Fields {
            wallet: Text(self.wallet),
            wallet_id: *id,
            public_key: hex::encode_prefixed(key.serialize_uncompressed()),
            operators: operators.iter().copied().map(Text).collect(),
            assurance: (&self.known).into(),
        };
        fields.serialize(serializer)
    }
}

/// One operator a line, seat 1 first: what `coxswain leader --operators` reads.
impl fmt::Display for GroupReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.group.operators.iter().map(|operator| operator.to_checksum(None)).collect();
        f.write_str(&lines.join("\n"))
    }
}
