//! What comes over connections: which messages are checked, passed on, handed over, and what is held against whom.

use std::time::{Duration, Instant};

use coxswain_protocol::wire::OperatorKey;

use super::{
    Router, is_passed_on,
    peer::{Bucket, Key, Lane, LinkId, MAX_REJECTS},
};
use crate::{
    inbox::Heard,
    message::{Message, Subscription, frame_of, publication},
    rules::{ChannelVerdict, open},
};

/// Signatures checked a second, for one author over one connection.
const RATE: u32 = 20;
/// Signatures checked at once, for one author over one connection.
const BURST: u32 = 100;
/// How long it takes until such a message is forgotten.
const REJECT_EVERY: Duration = Duration::from_secs(10);

impl Router {
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
            ChannelVerdict::Early => {
                // It is heard when it is offered again, same bytes.
                self.counts.ignored += 1;
                return;
            }
            ChannelVerdict::Ignore => {
                said.others.insert(fingerprint);
                self.counts.ignored += 1;
                return;
            }
            ChannelVerdict::Reject => {
                said.others.insert(fingerprint);
                let counts = &mut self.counts;
                *if opened.is_err() { &mut counts.bad_envelope } else { &mut counts.rejected } += 1;
                self.reject(link, Some(author.compressed()), now);
                return;
            }
        };
        let signed = message.encode();
        let frame = frame_of(&publication(&signed));
        let within = said.charge(slot, topic.rules.quota());
        let passes = is_passed_on(envelope, signed.len());
        let is_new =
            distinct.filter(|_| passes).is_some_and(|id| said.is_new(slot.period, id, envelope, &frame));
        if !within && !is_new {
            said.others.insert(fingerprint);
            self.counts.over_quota += 1;
            return;
        }
        said.counted.insert(fingerprint);
        self.counts.delivered += 1;
        let heard = Heard { author: *author, envelope: envelope.into(), signed };
        self.counts.dropped_delivering += topic.inbox.push(heard);
        if !passes {
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
}
