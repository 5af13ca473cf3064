//! What a Go node did with each of twenty frames, and what we do.

use serde::Deserialize;

use super::*;
use crate::{FrameReader, MAX_FRAME_BYTES, message::subscriptions};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recorded {
    how_made: String,
    topic: String,
    #[serde(rename = "A")]
    a: String,
    #[serde(rename = "B")]
    b: String,
    #[serde(rename = "C")]
    c: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    what: String,
    frame: Option<String>,
    frame_length: Option<usize>,
    delivered: usize,
    connection_still_up: bool,
    same_stream_still_works: bool,
}

fn key(text: &str) -> Identity {
    Identity::from_secret(unhex(text).try_into().unwrap()).unwrap()
}

/// A frame of so many bytes, its length included: one message of B's, and a field that nobody knows to fill it.
fn frame_of_length(author: &Identity, length: usize) -> Vec<u8> {
    let message = publication(&message(author, 77, &vec![7; 1_000_000]));
    let filled = |filler: usize| {
        let mut body = message.clone();
        crate::protobuf::put_bytes(&mut body, 10, &vec![0; filler]);
        frame(&body)
    };
    let most = length - message.len();
    let filler = (0..32).map(|less| most - less).find(|filler| filled(*filler).len() == length);
    filled(filler.unwrap())
}

#[tokio::test]
async fn reactions_are_as_recorded_or_better() {
    let recorded: Recorded =
        serde_json::from_str(include_str!("../../vectors/pubsub_reactions.json")).unwrap();
    assert!(recorded.how_made.starts_with("Hand-made RPC frames"));
    assert_eq!(recorded.topic, topic());
    let (a, b, c) = (key(&recorded.a), key(&recorded.b), key(&recorded.c));
    let mut joined = Joined::new(&a, &[&a, &b], open_rules(1000));
    let link = joined.connect(&b);
    joined.hear(link, &subscriptions([(true, recorded.topic.as_bytes())]));
    let mut reader = FrameReader::default();
    for (number, case) in (0..).zip(&recorded.cases) {
        let name = format!("{}: {}", case.name, case.what);
        let stream = match (&case.frame, case.frame_length) {
            (Some(frame), None) => unhex(frame),
            (None, Some(length)) => frame_of_length(&b, length),
            _ => panic!("{name}"),
        };
        if let Some(length) = case.frame_length {
            assert_eq!(stream.len() <= MAX_FRAME_BYTES, length < 1_048_600);
        }
        let mut take = |stream: &[u8]| {
            let mut bytes = stream;
            let mut banished = false;
            while let Some(frame) = reader.take(&mut bytes).expect("the stream goes on") {
                banished |= joined.network.frame(link, &frame, joined.start);
            }
            banished
        };
        let banished = take(&stream);
        // Ours differs on purpose: two messages with the same id are two.
        let ours = if case.name == "other_content_same_seqno" { 2 } else { case.delivered };
        // A retransmission is another message around the same envelope. Go's channel keeps the second one back by its
        // sequence number. Ours hands both over: the routine drops repeats by number and payload, of this window only.
        let ours = if case.name == "retransmission" { 2 } else { ours };
        assert_eq!(!banished, case.connection_still_up, "{name}");
        // Ours differs on purpose: no frame of these ends the stream, where two of them did in Go.
        let ends_in_go = ["garbage_rpc", "over_max"].contains(&&case.name[..]);
        assert_eq!(case.same_stream_still_works, !ends_in_go, "{name}");
        take(&frame(&publication(&message(&b, 1000 + number, b"still here"))));
        assert_eq!(joined.delivered().await, ours + 1, "{name}");
    }
    assert_eq!(recorded.cases.len(), 20);
    assert_eq!(c.peer_id(), operator_c().peer_id());
    let counts = joined.network.status().counts;
    assert_eq!((counts.malformed_frames, counts.skipped_frames, counts.oversize), (1, 1, 1));
    assert_eq!((counts.not_a_member, counts.foreign_topic), (1, 1));
    // Unsigned, signed by another, signed without the prefix.
    assert_eq!(counts.bad_signature, 3);
    // Another's envelope, and none.
    assert_eq!(counts.bad_envelope, 2);
}

fn operator_c() -> Identity {
    let mut secret = [0; 32];
    secret[31] = 0xab;
    Identity::from_secret(secret).unwrap()
}
