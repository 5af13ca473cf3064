//! A node's libp2p swarm: listens, dials, discovers peers, and enforces the connection limits.

use std::{
    collections::BTreeSet,
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
    NetworkBehaviour, StreamProtocol, Swarm, SwarmEvent,
    behaviour::toggle::Toggle,
    dial_opts::{DialOpts, PeerCondition},
};
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use crate::{
    address::{PeerAddress, is_global, multiaddr_of, socket_of},
    admission::{Admission, AdmissionRule},
    connections::Connections,
    core::Network,
    direct::Direct,
    gate::{Bounds, Gate},
    handler,
    identity::{Identity, operator_of},
    redial::Redial,
    router::Router,
    streams,
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
/// How long an answer to a ping may take. The library does not report the first one that is missed. At the second, the connection
/// is closed: at most 36 s after the peer fell silent.
const PING_WAIT: Duration = Duration::from_secs(8);
/// How often configured peers are looked at.
const REDIAL_EVERY: Duration = Duration::from_millis(500);
/// How long a name may take to be resolved.
pub(crate) const RESOLVE_WAIT: Duration = Duration::from_secs(10);
/// How often the registry is asked again about connected peers whose last answer is old.
const ADMISSION_EVERY: Duration = Duration::from_secs(600);
/// How many streams of a connection may negotiate their protocol at once.
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
    /// The addresses that other peers are told to dial. If empty, the listen addresses.
    pub announced: Vec<Multiaddr>,
    /// Which strangers are let in.
    pub admission: AdmissionRule,
    /// The user agent that other peers are shown.
    pub agent: String,
    /// The clock at the start: the first message's number.
    pub started: SystemTime,
    /// The bounds on connections.
    pub bounds: Bounds,
    /// For measurements: disables the rate limits that apply before signatures are checked.
    pub lift_rates: bool,
    /// Whether there are direct streams. Other peers are shown their protocol then.
    pub direct: bool,
}

impl Config {
    /// Returns the configuration of a node with this key that listens on no address, has no peers, and admits only the
    /// operators of its wallets.
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
            direct: false,
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

/// Why a network that was running has ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriveError {
    /// One of its tasks has panicked.
    #[error("a task of the network has failed")]
    Task(#[from] JoinError),
}

#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p_swarm::derive_prelude")]
pub(crate) struct Protocols {
    pub(crate) identify: identify::Behaviour,
    pub(crate) ping: ping::Behaviour,
    kad: kad::Behaviour<MemoryStore>,
    pubsub: handler::Behaviour,
    direct: Toggle<streams::Behaviour>,
}

/// Has a peer dialled.
#[derive(Clone, Debug)]
pub struct Dialer(mpsc::Sender<(PeerAddress, Vec<SocketAddr>)>);

impl Dialer {
    /// Dials a peer now, even if it is connected. Messages then go to the new connection.
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
    redial: Redial,
    connections: Connections,
    listening: BTreeSet<SocketAddr>,
    dialer: Dialer,
    asked: mpsc::Receiver<(PeerAddress, Vec<SocketAddr>)>,
    tasks: JoinSet<Done>,
}

/// What came of a task.
enum Done {
    /// Where a configured peer is.
    Resolved(PeerAddress, Vec<SocketAddr>),
    /// The name could not be resolved. The next attempt resolves it again.
    Unresolved,
    /// Operators that may no longer take part.
    Asked(Vec<Address>),
}

/// Builds the swarm for this configuration, the state that its connections share, and the network over it.
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
    let direct = Direct::new(config.direct);
    let network = Network::new(router, direct.clone());
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
        direct: direct.is_on().then(|| streams::Behaviour::new(network.clone(), direct)).into(),
    };
    let transport = OperatorTransport::new(shared.clone()).boxed();
    let settings =
        libp2p_swarm::Config::with_tokio_executor().with_max_negotiating_inbound_streams(MAX_NEGOTIATING);
    Ok((Swarm::new(transport, protocols, peer_id, settings), shared, network))
}

/// Returns the routing table, which answers queries for closest peers and stores no records.
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
            redial,
            connections: Connections::new(config.bounds),
            listening,
            dialer: Dialer(dialer),
            asked,
            tasks: JoinSet::new(),
        };
        Ok((network, driver))
    }

    /// Returns a handle that dials peers that are not configured.
    pub fn dialer(&self) -> Dialer {
        self.dialer.clone()
    }

    /// What is listened on.
    pub fn listening(&self) -> impl Iterator<Item = SocketAddr> {
        self.listening.iter().copied()
    }

    /// Runs the connections until told to stop; then closes them all.
    ///
    /// # Errors
    ///
    /// When one of its tasks has panicked.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), DriveError> {
        let mut stop = std::pin::pin!(stop);
        let mut redial = interval(REDIAL_EVERY);
        let mut admission = interval(ADMISSION_EVERY);
        for timer in [&mut redial, &mut admission] {
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let mut is_asking = false;
        loop {
            tokio::select! {
                () = &mut stop => break,
                event = self.swarm.select_next_some() => self.event(event),
                Some((peer, sockets)) = self.asked.recv() => self.dial(&peer, &sockets, PeerCondition::Always),
                Some(done) = self.tasks.join_next() => match done? {
                    Done::Resolved(peer, sockets) => {
                        self.dial(&peer, &sockets, PeerCondition::DisconnectedAndNotDialing);
                    }
                    Done::Unresolved => {}
                    Done::Asked(gone) => {
                        is_asking = false;
                        self.cut_off(&gone);
                    }
                },
                _ = redial.tick() => {
                    for peer in self.due() {
                        self.tasks.spawn(async move {
                            match timeout(RESOLVE_WAIT, peer.resolve()).await {
                                Ok(Ok(sockets)) => Done::Resolved(peer, sockets),
                                Ok(Err(_)) | Err(_) => Done::Unresolved,
                            }
                        });
                    }
                }
                _ = admission.tick(), if !is_asking => {
                    is_asking = true;
                    let connected = self.network.status().peers.into_iter().map(|peer| peer.operator).collect();
                    let shared = self.shared.clone();
                    self.tasks.spawn(async move { Done::Asked(shared.admission.ask_again(connected).await) });
                }
            }
        }
        for peer in self.connections.peers() {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        // What is closed has to be written.
        let closing = async {
            while !self.connections.is_empty() {
                let event = self.swarm.select_next_some().await;
                self.event(event);
            }
        };
        let _ = timeout(Duration::from_secs(1), closing).await;
        Ok(())
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

    /// Tells the routing table the addresses that a peer announced for itself, in place of those that it knew: otherwise a peer
    /// could fill the table. A peer that is not connected is left out, since the table would dial it at any time, whatever the pauses.
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
        for peer in self.connections.peers().into_iter().filter(is_gone) {
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
                if is_protected(&self.network, &peer_id)
                    && let Some(socket) = socket_of(endpoint.get_remote_address())
                {
                    self.shared.know(socket.ip());
                }
                let network = &self.network;
                let closing =
                    self.connections.opened(connection_id, peer_id, |peer| is_protected(network, peer));
                for connection in closing {
                    self.network.count(|counts| counts.trimmed += 1);
                    self.swarm.close_connection(connection);
                }
            }
            SwarmEvent::ConnectionClosed { connection_id, .. } => {
                self.connections.closed(connection_id);
            }
            SwarmEvent::NewListenAddr { address, .. } => self.listening.extend(socket_of(&address)),
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                socket_of(&address).map(|socket| self.listening.remove(&socket));
            }
            _ => {}
        }
    }
}

fn is_protected(network: &Network, peer: &PeerId) -> bool {
    operator_of(peer).is_some_and(|operator| network.lock().is_protected(&operator.compressed()))
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Driver({})", self.swarm.local_peer_id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_in_a_task_ends_the_driver_with_an_error() {
        let identity = Identity::from_secret([1; 32]).unwrap();
        let (_network, mut driver) =
            Driver::bind(Config::new(identity, SystemTime::UNIX_EPOCH)).await.unwrap();
        driver.tasks.spawn(async { panic!("as a library might") });
        let Err(DriveError::Task(error)) = driver.run(std::future::pending()).await else { panic!() };
        assert!(error.is_panic());
    }

    /// A node on loopback that lets everybody in.
    async fn node(number: u8) -> (Network, Driver, PeerAddress) {
        let identity = Identity::from_secret([number; 32]).unwrap();
        let peer = identity.peer_id();
        let mut config = Config::new(identity, SystemTime::UNIX_EPOCH);
        config.listen = vec!["127.0.0.1:0".parse().unwrap()];
        config.admission = AdmissionRule::Any;
        let (network, driver) = Driver::bind(config).await.unwrap();
        let socket = driver.listening().next().unwrap();
        let address = format!("/ip4/127.0.0.1/tcp/{}/p2p/{peer}", socket.port()).parse().unwrap();
        (network, driver, address)
    }

    #[tokio::test]
    async fn a_peer_that_may_no_longer_take_part_is_cut_off_and_no_other() {
        let (network, mut driver, address) = node(1).await;
        let mut gone = None;
        for number in [2, 3] {
            let (_, other, at) = node(number).await;
            gone = Some(at.operator().address());
            other.dialer().dial(address.clone()).await.unwrap();
            tokio::spawn(other.run(std::future::pending()));
        }
        let (tell, told) = tokio::sync::oneshot::channel::<()>();
        // As the question about stakes answers, an hour later.
        driver.tasks.spawn(async move {
            told.await.map_or(Done::Unresolved, |()| Done::Asked(gone.into_iter().collect()))
        });
        tokio::spawn(driver.run(std::future::pending()));
        network.until(|status| status.peers.len() == 2).await;
        tell.send(()).unwrap();
        network.until(|status| status.counts.refused_peers == 1 && status.peers.len() == 1).await;
        assert_ne!(Some(network.status().peers[0].operator), gone);
    }

    #[tokio::test]
    async fn what_is_announced_stands_for_what_is_listened_on() {
        for announced in [&[][..], &["/dns4/node.example/tcp/3919".parse::<Multiaddr>().unwrap()]] {
            let mut config = Config::new(Identity::from_secret([1; 32]).unwrap(), SystemTime::UNIX_EPOCH);
            config.listen = vec!["127.0.0.1:0".parse().unwrap()];
            config.admission = AdmissionRule::Any;
            config.announced = announced.to_vec();
            let peer = config.identity.peer_id();
            let (_network, driver) = Driver::bind(config).await.unwrap();
            let socket = driver.listening().next().unwrap();
            tokio::spawn(driver.run(std::future::pending()));
            let asking = Config::new(Identity::from_secret([2; 32]).unwrap(), SystemTime::UNIX_EPOCH);
            let (mut swarm, shared, _asking) =
                super::swarm(&Config { admission: AdmissionRule::Any, ..asking }).unwrap();
            shared.configured(&[socket]);
            swarm.dial(DialOpts::peer_id(peer).addresses(vec![multiaddr_of(socket)]).build()).unwrap();
            let told = loop {
                if let SwarmEvent::Behaviour(ProtocolsEvent::Identify(identify::Event::Received {
                    info,
                    ..
                })) = swarm.select_next_some().await
                {
                    break info.listen_addrs;
                }
            };
            let expected = if announced.is_empty() { vec![multiaddr_of(socket)] } else { announced.to_vec() };
            assert_eq!(told, expected);
        }
    }
}
