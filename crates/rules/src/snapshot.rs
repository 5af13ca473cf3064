//! What the rules read: the Bridge's state at one block.
//!
//! The records are the Bridge's own, cut to the fields that someone reads; an absent item is a record of zeros, as in
//! the Bridge. That differs from an item that was never read: a lookup of one is an error ([`MissingError`]), since
//! nothing can be said about it.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256};
use bitcoin::Amount;

use crate::{
    DepositKey, KeyHash, RedemptionKey, SweepRequestKey, SweepRequestState, WalletState, units::UnixTime,
};

/// A wallet, from `Bridge.wallets`. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WalletRecord {
    /// See [`main_utxo_hash`](crate::main_utxo_hash); zero when the wallet has no main UTXO.
    pub main_utxo_hash: B256,
    /// What its pending redemptions will pay out.
    pub pending_redemptions_value: Amount,
    /// When it began to retire; 0 when it hasn't.
    pub moving_funds_requested_at: u32,
    /// How many moved funds sweep requests name it and are pending.
    pub pending_moved_funds_sweep_requests_count: u32,
    /// Its state.
    pub state: WalletState,
    /// See [`target_wallets_commitment`](crate::target_wallets_commitment); zero when none is submitted.
    pub moving_funds_target_wallets_commitment_hash: B256,
}

/// A revealed deposit, from `Bridge.deposits`. Times are Unix seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DepositRecord {
    /// Who revealed it.
    pub depositor: Address,
    /// The funding output's value.
    pub amount: Amount,
    /// When it was revealed; 0 when it wasn't.
    pub revealed_at: u32,
    /// The contract that is told of the deposit once it is swept; zero for none.
    pub vault: Address,
    /// What the treasury takes when it is swept.
    pub treasury_fee: Amount,
    /// When it was swept; 0 when it wasn't.
    pub swept_at: u32,
    /// What the depositor attached, which is then part of the script; zero for nothing.
    pub extra_data: B256,
}

/// A redemption request, from `Bridge.pendingRedemptions`. Times are Unix seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RedemptionRecord {
    /// What the redeemer gave up; the treasury's fee and the share of the transaction's fee come off it.
    pub requested_amount: Amount,
    /// What the treasury takes.
    pub treasury_fee: Amount,
    /// The largest share of the transaction's fee that the request can bear.
    pub tx_max_fee: Amount,
    /// When it was made; 0 when none is pending.
    pub requested_at: u32,
}

/// A moved funds sweep request, from `Bridge.movedFundsSweepRequests`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SweepRequestRecord {
    /// The wallet that must sweep the funds.
    pub wallet: KeyHash,
    /// The output's value.
    pub value: Amount,
    /// Its state.
    pub state: SweepRequestState,
}

/// From `Bridge.depositParameters`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DepositParameters {
    /// The largest share of a sweep's fee that one deposit may bear.
    pub deposit_tx_max_fee: Amount,
}

/// From `Bridge.redemptionParameters`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RedemptionParameters {
    /// The largest fee of a redemption transaction.
    pub redemption_tx_max_total_fee: Amount,
    /// Seconds after which an unpaid request can be reported.
    pub redemption_timeout: u32,
}

/// From `Bridge.movingFundsParameters`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct MovingFundsParameters {
    /// The largest fee of a moving funds transaction.
    pub moving_funds_tx_max_total_fee: Amount,
    /// The least balance worth moving.
    pub moving_funds_dust_threshold: Amount,
    /// Seconds that a retiring wallet has to move its funds.
    pub moving_funds_timeout: u32,
    /// The largest fee of a moved funds sweep transaction.
    pub moved_funds_sweep_tx_max_total_fee: Amount,
}

/// The part of the Bridge's state at one block that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Snapshot {
    /// The block's timestamp: the only clock of the rules.
    pub timestamp: UnixTime,
    /// The wallets that were read.
    pub wallets: BTreeMap<KeyHash, WalletRecord>,
    /// The deposits that were read.
    pub deposits: BTreeMap<DepositKey, DepositRecord>,
    /// The redemption requests that were read.
    pub redemptions: BTreeMap<RedemptionKey, RedemptionRecord>,
    /// The watchtower's delays of the requests that were read, in seconds. `None` if the Bridge has no watchtower.
    pub watchtower_delays: Option<BTreeMap<RedemptionKey, u32>>,
    /// The moved funds sweep requests that were read.
    pub sweep_requests: BTreeMap<SweepRequestKey, SweepRequestRecord>,
    /// The Bridge's parameters of deposits.
    pub deposit_parameters: DepositParameters,
    /// The Bridge's parameters of redemptions.
    pub redemption_parameters: RedemptionParameters,
    /// The Bridge's parameters of moving funds.
    pub moving_funds_parameters: MovingFundsParameters,
}

/// What was asked of a [`Snapshot`] that it didn't read: no verdict can be based on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub enum MissingError {
    /// A wallet's record.
    #[error("the snapshot lacks wallet {0}")]
    Wallet(KeyHash),
    /// A deposit's record.
    #[error("the snapshot lacks the deposit with key {0}")]
    Deposit(DepositKey),
    /// A redemption request's record.
    #[error("the snapshot lacks the redemption request with key {0}")]
    Redemption(RedemptionKey),
    /// The delay of a redemption request, though the Bridge has a watchtower.
    #[error("the snapshot lacks the watchtower's delay of the redemption request with key {0}")]
    WatchtowerDelay(RedemptionKey),
    /// A moved funds sweep request's record.
    #[error("the snapshot lacks the moved funds sweep request with key {0}")]
    SweepRequest(SweepRequestKey),
}

impl Snapshot {
    /// The wallet's record.
    pub fn wallet(&self, wallet: KeyHash) -> Result<&WalletRecord, MissingError> {
        self.wallets.get(&wallet).ok_or(MissingError::Wallet(wallet))
    }

    /// The deposit's record.
    pub fn deposit(&self, key: DepositKey) -> Result<&DepositRecord, MissingError> {
        self.deposits.get(&key).ok_or(MissingError::Deposit(key))
    }

    /// The redemption request's record.
    pub fn redemption(&self, key: RedemptionKey) -> Result<&RedemptionRecord, MissingError> {
        self.redemptions.get(&key).ok_or(MissingError::Redemption(key))
    }

    /// The watchtower's delay of the redemption request, in seconds; 0 when the Bridge has no watchtower.
    pub fn watchtower_delay(&self, key: RedemptionKey) -> Result<u32, MissingError> {
        let Some(delays) = &self.watchtower_delays else { return Ok(0) };
        delays.get(&key).copied().ok_or(MissingError::WatchtowerDelay(key))
    }

    /// The moved funds sweep request's record.
    pub fn sweep_request(&self, key: SweepRequestKey) -> Result<&SweepRequestRecord, MissingError> {
        self.sweep_requests.get(&key).ok_or(MissingError::SweepRequest(key))
    }
}
