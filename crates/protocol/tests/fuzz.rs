//! Decoding is total and takes little memory, whatever the bytes. `COXSWAIN_FUZZ_INPUTS` sets how many are tried.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use bitcoin::{Amount, OutPoint, ScriptBuf, Txid, hashes::Hash};
use coxswain_protocol::{
    Seat,
    wire::{CoordinationMessage, Decoded, Envelope, MAX_ITEMS, MAX_MESSAGE_BYTES, Proposed},
};
use coxswain_rules::{
    DepositSweepProposal, KeyHash, MovingFundsProposal, Proposal, RedemptionProposal, RevealedDeposit,
    units::BlockNumber,
};
use peak_alloc::PeakAlloc;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// A decoded message is held in at most this much memory: a vector may have twice the room it needs.
const MAX_DECODED_BYTES: usize = 3 * MAX_MESSAGE_BYTES;

fn below(random: &mut ChaCha8Rng, bound: usize) -> usize {
    usize::try_from(random.next_u64() % bound as u64).unwrap()
}

/// A few of the ways in which bytes go wrong, one to four at a time.
fn mutate(random: &mut ChaCha8Rng, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
    for _ in 0..=below(random, 4) {
        let at = below(random, bytes.len() + 1);
        match below(random, 8) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.next_u64().to_le_bytes()[0]),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 if at < bytes.len() => bytes[at] ^= 1 << below(random, 8),
            4 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][below(random, 5)],
            5 => bytes.extend_from_within(at..),
            6 => {
                let other = &others[below(random, others.len())];
                bytes.truncate(at);
                bytes.extend(&other[below(random, other.len())..]);
            }
            _ => {
                let mut noise = vec![0; below(random, 40)];
                random.fill_bytes(&mut noise);
                bytes.splice(at..at, noise);
            }
        }
    }
}

/// A message of each kind that has items, as large as the caps allow.
fn largest_messages() -> [Vec<u8>; 3] {
    let (fee, outpoint) = (Amount::MAX, OutPoint { txid: Txid::from_byte_array([1; 32]), vout: u32::MAX });
    [
        Proposal::DepositSweep(DepositSweepProposal {
            deposits: vec![RevealedDeposit { outpoint, reveal_block: BlockNumber(u64::MAX) }; MAX_ITEMS],
            fee,
        }),
        Proposal::Redemption(RedemptionProposal {
            scripts: vec![ScriptBuf::from_bytes(vec![1; 250]); MAX_ITEMS],
            fee,
        }),
        Proposal::MovingFunds(MovingFundsProposal { targets: vec![KeyHash([1; 20]); MAX_ITEMS], fee }),
    ]
    .map(|proposal| {
        let seat = Seat::try_from(255).unwrap();
        let (wallet, proposed) = (KeyHash([7; 20]), Proposed::Action(proposal.into()));
        CoordinationMessage { seat, coordination_block: BlockNumber(u64::MAX), wallet, proposed }
            .encode()
            .unwrap()
    })
}

#[test]
fn mutated_and_random_inputs_decode_without_panic_or_large_allocation() {
    let inputs =
        std::env::var("COXSWAIN_FUZZ_INPUTS").map_or(20_000, |count| count.parse().expect("a count"));
    let vectors: serde_json::Value = serde_json::from_str(include_str!("../vectors/wire.json")).unwrap();
    let cases = vectors["wire"].as_array().unwrap();
    let encoded = |case: &serde_json::Value| alloy_primitives::hex::decode(case["encoded"].as_str().unwrap());
    let mut corpus: Vec<Vec<u8>> = cases.iter().map(|case| encoded(case).unwrap()).collect();
    corpus.extend(largest_messages());
    let mut random = ChaCha8Rng::seed_from_u64(inputs);
    let (mut decoded, mut attributed, mut most) = (0_u64, 0_u64, 0);
    for _ in 0..inputs {
        let mut bytes = corpus[below(&mut random, corpus.len())].clone();
        if below(&mut random, 8) == 0 {
            random.fill_bytes(&mut bytes);
        }
        mutate(&mut random, &mut bytes, &corpus);
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let message = Decoded::read(&bytes);
        let envelope = Envelope::decode(&bytes);
        most = most.max(MEMORY.peak_usage().saturating_sub(before));
        match message {
            Ok(Decoded::Message(message)) => {
                decoded += 1;
                let again = message.encode().expect("what was read can be written");
                assert_eq!(CoordinationMessage::decode(&again), Ok(message));
            }
            Ok(Decoded::Undecodable(undecodable)) => {
                attributed += 1;
                assert_eq!(CoordinationMessage::decode(&bytes), Err(undecodable.error));
            }
            Err(error) => assert_eq!(CoordinationMessage::decode(&bytes), Err(error)),
        }
        if let Ok(envelope) = envelope {
            decoded += 1;
            // What is longer than what we would send is evidence.
            match envelope.encode() {
                Ok(again) => assert_eq!(Envelope::decode(&again), Ok(envelope)),
                Err(_) => assert!(bytes.len() > MAX_MESSAGE_BYTES, "no envelope grows when written again"),
            }
        }
    }
    println!(
        "{inputs} inputs tried, {decoded} decoded, {attributed} but for their proposal, at most {most} bytes allocated"
    );
    assert!(attributed > inputs / 100, "too few messages of which only the proposal can't be read");
    assert!(decoded > inputs / 20, "mutations are too wild to test more than the first byte");
    assert!(most <= MAX_DECODED_BYTES, "{most} bytes allocated");
}
