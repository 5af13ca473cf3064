//! A connection, from its socket to its streams: the security protocol by multistream, TLS, three acts, admission, yamux.

use std::{
    collections::BTreeSet,
    fmt, io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use coxswain_protocol::wire::OperatorKey;
use futures_util::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, FutureExt, TryFutureExt,
    future::{BoxFuture, select},
};
use libp2p_core::{
    Endpoint, Multiaddr, Transport, UpgradeInfo,
    muxing::StreamMuxerBox,
    transport::{DialOpts, ListenerId, TransportError, TransportEvent},
    upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade},
};
use libp2p_identity::PeerId;
use libp2p_tcp as tcp;
use multistream_select::{NegotiationError, Version, dialer_select_proto, listener_select_proto};
use tokio::time::{Instant, timeout_at};

use crate::{
    acts::{Act, ActError, ActProblem, Initiator, MAX_ACT_BYTES, Responder},
    address::{is_global, socket_of},
    admission::{Admission, RefusedError},
    core::Network,
    gate::Gate,
    identity::Identity,
};

/// The only security protocol that is offered and accepted.
pub(crate) const SECURITY: &str = "/keep/handshake/1.0.0";
/// The only muxer.
const MUXER: &str = "/yamux/1.0.0";
/// Streams that a peer can hold open on a connection: each has up to 256 KiB of buffer.
const MAX_STREAMS: usize = 32;
/// Addresses outside the global ones that may be dialled: those of configured peers.
const MAX_DIALABLE: usize = 1024;

/// How far a handshake came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeStep {
    /// Agreeing on the security protocol.
    Security,
    /// TLS.
    Tls,
    /// The three acts.
    Acts,
    /// Deciding whether the peer is admitted.
    Admission,
    /// Agreeing on the muxer.
    Muxer,
}

impl fmt::Display for HandshakeStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Security => "security protocol",
            Self::Tls => "TLS",
            Self::Acts => "acts",
            Self::Admission => "admission",
            Self::Muxer => "muxer",
        })
    }
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The peer does not support the security protocol.
    #[error("no agreement on {SECURITY}")]
    Security(#[source] NegotiationError),
    /// TLS failed.
    #[error("TLS failed")]
    Tls(#[source] libp2p_tls::UpgradeError),
    /// The stream ended before the act that was due.
    #[error("the connection ended where act {} was due", *.0 as u8 + 1)]
    Ended(Act, #[source] io::Error),
    /// An act was refused by us.
    #[error(transparent)]
    Act(#[from] ActError),
    /// Our node does not admit the peer.
    #[error("refused by us")]
    Refused(#[from] RefusedError),
    /// There is no common muxer, or the peer closed the connection before. A refusal shows that way.
    #[error("no agreement on {MUXER}")]
    Muxer(#[source] NegotiationError),
    /// It took too long.
    #[error("it took longer than allowed, at step: {0}")]
    TimedOut(HandshakeStep),
    /// The handshake was given up in favour of others.
    #[error("given up, as too many others came")]
    GivenUp,
}

impl HandshakeError {
    /// The step that failed.
    pub const fn step(&self) -> HandshakeStep {
        match self {
            Self::Security(_) | Self::GivenUp => HandshakeStep::Security,
            Self::Tls(_) => HandshakeStep::Tls,
            Self::Ended(..) | Self::Act(_) => HandshakeStep::Acts,
            Self::Refused(_) => HandshakeStep::Admission,
            Self::Muxer(_) => HandshakeStep::Muxer,
            Self::TimedOut(step) => *step,
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// No TCP connection.
    #[error(transparent)]
    Tcp(#[from] io::Error),
    /// The handshake failed.
    #[error("the handshake failed")]
    Handshake(#[from] HandshakeError),
    /// The address was announced by a peer and is not globally reachable.
    #[error("{0} is not a global address, and not configured")]
    NotGlobal(Multiaddr),
}

/// What all connections of a node share.
pub(crate) struct Shared {
    pub(crate) identity: Arc<Identity>,
    tls: libp2p_tls::Config,
    network: Network,
    pub(crate) admission: Admission,
    gate: Mutex<Gate>,
    dialable: Mutex<BTreeSet<SocketAddr>>,
}

impl Shared {
    pub(crate) fn new(
        identity: Arc<Identity>,
        network: Network,
        admission: Admission,
        gate: Gate,
    ) -> Result<Self, libp2p_tls::certificate::GenError> {
        let tls = libp2p_tls::Config::new(identity.keypair())?;
        Ok(Self { identity, tls, network, admission, gate: Mutex::new(gate), dialable: Mutex::default() })
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a configured peer's addresses: they may be dialled, and those who come from there come first.
    pub(crate) fn configured(&self, sockets: &[SocketAddr]) {
        let mut dialable = self.dialable.lock().unwrap_or_else(PoisonError::into_inner);
        for socket in sockets {
            self.know(socket.ip());
            if dialable.len() < MAX_DIALABLE {
                dialable.insert(*socket);
            }
        }
    }

    /// Notes an address of a known peer.
    pub(crate) fn know(&self, ip: IpAddr) {
        self.gate().know(ip);
    }

    fn may_dial(&self, address: &Multiaddr) -> bool {
        let Some(socket) = socket_of(address) else { return false };
        is_global(socket.ip())
            || self.dialable.lock().unwrap_or_else(PoisonError::into_inner).contains(&socket)
    }

    fn timeout(&self) -> Duration {
        self.gate().bounds().timeout
    }
}

/// A peer that is let in, and its streams.
type Connected = (PeerId, StreamMuxerBox);

/// Runs the whole handshake, from the socket to the muxed streams.
pub(crate) async fn connect<C>(
    socket: C,
    role: Endpoint,
    shared: &Shared,
) -> Result<Connected, HandshakeError>
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let deadline = Instant::now() + shared.timeout();
    let in_time = |step| move |_| HandshakeError::TimedOut(step);
    let security = async {
        match role {
            Endpoint::Dialer => dialer_select_proto(socket, [SECURITY], Version::V1).await,
            Endpoint::Listener => listener_select_proto(socket, [SECURITY]).await,
        }
        .map_err(HandshakeError::Security)
    };
    let (_, socket) = timeout_at(deadline, security).await.map_err(in_time(HandshakeStep::Security))??;

    let tls = async {
        let tls = shared.tls.clone();
        match role {
            Endpoint::Dialer => tls.upgrade_outbound(socket, SECURITY).await,
            Endpoint::Listener => tls.upgrade_inbound(socket, SECURITY).await,
        }
        .map_err(HandshakeError::Tls)
    };
    let (certified, mut stream) = timeout_at(deadline, tls).await.map_err(in_time(HandshakeStep::Tls))??;

    let acts = async {
        match role {
            Endpoint::Dialer => initiate(&mut stream, &shared.identity, &certified, nonce()).await,
            Endpoint::Listener => respond(&mut stream, &shared.identity, &certified, nonce()).await,
        }
    };
    let operator = timeout_at(deadline, acts).await.map_err(in_time(HandshakeStep::Acts))??;

    let admission = shared.admission.admit(&operator);
    timeout_at(deadline, admission).await.map_err(in_time(HandshakeStep::Admission))??;

    let muxer = async {
        let mut yamux = libp2p_yamux::Config::default();
        yamux.set_max_num_streams(MAX_STREAMS);
        let name = yamux.protocol_info().next().unwrap_or(MUXER);
        let ended = |error: io::Error| HandshakeError::Muxer(NegotiationError::ProtocolError(error.into()));
        match role {
            Endpoint::Dialer => {
                let (_, stream) =
                    dialer_select_proto(stream, [MUXER], Version::V1).await.map_err(HandshakeError::Muxer)?;
                yamux.upgrade_outbound(stream, name).await
            }
            Endpoint::Listener => {
                let (_, stream) =
                    listener_select_proto(stream, [MUXER]).await.map_err(HandshakeError::Muxer)?;
                yamux.upgrade_inbound(stream, name).await
            }
        }
        .map_err(ended)
    };
    let muxer = timeout_at(deadline, muxer).await.map_err(in_time(HandshakeStep::Muxer))??;
    Ok((certified, StreamMuxerBox::new(muxer)))
}

fn nonce() -> [u8; 8] {
    let mut nonce = [0; 8];
    getrandom::fill(&mut nonce).expect("the system gives random bytes");
    nonce
}

/// Plays the acts as the side that dialled.
pub(crate) async fn initiate<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    identity: &Identity,
    certified: &PeerId,
    nonce: [u8; 8],
) -> Result<OperatorKey, HandshakeError> {
    let (initiator, act1) = Initiator::start(identity, nonce);
    write(stream, &act1).await.map_err(|error| HandshakeError::Ended(Act::One, error))?;
    let act2 = read(stream, Act::Two).await?;
    let act3 = initiator.finish(certified, &act2)?;
    // On its own, and flushed: Go throws away whatever follows act 3 in the same TLS record.
    write(stream, &act3).await.map_err(|error| HandshakeError::Ended(Act::Three, error))?;
    Ok(crate::identity::operator_of(certified)
        .ok_or(ActError { act: Act::Two, problem: ActProblem::PeerId })?)
}

/// Plays the acts as the side that was dialled.
pub(crate) async fn respond<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    identity: &Identity,
    certified: &PeerId,
    nonce: [u8; 8],
) -> Result<OperatorKey, HandshakeError> {
    let act1 = read(stream, Act::One).await?;
    let (responder, act2) = Responder::answer(identity, nonce, certified, &act1)?;
    write(stream, &act2).await.map_err(|error| HandshakeError::Ended(Act::Two, error))?;
    let act3 = read(stream, Act::Three).await?;
    Ok(responder.finish(&act3)?)
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, frame: &[u8]) -> io::Result<()> {
    stream.write_all(frame).await?;
    stream.flush().await
}

/// Reads an act's envelope and not a byte more: what follows is the muxer's.
async fn read<S: AsyncRead + Unpin>(stream: &mut S, act: Act) -> Result<Vec<u8>, HandshakeError> {
    let too_long = || HandshakeError::Act(ActError { act, problem: ActProblem::TooLong });
    let mut length = 0_usize;
    for shift in (0..).step_by(7) {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.map_err(|error| HandshakeError::Ended(act, error))?;
        let [byte] = byte;
        if shift > 14 {
            return Err(too_long());
        }
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    if length > MAX_ACT_BYTES {
        return Err(too_long());
    }
    let mut envelope = vec![0; length];
    stream.read_exact(&mut envelope).await.map_err(|error| HandshakeError::Ended(act, error))?;
    Ok(envelope)
}

/// The TCP transport with the whole handshake, behind the gate.
pub(crate) struct OperatorTransport {
    tcp: tcp::tokio::Transport,
    shared: Arc<Shared>,
}

impl OperatorTransport {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { tcp: tcp::tokio::Transport::new(tcp::Config::default().nodelay(true)), shared }
    }
}

/// A place at the gate, given back when dropped.
struct Place {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.gate().leave(self.id);
    }
}

impl Transport for OperatorTransport {
    type Output = Connected;
    type Error = LinkError;
    type ListenerUpgrade = BoxFuture<'static, Result<Connected, LinkError>>;
    type Dial = BoxFuture<'static, Result<Connected, LinkError>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<LinkError>> {
        self.tcp.listen_on(id, address).map_err(|error| error.map(LinkError::Tcp))
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.tcp.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<LinkError>> {
        if !self.shared.may_dial(&address) {
            return Err(TransportError::Other(LinkError::NotGlobal(address)));
        }
        let dial = self.tcp.dial(address, options).map_err(|error| error.map(LinkError::Tcp))?;
        let shared = self.shared.clone();
        let timeout = shared.timeout();
        Ok(async move {
            let late = |_| io::Error::from(io::ErrorKind::TimedOut);
            let socket = tokio::time::timeout(timeout, dial).await.map_err(late)??;
            Ok(connect(socket, options.role, &shared).await?)
        }
        .boxed())
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, LinkError>> {
        loop {
            let event = std::task::ready!(Pin::new(&mut self.tcp).poll(cx));
            let TransportEvent::Incoming { listener_id, upgrade, local_addr, send_back_addr } = event else {
                return Poll::Ready(
                    event.map_upgrade(|_| unreachable!("it isn't incoming")).map_err(LinkError::Tcp),
                );
            };
            let shared = self.shared.clone();
            let entry = socket_of(&send_back_addr)
                .and_then(|socket| shared.gate().enter(socket.ip(), Instant::now().into_std()));
            let Some(entry) = entry else {
                shared.network.count(|counts| counts.turned_away += 1);
                continue;
            };
            if entry.evicted {
                shared.network.count(|counts| counts.evicted += 1);
            }
            let place = Place { shared: shared.clone(), id: entry.id };
            let upgrade = async move {
                let _place = place;
                let socket = upgrade.await?;
                let connected = connect(socket, Endpoint::Listener, &shared);
                let given_up = entry.given_up.map(|_| HandshakeError::GivenUp);
                match select(Box::pin(connected), given_up).await {
                    futures_util::future::Either::Left((connected, _)) => Ok(connected?),
                    futures_util::future::Either::Right((given_up, _)) => Err(given_up.into()),
                }
            };
            let counted = {
                let network = self.shared.network.clone();
                upgrade
                    .inspect_err(move |_: &LinkError| network.count(|counts| counts.failed_handshakes += 1))
            };
            return Poll::Ready(TransportEvent::Incoming {
                listener_id,
                upgrade: counted.boxed(),
                local_addr,
                send_back_addr,
            });
        }
    }
}
