//! A peer, its connections, and what waits to be written to it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use coxswain_protocol::wire::OperatorKey;
use futures_util::task::AtomicWaker;
use libp2p_identity::PeerId;

use crate::{
    fair_queue::{FairQueue, Limits},
    identity::peer_id_of,
    status::PeerStatus,
};

/// What waits for a peer.
const SEND_LIMITS: Limits = Limits { items: 256, lane_bytes: 4 << 20, bytes: 16 << 20 };
/// Subscriptions that wait to be told. More are told by a hello.
const MAX_ANNOUNCED: usize = 64;

/// Messages that no honest node would send, for which a connection is closed.
pub(super) const MAX_REJECTS: u32 = 100;

/// A compressed key: an operator, as peer or author.
pub(super) type Key = [u8; 33];

/// A connection to a peer. Newer ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LinkId(u64);

impl LinkId {
    pub(super) const fn new(number: u64) -> Self {
        Self(number)
    }
}

/// Where a frame waits: own ones are first, others take turns by author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    Own,
    Author(Key),
}

/// A frame to be written to a peer.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) bytes: Arc<[u8]>,
    /// None: a hello, or what is said again by one.
    pub(super) lane: Option<Lane>,
}

/// A connected peer. It has one queue, whatever its connections.
pub(super) struct Peer {
    pub(super) operator: OperatorKey,
    id: PeerId,
    pub(super) links: BTreeMap<LinkId, Link>,
    pub(super) queue: FairQueue<Lane, Arc<[u8]>>,
    pub(super) hello_due: bool,
    pub(super) announced: VecDeque<(bool, Vec<u8>)>,
    pub(super) subscribed: BTreeSet<Vec<u8>>,
    pub(super) linked_since: Option<Instant>,
    pub(super) rejected: u64,
    pub(super) agent: Option<String>,
}

/// A connection.
pub(super) struct Link {
    address: Option<SocketAddr>,
    waker: Arc<AtomicWaker>,
    /// The peer's streams to us on this connection.
    pub(super) streams: usize,
    pub(super) hello_heard: bool,
    pub(super) buckets: BTreeMap<Key, Bucket>,
    pub(super) rejects: Bucket,
    pub(super) banished: bool,
}

/// Tokens that come back with time.
pub(super) struct Bucket {
    tokens: u32,
    since: Instant,
}

impl Bucket {
    pub(super) const fn full(tokens: u32, now: Instant) -> Self {
        Self { tokens, since: now }
    }

    pub(super) fn take(&mut self, most: u32, every: Duration, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.since);
        let back = u32::try_from(elapsed.as_nanos() / every.as_nanos().max(1)).unwrap_or(u32::MAX);
        if back > 0 {
            self.tokens = self.tokens.saturating_add(back).min(most);
            self.since = if self.tokens == most { now } else { self.since + every * back };
        }
        if self.tokens == 0 {
            return false;
        }
        self.tokens -= 1;
        true
    }
}

impl Link {
    pub(super) const fn new(address: Option<SocketAddr>, waker: Arc<AtomicWaker>, now: Instant) -> Self {
        Self {
            address,
            waker,
            streams: 0,
            hello_heard: false,
            buckets: BTreeMap::new(),
            rejects: Bucket::full(MAX_REJECTS, now),
            banished: false,
        }
    }
}

impl Peer {
    pub(super) fn new(operator: OperatorKey) -> Self {
        Self {
            operator,
            id: peer_id_of(&operator),
            links: BTreeMap::new(),
            queue: FairQueue::new(SEND_LIMITS),
            hello_due: true,
            announced: VecDeque::new(),
            subscribed: BTreeSet::new(),
            linked_since: None,
            rejected: 0,
            agent: None,
        }
    }

    pub(super) fn status(&self) -> PeerStatus {
        PeerStatus {
            operator: self.operator.address(),
            peer: self.id,
            connections: self.links.values().map(|link| link.address).collect(),
            linked_since: self.linked_since,
            shared_channels: self.subscribed.len(),
            rejected: self.rejected,
            agent: self.agent.clone(),
        }
    }

    pub(super) fn wake(&self) {
        for link in self.links.values() {
            link.waker.wake();
        }
    }

    pub(super) fn enqueue(&mut self, lane: Lane, frame: Arc<[u8]>) -> u64 {
        let size = frame.len();
        let dropped = self.queue.push(lane, frame, size) as u64;
        self.wake();
        dropped
    }

    pub(super) fn announce(&mut self, subscribe: bool, topic: &[u8]) {
        if !self.hello_due {
            self.announced.push_back((subscribe, topic.to_vec()));
            if self.announced.len() > MAX_ANNOUNCED && subscribe {
                self.announced.clear();
                self.hello_due = true;
            }
        }
        self.wake();
    }

    /// Notes whether the peer is linked, after something has changed.
    pub(super) fn relink(&mut self, now: Instant) {
        let linked = self.links.values().any(|link| link.hello_heard && link.streams > 0);
        self.linked_since = if linked { self.linked_since.or(Some(now)) } else { None };
    }
}
