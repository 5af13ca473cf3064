//! `coxswain doctor`: every endpoint and contract held against what it must be, with what to do where it isn't.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use alloy_primitives::{Address, Bytes};
use anstyle::{AnsiColor, Style};
use coxswain_bitcoin::{BackendError, EndpointError, Health};
use coxswain_ethereum::{
    Block, BlockSelector, BridgeEvents, Chain, ConnectError, Constant, Endpoint, MAX_LAG, ProposalValidator,
    SnapshotKeys, SnapshotReader, Undecided, Wanted,
};
use coxswain_rules::network::Preset;
use serde_json::{Value as Json, json};

use crate::{arguments::DoctorArguments, report::fields};

/// How far back the doctor looks for events, in blocks: what the tightest endpoints allow without a plan is one request.
const EVENTS: u64 = 10;

/// Everything that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    patients: Vec<Patient>,
}

/// An endpoint, or a chain's contracts, and what was checked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Patient {
    kind: &'static str,
    name: String,
    checks: Vec<Check>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Check {
    name: &'static str,
    outcome: Result<String, Complaint>,
}

/// What is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Complaint {
    what: String,
    remedy: &'static str,
}

impl Complaint {
    fn new(what: impl fmt::Display, remedy: &'static str) -> Self {
        Self { what: what.to_string(), remedy }
    }
}

/// Why there is nothing to diagnose.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DoctorError {
    /// An Ethereum endpoint's URL can't be used.
    #[error("--rpc-url: {0}")]
    Ethereum(#[from] ConnectError),
    /// A Bitcoin endpoint's URL can't be used.
    #[error("--bitcoin-url: {0}")]
    Bitcoin(#[from] EndpointError),
}

/// Checks everything, all endpoints at once.
///
/// # Errors
/// When a URL can't be used.
pub async fn doctor(arguments: &DoctorArguments, now: SystemTime) -> Result<Diagnosis, DoctorError> {
    let endpoints = arguments.ethereum.endpoint()?.each();
    let heads = looked_at(&endpoints).await;
    let network = arguments.ethereum.wanted().network;
    let is_wanted = |chain_id: u64| network.is_none_or(|network| network.chain_ids.contains(&chain_id));
    // Without a network, the first that answers says which chain it is.
    let chain_id =
        heads.iter().flatten().map(|&(chain_id, _)| chain_id).find(|&chain_id| is_wanted(chain_id));
    let served = network.or(chain_id.and_then(Preset::of_chain));
    let backends = arguments.bitcoin.backends(served)?;
    let best = heads
        .iter()
        .flatten()
        .filter(|(served, _)| Some(*served) == chain_id)
        .map(|(_, head)| head.number)
        .max()
        .unwrap_or_default();
    let practice = Practice { arguments, network, chain_id, best, now };
    let mut patients = Vec::new();
    for (endpoint, looked) in endpoints.iter().zip(heads) {
        patients.push(practice.examine(endpoint, looked).await);
    }
    if let Some(backends) = backends {
        patients.extend(backends.health().await.into_iter().map(bitcoin));
    }
    Ok(Diagnosis { patients })
}

/// Each endpoint's chain and newest block.
async fn looked_at(endpoints: &[Endpoint]) -> Vec<Result<(u64, Block), Undecided>> {
    let look = async |endpoint: &Endpoint| {
        let chain_id = endpoint.chain_id().await?;
        let latest = BlockSelector::Latest;
        let missing = || Undecided::NoBlock { endpoint: endpoint.name().to_owned(), block: latest };
        Ok((chain_id, endpoint.block(latest).await?.ok_or_else(missing)?))
    };
    futures_util::future::join_all(endpoints.iter().map(look)).await
}

/// What endpoints are held against.
struct Practice<'a> {
    arguments: &'a DoctorArguments,
    network: Option<Preset>,
    chain_id: Option<u64>,
    best: u64,
    now: SystemTime,
}

impl Practice<'_> {
    async fn examine(&self, endpoint: &Endpoint, looked: Result<(u64, Block), Undecided>) -> Patient {
        let name = endpoint.name().to_owned();
        let mut checks = Vec::new();
        let mut check = |name, outcome| checks.push(Check { name, outcome });
        match looked {
            Err(error) => check("answers", Err(Complaint::new(&error, remedy(&error)))),
            Ok((chain_id, head)) => {
                let chain = self.chain(chain_id);
                let right = chain.is_ok();
                check("chain", chain);
                check("newest block", self.head(chain_id, head));
                if right {
                    for (name, outcome) in self.contracts(endpoint, chain_id, head).await {
                        check(name, outcome);
                    }
                }
            }
        }
        Patient { kind: "Ethereum", name, checks }
    }

    fn chain(&self, chain_id: u64) -> Result<String, Complaint> {
        let named = match Preset::of_chain(chain_id) {
            Some(network) => format!("{chain_id}, {}", network.name),
            None => chain_id.to_string(),
        };
        match (self.network, self.chain_id) {
            (Some(network), _) if !network.chain_ids.contains(&chain_id) => Err(Complaint::new(
                format_args!("{named}, which is not {}", network.name),
                "give an endpoint of the network, or another --network",
            )),
            (_, Some(expected)) if expected != chain_id => Err(Complaint::new(
                format_args!("{named}, but an endpoint before it serves {expected}"),
                "give endpoints of one chain, and say which with --network",
            )),
            _ => Ok(named),
        }
    }

    fn head(&self, chain_id: u64, head: Block) -> Result<String, Complaint> {
        const REMEDY: &str = "let the node sync, or leave it out";
        let mined = SystemTime::UNIX_EPOCH + Duration::from_secs(head.timestamp);
        let age = self.now.duration_since(mined).unwrap_or_default().as_secs();
        let lag = if Some(chain_id) == self.chain_id { self.best.saturating_sub(head.number) } else { 0 };
        let max_age = Preset::of_chain(chain_id).and_then(|network| network.max_head_age);
        if lag > MAX_LAG {
            let what = format!("{}, {lag} blocks behind the best (at most {MAX_LAG} allowed)", head.number);
            return Err(Complaint::new(what, REMEDY));
        }
        match max_age {
            Some(max) if age > max => Err(Complaint::new(
                format_args!("{}, {age} s old (at most {max} s allowed)", head.number),
                REMEDY,
            )),
            Some(_) => Ok(format!("{}, {age} s old, {lag} behind the best", head.number)),
            None => Ok(format!("{}, {lag} behind the best", head.number)),
        }
    }

    /// Everything that depends on where the contracts are.
    async fn contracts(
        &self,
        endpoint: &Endpoint,
        chain_id: u64,
        head: Block,
    ) -> Vec<(&'static str, Result<String, Complaint>)> {
        let Wanted { validator, mut bridge, .. } = self.arguments.ethereum.wanted().on(&Chain::new(chain_id));
        let mut found = Vec::new();
        match validator {
            None => found.push((
                "validator",
                Err(Complaint::new(
                    format_args!("none is known for chain {chain_id}"),
                    "give its address with --validator",
                )),
            )),
            Some(address) => {
                let code = code(endpoint, address).await;
                let deployed = code.is_ok();
                found.push(("validator", code));
                if deployed {
                    let validator = ProposalValidator::new(endpoint.clone(), chain_id, address);
                    let read = validator.require_bridge(bridge, head).await;
                    bridge = bridge.or(read.as_ref().ok().copied());
                    let read = outcome(read.map(|bridge| bridge.to_string()));
                    found.push(("validator's Bridge", read));
                    found.push(("constants", constants(validator.constants(head).await)));
                }
            }
        }
        if let Some(bridge) = bridge {
            let code = code(endpoint, bridge).await;
            let deployed = code.is_ok();
            found.push(("Bridge", code));
            if deployed {
                let reader = SnapshotReader::new(endpoint.clone(), chain_id, bridge);
                let snapshot = reader.snapshot(head, &SnapshotKeys::default()).await;
                found.push(("Bridge's state", outcome(snapshot.map(|_| "readable in one call".to_owned()))));
                let mut events = BridgeEvents::new(bridge, head.number.saturating_sub(EVENTS - 1));
                let read = events.update(endpoint, head).await;
                found.push(("Bridge's events", outcome(read.map(|()| "readable".to_owned()))));
            }
        }
        found
    }
}

fn outcome<T>(result: Result<T, Undecided>) -> Result<T, Complaint> {
    result.map_err(|error| Complaint::new(&error, remedy(&error)))
}

async fn code(endpoint: &Endpoint, address: Address) -> Result<String, Complaint> {
    let code = endpoint.request::<_, Bytes>("eth_getCode", (address, "latest")).await;
    match outcome(code.map_err(Undecided::from))? {
        code if code.is_empty() => Err(Complaint::new(
            format_args!("no code at {address}"),
            "check the address given, and that the endpoint serves the chain it is on",
        )),
        code => Ok(format!("{} bytes of code at {address}", code.len())),
    }
}

fn constants(read: Result<[Constant; 6], Undecided>) -> Result<String, Complaint> {
    let constants = outcome(read)?;
    let different: Vec<_> = constants
        .iter()
        .filter(|constant| constant.actual != constant.expected)
        .map(|Constant { name, actual, expected }| format!("{name} is {actual}, expected {expected}"))
        .collect();
    if different.is_empty() {
        return Ok(format!("all {} as in the rules evaluated here", constants.len()));
    }
    Err(Complaint::new(
        different.join("; "),
        "don't use this validator with this version: its rules are others",
    ))
}

fn bitcoin(health: Health) -> Patient {
    let Health { endpoint, kind, software, conditions, behind, problem } = health;
    let outcome = match (problem, conditions) {
        (Some(problem), _) => Err(Complaint::new(&problem, bitcoin_remedy(&problem))),
        (None, Some(conditions)) => {
            let fee = match conditions.fee_rates.next_block {
                Some(rate) => format!("next block at {} sat/vB", rate.to_sat_per_vb_ceil()),
                None => "no fee estimate".to_owned(),
            };
            let (height, behind) = (conditions.tip.height, behind.unwrap_or_default());
            let software = software.unwrap_or_else(|| "unnamed".to_owned());
            Ok(format!("{software}, newest block {height}, {behind} behind the best, {fee}"))
        }
        (None, None) => Err(Complaint::new("it gave no answer", "see the node's log")),
    };
    Patient { kind, name: endpoint, checks: vec![Check { name: "network, newest block", outcome }] }
}

fn remedy(error: &Undecided) -> &'static str {
    match error.kind() {
        "unreachable" => "check the address, and that the node runs and lets this machine connect",
        "interrupted" | "timed-out" => "see whether the node, or the proxy before it, is down or overloaded",
        "http-status" => "check the URL, the key in it and the plan's limits",
        "garbage" => "check that the URL is that of an Ethereum JSON-RPC endpoint",
        "rpc-error" => "see the message: the node doesn't allow, or doesn't know, what is asked",
        "no-block" => "let the node sync",
        "other-bridge" => {
            "don't use this validator: give the one of your Bridge with --validator, or the right --bridge"
        }
        "unreadable-bridge" | "unknown-state" | "unreadable-event" => {
            "check that the address is the Bridge's; if it is, it was upgraded, and this version is too old for it"
        }
        _ => "check that the addresses are those of the contracts, and of this chain",
    }
}

fn bitcoin_remedy(error: &BackendError) -> &'static str {
    match error {
        BackendError::Unreachable { .. } => {
            "check the address, and that the server runs and lets this machine connect"
        }
        BackendError::Interrupted { .. } | BackendError::TimedOut { .. } => {
            "see whether the server, or the proxy before it, is down or overloaded"
        }
        BackendError::Http { .. } => "check the URL, and user and password or the cookie file",
        BackendError::WrongNetwork { .. } => "give an endpoint of the network, or another --bitcoin-network",
        BackendError::Behind { .. } | BackendError::Stale { .. } => "let the node sync, or leave it out",
        _ => "see the message, and the server's log",
    }
}

impl Diagnosis {
    /// The process's exit code: 0 all is well, 1 something isn't.
    pub fn exit_code(&self) -> u8 {
        u8::from(self.failed() != 0)
    }

    fn checks(&self) -> impl Iterator<Item = &Check> {
        self.patients.iter().flat_map(|patient| &patient.checks)
    }

    fn failed(&self) -> usize {
        self.checks().filter(|check| check.outcome.is_err()).count()
    }

    /// The diagnosis for programs. Fields that don't apply are left out.
    pub fn to_json(&self) -> Json {
        let checks = self.patients.iter().flat_map(|patient| {
            patient.checks.iter().map(|check| {
                let (found, remedy) = match &check.outcome {
                    Ok(found) => (found, None),
                    Err(complaint) => (&complaint.what, Some(complaint.remedy.into())),
                };
                Json::Object(fields([
                    ("kind", Some(patient.kind.into())),
                    ("endpoint", Some(patient.name.as_str().into())),
                    ("check", Some(check.name.into())),
                    ("ok", Some(check.outcome.is_ok().into())),
                    ("found", Some(found.as_str().into())),
                    ("remedy", remedy),
                ]))
            })
        });
        json!({ "ok": self.failed() == 0, "checks": checks.collect::<Vec<_>>() })
    }
}

/// A diagnosis for people, in colour; the stream that prints it takes the colour out where it isn't wanted.
impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let strong = |colour: AnsiColor| Style::new().bold().fg_color(Some(colour.into()));
        let (green, red) = (strong(AnsiColor::Green), strong(AnsiColor::Red));
        for Patient { kind, name, checks } in &self.patients {
            writeln!(f, "{kind} at {name}")?;
            for Check { name, outcome } in checks {
                match outcome {
                    Ok(found) => writeln!(f, "  {green}ok{green:#}    {name:24}{found}")?,
                    Err(Complaint { what, remedy }) => {
                        writeln!(f, "  {red}wrong{red:#} {name:24}{what}\n{:32}{remedy}", "")?;
                    }
                }
            }
        }
        let (failed, all) = (self.failed(), self.checks().count());
        match failed {
            0 => write!(f, "\n{green}all {all} checks passed{green:#}"),
            _ => write!(f, "\n{red}{failed} of {all} checks failed{red:#}"),
        }
    }
}
