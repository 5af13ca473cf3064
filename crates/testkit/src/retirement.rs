//! A wallet's retirement, up to the promise where its funds will go.

use alloy::primitives::U256;
use coxswain_bindings::Bridge;
use coxswain_rules::KeyHash;

use crate::{Error, Wallet, World, convert};

impl World {
    /// Retires a Live wallet, as when its heartbeats fail: to MovingFunds with a main UTXO, to Closing without.
    pub async fn retire(&self, wallet: &Wallet) -> Result<(), Error> {
        let (x, y) = wallet.coordinates();
        let call = Bridge::__ecdsaWalletHeartbeatFailedCallbackCall {
            _0: wallet.id(),
            publicKeyX: x,
            publicKeyY: y,
        };
        self.chain.send(self.wallet_registry, *self.bridge.address(), &call).await?;
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
        self.chain.send(self.operator, *self.bridge.address(), &call).await?;
        Ok(())
    }
}
