//! Pubsub's streams on libp2p connections: one of ours, to write; those of the peer, to read.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use coxswain_protocol::wire::OperatorKey;
use futures_util::{AsyncRead, AsyncWrite, task::AtomicWaker};
use libp2p_core::{Endpoint, Multiaddr, transport::PortUse, upgrade::ReadyUpgrade};
use libp2p_identity::PeerId;
use libp2p_swarm::{
    CloseConnection, ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
    NetworkBehaviour, Stream, StreamProtocol, SubstreamProtocol, ToSwarm,
    handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound},
};
use tokio::time::{Instant, Sleep, sleep};

use crate::{
    address::socket_of,
    core::Network,
    frame::FrameReader,
    router::{LinkId, Outgoing},
};

/// The protocol of the streams.
const FLOODSUB: StreamProtocol = StreamProtocol::new("/floodsub/1.0.0");
/// Streams of a peer that are read on a connection. Beyond, the oldest is dropped.
const MAX_INBOUND: usize = 4;
/// Bytes read at once.
const READ: usize = 16 << 10;
/// Reads until others have their turn.
const READS: usize = 16;
/// Bytes gathered to be written at once.
const BATCH: usize = 64 << 10;
/// The pause before a broken stream is opened again, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A stream that has lived so long was good.
const GOOD_AFTER: Duration = Duration::from_secs(60);

/// The streams of one connection.
pub(crate) struct Handler {
    network: Network,
    link: LinkId,
    waker: Arc<AtomicWaker>,
    inbound: VecDeque<Inbound>,
    outbound: Outbound,
    failures: u32,
    banished: bool,
    buffer: Vec<u8>,
}

struct Inbound {
    stream: Stream,
    reader: FrameReader,
}

enum Outbound {
    /// Not wanted, or about to be asked for.
    Closed,
    /// Broken, and to be asked for again later.
    Pausing(Pin<Box<Sleep>>),
    /// Being negotiated.
    Asked,
    Open(Box<Writer>),
}

struct Writer {
    stream: Stream,
    since: Instant,
    batch: Vec<u8>,
    written: usize,
    /// What is in the batch.
    frames: Vec<Outgoing>,
}

/// What became of our stream.
enum Wrote {
    /// It waits, for the peer or for something to write.
    Pending,
    /// Another connection is written to now, and all is flushed.
    Retired,
    Broken,
}

/// To the behaviour: this connection is to be closed, for what came over it.
#[derive(Debug)]
pub(crate) struct Banished;

impl Handler {
    fn new(network: Network, operator: OperatorKey, address: &Multiaddr) -> Self {
        let (link, waker) = network.lock().link_up(operator, socket_of(address), Instant::now().into_std());
        Self {
            network,
            link,
            waker,
            inbound: VecDeque::new(),
            outbound: Outbound::Closed,
            failures: 0,
            banished: false,
            buffer: vec![0; READ],
        }
    }

    /// Our stream is broken, or can't be had: it is asked for again after a pause.
    fn broken(&mut self) {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(6)).min(LONGEST_PAUSE);
        self.failures += 1;
        let before = std::mem::replace(&mut self.outbound, Outbound::Pausing(Box::pin(sleep(pause))));
        if let Outbound::Open(writer) = before {
            if writer.since.elapsed() >= GOOD_AFTER {
                self.failures = 0;
            }
            self.network.lock().unwritten(self.link, writer.frames.into_iter());
        }
    }

    /// Reads the peer's streams; true if there is more to read at once.
    fn read(&mut self, cx: &mut Context<'_>) -> bool {
        let mut more = false;
        let mut index = 0;
        while let Some(inbound) = self.inbound.get_mut(index) {
            let mut ended = false;
            let mut reads = 0;
            while reads < READS && !ended {
                match Pin::new(&mut inbound.stream).poll_read(cx, &mut self.buffer) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(0) | Err(_)) => ended = true,
                    Poll::Ready(Ok(length)) => {
                        reads += 1;
                        let mut bytes = self.buffer.get(..length).unwrap_or_default();
                        while !ended {
                            match inbound.reader.take(&mut bytes) {
                                Ok(Some(frame)) => {
                                    let now = Instant::now().into_std();
                                    self.banished |= self.network.frame(self.link, &frame, now);
                                }
                                Ok(None) => break,
                                Err(_) => ended = true,
                            }
                        }
                    }
                }
            }
            more |= reads == READS;
            if ended {
                self.inbound.remove(index);
                self.network.lock().stream_closed(self.link, Instant::now().into_std());
            } else {
                index += 1;
            }
        }
        more
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        let before = std::mem::replace(&mut self.outbound, Outbound::Closed);
        let mut router = self.network.lock();
        if let Outbound::Open(writer) = before {
            router.unwritten(self.link, writer.frames.into_iter());
        }
        router.link_down(self.link, Instant::now().into_std());
    }
}

impl Writer {
    fn poll(&mut self, network: &Network, link: LinkId, cx: &mut Context<'_>) -> Wrote {
        // Nothing is ever said on it by the other side: to read it is to notice its end.
        let mut ignored = [0; 64];
        loop {
            match Pin::new(&mut self.stream).poll_read(cx, &mut ignored) {
                Poll::Pending => break,
                Poll::Ready(Ok(0) | Err(_)) => return Wrote::Broken,
                Poll::Ready(Ok(_)) => {}
            }
        }
        loop {
            if self.batch.is_empty() {
                let mut router = network.lock();
                if !router.writes(link) {
                    return Wrote::Retired;
                }
                while self.batch.len() < BATCH {
                    let Some(frame) = router.next_frame(link) else { break };
                    self.batch.extend_from_slice(&frame.bytes);
                    self.frames.push(frame);
                }
                if self.batch.is_empty() {
                    return Wrote::Pending;
                }
            }
            while let Some(rest @ [_, ..]) = self.batch.get(self.written..) {
                match Pin::new(&mut self.stream).poll_write(cx, rest) {
                    Poll::Pending => return Wrote::Pending,
                    Poll::Ready(Ok(0) | Err(_)) => return Wrote::Broken,
                    Poll::Ready(Ok(written)) => self.written += written,
                }
            }
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Pending => return Wrote::Pending,
                Poll::Ready(Err(_)) => return Wrote::Broken,
                Poll::Ready(Ok(())) => {}
            }
            self.batch.clear();
            self.frames.clear();
            self.written = 0;
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Banished;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(FLOODSUB), ())
    }

    fn connection_keep_alive(&self) -> bool {
        true
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Banished>> {
        self.waker.register(cx.waker());
        if self.read(cx) {
            cx.waker().wake_by_ref();
        }
        if std::mem::take(&mut self.banished) {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(Banished));
        }
        loop {
            match &mut self.outbound {
                Outbound::Closed => {
                    if !self.network.lock().writes(self.link) {
                        return Poll::Pending;
                    }
                    self.outbound = Outbound::Asked;
                    let protocol = SubstreamProtocol::new(ReadyUpgrade::new(FLOODSUB), ());
                    return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
                }
                Outbound::Pausing(pause) => {
                    std::task::ready!(pause.as_mut().poll(cx));
                    self.outbound = Outbound::Closed;
                }
                Outbound::Asked => return Poll::Pending,
                Outbound::Open(writer) => match writer.poll(&self.network, self.link, cx) {
                    Wrote::Pending => return Poll::Pending,
                    Wrote::Retired => self.outbound = Outbound::Closed,
                    Wrote::Broken => self.broken(),
                },
            }
        }
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol: stream, .. }) => {
                let now = Instant::now().into_std();
                if self.inbound.len() == MAX_INBOUND {
                    self.inbound.pop_front();
                    self.network.lock().stream_closed(self.link, now);
                }
                self.inbound.push_back(Inbound { stream, reader: FrameReader::default() });
                self.network.lock().stream_opened(self.link, now);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: stream, ..
            }) => {
                self.network.lock().writing(self.link);
                self.outbound = Outbound::Open(Box::new(Writer {
                    stream,
                    since: Instant::now(),
                    batch: Vec::new(),
                    written: 0,
                    frames: Vec::new(),
                }));
            }
            ConnectionEvent::DialUpgradeError(_) => self.broken(),
            _ => {}
        }
    }
}

/// Gives each connection its handler.
pub(crate) struct Behaviour {
    network: Network,
    banished: VecDeque<(PeerId, ConnectionId)>,
}

/// A peer id that is no operator's.
#[derive(Debug, thiserror::Error)]
#[error("{0} is no operator's peer id")]
struct NoOperatorError(PeerId);

impl Behaviour {
    pub(crate) const fn new(network: Network) -> Self {
        Self { network, banished: VecDeque::new() }
    }

    fn handler(&self, peer: PeerId, address: &Multiaddr) -> Result<Handler, ConnectionDenied> {
        let operator = crate::identity::operator_of(&peer)
            .ok_or_else(|| ConnectionDenied::new(NoOperatorError(peer)))?;
        Ok(Handler::new(self.network.clone(), operator, address))
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        address: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        self.handler(peer, address)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        self.handler(peer, address)
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, _: Banished) {
        self.banished.push_back((peer, connection));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, Infallible>> {
        match self.banished.pop_front() {
            Some((peer_id, connection)) => Poll::Ready(ToSwarm::CloseConnection {
                peer_id,
                connection: CloseConnection::One(connection),
            }),
            None => Poll::Pending,
        }
    }
}
