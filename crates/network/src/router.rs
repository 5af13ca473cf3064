//! Our own floodsub: what is said to whom, what is passed on, and what is handed over. Bytes and times in, bytes out.
//!
//! rust-libp2p's gossipsub goes silent beside Go nodes: it ignores a peer with more than 100 topics, never repeats its hello
//! after one of two connections is lost, and loses what was queued on that one. So, here:
//!
//! - Whenever a peer opens a stream to us, it may have forgotten us: we say hello again.
//! - A peer has one queue, whatever its connections; it is written to the newest of them, and what was not written when that
//!   breaks is written to the next.
//! - A wallet's operators are sent to whether or not we saw that they subscribed; nobody else is.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_primitives::Address;
use coxswain_protocol::{SigningGroup, wire::MAX_MESSAGE_BYTES, wire::OperatorKey};
use futures_util::task::AtomicWaker;
use libp2p_identity::PeerId;

use crate::{
    core::{Heard, Inbox},
    fair_queue::{FairQueue, Limits},
    identity::{Identity, peer_id_of},
    message::{Message, Subscription, fingerprint, frame_of, publication, subscriptions},
    rules::{ChannelRules, ChannelVerdict, Slot, open},
    status::{Counts, PeerStatus},
};

/// Signatures checked a second, for one author over one connection.
const RATE: u32 = 20;
/// Signatures checked at once, for one author over one connection.
const BURST: u32 = 100;
/// Messages that no honest node would send, for which a connection is closed.
const MAX_REJECTS: u32 = 100;
/// How long it takes until such a message is forgotten.
const REJECT_EVERY: Duration = Duration::from_secs(10);
/// Fingerprints kept of an author's counted messages: more than the quotas of two periods.
const SEEN_COUNTED: usize = 256;
/// Fingerprints kept of an author's other messages, so that those who replay them are not paid with our work.
const SEEN_OTHERS: usize = 128;
/// Slots of a period that an author is counted in: a seat each.
const MAX_SLOTS: usize = 256;
/// Different messages of an author and period that are passed on whatever the quota.
const DISTINCT: usize = 2;
/// What waits for a peer.
const SEND_LIMITS: Limits = Limits { items: 256, lane_bytes: 4 << 20, bytes: 16 << 20 };
/// Letters kept of what a peer says that it is.
const MAX_AGENT: usize = 64;
/// Subscriptions that wait to be told. More are told by a hello.
const MAX_ANNOUNCED: usize = 64;

/// A connection to a peer. Newer ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LinkId(u64);

/// A compressed key: an operator, as peer or author.
type Key = [u8; 33];

/// Where a frame waits: own ones are first, others take turns by author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Own,
    Author(Key),
}

/// A frame to be written to a peer.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) bytes: Arc<[u8]>,
    /// None: a hello, or what is said again by one.
    lane: Option<Lane>,
}

/// A member that no message can be sent as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotJoined;

pub(crate) struct Router {
    identity: Arc<Identity>,
    next_seqno: u64,
    next_link: u64,
    topics: BTreeMap<Vec<u8>, Topic>,
    peers: BTreeMap<Key, Peer>,
    links: BTreeMap<LinkId, Key>,
    pub(crate) counts: Counts,
    /// Configured peers and own wallets' operators are never cut off.
    configured: BTreeSet<Key>,
    /// For measurements: no rates before signatures.
    unthrottled: bool,
}

struct Topic {
    operators: BTreeSet<Address>,
    keys: BTreeMap<Key, OperatorKey>,
    rules: Box<dyn ChannelRules>,
    authors: BTreeMap<Key, Author>,
    inbox: Arc<Inbox>,
}

#[derive(Default)]
struct Author {
    counted: Seen,
    others: Seen,
    slots: BTreeMap<Slot, usize>,
    /// By period: what each different message does, and the first frame that it came in.
    distinct: BTreeMap<u64, Vec<Distinct>>,
}

struct Distinct {
    id: [u8; 32],
    envelope: Arc<[u8]>,
    frame: Arc<[u8]>,
}

/// Fingerprints, the oldest of which are forgotten.
#[derive(Default)]
struct Seen {
    set: BTreeSet<[u8; 32]>,
    order: VecDeque<[u8; 32]>,
}

impl Seen {
    fn insert(&mut self, fingerprint: [u8; 32], most: usize) {
        if self.set.insert(fingerprint) {
            self.order.push_back(fingerprint);
        }
        if self.order.len() > most
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
    }
}

struct Peer {
    operator: OperatorKey,
    id: PeerId,
    links: BTreeMap<LinkId, Link>,
    queue: FairQueue<Lane, Arc<[u8]>>,
    hello_due: bool,
    announced: VecDeque<(bool, Vec<u8>)>,
    subscribed: BTreeSet<Vec<u8>>,
    linked_since: Option<Instant>,
    rejected: u64,
    agent: Option<String>,
}

struct Link {
    address: Option<SocketAddr>,
    waker: Arc<AtomicWaker>,
    /// The peer's streams to us on this connection.
    streams: usize,
    hello_heard: bool,
    buckets: BTreeMap<Key, Bucket>,
    rejects: Bucket,
    banished: bool,
}

/// Tokens that come back with time.
struct Bucket {
    tokens: u32,
    since: Instant,
}

impl Bucket {
    const fn full(tokens: u32, now: Instant) -> Self {
        Self { tokens, since: now }
    }

    fn take(&mut self, most: u32, every: Duration, now: Instant) -> bool {
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

impl Router {
    /// A router of no channels. `seqno` is the number of its first message: the clock in nanoseconds.
    pub(crate) fn new(identity: Arc<Identity>, seqno: u64, configured: BTreeSet<Key>) -> Self {
        Self {
            identity,
            next_seqno: seqno,
            next_link: 0,
            topics: BTreeMap::new(),
            peers: BTreeMap::new(),
            links: BTreeMap::new(),
            counts: Counts::default(),
            configured,
            unthrottled: false,
        }
    }

    /// Lifts the rates before signatures, for measurements.
    pub(crate) const fn lift_rates(&mut self) {
        self.unthrottled = true;
    }

    // Channels.

    /// Joins a topic. One that is joined already is joined anew.
    pub(crate) fn join(
        &mut self,
        topic: Vec<u8>,
        group: &SigningGroup,
        rules: Box<dyn ChannelRules>,
        inbox: Arc<Inbox>,
    ) {
        for peer in self.peers.values_mut() {
            peer.announce(true, &topic);
        }
        let operators = group.operators().iter().copied().collect();
        let joined = Topic { operators, keys: BTreeMap::new(), rules, authors: BTreeMap::new(), inbox };
        if let Some(before) = self.topics.insert(topic, joined) {
            before.inbox.close();
        }
    }

    /// Leaves a topic, if it is still this reader's.
    pub(crate) fn leave(&mut self, topic: &[u8], inbox: &Arc<Inbox>) {
        if self.topics.get(topic).is_none_or(|joined| !Arc::ptr_eq(&joined.inbox, inbox)) {
            return;
        }
        self.topics.remove(topic);
        for peer in self.peers.values_mut() {
            peer.subscribed.remove(topic);
            peer.announce(false, topic);
        }
    }

    /// Signs a message of our own, and sends it to all of the wallet's operators.
    pub(crate) fn publish(&mut self, topic: &[u8], envelope: &[u8]) -> Result<(), NotJoined> {
        let seqno = self.next_seqno;
        let joined = self.topics.get_mut(topic).ok_or(NotJoined)?;
        self.next_seqno = seqno.wrapping_add(1);
        let bytes = Message::sign(&self.identity, seqno, topic, envelope);
        let message = Message::decode(&bytes).expect("it was just written");
        let frame = frame_of(&publication(&bytes));
        let operator = *self.identity.operator();
        let author = joined.authors.entry(operator.compressed()).or_default();
        author.counted.insert(fingerprint(&message.signed_bytes()), SEEN_COUNTED);
        if let ChannelVerdict::Accept { slot, distinct: Some(id) } = joined.rules.assess(&operator, envelope)
        {
            author.is_new(slot.period, id, envelope, &frame);
        }
        self.counts.published += 1;
        let operators = &joined.operators;
        for peer in self.peers.values_mut().filter(|peer| operators.contains(&peer.operator.address())) {
            self.counts.dropped_sending += peer.enqueue(Lane::Own, frame.clone());
        }
        Ok(())
    }

    /// Offers the first of each author's first two different messages again, to all of the wallet's operators.
    pub(crate) fn offer_again(&mut self, topic: &[u8]) {
        let peers: Vec<_> = self.peers.keys().copied().collect();
        for peer in peers {
            self.offer(Some(topic), peer);
        }
    }

    fn offer(&mut self, only: Option<&[u8]>, to: Key) {
        let own = self.identity.operator().compressed();
        let Some(peer) = self.peers.get_mut(&to) else { return };
        for (topic, joined) in &mut self.topics {
            let addressed = only.is_none_or(|only| only == topic.as_slice());
            if !addressed || !joined.operators.contains(&peer.operator.address()) {
                continue;
            }
            for (author, said) in &joined.authors {
                if *author == to {
                    continue;
                }
                let (lane, key) = if *author == own {
                    (Lane::Own, Some(self.identity.operator()))
                } else {
                    (Lane::Author(*author), joined.keys.get(author))
                };
                let Some(key) = key else { continue };
                for distinct in said.distinct.values().flatten() {
                    if matches!(joined.rules.assess(key, &distinct.envelope), ChannelVerdict::Accept { .. }) {
                        self.counts.dropped_sending += peer.enqueue(lane, distinct.frame.clone());
                    }
                }
            }
        }
    }

    // Connections.

    /// A connection has come up. It is written to from now on.
    pub(crate) fn link_up(
        &mut self,
        operator: OperatorKey,
        address: Option<SocketAddr>,
        now: Instant,
    ) -> (LinkId, Arc<AtomicWaker>) {
        let id = LinkId(self.next_link);
        self.next_link += 1;
        let key = operator.compressed();
        let waker = Arc::new(AtomicWaker::new());
        let link = Link {
            address,
            waker: waker.clone(),
            streams: 0,
            hello_heard: false,
            buckets: BTreeMap::new(),
            rejects: Bucket::full(MAX_REJECTS, now),
            banished: false,
        };
        let peer = self.peers.entry(key).or_insert_with(|| Peer {
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
        });
        peer.links.insert(id, link);
        // The one that was written to so far is to stop.
        peer.wake();
        self.links.insert(id, key);
        (id, waker)
    }

    /// A connection has gone.
    pub(crate) fn link_down(&mut self, link: LinkId, now: Instant) {
        let Some(key) = self.links.remove(&link) else { return };
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.links.remove(&link);
        if peer.links.is_empty() {
            self.peers.remove(&key);
        } else {
            peer.relink(now);
            peer.wake();
        }
    }

    fn peer(&mut self, link: LinkId) -> Option<(&Key, &mut Peer)> {
        let key = self.links.get(&link)?;
        Some((key, self.peers.get_mut(key)?))
    }

    /// The peer has opened a stream to us. It may have forgotten what we said.
    pub(crate) fn stream_opened(&mut self, link: LinkId, now: Instant) {
        let Some((_, peer)) = self.peer(link) else { return };
        peer.hello_due = true;
        if let Some(link) = peer.links.get_mut(&link) {
            link.streams += 1;
        }
        peer.relink(now);
        peer.wake();
    }

    /// The peer's stream to us has ended.
    pub(crate) fn stream_closed(&mut self, link: LinkId, now: Instant) {
        let Some((_, peer)) = self.peer(link) else { return };
        if let Some(link) = peer.links.get_mut(&link) {
            link.streams = link.streams.saturating_sub(1);
            link.hello_heard &= link.streams > 0;
        }
        peer.relink(now);
    }

    /// Whether this is the connection that the peer is written to.
    pub(crate) fn writes(&self, link: LinkId) -> bool {
        let peer = self.links.get(&link).and_then(|key| self.peers.get(key));
        peer.is_some_and(|peer| peer.links.last_key_value().is_some_and(|(newest, _)| *newest == link))
    }

    /// Our stream to the peer is open: it begins with our hello, and what the peer may have missed follows.
    pub(crate) fn writing(&mut self, link: LinkId) {
        let Some((key, peer)) = self.peer(link) else { return };
        let key = *key;
        peer.hello_due = true;
        self.offer(None, key);
    }

    /// What is to be written next over this connection.
    pub(crate) fn next_frame(&mut self, link: LinkId) -> Option<Outgoing> {
        if !self.writes(link) {
            return None;
        }
        let topics = &self.topics;
        let key = self.links.get(&link)?;
        let peer = self.peers.get_mut(key)?;
        let outgoing = if peer.hello_due {
            peer.hello_due = false;
            peer.announced.clear();
            let hello = subscriptions(topics.keys().map(|topic| (true, topic.as_slice())));
            Outgoing { bytes: frame_of(&hello), lane: None }
        } else if let Some((subscribe, topic)) = peer.announced.pop_front() {
            Outgoing { bytes: frame_of(&subscriptions([(subscribe, topic.as_slice())])), lane: None }
        } else {
            let (lane, bytes, _) = peer.queue.pop_lane(Lane::Own).or_else(|| peer.queue.pop())?;
            Outgoing { bytes, lane: Some(lane) }
        };
        self.counts.frames_sent += 1;
        Some(outgoing)
    }

    /// Frames that were not written to their end, in the order in which they were taken.
    pub(crate) fn unwritten(&mut self, link: LinkId, frames: impl DoubleEndedIterator<Item = Outgoing>) {
        let Some((_, peer)) = self.peer(link) else { return };
        peer.hello_due = true;
        for Outgoing { bytes, lane } in frames.rev() {
            if let Some(lane) = lane {
                let size = bytes.len();
                peer.queue.put_back(lane, bytes, size);
            }
        }
        peer.wake();
    }

    // What comes.

    /// A frame's subscriptions. Its first frame is a peer's hello.
    pub(crate) fn subscribed(&mut self, link: LinkId, changes: &[Subscription<'_>], now: Instant) {
        let topics = &self.topics;
        let Some(key) = self.links.get(&link) else { return };
        let Some(peer) = self.peers.get_mut(key) else { return };
        for change in changes {
            if !topics.contains_key(change.topic) {
                continue;
            }
            if change.subscribe {
                peer.subscribed.insert(change.topic.to_vec());
            } else {
                peer.subscribed.remove(change.topic);
            }
        }
        if let Some(link) = peer.links.get_mut(&link) {
            link.hello_heard = true;
        }
        peer.relink(now);
    }

    /// The author that a message claims, if that is one of the operators of a topic that we have joined.
    pub(crate) fn claimed(&mut self, message: &Message<'_>) -> Option<OperatorKey> {
        let Some(topic) = self.topics.get_mut(message.topic()) else {
            self.counts.foreign_topic += 1;
            return None;
        };
        let author = message.author().and_then(|key| topic.member(key));
        if author.is_none() {
            self.counts.not_a_member += 1;
        }
        author
    }

    /// Whether a message's signature is to be checked: it has not been seen, and the connection is within its rate for the
    /// author. Each author is counted apart, so that a flood drowns nobody else that comes over the same connection.
    pub(crate) fn is_due(
        &mut self,
        link: LinkId,
        author: &OperatorKey,
        message: &Message<'_>,
        fingerprint: &[u8; 32],
        now: Instant,
    ) -> bool {
        let key = author.compressed();
        let topic = self.topics.get(message.topic());
        if topic.and_then(|topic| topic.authors.get(&key)).is_some_and(|said| said.has_seen(fingerprint)) {
            self.counts.seen += 1;
            return false;
        }
        let peer = self.links.get(&link).and_then(|key| self.peers.get_mut(key));
        let Some(link) = peer.and_then(|peer| peer.links.get_mut(&link)) else { return false };
        let bucket = link.buckets.entry(key).or_insert_with(|| Bucket::full(BURST, now));
        if !bucket.take(BURST, Duration::from_secs(1) / RATE, now) && !self.unthrottled {
            self.counts.throttled += 1;
            return false;
        }
        true
    }

    /// A message's signature doesn't hold, or its key is another's. No honest node would have passed it on.
    pub(crate) fn forged(&mut self, link: LinkId, now: Instant) {
        self.counts.bad_signature += 1;
        self.reject(link, None, now);
    }

    /// A message whose signature holds: passed on, and handed over, or not.
    pub(crate) fn verified(
        &mut self,
        link: LinkId,
        author: &OperatorKey,
        message: &Message<'_>,
        fingerprint: [u8; 32],
        now: Instant,
    ) {
        let Some(topic) = self.topics.get_mut(message.topic()) else { return };
        let said = topic.authors.entry(author.compressed()).or_default();
        if said.has_seen(&fingerprint) {
            self.counts.seen += 1;
            return;
        }
        let envelope = message.data();
        let opened = open(author, envelope);
        let assessment = opened.map_or(ChannelVerdict::Reject, |_| topic.rules.assess(author, envelope));
        let (slot, distinct) = match assessment {
            ChannelVerdict::Accept { slot, distinct } => (slot, distinct),
            ChannelVerdict::Ignore => {
                said.others.insert(fingerprint, SEEN_OTHERS);
                self.counts.ignored += 1;
                return;
            }
            ChannelVerdict::Reject => {
                said.others.insert(fingerprint, SEEN_OTHERS);
                let counts = &mut self.counts;
                *if opened.is_err() { &mut counts.bad_envelope } else { &mut counts.rejected } += 1;
                self.reject(link, Some(author.compressed()), now);
                return;
            }
        };
        let signed = message.encode();
        let frame = frame_of(&publication(&signed));
        let within = said.charge(slot, topic.rules.quota());
        let is_new = distinct.is_some_and(|id| said.is_new(slot.period, id, envelope, &frame));
        if !within && !is_new {
            said.others.insert(fingerprint, SEEN_OTHERS);
            self.counts.over_quota += 1;
            return;
        }
        said.counted.insert(fingerprint, SEEN_COUNTED);
        self.counts.delivered += 1;
        let heard = Heard { author: *author, envelope: envelope.into(), signed };
        self.counts.dropped_delivering += topic.inbox.push(heard);
        if envelope.len() > MAX_MESSAGE_BYTES {
            self.counts.oversize += 1;
            return;
        }
        let sender = self.links.get(&link).copied();
        let mut passed_on = false;
        for (key, peer) in &mut self.peers {
            if Some(*key) == sender
                || *key == author.compressed()
                || !topic.operators.contains(&peer.operator.address())
            {
                continue;
            }
            passed_on = true;
            self.counts.dropped_sending += peer.enqueue(Lane::Author(author.compressed()), frame.clone());
        }
        self.counts.relayed += u64::from(passed_on);
    }

    /// Counts what no honest node would have sent: by anybody, or, if an author is named, by that author. Beyond a bound, a
    /// stranger's connection is closed.
    fn reject(&mut self, link: LinkId, by: Option<Key>, now: Instant) {
        let Some(key) = self.links.get(&link).copied() else { return };
        if by.is_some_and(|by| by != key) {
            return;
        }
        let protected = self.is_protected(&key);
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.rejected += 1;
        let Some(open) = peer.links.get_mut(&link) else { return };
        if !open.rejects.take(MAX_REJECTS, REJECT_EVERY, now) && !protected {
            self.counts.banished += u64::from(!open.banished);
            open.banished = true;
        }
    }

    /// Whether a connection is to be closed for what came over it.
    pub(crate) fn is_banished(&self, link: LinkId) -> bool {
        let peer = self.links.get(&link).and_then(|key| self.peers.get(key));
        peer.and_then(|peer| peer.links.get(&link)).is_some_and(|link| link.banished)
    }

    /// What a peer says that it is, cut and without control characters.
    pub(crate) fn identified(&mut self, operator: &OperatorKey, agent: &str) {
        if let Some(peer) = self.peers.get_mut(&operator.compressed()) {
            let shown = agent.chars().filter(|letter| !letter.is_control()).take(MAX_AGENT);
            peer.agent = Some(shown.collect());
        }
    }

    /// Our own key.
    pub(crate) fn operator(&self) -> &OperatorKey {
        self.identity.operator()
    }

    // What is shown.

    /// Whether a peer is configured, or one of our own wallets' operators: never cut off.
    pub(crate) fn is_protected(&self, key: &Key) -> bool {
        self.configured.contains(key)
            || self.peers.get(key).is_some_and(|peer| self.is_member(peer.operator.address()))
    }

    /// Whether an operator holds a seat of a wallet that we take part in.
    pub(crate) fn is_member(&self, operator: Address) -> bool {
        self.topics.values().any(|topic| topic.operators.contains(&operator))
    }

    /// Since when an operator has been linked without a break: its hello has come, and its stream to us is open.
    pub(crate) fn linked_since(&self, operator: Address) -> Option<Instant> {
        let mut peers = self.peers.values();
        peers.find(|peer| peer.operator.address() == operator).and_then(|peer| peer.linked_since)
    }

    pub(crate) fn peers(&self) -> Vec<PeerStatus> {
        let status = |peer: &Peer| PeerStatus {
            operator: peer.operator.address(),
            peer: peer.id,
            connections: peer.links.values().map(|link| link.address).collect(),
            linked_since: peer.linked_since,
            shared_channels: peer.subscribed.len(),
            rejected: peer.rejected,
            agent: peer.agent.clone(),
        };
        self.peers.values().map(status).collect()
    }
}

impl Topic {
    /// The key of one of the wallet's operators. Only those are kept.
    fn member(&mut self, key: Key) -> Option<OperatorKey> {
        if let Some(operator) = self.keys.get(&key) {
            return Some(*operator);
        }
        let operator = OperatorKey::from_compressed(key).ok()?;
        if !self.operators.contains(&operator.address()) {
            return None;
        }
        self.keys.insert(key, operator);
        Some(operator)
    }
}

impl Author {
    fn has_seen(&self, fingerprint: &[u8; 32]) -> bool {
        self.counted.set.contains(fingerprint) || self.others.set.contains(fingerprint)
    }

    /// Counts a message; false if its slot is full. What is before the last two periods is forgotten.
    fn charge(&mut self, slot: Slot, quota: usize) -> bool {
        let mut periods: Vec<_> = self.slots.keys().map(|slot| slot.period).chain([slot.period]).collect();
        periods.dedup();
        periods.sort_unstable();
        periods.dedup();
        if let Some(oldest) = periods.len().checked_sub(2).and_then(|at| periods.get(at)) {
            self.slots.retain(|slot, _| slot.period >= *oldest);
            self.distinct.retain(|period, _| period >= oldest);
        }
        if self.slots.len() >= MAX_SLOTS && !self.slots.contains_key(&slot) {
            return false;
        }
        let count = self.slots.entry(slot).or_default();
        if *count >= quota {
            return false;
        }
        *count += 1;
        true
    }

    /// Whether this is the first message of one of the author's first two different ones in the period. It is kept then.
    fn is_new(&mut self, period: u64, id: [u8; 32], envelope: &[u8], frame: &Arc<[u8]>) -> bool {
        if envelope.len() > MAX_MESSAGE_BYTES {
            return false;
        }
        if self.distinct.len() >= DISTINCT && !self.distinct.contains_key(&period) {
            let oldest = self.distinct.pop_first();
            if oldest.is_some_and(|(oldest, _)| oldest > period) {
                return false;
            }
        }
        let known = self.distinct.entry(period).or_default();
        if known.len() >= DISTINCT || known.iter().any(|distinct| distinct.id == id) {
            return false;
        }
        known.push(Distinct { id, envelope: envelope.into(), frame: frame.clone() });
        true
    }
}

impl Peer {
    fn wake(&self) {
        for link in self.links.values() {
            link.waker.wake();
        }
    }

    fn enqueue(&mut self, lane: Lane, frame: Arc<[u8]>) -> u64 {
        let size = frame.len();
        let dropped = self.queue.push(lane, frame, size) as u64;
        self.wake();
        dropped
    }

    fn announce(&mut self, subscribe: bool, topic: &[u8]) {
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
    fn relink(&mut self, now: Instant) {
        let linked = self.links.values().any(|link| link.hello_heard && link.streams > 0);
        self.linked_since = if linked { self.linked_since.or(Some(now)) } else { None };
    }
}
