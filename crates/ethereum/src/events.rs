//! The Bridge's events, as far as wallets' actions follow from them: read in ranges that the endpoint allows, kept, and
//! asked for what came since.

use alloy::primitives::{Address, B256};
use coxswain_rules::{Amount, KeyHash, OutPoint, ScriptBuf, Txid};

use crate::Revealed;

/// Where an event stands in the chain: events order by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Its block's number.
    pub block: u64,
    /// Its index among the block's events.
    pub index: u64,
}

/// `DepositRevealed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepositReveal {
    /// Where the event stands.
    pub at: Position,
    /// The funding output.
    pub outpoint: OutPoint,
    /// The parts of the script that the Bridge doesn't store.
    pub revealed: Revealed,
}

/// `RedemptionRequested`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedemptionRequest {
    /// Where the event stands.
    pub at: Position,
    /// The wallet that shall pay.
    pub wallet: KeyHash,
    /// To which script, without length prefix.
    pub script: ScriptBuf,
    /// What the redeemer gave up.
    pub requested_amount: Amount,
}

/// `MovingFundsCommitmentSubmitted`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commitment {
    /// Where the event stands.
    pub at: Position,
    /// The wallet that retires.
    pub source: KeyHash,
    /// The wallets that shall receive its funds, in order.
    pub targets: Vec<KeyHash>,
}

/// `MovingFundsCompleted`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletedMove {
    /// Where the event stands.
    pub at: Position,
    /// The wallet that moved its funds.
    pub source: KeyHash,
    /// The transaction that did.
    pub txid: Txid,
}

/// `NewWalletRegistered`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewWallet {
    /// Where the event stands.
    pub at: Position,
    /// Its id in the wallet registry.
    pub ecdsa_wallet_id: B256,
    /// Its key's hash.
    pub wallet: KeyHash,
}

/// A Bitcoin transaction of a wallet that the Bridge has recorded, and that may have made its main UTXO: of `DepositsSwept`,
/// `RedemptionsCompleted` or `MovedFundsSwept`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalletTransaction {
    /// Where the event stands.
    pub at: Position,
    /// The wallet.
    pub wallet: KeyHash,
    /// The transaction.
    pub txid: Txid,
}

/// The Bridge's events from one block on up to another, of all wallets, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeEvents {
    bridge: Address,
    reveals: Vec<DepositReveal>,
    requests: Vec<RedemptionRequest>,
    commitments: Vec<Commitment>,
    completed_moves: Vec<CompletedMove>,
    new_wallets: Vec<NewWallet>,
    transactions: Vec<WalletTransaction>,
}

impl BridgeEvents {
    /// The wallet's deposits, oldest first.
    pub fn reveals(&self, wallet: KeyHash) -> impl DoubleEndedIterator<Item = &DepositReveal> {
        self.reveals.iter().filter(move |event| event.revealed.wallet == wallet)
    }

    /// The redemption requests to the wallet, oldest first.
    pub fn requests(&self, wallet: KeyHash) -> impl DoubleEndedIterator<Item = &RedemptionRequest> {
        self.requests.iter().filter(move |event| event.wallet == wallet)
    }

    /// Which wallets are to receive the funds of retiring ones, oldest first.
    pub fn commitments(&self) -> &[Commitment] {
        &self.commitments
    }

    /// The moves of funds proven, oldest first.
    pub fn completed_moves(&self) -> &[CompletedMove] {
        &self.completed_moves
    }

    /// The wallets registered, oldest first.
    pub fn new_wallets(&self) -> &[NewWallet] {
        &self.new_wallets
    }

    /// The wallet's recorded transactions, oldest first.
    pub fn transactions(&self, wallet: KeyHash) -> impl DoubleEndedIterator<Item = &WalletTransaction> {
        self.transactions.iter().filter(move |event| event.wallet == wallet)
    }
}
