//! The wallet registry: who may take part in the network, and which operators hold a wallet's seats.

use alloy::{
    primitives::{Address, B256, Bytes, keccak256},
    rpc::types::{Filter, Log, TransactionInput, TransactionRequest},
    sol_types::{SolCall, SolEvent, SolValue},
};
use bitcoin::{hashes::Hash, secp256k1::PublicKey};
use coxswain_bindings::{
    Bridge,
    registry::{EcdsaSortitionPool::getIDOperatorsCall, WalletRegistry},
};
use coxswain_rules::{
    Assured, KeyHash, Quorum, QuorumError, servers,
    units::{BlockNumber, Blocks},
};
use futures_util::future::join_all;
use url::Url;

use crate::{
    error::ChainError,
    panel::Panel,
    rpc::{
        Block, BlockSelector, Called, ConnectError, End, Endpoints, Expected, HashedHeader, LogRanges,
        RequestError, address,
    },
};

/// How much of an unknown answer is shown, in bytes.
const EXCERPT: usize = 68;

/// Asks a view that never reverts.
pub(crate) async fn ask<Call: SolCall>(
    endpoint: &Endpoints,
    address: Address,
    call: Call,
    block: Block,
) -> Result<Call::Return, ChainError> {
    let input = TransactionInput::new(call.abi_encode().into());
    let transaction = TransactionRequest::default().to(address).input(input);
    match endpoint.call(transaction, block).await? {
        // An address without code accepts any call and answers nothing.
        Called::Returned(bytes) if bytes.is_empty() && endpoint.code(address, block).await?.is_empty() => {
            Err(ChainError::NoCode { address, block })
        }
        called => returned::<Call>(called, address),
    }
}

/// Asks all servers a view that never reverts.
async fn ask_all<Call: SolCall>(
    panel: &Panel,
    address: Address,
    call: Call,
    at: &HashedHeader,
) -> Result<Assured<Call::Return>, ChainError> {
    let Assured { fact, assurance } = panel.call(Some(address), call.abi_encode().into(), at).await?;
    Ok(Assured { fact: returned::<Call>(fact, address)?, assurance })
}

/// What a view that never reverts has returned.
fn returned<Call: SolCall>(called: Called, address: Address) -> Result<Call::Return, ChainError> {
    match called {
        Called::Returned(bytes) => Call::abi_decode_returns_validate(&bytes)
            .map_err(|_| ChainError::UnknownAnswer { address, answer: excerpt(&bytes), length: bytes.len() }),
        Called::Reverted(bytes) if bytes.is_empty() => Err(ChainError::RevertWithoutReason { address }),
        Called::Reverted(bytes) => {
            Err(ChainError::UnknownRevert { address, error: excerpt(&bytes).to_string() })
        }
    }
}

fn excerpt(bytes: &Bytes) -> Bytes {
    bytes.slice(..bytes.len().min(EXCERPT))
}

/// Says whether an operator may take part: it has a staking provider, which has stake.
#[derive(Clone, Debug)]
pub struct Eligible {
    servers: Vec<Endpoints>,
    quorum: Quorum,
    registry: Address,
}

/// Why it can't be said whether an operator may take part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EligibleError {
    /// Too few servers say the same.
    #[error("{yes} say yes, {no} say no, {silent} nothing: {required} must say the same")]
    NotAgreed {
        /// Servers that say yes.
        yes: usize,
        /// Servers that say no.
        no: usize,
        /// Servers that gave no usable answer.
        silent: usize,
        /// How many must agree.
        required: usize,
        /// Why the first of those gave none.
        #[source]
        source: Option<Box<ChainError>>,
    },
}

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServersError {
    /// A URL can't be used.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// There are too few servers.
    #[error(transparent)]
    Quorum(#[from] QuorumError),
}

impl Eligible {
    /// Asks these servers about the registry. They must serve the expected network. `at_least` raises how many must agree.
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// If a URL can't be used, or there are too few.
    pub fn new(
        urls: &[Url],
        expected: &Expected,
        registry: Address,
        at_least: usize,
    ) -> Result<Self, ServersError> {
        let of = servers(urls.iter().map(address), false);
        let count = of.iter().max().map_or(0, |last| last + 1);
        let quorum = Quorum::new(count, at_least)?;
        let server = |server| {
            let urls = urls.iter().zip(&of).filter(|(_, of)| **of == server).map(|(url, _)| url.clone());
            Endpoints::several(urls, Expected { quorum: 0, ..expected.clone() })
        };
        Ok(Self { servers: (0..count).map(server).collect::<Result<_, _>>()?, quorum, registry })
    }

    /// Asks all servers, each at its newest block: yes or no if enough say so.
    ///
    /// # Errors
    /// If too few say the same.
    pub async fn is_eligible(&self, operator: Address) -> Result<bool, EligibleError> {
        let answers = join_all(self.servers.iter().map(|server| self.ask(server, operator))).await;
        let (mut yes, mut no, mut source) = (0, 0, None);
        for answer in answers {
            match answer {
                Ok(true) => yes += 1,
                Ok(false) => no += 1,
                Err(error) => source = source.or(Some(Box::new(error))),
            }
        }
        let required = self.quorum.required(yes + no);
        if no >= required {
            return Ok(false);
        }
        if yes >= required {
            return Ok(true);
        }
        let silent = self.quorum.servers() - yes - no;
        Err(EligibleError::NotAgreed { yes, no, silent, required, source })
    }

    async fn ask(&self, server: &Endpoints, operator: Address) -> Result<bool, ChainError> {
        let latest = server.block(BlockSelector::Latest).await?;
        let block = latest.ok_or_else(|| ChainError::NoBlock {
            endpoint: server.name().to_owned(),
            block: BlockSelector::Latest,
        })?;
        let call = WalletRegistry::operatorToStakingProviderCall { operator };
        let provider = ask(server, self.registry, call, block).await?;
        if provider.is_zero() {
            return Ok(false);
        }
        let call = WalletRegistry::eligibleStakeCall { stakingProvider: provider };
        Ok(!ask(server, self.registry, call, block).await?.is_zero())
    }
}

/// A wallet's final signing group, as the chain has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletGroup {
    /// The wallet's id in the registry.
    pub id: B256,
    /// Its public key.
    pub key: PublicKey,
    /// The operators, seat 1 first.
    pub operators: Vec<Address>,
    /// Their ids in the sortition pool, seat 1 first.
    pub members: Vec<u32>,
}

/// Why a wallet's signing group isn't known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// The chain gave no usable answer.
    #[error(transparent)]
    Undecided(#[from] ChainError),
    /// The Bridge has no such wallet.
    #[error("the Bridge knows no wallet {0}")]
    NoWallet(KeyHash),
    /// The registry has it no longer.
    #[error("the registry knows wallet {0} no longer: it is closed or terminated")]
    Gone(KeyHash),
    /// The servers' answers contradict each other.
    #[error("what the chain's servers show of wallet {wallet} doesn't fit together: {what}")]
    Contradiction {
        /// The wallet.
        wallet: KeyHash,
        /// The contradiction.
        what: &'static str,
    },
}

impl From<RequestError> for GroupError {
    fn from(error: RequestError) -> Self {
        Self::Undecided(error.into())
    }
}

/// Reads signing groups.
#[derive(Clone, Debug)]
pub struct Groups {
    panel: Panel,
    /// The same servers, which are asked for events.
    endpoints: Endpoints,
    bridge: Address,
    registry: Address,
    from_block: BlockNumber,
}

impl Groups {
    /// Of the wallets of this Bridge, from this registry, whose events are looked for from a block on.
    pub const fn new(
        panel: Panel,
        endpoints: Endpoints,
        bridge: Address,
        registry: Address,
        from_block: BlockNumber,
    ) -> Self {
        Self { panel, endpoints, bridge, registry, from_block }
    }

    /// The operators of a wallet, by seat. What the contracts say is proven or said by enough servers. What events say is held
    /// against the hashes that the contracts keep, so that a group is right or there is none. It never changes. It is known as
    /// well as the least of what the contracts say.
    ///
    /// # Errors
    /// If the wallet is unknown or gone, or the servers' answers are of no use.
    pub async fn of(&self, wallet: KeyHash, at: &HashedHeader) -> Result<Assured<WalletGroup>, GroupError> {
        let (panel, block) = (&self.panel, at.block());
        let contradiction = |what| GroupError::Contradiction { wallet, what };
        let call = Bridge::walletsCall { walletPubKeyHash: wallet.0.into() };
        let Assured { fact: record, assurance: of_bridge } = ask_all(panel, self.bridge, call, at).await?;
        let id = record.ecdsaWalletID;
        if id.is_zero() {
            return Err(GroupError::NoWallet(wallet));
        }
        let call = WalletRegistry::getWalletCall { walletID: id };
        let Assured { fact: kept, assurance: of_registry } = ask_all(panel, self.registry, call, at).await?;
        if kept.membersIdsHash.is_zero() {
            return Err(GroupError::Gone(wallet));
        }
        let key = [&[4][..], kept.publicKeyX.as_slice(), kept.publicKeyY.as_slice()].concat();
        let key =
            PublicKey::from_slice(&key).map_err(|_| contradiction("its key is no point of the curve"))?;
        if KeyHash(bitcoin::PublicKey::new(key).pubkey_hash().to_byte_array()) != wallet {
            return Err(contradiction("its key has another hash"));
        }

        let created = Filter::new().event_signature(WalletRegistry::WalletCreated::SIGNATURE_HASH).topic1(id);
        let created = self.event::<WalletRegistry::WalletCreated>(created, block).await?;
        let created = created.ok_or_else(|| contradiction("no event of its creation"))?;
        let result = Filter::new()
            .event_signature(WalletRegistry::DkgResultSubmitted::SIGNATURE_HASH)
            .topic1(created.dkgResultHash);
        let result = self.event::<WalletRegistry::DkgResultSubmitted>(result, block).await?;
        let result = result.ok_or_else(|| contradiction("no event of its key generation"))?.result;
        let ids = members(&result.members, &result.misbehavedMembersIndices)
            .ok_or_else(|| contradiction("a member misbehaved that there isn't"))?;
        if members_hash(&ids) != kept.membersIdsHash {
            return Err(contradiction("its members have another hash"));
        }

        let pool = ask_all(panel, self.registry, WalletRegistry::sortitionPoolCall {}, at).await?;
        let count = ids.len();
        let call = getIDOperatorsCall { ids: ids.clone() };
        let Assured { fact: operators, assurance: of_pool } = ask_all(panel, pool.fact, call, at).await?;
        let assurance = of_bridge.min(of_registry).min(pool.assurance).min(of_pool);
        if operators.len() != count || operators.contains(&Address::ZERO) {
            return Err(contradiction("a member has no operator"));
        }
        Ok(Assured { fact: WalletGroup { id, key, operators, members: ids }, assurance })
    }

    /// The event of this kind, the newest first: where there are several, each names what was asked for.
    async fn event<Event: SolEvent>(
        &self,
        filter: Filter,
        block: Block,
    ) -> Result<Option<Event>, GroupError> {
        let filter = filter.address(self.registry);
        let (mut ranges, mut last) = (LogRanges::new(), block.number);
        loop {
            let range = self.from_block..=last;
            let (read, logs, _) =
                ranges.read(&self.endpoints, block, filter.clone(), range, End::Last).await?;
            let decoded = logs.iter().rev().filter(|log| is_of(log, self.registry)).find_map(|log| {
                Event::decode_raw_log_validate(log.topics().iter().copied(), &log.data().data).ok()
            });
            if decoded.is_some() || *read.start() <= self.from_block {
                return Ok(decoded);
            }
            last = read.start().saturating_sub(Blocks(1));
        }
    }
}

fn is_of(log: &Log, registry: Address) -> bool {
    log.address() == registry && !log.removed
}

/// The members of key generation less the misbehaved ones, whose numbers count from 1.
fn members(members: &[u32], misbehaved: &[u8]) -> Option<Vec<u32>> {
    if misbehaved.iter().any(|number| *number == 0 || usize::from(*number) > members.len()) {
        return None;
    }
    let kept = (1_usize..)
        .zip(members)
        .filter(|(number, _)| !misbehaved.iter().any(|misbehaved| usize::from(*misbehaved) == *number));
    Some(kept.map(|(_, id)| *id).collect())
}

/// The block from which mainnet's registry has events.
pub const MAINNET_REGISTRY_FROM: BlockNumber = BlockNumber(15_639_521);

/// The hash that the registry keeps of a group.
fn members_hash(ids: &Vec<u32>) -> B256 {
    keccak256(ids.abi_encode())
}

#[cfg(test)]
mod tests {
    use alloy::primitives::U256;

    use super::*;

    #[test]
    fn misbehaved_members_are_left_out_by_numbers_from_1() {
        assert_eq!(members(&[7, 8, 9, 7], &[1, 3]), Some(vec![8, 7]));
        assert_eq!(members(&[7, 8], &[]), Some(vec![7, 8]));
        assert_eq!(members(&[7, 8], &[3]), None);
        assert_eq!(members(&[7, 8], &[0]), None);
    }

    #[test]
    fn members_are_hashed_as_solidity_encodes_an_array() {
        let words = [0x20_u64, 2, 7, 8].map(|word| U256::from(word).to_be_bytes::<32>()).concat();
        assert_eq!(members_hash(&vec![7, 8]), keccak256(words));
    }
}
