//! Redemption requests, for what a depositor has in the Bank.

use alloy::primitives::{Address, U256};
use coxswain_bindings::Bridge;
use coxswain_ethereum::SnapshotKeys;
use coxswain_rules::{Amount, RedemptionKey, ScriptBuf, units::BlockNumber};

use crate::{Bank, Error, Wallet, World, convert};

/// A pending redemption request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingRedemption {
    /// Where to pay.
    pub script: ScriptBuf,
    /// What the redeemer gave up.
    pub requested_amount: Amount,
    /// What the treasury takes of it.
    pub treasury_fee: Amount,
    /// The largest share of the transaction's fee that it bears.
    pub tx_max_fee: Amount,
    /// The block that holds its `RedemptionRequested` event.
    pub request_block: BlockNumber,
}

impl World {
    /// Reports that the wallet did not pay in time, after its timeout. The caller's account and the wallet's members do not matter here.
    pub async fn report_timeout(&self, wallet: &Wallet, script: &ScriptBuf) -> Result<(), Error> {
        let call = Bridge::notifyRedemptionTimeoutCall {
            walletPubKeyHash: wallet.key_hash().into(),
            walletMembersIDs: vec![1],
            redeemerOutputScript: convert::length_prefixed(script),
        };
        self.chain.send(self.depositor, self.bridge.address(), &call).await?;
        Ok(())
    }

    /// Requests a redemption to this script, without its length prefix, from the redeemer's balance in the Bank.
    pub async fn request_redemption(
        &self,
        wallet: &Wallet,
        redeemer: Address,
        script: ScriptBuf,
        amount: Amount,
    ) -> Result<PendingRedemption, Error> {
        let main_utxo = self.main_utxo(wallet).ok_or(Error::NoMainUtxo(wallet.key_hash()))?;
        let bridge = self.bridge.address();
        let approval = Bank::approveBalanceCall { spender: bridge, amount: U256::from(amount.to_sat()) };
        self.chain.send(redeemer, self.bank.address(), &approval).await?;
        let call = Bridge::requestRedemptionCall {
            walletPubKeyHash: wallet.key_hash().into(),
            mainUtxo: convert::utxo(Some(main_utxo)),
            redeemerOutputScript: convert::length_prefixed(&script),
            amount: amount.to_sat(),
        };
        let receipt = self.chain.send(redeemer, bridge, &call).await?;
        let key = RedemptionKey::new(wallet.key_hash(), &script);
        let keys = SnapshotKeys { redemptions: [key].into(), ..SnapshotKeys::default() };
        let snapshot = self.snapshot(&keys).await?;
        let record = snapshot.redemption(key)?;
        Ok(PendingRedemption {
            script,
            requested_amount: record.requested_amount,
            treasury_fee: record.treasury_fee,
            tx_max_fee: record.tx_max_fee,
            request_block: BlockNumber(receipt.block_number.ok_or(Error::Absent("block of a receipt"))?),
        })
    }
}
