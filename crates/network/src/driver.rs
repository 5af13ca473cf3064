//! A node's libp2p: listens, dials, finds others, keeps within the bounds.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    io,
    net::SocketAddr,
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, SystemTime},
};

use alloy_primitives::Address;
use futures_util::StreamExt;
use libp2p_core::{Multiaddr, Transport, transport::TransportError};
use libp2p_identify as identify;
use libp2p_identity::PeerId;
use libp2p_kad as kad;
use libp2p_kad::store::{MemoryStore, MemoryStoreConfig};
use libp2p_ping as ping;
use libp2p_swarm::{
    ConnectionId, NetworkBehaviour, StreamProtocol, Swarm, SwarmEvent,
    dial_opts::{DialOpts, PeerCondition},
};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    address::{PeerAddress, is_global, multiaddr_of, socket_of},
    admission::{Admission, AdmissionRule},
    core::Network,
    gate::{Bounds, Gate},
    handler,
    identity::{Identity, operator_of},
    redial::Redial,
    router::Router,
    transport::{OperatorTransport, Shared},
};

/// The distributed hash table, of which only the search for peers is used.
const KAD: StreamProtocol = StreamProtocol::new("/ipfs/kad/1.0.0");
/// How often the table is refreshed, as Go does.
const KAD_EVERY: Duration = Duration::from_secs(30 * 60);
/// Addresses learned of a peer.
const MAX_LEARNED: usize = 8;
/// How often a connection is tried.
const PING_EVERY: Duration = Duration::from_secs(10);
/// How long an answer may take. The library says nothing of the first that is missed; at the second, the connection is
/// closed: 36 s at most after the peer has fallen silent.
const PING_WAIT: Duration = Duration::from_secs(8);
/// How often configured peers are looked at.
const REDIAL_EVERY: Duration = Duration::from_millis(500);
/// How often old answers about connected peers are asked for again.
const ADMISSION_EVERY: Duration = Duration::from_secs(600);
/// Streams of a connection whose protocol is being agreed on.
const MAX_NEGOTIATING: usize = 16;
/// What waits for the driver.
const QUEUE: usize = 64;

/// How a node is set up.
#[derive(Debug)]
pub struct Config {
    /// The operator's key.
    pub identity: Identity,
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
    /// Peers to keep connected. They are always let in.
    pub peers: Vec<PeerAddress>,
    /// What others are told to dial. Empty: what is listened on.
    pub announced: Vec<Multiaddr>,
    /// Which strangers are let in.
    pub admission: AdmissionRule,
    /// What others are told that we are.
    pub agent: String,
    /// The clock at the start: the first message's number.
    pub started: SystemTime,
    /// The bounds on connections.
    pub bounds: Bounds,
    /// For measurements: no rates before signatures.
    pub lift_rates: bool,
}

impl Config {
    /// A node of this key that listens nowhere, knows nobody, and lets nobody in but its wallets' operators.
    pub fn new(identity: Identity, started: SystemTime) -> Self {
        Self {
            identity,
            listen: Vec::new(),
            peers: Vec::new(),
            announced: Vec::new(),
            admission: AdmissionRule::List(BTreeSet::new()),
            agent: concat!("coxswain/", env!("CARGO_PKG_VERSION")).to_owned(),
            started,
            bounds: Bounds::default(),
            lift_rates: false,
        }
    }
}

/// Why a node's network can't start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// No certificate.
    #[error("the TLS certificate can't be made")]
    Certificate(#[from] libp2p_tls::certificate::GenError),
    /// An address can't be listened on.
    #[error("can't listen on {0}")]
    Listen(SocketAddr, #[source] TransportError<io::Error>),
    /// A listener has ended.
    #[error("the listener has ended")]
    Ended(#[source] io::Error),
}

#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p_swarm::derive_prelude")]
pub(crate) struct Protocols {
    pub(crate) identify: identify::Behaviour,
    pub(crate) ping: ping::Behaviour,
    kad: kad::Behaviour<MemoryStore>,
    pubsub: handler::Behaviour,
}

/// Has a peer dialled.
#[derive(Clone, Debug)]
pub struct Dialer(mpsc::Sender<(PeerAddress, Vec<SocketAddr>)>);

impl Dialer {
    /// Dials a peer now, also if it is connected: the new connection is the one that is written to.
    ///
    /// # Errors
    ///
    /// When its name can't be resolved.
    pub async fn dial(&self, peer: PeerAddress) -> io::Result<()> {
        let sockets = peer.resolve().await?;
        // The driver is gone: nobody is to be dialled.
        let _ = self.0.send((peer, sockets)).await;
        Ok(())
    }
}

/// The part of a node that runs its connections.
pub struct Driver {
    swarm: Swarm<Protocols>,
    network: Network,
    shared: Arc<Shared>,
    bounds: Bounds,
    redial: Redial,
    connections: BTreeMap<ConnectionId, PeerId>,
    listening: BTreeSet<SocketAddr>,
    dialer: Dialer,
    asked: mpsc::Receiver<(PeerAddress, Vec<SocketAddr>)>,
}

/// A swarm for this configuration, what its connections share, and the network over it.
pub(crate) fn swarm(config: &Config) -> Result<(Swarm<Protocols>, Arc<Shared>, Network), StartError> {
    let identity = Arc::new(config.identity.clone());
    let configured = || config.peers.iter().map(PeerAddress::operator);
    let seqno = config.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let mut router = Router::new(
        identity.clone(),
        u64::try_from(seqno).unwrap_or(u64::MAX),
        configured().map(|operator| operator.compressed()).collect(),
    );
    if config.lift_rates {
        router.lift_rates();
    }
    let network = Network::new(router);
    let admission = Admission::new(
        config.admission.clone(),
        configured().map(|operator| operator.address()).collect(),
        network.clone(),
    );
    let peer_id = identity.peer_id();
    let gate = Gate::new(config.bounds);
    let shared = Arc::new(Shared::new(identity.clone(), network.clone(), admission, gate)?);
    let identify = identify::Config::new("ipfs/0.1.0".to_owned(), identity.keypair().public())
        .with_agent_version(config.agent.clone())
        .with_cache_size(0)
        .with_hide_listen_addrs(!config.announced.is_empty());
    let protocols = Protocols {
        identify: identify::Behaviour::new(identify),
        ping: ping::Behaviour::new(ping::Config::new().with_interval(PING_EVERY).with_timeout(PING_WAIT)),
        kad: kademlia(peer_id),
        pubsub: handler::Behaviour::new(network.clone()),
    };
    let transport = OperatorTransport::new(shared.clone()).boxed();
    let settings =
        libp2p_swarm::Config::with_tokio_executor().with_max_negotiating_inbound_streams(MAX_NEGOTIATING);
    Ok((Swarm::new(transport, protocols, peer_id, settings), shared, network))
}

/// Answers who is near whom, and keeps nothing for anybody.
fn kademlia(peer_id: PeerId) -> kad::Behaviour<MemoryStore> {
    let nothing = MemoryStoreConfig {
        max_records: 0,
        max_provided_keys: 0,
        max_providers_per_key: 0,
        max_value_bytes: 0,
    };
    let mut config = kad::Config::new(KAD);
    config
        .set_kbucket_inserts(kad::BucketInserts::Manual)
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_caching(kad::Caching::Disabled)
        .set_periodic_bootstrap_interval(Some(KAD_EVERY))
        .set_replication_factor(NonZeroUsize::new(20).unwrap_or(NonZeroUsize::MIN));
    let mut kad = kad::Behaviour::with_config(peer_id, MemoryStore::with_config(peer_id, nothing), config);
    kad.set_mode(Some(kad::Mode::Server));
    kad
}

impl Driver {
    /// Listens, and gives the network to talk over. Nothing happens until the driver is [run](Self::run).
    ///
    /// # Errors
    ///
    /// When an address can't be listened on.
    pub async fn bind(config: Config) -> Result<(Network, Self), StartError> {
        let (mut swarm, shared, network) = swarm(&config)?;
        let mut waiting = Vec::new();
        for socket in &config.listen {
            let listener = swarm.listen_on(multiaddr_of(*socket));
            waiting.push(listener.map_err(|error| StartError::Listen(*socket, error))?);
        }
        let mut listening = BTreeSet::new();
        while !waiting.is_empty() {
            match swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { listener_id, address } => {
                    waiting.retain(|waiting| *waiting != listener_id);
                    listening.extend(socket_of(&address));
                }
                SwarmEvent::ListenerError { error, .. }
                | SwarmEvent::ListenerClosed { reason: Err(error), .. } => {
                    return Err(StartError::Ended(error));
                }
                _ => {}
            }
        }
        for address in config.announced {
            swarm.add_external_address(address);
        }
        let (dialer, asked) = mpsc::channel(QUEUE);
        let redial = Redial::new(config.peers, Instant::now().into_std());
        let driver = Self {
            swarm,
            network: network.clone(),
            shared,
            bounds: config.bounds,
            redial,
            connections: BTreeMap::new(),
            listening,
            dialer: Dialer(dialer),
            asked,
        };
        Ok((network, driver))
    }

    /// To have peers dialled that aren't configured.
    pub fn dialer(&self) -> Dialer {
        self.dialer.clone()
    }

    /// What is listened on.
    pub fn listening(&self) -> impl Iterator<Item = SocketAddr> {
        self.listening.iter().copied()
    }

    /// Runs the connections until told to stop; then closes them all.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let (resolved, mut to_dial) = mpsc::channel::<(PeerAddress, Vec<SocketAddr>)>(QUEUE);
        let (ask, mut gone) = mpsc::channel::<Vec<Address>>(1);
        let mut redial = interval(REDIAL_EVERY);
        let mut admission = interval(ADMISSION_EVERY);
        for timer in [&mut redial, &mut admission] {
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        loop {
            tokio::select! {
                () = &mut stop => break,
                event = self.swarm.select_next_some() => self.event(event),
                Some((peer, sockets)) = to_dial.recv() => {
                    self.dial(&peer, &sockets, PeerCondition::DisconnectedAndNotDialing);
                }
                Some((peer, sockets)) = self.asked.recv() => self.dial(&peer, &sockets, PeerCondition::Always),
                Some(gone) = gone.recv() => self.cut_off(&gone),
                _ = redial.tick() => {
                    for peer in self.due() {
                        let resolved = resolved.clone();
                        tokio::spawn(async move {
                            if let Ok(sockets) = peer.resolve().await {
                                // The driver is gone: nobody is to be dialled.
                                let _ = resolved.send((peer, sockets)).await;
                            }
                        });
                    }
                }
                _ = admission.tick() => {
                    let connected = self.network.status().peers.into_iter().map(|peer| peer.operator).collect();
                    let (shared, ask) = (self.shared.clone(), ask.clone());
                    tokio::spawn(async move {
                        let gone = shared.admission.ask_again(connected).await;
                        let _ = ask.send(gone).await;
                    });
                }
            }
        }
        let peers: BTreeSet<_> = self.connections.values().copied().collect();
        for peer in peers {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        // What is closed has to be written.
        let closing = async {
            while !self.connections.is_empty() {
                let event = self.swarm.select_next_some().await;
                self.event(event);
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), closing).await;
    }

    fn due(&mut self) -> Vec<PeerAddress> {
        let network = &self.network;
        let is_linked = |peer: &PeerAddress| network.linked_since(peer.operator().address()).is_some();
        let jitter = || {
            let mut byte = [0];
            getrandom::fill(&mut byte).map_or(0, |()| byte[0])
        };
        self.redial.due(Instant::now().into_std(), is_linked, jitter)
    }

    fn dial(&mut self, peer: &PeerAddress, sockets: &[SocketAddr], condition: PeerCondition) {
        self.shared.configured(sockets);
        let addresses = sockets.iter().map(|socket| multiaddr_of(*socket)).collect();
        let options = DialOpts::peer_id(peer.peer())
            .condition(condition)
            .addresses(addresses)
            .allocate_new_port()
            .build();
        // That it is connected or being dialled is no failure, and any other shows as one in time.
        let _ = self.swarm.dial(options);
    }

    /// Tells the table where a peer is that has said so itself, and forgets what it knew of it: else a peer could fill it.
    /// Who isn't connected yet isn't told of: the table would have it dialled whenever it likes, whatever the pauses.
    fn learn(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) {
        let kad = &mut self.swarm.behaviour_mut().kad;
        kad.remove_peer(&peer);
        for address in addresses.into_iter().take(MAX_LEARNED) {
            kad.add_address(&peer, address);
        }
    }

    fn cut_off(&mut self, operators: &[Address]) {
        let is_gone =
            |peer: &PeerId| operator_of(peer).is_some_and(|operator| operators.contains(&operator.address()));
        let peers: BTreeSet<_> = self.connections.values().copied().filter(is_gone).collect();
        for peer in peers {
            self.network.count(|counts| counts.refused_peers += 1);
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }

    fn event(&mut self, event: SwarmEvent<ProtocolsEvent>) {
        match event {
            SwarmEvent::Behaviour(ProtocolsEvent::Identify(identify::Event::Received {
                peer_id,
                info,
                ..
            })) => {
                if let Some(operator) = operator_of(&peer_id) {
                    self.network.lock().identified(&operator, &info.agent_version);
                }
                if info.protocols.contains(&KAD) {
                    let global =
                        |address: &Multiaddr| socket_of(address).is_some_and(|socket| is_global(socket.ip()));
                    self.learn(peer_id, info.listen_addrs.into_iter().filter(global).collect());
                }
            }
            SwarmEvent::Behaviour(ProtocolsEvent::Ping(ping::Event { connection, result, .. })) => {
                if matches!(result, Err(ping::Failure::Timeout | ping::Failure::Other { .. })) {
                    self.swarm.close_connection(connection);
                }
            }
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.network.count(|counts| counts.handshakes += 1);
                self.connections.insert(connection_id, peer_id);
                if self.is_protected(&peer_id)
                    && let Some(socket) = socket_of(endpoint.get_remote_address())
                {
                    self.shared.know(socket.ip());
                }
                self.keep_within_bounds(peer_id);
            }
            SwarmEvent::ConnectionClosed { connection_id, .. } => {
                self.connections.remove(&connection_id);
            }
            SwarmEvent::NewListenAddr { address, .. } => self.listening.extend(socket_of(&address)),
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                socket_of(&address).map(|socket| self.listening.remove(&socket));
            }
            _ => {}
        }
    }

    fn is_protected(&self, peer: &PeerId) -> bool {
        operator_of(peer).is_some_and(|operator| self.network.lock().is_protected(&operator.compressed()))
    }

    /// Closes the oldest connection of a peer that has too many, and the newest of strangers when there are too many.
    fn keep_within_bounds(&mut self, peer: PeerId) {
        let of_peer = |(id, other): (&ConnectionId, &PeerId)| (*other == peer).then_some(*id);
        let own: Vec<_> = self.connections.iter().filter_map(of_peer).collect();
        let mut closing: Vec<_> =
            own.iter().take(own.len().saturating_sub(self.bounds.per_peer)).copied().collect();
        if self.connections.len() > self.bounds.connections {
            let excess = self.connections.len() - self.bounds.trimmed_to;
            let strangers = self.connections.iter().rev().filter(|(_, peer)| !self.is_protected(peer));
            closing.extend(strangers.map(|(id, _)| *id).take(excess));
        }
        for connection in closing {
            self.connections.remove(&connection);
            self.network.count(|counts| counts.trimmed += 1);
            self.swarm.close_connection(connection);
        }
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Driver({})", self.swarm.local_peer_id())
    }
}
