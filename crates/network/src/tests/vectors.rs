//! What was recorded from the Go client: keys, envelopes, topics and whole signed frames. Every field is read.

use std::collections::BTreeMap;

use coxswain_protocol::wire::{Envelope, OperatorKey};
use libp2p_identity::PeerId;
use serde::Deserialize;

use super::*;
use crate::{
    FrameReader, Rpc, Subscription,
    identity::{operator_of, peer_id_of, public_key_bytes},
    message::subscriptions,
    open,
};

fn secret(text: &str) -> Identity {
    Identity::from_secret(unhex(text).try_into().unwrap()).unwrap()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Identities {
    how_made: String,
    good: Vec<Good>,
    decode: Vec<Decode>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Good {
    private_key: String,
    public_key_compressed: String,
    public_key_uncompressed: String,
    libp2p_public_key: String,
    envelope_identity_bytes: String,
    peer_id_bytes: String,
    peer_id_base58: String,
    ethereum_address: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decode {
    name: String,
    identity_bytes: String,
    decodes: bool,
    peer_id: Option<String>,
    usable_as_operator: Option<bool>,
}

#[test]
fn identities_are_as_recorded() {
    let recorded: Identities = serde_json::from_str(include_str!("../../vectors/identity.json")).unwrap();
    assert!(recorded.how_made.starts_with("Recorded from the Go client"));
    for good in recorded.good {
        let identity = secret(&good.private_key);
        let operator = *identity.operator();
        assert_eq!(operator.compressed().to_vec(), unhex(&good.public_key_compressed));
        let uncompressed = PublicKey::from_slice(&operator.compressed()).unwrap().serialize_uncompressed();
        assert_eq!(uncompressed.to_vec(), unhex(&good.public_key_uncompressed));
        assert_eq!(public_key_bytes(&operator).to_vec(), unhex(&good.libp2p_public_key));
        assert_eq!(identity.keypair().public().encode_protobuf(), unhex(&good.libp2p_public_key));
        assert_eq!(identity.peer_id().to_bytes(), unhex(&good.peer_id_bytes));
        assert_eq!(identity.peer_id().to_base58(), good.peer_id_base58);
        assert_eq!(identity.keypair().public().to_peer_id(), identity.peer_id());
        assert_eq!(operator.address().to_checksum(None), good.ethereum_address);
        assert_eq!(operator_of(&good.peer_id_base58.parse().unwrap()), Some(operator));
        let envelope = [&[0x0a, 39], &unhex(&good.envelope_identity_bytes)[..]].concat();
        assert!(open(&operator, &envelope).is_ok());
    }
    for decode in recorded.decode {
        let bytes = unhex(&decode.identity_bytes);
        let key = bytes.get(2..).unwrap_or_default();
        let peer = decode.peer_id.map(|peer| peer.parse::<PeerId>().unwrap());
        assert_eq!(peer.is_some(), decode.decodes, "{}", decode.name);
        assert_eq!(
            peer.and_then(|peer| operator_of(&peer)).is_some(),
            decode.usable_as_operator == Some(true)
        );
        // Ours differs on purpose: Go also reads a key that isn't compressed, which no member writes. Only the 37 bytes of a
        // compressed key are an operator's.
        let envelope = frame_in_field_1(&bytes);
        if let Some(operator) = peer.and_then(|peer| operator_of(&peer)) {
            assert_eq!(decode.name, "uncompressed_secp256k1");
            assert!(open(&operator, &envelope).is_err());
        }
        assert!(
            key.get(4..).and_then(|key| OperatorKey::from_compressed(key.try_into().ok()?).ok()).is_none()
        );
    }
}

fn frame_in_field_1(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    crate::protobuf::put_bytes(&mut out, 1, bytes);
    out
}

#[test]
fn what_is_no_private_key_is_refused() {
    assert!(Identity::from_secret([0; 32]).is_err());
    assert!(Identity::from_secret([0xff; 32]).is_err());
    assert!(Identity::from_secret([1; 32]).is_ok());
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelopes {
    how_made: String,
    fields: BTreeMap<u64, String>,
    cases: Vec<EnvelopeCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvelopeCase {
    envelope: String,
    payload: String,
    private_key: String,
    sequence_number: u64,
    r#type: String,
}

#[test]
fn envelopes_are_as_recorded() {
    let recorded: Envelopes = serde_json::from_str(include_str!("../../vectors/envelope.json")).unwrap();
    assert!(recorded.how_made.starts_with("Recorded from the Go client"));
    assert_eq!(recorded.fields.keys().copied().collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(recorded.fields.values().all(|field| field.contains("bytes") || field.contains("varint")));
    for case in recorded.cases {
        let (bytes, payload) = (unhex(&case.envelope), unhex(&case.payload));
        let operator = *secret(&case.private_key).operator();
        let opened = open(&operator, &bytes).unwrap();
        assert_eq!((opened.payload, opened.kind), (&payload[..], case.r#type.as_bytes()));
        assert_eq!(opened.sequence, case.sequence_number);
        assert!(open(operator_b().operator(), &bytes).is_err());
        let written = Envelope {
            sender: operator.compressed(),
            payload: &payload,
            kind: case.r#type.as_bytes(),
            sequence: case.sequence_number,
        };
        assert_eq!(written.encode().unwrap(), bytes);
    }
}

fn operator_b() -> Identity {
    operator(0x22)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Topics {
    how_made: String,
    cases: Vec<TopicCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicCase {
    topic: String,
    wallet_public_key_hash: String,
    wallet_public_key_uncompressed: String,
}

#[test]
fn topics_are_as_recorded() {
    let recorded: Topics = serde_json::from_str(include_str!("../../vectors/topic.json")).unwrap();
    assert!(recorded.how_made.starts_with("Topic names as the Go client builds them"));
    for case in recorded.cases {
        let wallet: PublicKey = case.wallet_public_key_uncompressed.parse().unwrap();
        assert_eq!(Channel::Coordination.topic(&wallet), case.topic);
        let stem = format!("tbtc-{}", case.wallet_public_key_uncompressed);
        assert_eq!(Channel::Signing.topic(&wallet), stem);
        assert_eq!(Channel::Inactivity.topic(&wallet), format!("{stem}-inactivity"));
        let hash = bitcoin::PublicKey::new(wallet).pubkey_hash();
        assert_eq!(hash.to_string(), case.wallet_public_key_hash);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pubsub {
    how_made: String,
    author_private_key: String,
    receiver_private_key: String,
    topic: String,
    payload: String,
    hello_frame_from_go: String,
    subscribe_frame_sent_to_go: String,
    first_frame: String,
    first_retransmission_frame: String,
    retransmission_ticks_seen_of_80: Vec<u64>,
}

/// The bodies of the frames in a stream.
fn bodies(stream: &[u8]) -> Vec<Vec<u8>> {
    let (mut reader, mut bytes) = (FrameReader::default(), stream);
    std::iter::from_fn(|| match reader.take(&mut bytes).unwrap()? {
        Frame::Whole(body) => Some(body),
        Frame::Skipped => panic!("skipped"),
    })
    .collect()
}

#[tokio::test]
async fn whole_signed_frames_are_as_recorded() {
    let recorded: Pubsub = serde_json::from_str(include_str!("../../vectors/pubsub.json")).unwrap();
    assert!(recorded.how_made.starts_with("Captured on loopback from a running Go provider"));
    assert_eq!(recorded.topic, topic());
    assert_eq!(
        recorded.retransmission_ticks_seen_of_80,
        coxswain_protocol::RETRANSMISSIONS.map(|blocks| blocks.0)
    );
    let (author, receiver) = (secret(&recorded.author_private_key), secret(&recorded.receiver_private_key));
    assert_eq!((author.peer_id(), receiver.peer_id()), (operator(0x11).peer_id(), operator(0x22).peer_id()));

    // The hello is ours as well, byte for byte.
    let hello = unhex(&recorded.hello_frame_from_go);
    assert_eq!(hello, unhex(&recorded.subscribe_frame_sent_to_go));
    assert_eq!(frame(&subscriptions([(true, recorded.topic.as_bytes())])), hello);
    let [body] = &bodies(&hello)[..] else { panic!("not one frame") };
    let expected = Subscription { subscribe: true, topic: recorded.topic.as_bytes() };
    assert_eq!(Rpc::decode(body).unwrap().subscriptions, [expected]);

    // Both frames are what we would have written, with Go's seqno.
    let envelope = envelope(&author, &unhex(&recorded.payload), 1);
    let (first, again) = (unhex(&recorded.first_frame), unhex(&recorded.first_retransmission_frame));
    for (recorded_frame, seqno) in [(&first, 0x18eb_5eab_b5cd_6731), (&again, 0x18eb_5eab_b5cd_6732)] {
        let written = Message::sign(&author, seqno, recorded.topic.as_bytes(), &envelope);
        assert_eq!(frame(&publication(&written)), *recorded_frame);
    }

    // And both are heard: other messages around the same envelope.
    let mut joined = Joined::new(&receiver, &[&author, &receiver], open_rules(64));
    let link = joined.connect(&author);
    for stream in [hello, first, again] {
        bodies(&stream).iter().for_each(|body| joined.hear(link, body));
    }
    for _ in 0..2 {
        let heard = joined.receiver.recv().await.unwrap();
        assert_eq!((heard.author, &heard.envelope[..]), (*author.operator(), &envelope[..]));
        assert_eq!(peer_id_of(&heard.author), author.peer_id());
    }
    assert!(joined.network.linked_since(author.operator().address()).is_some());
}
