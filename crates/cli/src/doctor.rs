//! `coxswain doctor`: every endpoint and contract held against what it must be, with what to do where it isn't.

#[cfg(feature = "node")]
mod operator;
mod remedies;

use std::{fmt, time::SystemTime};

use alloy_primitives::{Address, Bytes};
use anstyle::AnsiColor;
use coxswain_bitcoin::{Backend, Backends, EndpointError, Health};
use coxswain_ethereum::{
    Block, BlockSelector, Chain, ChainError, ConnectError, Constant, Endpoints, EventLog, EventReader,
    MAX_LAG, Panel, ProposalValidator, ResolveError, SnapshotKeys, SnapshotReader, Tbtc, UnresolvedError,
    Wanted,
};
use coxswain_rules::{
    Dissent,
    network::Preset,
    units::{BlockNumber, Blocks, UnixTime},
};
use serde::Serialize;

use self::remedies::{bitcoin_remedy, remedy};
#[cfg(feature = "node")]
use crate::arguments::NetworkName;
use crate::{
    arguments::DoctorArguments,
    page::{self, span},
    report::{Report, strong},
};

/// How far back the doctor looks for events, in blocks: what the tightest endpoints allow without a plan is one request.
const EVENTS: Blocks = Blocks(10);

/// Everything that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DoctorReport {
    ok: bool,
    checks: Vec<Check>,
}

/// One check of an endpoint, or of the contracts that it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    kind: &'static str,
    endpoint: String,
    check: &'static str,
    ok: bool,
    /// What was found; if it isn't right, what is wrong.
    found: String,
    /// What to do about what is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

/// A line of the report for people.
#[derive(Clone, Copy, Debug)]
pub enum Line<'a> {
    /// The checks that follow are of this endpoint.
    Endpoint {
        /// What it is.
        kind: &'static str,
        /// Its host and port.
        name: &'a str,
    },
    /// A check.
    Check(&'a Check),
}

/// What is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Problem {
    what: String,
    remedy: String,
}

impl Problem {
    fn new(what: impl fmt::Display, remedy: impl Into<String>) -> Self {
        Self { what: what.to_string(), remedy: remedy.into() }
    }
}

/// Why there is nothing to check.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DoctorError {
    /// An Ethereum endpoint's URL can't be used.
    #[error("--rpc-url: {0}")]
    Ethereum(#[from] ConnectError),
    /// A Bitcoin endpoint's URL can't be used.
    #[error("--bitcoin-url: {0}")]
    Bitcoin(#[from] EndpointError),
    /// The configuration makes no sense.
    #[cfg(feature = "node")]
    #[error(transparent)]
    Configuration(#[from] coxswain_service::configuration::ConfigurationError),
}

/// Reads the configuration that is to be checked, if there is one: its servers are asked.
///
/// # Errors
/// If it makes no sense.
#[cfg(feature = "node")]
pub fn configured(
    mut arguments: DoctorArguments,
    variables: Vec<(std::ffi::OsString, std::ffi::OsString)>,
) -> Result<DoctorArguments, DoctorError> {
    let Some(path) = &arguments.config else { return Ok(arguments) };
    let configuration: coxswain_node::Configuration =
        crate::configure::layers(path, None, variables)?.read()?;
    let (ethereum, bitcoin) = (&configuration.ethereum, &configuration.bitcoin);
    arguments.ethereum.rpc_url = ethereum.urls.clone();
    arguments.ethereum.network = ethereum.network.and_then(NetworkName::of);
    arguments.ethereum.validator = ethereum.validator;
    arguments.ethereum.bridge = ethereum.bridge;
    let asking = &mut arguments.ethereum.asking;
    asking.quorum = Some(ethereum.quorum);
    asking.loopback_is_one = ethereum.loopback_is_one;
    asking.rpc_timeout = ethereum.request_timeout;
    arguments.bitcoin.bitcoin_url = bitcoin.urls.clone();
    arguments.bitcoin.bitcoin_network = bitcoin.network;
    arguments.bitcoin.bitcoin_timeout = bitcoin.request_timeout;
    arguments.configuration = Some(Box::new(configuration));
    Ok(arguments)
}

/// Checks everything, and tells each line as soon as it is known. Ethereum's endpoints are asked beside Bitcoin's.
///
/// # Errors
/// When a URL can't be used.
pub async fn doctor(
    arguments: &DoctorArguments,
    now: SystemTime,
    mut tell: impl FnMut(Line<'_>),
) -> Result<DoctorReport, DoctorError> {
    let all = arguments.ethereum.endpoint()?;
    let endpoints = all.each();
    // A URL that can't be used is told before anything is asked.
    arguments.bitcoin.backends(&arguments.ethereum.asking, None)?;
    let mut record = Record { checks: Vec::new(), tell: &mut tell };
    // Whoever waits sees for what.
    if let Some(first) = endpoints.first() {
        record.endpoint(ETHEREUM, first.name());
    }
    let heads = looked_at(&endpoints).await;
    let network = arguments.ethereum.wanted().network;
    let is_wanted = |chain_id: u64| network.is_none_or(|network| network.chain_ids.contains(&chain_id));
    // Without a network, the first that answers says which chain it is.
    let chain_id =
        heads.iter().flatten().map(|&(chain_id, _)| chain_id).find(|&chain_id| is_wanted(chain_id));
    let served = network.or(chain_id.and_then(Preset::of_chain));
    let backends = arguments.bitcoin.backends(&arguments.ethereum.asking, served)?;
    // What enough of them have reached: the highest claim may be a lie.
    let quorum = all.quorum();
    let of_chain = heads.iter().flatten().filter(|(served, _)| Some(*served) == chain_id);
    let mut heights: Vec<_> = of_chain.map(|(_, head)| head.number).collect();
    heights.sort_unstable_by(|a, b| b.cmp(a));
    // Whoever has said anything must agree.
    let required = quorum.required(heads.iter().flatten().count());
    let enough = required.saturating_sub(1);
    let best = heights.get(enough).or(heights.last()).copied().unwrap_or_default();
    let answering = answering(&all, &endpoints, &heads, chain_id, best);
    #[cfg(feature = "node")]
    let newest = heads.iter().flatten().map(|(_, head)| *head).max_by_key(|head| head.number);
    let expectations = Expectations { arguments, network, chain_id, best, now };
    let ethereum = async {
        for (number, (endpoint, looked)) in endpoints.iter().zip(heads).enumerate() {
            if number > 0 {
                record.endpoint(ETHEREUM, endpoint.name());
            }
            expectations.check(endpoint, looked, &mut record).await;
        }
        record.endpoint(ETHEREUM, ALL);
        record.check(ETHEREUM, ALL, "quorum", self::quorum(quorum.servers(), required, answering));
        if quorum.servers() > 1 {
            record.check(ETHEREUM, ALL, "agreement", agreement(&all, &arguments.ethereum.wanted()).await);
        }
    };
    let bitcoin = async {
        match &backends {
            Some(backends) => (backends.health().await, Some(bitcoin_agreement(backends).await)),
            None => (Vec::new(), None),
        }
    };
    let ((), (healths, agreement)) = futures_util::future::join(ethereum, bitcoin).await;
    let are_several = backends.as_ref().and_then(Backends::quorum).is_some_and(|(servers, _)| servers > 1);
    for health in healths {
        self::bitcoin(health, &mut record);
    }
    if let Some(agreement) = agreement.filter(|_| are_several) {
        record.endpoint(BITCOIN, ALL);
        record.check(BITCOIN, ALL, "agreement", agreement);
    }
    #[cfg(feature = "node")]
    if let Some(configuration) = &arguments.configuration {
        record.endpoint("configuration", operator::NODE);
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let now = UnixTime(now);
        operator::check(configuration, &all, newest, now, &mut record).await;
    }
    let checks = record.checks;
    Ok(DoctorReport { ok: checks.iter().all(|check| check.ok), checks })
}

const ETHEREUM: &str = "Ethereum";
const BITCOIN: &str = "Bitcoin";
const DISSENT: &str = "leave out whoever is not to be trusted, or find out what is wrong with it";
/// What the checks of all endpoints together are said to be of.
const ALL: &str = "all servers";
/// How far back state is looked for that is proven, in blocks: a full node's 128, a day, a month, and most of mainnet.
const DEPTHS: [Blocks; 5] = [Blocks(0), Blocks(128), Blocks(7_200), Blocks(216_000), Blocks(10_000_000)];

/// How many servers answer for the chain, and are not behind.
fn answering(
    all: &Endpoints,
    endpoints: &[Endpoints],
    heads: &[Result<(u64, Block), ChainError>],
    chain_id: Option<u64>,
    best: BlockNumber,
) -> usize {
    let fit = endpoints.iter().zip(heads).filter(|(_, looked)| {
        let is_fit = |(served, head): &(u64, Block)| {
            Some(*served) == chain_id && best.saturating_since(head.number) <= MAX_LAG
        };
        looked.as_ref().is_ok_and(is_fit)
    });
    let names: Vec<_> = fit.map(|(endpoint, _)| endpoint.name()).collect();
    all.servers_among(&names)
}

/// Whether the servers say the same of the newest block, and of what a decision reads there.
async fn agreement(all: &Endpoints, wanted: &Wanted) -> Result<String, Problem> {
    let resolved = Tbtc::resolve(all, wanted, BlockSelector::Latest).await;
    dissent(&all.dissents())?;
    match resolved {
        Ok(Tbtc { named, .. }) => {
            let (number, by, of) = (named.header.number(), named.named_by, named.of);
            Ok(format!("block {number} is named by {by} of {of}, and none says otherwise"))
        }
        Err(UnresolvedError { error: ResolveError::Undecided(error), .. }) => outcome(Err(error)),
        // Which contracts are wanted is told elsewhere.
        Err(_) => Ok("none says otherwise".to_owned()),
    }
}

/// Whether the servers say the same of fees, having been asked for their newest blocks.
async fn bitcoin_agreement(backends: &Backends) -> Result<String, Problem> {
    let fees = backends.fees().await;
    dissent(&backends.dissents())?;
    match fees {
        Ok(_) => Ok("none says otherwise".to_owned()),
        Err(error) => Err(Problem::new(&error, bitcoin_remedy(&error))),
    }
}

/// That nobody says otherwise.
fn dissent(dissents: &[Dissent]) -> Result<(), Problem> {
    if dissents.is_empty() {
        return Ok(());
    }
    let said = dissents.iter().map(|Dissent { endpoint, said }| format!("{endpoint}: {said}"));
    Err(Problem::new(said.collect::<Vec<_>>().join("; "), DISSENT))
}

/// Whether as many servers answer as must say the same.
fn quorum(of: usize, required: usize, answering: usize) -> Result<String, Problem> {
    let answer = if answering == 1 { "answers" } else { "answer" };
    let found = format!("{answering} of {of} {answer}, {required} must say the same");
    if answering < required {
        return Err(Problem::new(
            found,
            "mend those that don't answer, or give others: three are recommended",
        ));
    }
    Ok(match (of, required) {
        (1, _) => format!("{found}: what it doesn't prove is its word; three are recommended"),
        (_, 1) => format!("{found}: what it doesn't prove is its word"),
        (2, _) => format!("{found}; three are recommended"),
        _ => found,
    })
}

/// What was checked so far; whatever is added is told.
struct Record<'a> {
    checks: Vec<Check>,
    tell: &'a mut dyn FnMut(Line<'_>),
}

impl Record<'_> {
    fn endpoint(&mut self, kind: &'static str, name: &str) {
        (self.tell)(Line::Endpoint { kind, name });
    }

    fn check(
        &mut self,
        kind: &'static str,
        endpoint: &str,
        check: &'static str,
        outcome: Result<String, Problem>,
    ) {
        let ok = outcome.is_ok();
        let (found, remedy) = match outcome {
            Ok(found) => (found, None),
            Err(Problem { what, remedy }) => (what, Some(remedy)),
        };
        let check = Check { kind, endpoint: endpoint.to_owned(), check, ok, found, remedy };
        (self.tell)(Line::Check(&check));
        self.checks.push(check);
    }
}

/// Each endpoint's chain and newest block.
async fn looked_at(endpoints: &[Endpoints]) -> Vec<Result<(u64, Block), ChainError>> {
    let look = async |endpoint: &Endpoints| {
        let chain_id = endpoint.chain_id().await?;
        let latest = BlockSelector::Latest;
        let missing = || ChainError::NoBlock { endpoint: endpoint.name().to_owned(), block: latest };
        Ok((chain_id, endpoint.block(latest).await?.ok_or_else(missing)?))
    };
    futures_util::future::join_all(endpoints.iter().map(look)).await
}

/// What endpoints are held against.
struct Expectations<'a> {
    arguments: &'a DoctorArguments,
    network: Option<Preset>,
    chain_id: Option<u64>,
    best: BlockNumber,
    now: SystemTime,
}

impl Expectations<'_> {
    async fn check(
        &self,
        endpoint: &Endpoints,
        looked: Result<(u64, Block), ChainError>,
        record: &mut Record<'_>,
    ) {
        let mut check = |name, outcome| record.check(ETHEREUM, endpoint.name(), name, outcome);
        match looked {
            Err(error) => check("answers", Err(Problem::new(&error, remedy(&error)))),
            Ok((chain_id, head)) => {
                let chain = self.chain(chain_id);
                let right = chain.is_ok();
                check("chain", chain);
                check("newest block", self.head(chain_id, head));
                if right {
                    check("proofs", Ok(proofs(endpoint, chain_id, head).await));
                    self.contracts(endpoint, chain_id, head, check).await;
                }
            }
        }
    }

    fn chain(&self, chain_id: u64) -> Result<String, Problem> {
        let named = match Preset::of_chain(chain_id) {
            Some(network) => format!("{chain_id}, {}", network.name),
            None => chain_id.to_string(),
        };
        match (self.network, self.chain_id) {
            (Some(network), _) if !network.chain_ids.contains(&chain_id) => Err(Problem::new(
                format_args!("{named}, which is not {}", network.name),
                "give an endpoint of the network, or another --network",
            )),
            (_, Some(expected)) if expected != chain_id => Err(Problem::new(
                format_args!("{named}, but an endpoint before it serves {expected}"),
                "give endpoints of one chain, and say which with --network",
            )),
            _ => Ok(named),
        }
    }

    fn head(&self, chain_id: u64, head: Block) -> Result<String, Problem> {
        const REMEDY: &str = "let the node sync, or leave it out";
        let now = UnixTime(self.now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs());
        let age = now.saturating_since(head.timestamp);
        let lag =
            if Some(chain_id) == self.chain_id { self.best.saturating_since(head.number) } else { Blocks(0) };
        let max_age = Preset::of_chain(chain_id)
            .and_then(|network| network.block_times)
            .map(|times| times.max_head_age);
        if lag > MAX_LAG {
            let what = format!("{}, {lag} blocks behind the best (at most {MAX_LAG} allowed)", head.number);
            return Err(Problem::new(what, REMEDY));
        }
        match max_age {
            Some(max) if age > max => Err(Problem::new(
                format_args!(
                    "{}, {} old (at most {} allowed)",
                    head.number,
                    span(age.as_secs()),
                    span(max.as_secs())
                ),
                REMEDY,
            )),
            _ => Ok(format!("{}, {}, {lag} behind the best", head.number, page::old(&head, self.now))),
        }
    }

    /// Everything that depends on where the contracts are.
    async fn contracts(
        &self,
        endpoint: &Endpoints,
        chain_id: u64,
        head: Block,
        mut check: impl FnMut(&'static str, Result<String, Problem>),
    ) {
        let Wanted { validator, mut bridge, .. } = self.arguments.ethereum.wanted().on(&Chain::new(chain_id));
        match validator {
            None => check(
                "validator",
                Err(Problem::new(
                    format_args!("none is known for chain {chain_id}"),
                    "give its address with --validator",
                )),
            ),
            Some(address) => {
                let code = code(endpoint, address).await;
                let deployed = code.is_ok();
                check("validator", code);
                if deployed {
                    let validator = ProposalValidator::new(endpoint.clone(), chain_id, address);
                    let read = validator.require_bridge(bridge, head).await;
                    bridge = bridge.or(read.as_ref().ok().copied());
                    let read = outcome(read.map(|bridge| bridge.to_string()));
                    check("validator's Bridge", read);
                    check("constants", constants(validator.constants(head).await));
                }
            }
        }
        if let Some(bridge) = bridge {
            let code = code(endpoint, bridge).await;
            let deployed = code.is_ok();
            check("Bridge", code);
            if deployed {
                let reader = SnapshotReader::new(endpoint.clone(), chain_id, bridge);
                let snapshot = reader.snapshot(head, &SnapshotKeys::default()).await;
                check("Bridge's state", outcome(snapshot.map(|_| "readable in one call".to_owned())));
                let log = EventLog::new(bridge, head.number.saturating_sub(EVENTS.saturating_sub(Blocks(1))));
                let read = EventReader::new(endpoint.clone(), log, Blocks(0)).follow(head).await;
                check("Bridge's events", outcome(read.map(|_| "readable".to_owned())));
            }
        }
    }
}

/// How far back the endpoint proves state.
async fn proofs(endpoint: &Endpoints, chain_id: u64, head: Block) -> String {
    let panel = Panel::of(endpoint, chain_id);
    let mut proven = None;
    for depth in DEPTHS {
        let Some(number) = head.number.checked_sub(depth) else { break };
        let Ok(named) = panel.at_number(number).await else { break };
        if !panel.proves(Address::ZERO, &named.header).await {
            break;
        }
        proven = Some(depth);
    }
    match proven {
        None => "it proves no state: what it says counts as far as others say the same".to_owned(),
        Some(Blocks(0)) => "it proves the newest block's state".to_owned(),
        Some(depth) => format!("it proves the state of {depth} blocks back"),
    }
}

fn outcome<T>(result: Result<T, ChainError>) -> Result<T, Problem> {
    result.map_err(|error| Problem::new(&error, remedy(&error)))
}

async fn code(endpoint: &Endpoints, address: Address) -> Result<String, Problem> {
    let code = endpoint.request::<_, Bytes>("eth_getCode", (address, "latest")).await;
    match outcome(code.map_err(ChainError::from))? {
        code if code.is_empty() => Err(Problem::new(
            format_args!("no code at {address}"),
            "check the address given, and that the endpoint serves the chain it is on",
        )),
        code => Ok(format!("{} bytes of code at {address}", code.len())),
    }
}

fn constants(read: Result<[Constant; 6], ChainError>) -> Result<String, Problem> {
    let constants = outcome(read)?;
    let different: Vec<_> = constants
        .iter()
        .filter(|constant| constant.actual != constant.expected)
        .map(|Constant { name, actual, expected }| format!("{name} is {actual}, expected {expected}"))
        .collect();
    if different.is_empty() {
        return Ok(format!("all {} as in the rules evaluated here", constants.len()));
    }
    Err(Problem::new(
        different.join("; "),
        "don't use this validator with this version: its rules are others",
    ))
}

fn bitcoin(health: Health, record: &mut Record<'_>) {
    let Health { endpoint, kind, software, tip, fee_rates, behind, problem } = health;
    let outcome = match (problem, tip.zip(fee_rates)) {
        (Some(problem), _) => Err(Problem::new(&problem, bitcoin_remedy(&problem))),
        (None, Some((tip, fee_rates))) => {
            let fee = match fee_rates.next_block {
                Some(rate) => format!("next block at {} sat/vB", rate.to_sat_per_vb_ceil()),
                None => "no fee estimate".to_owned(),
            };
            let (height, behind) = (tip.height, behind.unwrap_or_default());
            let software = software.unwrap_or_else(|| "unnamed".to_owned());
            Ok(format!("{software}, newest block {height}, {behind} behind the best, {fee}"))
        }
        (None, None) => Err(Problem::new("it gave no answer", "see the node's log")),
    };
    record.endpoint(kind, &endpoint);
    record.check(kind, &endpoint, "network, newest block", outcome);
}

impl Report for DoctorReport {
    /// 0 all is well, 1 something isn't.
    fn exit_code(&self) -> u8 {
        u8::from(!self.ok)
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (green, red) = (strong(AnsiColor::Green), strong(AnsiColor::Red));
        match self {
            Line::Endpoint { kind, name } => write!(f, "{kind} at {name}"),
            Line::Check(Check { check, found, remedy: None, .. }) => {
                write!(f, "  {green}ok{green:#}     {check:22}  {found}")
            }
            Line::Check(Check { check, found, remedy: Some(remedy), .. }) => {
                write!(f, "  {red}wrong{red:#}  {check:22}  {found}\n{:33}{remedy}", "")
            }
        }
    }
}

/// The result for people. The lines have been printed before.
impl fmt::Display for DoctorReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (green, red) = (strong(AnsiColor::Green), strong(AnsiColor::Red));
        let (failed, all) = (self.checks.iter().filter(|check| !check.ok).count(), self.checks.len());
        match failed {
            0 => write!(f, "\n{green}all {all} checks passed{green:#}"),
            _ => write!(f, "\n{red}{failed} of {all} checks failed{red:#}"),
        }
    }
}
