//! Direct streams on one connection: what is written and read on each.

use std::{
    convert::Infallible,
    sync::atomic::Ordering,
    task::{Context, Poll},
    time::Duration,
};

use alloy_primitives::Address;
use futures_util::{
    AsyncReadExt, AsyncWriteExt, FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered,
};
use libp2p_core::upgrade::ReadyUpgrade;
use libp2p_swarm::{
    ConnectionHandler, ConnectionHandlerEvent, Stream, StreamProtocol, SubstreamProtocol,
    handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound},
};
use tokio::time::{Instant, timeout_at};

use crate::{
    core::Network,
    direct::{Claimed, Direct, SessionId, lock},
};

/// The protocol of the streams.
const PROTOCOL: StreamProtocol = StreamProtocol::new("/coxswain/signing/1");
/// Streams of a peer that are read, or wait for their session, on a connection. Beyond, a new one is dropped.
const MAX_INBOUND: usize = 8;
/// How long a stream may wait for its session.
const EARLY: Duration = Duration::from_secs(120);

/// The direct streams of one connection.
pub(crate) struct Handler {
    network: Network,
    direct: Direct,
    peer: Address,
    asked: Vec<Claimed>,
    inbound: FuturesUnordered<BoxFuture<'static, Ended>>,
    outbound: FuturesUnordered<BoxFuture<'static, ()>>,
}

/// How reading a stream has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// The other has closed it, or the session is over.
    Closed,
    /// Its session never came, or the peer has no part in it.
    NoSession,
    /// It said more than it may.
    TooMuch,
}

impl Handler {
    pub(super) fn new(network: Network, direct: Direct, peer: Address) -> Self {
        let (inbound, outbound) = (FuturesUnordered::new(), FuturesUnordered::new());
        Self { network, direct, peer, asked: Vec::new(), inbound, outbound }
    }

    fn refused(&self) {
        self.network.count(|counts| counts.direct_refused += 1);
    }
}

/// Writes the session's name, then frames as they come, until the session is over or the stream breaks. A frame is forgotten once it
/// is flushed.
async fn write(mut stream: Stream, claimed: Claimed) {
    let outgoing = &claimed.outgoing;
    if stream.write_all(&outgoing.session).await.is_err() {
        return;
    }
    loop {
        let front = lock(&outgoing.frames).front().cloned();
        if let Some(frame) = front {
            let length = u32::try_from(frame.len()).expect("a session's frames are shorter");
            let written = async {
                stream.write_all(&length.to_be_bytes()).await?;
                stream.write_all(&frame).await?;
                stream.flush().await
            };
            if written.await.is_err() {
                return;
            }
            lock(&outgoing.frames).pop_front();
        } else if outgoing.is_over.load(Ordering::Relaxed) {
            let _ = stream.close().await;
            return;
        } else {
            // Nothing comes on it: to read is to notice its end.
            let mut nothing = [0; 1];
            tokio::select! {
                () = outgoing.more.notified() => {}
                _ = stream.read(&mut nothing) => return,
            }
        }
    }
}

/// Reads the session's name, waits for the session, and hands its frames over until one of the two is done.
async fn read(mut stream: Stream, direct: Direct, from: Address) -> Ended {
    let until = Instant::now() + EARLY;
    let mut id: SessionId = [0; 32];
    if !matches!(timeout_at(until, stream.read_exact(&mut id)).await, Ok(Ok(()))) {
        return Ended::Closed;
    }
    let reading = loop {
        // From here on no change is missed.
        let changed = direct.changed.notified();
        if let Some(reading) = direct.begin_reading(&id, from) {
            break reading;
        }
        if !direct.may_wait(&id, from) || timeout_at(until, changed).await.is_err() {
            return Ended::NoSession;
        }
    };
    loop {
        let mut length = [0; 4];
        tokio::select! {
            () = reading.inbox.closed() => return Ended::Closed,
            read = stream.read_exact(&mut length) => if read.is_err() {
                return Ended::Closed;
            },
        }
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if !reading.admits(length) {
            return Ended::TooMuch;
        }
        let mut frame = vec![0; length];
        tokio::select! {
            () = reading.inbox.closed() => return Ended::Closed,
            read = stream.read_exact(&mut frame) => if read.is_err() {
                return Ended::Closed;
            },
        }
        reading.count(length);
        if reading.inbox.send((from, frame)).await.is_err() {
            return Ended::Closed;
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = ToHandler;
    type ToBehaviour = Infallible;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Claimed;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), ())
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Claimed, Infallible>> {
        if let Some(claimed) = self.asked.pop() {
            let protocol = SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), claimed);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        while let Poll::Ready(Some(ended)) = self.inbound.poll_next_unpin(cx) {
            match ended {
                Ended::Closed => {}
                Ended::NoSession | Ended::TooMuch => self.refused(),
            }
        }
        while let Poll::Ready(Some(())) = self.outbound.poll_next_unpin(cx) {}
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, ToHandler(claimed): ToHandler) {
        self.asked.push(claimed);
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol, (), Claimed>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol: stream, .. }) => {
                if self.inbound.len() >= MAX_INBOUND || !self.network.lock().is_member(self.peer) {
                    return self.refused();
                }
                self.inbound.push(read(stream, self.direct.clone(), self.peer).boxed());
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol: stream, info }) => {
                self.outbound.push(write(stream, info).boxed());
            }
            // What was claimed is given back by being dropped.
            _ => {}
        }
    }
}

/// To a connection: write this.
#[derive(Debug)]
pub(crate) struct ToHandler(pub(super) Claimed);
