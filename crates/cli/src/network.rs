//! `coxswain identity` and `coxswain ping`: who an operator is in the network, and whether others answer it.

use std::{collections::BTreeSet, env, fmt, net::IpAddr, time::SystemTime};

use alloy_primitives::Address;
use coxswain_ethereum::{
    Account, AccountError, Chain, ChainError, Eligible, EligibleError, Expected, registry::ServersError,
};
use coxswain_network::{
    AdmissionRule, Admitted, Config, DEFAULT_PORT, Eligibility, EligibilityError, HandshakeError,
    HandshakeStep, Identity, KeyError, PeerAddress, Probe, ProbeError, RefusedError, probe,
};
use coxswain_rules::network::Preset;
use coxswain_service::settings::{Password, PasswordError};
use futures_util::{FutureExt, future::BoxFuture};
use serde::{Serialize, Serializer};

use crate::{
    arguments::{IdentityArguments, KeystoreArguments, PingArguments, RegistryArguments},
    coordination::{CoordinationError, endpoint},
    group,
    report::{Report, Text, with_causes},
    variables::PASSWORD_FILE,
};

/// The variables that a password is taken from, ours first. (One that names its file is read as the others that stand for
/// arguments.)
const PASSWORDS: [&str; 2] = ["COXSWAIN_ETHEREUM__PASSWORD", "KEEP_ETHEREUM_PASSWORD"];

/// Why a question about the network can't be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// There is no password.
    #[error("a password is needed: give --password-file <FILE>, or set {} or {}", PASSWORD_FILE, PASSWORDS[0])]
    NoPassword,
    /// The password's file gives none.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The keystore gives no key.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The key can't be an identity.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Nobody can be asked about stakes.
    #[error(transparent)]
    Servers(#[from] ServersError),
    /// The endpoint gave no usable answer. Carries the kind of the failure, and what failed.
    #[error("{1}")]
    Undecided(&'static str, String),
    /// The arguments make no sense.
    #[error("{0}")]
    Usage(String),
}

impl From<CoordinationError> for NetworkError {
    fn from(error: CoordinationError) -> Self {
        match error.cause() {
            Some(cause) => Self::Undecided(cause, error.to_string()),
            None => Self::Usage(error.to_string()),
        }
    }
}

impl From<ChainError> for NetworkError {
    fn from(error: ChainError) -> Self {
        Self::Undecided(error.kind(), error.to_string())
    }
}

pub(crate) fn account(arguments: &KeystoreArguments) -> Result<Account, NetworkError> {
    let open = |password: &str| Account::from_keystore(&arguments.keystore, password);
    let account = match &arguments.password_file {
        Some(file) => open(Password::of(None, Some(file))?.as_str()),
        None => {
            let said = PASSWORDS.iter().find_map(|name| env::var(name).ok());
            open(&said.ok_or(NetworkError::NoPassword)?)
        }
    };
    Ok(account?)
}

/// Who an operator is.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentityReport {
    address: Text<Address>,
    peer_id: String,
    multiaddrs: Vec<String>,
}

/// Reads a keystore, and says who that is.
///
/// # Errors
/// If there is no password, or the file can't be opened with it.
pub fn identity(arguments: &IdentityArguments) -> Result<IdentityReport, NetworkError> {
    let account = account(&arguments.keystore)?;
    let peer_id = Identity::from_secret(account.secret())?.peer_id().to_base58();
    let port = arguments.port.unwrap_or(DEFAULT_PORT);
    let multiaddr = |host: &String| {
        let host = match host.parse() {
            Ok(IpAddr::V4(ip)) => format!("/ip4/{ip}"),
            Ok(IpAddr::V6(ip)) => format!("/ip6/{ip}"),
            Err(_) => format!("/dns4/{host}"),
        };
        format!("{host}/tcp/{port}/ipfs/{peer_id}")
    };
    let multiaddrs = arguments.host.iter().map(multiaddr).collect();
    Ok(IdentityReport { address: Text(account.address()), peer_id, multiaddrs })
}

impl Report for IdentityReport {}

impl fmt::Display for IdentityReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "address    {}", self.address.0)?;
        write!(f, "peer id    {}", self.peer_id)?;
        for multiaddr in &self.multiaddrs {
            write!(f, "\nmultiaddr  {multiaddr}")?;
        }
        Ok(())
    }
}

/// What each peer answered.
#[derive(Debug)]
pub struct PingReport {
    asked: Vec<(PeerAddress, Result<Probe, ProbeError>)>,
    /// Whether it was asked who may take part.
    eligibility: bool,
    /// Who holds a seat of one of the node's wallets.
    members: BTreeSet<Address>,
}

/// Asks each peer, as the operator.
///
/// # Errors
/// If the question can't be asked at all.
pub async fn ping(arguments: &PingArguments) -> Result<PingReport, NetworkError> {
    let account = account(&arguments.keystore)?;
    let identity = Identity::from_secret(account.secret())?;
    let eligibility = eligibility(arguments).await?;
    let members = members(arguments).await?;
    let mut asked = Vec::new();
    for address in &arguments.peers {
        let mut config = Config::new(identity.clone(), SystemTime::now());
        config.peers.clone_from(&arguments.configured);
        config.admission = eligibility.clone().map_or(AdmissionRule::Any, |eligible| {
            AdmissionRule::Eligible(std::sync::Arc::new(Registry(eligible)))
        });
        asked.push((address.clone(), probe(config, address).await));
    }
    Ok(PingReport { asked, eligibility: eligibility.is_some(), members })
}

/// The operators of the node's wallets, as the chain says.
async fn members(arguments: &PingArguments) -> Result<BTreeSet<Address>, NetworkError> {
    let PingArguments { wallet, rpc_url, network, bridge, registry, asking, .. } = arguments;
    if rpc_url.is_empty() && !wallet.is_empty() {
        return Err(NetworkError::Usage(
            "--wallet needs an Ethereum endpoint: give --rpc-url <URL>".to_owned(),
        ));
    }
    let contracts = RegistryArguments { bridge: *bridge, registry: *registry };
    let mut members = BTreeSet::new();
    for wallet in wallet {
        let group = group::read(*wallet, rpc_url, network.map(Into::into), &contracts, asking).await?;
        members.extend(group.fact.operators);
    }
    Ok(members)
}

/// Whom to ask about stakes, if there is an endpoint.
async fn eligibility(arguments: &PingArguments) -> Result<Option<Eligible>, NetworkError> {
    if arguments.rpc_url.is_empty() {
        return Ok(None);
    }
    let network: Option<Preset> = arguments.network.map(Into::into);
    let endpoint = endpoint(&arguments.rpc_url, network, &arguments.asking)?;
    let contracts = Chain::served(&endpoint, network).await?.network.and_then(|network| network.contracts);
    let registry = arguments.registry.or(contracts.map(|contracts| contracts.wallet_registry));
    let registry = registry.ok_or_else(|| {
        NetworkError::Usage("--registry is needed on a chain whose contracts aren't known".to_owned())
    })?;
    let expected = Expected { network, ..Expected::default() };
    Ok(Some(Eligible::new(&arguments.rpc_url, &expected, registry, 0)?))
}

/// Answers the network's question from the wallet registry.
struct Registry(Eligible);

impl Eligibility for Registry {
    fn is_eligible(&self, operator: Address) -> BoxFuture<'_, Result<bool, EligibilityError>> {
        let answer = |answer: Result<bool, EligibleError>| answer.map_err(Into::into);
        self.0.is_eligible(operator).map(answer).boxed()
    }
}

/// The step that failed, and what to look at.
fn advice(error: &ProbeError) -> (&'static str, &'static str) {
    match error {
        ProbeError::Resolve(_) => ("name", "check the name, and this machine's DNS"),
        ProbeError::Tcp(_) => {
            ("TCP", "check address and port, that the other runs, and that no firewall is between")
        }
        ProbeError::OtherPeer(_) => {
            ("identity", "check the peer id: another operator's node is at that address")
        }
        ProbeError::Self_ => ("identity", "that is this operator's own node: ask another"),
        ProbeError::Refused => REFUSED,
        ProbeError::Silent(_) => ("answer", "the node is overloaded, or no node of this network"),
        ProbeError::Handshake(error) => match (error, error.step()) {
            (HandshakeError::TimedOut(_), HandshakeStep::Security) => {
                ("security protocol", "something accepts connections there and says nothing: check the port")
            }
            (_, HandshakeStep::Security) => {
                ("security protocol", "no node of this network is there: check the port")
            }
            (_, HandshakeStep::Tls) => {
                ("TLS", "the other's certificate, or its version of libp2p, is not understood")
            }
            (_, HandshakeStep::Acts) => (
                "acts",
                "the other plays them otherwise, or somebody is between; an operator that it refuses is closed later",
            ),
            (_, HandshakeStep::Admission) => ("admission", "our own node refuses the other"),
            (_, HandshakeStep::Muxer) => REFUSED,
        },
        _ => ("start", "see the reason"),
    }
}

/// How a refusal shows.
const REFUSED: (&str, &str) = (
    "admission",
    "the other closed the connection after the acts, as it does for operators it doesn't know: check this operator's stake and registration",
);

/// What an error says, its causes after it, cut, and without control characters.
fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    with_causes(error).chars().flat_map(char::escape_debug).take(400).collect()
}

fn shown(text: &str) -> String {
    text.chars().flat_map(char::escape_debug).take(64).collect()
}

impl PingReport {
    fn admitted(&self, probe: &Probe) -> String {
        match &probe.admitted {
            _ if self.members.contains(&probe.operator) => format!("yes, {}", Admitted::Member),
            Ok(admitted @ Admitted::Configured) => format!("yes, {admitted}"),
            _ if !self.eligibility => "not asked, as no Ethereum endpoint is given".to_owned(),
            Ok(admitted) => format!("yes, {admitted}"),
            Err(error @ RefusedError::NotEligible(_)) => format!("no, {error}"),
            Err(error) => format!("undecided, {}", reason(error)),
        }
    }
}

impl Report for PingReport {
    /// 0 if all answered, 1 if one didn't.
    fn exit_code(&self) -> u8 {
        u8::from(self.asked.iter().any(|(_, answer)| answer.is_err()))
    }
}

impl Serialize for PingReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            peers: Vec<PeerFields<'a>>,
        }
        Fields { peers: self.asked.iter().map(|asked| self.peer_fields(asked)).collect() }
            .serialize(serializer)
    }
}

#[derive(Serialize)]
struct PeerFields<'a> {
    peer: Text<&'a PeerAddress>,
    answers: bool,
    operator: Text<Address>,
    #[serde(flatten)]
    answer: AnswerFields,
}

#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum AnswerFields {
    Answered { agent: String, protocols: BTreeSet<String>, round_trip_microseconds: u64, admitted: String },
    Failed { failed_at: &'static str, reason: String, check: &'static str },
}

impl PingReport {
    fn peer_fields<'a>(
        &self,
        (address, answer): &'a (PeerAddress, Result<Probe, ProbeError>),
    ) -> PeerFields<'a> {
        let (operator, answer) = match answer {
            Ok(probe) => (
                probe.operator,
                AnswerFields::Answered {
                    agent: shown(&probe.agent),
                    protocols: probe.protocols.iter().map(|name| shown(name)).collect(),
                    round_trip_microseconds: u64::try_from(probe.round_trip.as_micros()).unwrap_or(u64::MAX),
                    admitted: self.admitted(probe),
                },
            ),
            Err(error) => {
                let (failed_at, check) = advice(error);
                let answer = AnswerFields::Failed { failed_at, reason: reason(error), check };
                (address.operator().address(), answer)
            }
        };
        let answers = matches!(answer, AnswerFields::Answered { .. });
        PeerFields { peer: Text(address), answers, operator: Text(operator), answer }
    }
}

impl fmt::Display for PingReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (address, answer)) in self.asked.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            writeln!(f, "{address}")?;
            writeln!(f, "  operator    {}", address.operator().address().to_checksum(None))?;
            match answer {
                Ok(probe) => {
                    let protocols: Vec<_> = probe.protocols.iter().map(|name| shown(name)).collect();
                    writeln!(f, "  answers     in {:.1} ms", probe.round_trip.as_secs_f64() * 1000.0)?;
                    writeln!(f, "  agent       {}", shown(&probe.agent))?;
                    writeln!(f, "  protocols   {}", protocols.join(" "))?;
                    write!(f, "  let in      {}", self.admitted(probe))?;
                }
                Err(error) => {
                    let (step, check) = advice(error);
                    writeln!(f, "  failed at   {step}")?;
                    writeln!(f, "  reason      {}", reason(error))?;
                    write!(f, "  what to do  {check}")?;
                }
            }
        }
        Ok(())
    }
}
