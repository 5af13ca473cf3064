//! Says which connection writes what: to each operator the newest one.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use alloy_primitives::Address;
use libp2p_core::{Endpoint, Multiaddr, transport::PortUse};
use libp2p_identity::PeerId;
use libp2p_swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, ToSwarm,
    behaviour::{ConnectionClosed, ConnectionEstablished},
};
use tokio::time::{Instant, Sleep, sleep_until};

use super::handler::{Handler, ToHandler};
use crate::{core::Network, direct::Direct, identity::operator_of};

/// Gives each connection its handler.
pub(crate) struct Behaviour {
    network: Network,
    direct: Direct,
    connections: BTreeMap<Address, (PeerId, Vec<ConnectionId>)>,
    pending: VecDeque<ToSwarm<Infallible, ToHandler>>,
    again: Option<Pin<Box<Sleep>>>,
}

/// A peer id that is no operator's.
#[derive(Debug, thiserror::Error)]
#[error("{0} is no operator's peer id")]
struct NoOperatorError(PeerId);

impl Behaviour {
    pub(crate) fn new(network: Network, direct: Direct) -> Self {
        Self { network, direct, connections: BTreeMap::new(), pending: VecDeque::new(), again: None }
    }

    fn handler(&self, peer: PeerId) -> Result<Handler, ConnectionDenied> {
        let operator = operator_of(&peer).ok_or_else(|| ConnectionDenied::new(NoOperatorError(peer)))?;
        Ok(Handler::new(self.network.clone(), self.direct.clone(), operator.address()))
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
        _: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        self.handler(peer)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        self.handler(peer)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished { peer_id, connection_id, .. }) => {
                if let Some(operator) = operator_of(&peer_id) {
                    let of_peer = self.connections.entry(operator.address());
                    of_peer.or_insert_with(|| (peer_id, Vec::new())).1.push(connection_id);
                    self.direct.waker.wake();
                }
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. }) => {
                if let Some(operator) = operator_of(&peer_id)
                    && let Some((_, connections)) = self.connections.get_mut(&operator.address())
                {
                    connections.retain(|connection| *connection != connection_id);
                    if connections.is_empty() {
                        self.connections.remove(&operator.address());
                    }
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: Infallible) {
        match event {}
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Infallible, ToHandler>> {
        if let Some(next) = self.pending.pop_front() {
            return Poll::Ready(next);
        }
        self.direct.waker.register(cx.waker());
        let connections = &self.connections;
        loop {
            let (ready, later) =
                self.direct.unclaimed(Instant::now(), |operator| connections.contains_key(operator));
            for claimed in ready {
                // What finds no connection is given back by being dropped.
                if let Some((peer_id, of_peer)) = connections.get(&claimed.outgoing.to)
                    && let Some(newest) = of_peer.last()
                {
                    let (peer_id, handler) = (*peer_id, NotifyHandler::One(*newest));
                    self.pending.push_back(ToSwarm::NotifyHandler {
                        peer_id,
                        handler,
                        event: ToHandler(claimed),
                    });
                }
            }
            if let Some(next) = self.pending.pop_front() {
                return Poll::Ready(next);
            }
            self.again = later.map(|later| Box::pin(sleep_until(later)));
            let is_due = self.again.as_mut().is_some_and(|again| again.as_mut().poll(cx).is_ready());
            if !is_due {
                return Poll::Pending;
            }
        }
    }
}
