//! A node's channels and peers, shared by all of its connections, and what its owner holds of them.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use alloy_primitives::Address;
use bitcoin::secp256k1::PublicKey;
use coxswain_protocol::SigningGroup;
use tokio::sync::Notify;

use crate::{
    direct::{Direct, DirectError, Session, SessionTerms},
    frame::Frame,
    inbox::{Heard, Inbox},
    message::{Message, Rpc, fingerprint},
    router::{LinkId, Router},
    rules::{Channel, ChannelRules},
    status::{Counts, Status},
};

/// The most bytes that an envelope of our own can have: what fits a frame with room for author, topic and signature.
const MAX_ENVELOPE_BYTES: usize = (1 << 20) - 4096;

/// A handle to a node's network. Clones share it.
#[derive(Clone)]
pub struct Network {
    router: Arc<Mutex<Router>>,
    changed: Arc<Notify>,
    direct: Direct,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}

impl Network {
    pub(crate) fn new(router: Router, direct: Direct) -> Self {
        let changed = router.changed.clone();
        Self { router: Arc::new(Mutex::new(router)), changed, direct }
    }

    /// Opens a session of direct streams to some operators of our wallets. It is closed when it is dropped.
    ///
    /// # Errors
    ///
    /// When there are no direct streams here, one of this name is open, or there is no room for what it may bring in.
    pub fn session(&self, terms: SessionTerms) -> Result<Session, DirectError> {
        self.direct.open(terms)
    }

    /// Joins a wallet's channel: what is sent is heard by the group's operators, and what they send is received. Whoever
    /// joins a channel again takes it over.
    pub fn join(
        &self,
        wallet: &PublicKey,
        channel: Channel,
        group: &SigningGroup,
        rules: Box<dyn ChannelRules>,
    ) -> (Sender, Receiver) {
        let topic: Arc<[u8]> = channel.topic(wallet).into_bytes().into();
        let inbox = Inbox::new();
        self.lock().join(topic.to_vec(), group, rules, inbox.clone());
        let sender = Sender { network: self.clone(), topic: topic.clone() };
        (sender, Receiver { network: self.clone(), topic, inbox })
    }

    /// Peers, and what has been counted.
    pub fn status(&self) -> Status {
        let router = self.lock();
        Status { peers: router.peers(), counts: router.counts }
    }

    /// Since when an operator has been linked without a break: connected, its hello come, its stream to us open.
    pub fn linked_since(&self, operator: Address) -> Option<Instant> {
        self.lock().linked_since(operator)
    }

    /// Waits until [`status`](Self::status) holds what is waited for; nobody polls it meanwhile.
    pub async fn until(&self, mut holds: impl FnMut(&Status) -> bool) {
        loop {
            // From here on no change is missed.
            let changed = self.changed.notified();
            if holds(&self.status()) {
                return;
            }
            changed.await;
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Router> {
        self.router.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut self.lock().counts);
        self.changed.notify_waiters();
    }

    /// A frame has come over a connection; true if that is to be closed for what came. Signatures are checked by whoever
    /// calls, without keeping others waiting.
    pub(crate) fn frame(&self, link: LinkId, frame: &Frame, now: Instant) -> bool {
        match frame {
            Frame::Whole(body) => self.body(link, body, now),
            Frame::Skipped => self.count(|counts| counts.skipped_frames += 1),
        }
        self.changed.notify_waiters();
        self.lock().is_banished(link)
    }

    fn body(&self, link: LinkId, body: &[u8], now: Instant) {
        self.count(|counts| counts.frames += 1);
        let Ok(rpc) = Rpc::decode(body) else {
            return self.count(|counts| counts.malformed_frames += 1);
        };
        {
            let mut router = self.lock();
            router.counts.excess += rpc.excess as u64;
            router.subscribed(link, &rpc.subscriptions, now);
        }
        for bytes in rpc.messages {
            match Message::decode(bytes) {
                Ok(message) => self.message(link, &message, now),
                Err(_) => self.count(|counts| counts.malformed_messages += 1),
            }
        }
    }

    fn message(&self, link: LinkId, message: &Message<'_>, now: Instant) {
        let claimed = self.lock().claimed(message);
        let Some(author) = claimed else { return };
        let signed = message.signed_bytes();
        let fingerprint = fingerprint(&signed);
        if !self.lock().is_due(link, &author, message, &fingerprint, now) {
            return;
        }
        let verified = message.verify(&author, &signed);
        let mut router = self.lock();
        match verified {
            Ok(()) => router.verified(link, &author, message, fingerprint, now),
            Err(_) => router.forged(link, now),
        }
    }
}

/// Sends envelopes over a channel.
#[derive(Clone)]
pub struct Sender {
    network: Network,
    topic: Arc<[u8]>,
}

/// Why an envelope isn't sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// It is longer than any that Go would read.
    #[error("an envelope of {0} bytes, at most {MAX_ENVELOPE_BYTES} allowed")]
    TooLong(usize),
    /// The channel's receiver is gone.
    #[error("the channel was left")]
    Left,
}

impl Sender {
    /// Signs an envelope and sends it to all of the wallet's operators. To be sent again, it is given again: that is a new
    /// message around the same envelope.
    ///
    /// # Errors
    ///
    /// When it is too long, or the channel was left.
    pub fn send(&self, envelope: &[u8]) -> Result<(), SendError> {
        if envelope.len() > MAX_ENVELOPE_BYTES {
            return Err(SendError::TooLong(envelope.len()));
        }
        self.network.lock().publish(&self.topic, envelope).map_err(|_| SendError::Left)
    }

    /// Offers the first of each author's first two different messages again, same bytes. To be called when the active phase
    /// ends, and the window: a leader that told some this and others that is seen by all then.
    pub fn offer_again(&self) {
        self.network.lock().offer_again(&self.topic);
    }
}

/// Receives what was heard on a channel. The channel is left when it is dropped.
pub struct Receiver {
    network: Network,
    topic: Arc<[u8]>,
    inbox: Arc<Inbox>,
}

impl Receiver {
    /// Returns the next message, the authors in turn. `None` if somebody else has joined the channel.
    pub async fn recv(&mut self) -> Option<Heard> {
        self.inbox.pop().await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.network.lock().leave(&self.topic, &self.inbox);
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender({})", String::from_utf8_lossy(&self.topic))
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver({})", String::from_utf8_lossy(&self.topic))
    }
}
