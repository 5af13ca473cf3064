//! From a configuration to a running node: each step says what it needs, doubtful answers are asked for again, and what can't
//! be right ends the start.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime},
};

use alloy_primitives::Address;
use bitcoin::FeeRate;
use coxswain_bitcoin::{Backends, Endpoint, Limits};
use coxswain_coordination::{Coordinator, Settings, Tick};
use coxswain_ethereum::{
    Account, BlockSelector, ChainError, Eligible, Endpoints, EventLog, EventReader, Expected, ResolveError,
    SnapshotReader, Tbtc, Wanted,
    heads::{self, Notice, Standing},
    registry::MAINNET_REGISTRY_FROM,
    submit::{Submitter, Terms},
};
use coxswain_network::{AdmissionRule, Config, Driver, Eligibility, EligibilityError, Identity, PeerAddress};
use coxswain_proposals::{EVENT_LOOK_BACK, Sources};
use coxswain_protocol::WindowParameters;
use coxswain_rules::{KeyHash, network::Preset, units::BlockNumber};
use coxswain_service::{
    journal::{self, AppendError, Journal},
    settings::Password,
    status::{self, Status, StatusSettings},
    tasks::{Ending, Stop, Tasks},
};
use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    time::sleep,
};
use tracing::{debug, error, info, warn};

use crate::{
    actions::{Carrier, ChainHands, Memories, PossiblySigned, Spenders, Times},
    advisor::SessionAdvisor,
    clock::now,
    commitments::{self, CommitmentDesk},
    configuration::{AdmissionSetting, Configuration, EthereumSettings},
    error::StartError,
    groups::{Gone, GroupReader, RETRY},
    inquiry::{HeardIn, Started, StartedWallet},
    journal::WindowJournal,
    kept::Kept,
    page::Shows,
    records::SentTransactions,
    shown::Shown,
    standing::next_head,
    summaries,
    wallets::{Joined, Joining, sharing},
    watch::{CHECK_ADDRESS, Watched, check_address, follow_heads, notice},
};

/// Where the status is shown, where nothing else is said: the port that operators' scrapers know, on loopback.
const STATUS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9601);

/// How often the servers are asked for their heads, where nothing else is said: a third of a block's time.
const POLL: Duration = Duration::from_secs(4);
/// The same on local chains.
const LOCAL_POLL: Duration = Duration::from_millis(200);
/// How many wallets' questions are worked on at a time.
const PLACES: usize = 32;
/// How long a wallet's question may keep its place.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long an action's judging, or a look at its transaction, may take. Servers have their own, shorter time-outs: a judging asks
/// many of them, one after the other.
const ACTION_PATIENCE: Duration = Duration::from_secs(300);
/// How many windows' operators may wait to be recorded.
const HEARD: usize = 256;
/// How many results may wait to be dispatched.
const RESULTS: usize = 256;

/// Answers the network's question from the wallet registry.
struct Registry(Eligible);

impl Eligibility for Registry {
    fn is_eligible(&self, operator: Address) -> BoxFuture<'_, Result<bool, EligibilityError>> {
        self.0.is_eligible(operator).map(|answer| answer.map_err(Into::into)).boxed()
    }
}

/// Starts a node, and runs it until `asked` is done or a task ends that it needs. Then all tasks have until the deadline. It shows
/// that it is of this version.
///
/// # Errors
/// If it can't start.
pub async fn start(
    configuration: Configuration,
    version: &'static str,
    asked: impl Future<Output = ()>,
    deadline: Duration,
) -> Result<Ending, StartError> {
    let mut asked = std::pin::pin!(asked);
    let tasks = tokio::select! {
        () = &mut asked => return Ok(Ending::Drained),
        started = prepare(configuration, version) => started?,
    };
    let (tasks, journal) = tasks;
    let ending = tasks.run(asked, deadline).await;
    journal::close_after(&ending, journal);
    Ok(ending)
}

/// Opens the operator's key.
///
/// # Errors
/// If there is no password, or it opens nothing.
pub fn account(ethereum: &EthereumSettings) -> Result<Account, StartError> {
    let password = Password::of(ethereum.password.as_ref(), ethereum.password_file.as_deref())?;
    Ok(Account::from_keystore(&ethereum.keystore, password.as_str())?)
}

/// Opens and checks everything, and begins all tasks.
async fn prepare(
    configuration: Configuration,
    version: &'static str,
) -> Result<(Tasks, Arc<Journal>), StartError> {
    let Configuration { ethereum, bitcoin, network, journal: kept, signing, status, wallets, log: _ } =
        configuration;
    let account = account(&ethereum)?;
    let identity = Identity::from_secret(account.secret())?;
    let (shown, listener) = (Status::new(), listen(&status).await?);
    info!(operator = %account.address(), peer = %identity.peer_id(), "the operator's key is open");

    let wanted = Wanted { network: ethereum.network, validator: ethereum.validator, bridge: ethereum.bridge };
    let expected = Expected {
        quorum: ethereum.quorum,
        loopback_is_one: ethereum.loopback_is_one,
        timeout: ethereum.request_timeout.unwrap_or(coxswain_ethereum::REQUEST_TIMEOUT),
        ..wanted.expected()
    };
    let endpoints = Endpoints::several(ethereum.urls.clone(), expected)?;
    let tbtc = resolve(&endpoints, &wanted).await?;
    let chain = tbtc.chain;
    info!(chain = chain.id, bridge = %tbtc.bridge, validator = %tbtc.validator, block = tbtc.block().number.0, "Ethereum answers");

    let mut settings = journal::Settings::at(kept.path);
    settings.keep_windows = kept.keep_windows.unwrap_or(settings.keep_windows);
    settings.max_bytes = kept.max_bytes.unwrap_or(settings.max_bytes);
    let journal = Arc::new(Journal::open(&settings)?);
    info!(path = %settings.path.display(), "the journal is open");

    let pace = chain.network.unwrap_or(Preset::MAINNET).block_times;
    let panel = tbtc.panel.clone();
    let expected = coxswain_bitcoin::Expected::on(
        bitcoin.network.unwrap_or_else(|| chain.network.unwrap_or(Preset::MAINNET).bitcoin),
    );
    let limits = Limits::answering_in(bitcoin.request_timeout);
    let backends = bitcoin.urls.iter().map(|url| Endpoint::new(url, limits));
    let backends = Backends::new(backends.collect::<Result<Vec<_>, _>>()?, expected);
    let fallback = bitcoin
        .fallback_fee_rate
        .map(FeeRate::from_sat_per_vb_u32)
        .or(chain.network.and_then(|network| network.fallback_fee_rate));
    let since = tbtc.block().number.saturating_sub(EVENT_LOOK_BACK);
    let history = Kept::new(Arc::clone(&journal), chain.id);
    let depth = chain.parameters().final_depth;
    let resumed = history.events(&panel, &endpoints, tbtc.bridge).await;
    let is_resumed = resumed.is_some();
    let events = match resumed {
        Some(log) => {
            let log = log.forgetting_before(since.saturating_sub(EVENT_LOOK_BACK));
            EventReader::resuming(endpoints.clone(), log, depth)
        }
        None => EventReader::new(endpoints.clone(), EventLog::new(tbtc.bridge, since), depth),
    };
    let validator = tbtc.proposal_validator();
    let sources =
        Sources::new(events.clone(), chain.id, validator, backends.clone(), chain.parameters(), fallback)
            .through(panel.clone(), tbtc.assurance);

    let mut config = Config::new(identity.clone(), SystemTime::UNIX_EPOCH + coxswain_service::now());
    config.listen = network.listen;
    let known = network.peers.iter().map(PeerAddress::peer).collect();
    config.peers = network.peers;
    config.announced = network.announced;
    let contracts = chain.network.and_then(|network| network.contracts);
    let registry = ethereum.registry.or(contracts.map(|contracts| contracts.wallet_registry));
    let allowed = AdmissionRule::list(network.allowed.iter().map(String::as_str))?;
    config.admission = match (network.admission, registry) {
        (AdmissionSetting::Any, _) => AdmissionRule::Any,
        (AdmissionSetting::Eligible, Some(registry)) => {
            let eligible = Eligible::new(&ethereum.urls, &wanted.expected(), registry, ethereum.quorum)?;
            AdmissionRule::Eligible(Arc::new(Registry(eligible)))
        }
        (AdmissionSetting::Eligible, None) | (AdmissionSetting::List, _) => allowed,
    };
    // What can't be used ends the start before anybody is told that we are there.
    let shares = sharing(&signing, chain.id, account.secret(), &identity)?;
    config.direct = shares.is_some();
    #[cfg(all(unix, feature = "threshold"))]
    let messages = shares.as_ref().map(|sharing| Arc::clone(&sharing.messages));
    let (network, driver) = Driver::bind(config).await?;
    for socket in driver.listening() {
        info!(%socket, "listening");
    }

    let parameters = WindowParameters::try_from(chain.parameters())?;
    // Nobody beside a Go client's node with the same key: without a signer a node on mainnet only observes.
    let observes = chain.network.is_none_or(|network| network == Preset::MAINNET);
    if observes {
        warn!("observing: nothing is sent on this network");
    }
    let (heard, all_heard) = mpsc::channel(HEARD);
    let from = chain.network.and_then(|network| network.contracts);
    let from = from.filter(|contracts| Some(contracts.wallet_registry) == registry);
    let groups = GroupReader {
        chain,
        endpoints: &endpoints,
        bridge: tbtc.bridge,
        registry: registry.map(|registry| (registry, from.map_or(BlockNumber(0), |_| MAINNET_REGISTRY_FROM))),
        journal: &journal,
        health: shown.health(),
    };
    let joining = Joining {
        groups,
        chain,
        parameters,
        identity: &identity,
        network: &network,
        signing: &signing,
        journal: &journal,
        health: shown.health(),
        observes,
        heard,
        #[cfg(all(unix, feature = "threshold"))]
        shares,
    };
    let Joined { wallets: joined, others: all_others, signatories, mut memberships } =
        joining.all(wallets).await?;
    let of_wallet = |(wallet, others): &(KeyHash, Vec<Address>)| StartedWallet {
        wallet: *wallet,
        others: others.clone(),
    };
    let started = Started {
        operator: account.address(),
        version: version.to_owned(),
        at: now(),
        observes,
        frequency: parameters.frequency,
        wallets: all_others.iter().map(of_wallet).collect(),
    };
    let started = started.fact().map_err(|error| AppendError::Unwritable(Arc::new(error)));
    journal.fact(started.map_err(StartError::Record)?).await.map_err(StartError::Record)?;

    let (standing, heads) = watch::channel(None);
    // Who signs nothing for a wallet commits to nothing for it.
    memberships.retain(|wallet, _| !observes && signatories.contains_key(wallet));
    let commits = !memberships.is_empty();
    let (desk, commitments) = CommitmentDesk::new(memberships);
    let setups = joined.iter().filter(|_| !observes).map(|wallet| wallet.setup.clone()).collect();
    let advisor = SessionAdvisor::new(
        panel.clone(),
        events.clone(),
        sources.clone(),
        heads.clone(),
        commits.then(|| desk.clone()),
        setups,
    )
    .keeping(Arc::clone(&journal));
    #[cfg(feature = "proven")]
    let advisor = advisor.recording(crate::replay::Records {
        journal: Arc::clone(&journal),
        validator: tbtc.validator,
        bridge: tbtc.bridge,
        assurance: tbtc.assurance,
    });
    let wallets: Vec<_> = joined.iter().map(|wallet| wallet.setup.wallet).collect();
    // What was remembered is of the same chain and servers, or of none.
    let memories = if is_resumed { history.memories(&wallets) } else { BTreeMap::new() };
    let advisor = advisor.remembering(history.clone(), memories);
    let (dispatch, results) = mpsc::channel(RESULTS);
    let settings = Settings { places: PLACES, patience: PATIENCE, clock: Arc::new(now) };
    let keeper = WindowJournal::new(Arc::clone(&journal), shown.health().clone());
    #[cfg(all(unix, feature = "threshold"))]
    let keeper = keeper.keeping(messages);
    let count = joined.len();
    let (gone, all_gone) = watch::channel(BTreeSet::new());
    let gone = Gone {
        panel: panel.clone(),
        reader: SnapshotReader::new(endpoints.clone(), chain.id, tbtc.bridge),
        health: shown.health().clone(),
        frequency: parameters.frequency,
        wallets: all_others.iter().map(|(wallet, _)| *wallet).collect(),
        gone,
    };
    let coordinator = Coordinator::new(advisor, keeper, settings, joined, dispatch).dropping(all_gone);
    let who = Shown {
        version,
        operator: account.address(),
        peer: identity.peer_id(),
        known,
        network: network.clone(),
        heads: heads.clone(),
        counts: coordinator.metrics(),
        observes,
        wallets: count,
    };
    who.show(&shown);
    let (kept, of) = (Arc::downgrade(&journal), wallets.clone());
    shown.diagnose(move |document| {
        document.insert("coordination_windows".to_owned(), summaries::windows(&kept, &of));
    });
    let counted = Arc::clone(&shown);

    let mut tasks = Tasks::default();
    if listener.is_some() {
        let (show, page) = watch::channel(None);
        let looks = shown.show_page(page, status.public_page);
        let shows = Shows {
            version,
            operator: account.address(),
            chain_id: chain.id,
            named: chain.network.map(|network| network.name),
            observes,
            parameters,
            wallets: wallets.clone(),
            others: all_others.clone(),
            network: network.clone(),
            reader: SnapshotReader::new(endpoints.clone(), chain.id, tbtc.bridge),
            health: shown.health().clone(),
            journal: Arc::downgrade(&journal),
        };
        tasks.minor("page", shows.run(show, looks, heads.clone(), tasks.stop()));
    }
    let default = if pace.is_some() { POLL } else { LOCAL_POLL };
    let poll = ethereum.poll_milliseconds.map_or(default, Duration::from_millis);
    let watched = Watched {
        status: Arc::clone(&shown),
        network,
        ethereum: endpoints.clone(),
        chain_id: chain.id,
        is_paced: pace.is_some(),
        bitcoin: backends.clone(),
        others: all_others,
        journal: Arc::clone(&journal),
        operator: account.address(),
    };
    tasks.minor(
        "kept events",
        history.keep_events(events.clone(), parameters.frequency, heads.clone(), tasks.stop()),
    );
    tasks.minor("heard", record_heard(all_heard, Arc::clone(&journal)));
    tasks.minor("watch", watched.run(tasks.stop()));
    tasks.minor("gone wallets", gone.run(heads.clone(), tasks.stop()));
    tasks.minor("watch heads", follow_heads(shown.health().clone(), heads.clone(), tasks.stop()));
    if let Some(announced) = status.announced {
        let every = status.check_every.unwrap_or(CHECK_ADDRESS);
        tasks.minor("status address", check_address(shown.health().clone(), announced, every, tasks.stop()));
    }
    let health = shown.health().clone();
    if let Some(listener) = listener {
        let mut stop = tasks.stop();
        tasks.minor("status", async move {
            Ok(status::serve(listener, shown, async { stop.requested().await }).await?)
        });
    }
    let tell = move |said| {
        notice(&health, said);
        tell(said);
    };
    let mut stop = tasks.stop();
    tasks.critical("heads", async move {
        heads::follow(&panel, pace, poll, now, &standing, tell, stop.requested()).await;
        Ok(())
    });
    let mut stop = tasks.stop();
    tasks.critical("network", async move { Ok(driver.run(async { stop.requested().await }).await?) });
    let (clock, ticks) = watch::channel(Tick::default());
    let (action_clock, standing_heads) = (ticks.clone(), heads.clone());
    tasks.critical("clock", tick(heads, clock, tasks.stop()));
    let mut stop = tasks.stop();
    tasks.critical("coordination", async move {
        coordinator.run(ticks).await?;
        // All wallets are gone, and others may come with the next start.
        stop.requested().await;
        Ok(())
    });
    if observes {
        tasks.critical("results", pass_over(results, tasks.stop()));
    } else {
        let stake = match registry {
            Some(registry) => {
                let eligible = Eligible::new(&ethereum.urls, &wanted.expected(), registry, ethereum.quorum)?;
                Some((eligible, account.address()))
            }
            None => None,
        };
        let heads = standing_heads;
        let memories = Memories::default();
        let spenders = Spenders::default();
        let possible = PossiblySigned::new(Arc::clone(&journal));
        let watching =
            possible.clone().run(wallets.clone(), backends.clone(), action_clock.clone(), tasks.stop());
        tasks.minor("possibly signed", watching);
        let hands = ChainHands {
            events,
            sources,
            bitcoin: backends,
            heads,
            signatories,
            stake,
            memories,
            spenders,
            possible,
        };
        let times = Times::of(&chain.parameters().actions);
        let carrier = Carrier::new(hands, Arc::clone(&journal), chain.id, times, ACTION_PATIENCE, wallets)?;
        let tally = carrier.tally();
        counted.metrics().collect(move |page| tally.show(page));
        tasks.critical("actions", carrier.run(results, action_clock, tasks.stop()));
    }
    if commits {
        let (log, recorded) = SentTransactions::restored(Arc::clone(&journal), account.address());
        let poll = if pace.is_some() { Terms::default().poll } else { LOCAL_POLL };
        let terms = Terms { poll, ..Terms::default() };
        let submitter = Submitter::new(endpoints, account, chain.id, terms, log, &recorded);
        let sending = commitments::submit(Arc::new(submitter), tbtc.bridge, desk, commitments, tasks.stop());
        tasks.critical("commitments", sending);
    }
    tasks.critical("journal", journal::watch(Arc::clone(&journal), tasks.stop()));
    Ok((tasks, journal))
}

/// Asks until it is told where tBTC is, or that it is not there.
async fn resolve(endpoints: &Endpoints, wanted: &Wanted) -> Result<Tbtc, StartError> {
    loop {
        let error = match Tbtc::resolve(endpoints, wanted, BlockSelector::Latest).await {
            Ok(tbtc) => return Ok(tbtc),
            Err(unresolved) => unresolved.error,
        };
        match error {
            ResolveError::Undecided(
                error @ (ChainError::WrongChain { .. }
                | ChainError::WrongNetwork { .. }
                | ChainError::NoCode { .. }
                | ChainError::OtherBridge { .. }),
            ) => return Err(StartError::Chain(error)),
            ResolveError::Undecided(error) if is_unfit(&error) => return Err(StartError::Chain(error)),
            ResolveError::Undecided(error) => {
                warn!(%error, "waiting for Ethereum");
                sleep(RETRY).await;
            }
            unknown => return Err(StartError::UnknownValidator(unknown)),
        }
    }
}

/// Whether no server is one to ask, and asking again changes nothing.
fn is_unfit(error: &ChainError) -> bool {
    use coxswain_ethereum::{RequestError, UnfitError};
    let ChainError::Request(RequestError::NoneFit(unfit)) = error else { return false };
    !unfit.is_empty()
        && unfit.iter().all(|unfit| {
            matches!(
                unfit,
                UnfitError::WrongNetwork { .. } | UnfitError::WrongChain { .. } | UnfitError::NoCode { .. }
            )
        })
}

/// Hands the clock's heights on, until it is to stop: then the executors end.
async fn tick(
    mut heads: watch::Receiver<Option<Standing>>,
    clock: watch::Sender<Tick>,
    mut stop: Stop,
) -> Result<(), coxswain_service::tasks::Failure> {
    while let Some(standing) = next_head(&mut heads, &mut stop).await {
        let tick = Tick { block: standing.height, set_back: standing.set_back };
        clock.send_if_modified(|last| {
            let moved = *last != tick;
            *last = tick;
            if moved {
                debug!(
                    height = standing.height.0,
                    block = standing.named.header.number().0,
                    named_by = standing.named.named_by,
                    of = standing.named.of,
                    "block"
                );
            }
            moved
        });
    }
    Ok(())
}

/// Records who was heard, until no channel tells any more.
async fn record_heard(
    mut told: mpsc::Receiver<(KeyHash, HeardIn)>,
    journal: Arc<Journal>,
) -> Result<(), coxswain_service::tasks::Failure> {
    while let Some((wallet, heard)) = told.recv().await {
        let recorded = journal.fact(heard.fact(wallet)?).await;
        if let Err(error) = recorded {
            debug!(%wallet, %error, "who was heard is not recorded");
        }
    }
    Ok(())
}

/// Takes windows' results where nothing is carried out.
async fn pass_over(
    mut results: mpsc::Receiver<Arc<coxswain_protocol::WindowResult>>,
    mut stop: Stop,
) -> Result<(), coxswain_service::tasks::Failure> {
    while let Some(result) = results.recv().await {
        debug!(wallet = %result.wallet, window = result.window.index(), agreement = %result.agreement, "observed");
    }
    stop.requested().await;
    Ok(())
}

/// Says what the window clock has noticed. What its entry of the status says is told there.
fn tell(notice: Notice) {
    match notice {
        Notice::Skipped { from, to } => debug!(from = from.0, to = to.0, "the clock has passed over blocks"),
        Notice::SetBack { from, to } => {
            error!(from = from.0, to = to.0, "the clock is set back to what the servers name")
        }
        Notice::Stalled { .. } | Notice::Silent { .. } | Notice::Resumed { .. } => {}
    }
}

/// Listens where the status is to be shown. If the port that nobody asked for is taken, it isn't shown: a second node beside the
/// first still coordinates.
async fn listen(settings: &StatusSettings) -> Result<Option<TcpListener>, StartError> {
    if settings.off {
        return Ok(None);
    }
    let at = settings.listen.unwrap_or(STATUS);
    match TcpListener::bind(at).await {
        Ok(listener) => {
            if let Ok(socket) = listener.local_addr() {
                info!(%socket, "the status is shown");
            }
            Ok(Some(listener))
        }
        Err(error) if settings.listen.is_none() => {
            warn!(%at, %error, "the status is not shown: name another address in status.listen");
            Ok(None)
        }
        Err(error) => Err(StartError::Status(at, error)),
    }
}
