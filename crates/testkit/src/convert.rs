//! Between the Bridge's structs and ours.

use alloy::primitives::Bytes;
use bitcoin::{ScriptBuf, consensus::encode, hashes::Hash};
use coxswain_bindings::bridge::{
    DepositRequest, Info, MovedFundsSweepRequest, RedemptionRequest, UTXO, Wallet,
};
use coxswain_rules::{
    Amount, DepositRecord, FundingTransaction, RedemptionRecord, SweepRequestRecord, Utxo, WalletRecord,
};

use crate::Error;

pub(crate) fn info(transaction: FundingTransaction) -> Info {
    Info {
        version: transaction.version.into(),
        inputVector: transaction.input_vector.into(),
        outputVector: transaction.output_vector.into(),
        locktime: transaction.locktime.into(),
    }
}

/// The Bridge takes zeros for no main UTXO.
pub(crate) fn utxo(utxo: Option<Utxo>) -> UTXO {
    utxo.map_or_else(UTXO::default, |utxo| UTXO {
        txHash: utxo.outpoint.txid.to_byte_array().into(),
        txOutputIndex: utxo.outpoint.vout,
        txOutputValue: utxo.value.to_sat(),
    })
}

/// The Bridge takes a redeemer's script behind its length.
pub(crate) fn length_prefixed(script: &ScriptBuf) -> Bytes {
    encode::serialize(script).into()
}

pub(crate) fn wallet_record(wallet: Wallet) -> Result<WalletRecord, Error> {
    Ok(WalletRecord {
        main_utxo_hash: wallet.mainUtxoHash,
        pending_redemptions_value: Amount::from_sat(wallet.pendingRedemptionsValue),
        moving_funds_requested_at: wallet.movingFundsRequestedAt,
        pending_moved_funds_sweep_requests_count: wallet.pendingMovedFundsSweepRequestsCount,
        state: wallet.state.try_into().map_err(|state| Error::UnknownState { what: "the wallet", state })?,
        moving_funds_target_wallets_commitment_hash: wallet.movingFundsTargetWalletsCommitmentHash,
    })
}

pub(crate) fn deposit_record(deposit: DepositRequest) -> DepositRecord {
    DepositRecord {
        depositor: deposit.depositor,
        amount: Amount::from_sat(deposit.amount),
        revealed_at: deposit.revealedAt,
        vault: deposit.vault,
        treasury_fee: Amount::from_sat(deposit.treasuryFee),
        swept_at: deposit.sweptAt,
        extra_data: deposit.extraData,
    }
}

pub(crate) fn redemption_record(request: RedemptionRequest) -> RedemptionRecord {
    RedemptionRecord {
        requested_amount: Amount::from_sat(request.requestedAmount),
        treasury_fee: Amount::from_sat(request.treasuryFee),
        tx_max_fee: Amount::from_sat(request.txMaxFee),
        requested_at: request.requestedAt,
    }
}

pub(crate) fn sweep_request_record(request: MovedFundsSweepRequest) -> Result<SweepRequestRecord, Error> {
    Ok(SweepRequestRecord {
        wallet: request.walletPubKeyHash.into(),
        value: Amount::from_sat(request.value),
        state: request
            .state
            .try_into()
            .map_err(|state| Error::UnknownState { what: "the request", state })?,
    })
}
