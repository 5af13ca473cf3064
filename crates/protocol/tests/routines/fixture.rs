//! A wallet of four operators with five seats, in a window without sweeps and heartbeats, and what its members say.

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use bitcoin::{
    Amount, OutPoint, Txid,
    hashes::Hash,
    secp256k1::{Secp256k1, SecretKey},
};
use coxswain_protocol::{
    Assignment, Fault, FaultKind, Network, Objection, Parameters, Received, Seat, SigningGroup, Window,
    wire::{CoordinationMessage, Envelope, MESSAGE_TYPE, OperatorKey, Proposed},
};
use coxswain_rules::{
    Cause, DepositSweepProposal, HeartbeatProposal, KeyHash, Proposal, Reason, RedemptionProposal, Rejection,
    RevealedDeposit, RuleId, ScriptBuf,
};

/// The window's first block, the first of its passive phase, and the first after it.
pub(crate) const C: u64 = 900;
pub(crate) const ACTIVE_END: u64 = C + 80;
pub(crate) const END: u64 = C + 100;

pub(crate) struct Wallet {
    pub(crate) keys: Vec<OperatorKey>,
    pub(crate) group: Arc<SigningGroup>,
    pub(crate) assignment: Assignment,
}

pub(crate) fn seat(number: u64) -> Seat {
    Seat::try_from(number).unwrap()
}

pub(crate) fn key(number: u8) -> OperatorKey {
    let secret = SecretKey::from_slice(&[number; 32]).unwrap();
    OperatorKey::from_compressed(secret.public_key(&Secp256k1::new()).serialize()).unwrap()
}

impl Wallet {
    /// Operators 1 to 4 hold seats 1 to 4; the leader holds seat 5 too.
    pub(crate) fn new() -> Self {
        Self::with_hash(B256::repeat_byte(1))
    }

    pub(crate) fn with_hash(safe_block_hash: B256) -> Self {
        let parameters = Parameters { heartbeat_probability: 0.0, ..Parameters::DEFAULT };
        let network = Network::try_from(parameters).unwrap();
        let window = Window::numbered(&network, 1).unwrap();
        let keys: Vec<_> = (1..=4).map(key).collect();
        let mut holders: Vec<_> = keys.iter().map(OperatorKey::address).collect();
        let assign = |holders: &[Address]| {
            let group = SigningGroup::new(holders.to_vec()).unwrap();
            (Assignment::new(&network, window, KeyHash([7; 20]), &group, safe_block_hash), group)
        };
        holders.push(assign(&holders).0.leader);
        let (assignment, group) = assign(&holders);
        Self { keys, group: Arc::new(group), assignment }
    }

    pub(crate) fn leader(&self) -> OperatorKey {
        *self.keys.iter().find(|key| key.address() == self.assignment.leader).unwrap()
    }

    /// An operator that doesn't lead, by number.
    pub(crate) fn other(&self, number: usize) -> OperatorKey {
        *self.keys.iter().filter(|key| key.address() != self.assignment.leader).nth(number).unwrap()
    }

    pub(crate) fn seat_of(&self, key: OperatorKey) -> Seat {
        self.group.first_seat(key.address()).unwrap()
    }

    pub(crate) fn message(&self, seat: Seat, proposed: Proposed) -> CoordinationMessage {
        CoordinationMessage { seat, coordination_block: C, wallet: self.assignment.wallet, proposed }
    }

    /// What arrives when this operator sends a message. The signed bytes name author and sequence number.
    pub(crate) fn receive(
        &self,
        author: OperatorKey,
        sequence: u64,
        message: &CoordinationMessage,
    ) -> Received {
        let payload = message.encode().unwrap();
        let sender = author.compressed();
        let envelope = Envelope { sender, payload: &payload, kind: MESSAGE_TYPE, sequence }.encode().unwrap();
        Received::open(&author, &self.group, &envelope, signed(author, sequence)).unwrap()
    }

    /// What arrives when the leader proposes this.
    pub(crate) fn proposal(&self, sequence: u64, proposed: Proposed) -> Received {
        self.receive(self.leader(), sequence, &self.message(self.assignment.leader_seat, proposed))
    }

    pub(crate) fn fault(&self, culprit: OperatorKey, kind: FaultKind, sequence: Option<u64>) -> Fault {
        Fault {
            wallet: self.assignment.wallet,
            window: self.assignment.window,
            culprit: culprit.address(),
            kind,
            signed: sequence.map(|sequence| signed(culprit, sequence)),
        }
    }
}

pub(crate) fn signed(author: OperatorKey, sequence: u64) -> Arc<[u8]> {
    [&author.compressed()[..], &sequence.to_be_bytes()].concat().into()
}

pub(crate) fn redemption(fee: u64) -> Proposal {
    let scripts = vec![ScriptBuf::from_bytes(vec![0x51])];
    Proposal::Redemption(RedemptionProposal { scripts, fee: Amount::from_sat(fee) })
}

pub(crate) fn heartbeat() -> Proposal {
    Proposal::Heartbeat(HeartbeatProposal { message: vec![0xff; 16] })
}

pub(crate) fn deposit_sweep() -> Proposal {
    let outpoint = OutPoint { txid: Txid::from_byte_array([1; 32]), vout: 0 };
    let deposits = vec![RevealedDeposit { outpoint, reveal_block: 1 }];
    Proposal::DepositSweep(DepositSweepProposal { deposits, fee: Amount::from_sat(1) })
}

pub(crate) fn act(proposal: Proposal) -> Proposed {
    Proposed::Action(proposal.into())
}

pub(crate) fn objection() -> Objection {
    Objection::Contract(Rejection { rule: Some(RuleId::Rd4), cause: Cause::Reason(Reason::FeeZero) })
}
