//! Nodes that hear each other: the same tests in memory and on sockets.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::support::{Node, config, identity};
use coxswain_network::{Bounds, Hub, Link, Status};
use coxswain_protocol::wire::Envelope;

/// Five nodes, and what links them.
struct Five {
    nodes: Vec<Node>,
    links: Vec<Link>,
}

const MESH: [(usize, usize); 10] =
    [(0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4)];
const LINE: [(usize, usize); 4] = [(0, 1), (1, 2), (2, 3), (3, 4)];

impl Five {
    fn in_memory(edges: &[(usize, usize)]) -> Self {
        let nodes: Vec<_> = (1..=5)
            .map(|number| Node::join(identity(number), Hub::node(identity(number), 1), 5, 64))
            .collect();
        let links = edges.iter().map(|(a, b)| Hub::link(&nodes[*a].network, &nodes[*b].network)).collect();
        Self { nodes, links }
    }

    async fn on_sockets(edges: &[(usize, usize)]) -> Self {
        let mut nodes: Vec<Node> = Vec::new();
        for (index, number) in (1..=5).enumerate() {
            let mut config = config(number);
            let to = edges.iter().filter(|(_, b)| *b == index).map(|(a, _)| nodes[*a].address());
            config.peers = to.collect();
            nodes.push(Node::start(config, 5).await);
        }
        Self { nodes, links: Vec::new() }
    }

    /// Each says three things, again and again; all others hear each of them exactly once, whatever ways it goes.
    async fn hear_each_other(mut self, edges: &[(usize, usize)]) {
        for (a, b) in edges {
            self.nodes[*a].linked(u8::try_from(b + 1).unwrap()).await;
            self.nodes[*b].linked(u8::try_from(a + 1).unwrap()).await;
        }
        for round in 0..3 {
            for (number, node) in (1..).zip(&self.nodes) {
                (1..=3).for_each(|sequence| node.say(&[number, round], sequence));
            }
            for (number, node) in (1_u8..).zip(&mut self.nodes) {
                let mut heard = BTreeMap::<_, usize>::new();
                for _ in 0..12 {
                    let message = node.hear(Duration::from_secs(20)).await.expect("all is heard");
                    let Envelope { payload, sequence, .. } = Envelope::decode(&message.envelope).unwrap();
                    assert_eq!(payload[1], round, "node {number}: nothing of a round is heard in the next");
                    *heard.entry((message.author.address(), sequence)).or_default() += 1;
                }
                assert_eq!((heard.len(), heard.values().max()), (12, Some(&1)), "node {number}");
            }
        }
        drop(self.links);
    }
}

#[tokio::test]
async fn a_mesh_of_five_hears_each_message_once_in_memory() {
    Five::in_memory(&MESH).hear_each_other(&MESH).await;
}

#[tokio::test]
async fn a_line_of_five_hears_each_message_once_in_memory() {
    Five::in_memory(&LINE).hear_each_other(&LINE).await;
}

#[tokio::test]
async fn a_mesh_of_five_hears_each_message_once_on_sockets() {
    Five::on_sockets(&MESH).await.hear_each_other(&MESH).await;
}

#[tokio::test]
async fn a_line_of_five_hears_each_message_once_on_sockets() {
    Five::on_sockets(&LINE).await.hear_each_other(&LINE).await;
}

#[tokio::test]
async fn what_was_said_before_anybody_was_linked_isnt_lost_if_it_is_offered() {
    // The rules of these tests name no distinct messages: only what is said again is heard by those who come later.
    let nodes: Vec<_> =
        (1..=2).map(|number| Node::join(identity(number), Hub::node(identity(number), 1), 2, 64)).collect();
    let [first, mut second] = <[Node; 2]>::try_from(nodes).ok().unwrap();
    first.say(b"too early", 1);
    let _link = Hub::link(&first.network, &second.network);
    assert_eq!(second.hear(Duration::from_millis(100)).await, None);
    first.say(b"again", 1);
    assert!(second.hear(Duration::from_secs(5)).await.is_some());
}

#[tokio::test]
async fn a_stranger_is_refused_while_a_member_gets_in() {
    let mut setup = config(1);
    setup.admission = coxswain_network::AdmissionRule::list([]).unwrap();
    let node = Node::start(setup, 2).await;
    let (stranger, member) = (Node::start(config(9), 9).await, Node::start(config(2), 2).await);
    stranger.dial(&node).await;
    node.until("the stranger is refused", |status| status.counts.failed_handshakes == 1).await;
    member.dial(&node).await;
    member.linked(1).await;
    // To the stranger it was up for a moment: that is no link, and when such a peer is dialled again, the tests of redialling say.
    stranger.until("the connection is closed", |status| status.peers.is_empty()).await;
    assert_eq!(stranger.network.linked_since(node.identity.operator().address()), None);
    let status = node.network.status();
    assert_eq!((status.counts.handshakes, status.counts.failed_handshakes), (1, 1));
    assert_eq!(status.peers[0].operator, member.identity.operator().address());
}

/// Bounds that few nodes reach.
fn narrow(connections: usize, trimmed_to: usize, per_peer: usize) -> Bounds {
    Bounds { connections, trimmed_to, per_peer, ..Bounds::default() }
}

#[tokio::test]
async fn inc_44_strangers_beyond_the_bound_are_cut_off_and_members_and_configured_peers_stay() {
    let configured = Node::start(config(8), 2).await;
    let mut setup = config(1);
    setup.bounds = narrow(4, 3, 8);
    setup.peers = vec![configured.address()];
    let mut node = Node::start(setup, 2).await;
    node.linked(8).await;
    let mut strangers = Vec::new();
    for number in 10..13 {
        let stranger = Node::start(config(number), 9).await;
        stranger.dial(&node).await;
        node.until("a stranger is in", |status| status.peers.len() == strangers.len() + 2).await;
        strangers.push(stranger);
    }
    assert_eq!(node.network.status().counts.trimmed, 0);
    let member = Node::start(config(2), 2).await;
    member.dial(&node).await;
    node.until("two are cut off", |status| status.counts.trimmed == 2 && status.peers.len() == 3).await;
    let left: BTreeSet<_> = node.network.status().peers.into_iter().map(|peer| peer.operator).collect();
    let expected = [&configured, &member, &strangers[0]].map(|node| node.identity.operator().address());
    assert_eq!(left, expected.into());
    for stranger in &strangers[1..] {
        stranger.until("a stranger was cut off", |status| status.peers.is_empty()).await;
    }
    member.linked(1).await;
    member.say(b"hello", 1);
    assert!(node.hear(Duration::from_secs(20)).await.is_some());
}

#[tokio::test]
async fn a_peer_has_as_many_connections_as_it_may_and_its_newest_is_written_to() {
    let mut setup = config(1);
    setup.bounds = narrow(900, 600, 2);
    let mut node = Node::start(setup, 2).await;
    let mut member = Node::start(config(2), 2).await;
    for connection in 1..=2 {
        member.dial(&node).await;
        node.until("it is up", |status| status.counts.handshakes == connection).await;
    }
    assert_eq!(node.network.status().counts.trimmed, 0);
    member.dial(&node).await;
    let is_trimmed = |status: &Status| status.counts.trimmed == 1 && status.peers[0].connections.len() == 2;
    node.until("the first is closed for the third", is_trimmed).await;
    member.until("the other has noticed", |status| status.peers[0].connections.len() == 2).await;
    member.linked(1).await;
    node.linked(2).await;
    member.say(b"there", 1);
    assert!(node.hear(Duration::from_secs(20)).await.is_some());
    node.say(b"and back", 1);
    assert!(member.hear(Duration::from_secs(20)).await.is_some());
}
