//! Checks this crate against a file of vectors, and that no part of the file went unread.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a check fails by panicking")]

use std::{cell::RefCell, collections::BTreeSet, rc::Rc};

use alloy_consensus::Header;
use alloy_primitives::{B256, hex};
use bitcoin::{Amount, OutPoint, ScriptBuf, Txid, hashes::Hash};
use coxswain_protocol::{
    Assignment, GoRand, Parameters, SafeHashes, Seat, Seed, SigningGroup, Window, WindowParameters,
    wire::{CoordinationMessage, Envelope, Proposed},
};
use coxswain_rules::{
    Action, DepositSweepProposal, HeartbeatProposal, KeyHash, MovedFundsSweepProposal, MovingFundsProposal,
    Proposal, RedemptionProposal, RevealedDeposit, units::BlockNumber,
};
use serde_json::Value;

/// Checks every section of a vector file. Gives the number of cases, or panics with the first that fails or the
/// places that no check read.
pub(crate) fn check(json: &str) -> usize {
    let (root, unread) = Node::root(serde_json::from_str(json).expect("vectors are JSON"));
    let mut cases = 0;
    for (section, check) in [
        ("go_math_rand", check_generator as fn(&Node)),
        ("coordination", check_coordination),
        ("headers", check_header),
        ("wire", check_message),
    ] {
        for case in root.get(section).iter().flat_map(Node::items) {
            check(&case);
            cases += 1;
        }
    }
    let unread = unread.borrow();
    assert!(unread.is_empty(), "{} places went unread, the first is {:?}", unread.len(), unread.first());
    cases
}

fn check_generator(case: &Node) {
    let seed = case.at("seed").parse();
    let mut generator = GoRand::new(seed);
    let draws: Vec<u64> = (0..1300).map(|_| generator.int63()).collect();
    let listed = [0, 1, 2, 3, 4, 5, 6, 7, 606, 607, 1299].map(|at: usize| draws[at]);
    let expected: Vec<u64> = case.at("int63").items().iter().map(Node::parse).collect();
    assert_eq!(listed.as_slice(), expected, "seed {seed}");
    assert_eq!(GoRand::new(seed).float64(), case.at("first_float64").parse::<f64>(), "seed {seed}");
    let expected: Vec<u64> = case.at("shuffle_0_to_n").items().iter().map(Node::number).collect();
    let mut shuffled: Vec<u64> = (0..).take(expected.len()).collect();
    GoRand::new(seed).shuffle(&mut shuffled);
    assert_eq!(shuffled, expected, "seed {seed}");
}

fn check_coordination(case: &Node) {
    let wallet = KeyHash(case.at("wallet_public_key_hash").bytes().try_into().unwrap());
    let safe_block_hash = B256::from_slice(&case.at("safe_block_hash").bytes());
    let operators = case.at("signing_group_operators").items();
    let group = SigningGroup::new(operators.iter().map(Node::parse).collect()).unwrap();
    let index = case.at("window_index").number();
    let assign = |p| {
        let parameters = Parameters { heartbeat_probability: p, ..Parameters::DEFAULT };
        let network = WindowParameters::try_from(parameters).unwrap();
        let window = Window::numbered(&network, index).unwrap();
        Assignment::new(&network, window, wallet, &group, safe_block_hash)
    };
    let assignment = assign(0.125);
    assert_eq!(assignment.seed, Seed(B256::from_slice(&case.at("seed").bytes())));
    assert_eq!(assignment.leader.to_checksum(None), case.at("leader").text());
    assert_eq!(u64::from(assignment.leader_seat.number()), case.at("leader_first_seat").number());
    assert_eq!(assignment.checklist.heartbeat_draw(), case.at("first_float64").parse::<f64>());
    let heartbeat = |p| assign(p).checklist.contains(Action::Heartbeat);
    assert_eq!(heartbeat(0.125), case.at("heartbeat_at_0.125").flag());
    assert_eq!(heartbeat(0.0625), case.at("heartbeat_at_0.0625").flag());
}

fn check_header(case: &Node) {
    let header: Header = serde_json::from_value(case.at("header").whole()).unwrap();
    let expected = |name| match case.at(name).whole() {
        Value::String(hash) => Some(hash.parse::<B256>().unwrap()),
        Value::Null => None,
        other => panic!("{other}"),
    };
    let (canonical, legacy) = (expected("canonical"), expected("legacy_header"));
    let SafeHashes { canonical: ours, legacy_header: our_legacy } = SafeHashes::of(&header);
    assert_eq!(Some(our_legacy), legacy, "{header:?}");
    assert!(canonical.is_none_or(|hash| hash == ours), "{canonical:?} is not {ours} of {header:?}");
    assert_eq!(ours == our_legacy, header.requests_hash.is_none(), "{header:?}");
}

fn check_message(case: &Node) {
    let fields = case.at("fields");
    let encoded = case.at("encoded").bytes();
    let again = match case.at("kind").text().as_str() {
        "CoordinationMessage" => {
            let expected = CoordinationMessage {
                seat: Seat::try_from(fields.at("seat").quantity()).unwrap(),
                coordination_block: BlockNumber(fields.at("block").quantity()),
                wallet: KeyHash(fields.at("wallet").bytes().try_into().unwrap()),
                proposed: proposed(fields.at("action").quantity(), &fields.at("proposal")),
            };
            assert_eq!(
                CoordinationMessage::decode(&encoded),
                Ok(expected.clone()),
                "{}",
                hex::encode(&encoded)
            );
            expected.encode().unwrap()
        }
        "Envelope" => {
            let (payload, kind) = (fields.at("payload").bytes(), fields.at("type").bytes());
            let expected = Envelope {
                sender: fields.at("sender").bytes().try_into().unwrap(),
                payload: &payload,
                kind: &kind,
                sequence: fields.at("sequence").quantity(),
            };
            assert_eq!(Envelope::decode(&encoded), Ok(expected));
            expected.encode().unwrap()
        }
        other => panic!("there is no message {other}"),
    };
    if case.at("canonical").flag() {
        assert_eq!(hex::encode(again), hex::encode(encoded));
    }
}

fn proposed(action: u64, fields: &Node) -> Proposed {
    let bytes = |name| fields.at(name).bytes();
    let fee = || Amount::from_sat(bytes("fee").iter().fold(0, |fee, byte| fee << 8 | u64::from(*byte)));
    let outpoint = |deposit: &Node, hash| OutPoint {
        txid: Txid::from_byte_array(deposit.at(hash).bytes().try_into().unwrap()),
        vout: u32::try_from(deposit.at("output_index").quantity()).unwrap(),
    };
    let proposal = match action {
        0 => {
            assert_eq!(fields.whole(), serde_json::json!({}));
            return Proposed::NoOp;
        }
        1 => Proposal::Heartbeat(HeartbeatProposal { message: bytes("message") }),
        2 => {
            let (deposits, blocks) = (fields.at("deposits").items(), fields.at("reveal_blocks").items());
            assert_eq!(deposits.len(), blocks.len());
            let deposits = deposits.iter().zip(&blocks).map(|(deposit, block)| RevealedDeposit {
                outpoint: outpoint(deposit, "funding_tx_hash"),
                reveal_block: BlockNumber(block.quantity()),
            });
            Proposal::DepositSweep(DepositSweepProposal { deposits: deposits.collect(), fee: fee() })
        }
        3 => {
            let scripts = fields.at("scripts").items();
            let scripts = scripts.iter().map(|script| ScriptBuf::from_bytes(script.bytes())).collect();
            Proposal::Redemption(RedemptionProposal { scripts, fee: fee() })
        }
        4 => {
            let targets = fields.at("targets").items();
            let targets = targets.iter().map(|target| KeyHash(target.bytes().try_into().unwrap())).collect();
            Proposal::MovingFunds(MovingFundsProposal { targets, fee: fee() })
        }
        5 => Proposal::MovedFundsSweep(MovedFundsSweepProposal {
            outpoint: outpoint(fields, "moving_funds_tx_hash"),
            fee: fee(),
        }),
        other => panic!("there is no action {other}"),
    };
    Proposed::Action(proposal.into())
}

/// A place in the vectors. Reading it strikes it off the list of what is unread.
pub(crate) struct Node {
    value: Value,
    pointer: String,
    unread: Rc<RefCell<BTreeSet<String>>>,
}

impl Node {
    pub(crate) fn root(value: Value) -> (Self, Rc<RefCell<BTreeSet<String>>>) {
        let mut leaves = BTreeSet::new();
        list_leaves(&value, String::new(), &mut leaves);
        let unread = Rc::new(RefCell::new(leaves));
        (Self { value, pointer: String::new(), unread: Rc::clone(&unread) }, unread)
    }

    fn child(&self, name: &str, value: &Value) -> Self {
        let pointer = format!("{}/{name}", self.pointer);
        Self { value: value.clone(), pointer, unread: Rc::clone(&self.unread) }
    }

    pub(crate) fn get(&self, name: &str) -> Option<Self> {
        self.value.get(name).map(|value| self.child(name, value))
    }

    pub(crate) fn at(&self, name: &str) -> Self {
        self.get(name).unwrap_or_else(|| panic!("{} has no {name}", self.pointer))
    }

    pub(crate) fn items(&self) -> Vec<Self> {
        self.unread.borrow_mut().remove(&self.pointer);
        let items = self.value.as_array().expect("a list");
        items.iter().enumerate().map(|(at, item)| self.child(&at.to_string(), item)).collect()
    }

    pub(crate) fn whole(&self) -> Value {
        let below = format!("{}/", self.pointer);
        self.unread.borrow_mut().retain(|place| *place != self.pointer && !place.starts_with(&below));
        self.value.clone()
    }

    fn leaf(&self) -> &Value {
        assert!(self.unread.borrow_mut().remove(&self.pointer), "{} was read before", self.pointer);
        &self.value
    }

    pub(crate) fn text(&self) -> String {
        self.leaf().as_str().expect("a string").to_owned()
    }

    pub(crate) fn number(&self) -> u64 {
        self.leaf().as_u64().expect("a number")
    }

    pub(crate) fn flag(&self) -> bool {
        self.leaf().as_bool().expect("a truth value")
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        hex::decode(self.text()).expect("hex")
    }

    pub(crate) fn quantity(&self) -> u64 {
        u64::from_str_radix(self.text().trim_start_matches("0x"), 16).expect("a hex number")
    }

    pub(crate) fn parse<T: std::str::FromStr<Err: std::fmt::Debug>>(&self) -> T {
        self.text().parse().unwrap()
    }
}

/// Lists whatever holds no further value: scalars, and empty lists and objects.
fn list_leaves(value: &Value, pointer: String, leaves: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) if !items.is_empty() => {
            for (at, item) in items.iter().enumerate() {
                list_leaves(item, format!("{pointer}/{at}"), leaves);
            }
        }
        Value::Object(fields) if !fields.is_empty() => {
            for (name, field) in fields {
                list_leaves(field, format!("{pointer}/{name}"), leaves);
            }
        }
        _ => {
            leaves.insert(pointer);
        }
    }
}
