//! Actions as windows agree on them, and what becomes of their transactions.

use std::sync::Arc;

use bitcoin::{Amount, OutPoint, ScriptBuf, Txid, hashes::Hash as _};
use coxswain_node::actions::{Agreed, Judged, Place, Prepared, Seen, SignedTransaction, Signing};
use coxswain_protocol::{Schedule, Window, WindowParameters, WindowResult};
use coxswain_rules::{
    Action, DepositSweepProposal, HeartbeatProposal, KeyHash, MovingFundsProposal, Proposal,
    units::{BlockNumber, Height},
};
use coxswain_signing::{ActionId, Preimages};
use serde_json::json;

pub(crate) const CHAIN: u64 = 31337;
pub(crate) const NETWORK: WindowParameters = WindowParameters::LOCAL;
pub(crate) const WALLET: KeyHash = KeyHash([1; 20]);

pub(crate) fn block(number: u64) -> BlockNumber {
    BlockNumber(number)
}

pub(crate) fn proposal(action: Action) -> Proposal {
    match action {
        Action::Heartbeat => Proposal::Heartbeat(HeartbeatProposal { message: [[0xff; 8], [1; 8]].concat() }),
        Action::MovingFunds => Proposal::MovingFunds(MovingFundsProposal {
            targets: vec![KeyHash([7; 20])],
            fee: Amount::from_sat(1_000),
        }),
        _ => Proposal::DepositSweep(DepositSweepProposal {
            deposits: Vec::new(),
            fee: Amount::from_sat(1_000),
        }),
    }
}

/// What window `index` agrees on: the local ones are 60 blocks apart and 30 long.
pub(crate) fn agreed(network: &WindowParameters, index: u64, action: Action) -> Agreed {
    let window = Window::numbered(network, index).unwrap();
    let proposal = proposal(action);
    Agreed {
        window,
        action_id: ActionId::of(CHAIN, WALLET, block(network.frequency.0 * index), &proposal),
        proposal,
        schedule: Schedule::new(&window, &network.actions, action),
    }
}

/// The result of window `index` for the wallet.
pub(crate) fn result(wallet: KeyHash, index: u64, action: Action) -> Arc<WindowResult> {
    let Agreed { window, proposal, schedule, .. } = agreed(&NETWORK, index, action);
    let validated = json!({
        "proposal": proposal,
        "at": {
            "block": 1,
            "assurances": {
                "named_by": 1, "of": 1, "is_given": false, "state": null, "events": null, "bitcoin": null,
            },
        },
    });
    let result = json!({
        "wallet": wallet,
        "window": window,
        "basis": null,
        "agreement": { "Action": [validated, schedule] },
        "faults": [],
        "notes": [],
        "alarms": [],
    });
    Arc::new(serde_json::from_value(result).unwrap())
}

pub(crate) fn prepared() -> Arc<Prepared> {
    let message = [0xff; 16];
    Arc::new(Prepared { preimages: Preimages::Heartbeat(message), unsigned: None, height: Height(100) })
}

pub(crate) fn valid() -> Judged {
    Judged::Valid(prepared())
}

pub(crate) fn txid(byte: u8) -> Txid {
    Txid::from_byte_array([byte; 32])
}

/// 400 sat for 200 virtual bytes.
pub(crate) fn signed() -> SignedTransaction {
    SignedTransaction {
        txid: txid(9),
        raw: vec![1, 2, 3].into(),
        inputs: vec![(OutPoint::new(txid(8), 1), ScriptBuf::new())],
        fee: Amount::from_sat(400),
        vsize: 200,
        attempt: 1,
        seats: Vec::new(),
        height: Height(100),
    }
}

pub(crate) fn transaction() -> Signing {
    Signing::Transaction(Box::new(signed()))
}

pub(crate) fn seen(tip: u32, place: Place) -> Seen {
    Seen { tip: Some(Height(tip)), handed: None, place, is_proven: false, next_block: None }
}

pub(crate) fn handed(tip: u32, place: Place) -> Seen {
    Seen { handed: Some(Ok(())), ..seen(tip, place) }
}
