//! Nodes that hear each other: the same tests in memory and on sockets.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::{collections::BTreeMap, time::Duration};

use coxswain_network::{Hub, Link};
use support::{Node, config, identity};

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

    /// Each says three things; all others hear each of them exactly once.
    async fn hear_each_other(mut self, edges: &[(usize, usize)]) {
        for (a, b) in edges {
            self.nodes[*a].linked(u8::try_from(b + 1).unwrap()).await;
            self.nodes[*b].linked(u8::try_from(a + 1).unwrap()).await;
        }
        for (number, node) in (1..).zip(&self.nodes) {
            (1..=3).for_each(|sequence| node.say(&[number], sequence));
        }
        for (number, node) in (1_u8..).zip(&mut self.nodes) {
            let mut heard = BTreeMap::<_, usize>::new();
            for _ in 0..12 {
                let message = node.hear(Duration::from_secs(20)).await.expect("all is heard");
                *heard.entry((message.author.address(), message.envelope.to_vec())).or_default() += 1;
            }
            assert_eq!((heard.len(), heard.values().max()), (12, Some(&1)), "node {number}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        for node in &mut self.nodes {
            assert_eq!(node.hear(Duration::ZERO).await, None, "at most once");
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
async fn a_stranger_is_refused_and_backed_off_from_while_a_member_gets_in() {
    let mut setup = config(1);
    setup.admission = coxswain_network::AdmissionRule::list([]).unwrap();
    let node = Node::start(setup, 2).await;
    let mut stranger = config(9);
    stranger.peers = vec![node.address()];
    let stranger = Node::start(stranger, 9).await;
    let mut member = config(2);
    member.peers = vec![node.address()];
    let member = Node::start(member, 2).await;
    member.linked(1).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    // One attempt: who is refused at once tries again after five seconds, give or take.
    let counts = node.network.status().counts;
    assert_eq!((counts.handshakes, counts.failed_handshakes), (1, 1));
    assert_eq!(stranger.network.status().peers.len(), 0);
}
