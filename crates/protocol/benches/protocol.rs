//! What a member computes for each window and for each message: `cargo bench -p coxswain-protocol`.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark fails by panicking")]

use std::{hint::black_box, sync::Arc};

use alloy_primitives::{Address, B256};
use bitcoin::{
    Amount, OutPoint, Txid,
    hashes::Hash,
    secp256k1::{Secp256k1, SecretKey},
};
use coxswain_protocol::{
    Assignment, Assurance, Command, Event, Member, Received, SafeHashes, Setup, SigningGroup, Window,
    WindowParameters,
    wire::{CoordinationMessage, Envelope, MESSAGE_TYPE, OperatorKey, Proposed},
};
use coxswain_rules::{DepositSweepProposal, KeyHash, Proposal, RevealedDeposit, units::BlockNumber};
use criterion::{Criterion, criterion_group, criterion_main};

const WALLET: KeyHash = KeyHash([7; 20]);

fn window() -> Window {
    Window::numbered(&WindowParameters::default(), 16).unwrap()
}

fn keys() -> Vec<OperatorKey> {
    let secrets = (1..=100).map(|number| SecretKey::from_slice(&[number; 32]).unwrap());
    let publics = secrets.map(|secret| secret.public_key(&Secp256k1::new()).serialize());
    publics.map(|public| OperatorKey::from_compressed(public).unwrap()).collect()
}

fn group() -> SigningGroup {
    SigningGroup::new(keys().iter().map(OperatorKey::address).collect::<Vec<Address>>()).unwrap()
}

fn sweep(group: &SigningGroup, author: &OperatorKey) -> CoordinationMessage {
    let outpoint = OutPoint { txid: Txid::from_byte_array([1; 32]), vout: 1 };
    let deposits = vec![RevealedDeposit { outpoint, reveal_block: BlockNumber(20_000_000) }; 20];
    CoordinationMessage {
        seat: group.first_seat(author.address()).unwrap(),
        coordination_block: window().block(),
        wallet: WALLET,
        proposed: Proposed::Action(Arc::new(Proposal::DepositSweep(DepositSweepProposal {
            deposits,
            fee: Amount::from_sat(10_000),
        }))),
    }
}

fn leader_of_100_seats(c: &mut Criterion) {
    let (network, group) = (WindowParameters::default(), group());
    c.bench_function("assignment_of_100_seats", |b| {
        b.iter(|| Assignment::new(&network, window(), WALLET, black_box(&group), B256::repeat_byte(1)));
    });
    let holders = group.holders().to_vec();
    c.bench_function("group_of_100_seats", |b| b.iter(|| SigningGroup::new(black_box(holders.clone()))));
}

fn decoding_a_20_deposit_message(c: &mut Criterion) {
    let encoded = sweep(&group(), keys().first().unwrap()).encode().unwrap();
    c.bench_function("decode_20_deposits", |b| b.iter(|| CoordinationMessage::decode(black_box(&encoded))));
}

fn a_member_under_100_000_messages(c: &mut Criterion) {
    let (keys, group, network) = (keys(), Arc::new(group()), WindowParameters::default());
    let hash = B256::repeat_byte(1);
    let assignment = Assignment::new(&network, window(), WALLET, &group, hash);
    let me = keys.iter().find(|key| key.address() != assignment.leader).unwrap();
    // 1,000 messages from each of 100 members, opened as they come from the network.
    let messages: Vec<_> = (0..100_000_u64)
        .zip(keys.iter().cycle())
        .map(|(number, author)| {
            let payload = sweep(&group, author).encode().unwrap();
            let (sender, sequence) = (author.compressed(), number / 100);
            let envelope =
                Envelope { sender, payload: &payload, kind: MESSAGE_TYPE, sequence }.encode().unwrap();
            (*author, envelope)
        })
        .collect();
    let (group_of, key) = (Arc::clone(&group), *me);
    let setup = Setup { network, wallet: WALLET, group: group_of, key, first_sequence: 1, observes: false };
    let mut slow = c.benchmark_group("member_under_100_000_messages");
    slow.sample_size(10);
    slow.bench_function("open_and_hear", |b| {
        b.iter(|| {
            let mut member = Member::new(setup.clone());
            member.handle(Event::Block(window().block())).unwrap();
            let Some(Command::ReadSafeHash { question, .. }) = member.poll() else { panic!("no question") };
            let hashes = SafeHashes { canonical: hash, legacy_header: hash };
            member.handle(Event::SafeHash { question, hashes, assurance: Assurance::Agreed }).unwrap();
            for (author, envelope) in &messages {
                let received =
                    Received::open(author, &group, envelope, Arc::from(envelope.as_slice())).unwrap();
                let _ = black_box(member.handle(Event::Message(received)));
            }
            member.retained_bytes()
        });
    });
    slow.finish();
}

criterion_group!(
    benches,
    leader_of_100_seats,
    decoding_a_20_deposit_message,
    a_member_under_100_000_messages
);
criterion_main!(benches);
