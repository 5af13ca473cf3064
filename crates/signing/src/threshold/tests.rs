//! Seats that sign together, in memory, and what a cheat among them comes to.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use alloy_primitives::{Address, B256};
use bitcoin::{
    hashes::{Hash, sha256d},
    secp256k1::{Message, Secp256k1, ecdsa::Signature},
};
use coxswain_protocol::{Seat, SigningGroup};
use coxswain_rules::KeyHash;
use k256::{AffinePoint, Scalar, elliptic_curve::group::GroupEncoding};

use super::{keys::times_generator, messages::fields, *};
use crate::{Blame, TestChain, WholeKey};

const CHEAT: u8 = 2;

fn seat(number: u8) -> Seat {
    Seat::try_from(u64::from(number)).unwrap()
}

fn dealt(threshold: u8, seats: u8) -> Vec<Arc<SeatKey>> {
    let group = SigningGroup::new((1..=seats).map(Address::repeat_byte).collect()).unwrap();
    let files = deal(TestChain::new(31337, &[]).unwrap(), &group, threshold).unwrap();
    let keys = files.values().flat_map(|shares| seat_keys(shares).unwrap()).map(Arc::new);
    let keys: Vec<_> = keys.collect();
    assert!(keys.iter().map(|key| key.seat().number()).eq(1..=seats));
    keys
}

/// 3 of 5.
pub(super) fn keys() -> &'static [Arc<SeatKey>] {
    static KEYS: OnceLock<Vec<Arc<SeatKey>>> = OnceLock::new();
    KEYS.get_or_init(|| dealt(3, 5))
}

fn digests(count: usize) -> Vec<Message> {
    let digest = |index: usize| sha256d::Hash::hash(&index.to_be_bytes()).to_byte_array();
    (0..count).map(|index| Message::from_digest(digest(index))).collect()
}

fn setup(seats: &[u8], count: usize) -> Setup {
    let seats = seats.iter().copied().map(seat).collect();
    Setup { context: B256::repeat_byte(7), seats, digests: digests(count) }
}

fn no_one() -> BTreeSet<Seat> {
    BTreeSet::new()
}

/// How it went for a seat, and in which round's messages it saw why.
enum End {
    Signed(Vec<Signature>),
    Failed(u8, Failure),
}

impl End {
    /// Who is named, in which round, and whether it is banned.
    fn named(&self) -> Option<(u8, u8, bool)> {
        match self {
            Self::Failed(round, Failure::Ban(ban)) => Some((ban.seat.number(), *round, true)),
            Self::Failed(round, Failure::Fault { seat, .. }) => Some((seat.number(), *round, false)),
            _ => None,
        }
    }

    fn is_unattributed(&self, in_round: u8) -> bool {
        matches!(self, Self::Failed(round, Failure::Unattributed) if *round == in_round)
    }

    fn lacks(&self, in_round: u8) -> Option<Vec<u8>> {
        match self {
            Self::Failed(round, Failure::Lacking(seats)) if *round == in_round => {
                Some(seats.iter().map(|seat| seat.number()).collect())
            }
            _ => None,
        }
    }
}

/// What stands between the seats: it may change a message (round, sender, receiver), or take it.
type Tamper<'a> = &'a mut dyn FnMut(u8, u8, u8, &mut Option<Vec<u8>>);

enum State {
    One(Round1),
    Two(Round2),
    Three(Round3),
}

type Inbox = BTreeMap<Seat, Vec<u8>>;

/// Hands one round's messages on, between each two seats.
fn deliver(
    round: u8,
    seats: &BTreeSet<Seat>,
    out: &BTreeMap<Seat, Outgoing>,
    tamper: Tamper<'_>,
) -> BTreeMap<Seat, Inbox> {
    let mut inboxes: BTreeMap<Seat, Inbox> = BTreeMap::new();
    for from in seats {
        for to in seats.iter().filter(|to| *to != from) {
            let mut message = out.get(from).and_then(|messages| messages.get(to)).cloned();
            tamper(round, from.number(), to.number(), &mut message);
            if let Some(bytes) = message {
                inboxes.entry(*to).or_default().insert(*from, bytes);
            }
        }
    }
    inboxes
}

/// Runs an attempt with these keys, each with a setup of its own.
fn run_each(seats: Vec<(Arc<SeatKey>, Setup)>, tamper: Tamper<'_>) -> BTreeMap<u8, End> {
    let mut ends = BTreeMap::new();
    let mut states = BTreeMap::new();
    let mut out = BTreeMap::new();
    for (key, setup) in seats {
        let seat = key.seat();
        let (state, messages) = Round1::begin(key, &setup, 0..setup.digests.len(), &no_one())
            .unwrap_or_else(|_| panic!("{seat} begins"));
        states.insert(seat, State::One(state));
        out.insert(seat, messages);
    }
    let all: BTreeSet<Seat> = states.keys().copied().collect();
    for round in 1..=3 {
        let mut inboxes = deliver(round, &all, &std::mem::take(&mut out), tamper);
        for (seat, state) in std::mem::take(&mut states) {
            let inbox = inboxes.remove(&seat).unwrap_or_default();
            let step = match state {
                State::One(state) => state.finish(&inbox).map(|(state, sent)| (State::Two(state), sent)),
                State::Two(state) => state.finish(&inbox).map(|state| {
                    let sent = state.messages();
                    (State::Three(state), sent)
                }),
                State::Three(state) => match state.finish(&inbox) {
                    Ok(signatures) => {
                        ends.insert(seat.number(), End::Signed(signatures));
                        continue;
                    }
                    Err(failure) => Err(failure),
                },
            };
            match step {
                Ok((state, sent)) => {
                    states.insert(seat, state);
                    out.insert(seat, sent);
                }
                Err(failure) => {
                    ends.insert(seat.number(), End::Failed(round, failure));
                }
            }
        }
    }
    ends
}

fn run(setup: &Setup, tamper: Tamper<'_>) -> BTreeMap<u8, End> {
    let keys = keys().iter().filter(|key| setup.seats.contains(&key.seat()));
    run_each(keys.map(|key| (key.clone(), setup.clone())).collect(), tamper)
}

fn honest(_: u8, _: u8, _: u8, _: &mut Option<Vec<u8>>) {}

/// That the seat has signed, and what libsecp256k1 says of it.
fn assert_signed(end: &End, digests: &[Message], key: &SeatKey) {
    let End::Signed(signatures) = end else { panic!("not signed") };
    assert_eq!(signatures.len(), digests.len());
    let secp = Secp256k1::verification_only();
    for (signature, digest) in signatures.iter().zip(digests) {
        secp.verify_ecdsa(digest, signature, key.public()).unwrap();
        let mut low = *signature;
        low.normalize_s();
        assert_eq!(low, *signature);
    }
}

fn nobody_signed(ends: &BTreeMap<u8, End>) -> bool {
    ends.values().all(|end| !matches!(end, End::Signed(_)))
}

#[test]
fn any_three_of_five_sign_and_all_get_the_same_signature() {
    for a in 1..=5 {
        for b in a + 1..=5 {
            for c in b + 1..=5 {
                let setup = setup(&[a, b, c], 1);
                let ends = run(&setup, &mut honest);
                assert_eq!(ends.len(), 3);
                let signed: BTreeSet<String> = ends
                    .values()
                    .map(|end| {
                        assert_signed(end, &setup.digests, &keys()[0]);
                        let End::Signed(signatures) = end else { unreachable!() };
                        format!("{signatures:?}")
                    })
                    .collect();
                assert_eq!(signed.len(), 1);
            }
        }
    }
}

#[test]
fn a_sweep_of_21_inputs_is_signed_in_three_rounds() {
    let setup = setup(&[1, 3, 5], 21);
    let mut sizes = BTreeMap::new();
    let ends = run(&setup, &mut |round, _, _, message| {
        let length = message.as_ref().unwrap().len();
        assert_eq!(*sizes.entry(round).or_insert(length), length);
    });
    for end in ends.values() {
        assert_signed(end, &setup.digests, &keys()[0]);
    }
    assert_eq!(sizes.into_values().collect::<Vec<_>>(), ROUND_BYTES.map(|bytes| bytes * 21));
    assert_eq!(ROUND_BYTES, [26_746, 53_700, 64]);
}

/// Which fields a bit is flipped in by default: one for each way in which it shows. With COXSWAIN_FLIPS=all, each field is taken, at
/// its beginning and its end.
const FLIPPED: [(u8, &str); 6] = [
    (1, "session_binding"),
    (1, "commitment"),
    (1, "u"),
    (2, "instance_point"),
    (2, "public_share"),
    (2, "gamma_sender"),
];

/// One bit, in fields of each message, in the second of two sessions.
#[test]
fn a_flipped_bit_in_any_field_is_named_in_rounds_1_and_2_and_fails_in_round_3() {
    // The field; the round whose messages show it; whether it must, or may, or must not be a ban.
    let expected: [(u8, &str, u8, Option<bool>); 18] = [
        (1, "session_binding", 1, Some(false)),
        (1, "commitment", 2, Some(false)),
        (1, "nonce", 1, Some(true)),
        (1, "u", 1, Some(true)),
        (1, "verify_x", 1, Some(true)),
        (1, "verify_t", 1, Some(true)),
        (2, "session_binding", 2, Some(false)),
        // Half of the points that are changed are none.
        (2, "gamma_u", 2, None),
        (2, "gamma_v", 2, None),
        (2, "public_share", 2, None),
        (2, "instance_point", 2, Some(false)),
        (2, "psi", 2, Some(false)),
        (2, "salt", 2, Some(false)),
        (2, "tau", 2, Some(true)),
        (2, "ote_salt", 2, Some(true)),
        (2, "verify_r", 2, Some(true)),
        (2, "verify_u", 2, Some(true)),
        (2, "gamma_sender", 2, Some(true)),
    ];
    let all = std::env::var("COXSWAIN_FLIPS").is_ok_and(|flips| flips == "all");
    assert!(FLIPPED.iter().all(|(round, field)| expected.iter().any(|of| (of.0, of.1) == (*round, *field))));
    let setup = setup(&[1, CHEAT, 3], 2);
    for (round, field, seen, ban) in expected {
        if !all && !FLIPPED.contains(&(round, field)) {
            continue;
        }
        let range = fields(round).into_iter().find(|(name, _)| *name == field).unwrap().1;
        let ends = [Some(range.end - 1), all.then_some(range.start + 1)];
        for at in ends.into_iter().flatten() {
            let at = ROUND_BYTES[usize::from(round) - 1] + at;
            let ends = run(&setup, &mut |this, from, to, message| {
                if (this, from, to) == (round, CHEAT, 1) {
                    message.as_mut().unwrap()[at] ^= 1;
                }
            });
            let (named, in_round, banned) = ends[&1].named().unwrap_or_else(|| panic!("{field}, {at}"));
            assert_eq!((named, in_round), (CHEAT, seen), "{field}, {at}");
            assert!(ban.is_none_or(|ban| ban == banned), "{field}, {at}: {banned}");
            // Whoever has seen it says nothing more, and nobody signs without it.
            assert!(ends[&3].lacks(seen + 1).is_some_and(|lacking| lacking.contains(&1)), "{field}, {at}");
            assert!(nobody_signed(&ends));
        }
    }
    for (field, range) in fields(3) {
        let at = ROUND_BYTES[2] + range.end - 1;
        let ends = run(&setup, &mut |this, from, to, message| {
            if (this, from, to) == (3, CHEAT, 1) {
                message.as_mut().unwrap()[at] ^= 1;
            }
        });
        assert!(ends[&1].is_unattributed(3), "{field}: never say who");
        assert_signed(&ends[&3], &setup.digests, &keys()[0]);
    }
}

#[test]
fn a_message_of_another_length_is_a_fault_of_its_sender() {
    let setup = setup(&[1, CHEAT, 3], 1);
    for round in 1..=3 {
        for change in 0..3 {
            let ends = run(&setup, &mut |this, from, to, message| {
                if (this, from, to) == (round, CHEAT, 1) {
                    let bytes = message.as_mut().unwrap();
                    match change {
                        0 => bytes.clear(),
                        1 => bytes.truncate(bytes.len() - 1),
                        _ => bytes.push(0),
                    }
                }
            });
            assert_eq!(ends[&1].named(), Some((CHEAT, round, false)));
        }
    }
}

#[test]
fn silence_is_named_and_nothing_of_the_next_round_leaves() {
    let setup = setup(&[1, CHEAT, 3], 1);
    for round in 1..=3 {
        let mut later = 0;
        let ends = run(&setup, &mut |this, from, _, message| {
            later += u32::from(this > round && message.is_some());
            if this == round && from == CHEAT {
                *message = None;
            }
        });
        for honest in [1, 3] {
            assert_eq!(ends[&honest].lacks(round), Some(vec![CHEAT]));
        }
        // The silent one has heard the others, and goes on by itself.
        assert_eq!(later, if round == 3 { 0 } else { 2 });
    }
}

/// A seat that sends one thing to one and another to another, each whole in itself: nobody signs, and it can't be told who.
#[test]
fn two_faces_sign_nothing() {
    let setup = setup(&[1, CHEAT, 3], 1);
    let key = &keys()[usize::from(CHEAT) - 1];
    let (mask, faces) = Round1::begin(key.clone(), &setup, 0..setup.digests.len(), &no_one())
        .unwrap_or_else(|_| panic!("begins"));
    let mut mask = Some(mask);
    let mut from_one = None;
    let mut to_three = None;
    let ends = run(&setup, &mut |round, from, to, message| match (round, from, to) {
        (1, CHEAT, 3) => *message = Some(faces[&seat(3)].clone()),
        // The second face needs round 1 of both.
        (1, 1, CHEAT) => from_one.clone_from(message),
        (1, 3, CHEAT) => {
            let inbox =
                BTreeMap::from([(seat(1), from_one.clone().unwrap()), (seat(3), message.clone().unwrap())]);
            let (_, answers) = mask.take().unwrap().finish(&inbox).unwrap_or_else(|_| panic!("answers"));
            to_three = Some(answers[&seat(3)].clone());
        }
        (2, CHEAT, 3) => message.clone_from(&to_three),
        (3, CHEAT, _) => *message = Some(vec![1; 64]),
        _ => {}
    });
    assert!(ends[&1].is_unattributed(3) && ends[&3].is_unattributed(3));
    assert!(nobody_signed(&ends));
}

/// A share that isn't its own, used alike with everybody: round 2 shows that somebody did, and not who.
#[test]
fn a_consistent_wrong_share_fails_before_round_3_and_is_not_named() {
    let setup = setup(&[1, CHEAT, 3], 1);
    let mut wrong = dealt_again();
    wrong.party.poly_point += Scalar::ONE;
    let seats = vec![
        (keys_again()[0].clone(), setup.clone()),
        (Arc::new(wrong), setup.clone()),
        (keys_again()[2].clone(), setup.clone()),
    ];
    let ends = run_each(seats, &mut honest);
    assert!(ends[&1].is_unattributed(2) && ends[&3].is_unattributed(2));
    assert!(nobody_signed(&ends));
}

/// A group of its own, so that one of its keys can be changed.
fn again() -> &'static BTreeMap<Address, crate::store::Shares> {
    static SHARES: OnceLock<BTreeMap<Address, crate::store::Shares>> = OnceLock::new();
    SHARES.get_or_init(|| {
        let group = SigningGroup::new((1..=5).map(Address::repeat_byte).collect()).unwrap();
        deal(TestChain::new(31337, &[]).unwrap(), &group, 3).unwrap()
    })
}

fn keys_again() -> Vec<Arc<SeatKey>> {
    again().values().flat_map(|shares| seat_keys(shares).unwrap()).map(Arc::new).collect()
}

fn dealt_again() -> SeatKey {
    seat_keys(&again()[&Address::repeat_byte(CHEAT)]).unwrap().remove(0)
}

#[test]
fn messages_of_another_session_seat_or_attempt_are_faults() {
    let setup = setup(&[1, CHEAT, 3], 2);
    // What the cheat would send in another attempt.
    let mut recorded: BTreeMap<(u8, u8), Vec<u8>> = BTreeMap::new();
    let mut record = |round, from, to, message: &mut Option<Vec<u8>>| {
        if from == CHEAT {
            recorded.insert((round, to), message.clone().unwrap());
        }
    };
    let other = Setup { context: B256::repeat_byte(8), ..setup.clone() };
    run(&other, &mut record);
    for round in 1..=2 {
        let ends = run(&setup, &mut |this, from, to, message| {
            if (this, from) == (round, CHEAT) {
                *message = Some(recorded[&(round, to)].clone());
            }
        });
        assert_eq!(ends[&1].named(), Some((CHEAT, round, false)), "another attempt's");
    }
    // Of an earlier run of the very same attempt: round 2 doesn't answer this round 1.
    let mut recorded: BTreeMap<(u8, u8), Vec<u8>> = BTreeMap::new();
    run(&setup, &mut |round, from, to, message| {
        if from == CHEAT {
            recorded.insert((round, to), message.clone().unwrap());
        }
    });
    let ends = run(&setup, &mut |this, from, to, message| {
        if (this, from) == (2, CHEAT) {
            *message = Some(recorded[&(2, to)].clone());
        }
    });
    assert_eq!(ends[&1].named(), Some((CHEAT, 2, false)), "the same attempt's, run before");
    for round in 1..=2_u8 {
        let size = ROUND_BYTES[usize::from(round) - 1];
        let ends = run(&setup, &mut |this, from, to, message| {
            if (this, from, to) == (round, CHEAT, 1) {
                message.as_mut().unwrap().rotate_left(size);
            }
        });
        assert_eq!(ends[&1].named(), Some((CHEAT, round, false)), "the sessions' order");
        // What seat 3 sent to seat 1, passed on as the cheat's own, and what it sent to seat 3.
        let mut last = None;
        let ends = run(&setup, &mut |this, from, to, message| match (this == round, from, to) {
            (true, CHEAT, 1) => last.clone_from(message),
            (true, CHEAT, 3) => *message = last.take(),
            _ => {}
        });
        assert_eq!(ends[&3].named(), Some((CHEAT, round, false)), "another receiver's");
    }
}

/// Whoever is asked to sign something else, or with others, is in another session.
#[test]
fn nothing_is_signed_that_was_not_the_job() {
    let job = setup(&[1, CHEAT, 3], 2);
    let mut other = job.clone();
    other.digests[1] = digests(3)[2];
    let mut reordered = job.clone();
    reordered.digests.reverse();
    for wrong in [other, reordered] {
        let seats = keys().iter().filter(|key| job.seats.contains(&key.seat()));
        let with = |key: &Arc<SeatKey>| {
            (key.clone(), if key.seat() == seat(CHEAT) { wrong.clone() } else { job.clone() })
        };
        let ends = run_each(seats.map(with).collect(), &mut honest);
        assert_eq!(ends[&1].named(), Some((CHEAT, 1, false)));
        assert_eq!(ends[&3].named(), Some((CHEAT, 1, false)));
        assert!(nobody_signed(&ends));
    }
}

#[test]
fn an_attempt_begins_only_with_the_thresholds_number_of_seats_and_none_that_is_banned() {
    let begin = |setup: &Setup, banned: &BTreeSet<Seat>| {
        Round1::begin(keys()[0].clone(), setup, 0..setup.digests.len(), banned).err()
    };
    assert!(begin(&setup(&[1, 2, 3], 1), &BTreeSet::from([seat(4)])).is_none());
    let refused = [
        begin(&setup(&[1, 2, 3], 1), &BTreeSet::from([seat(3)])),
        begin(&setup(&[1, 2], 1), &no_one()),
        begin(&setup(&[1, 2, 3, 4], 1), &no_one()),
        begin(&setup(&[2, 3, 4], 1), &no_one()),
        begin(&setup(&[1, 2, 6], 1), &no_one()),
        begin(&setup(&[1, 2, 3], 0), &no_one()),
        begin(&setup(&[1, 2, 3], MAX_SESSIONS + 1), &no_one()),
    ];
    for failure in refused {
        assert!(matches!(failure, Some(Failure::Local(_))));
    }
}

#[tokio::test]
async fn a_ban_is_durable_before_it_is_a_blame() {
    let setup = setup(&[1, CHEAT, 3], 1);
    let at = fields(1)[5].1.start;
    let mut ends = run(&setup, &mut |round, from, to, message| {
        if (round, from, to) == (1, CHEAT, 1) {
            message.as_mut().unwrap()[at] ^= 1;
        }
    });
    let Some(End::Failed(1, Failure::Ban(ban))) = ends.remove(&1) else { panic!("no ban") };
    let (bans, wallet) = (MemoryBans::default(), KeyHash([1; 20]));
    let blame = ban.record(&bans, 31337, wallet).await.unwrap();
    assert!(matches!(blame, Blame::Ban { seat: banned, by, .. } if (banned, by) == (seat(CHEAT), seat(1))));
    let banned = bans.banned(31337, wallet, seat(1)).await.unwrap();
    assert_eq!(banned, BTreeSet::from([seat(CHEAT)]));
    assert!(matches!(
        Round1::begin(keys()[0].clone(), &setup, 0..setup.digests.len(), &banned).err(),
        Some(Failure::Local(_))
    ));
    for (chain_id, wallet, by) in [(1337, wallet, 1), (31337, KeyHash([2; 20]), 1), (31337, wallet, 3)] {
        assert!(bans.banned(chain_id, wallet, seat(by)).await.unwrap().is_empty());
    }
}

#[test]
fn a_whole_key_is_shared_out_as_itself() {
    let group = SigningGroup::new((1..=3).map(Address::repeat_byte).collect()).unwrap();
    let key = WholeKey::from_bytes(&[7; 32]).unwrap();
    let files = deal_key(TestChain::new(31337, &[]).unwrap(), &group, 2, &key).unwrap();
    let public = bitcoin::secp256k1::SecretKey::from_slice(&[7; 32]).unwrap().public_key(&Secp256k1::new());
    assert!(files.values().all(|shares| shares.info().wallet_key == public));
}

#[test]
fn dealt_shares_are_of_one_key_and_of_their_scheme() {
    let holders = [1, 2, 1, 3, 1].map(Address::repeat_byte).to_vec();
    let group = SigningGroup::new(holders).unwrap();
    let chain = TestChain::new(31337, &[]).unwrap();
    let files = deal(chain, &group, 2).unwrap();
    let seats = |operator: u8| {
        let info = files[&Address::repeat_byte(operator)].info();
        assert!(info.dealt && (info.chain_id, info.threshold, info.group_size) == (31337, 2, 5));
        info.seats.iter().map(|seat| seat.number()).collect::<Vec<_>>()
    };
    assert_eq!([seats(1), seats(2), seats(3)], [vec![1, 3, 5], vec![2], vec![4]]);
    let keys: BTreeSet<_> = files.values().map(|shares| shares.info().wallet_key).collect();
    assert_eq!(keys.len(), 1);
    for shares in files.values() {
        for key in seat_keys(shares).unwrap() {
            let own = times_generator(&key.party.poly_point).to_bytes();
            let stated = shares.core().verifying()[usize::from(key.seat().number()) - 1].serialize();
            assert_eq!(own.as_slice(), stated);
            assert_ne!(key.party.pk, AffinePoint::IDENTITY);
        }
    }
    let another = deal(chain, &group, 2).unwrap();
    assert_ne!(another.values().next().unwrap().info().wallet_key, *keys.first().unwrap());
    for threshold in [0, 1, 6] {
        assert!(matches!(deal(chain, &group, threshold), Err(KeyError::Group { .. })));
    }
}
