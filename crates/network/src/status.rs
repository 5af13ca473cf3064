//! What a node shows of its network: peers and counts. No name in it is one that a peer could choose.

use std::{fmt, net::SocketAddr, time::Instant};

use alloy_primitives::Address;
use libp2p_identity::PeerId;

/// A network, now.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The connected peers.
    pub peers: Vec<PeerStatus>,
    /// What has been counted since the start.
    pub counts: Counts,
}

/// A connected peer.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// Its operator.
    pub operator: Address,
    /// Its peer id.
    pub peer: PeerId,
    /// Where each connection comes from or goes to.
    pub connections: Vec<Option<SocketAddr>>,
    /// Since when its hello has come, and its stream to us is open, without a break.
    pub linked_since: Option<Instant>,
    /// How many of our channels it has joined.
    pub shared_channels: usize,
    /// Messages that no honest node would have sent.
    pub rejected: u64,
    /// The peer's user agent, if it has told one.
    pub agent: Option<String>,
}

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// What happened to frames and messages. Each is a number that only grows.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts { $($(#[$doc])* pub $name: u64),* }

        impl Counts {
            /// All of them, by name.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name)),*].into_iter()
            }
        }
    };
}

counts! {
    /// Frames read.
    frames,
    /// Frames that were too long, and skipped.
    skipped_frames,
    /// Frames that are no RPC.
    malformed_frames,
    /// Messages that can't be decoded.
    malformed_messages,
    /// Messages and subscriptions beyond the number that is read from one frame.
    excess,
    /// Messages of topics that we haven't joined.
    foreign_topic,
    /// Messages whose author holds no seat of the wallet.
    not_a_member,
    /// Messages that came before.
    seen,
    /// Messages over a connection's rate, for one author.
    throttled,
    /// Messages whose signature doesn't hold.
    bad_signature,
    /// Messages whose envelope can't be decoded, or is another member's.
    bad_envelope,
    /// Messages that the channel rejects.
    rejected,
    /// Messages of another window, wallet, action or kind.
    ignored,
    /// Messages over their author's quota.
    over_quota,
    /// Messages longer than any can be: handed over, but not passed on.
    oversize,
    /// Messages handed over.
    delivered,
    /// Messages passed on, counted once whatever the number of peers.
    relayed,
    /// Our own messages.
    published,
    /// Messages dropped on their way to a peer because its queue was full.
    dropped_sending,
    /// Messages dropped on their way to the channel's reader because it was slow.
    dropped_delivering,
    /// Frames written to peers, hellos included.
    frames_sent,
    /// Incoming connections that were closed before the handshake.
    turned_away,
    /// Handshakes that were given up for newer ones.
    evicted,
    /// Handshakes that failed.
    failed_handshakes,
    /// Handshakes that succeeded.
    handshakes,
    /// Peers that were refused.
    refused_peers,
    /// Connections closed to stay within the bounds.
    trimmed,
    /// Connections closed because of messages that came over them.
    banished,
    /// Direct streams that were not read, or not to their end: too many, too much, or of no session.
    direct_refused,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (name, count) in self.named().filter(|(_, count)| *count > 0) {
            write!(f, "{separator}{name} {count}")?;
            separator = ", ";
        }
        Ok(())
    }
}
