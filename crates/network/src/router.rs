//! Our own floodsub router. It decides which peer each message is sent to, which messages are relayed, and which are delivered to
//! the channel. It is pure: it takes bytes and times, and returns bytes.
//!
//! rust-libp2p's gossipsub goes silent beside Go nodes: it ignores a peer with more than 100 topics, never repeats its hello
//! after one of two connections is lost, and loses what was queued on that one. So, here:
//!
//! - Whenever a peer opens a stream to us, it may have forgotten us: we say hello again.
//! - A peer has one queue, whatever its connections; it is written to the newest of them, and what was not written when that
//!   breaks is written to the next.
//! - A wallet's operators are sent to whether or not we saw that they subscribed; nobody else is.

mod incoming;
mod peer;
mod topic;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Instant,
};

use alloy_primitives::Address;
use coxswain_protocol::{
    MAX_SIGNED_BYTES, SigningGroup,
    wire::{MAX_MESSAGE_BYTES, OperatorKey},
};
use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

pub(crate) use self::peer::{LinkId, Outgoing};
use self::{
    peer::{Key, Lane, Link, Peer},
    topic::Topic,
};
use crate::{
    identity::Identity,
    inbox::Inbox,
    message::{Message, fingerprint, frame_of, publication, subscriptions},
    rules::{ChannelRules, ChannelVerdict},
    status::{Counts, PeerStatus},
};

/// How many characters of a peer's user agent are kept.
const MAX_AGENT: usize = 64;

/// The channel is not joined, so that no message can be sent to it.
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
    /// Notified of every change of the links and of the counters.
    pub(crate) changed: Arc<Notify>,
    /// Configured peers and own wallets' operators are never cut off.
    configured: BTreeSet<Key>,
    /// For measurements: no rates before signatures.
    unthrottled: bool,
}

/// Returns whether a message is relayed. One that is longer than any proposal can be is only evidence.
const fn is_passed_on(envelope: &[u8], signed: usize) -> bool {
    envelope.len() <= MAX_MESSAGE_BYTES && signed <= MAX_SIGNED_BYTES
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
            changed: Arc::default(),
            configured,
            unthrottled: false,
        }
    }

    /// Lifts the rates before signatures, for measurements.
    pub(crate) const fn lift_rates(&mut self) {
        self.unthrottled = true;
    }

    // Channels.

    /// Joins a topic. If it is joined already, the new reader takes the place of the old one.
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
        let joined = Topic::new(group, rules, inbox);
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
        author.counted.insert(fingerprint(&message.signed_bytes()));
        if let ChannelVerdict::Accept { slot, distinct: Some(id) } = joined.rules.assess(&operator, envelope)
            && is_passed_on(envelope, bytes.len())
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
        let id = LinkId::new(self.next_link);
        self.next_link += 1;
        let key = operator.compressed();
        let waker = Arc::new(AtomicWaker::new());
        let link = Link::new(address, waker.clone(), now);
        let peer = self.peers.entry(key).or_insert_with(|| Peer::new(operator));
        peer.links.insert(id, link);
        // The one that was written to so far is to stop.
        peer.wake();
        self.links.insert(id, key);
        self.changed.notify_waiters();
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
        self.changed.notify_waiters();
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
        self.changed.notify_waiters();
    }

    /// The peer's stream to us has ended.
    pub(crate) fn stream_closed(&mut self, link: LinkId, now: Instant) {
        let Some((_, peer)) = self.peer(link) else { return };
        if let Some(link) = peer.links.get_mut(&link) {
            link.streams = link.streams.saturating_sub(1);
            link.hello_heard &= link.streams > 0;
        }
        peer.relink(now);
        self.changed.notify_waiters();
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

    /// What a peer says that it is, cut and without control characters.
    pub(crate) fn identified(&mut self, operator: &OperatorKey, agent: &str) {
        if let Some(peer) = self.peers.get_mut(&operator.compressed()) {
            let shown = agent.chars().filter(|letter| !letter.is_control()).take(MAX_AGENT);
            peer.agent = Some(shown.collect());
        }
    }

    // What is shown.

    /// Our own key.
    pub(crate) fn operator(&self) -> &OperatorKey {
        self.identity.operator()
    }

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
        self.peers.values().map(Peer::status).collect()
    }
}
