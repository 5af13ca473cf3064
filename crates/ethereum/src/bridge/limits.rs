//! How many wallets a retiring one must move its funds to follows from these.

use alloy::{
    rpc::types::{TransactionInput, TransactionRequest},
    sol_types::SolCall,
};
use coxswain_bindings::bridge::Bridge::{liveWalletsCountCall, walletParametersCall};
use coxswain_rules::{Amount, Assured};

use super::snapshot::SnapshotReader;
use crate::{
    error::ChainError,
    panel::Panel,
    rpc::{Block, Called, HashedHeader},
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
    /// The Bridge's limits of wallets, as they were at this block, as all servers are to be believed.
    ///
    /// # Errors
    /// When any of it has no usable answer.
    pub async fn wallet_limits(
        &self,
        panel: &Panel,
        at: &HashedHeader,
    ) -> Result<Assured<WalletLimits>, ChainError> {
        let (live_wallets, parameters) = tokio::join!(
            self.assured_view(liveWalletsCountCall {}, panel, at),
            self.assured_view(walletParametersCall {}, panel, at)
        );
        let (live_wallets, parameters) = (live_wallets?, parameters?);
        let limits = WalletLimits {
            live_wallets: live_wallets.fact,
            max_btc_transfer: Amount::from_sat(parameters.fact.walletMaxBtcTransfer),
        };
        Ok(Assured { fact: limits, assurance: live_wallets.assurance.min(parameters.assurance) })
    }

    async fn assured_view<C: SolCall>(
        &self,
        call: C,
        panel: &Panel,
        at: &HashedHeader,
    ) -> Result<Assured<C::Return>, ChainError> {
        let unreadable = ChainError::UnreadableBridge { bridge: self.bridge(), block: at.block() };
        let called = panel.call(Some(self.bridge()), call.abi_encode().into(), at).await?;
        match called.fact {
            Called::Returned(answer) => {
                let fact = C::abi_decode_returns_validate(&answer).map_err(|_| unreadable)?;
                Ok(Assured { fact, assurance: called.assurance })
            }
            Called::Reverted(_) => Err(unreadable),
        }
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
