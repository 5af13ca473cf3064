//! A node's connections, and which of them to close: a peer's oldest when it has too many, strangers' newest when all together
//! are too many.

use std::collections::{BTreeMap, BTreeSet};

use libp2p_identity::PeerId;
use libp2p_swarm::ConnectionId;

use crate::gate::Bounds;

/// The connections that are open.
#[derive(Debug)]
pub(crate) struct Connections {
    bounds: Bounds,
    /// Older ones first.
    open: BTreeMap<ConnectionId, PeerId>,
}

impl Connections {
    pub(crate) const fn new(bounds: Bounds) -> Self {
        Self { bounds, open: BTreeMap::new() }
    }

    /// Adds a connection; gives back those to be closed for it, which are forgotten. Of protected peers, none but their oldest
    /// beyond what a peer may have.
    pub(crate) fn opened(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        is_protected: impl Fn(&PeerId) -> bool,
    ) -> Vec<ConnectionId> {
        self.open.insert(connection, peer);
        let of_peer: Vec<_> =
            self.open.iter().filter_map(|(id, other)| (*other == peer).then_some(*id)).collect();
        let too_many = of_peer.len().saturating_sub(self.bounds.per_peer);
        let mut closing: Vec<_> = of_peer.into_iter().take(too_many).collect();
        closing.iter().for_each(|id| self.closed(*id));
        if self.open.len() > self.bounds.connections {
            let excess = self.open.len().saturating_sub(self.bounds.trimmed_to);
            let strangers = self.open.iter().rev().filter(|(_, peer)| !is_protected(peer));
            let strangers: Vec<_> = strangers.map(|(id, _)| *id).take(excess).collect();
            strangers.iter().for_each(|id| self.closed(*id));
            closing.extend(strangers);
        }
        closing
    }

    /// A connection has gone.
    pub(crate) fn closed(&mut self, connection: ConnectionId) {
        self.open.remove(&connection);
    }

    /// The connected peers.
    pub(crate) fn peers(&self) -> BTreeSet<PeerId> {
        self.open.values().copied().collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Identity;

    fn peer(number: u32) -> PeerId {
        let mut secret = [1; 32];
        secret[..4].copy_from_slice(&number.to_be_bytes());
        Identity::from_secret(secret).unwrap().peer_id()
    }

    fn id(number: usize) -> ConnectionId {
        ConnectionId::new_unchecked(number)
    }

    /// Opens a connection a peer, of these peers, and gives the numbers of those that were closed for the last one.
    fn trimmed(peers: &[PeerId], protected: &BTreeSet<PeerId>) -> (Vec<ConnectionId>, Connections) {
        let mut connections = Connections::new(Bounds::default());
        let mut closing = Vec::new();
        for (number, peer) in peers.iter().enumerate() {
            assert!(closing.is_empty(), "{number} are within the bounds");
            closing = connections.opened(id(number), *peer, |peer| protected.contains(peer));
        }
        (closing, connections)
    }

    #[test]
    fn inc_44_900_connections_stay_and_the_next_one_trims_them_to_600() {
        let peers: Vec<_> = (0..901).map(peer).collect();
        let (closing, connections) = trimmed(&peers[..900], &BTreeSet::new());
        assert_eq!((closing.len(), connections.open.len()), (0, 900));
        let (closing, connections) = trimmed(&peers, &BTreeSet::new());
        assert_eq!((closing.len(), connections.open.len()), (301, 600));
        // The newest go.
        assert_eq!(connections.peers(), peers[..600].iter().copied().collect());
    }

    #[test]
    fn inc_44_wallets_operators_and_configured_peers_are_never_trimmed() {
        let peers: Vec<_> = (0..901).map(peer).collect();
        // The newest hundred are protected, and so are the oldest.
        let protected: BTreeSet<_> = peers[..100].iter().chain(&peers[801..]).copied().collect();
        let (closing, connections) = trimmed(&peers, &protected);
        assert_eq!((closing.len(), connections.open.len()), (301, 600));
        assert!(protected.is_subset(&connections.peers()));
        // Where there are too few strangers, more than 600 stay.
        let protected: BTreeSet<_> = peers[..800].iter().copied().collect();
        let (closing, connections) = trimmed(&peers, &protected);
        assert_eq!((closing.len(), connections.open.len()), (101, 800));
        assert_eq!(connections.peers(), protected);
        let (closing, connections) = trimmed(&peers, &peers.iter().copied().collect());
        assert_eq!((closing.len(), connections.open.len()), (0, 901));
    }

    #[test]
    fn a_peers_ninth_connection_closes_its_oldest_whoever_it_is() {
        for is_protected in [false, true] {
            let mut connections = Connections::new(Bounds::default());
            assert!(connections.opened(id(0), peer(1), |_| is_protected).is_empty());
            for number in 1..=8 {
                assert!(connections.opened(id(number), peer(2), |_| is_protected).is_empty(), "{number}");
            }
            assert_eq!(connections.opened(id(9), peer(2), |_| is_protected), [id(1)]);
            assert_eq!(connections.opened(id(10), peer(2), |_| is_protected), [id(2)]);
            // One that has gone makes room.
            connections.closed(id(5));
            assert!(connections.opened(id(11), peer(2), |_| is_protected).is_empty());
            assert!(connections.opened(id(12), peer(1), |_| is_protected).is_empty());
        }
    }
}
