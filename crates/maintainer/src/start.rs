//! From a configuration to a running maintainer: each step says what it needs, doubtful answers are asked for again, and what
//! can't be right ends the start.

use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use alloy::primitives::{Address, U256};
use bitcoin::Network;
use coxswain_bitcoin::{Backends, Endpoint, EndpointError, HeaderFile, Limits, chain::HeaderRules};
use coxswain_ethereum::{
    Account, AccountError, BlockSelector, Chain, ChainError, ConnectError, Endpoints, Expected,
    SnapshotReader,
    submit::{Submitter, Terms},
};
use coxswain_rules::{
    network::{Contracts, Preset},
    units::{BlockNumber, Height},
};
use coxswain_service::{
    journal::{self, Journal, OpenError, ReadError},
    now,
    settings::{Password, PasswordError},
    status::{self, Status, StatusSettings},
    tasks::{Ending, Tasks},
};
use tokio::{net::TcpListener, sync::watch, time::sleep};
use tracing::{info, warn};

use crate::{
    call::Venue,
    configuration::{BitcoinSettings, Configuration, EthereumSettings, Module},
    difficulty::RelayKeeper,
    records::Records,
    report::Report,
    round::{Maintainer, Settings},
    run::{self, Rhythm},
};

/// How long to wait before a doubtful answer is asked for again at the start.
const RETRY: Duration = Duration::from_secs(3);
/// After how long a pass follows another at the latest.
const EVERY: Duration = Duration::from_secs(10 * 60);
/// How often Bitcoin's height is asked for.
const POLL: Duration = Duration::from_secs(30);
/// The same on chains whose blocks come when they come.
const LOCAL_POLL: Duration = Duration::from_secs(1);
/// Half an ether, in wei.
const BALANCE_ALARM: U256 = U256::from_limbs([500_000_000_000_000_000, 0, 0, 0]);
/// Where a maintainer says how it is: on loopback, beside a node's port.
const STATUS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9602);

/// Why a maintainer does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The account's key can't be opened.
    #[error("the account's key can't be opened")]
    Account(#[from] AccountError),
    /// There is no password.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// An Ethereum URL can't be used.
    #[error("ethereum.urls: {0}")]
    Ethereum(#[from] ConnectError),
    /// A Bitcoin URL can't be used.
    #[error("bitcoin.urls: {0}")]
    Bitcoin(#[from] EndpointError),
    /// Where the Bridge is has to be said.
    #[error("ethereum.bridge is needed on a chain whose contracts aren't known")]
    UnknownBridge,
    /// The servers serve another chain.
    #[error("a check at the start has failed")]
    Chain(#[source] ChainError),
    /// The journal can't be opened.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// The journal can't be read.
    #[error(transparent)]
    Records(#[from] ReadError),
    /// Nobody can be told how it is.
    #[error("status.listen: {0} can't be listened on")]
    Status(SocketAddr, #[source] std::io::Error),
}

impl StartError {
    /// The documented exit code: 2 if the configuration is to be changed, 3 if what it names isn't as it has to be.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Account(_)
            | Self::Password(_)
            | Self::Ethereum(_)
            | Self::Bitcoin(_)
            | Self::UnknownBridge => 2,
            Self::Chain(_) | Self::Journal(_) | Self::Records(_) | Self::Status(..) => 3,
        }
    }
}

/// Starts a maintainer, and runs it until `asked` is done or a task ends that it needs. Then all tasks have until the deadline.
///
/// # Errors
/// If it can't start.
pub async fn start(
    configuration: Configuration,
    asked: impl Future<Output = ()>,
    deadline: Duration,
) -> Result<Ending, StartError> {
    let mut asked = std::pin::pin!(asked);
    let (tasks, journal) = tokio::select! {
        () = &mut asked => return Ok(Ending::Drained),
        started = prepare(configuration) => started?,
    };
    let ending = tasks.run(asked, deadline).await;
    journal::close_after(&ending, journal);
    Ok(ending)
}

/// Opens and checks everything, and begins all tasks.
async fn prepare(configuration: Configuration) -> Result<(Tasks, Arc<Journal>), StartError> {
    let Configuration { ethereum, bitcoin, journal: kept, maintainer: settings, status, log: _ } =
        configuration;
    let account = account(&ethereum)?;
    let address = account.address();
    info!(account = %address, "the account's key is open");

    let expected = Expected {
        network: ethereum.network,
        quorum: ethereum.quorum,
        loopback_is_one: ethereum.loopback_is_one,
        timeout: ethereum.request_timeout.unwrap_or(coxswain_ethereum::REQUEST_TIMEOUT),
        ..Expected::default()
    };
    let endpoints = Endpoints::several(ethereum.urls.clone(), expected)?;
    let chain = served(&endpoints, ethereum.network).await?;
    let contracts = chain.network.and_then(|network| network.contracts);
    let bridge = ethereum.bridge.or(contracts.map(|contracts| contracts.bridge));
    let bridge = bridge.ok_or(StartError::UnknownBridge)?;
    let known = contracts.filter(|contracts| contracts.bridge == bridge && !ethereum.direct);
    let proxy = ethereum.maintainer_proxy.or(known.map(|contracts| contracts.maintainer_proxy));
    let venue = proxy.filter(|_| !ethereum.direct).map_or(Venue::Bridge(bridge), Venue::Proxy);
    info!(chain = chain.id, %bridge, proofs_to = %venue.address(), "Ethereum answers");

    let path = kept.path;
    let journal = Arc::new(Journal::open(&journal::Settings::at(path.clone()))?);
    info!(path = %path.display(), "the journal is open");
    let records = Records::of(Arc::clone(&journal), address)?;
    let mut terms = Terms::default();
    terms.poll = ethereum.poll.unwrap_or(terms.poll);
    terms.depth = ethereum.depth.unwrap_or(terms.depth);
    let sent = records.sent().await;
    let submitter = Submitter::new(endpoints.clone(), account, chain.id, terms, records.clone(), &sent);
    let submitter = Arc::new(submitter);

    let network = bitcoin.network.unwrap_or_else(|| chain.network.unwrap_or(Preset::MAINNET).bitcoin);
    // Beside the journal: it is as much ours alone.
    let backends = backends(&bitcoin, network, path.with_extension("headers"))?;
    let reader = SnapshotReader::new(endpoints.clone(), chain.id, bridge);

    let status_settings = status;
    let status = Arc::new(Status::default());
    let report = Report::new(Arc::clone(&status), settings.balance_alarm.unwrap_or(BALANCE_ALARM));
    let mut tasks = Tasks::default();
    if let Some(listener) = listener(&status_settings).await? {
        let mut stop = tasks.stop();
        tasks.critical("status", async move {
            Ok(status::serve(listener, status, async move { stop.requested().await }).await?)
        });
    }

    let poll = if network == Network::Regtest { LOCAL_POLL } else { POLL };
    let (heights, moved) = watch::channel(Height(0));
    let following = run::follow(
        backends.clone(),
        heights,
        bitcoin.poll.unwrap_or(poll),
        now,
        report.clone(),
        tasks.stop(),
    );
    tasks.critical("bitcoin", following);
    let every = settings.every.unwrap_or(EVERY);
    let rhythm = Rhythm { heights: moved, every, clock: now, stop: tasks.stop() };

    let relay = match ethereum.relay {
        Some(relay) => relay,
        None => relay_of(&reader, &endpoints).await?,
    };
    let relay_proxy = ethereum.relay_proxy.or(known.map(|contracts| contracts.relay_proxy));
    let relay_proxy = relay_proxy.filter(|_| !ethereum.direct);
    let keeper = RelayKeeper::new(
        endpoints.clone(),
        relay,
        relay_proxy,
        backends.clone(),
        HeaderRules::MAINNET,
        Some(Arc::clone(&submitter)),
    );
    let goes_by = Settings {
        venue,
        first_block: BlockNumber(ethereum.bridge_from.or(contracts.map(first_block)).unwrap_or_default()),
        final_depth: chain.parameters().final_depth,
        without_work: network == Network::Regtest,
    };
    let (memory, pauses) = records.kept()?;
    let maintainer = Maintainer::new(endpoints, reader, backends, Some(Arc::clone(&submitter)), goes_by)
        .resuming(memory, pauses);

    let (spv, difficulty) = match settings.only {
        None => (true, true),
        Some(Module::Spv) => (true, false),
        Some(Module::Difficulty) => (false, true),
    };
    if spv {
        let (submitter, rhythm) = (Arc::clone(&submitter), rhythm.clone());
        tasks.critical("spv", run::prove(maintainer, submitter, records, report.clone(), rhythm));
    }
    if difficulty {
        tasks.critical("difficulty", run::keep_relay(keeper, submitter, report, rhythm));
    }
    tasks.critical("journal", journal::watch(Arc::clone(&journal), tasks.stop()));
    info!(spv, difficulty, "at work");
    Ok((tasks, journal))
}

const fn first_block(contracts: Contracts) -> u64 {
    contracts.bridge_from.0
}

fn account(ethereum: &EthereumSettings) -> Result<Account, StartError> {
    let password = Password::of(ethereum.password.as_ref(), ethereum.password_file.as_deref())?;
    Ok(Account::from_keystore(&ethereum.keystore, password.as_str())?)
}

fn backends(
    bitcoin: &BitcoinSettings,
    network: Network,
    headers: PathBuf,
) -> Result<Backends, EndpointError> {
    let limits = Limits::answering_in(bitcoin.request_timeout);
    let endpoints = bitcoin.urls.iter().map(|url| Endpoint::new(url, limits));
    let mut expected = coxswain_bitcoin::Expected::on(network);
    expected.at_least = bitcoin.quorum;
    Ok(Backends::keeping(
        endpoints.collect::<Result<Vec<_>, _>>()?,
        expected,
        Box::new(HeaderFile::new(headers)),
    ))
}

async fn listener(settings: &StatusSettings) -> Result<Option<TcpListener>, StartError> {
    if settings.off {
        return Ok(None);
    }
    let address = settings.listen.unwrap_or(STATUS);
    let listener = TcpListener::bind(address).await.map_err(|error| StartError::Status(address, error))?;
    // The port may have been left to the system.
    let address = listener.local_addr().unwrap_or(address);
    info!(%address, "/health, /metrics and /diagnostics are served");
    Ok(Some(listener))
}

/// Asks until it is told which chain the servers are of.
async fn served(endpoints: &Endpoints, network: Option<Preset>) -> Result<Chain, StartError> {
    loop {
        match Chain::served(endpoints, network).await {
            Ok(chain) => return Ok(chain),
            Err(error @ (ChainError::WrongChain { .. } | ChainError::WrongNetwork { .. })) => {
                return Err(StartError::Chain(error));
            }
            Err(error) => {
                warn!(%error, "waiting for Ethereum");
                sleep(RETRY).await;
            }
        }
    }
}

/// Asks until it is told by which relay the Bridge goes.
async fn relay_of(reader: &SnapshotReader, endpoints: &Endpoints) -> Result<Address, StartError> {
    loop {
        let asked = async {
            let block = endpoints.block(BlockSelector::Latest).await.map_err(ChainError::from)?;
            match block {
                Some(block) => Ok(Some(reader.proof_terms(block).await?.relay)),
                None => Ok(None),
            }
        };
        match asked.await {
            Ok(Some(relay)) => return Ok(relay),
            Ok(None) => warn!("waiting for a block"),
            Err(error @ (ChainError::NoCode { .. } | ChainError::OtherBridge { .. })) => {
                return Err(StartError::Chain(error));
            }
            Err(error) => warn!(%error, "waiting for the Bridge"),
        }
        sleep(RETRY).await;
    }
}
