//! A wallet's retirement, up to the promise where its funds will go.

use alloy::primitives::U256;
use coxswain_bindings::Bridge;
use coxswain_rules::KeyHash;

use crate::{Error, Wallet, World, convert};

alloy::sol! {
    /// Closes a wallet whose closing period is over.
    function notifyWalletClosingPeriodElapsed(bytes20 walletPubKeyHash);
}

/// Longer than any closing period, in seconds.
const CLOSING_PERIOD: u64 = 100 * 24 * 3600;

impl World {
    /// Closes a wallet that has nothing: Live, then Closing, then, after its period, Closed.
    pub async fn close(&self, wallet: &Wallet) -> Result<(), Error> {
        self.retire(wallet).await?;
        self.chain.advance(CLOSING_PERIOD).await?;
        let call = notifyWalletClosingPeriodElapsedCall { walletPubKeyHash: wallet.key_hash().0.into() };
        self.chain.send(self.operator, self.bridge.address(), &call).await?;
        Ok(())
    }

    /// Retires a Live wallet, as when its heartbeats fail: to MovingFunds with a main UTXO, to Closing without.
    pub async fn retire(&self, wallet: &Wallet) -> Result<(), Error> {
        let (x, y) = wallet.coordinates();
        let call = Bridge::__ecdsaWalletHeartbeatFailedCallbackCall {
            _0: wallet.id(),
            publicKeyX: x,
            publicKeyY: y,
        };
        self.chain.send(self.wallet_registry, self.bridge.address(), &call).await?;
        Ok(())
    }

    /// Commits a wallet in MovingFunds to move its funds to these wallets: Live ones in strictly ascending order, as
    /// many as the balance asks for.
    pub async fn commit_targets(&self, wallet: &Wallet, targets: &[KeyHash]) -> Result<(), Error> {
        let call = Bridge::submitMovingFundsCommitmentCall {
            walletPubKeyHash: wallet.key_hash().into(),
            walletMainUtxo: convert::utxo(self.main_utxo(wallet)),
            walletMembersIDs: vec![1],
            walletMemberIndex: U256::ONE,
            targetWallets: targets.iter().map(|&target| target.into()).collect(),
        };
        self.chain.send(self.operator, self.bridge.address(), &call).await?;
        Ok(())
    }
}
