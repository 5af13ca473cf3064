//! Connects to one peer under the operator's own identity, and reports how far the handshake gets and which user agent the peer has.

use std::{collections::BTreeSet, io, time::Duration};

use alloy_primitives::Address;
use futures_util::StreamExt;
use libp2p_core::transport::TransportError;
use libp2p_identify as identify;
use libp2p_identity::PeerId;
use libp2p_ping as ping;
use libp2p_swarm::{DialError, Swarm, SwarmEvent, dial_opts::DialOpts};
use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    address::{PeerAddress, multiaddr_of},
    admission::{Admission, AdmissionRule, Admitted, RefusedError},
    core::Network,
    driver::{Config, Protocols, ProtocolsEvent, RESOLVE_WAIT, StartError, swarm},
    transport::{HandshakeError, LinkError},
};

/// How long the peer may take after the handshake to identify itself and to answer a ping.
const ANSWER_WAIT: Duration = Duration::from_secs(15);

/// What a peer answered.
#[derive(Debug)]
pub struct Probe {
    /// The operator.
    pub operator: Address,
    /// What it says that it is.
    pub agent: String,
    /// What it speaks.
    pub protocols: BTreeSet<String>,
    /// How long a ping took, there and back.
    pub round_trip: Duration,
    /// Whether, and by which rule, our own node would let it in.
    pub admitted: Result<Admitted, RefusedError>,
}

/// Where it failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// Our own side of the connection could not be set up.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The name has no address.
    #[error("the name can't be resolved")]
    Resolve(#[source] io::Error),
    /// No TCP connection.
    #[error("no TCP connection")]
    Tcp(#[source] io::Error),
    /// The handshake failed.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// Somebody else is there.
    #[error("the peer there is {0}")]
    OtherPeer(PeerId),
    /// It is our own node.
    #[error("that is this operator's own node")]
    Self_,
    /// The peer closed the connection after the acts, which is how a refusal shows.
    #[error("the other closed the connection right after the handshake")]
    Refused,
    /// The peer did not identify itself, or did not answer a ping.
    #[error("the connection is up, but there is no answer to {0}")]
    Silent(&'static str),
    /// Something else.
    #[error("{0}")]
    Other(String),
}

/// Connects to a peer, asks it what it is, and pings it.
///
/// # Errors
///
/// Where that failed.
pub async fn probe(mut config: Config, address: &PeerAddress) -> Result<Probe, ProbeError> {
    let rule = std::mem::replace(&mut config.admission, AdmissionRule::Any);
    let (mut swarm, shared, network) = swarm(&config)?;
    let resolving = timeout(RESOLVE_WAIT, address.resolve()).await;
    let sockets = resolving.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let sockets = sockets.map_err(ProbeError::Resolve)?;
    shared.configured(&sockets);
    let options = DialOpts::peer_id(address.peer())
        .addresses(sockets.into_iter().map(multiaddr_of).collect())
        .allocate_new_port()
        .build();
    swarm.dial(options).map_err(failure)?;
    let (agent, protocols, round_trip) = answers(&mut swarm).await?;
    let admitted = admission(rule, &config, network).admit(address.operator()).await;
    Ok(Probe { operator: address.operator().address(), agent, protocols, round_trip, admitted })
}

fn admission(rule: AdmissionRule, config: &Config, network: Network) -> Admission {
    let configured = config.peers.iter().map(|peer| peer.operator().address()).collect();
    Admission::new(rule, configured, network)
}

async fn answers(swarm: &mut Swarm<Protocols>) -> Result<(String, BTreeSet<String>, Duration), ProbeError> {
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { .. } => break,
            SwarmEvent::OutgoingConnectionError { error, .. } => return Err(failure(error)),
            _ => {}
        }
    }
    let deadline = Instant::now() + ANSWER_WAIT;
    let (mut said, mut pinged) = (None, None);
    loop {
        if let (Some((agent, protocols)), Some(round_trip)) = (&said, pinged) {
            return Ok((String::clone(agent), BTreeSet::clone(protocols), round_trip));
        }
        let event = timeout_at(deadline, swarm.select_next_some()).await;
        let silent = if said.is_none() { "identify" } else { "ping" };
        match event.map_err(|_| ProbeError::Silent(silent))? {
            SwarmEvent::Behaviour(ProtocolsEvent::Identify(identify::Event::Received { info, .. })) => {
                let protocols = info.protocols.iter().map(ToString::to_string).collect();
                said = Some((info.agent_version, protocols));
            }
            SwarmEvent::Behaviour(ProtocolsEvent::Ping(ping::Event { result, .. })) => match result {
                Ok(round_trip) => pinged = Some(round_trip),
                Err(_) => return Err(ProbeError::Silent("ping")),
            },
            SwarmEvent::ConnectionClosed { .. } => return Err(ProbeError::Refused),
            _ => {}
        }
    }
}

/// What a failed dial says, its step found.
fn failure(error: DialError) -> ProbeError {
    match error {
        DialError::WrongPeerId { obtained, .. } => ProbeError::OtherPeer(obtained),
        DialError::LocalPeerId { .. } => ProbeError::Self_,
        DialError::Transport(errors) => {
            let error = errors.into_iter().next_back().map(|(_, error)| error);
            let Some(TransportError::Other(error)) = error else {
                return ProbeError::Other("the address can't be dialled".to_owned());
            };
            match error.downcast::<LinkError>() {
                Ok(LinkError::Tcp(error)) => ProbeError::Tcp(error),
                Ok(LinkError::Handshake(error)) => ProbeError::Handshake(error),
                Ok(error @ LinkError::NotGlobal(_)) => ProbeError::Other(error.to_string()),
                Err(error) => ProbeError::Other(error.to_string()),
            }
        }
        other => ProbeError::Other(other.to_string()),
    }
}
