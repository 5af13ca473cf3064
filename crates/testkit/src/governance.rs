//! What the Bridge's governance changes: some of the parameters, while the others stay as they are.

use coxswain_bindings::{
    Bridge,
    bridge::Bridge::{updateMovingFundsParametersCall, updateRedemptionParametersCall},
};

use crate::{Error, World};

impl World {
    /// Changes the parameters of redemptions to come.
    pub async fn change_redemptions(
        &self,
        change: impl FnOnce(&mut updateRedemptionParametersCall),
    ) -> Result<(), Error> {
        let now = self.bridge.ask(&Bridge::redemptionParametersCall).await?;
        let mut call = updateRedemptionParametersCall {
            redemptionDustThreshold: now.redemptionDustThreshold,
            redemptionTreasuryFeeDivisor: now.redemptionTreasuryFeeDivisor,
            redemptionTxMaxFee: now.redemptionTxMaxFee,
            redemptionTxMaxTotalFee: now.redemptionTxMaxTotalFee,
            redemptionTimeout: now.redemptionTimeout,
            redemptionTimeoutSlashingAmount: now.redemptionTimeoutSlashingAmount,
            redemptionTimeoutNotifierRewardMultiplier: now.redemptionTimeoutNotifierRewardMultiplier,
        };
        change(&mut call);
        self.govern(&call).await
    }

    /// Changes the parameters of moving funds, and of sweeping what was moved.
    pub async fn change_moving_funds(
        &self,
        change: impl FnOnce(&mut updateMovingFundsParametersCall),
    ) -> Result<(), Error> {
        let now = self.bridge.ask(&Bridge::movingFundsParametersCall).await?;
        let mut call = updateMovingFundsParametersCall {
            movingFundsTxMaxTotalFee: now.movingFundsTxMaxTotalFee,
            movingFundsDustThreshold: now.movingFundsDustThreshold,
            movingFundsTimeoutResetDelay: now.movingFundsTimeoutResetDelay,
            movingFundsTimeout: now.movingFundsTimeout,
            movingFundsTimeoutSlashingAmount: now.movingFundsTimeoutSlashingAmount,
            movingFundsTimeoutNotifierRewardMultiplier: now.movingFundsTimeoutNotifierRewardMultiplier,
            movingFundsCommitmentGasOffset: now.movingFundsCommitmentGasOffset,
            movedFundsSweepTxMaxTotalFee: now.movedFundsSweepTxMaxTotalFee,
            movedFundsSweepTimeout: now.movedFundsSweepTimeout,
            movedFundsSweepTimeoutSlashingAmount: now.movedFundsSweepTimeoutSlashingAmount,
            movedFundsSweepTimeoutNotifierRewardMultiplier: now
                .movedFundsSweepTimeoutNotifierRewardMultiplier,
        };
        change(&mut call);
        self.govern(&call).await
    }
}
