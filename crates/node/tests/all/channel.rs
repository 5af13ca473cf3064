//! A wallet's channel with the protocol's own acceptance, hostile members on it: in memory, and on sockets.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bitcoin::hashes::Hash;
use coxswain_network::{
    AdmissionRule, Config, Counts, Dialer, Driver, Hub, Identity, Link, Network, PeerAddress,
};
use coxswain_node::channel::CoordinationChannel;
use coxswain_protocol::{
    Received, Seat, SigningGroup, WindowParameters,
    wire::{CoordinationMessage, Envelope, MESSAGE_TYPE, OperatorKey, Proposed},
};
use coxswain_rules::{
    KeyHash,
    units::{BlockNumber, Blocks},
};
use tokio::time::timeout;

use crate::{identity, wallet_key};

/// Where windows begin: 60 blocks each, of which 20 are active and 10 passive.
const OLD: BlockNumber = BlockNumber(600);
const NOW: BlockNumber = BlockNumber(660);

/// One of the wallet's operators.
struct Node {
    identity: Identity,
    network: Network,
    channel: CoordinationChannel,
    /// Where others dial it, and what dials others, if it is on sockets.
    sockets: Option<(PeerAddress, Dialer)>,
}

impl Node {
    /// Operators 1, 2 and 3 hold the seats of the same numbers.
    fn join(number: u8, network: Network, sockets: Option<(PeerAddress, Dialer)>) -> Self {
        let holders = [1, 2, 3].map(|number| identity(number).operator().address());
        let group = Arc::new(SigningGroup::new(holders.into()).unwrap());
        let channel = CoordinationChannel::join(&network, WindowParameters::LOCAL, &wallet_key(), group);
        Self { identity: identity(number), network, channel, sockets }
    }

    /// Says that the wallet proposes this, in the window of this block.
    fn say(&self, block: BlockNumber, proposal: u8, sequence: u64) {
        let sender = self.identity.operator().compressed();
        let number = (1..=3).find(|number| identity(*number).operator().compressed() == sender).unwrap();
        let message = CoordinationMessage {
            seat: Seat::try_from(u64::from(number)).unwrap(),
            coordination_block: block,
            wallet: KeyHash(bitcoin::PublicKey::new(wallet_key()).pubkey_hash().to_byte_array()),
            proposed: Proposed::Unknown { number: 6, payload: [proposal].as_slice().into() },
        };
        let payload = message.encode().unwrap();
        let envelope = Envelope { sender, payload: &payload, kind: MESSAGE_TYPE, sequence };
        self.channel.send(&envelope.encode().unwrap()).unwrap();
    }

    async fn hear(&mut self) -> Received {
        let heard = timeout(Duration::from_secs(30), self.channel.recv()).await;
        heard.expect("it is heard").expect("nobody else joins")
    }

    /// The proposals heard next, as many as these.
    async fn hears(&mut self, expected: &[u8]) {
        let mut heard = Vec::new();
        while heard.len() < expected.len() {
            let received = self.hear().await;
            let Some(Proposed::Unknown { payload, .. }) = received.message().map(|message| &message.proposed)
            else {
                panic!("{received:?}")
            };
            heard.push(payload[0]);
        }
        heard.sort_unstable();
        assert_eq!(heard, expected);
    }

    async fn counts(&self, what: &str, holds: impl Fn(&Counts) -> bool) {
        let until = self.network.until(|status| holds(&status.counts));
        let waited = timeout(Duration::from_secs(30), until).await;
        waited.unwrap_or_else(|_| panic!("{what}: {}", self.network.status().counts));
    }

    async fn linked(&self, operator: &OperatorKey) {
        let until = self.network.until(|status| {
            status.peers.iter().any(|peer| peer.operator == operator.address() && peer.linked_since.is_some())
        });
        timeout(Duration::from_secs(30), until).await.expect("it is linked");
    }
}

/// What is between operators.
#[derive(Clone, Copy)]
enum Medium {
    Memory,
    Sockets,
}

impl Medium {
    async fn node(self, number: u8) -> Node {
        match self {
            Self::Memory => Node::join(number, Hub::node(identity(number), 1), None),
            Self::Sockets => {
                let mut config = Config::new(identity(number), SystemTime::now());
                config.listen = vec!["127.0.0.1:0".parse().unwrap()];
                config.admission = AdmissionRule::list([]).unwrap();
                let (network, driver) = Driver::bind(config).await.unwrap();
                let socket = driver.listening().next().unwrap();
                let peer = identity(number).peer_id();
                let address =
                    format!("/ip4/{}/tcp/{}/ipfs/{peer}", socket.ip(), socket.port()).parse().unwrap();
                let dialer = driver.dialer();
                tokio::spawn(driver.run(std::future::pending()));
                Node::join(number, network, Some((address, dialer)))
            }
        }
    }
}

/// Links two operators, in memory until the link is dropped.
async fn link(left: &Node, right: &Node) -> Option<Link> {
    let link = match (&left.sockets, &right.sockets) {
        (Some((_, dialer)), Some((address, _))) => {
            dialer.dial(address.clone()).await.unwrap();
            None
        }
        _ => Some(Hub::link(&left.network, &right.network)),
    };
    left.linked(right.identity.operator()).await;
    right.linked(left.identity.operator()).await;
    link
}

/// A hostile operator, who talks to an honest one only, who talks to us.
struct Line {
    hostile: Node,
    relay: Node,
    us: Node,
    links: [Option<Link>; 2],
}

async fn line(medium: Medium) -> Line {
    let [hostile, relay, us] = [medium.node(1).await, medium.node(2).await, medium.node(3).await];
    let links = [link(&hostile, &relay).await, link(&relay, &us).await];
    Line { hostile, relay, us, links }
}

async fn inc_18_64_messages_hide_no_second_proposal(medium: Medium) {
    let Line { hostile, relay, mut us, links: _links } = line(medium).await;
    [&hostile, &relay, &us].iter().for_each(|node| node.channel.on_block(NOW.next()));
    (0..64).for_each(|sequence| hostile.say(NOW, 1, sequence));
    us.hears(&[1; 64]).await;
    // The quota is used up. The first message of its second proposal passes all the same; neither another of it does, nor a third.
    for (proposal, sequence) in [(1, 64), (2, 65), (2, 66), (3, 67)] {
        hostile.say(NOW, proposal, sequence);
    }
    us.hears(&[2]).await;
    relay.counts("the others are dropped", |counts| counts.over_quota == 3).await;
    // Nobody else's quota is touched: the next that is heard is this.
    relay.say(NOW, 4, 1);
    us.hears(&[4]).await;
    let counts = us.network.status().counts;
    assert_eq!((counts.delivered, counts.over_quota), (66, 0), "what is over the quota isn't passed on");
}

#[tokio::test]
async fn inc_18_64_messages_hide_no_second_proposal_in_memory() {
    inc_18_64_messages_hide_no_second_proposal(Medium::Memory).await;
}

#[tokio::test]
async fn inc_18_64_messages_hide_no_second_proposal_on_sockets() {
    inc_18_64_messages_hide_no_second_proposal(Medium::Sockets).await;
}

async fn inc_48_replays_are_dropped_free(medium: Medium) {
    let Line { hostile: leader, relay, mut us, links: _links } = line(medium).await;
    // Who passes them on lives in the window before, with the leader as it was then.
    leader.channel.on_block(OLD);
    relay.channel.on_block(OLD);
    us.channel.on_block(NOW);
    (0..64).for_each(|sequence| leader.say(OLD, 1, sequence));
    us.counts("all are dropped", |counts| counts.ignored == 64).await;
    // Then all meet in the window that runs. (Over the old connection, so many more would be over its rate.)
    leader.channel.on_block(NOW);
    relay.channel.on_block(NOW);
    let _link = link(&leader, &us).await;
    (0..64).for_each(|sequence| leader.say(NOW, 2, sequence));
    us.hears(&[2; 64]).await;
    assert_eq!(us.network.status().counts.over_quota, 0);
}

#[tokio::test]
async fn inc_48_replays_are_dropped_free_in_memory() {
    inc_48_replays_are_dropped_free(Medium::Memory).await;
}

#[tokio::test]
async fn inc_48_replays_are_dropped_free_on_sockets() {
    inc_48_replays_are_dropped_free(Medium::Sockets).await;
}

async fn inc_49_proposals_are_offered_again_when_the_active_phase_ends_and_the_window(medium: Medium) {
    let Line { hostile: leader, relay, mut us, links: _links } = line(medium).await;
    leader.channel.on_block(NOW);
    relay.channel.on_block(NOW);
    // We are a block behind: what is said now is lost to us, as are the retransmissions that this leader doesn't send.
    us.channel.on_block(NOW.saturating_sub(Blocks(1)));
    leader.say(NOW, 1, 1);
    leader.say(NOW, 2, 2);
    us.counts("both came early", |counts| counts.ignored == 2).await;
    us.channel.on_block(NOW);
    let relayed = || relay.network.status().counts.frames_sent;
    let before = relayed();
    relay.channel.on_block(NOW.saturating_add(Blocks(19)));
    assert_eq!(relayed(), before);
    relay.channel.on_block(NOW.saturating_add(Blocks(20)));
    us.hears(&[1, 2]).await;
    relay.channel.on_block(NOW.saturating_add(Blocks(28)));
    let seen = us.network.status().counts.seen;
    relay.channel.on_block(NOW.saturating_add(Blocks(29)));
    us.counts("both are offered at the last block, too", |counts| counts.seen == seen + 2).await;
    // With the window all of that ends.
    relay.channel.on_block(NOW.saturating_add(Blocks(30)));
    us.channel.on_block(NOW.saturating_add(Blocks(30)));
    leader.say(NOW, 3, 3);
    relay.counts("it is over", |counts| counts.ignored == 1).await;
}

#[tokio::test]
async fn inc_49_proposals_are_offered_again_in_memory() {
    inc_49_proposals_are_offered_again_when_the_active_phase_ends_and_the_window(Medium::Memory).await;
}

#[tokio::test]
async fn inc_49_proposals_are_offered_again_on_sockets() {
    inc_49_proposals_are_offered_again_when_the_active_phase_ends_and_the_window(Medium::Sockets).await;
}

#[tokio::test]
async fn a_block_stream_that_skips_the_phases_end_offers_once_and_older_blocks_change_nothing() {
    let Line { hostile: leader, relay, mut us, links: _links } = line(Medium::Memory).await;
    [&leader, &relay, &us].iter().for_each(|node| node.channel.on_block(NOW));
    leader.say(NOW, 1, 1);
    us.hears(&[1]).await;
    relay.channel.on_block(NOW.saturating_add(Blocks(29)));
    us.counts("it is offered", |counts| counts.seen == 1).await;
    relay.channel.on_block(NOW.saturating_add(Blocks(20)));
    relay.say(NOW, 2, 1);
    us.hears(&[2]).await;
    assert_eq!(us.network.status().counts.seen, 1);
}
