//! How many wallets a retiring one must move its funds to follows from these.

use alloy::{
    rpc::types::{TransactionInput, TransactionRequest},
    sol_types::SolCall,
};
use coxswain_bindings::bridge::Bridge::{liveWalletsCountCall, walletParametersCall};
use coxswain_rules::Amount;

use super::snapshot::SnapshotReader;
use crate::{
    error::ChainError,
    rpc::{Block, Called},
};

/// The Bridge's limits of wallets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalletLimits {
    /// How many wallets are Live, from `Bridge.liveWalletsCount`.
    pub live_wallets: u32,
    /// The most that a retiring wallet moves to one target, from `Bridge.walletParameters`.
    pub max_btc_transfer: Amount,
}

impl SnapshotReader {
    /// The Bridge's limits of wallets, as they were at this block. Sends two `eth_call`s, by the block's hash.
    ///
    /// # Errors
    /// When any of it has no usable answer.
    pub async fn wallet_limits(&self, block: Block) -> Result<WalletLimits, ChainError> {
        let (live_wallets, parameters) = tokio::join!(
            self.view(liveWalletsCountCall {}, block),
            self.view(walletParametersCall {}, block)
        );
        Ok(WalletLimits {
            live_wallets: live_wallets?,
            max_btc_transfer: Amount::from_sat(parameters?.walletMaxBtcTransfer),
        })
    }

    pub(super) async fn view<C: SolCall>(&self, call: C, block: Block) -> Result<C::Return, ChainError> {
        let input = TransactionInput::new(call.abi_encode().into());
        let transaction = TransactionRequest::default().to(self.bridge()).input(input);
        let unreadable = ChainError::UnreadableBridge { bridge: self.bridge(), block };
        match self.endpoint().call(transaction, block).await? {
            Called::Returned(answer) => C::abi_decode_returns_validate(&answer).map_err(|_| unreadable),
            Called::Reverted(_) => Err(unreadable),
        }
    }
}
