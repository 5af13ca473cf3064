//! The contract's custom errors as [`Reason`]s, one to one.

use alloy::sol_types::SolInterface;
use coxswain_bindings::validator::WalletProposalValidatorErrors as Error;
use coxswain_rules::Reason;

/// Reads revert data as one of the validator's custom errors: exactly, or not at all.
pub fn reason(revert_data: &[u8]) -> Option<Reason> {
    Some(match Error::abi_decode_validate(revert_data).ok()? {
        Error::WalletStateNotAllowed(e) => {
            Reason::WalletStateNotAllowed { wallet: e.walletPubKeyHash.into(), state: e.state }
        }
        Error::FeeZero(_) => Reason::FeeZero,
        Error::FeeTooHigh(e) => Reason::FeeTooHigh { fee: e.fee, max_fee: e.maxFee },
        Error::SweepEmpty(_) => Reason::SweepEmpty,
        Error::SweepTooLarge(e) => Reason::SweepTooLarge { size: e.size, max_size: e.maxSize },
        Error::ExtraInfoCountMismatch(e) => {
            Reason::ExtraInfoCountMismatch { deposits: e.deposits, extra_infos: e.extraInfos }
        }
        Error::DepositNotRevealed(e) => Reason::DepositNotRevealed { index: e.index },
        Error::DepositTooYoung(e) => {
            Reason::DepositTooYoung { index: e.index, eligible_after: e.eligibleAfter }
        }
        Error::DepositAlreadySwept(e) => Reason::DepositAlreadySwept { index: e.index, swept_at: e.sweptAt },
        Error::FundingTxHashMismatch(e) => {
            Reason::FundingTxHashMismatch { index: e.index, expected: e.expected, actual: e.actual }
        }
        Error::FundingOutputMalformed(e) => Reason::FundingOutputMalformed { index: e.index },
        Error::FundingOutputScriptMismatch(e) => Reason::FundingOutputScriptMismatch { index: e.index },
        Error::DepositRefundTooClose(e) => {
            Reason::DepositRefundTooClose { index: e.index, sweepable_before: e.sweepableBefore }
        }
        Error::DepositOfOtherWallet(e) => {
            Reason::DepositOfOtherWallet { index: e.index, wallet: e.walletPubKeyHash.into() }
        }
        Error::DepositVaultMismatch(e) => {
            Reason::DepositVaultMismatch { index: e.index, vault: e.vault, expected: e.expected }
        }
        Error::DepositDuplicated(e) => {
            Reason::DepositDuplicated { index: e.index, first_index: e.firstIndex }
        }
        Error::RedemptionEmpty(_) => Reason::RedemptionEmpty,
        Error::RedemptionTooLarge(e) => Reason::RedemptionTooLarge { size: e.size, max_size: e.maxSize },
        Error::RedemptionNotPending(e) => Reason::RedemptionNotPending { index: e.index },
        Error::RedemptionTooYoung(e) => {
            Reason::RedemptionTooYoung { index: e.index, eligible_after: e.eligibleAfter }
        }
        Error::RedemptionTimeoutTooClose(e) => {
            Reason::RedemptionTimeoutTooClose { index: e.index, eligible_before: e.eligibleBefore }
        }
        Error::RedemptionFeeShareTooHigh(e) => {
            Reason::RedemptionFeeShareTooHigh { index: e.index, share: e.share, max_share: e.maxShare }
        }
        Error::RedemptionDuplicated(e) => {
            Reason::RedemptionDuplicated { index: e.index, first_index: e.firstIndex }
        }
        Error::HeartbeatMessageInvalid(_) => Reason::HeartbeatMessageInvalid,
        Error::TargetWalletsNotCommitted(_) => Reason::TargetWalletsNotCommitted,
        Error::TargetWalletsMismatch(e) => {
            Reason::TargetWalletsMismatch { committed: e.committed, actual: e.actual }
        }
        Error::MainUtxoMismatch(e) => Reason::MainUtxoMismatch { expected: e.expected, actual: e.actual },
        Error::BalanceBelowDust(e) => {
            Reason::BalanceBelowDust { balance: e.balance, dust_threshold: e.dustThreshold }
        }
        Error::SweepRequestNotPending(e) => Reason::SweepRequestNotPending { state: e.state },
        Error::SweepRequestOfOtherWallet(e) => {
            Reason::SweepRequestOfOtherWallet { wallet: e.walletPubKeyHash.into() }
        }
    })
}
