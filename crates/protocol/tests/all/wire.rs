//! The wire format: what is written is read back, and what exceeds a cap or is malformed is refused by name.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::Arc;

use bitcoin::{Amount, OutPoint, ScriptBuf, Txid, hashes::Hash};
use coxswain_protocol::{
    MAX_SIGNED_BYTES, Received, ReceivedError, Seat, SigningGroup,
    wire::{
        CoordinationMessage, DecodeError, Decoded, Envelope, MAX_EVIDENCE_BYTES, MAX_ITEMS,
        MAX_MESSAGE_BYTES, MAX_SCRIPT_BYTES, MESSAGE_TYPE, OperatorKey, Proposed, RESERVED_ACTIONS,
        Undecodable, WireError, channel_name,
    },
};
use coxswain_rules::{
    DepositSweepProposal, HeartbeatProposal, KeyHash, MovedFundsSweepProposal, MovingFundsProposal, Proposal,
    RedemptionProposal, RevealedDeposit, units::BlockNumber,
};
use proptest::{collection::vec, prelude::*};

fn fee() -> impl Strategy<Value = Amount> {
    (any::<u64>(), 0_u32..64).prop_map(|(fee, shift)| Amount::from_sat(fee >> shift))
}

fn outpoint() -> impl Strategy<Value = OutPoint> {
    any::<([u8; 32], u32)>().prop_map(|(hash, vout)| OutPoint { txid: Txid::from_byte_array(hash), vout })
}

fn deposit() -> impl Strategy<Value = RevealedDeposit> {
    (outpoint(), any::<u64>()).prop_map(|(outpoint, reveal_block)| RevealedDeposit {
        outpoint,
        reveal_block: BlockNumber(reveal_block),
    })
}

fn script() -> impl Strategy<Value = ScriptBuf> {
    vec(any::<u8>(), 0..200).prop_map(ScriptBuf::from_bytes)
}

fn proposed() -> impl Strategy<Value = Proposed> {
    let proposal = prop_oneof![
        any::<[u8; 16]>()
            .prop_map(|message| Proposal::Heartbeat(HeartbeatProposal { message: message.to_vec() })),
        (vec(deposit(), 0..=MAX_ITEMS), fee())
            .prop_map(|(deposits, fee)| Proposal::DepositSweep(DepositSweepProposal { deposits, fee })),
        (vec(script(), 0..=MAX_ITEMS), fee())
            .prop_map(|(scripts, fee)| Proposal::Redemption(RedemptionProposal { scripts, fee })),
        (vec(any::<[u8; 20]>().prop_map(KeyHash), 0..=MAX_ITEMS), fee())
            .prop_map(|(targets, fee)| Proposal::MovingFunds(MovingFundsProposal { targets, fee })),
        (outpoint(), fee())
            .prop_map(|(outpoint, fee)| Proposal::MovedFundsSweep(MovedFundsSweepProposal { outpoint, fee })),
    ];
    let action = proposal.prop_map(|proposal| Proposed::Action(Arc::new(proposal)));
    let unknown = (6_u32.., vec(any::<u8>(), 0..300))
        .prop_map(|(number, payload)| Proposed::Unknown { number, payload: payload.into() });
    prop_oneof![1 => Just(Proposed::NoOp), 1 => unknown, 8 => action]
}

fn message() -> impl Strategy<Value = CoordinationMessage> {
    (1_u64..=255, any::<u64>(), any::<[u8; 20]>(), proposed()).prop_map(|(seat, block, wallet, proposed)| {
        CoordinationMessage {
            seat: Seat::try_from(seat).unwrap(),
            coordination_block: BlockNumber(block),
            wallet: KeyHash(wallet),
            proposed,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn messages_are_read_back_as_they_were_written(message in message()) {
        let encoded = message.encode().unwrap();
        prop_assert_eq!(CoordinationMessage::decode(&encoded), Ok(message));
    }

    #[test]
    fn envelopes_are_read_back_as_they_were_written(
        key in any::<[u8; 32]>(), payload in vec(any::<u8>(), 0..300), kind in vec(any::<u8>(), 0..30), sequence: u64,
    ) {
        let mut sender = [2; 33];
        sender[1..].copy_from_slice(&key);
        let envelope = Envelope { sender, payload: &payload, kind: &kind, sequence };
        let encoded = envelope.encode().unwrap();
        prop_assert_eq!(Envelope::decode(&encoded), Ok(envelope));
    }
}

fn of(proposed: Proposed) -> CoordinationMessage {
    CoordinationMessage {
        seat: Seat::try_from(1).unwrap(),
        coordination_block: BlockNumber(900),
        wallet: KeyHash([7; 20]),
        proposed,
    }
}

fn act(proposal: Proposal) -> Proposed {
    Proposed::Action(Arc::new(proposal))
}

fn redemption(scripts: Vec<ScriptBuf>) -> CoordinationMessage {
    of(act(Proposal::Redemption(RedemptionProposal { scripts, fee: Amount::ZERO })))
}

fn scripts(count: usize, bytes: usize) -> Vec<ScriptBuf> {
    vec![ScriptBuf::from_bytes(vec![1; bytes]); count]
}

/// A message of seat 1 to block 900 and wallet 07…07 with these bytes as its proposal field.
fn raw(proposal: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x08, 1, 0x10, 0x84, 0x07, 0x1a, 20];
    bytes.extend([7; 20]);
    bytes.extend([0x22, u8::try_from(proposal.len()).unwrap()]);
    bytes.extend(proposal);
    bytes
}

fn refusal(proposal: &[u8]) -> String {
    undecodable(&raw(proposal)).to_string()
}

/// Why the proposal can't be read in a message of seat 1 to block 900 and wallet 07…07.
fn undecodable(message: &[u8]) -> DecodeError {
    match Decoded::read(message) {
        Ok(Decoded::Undecodable(Undecodable { seat, coordination_block, wallet, error })) => {
            assert_eq!((seat.number(), coordination_block, wallet), (1, BlockNumber(900), KeyHash([7; 20])));
            assert_eq!(CoordinationMessage::decode(message), Err(error));
            error
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn caps_hold_at_their_boundaries_for_writers_and_readers() {
    assert!(redemption(scripts(MAX_ITEMS, 3)).encode().is_ok());
    let too_many = DecodeError::TooMany { field: "output scripts", max: MAX_ITEMS };
    assert_eq!(redemption(scripts(MAX_ITEMS + 1, 3)).encode(), Err(too_many));
    assert!(redemption(scripts(1, MAX_SCRIPT_BYTES)).encode().is_ok());
    let too_long = DecodeError::TooLong { field: "output script", actual: 10_001, max: MAX_SCRIPT_BYTES };
    assert_eq!(redemption(scripts(1, MAX_SCRIPT_BYTES + 1)).encode(), Err(too_long));

    let targets = |count| {
        let targets = vec![KeyHash([1; 20]); count];
        of(act(Proposal::MovingFunds(MovingFundsProposal { targets, fee: Amount::ZERO })))
    };
    assert!(targets(MAX_ITEMS).encode().is_ok());
    assert!(targets(MAX_ITEMS + 1).encode().is_err());
    let deposits = |count| {
        let outpoint = OutPoint { txid: Txid::from_byte_array([1; 32]), vout: 0 };
        let deposits = vec![RevealedDeposit { outpoint, reveal_block: BlockNumber(u64::MAX) }; count];
        of(act(Proposal::DepositSweep(DepositSweepProposal { deposits, fee: Amount::MAX })))
    };
    assert!(deposits(MAX_ITEMS).encode().is_ok());
    assert!(deposits(MAX_ITEMS + 1).encode().is_err());

    // Six scripts of 10,000 bytes fit; the seventh is cut so that the message has exactly 64 KiB.
    let filled = |bytes| {
        let mut list = scripts(6, MAX_SCRIPT_BYTES);
        list.extend(scripts(1, bytes));
        redemption(list).encode()
    };
    let spare = MAX_MESSAGE_BYTES - filled(5_000).unwrap().len();
    assert_eq!(filled(5_000 + spare).unwrap().len(), MAX_MESSAGE_BYTES);
    assert_eq!(
        filled(5_000 + spare + 1).unwrap_err().to_string(),
        "coordination message is 65537 bytes, at most 65536 allowed"
    );
    let envelope = |payload: usize| {
        let payload = vec![0; payload];
        Envelope { sender: [2; 33], payload: &payload, kind: MESSAGE_TYPE, sequence: 1 }.encode()
    };
    let spare = MAX_MESSAGE_BYTES - envelope(60_000).unwrap().len();
    assert_eq!(envelope(60_000 + spare).unwrap().len(), MAX_MESSAGE_BYTES);
    assert_eq!(
        envelope(60_000 + spare + 1).unwrap_err().to_string(),
        "envelope is 65537 bytes, at most 65536 allowed"
    );
    assert_eq!(
        Envelope::decode(&vec![0; MAX_EVIDENCE_BYTES + 1]).unwrap_err().to_string(),
        "envelope is 1048577 bytes, at most 1048576 allowed"
    );
}

#[test]
fn packed_reveal_blocks_are_capped_while_they_are_read() {
    // 256 reveal blocks of one byte each, packed.
    let mut payload = vec![0x1a, 0x80, 0x02];
    payload.extend([1; 256]);
    let mut proposal = vec![0x08, 2, 0x12, 0x83, 0x02];
    proposal.extend(payload);
    let mut bytes = raw(&[]);
    bytes.truncate(bytes.len() - 2);
    bytes.extend([0x22, 0x88, 0x02]);
    bytes.extend(proposal);
    let too_many = DecodeError::TooMany { field: "reveal blocks", max: MAX_ITEMS };
    assert_eq!(CoordinationMessage::decode(&bytes), Err(too_many));
}

#[test]
fn a_no_op_is_an_empty_proposal_whatever_payload_it_carries() {
    assert_eq!(of(Proposed::NoOp).encode().unwrap(), raw(&[]));
    assert_eq!(CoordinationMessage::decode(&raw(&[])), Ok(of(Proposed::NoOp)));
    for body in [&[0x12, 1, 9][..], &[0x08, 0, 0x12, 2, 9, 9]] {
        assert_eq!(CoordinationMessage::decode(&raw(body)), Ok(of(Proposed::NoOp)));
    }
    let without = &raw(&[])[..27];
    assert_eq!(undecodable(without), DecodeError::Missing { field: "coordination proposal" });
}

#[test]
fn seats_that_do_not_exist_are_refused() {
    let seat = |number: &[u8]| {
        let mut bytes = raw(&[]);
        bytes.splice(..2, [&[0x08], number].concat());
        CoordinationMessage::decode(&bytes)
            .map(|message| message.seat.number())
            .map_err(|error| error.to_string())
    };
    assert_eq!(seat(&[0]), Err("there is no seat 0, seats are 1 to 255".into()));
    assert_eq!(seat(&[1]), Ok(1));
    assert_eq!(seat(&[0xff, 1]), Ok(255));
    assert_eq!(seat(&[0x80, 2]), Err("there is no seat 256, seats are 1 to 255".into()));
    assert_eq!(
        seat(&[0x81, 0x80, 0x80, 0x80, 0x10]),
        Ok(1),
        "a uint32 keeps the low half of a larger varint"
    );
}

#[test]
fn inc_35_numbers_of_unknown_actions_are_read_with_their_payload() {
    let read = |number: u8| {
        let message = CoordinationMessage::decode(&raw(&[0x08, number, 0x12, 2, 8, 9])).unwrap();
        assert_eq!(message.proposed.action(), None);
        message.proposed
    };
    for number in [6, 9, 10, 127] {
        let payload = [8, 9].into();
        assert_eq!(read(number), Proposed::Unknown { number: number.into(), payload });
    }
    assert_eq!(refusal(&[0x08, 5]), "moving funds tx hash is 0 bytes, 32 expected", "the last known one");
    assert_eq!([5, 6, 9, 10].map(|number| RESERVED_ACTIONS.contains(&number)), [false, true, true, false]);
    // Go keeps the low half of a larger number, so that this is a redemption.
    let cut = CoordinationMessage::decode(&raw(&[0x08, 0x83, 0x80, 0x80, 0x80, 0x10]));
    assert_eq!(cut, Ok(redemption(vec![])));
}

#[test]
fn inc_35_unknown_fields_are_skipped() {
    let mut bytes = raw(&[0x08, 0, 0x4a, 1, 0x78, 0x19, 1, 2, 3, 4, 5, 6, 7, 8]);
    bytes.extend([0x7a, 1, 0x79, 0x85, 1, 1, 2, 3, 4]);
    assert_eq!(CoordinationMessage::decode(&bytes), Ok(of(Proposed::NoOp)));
}

#[test]
fn a_message_of_which_only_the_proposal_cannot_be_read_still_says_whose_it_is() {
    let malformed = |message, source| DecodeError::Malformed { message, source };
    let cut_off = malformed("coordination proposal", WireError::Truncated);
    assert_eq!(undecodable(&raw(&[0x12, 9, 1])), cut_off);
    let mut payload_cut_off = raw(&[0x08, 3, 0x12, 2, 0x0a, 9]);
    assert_eq!(undecodable(&payload_cut_off), malformed("redemption proposal", WireError::Truncated));
    // One proposal that can be read doesn't mend another.
    let mut mended = raw(&[0x12, 9, 1]);
    mended.extend([0x22, 0]);
    assert_eq!(undecodable(&mended), cut_off);
    payload_cut_off.pop();
    let message = malformed("coordination message", WireError::Truncated);
    assert_eq!(undecodable(&payload_cut_off), message);
    // Cut off before the wallet was said, it says nothing.
    assert_eq!(Decoded::read(&payload_cut_off[..20]), Err(message));
    assert_eq!(
        Decoded::read(&payload_cut_off[..5]),
        Err(DecodeError::WrongLength { field: "wallet public key hash", actual: 0, expected: 20 })
    );
}

#[test]
fn a_message_that_is_too_large_is_evidence_up_to_a_mebibyte() {
    let filled = |length: usize| {
        let mut bytes = raw(&[]);
        let junk = length - bytes.len() - 4;
        bytes.extend([0x7a, junk.to_le_bytes()[0] & 0x7f | 0x80]);
        bytes.extend([(junk >> 7).to_le_bytes()[0] & 0x7f | 0x80, (junk >> 14).to_le_bytes()[0]]);
        bytes.extend(vec![0; length - bytes.len()]);
        bytes
    };
    assert_eq!(CoordinationMessage::decode(&filled(MAX_MESSAGE_BYTES)), Ok(of(Proposed::NoOp)));
    let too_long = |actual, max| DecodeError::TooLong { field: "coordination message", actual, max };
    assert_eq!(undecodable(&filled(MAX_MESSAGE_BYTES + 1)), too_long(65_537, MAX_MESSAGE_BYTES));
    assert_eq!(undecodable(&filled(MAX_EVIDENCE_BYTES)), too_long(1_048_576, MAX_MESSAGE_BYTES));
    assert_eq!(Decoded::read(&filled(MAX_EVIDENCE_BYTES + 1)), Err(too_long(1_048_577, MAX_EVIDENCE_BYTES)));
}

/// A key whose bytes are all 1, and a group in which it holds the only seat.
fn alone() -> (OperatorKey, SigningGroup) {
    let secret = bitcoin::secp256k1::SecretKey::from_slice(&[1; 32]).unwrap();
    let key = secret.public_key(&bitcoin::secp256k1::Secp256k1::new());
    let key = OperatorKey::from_compressed(key.serialize()).unwrap();
    (key, SigningGroup::new(vec![key.address()]).unwrap())
}

fn envelope(key: OperatorKey, kind: &[u8], payload: &[u8]) -> Vec<u8> {
    Envelope { sender: key.compressed(), payload, kind, sequence: 1 }.encode().unwrap()
}

#[test]
fn inc_35_a_message_of_another_type_is_none_of_ours() {
    let (key, group) = alone();
    let open = |kind: &[u8]| {
        let bytes = envelope(key, kind, &raw(&[]));
        Received::open(&key, &group, &bytes, [1][..].into()).unwrap()
    };
    assert_eq!(open(MESSAGE_TYPE).message(), Some(&of(Proposed::NoOp)));
    for kind in [&b""[..], b"tbtc/signing", b"tbtc/coordination_message2"] {
        assert_eq!(open(kind).body(), None);
    }
}

#[test]
fn what_is_signed_around_a_message_counts_against_its_cap() {
    let (key, group) = alone();
    let bytes = envelope(key, MESSAGE_TYPE, &raw(&[]));
    let open = |signed: usize| Received::open(&key, &group, &bytes, vec![0; signed].into());
    assert!(open(MAX_SIGNED_BYTES).unwrap().message().is_some());
    for actual in [MAX_SIGNED_BYTES + 1, MAX_EVIDENCE_BYTES] {
        let received = open(actual).unwrap();
        assert_eq!(received.message(), None);
        let Some(Decoded::Undecodable(undecodable)) = received.body() else { panic!("{received:?}") };
        let (field, max) = ("signed message", MAX_SIGNED_BYTES);
        assert_eq!(undecodable.error, DecodeError::TooLong { field, actual, max });
    }
    assert_eq!(open(MAX_EVIDENCE_BYTES + 1), Err(ReceivedError::TooLong { actual: MAX_EVIDENCE_BYTES + 1 }));
}

#[test]
fn fields_of_fixed_length_have_it() {
    let heartbeat = |length: u8| {
        let mut proposal = vec![0x08, 1, 0x12, length + 2, 0x0a, length];
        proposal.extend(vec![0xff; usize::from(length)]);
        CoordinationMessage::decode(&raw(&proposal)).map_err(|error| error.to_string())
    };
    assert_eq!(heartbeat(15), Err("heartbeat message is 15 bytes, 16 expected".into()));
    assert!(heartbeat(16).is_ok());
    assert_eq!(heartbeat(17), Err("heartbeat message is 17 bytes, 16 expected".into()));
    let mut wallet = raw(&[]);
    wallet.splice(5..27, [0x1a, 1, 7]);
    assert_eq!(
        CoordinationMessage::decode(&wallet).unwrap_err().to_string(),
        "wallet public key hash is 1 bytes, 20 expected"
    );
}

#[test]
fn fees_are_minimal_when_written_and_may_have_leading_zeros_when_read() {
    let fee = |bytes: &[u8]| {
        let length = u8::try_from(bytes.len()).unwrap();
        let payload = [&[0x12, length][..], bytes].concat();
        let proposal = [&[0x08, 3, 0x12, length + 2][..], &payload].concat();
        let message = CoordinationMessage::decode(&raw(&proposal)).map_err(|error| error.to_string())?;
        match &message.proposed {
            Proposed::Action(proposal) if let Proposal::Redemption(redemption) = &**proposal => {
                Ok::<_, String>(redemption.fee.to_sat())
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(fee(&[]), Ok(0));
    assert_eq!(fee(&[0, 0, 1, 0]), Ok(256));
    assert_eq!(fee(&[0xff; 8]), Ok(u64::MAX));
    assert_eq!(fee(&[0; 9]), Err("redemption tx fee is 9 bytes, at most 8 allowed".into()));
    let written = |sats| {
        let fee = Amount::from_sat(sats);
        let proposal = Proposal::Redemption(RedemptionProposal { scripts: vec![], fee });
        of(act(proposal)).encode().unwrap()
    };
    assert_eq!(written(0), raw(&[0x08, 3]));
    assert_eq!(written(256), raw(&[0x08, 3, 0x12, 4, 0x12, 2, 1, 0]));
}

#[test]
fn a_deposit_sweep_has_one_reveal_block_per_deposit() {
    let mut proposal = vec![0x08, 2, 0x12, 36, 0x0a, 34, 0x0a, 32];
    proposal.extend([1; 32]);
    assert_eq!(refusal(&proposal), "there are 1 deposits but 0 reveal blocks");
}

#[test]
fn an_identity_is_libp2ps_form_of_a_compressed_secp256k1_key() {
    let generator = bitcoin::secp256k1::SecretKey::from_slice(&[1; 32])
        .unwrap()
        .public_key(&bitcoin::secp256k1::Secp256k1::new());
    let key = OperatorKey::from_compressed(generator.serialize()).unwrap();
    // The address of private key 01…01.
    assert_eq!(key.address().to_string(), "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1");
    assert!(OperatorKey::from_compressed([5; 33]).is_err());

    let envelope = Envelope { sender: key.compressed(), payload: &[1], kind: MESSAGE_TYPE, sequence: 1 };
    let bytes = envelope.encode().unwrap();
    assert_eq!(&bytes[..8], [0x0a, 39, 0x0a, 37, 0x08, 0x02, 0x12, 0x21]);
    for (at, byte) in [(4, 0x09), (5, 0x01), (7, 0x20)] {
        let mut other = bytes.clone();
        other[at] = byte;
        assert_eq!(Envelope::decode(&other), Err(DecodeError::Identity), "byte {at}");
    }
    let topic = channel_name(&generator);
    assert_eq!(topic.len(), "tbtc-".len() + 130 + "-coordination".len());
    assert!(topic.starts_with("tbtc-041b84c5567b126440995d3ed5aaba0565d71e1834604819ff9c17f5e9d5dd078f"));
}
