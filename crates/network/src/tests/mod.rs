//! Tests that look inside.

mod admission;
mod handshake;
mod probe;
mod reactions;
mod router;
mod transport;
mod vectors;

use std::time::Instant;

use alloy_primitives::hex;
use bitcoin::secp256k1::PublicKey;
use coxswain_protocol::{SigningGroup, wire::MESSAGE_TYPE};

use crate::{
    Channel, ChannelRules, Hub, Identity, Message, Network, Receiver, Sender,
    frame::Frame,
    message::{frame_of, publication},
    router::LinkId,
    rules::Open,
};

/// A wallet's key, which no test signs with.
const WALLET: &str = "0471e30bca60f6548d7b42582a478ea37ada63b402af7b3ddd57f0c95bb6843175aa0d2053a91a050a6797d85c38f2909cb7027f2344a01986aa2f9f8ca7a0c289";

fn wallet() -> PublicKey {
    WALLET.parse().unwrap()
}

/// The operators of the vectors, and as many more as there are numbers.
fn operator(number: u8) -> Identity {
    Identity::from_secret([number; 32]).unwrap()
}

fn group(operators: &[&Identity]) -> SigningGroup {
    SigningGroup::new(operators.iter().map(|operator| operator.operator().address()).collect()).unwrap()
}

/// Rules that accept coordination messages, whatever they say.
fn open_rules(quota: usize) -> Box<dyn ChannelRules> {
    Box::new(Open::new(quota, [MESSAGE_TYPE]))
}

/// An envelope of coordination, by this operator.
fn envelope(operator: &Identity, payload: &[u8], sequence: u64) -> Vec<u8> {
    envelope_of(operator, payload, MESSAGE_TYPE, sequence)
}

fn envelope_of(operator: &Identity, payload: &[u8], kind: &[u8], sequence: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let mut identity = Vec::new();
    crate::protobuf::put_bytes(&mut identity, 1, &crate::identity::public_key_bytes(operator.operator()));
    for (number, field) in [(1, identity.as_slice()), (2, payload), (3, kind)] {
        crate::protobuf::put_bytes(&mut out, number, field);
    }
    out.push(0x20);
    crate::protobuf::put_varint(&mut out, sequence);
    out
}

/// A node that has joined the wallet's channel, with a peer that is written by hand.
struct Joined {
    network: Network,
    sender: Sender,
    receiver: Receiver,
    start: Instant,
}

impl Joined {
    fn new(me: &Identity, members: &[&Identity], rules: Box<dyn ChannelRules>) -> Self {
        let network = Hub::node(me.clone(), 1);
        let (sender, receiver) = network.join(&wallet(), Channel::Coordination, &group(members), rules);
        Self { network, sender, receiver, start: Instant::now() }
    }

    /// Connects a peer, whose stream to us is open, and ours to it.
    fn connect(&self, peer: &Identity) -> LinkId {
        let (link, _) = self.network.lock().link_up(*peer.operator(), None, self.start);
        self.network.lock().stream_opened(link, self.start);
        if self.network.lock().writes(link) {
            self.network.lock().writing(link);
        }
        link
    }

    /// The peer writes a frame's body.
    fn hear(&self, link: LinkId, body: &[u8]) {
        self.network.frame(link, &Frame::Whole(body.to_vec()), self.start);
    }

    /// The peer writes one message.
    fn message(&self, link: LinkId, message: &[u8]) {
        self.hear(link, &publication(message));
    }

    /// What is written to the peer, without lengths.
    fn written(&self, link: LinkId) -> Vec<Vec<u8>> {
        let mut reader = crate::FrameReader::default();
        std::iter::from_fn(|| self.network.lock().next_frame(link))
            .map(|outgoing| match reader.take(&mut &outgoing.bytes[..]).unwrap().unwrap() {
                Frame::Whole(body) => body,
                Frame::Skipped => panic!("a frame of our own is too long"),
            })
            .collect()
    }

    /// How many messages have been handed over, which are taken.
    async fn delivered(&mut self) -> usize {
        let mut delivered = 0;
        while let Ok(Some(_)) = tokio::time::timeout(std::time::Duration::ZERO, self.receiver.recv()).await {
            delivered += 1;
        }
        delivered
    }
}

/// A message around an envelope of this operator's.
fn message(operator: &Identity, seqno: u64, payload: &[u8]) -> Vec<u8> {
    Message::sign(operator, seqno, topic().as_bytes(), &envelope(operator, payload, 1))
}

fn topic() -> String {
    Channel::Coordination.topic(&wallet())
}

fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

/// The frame of a body, as it is on a stream.
fn frame(body: &[u8]) -> Vec<u8> {
    frame_of(body).to_vec()
}
