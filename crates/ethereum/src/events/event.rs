//! The Bridge's events that wallets' actions depend on, and how they are decoded.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    ops::RangeInclusive,
};

use alloy::{
    primitives::{Address, B256, FixedBytes, IntoLogData},
    rpc::types::Log,
    sol_types::{SolEvent, SolEventInterface},
};
use bitcoin::{consensus::encode, hashes::Hash as _};
use coxswain_bindings::bridge::Bridge::{self, BridgeEvents};
use coxswain_rules::{Amount, KeyHash, OutPoint, ScriptBuf, Txid, units::BlockNumber};
use serde::{Deserialize, Serialize};

use super::reveal::Revealed;
use crate::{error::ChainError, rpc::Position};

/// Events that matter at any age: wallets' transactions, their registrations, commitments, and moves of funds.
pub(super) const LASTING: [B256; 6] = [
    Bridge::DepositsSwept::SIGNATURE_HASH,
    Bridge::RedemptionsCompleted::SIGNATURE_HASH,
    Bridge::MovedFundsSwept::SIGNATURE_HASH,
    Bridge::NewWalletRegistered::SIGNATURE_HASH,
    Bridge::MovingFundsCommitmentSubmitted::SIGNATURE_HASH,
    Bridge::MovingFundsCompleted::SIGNATURE_HASH,
];
/// Events that matter for a limited time.
const PASSING: [B256; 2] =
    [Bridge::DepositRevealed::SIGNATURE_HASH, Bridge::RedemptionRequested::SIGNATURE_HASH];

/// All that is read.
pub(super) fn all() -> Vec<B256> {
    [&LASTING[..], &PASSING].concat()
}

/// `DepositRevealed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DepositReveal {
    /// The event's position in the chain.
    pub at: Position,
    /// The funding output.
    pub outpoint: OutPoint,
    /// The parts of the script that the Bridge doesn't store.
    pub revealed: Revealed,
}

/// `RedemptionRequested`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedemptionRequest {
    /// The event's position in the chain.
    pub at: Position,
    /// The wallet that shall pay.
    pub wallet: KeyHash,
    /// To which script, without length prefix.
    pub script: ScriptBuf,
    /// What the redeemer gave up.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub requested_amount: Amount,
}

/// `MovingFundsCommitmentSubmitted`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commitment {
    /// The event's position in the chain.
    pub at: Position,
    /// The wallet that retires.
    pub source: KeyHash,
    /// The wallets that shall receive its funds, in order.
    pub targets: Vec<KeyHash>,
}

/// `MovingFundsCompleted`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompletedMove {
    /// The event's position in the chain.
    pub at: Position,
    /// The wallet that moved its funds.
    pub source: KeyHash,
    /// The transaction that did.
    pub txid: Txid,
}

/// `NewWalletRegistered`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewWallet {
    /// The event's position in the chain.
    pub at: Position,
    /// Its id in the wallet registry.
    pub ecdsa_wallet_id: B256,
    /// Its key's hash.
    pub wallet: KeyHash,
}

/// A Bitcoin transaction of a wallet that the Bridge has recorded, and that may have made its main UTXO: of `DepositsSwept`,
/// `RedemptionsCompleted` or `MovedFundsSwept`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalletTransaction {
    /// The event's position in the chain.
    pub at: Position,
    /// The wallet.
    pub wallet: KeyHash,
    /// The transaction.
    pub txid: Txid,
}

/// Any of these events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BridgeEvent {
    /// A deposit was revealed.
    Reveal(DepositReveal),
    /// A redemption was requested.
    Request(RedemptionRequest),
    /// A wallet has committed to where its funds go.
    Commitment(Commitment),
    /// A wallet has moved its funds.
    CompletedMove(CompletedMove),
    /// A wallet was registered.
    NewWallet(NewWallet),
    /// A wallet's transaction was recorded.
    Transaction(WalletTransaction),
}

impl BridgeEvent {
    /// The event's position in the chain.
    pub const fn at(&self) -> Position {
        match self {
            Self::Reveal(event) => event.at,
            Self::Request(event) => event.at,
            Self::Commitment(event) => event.at,
            Self::CompletedMove(event) => event.at,
            Self::NewWallet(event) => event.at,
            Self::Transaction(event) => event.at,
        }
    }

    fn new(at: Position, event: BridgeEvents) -> Result<Option<Self>, encode::Error> {
        let transaction = |wallet: FixedBytes<20>, hash: B256| {
            Self::Transaction(WalletTransaction { at, wallet: wallet.into(), txid: txid(hash) })
        };
        Ok(Some(match event {
            BridgeEvents::DepositRevealed(event) => Self::Reveal(DepositReveal {
                at,
                outpoint: OutPoint::new(txid(event.fundingTxHash), event.fundingOutputIndex),
                revealed: event.into(),
            }),
            BridgeEvents::RedemptionRequested(event) => Self::Request(RedemptionRequest {
                at,
                wallet: event.walletPubKeyHash.into(),
                script: encode::deserialize(&event.redeemerOutputScript)?,
                requested_amount: Amount::from_sat(event.requestedAmount),
            }),
            BridgeEvents::MovingFundsCommitmentSubmitted(event) => Self::Commitment(Commitment {
                at,
                source: event.walletPubKeyHash.into(),
                targets: event.targetWallets.into_iter().map(KeyHash::from).collect(),
            }),
            BridgeEvents::MovingFundsCompleted(event) => Self::CompletedMove(CompletedMove {
                at,
                source: event.walletPubKeyHash.into(),
                txid: txid(event.movingFundsTxHash),
            }),
            BridgeEvents::NewWalletRegistered(event) => Self::NewWallet(NewWallet {
                at,
                ecdsa_wallet_id: event.ecdsaWalletID,
                wallet: event.walletPubKeyHash.into(),
            }),
            BridgeEvents::DepositsSwept(event) => transaction(event.walletPubKeyHash, event.sweepTxHash),
            BridgeEvents::RedemptionsCompleted(event) => {
                transaction(event.walletPubKeyHash, event.redemptionTxHash)
            }
            BridgeEvents::MovedFundsSwept(event) => transaction(event.walletPubKeyHash, event.sweepTxHash),
            _ => return Ok(None),
        }))
    }
}

/// The Bridge's logs of an answer, in these blocks, in order and each once. Anything else was not asked for.
pub(super) fn in_order(
    bridge: Address,
    logs: Vec<Log>,
    range: &RangeInclusive<BlockNumber>,
) -> Result<BTreeMap<Position, Log>, ChainError> {
    let mut in_order = BTreeMap::new();
    for log in logs {
        let Some(block) = log.block_number.map(BlockNumber).filter(|block| range.contains(block)) else {
            continue;
        };
        if log.removed || log.address() != bridge {
            continue;
        }
        let unreadable = |index, cause: &str| unreadable(bridge, Position { block, index }, cause);
        let index = log.log_index.ok_or_else(|| unreadable(0, "it has no index"))?;
        match in_order.entry(Position { block, index }) {
            Entry::Vacant(place) => {
                place.insert(log);
            }
            Entry::Occupied(place) if *place.get() == log => {}
            Entry::Occupied(_) => return Err(unreadable(index, "there are two in its place")),
        }
    }
    Ok(in_order)
}

/// The events that the logs are. Those of other kinds are left out.
pub(super) fn decode(bridge: Address, logs: BTreeMap<Position, Log>) -> Result<Vec<BridgeEvent>, ChainError> {
    let mut events = Vec::new();
    for (at, log) in logs {
        let is_known = |topic| LASTING.contains(topic) || PASSING.contains(topic);
        if !log.topic0().is_some_and(is_known) {
            continue;
        }
        let event = BridgeEvents::decode_raw_log(log.topics(), &log.data().data)
            .map_err(|error| unreadable(bridge, at, &error.to_string()))?;
        if event.to_log_data() != *log.data() {
            return Err(unreadable(bridge, at, "it is not what its fields are encoded to"));
        }
        let event =
            BridgeEvent::new(at, event).map_err(|error| unreadable(bridge, at, &error.to_string()))?;
        events.extend(event);
    }
    Ok(events)
}

fn unreadable(bridge: Address, at: Position, cause: &str) -> ChainError {
    ChainError::UnreadableEvent { bridge, at, cause: cause.to_owned() }
}

/// A transaction's id, from its hash as contracts hold it: in internal byte order.
fn txid(hash: B256) -> Txid {
    Txid::from_byte_array(hash.0)
}
