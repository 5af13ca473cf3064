//! One of several endpoints: what it is checked for, how it was found, and which block it was last seen to have and to name.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use alloy::primitives::{Address, B256, Bytes, U64};
use coxswain_rules::{network::Preset, units::UnixTime};
use futures_util::future::try_join_all;
use url::Url;

use super::{
    activity::Activity,
    block::{Block, BlockSelector, RpcBlock},
    connection::{Connection, REQUEST_TIMEOUT},
    error::{RequestError, UnfitError},
};

/// How long a check may take: one that hangs keeps nobody waiting for long.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// What each endpoint is checked for before it is first asked, after a failure, and every minute.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The network that they must serve. If `None`, the chain that the first of them serves.
    pub network: Option<Preset>,
    /// The addresses at which contracts must be deployed.
    pub contracts: Vec<Address>,
    /// The wall clock, for the newest block's age only.
    pub clock: fn() -> SystemTime,
    /// How many servers must say the same at least. It raises what is enough, and never lowers it.
    pub quorum: usize,
    /// Whether all ports of this machine are one server.
    pub loopback_is_one: bool,
    /// How long one attempt at a request may take, the answer included.
    pub timeout: Duration,
    /// For how long one that can't be reached, or doesn't answer in time, is not asked again.
    pub dead_for: Duration,
    /// What is told of each question, and when they give up.
    pub activity: Activity,
    /// The proxy that all are asked through; those of the environment are not used.
    pub proxy: Option<Url>,
}

impl Default for Expected {
    /// Nothing, by the system's clock.
    fn default() -> Self {
        Self {
            network: None,
            contracts: Vec::new(),
            clock: SystemTime::now,
            quorum: 0,
            loopback_is_one: false,
            timeout: REQUEST_TIMEOUT,
            dead_for: Duration::ZERO,
            activity: Activity::default(),
            proxy: None,
        }
    }
}

impl Expected {
    /// The wall clock's time, in Unix seconds.
    pub fn now(&self) -> UnixTime {
        UnixTime((self.clock)().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs())
    }
}

/// How an endpoint was found when it was last checked, or last failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The endpoint's host and port.
    pub endpoint: String,
    /// The result of the check.
    pub condition: Condition,
}

/// Whether an endpoint is fit to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It has not been checked yet.
    Unknown,
    /// It is; this was its newest block when it was checked.
    Fit(Block),
    /// It isn't.
    Unfit(UnfitError),
}

/// An endpoint, beside others.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) connection: Connection,
    condition: Mutex<Condition>,
    /// The block that it was last seen to name at its height.
    names: Mutex<Option<B256>>,
}

impl Member {
    /// Not checked yet.
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, condition: Mutex::new(Condition::Unknown), names: Mutex::default() }
    }

    /// How it was last found.
    pub(super) fn condition(&self) -> Condition {
        self.condition.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It was found like this.
    pub(super) fn found(&self, condition: Condition) {
        *self.condition.lock().unwrap_or_else(PoisonError::into_inner) = condition;
    }

    /// Whether it named the block when it was last asked.
    pub(super) fn named_last(&self, block: Block) -> bool {
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) == Some(block.hash)
    }

    /// Checks that the endpoint names this block at its height now.
    pub(super) async fn require_named(&self, block: Block) -> Result<(), RequestError> {
        let params = (U64::from(block.number.0), false);
        let found = self
            .connection
            .request_twice::<_, Option<RpcBlock>>("eth_getBlockByNumber", params)
            .await?
            .map(|found| found.hash());
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = found;
        if found == Some(block.hash) { Ok(()) } else { Err(self.connection.no_block(block)) }
    }

    /// What the endpoint serves, if that is what is expected: its chain id and its newest block.
    pub(super) async fn look(&self, expected: &Expected) -> Result<(u64, Block), UnfitError> {
        let looking = async {
            let code = |address: &Address| {
                let address = *address;
                async move {
                    let params = (address, BlockSelector::Latest.to_string());
                    let code: Bytes = self.connection.request("eth_getCode", params).await?;
                    Ok((address, code.is_empty()))
                }
            };
            tokio::try_join!(
                self.connection.request::<_, U64>("eth_chainId", ()),
                self.connection.request::<_, RpcBlock>("eth_getBlockByNumber", ("latest", false)),
                try_join_all(expected.contracts.iter().map(code)),
            )
        };
        let endpoint = || self.connection.name().to_owned();
        let looked = tokio::time::timeout(CHECK_TIMEOUT, looking).await.unwrap_or_else(|_| {
            let (method, deadline) = ("eth_getBlockByNumber", CHECK_TIMEOUT);
            Err(RequestError::TimedOut { method, endpoint: endpoint(), deadline })
        });
        let (chain_id, head, codes) = looked.map_err(|error| UnfitError::Failed(Box::new(error)))?;
        let (actual, head) = (chain_id.to(), Block::from(head));
        if let Some(network) = expected.network
            && !network.chain_ids.contains(&actual)
        {
            return Err(UnfitError::WrongNetwork { endpoint: endpoint(), network: network.name, actual });
        }
        let age = expected.now().saturating_since(head.timestamp);
        let max_age =
            Preset::of_chain(actual).and_then(|network| network.block_times).map(|times| times.max_head_age);
        if max_age.is_some_and(|max_age| age > max_age) {
            return Err(UnfitError::Stale { endpoint: endpoint(), head: head.number, age: age.as_secs() });
        }
        if let Some(&(address, _)) = codes.iter().find(|(_, is_empty)| *is_empty) {
            return Err(UnfitError::NoCode { endpoint: endpoint(), address });
        }
        Ok((actual, head))
    }
}
