//! `coxswain watch`: what a wallet did, window by window, from the chains alone.
//!
//! Neither key nor peer is needed, and so nothing is known of messages: what leaves no trace can't be told apart.

mod funding;
mod line;
mod outcome;
mod traces;
mod window;

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{OutPoint, Txid};
use coxswain_bitcoin::{BackendError, EndpointError};
use coxswain_ethereum::{
    BlockSelector, Chain, ChainError, EventLog, EventReader, SnapshotKeys, SnapshotReader,
};
use coxswain_proposals::EVENT_LOOK_BACK;
use coxswain_protocol::Window;
use coxswain_rules::{
    DepositKey, KeyHash, RedemptionKey,
    units::{BlockNumber, Blocks},
};

use self::{
    outcome::{Judge, Outcome},
    traces::Finder,
    window::{History, Known, Site},
};
use crate::{
    arguments::WatchArguments,
    coordination::{CoordinationError, NamedParameters, endpoint},
    group,
    leader::operators,
};

pub use self::line::{Line, Notice};

/// How many windows are watched unless another is asked for: on mainnet, two days.
const WINDOWS: u64 = 16;
/// The most windows that are watched at once.
const MOST_WINDOWS: u64 = 5_000;
/// How much further back one step goes that searches for the main UTXO, in blocks: 30 days.
const STEP: Blocks = Blocks(216_000);
/// How many such steps are taken: five years.
const MOST_STEPS: usize = 60;

/// Why nothing could be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The wallet's group, or its windows, are not known.
    #[error(transparent)]
    Coordination(#[from] CoordinationError),
    /// The chain gave no usable answer.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Bitcoin gave no usable answer.
    #[error(transparent)]
    Bitcoin(#[from] BackendError),
    /// A Bitcoin endpoint's URL can't be used.
    #[error("--bitcoin-url: {0}")]
    BitcoinUrl(#[from] EndpointError),
    /// The Bridge has recorded a transaction that Bitcoin doesn't have.
    #[error("Bitcoin doesn't have transaction {0}, which the Bridge has recorded")]
    Absent(Txid),
    /// No recorded transaction makes the main UTXO.
    #[error("no recorded transaction makes the wallet's main UTXO")]
    NoMainUtxo,
    /// An output is spent, but not by anything that was found.
    #[error("{0} is spent, and what spends it was not found")]
    NoSpender(OutPoint),
}

impl WatchError {
    /// The kind of failure that leaves the question open, if it is open.
    pub fn cause(&self) -> Option<&'static str> {
        match self {
            Self::Coordination(error) => error.cause(),
            Self::Chain(error) => Some(error.kind()),
            Self::Bitcoin(error) => Some(error.kind()),
            Self::BitcoinUrl(_) => None,
            Self::Absent(_) | Self::NoMainUtxo | Self::NoSpender(_) => Some("contradiction"),
        }
    }

    /// The process's exit code, if there is no answer.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Coordination(error) => error.exit_code(),
            Self::BitcoinUrl(_) => 2,
            _ => 3,
        }
    }
}

/// Watches, and tells each window as soon as it is known, the oldest first.
///
/// # Errors
/// If nothing can be told. What can't be told of a window is said of that window.
pub async fn watch(arguments: &WatchArguments, mut tell: impl FnMut(&Line)) -> Result<Line, WatchError> {
    let usage = |problem: String| WatchError::Coordination(CoordinationError::Usage(problem));
    let WatchArguments { wallet, rpc_url, network, registry, asking, .. } = arguments;
    let (wallet, network) = (*wallet, network.map(Into::into));
    let needs_bitcoin = || usage("give a Bitcoin endpoint with --bitcoin-url".to_owned());
    arguments.bitcoin.backends(asking, network)?.ok_or_else(needs_bitcoin)?;
    let group = match &arguments.operators {
        Some(file) => operators(file)?,
        None => {
            let read = group::read(wallet, rpc_url, network, registry, asking).await?;
            group::signing_group(read.fact.operators)?
        }
    };
    let endpoints = endpoint(rpc_url, network, asking)?;
    let chain = Chain::served(&endpoints, network).await?;
    let named = NamedParameters::served(&endpoints, network).await?;
    let contracts = chain.network.and_then(|network| network.contracts);
    let bridge = registry.bridge.or(contracts.map(|contracts| contracts.bridge));
    let bridge = bridge
        .ok_or_else(|| usage("--bridge is needed on a chain whose contracts aren't known".to_owned()))?;
    let bitcoin = arguments.bitcoin.backends(asking, chain.network)?.ok_or_else(needs_bitcoin)?;
    let (panel, head) = chain.named(&endpoints, BlockSelector::Latest).await?;
    let block = head.header.block();

    let windows = windows(arguments.since, &named, block.number).map_err(usage)?;
    let first_block = windows.first().map_or(block.number, Window::block);
    let log = EventLog::new(bridge, first_block.saturating_sub(EVENT_LOOK_BACK));
    let reader = EventReader::new(endpoints.clone(), log, chain.parameters().final_depth);
    reader.follow(block).await?;
    let events = look_back(&reader, wallet, block).await?;
    let site = Site {
        wallet,
        chain,
        network: named.network,
        panel,
        reader: SnapshotReader::new(endpoints, chain.id, bridge),
        group: &group,
        head,
    };
    let keys = SnapshotKeys {
        wallets: [wallet].into(),
        deposits: events.reveals(wallet).map(|event| DepositKey::new(event.outpoint)).collect(),
        redemptions: requests(&events, wallet),
        ..SnapshotKeys::default()
    };
    let now = site.reader.assured_snapshot(&site.panel, &site.head.header, &keys).await?.fact;

    let mut opened = Vec::new();
    for window in windows {
        opened.push(site.open(window).await?);
    }
    let stages: Vec<_> = opened.iter().map(|opened| opened.stage.clone()).collect();
    let has_clock = chain.pace().is_some();
    let finder = Finder { site: &site, bitcoin: &bitcoin, events: &events, now: &now, has_clock };
    let found = finder.find(&stages).await?;
    let deposits = traces::deposits(&events, &now, wallet);
    let funding: BTreeMap<_, _> =
        funding::look_up(&bitcoin, &deposits, has_clock).await?.into_iter().collect();

    tell(&Line::start(wallet, named.name, &group, &stages, block));
    let known = Known { events: &events, now: &now, funding: &funding, paid: &found.paid };
    let first = stages.first().map_or(0, |stage| stage.index);
    let mut judge = Judge::new(found.traces, block.number, first);
    let mut notice = Notice::default();
    for opened in &opened {
        let held = site.held(opened, &known).await?;
        let outcome = judge.outcome(&opened.stage, &held.possible);
        notice.windows = notice.windows.saturating_add(1);
        if matches!(outcome, Outcome::Undecided(_) | Outcome::MaybeFollowed(_)) {
            notice.undecided = notice.undecided.saturating_add(1);
        }
        if let History::Inferred(why) = &held.history {
            notice.inferred = notice.inferred.saturating_add(1);
            notice.why.get_or_insert_with(|| why.clone());
        }
        tell(&Line::window(opened, held, outcome));
    }
    Ok(Line::End(notice))
}

/// The windows to watch, the oldest first.
fn windows(since: Option<u64>, named: &NamedParameters, head: BlockNumber) -> Result<Vec<Window>, String> {
    let Some(latest) = named.network.latest_window(head).map(|window| window.index()) else {
        return Err(format!("no window of network {named} has started at block {head}"));
    };
    let since = since.unwrap_or_else(|| latest.saturating_sub(WINDOWS - 1).max(1));
    if since == 0 || latest < since {
        return Err(format!("--since {since} is no window that has started: 1 to {latest} are"));
    }
    let count = latest.saturating_sub(since).saturating_add(1);
    if count > MOST_WINDOWS {
        return Err(format!("--since {since} is {count} windows ago, {MOST_WINDOWS} allowed"));
    }
    Ok((since..=latest).filter_map(|index| Window::numbered(&named.network, index)).collect())
}

/// The scripts that redemptions were requested to.
fn requests(events: &EventLog, wallet: KeyHash) -> BTreeSet<RedemptionKey> {
    events.requests(wallet).map(|event| RedemptionKey::new(wallet, &event.script)).collect()
}

/// The events, back to the wallet's newest transactions or to its registration.
async fn look_back(
    reader: &EventReader,
    wallet: KeyHash,
    block: coxswain_ethereum::Block,
) -> Result<std::sync::Arc<EventLog>, ChainError> {
    for _ in 0..MOST_STEPS {
        let events = reader.log();
        let found = events.transactions(wallet).count() > 1 || events.registration(wallet).is_some();
        let Some(before) = events.searched().checked_sub(Blocks(1)).filter(|_| !found) else { break };
        reader.reach_back(before.next().saturating_sub(STEP), block).await?;
    }
    Ok(reader.log())
}
