//! What the deployed Go client itself said: its codec's answers to coordination messages, and a whole run of its
//! executor. Recorded from it, so that nothing here rests on our reading of the protocol.

use alloy_primitives::{B256, hex};
use bitcoin::{
    Amount, OutPoint, ScriptBuf, Txid,
    hashes::{Hash, hash160, sha256},
    secp256k1::{PublicKey, Secp256k1, SecretKey},
};
use coxswain_protocol::{
    Assignment, Seat, SigningGroup, WindowParameters,
    wire::{CoordinationMessage, Decoded, OperatorKey, Proposed, RESERVED_ACTIONS},
};
use coxswain_rules::{
    Action, DepositSweepProposal, HeartbeatProposal, KeyHash, MovedFundsSweepProposal, MovingFundsProposal,
    Proposal, RedemptionProposal, RevealedDeposit, units::BlockNumber,
};

use crate::check::Node;

const WIRE: &str = include_str!("../../../vectors/coordination_wire.json");
const RUN: &str = include_str!("../../../vectors/executor_run.json");

/// Each message to which our answer is meant to be another than the Go client's: its answer, and ours. The reasons are
/// seats from 1 to 255, one reveal block a deposit, caps, and action numbers that are told apart from garbage.
const DIFFERENCES: [(&str, &str, &str); 7] = [
    ("seat_0", "accepted", "refused: there is no seat 0, seats are 1 to 255"),
    ("action_6", "refused", "not understood: action 6"),
    ("action_256", "refused", "leader mistake: action 256"),
    ("sweep_fewer_reveal_blocks", "accepted", "undecodable: there are 2 deposits but 1 reveal blocks"),
    ("redemption_fee_9_bytes", "accepted", "undecodable: redemption tx fee is 9 bytes, at most 8 allowed"),
    ("redemption_1000_scripts", "accepted", "undecodable: there are more than 255 output scripts"),
    (
        "redemption_script_100000_bytes",
        "accepted",
        "undecodable: coordination message is 100041 bytes, at most 65536 allowed",
    ),
];

/// What we make of a message, and how we write it again if we accept it.
fn answer(bytes: &[u8]) -> (String, Option<String>) {
    match Decoded::read(bytes) {
        Ok(Decoded::Message(message)) => match message.proposed {
            Proposed::Unknown { number, .. } if RESERVED_ACTIONS.contains(&number) => {
                (format!("not understood: action {number}"), None)
            }
            Proposed::Unknown { number, .. } => (format!("leader mistake: action {number}"), None),
            Proposed::NoOp | Proposed::Action(_) => {
                ("accepted".to_owned(), Some(hex::encode(message.encode().unwrap())))
            }
        },
        Ok(Decoded::Undecodable(undecodable)) => (format!("undecodable: {}", undecodable.error), None),
        Err(error) => (format!("refused: {error}"), None),
    }
}

/// The messages of which the file gives only the length.
fn large(name: &str, wallet: &[u8]) -> Vec<u8> {
    let field = |tag: u8, bytes: &[u8]| {
        let mut out = vec![tag];
        let mut length = bytes.len();
        while length > 0x7f {
            out.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        out.push(u8::try_from(length).unwrap());
        [out, bytes.to_vec()].concat()
    };
    let payload = match name {
        "redemption_1000_scripts" => [0x0a, 1, 0x6a].repeat(1000),
        "redemption_script_100000_bytes" => field(0x0a, &[0x6a; 100_000]),
        other => panic!("{other} has no bytes"),
    };
    let proposal = [vec![0x08, 3], field(0x12, &payload)].concat();
    [vec![0x08, 1, 0x10, 0x84, 0x07], field(0x1a, wallet), field(0x22, &proposal)].concat()
}

/// Gives the names of the entries, those that were decoded and those that were encoded.
fn check_wire(json: &str) -> (Vec<String>, Vec<String>) {
    let (root, unread) = Node::root(serde_json::from_str(json).unwrap());
    assert!(root.at("how_made").text().starts_with("Encoded and decoded by the Go client's"));
    let wallet = root.at("wallet_public_key_hash").bytes();

    let mut decoded = Vec::new();
    for case in root.at("decode").items() {
        let (name, accepted) = (case.at("name").text(), case.at("accepted").flag());
        let bytes = match case.get("length") {
            Some(length) => {
                let bytes = large(&name, &wallet);
                assert_eq!(bytes.len() as u64, length.number(), "{name}");
                bytes
            }
            None => case.at("bytes").bytes(),
        };
        let (ours, written) = answer(&bytes);
        let reencoded = case.get("reencoded").map(|again| again.text());
        let gos = if accepted { "accepted" } else { "refused" };
        match DIFFERENCES.iter().find(|(different, ..)| *different == name) {
            Some((_, expected_gos, expected)) => {
                assert_eq!((gos, ours.as_str()), (*expected_gos, *expected), "{name}");
            }
            None if accepted => {
                assert_eq!((ours.as_str(), &written), ("accepted", &reencoded), "{name}");
            }
            None => {
                assert!(ours.starts_with("undecodable: ") || ours.starts_with("refused: "), "{name}: {ours}")
            }
        }
        decoded.push(name);
    }

    let mut encoded = Vec::new();
    for case in root.at("encode").items() {
        let name = case.at("name").text();
        let message = CoordinationMessage {
            seat: Seat::try_from(case.at("seat").number()).unwrap(),
            coordination_block: BlockNumber(case.at("coordination_block").number()),
            wallet: KeyHash(wallet.clone().try_into().unwrap()),
            proposed: said(&name),
        };
        assert_eq!(message.proposed.action().map_or(0, |action| action as u64), case.at("action").number());
        let bytes = case.at("bytes").bytes();
        assert_eq!(hex::encode(message.encode().unwrap()), hex::encode(&bytes), "{name}");
        assert_eq!(CoordinationMessage::decode(&bytes), Ok(message), "{name}");
        encoded.push(name);
    }
    let unread = unread.borrow();
    assert!(unread.is_empty(), "{} places went unread, the first is {:?}", unread.len(), unread.first());
    (decoded, encoded)
}

/// What the Go client was asked to encode, by the entry's name.
fn said(name: &str) -> Proposed {
    let txid = Txid::from_byte_array(std::array::from_fn(|at| u8::try_from(at).unwrap()));
    let deposit = |vout, reveal_block| RevealedDeposit { outpoint: OutPoint { txid, vout }, reveal_block };
    let script = |bytes: &[u8]| ScriptBuf::from_bytes(bytes.to_vec());
    let sats = Amount::from_sat;
    let proposal = match name {
        "noop" => return Proposed::NoOp,
        "heartbeat" => Proposal::Heartbeat(HeartbeatProposal {
            message: hex::decode("ffffffffffffffff0102030405060708").unwrap(),
        }),
        "deposit_sweep_hash_bytes_00_to_1f_internal_order" => Proposal::DepositSweep(DepositSweepProposal {
            deposits: vec![deposit(0, BlockNumber(100)), deposit(1, BlockNumber(21_000_000))],
            fee: sats(12_345),
        }),
        "redemption_zero_fee" => Proposal::Redemption(RedemptionProposal {
            scripts: vec![script(&[0, 0x14, 1, 2, 3]), script(&[0x76, 0xa9])],
            fee: sats(0),
        }),
        "moving_funds" => {
            let mut last = [0; 20];
            last[0] = 1;
            let first = hex::decode("aa768412ceed10bd423c025542ca90071f9fb62d").unwrap();
            let targets = vec![KeyHash(first.try_into().unwrap()), KeyHash(last)];
            Proposal::MovingFunds(MovingFundsProposal { targets, fee: sats(256) })
        }
        "moved_funds_sweep" => Proposal::MovedFundsSweep(MovedFundsSweepProposal {
            outpoint: OutPoint { txid, vout: 0 },
            fee: sats(255),
        }),
        other => panic!("{other} is not known"),
    };
    Proposed::Action(proposal.into())
}

#[test]
fn messages_are_answered_as_the_go_client_answers_them_but_where_we_mean_to_differ() {
    let (decoded, encoded) = check_wire(WIRE);
    assert_eq!((decoded.len(), encoded.len()), (25, 6));
    for (name, ..) in DIFFERENCES {
        assert!(decoded.iter().any(|decoded| decoded == name), "there is no {name}");
    }
}

#[test]
#[should_panic(expected = "1 places went unread, the first is Some(\"/decode/0/unheard_of\")")]
fn a_field_of_a_recorded_message_that_goes_unread_fails() {
    let mut vectors: serde_json::Value = serde_json::from_str(WIRE).unwrap();
    vectors["decode"][0]["unheard_of"] = 1.into();
    check_wire(&vectors.to_string());
}

#[test]
#[should_panic(expected = "1 places went unread, the first is Some(\"/windows_in_order/4/unheard_of\")")]
fn a_field_of_the_recorded_run_that_goes_unread_fails() {
    let mut run: serde_json::Value = serde_json::from_str(RUN).unwrap();
    run["windows_in_order"][4]["unheard_of"] = 1.into();
    check_run(&run.to_string());
}

#[test]
fn leaders_and_checklists_of_a_whole_run_are_the_go_executors() {
    assert_eq!(check_run(RUN), [900, 1800, 2700, 3600, 900]);
}

/// Gives the coordination blocks of the run's windows.
fn check_run(json: &str) -> Vec<u64> {
    let (run, unread) = Node::root(serde_json::from_str(json).unwrap());
    assert!(run.at("how_made").text().contains("hash was set to SHA-256 of its 8-byte big-endian number"));
    let secp = Secp256k1::new();
    let operator = |secret: &Node| {
        let key = SecretKey::from_slice(&secret.bytes()).unwrap().public_key(&secp);
        OperatorKey::from_compressed(key.serialize()).unwrap().address()
    };
    let holders: Vec<_> = run.at("operators_by_seat_private_keys").items().iter().map(operator).collect();
    let go_client = holders[0];
    let group = SigningGroup::new(holders).unwrap();
    let key = PublicKey::from_slice(&run.at("wallet_public_key_uncompressed").bytes()).unwrap();
    let wallet = KeyHash(hash160::Hash::hash(&key.serialize()).to_byte_array());
    assert_eq!(wallet.0.to_vec(), run.at("wallet_public_key_hash").bytes());

    let mut blocks = Vec::new();
    for recorded in run.at("windows_in_order").items() {
        let block = recorded.at("coordination_block").number();
        // At these blocks mainnet's checklists are still those of the client that was recorded.
        let window = WindowParameters::MAINNET.window_at(BlockNumber(block)).unwrap();
        assert_eq!(window.safe_block(), BlockNumber(recorded.at("safe_block").number()));
        let hash = B256::from(sha256::Hash::hash(&window.safe_block().0.to_be_bytes()).to_byte_array());
        assert_eq!(hash.to_vec(), recorded.at("safe_block_hash").bytes());

        let assignment = Assignment::new(&WindowParameters::MAINNET, window, wallet, &group, hash);
        assert_eq!(assignment.seed.0.to_vec(), recorded.at("seed").bytes(), "{block}");
        assert_eq!(assignment.leader.to_checksum(None), recorded.at("leader").text(), "{block}");
        let ours: Vec<_> = assignment.checklist.actions().map(go_name).collect();
        let gos: Vec<_> = recorded.at("checklist").items().iter().map(Node::text).collect();
        assert_eq!(ours, gos, "{block}");

        let result = recorded.at("go_result");
        let at = result.at("at_block").number();
        if let Some(error) = result.get("err") {
            assert!(error.text().contains("coordination message not received on time"));
            assert_eq!(at, window.active_end().0);
        } else {
            let action = result.at("action").text();
            assert!(action == "Noop" || ours.contains(&action.as_str()), "{action}");
            assert_eq!(result.at("i_lead").flag(), assignment.leader == go_client, "{block}");
            assert!((block..window.active_end().0).contains(&at), "{at}");
            let faults = result.at("faults").text();
            assert_eq!(faults == "[]", block != 2700, "{faults}");
        }
        assert!(recorded.at("messages_sent_by_rust_peer").whole().is_array());
        blocks.push(block);
    }
    let unread = unread.borrow();
    assert!(unread.is_empty(), "{} places went unread, the first is {:?}", unread.len(), unread.first());
    blocks
}

const fn go_name(action: Action) -> &'static str {
    match action {
        Action::Heartbeat => "Heartbeat",
        Action::DepositSweep => "DepositSweep",
        Action::Redemption => "Redemption",
        Action::MovingFunds => "MovingFunds",
        Action::MovedFundsSweep => "MovedFundsSweep",
    }
}
