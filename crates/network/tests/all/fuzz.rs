//! What comes from strangers, mutated: nothing panics, and what is read is read the same way again. Each target runs for
//! `COXSWAIN_FUZZ_SECONDS` (a second, unless told otherwise) from `COXSWAIN_FUZZ_SEED`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{
    env,
    time::{Duration, Instant},
};

use crate::support::identity;
use alloy_primitives::hex;
use coxswain_network::{
    FrameReader, MAX_FRAME_BYTES, Message, PeerAddress, Rpc,
    acts::{Initiator, Responder},
    open,
};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use serde_json::Value;

/// Mutates what is good, again and again.
struct Mutator {
    random: ChaCha8Rng,
    corpus: Vec<Vec<u8>>,
    until: Instant,
    runs: u64,
}

impl Mutator {
    fn new(corpus: Vec<Vec<u8>>) -> Self {
        let number = |name| env::var(name).ok().and_then(|number| number.parse().ok());
        let seconds = number("COXSWAIN_FUZZ_SECONDS").unwrap_or(1);
        let random = ChaCha8Rng::seed_from_u64(number("COXSWAIN_FUZZ_SEED").unwrap_or(1));
        assert!(!corpus.is_empty());
        Self { random, corpus, until: Instant::now() + Duration::from_secs(seconds), runs: 0 }
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.random.next_u64() % bound.max(1) as u64).unwrap()
    }

    /// The next input. `None` if the time is over.
    fn next(&mut self) -> Option<Vec<u8>> {
        if self.runs.is_multiple_of(64) && Instant::now() >= self.until {
            println!("{} inputs", self.runs);
            return None;
        }
        self.runs += 1;
        let at = self.below(self.corpus.len());
        let mut input = self.corpus[at].clone();
        for _ in 0..=self.below(4) {
            let at = self.below(input.len() + 1);
            match self.below(6) {
                0 if at < input.len() => input[at] ^= 1 << self.below(8),
                1 if at < input.len() => input[at] = [0, 1, 0x7f, 0x80, 0xff][self.below(5)],
                2 => input.truncate(at),
                3 => {
                    let byte = self.random.next_u32().to_le_bytes()[0];
                    input.insert(at, byte);
                }
                4 => {
                    let other = self.below(self.corpus.len());
                    let from = self.below(self.corpus[other].len());
                    let piece = self.corpus[other][from..].to_vec();
                    input.truncate(at);
                    input.extend_from_slice(&piece);
                }
                _ => {
                    let piece = input[at..].to_vec();
                    input.extend_from_slice(&piece[..piece.len().min(64)]);
                }
            }
        }
        Some(input)
    }
}

/// All strings of hex in a file of vectors, as bytes.
fn bytes_in(text: &str, found: &mut Vec<Vec<u8>>) {
    fn walk(value: &Value, found: &mut Vec<Vec<u8>>) {
        match value {
            Value::String(text) if text.len() > 20 => found.extend(hex::decode(text)),
            Value::Array(values) => values.iter().for_each(|value| walk(value, found)),
            Value::Object(values) => values.values().for_each(|value| walk(value, found)),
            _ => {}
        }
    }
    walk(&serde_json::from_str(text).unwrap(), found);
}

#[test]
fn handshake_frames() {
    let mut corpus = Vec::new();
    bytes_in(include_str!("../../vectors/handshake.json"), &mut corpus);
    let (a, b) = (identity(0x11), identity(0x22));
    let mut mutator = Mutator::new(corpus);
    while let Some(input) = mutator.next() {
        for envelope in [&input[..], input.get(2..).unwrap_or_default()] {
            if let Ok((responder, _)) = Responder::answer(&b, [1; 8], &a.peer_id(), envelope) {
                // Nothing that isn't act 3 is taken for it.
                assert!(responder.finish(envelope).is_err());
            }
            let _ = Initiator::start(&a, [2; 8]).0.finish(&b.peer_id(), envelope);
        }
    }
}

#[test]
fn pubsub_frames() {
    let mut corpus = Vec::new();
    bytes_in(include_str!("../../vectors/pubsub.json"), &mut corpus);
    bytes_in(include_str!("../../vectors/pubsub_reactions.json"), &mut corpus);
    let author = identity(0x11);
    let mut mutator = Mutator::new(corpus);
    while let Some(input) = mutator.next() {
        let (mut reader, mut bytes) = (FrameReader::default(), &input[..]);
        while let Ok(Some(frame)) = reader.take(&mut bytes) {
            let coxswain_network::Frame::Whole(body) = frame else { continue };
            assert!(body.len() <= MAX_FRAME_BYTES);
            let Ok(rpc) = Rpc::decode(&body) else { continue };
            for message in rpc.messages {
                let Ok(message) = Message::decode(message) else { continue };
                let written = message.encode();
                let again = Message::decode(&written).unwrap();
                assert_eq!(again, message);
                assert_eq!(again.signed_bytes(), message.signed_bytes());
                let _ = message.verify(author.operator(), &message.signed_bytes());
            }
        }
    }
}

#[test]
fn envelopes() {
    let mut corpus = Vec::new();
    bytes_in(include_str!("../../vectors/envelope.json"), &mut corpus);
    let author = identity(0x11);
    let mut mutator = Mutator::new(corpus);
    while let Some(input) = mutator.next() {
        let ours = open(author.operator(), &input);
        // What `protocol` reads, under its cap, is what the network reads.
        if let Ok(read) = coxswain_protocol::wire::Envelope::decode(&input)
            && read.sender == author.operator().compressed()
        {
            let ours = ours.expect("the sender is the author");
            assert_eq!((ours.kind, ours.payload, ours.sequence), (read.kind, read.payload, read.sequence));
        }
    }
}

#[test]
fn multiaddrs() {
    const ID: &str = "16Uiu2HAmHzBkRq62mG95vsjKMuYQBezZCtjPXYWUoyVxMxi71aB3";
    let corpus = [
        "/ip4/10.0.0.1/tcp/3919/ipfs/ID",
        "/ip6/2001:db8::1/tcp/1/p2p/ID",
        "/dns4/a.example/tcp/3919/p2p/ID",
        "/dns/ID/udp/1/quic-v1",
        "/unix/a/p2p/ID",
    ];
    let corpus = corpus.map(|text| text.replace("ID", ID).into_bytes()).to_vec();
    let mut mutator = Mutator::new(corpus);
    while let Some(input) = mutator.next() {
        let Ok(text) = String::from_utf8(input) else { continue };
        if let Ok(address) = text.parse::<PeerAddress>() {
            assert_eq!(address.to_string().parse(), Ok(address));
        }
    }
}
