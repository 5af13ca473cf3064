// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @title The part of the tBTC Bridge that the validator reads
/// @notice Views only. Amounts are satoshis, times are Unix seconds, durations are seconds.
interface IBridge {
    enum WalletState {
        Unknown,
        Live,
        MovingFunds,
        Closing,
        Closed,
        Terminated
    }

    enum MovedFundsSweepRequestState {
        Unknown,
        Pending,
        Processed,
        TimedOut
    }

    struct DepositRequest {
        address depositor;
        uint64 amount;
        /// Zero: never revealed.
        uint32 revealedAt;
        address vault;
        uint64 treasuryFee;
        /// Zero: not swept.
        uint32 sweptAt;
        /// Zero: the deposit script has no extra data.
        bytes32 extraData;
    }

    struct RedemptionRequest {
        address redeemer;
        uint64 requestedAmount;
        uint64 treasuryFee;
        /// The largest fee share the redeemer agreed to.
        uint64 txMaxFee;
        /// Zero: not pending.
        uint32 requestedAt;
    }

    struct Wallet {
        bytes32 ecdsaWalletID;
        /// keccak256(txHash ‖ txOutputIndex ‖ txOutputValue). Zero: the wallet has no main UTXO.
        bytes32 mainUtxoHash;
        uint64 pendingRedemptionsValue;
        uint32 createdAt;
        uint32 movingFundsRequestedAt;
        uint32 closingStartedAt;
        uint32 pendingMovedFundsSweepRequestsCount;
        /// A `WalletState`. Not typed as one: a state that a later Bridge adds is to be named in a rejection.
        uint8 state;
        /// Zero: no commitment submitted.
        bytes32 movingFundsTargetWalletsCommitmentHash;
    }

    struct MovedFundsSweepRequest {
        bytes20 walletPubKeyHash;
        uint64 value;
        uint32 createdAt;
        /// A `MovedFundsSweepRequestState`; not typed as one, as with `Wallet.state`.
        uint8 state;
    }

    struct DepositParameters {
        uint64 depositDustThreshold;
        uint64 depositTreasuryFeeDivisor;
        uint64 depositTxMaxFee;
        uint32 depositRevealAheadPeriod;
    }

    struct RedemptionParameters {
        uint64 redemptionDustThreshold;
        uint64 redemptionTreasuryFeeDivisor;
        uint64 redemptionTxMaxFee;
        uint64 redemptionTxMaxTotalFee;
        uint32 redemptionTimeout;
        uint96 redemptionTimeoutSlashingAmount;
        uint32 redemptionTimeoutNotifierRewardMultiplier;
    }

    struct MovingFundsParameters {
        uint64 movingFundsTxMaxTotalFee;
        uint64 movingFundsDustThreshold;
        uint32 movingFundsTimeoutResetDelay;
        uint32 movingFundsTimeout;
        uint96 movingFundsTimeoutSlashingAmount;
        uint32 movingFundsTimeoutNotifierRewardMultiplier;
        uint16 movingFundsCommitmentGasOffset;
        uint64 movedFundsSweepTxMaxTotalFee;
        uint32 movedFundsSweepTimeout;
        uint96 movedFundsSweepTimeoutSlashingAmount;
        uint32 movedFundsSweepTimeoutNotifierRewardMultiplier;
    }

    /// @param walletPubKeyHash HASH160 of the wallet's compressed public key.
    function wallets(bytes20 walletPubKeyHash) external view returns (Wallet memory);

    /// @param depositKey keccak256(fundingTxHash ‖ fundingOutputIndex), the index as 4 bytes, big-endian.
    function deposits(uint256 depositKey) external view returns (DepositRequest memory);

    /// @param redemptionKey keccak256(keccak256(outputScript) ‖ walletPubKeyHash), the script with its length prefix.
    function pendingRedemptions(uint256 redemptionKey) external view returns (RedemptionRequest memory);

    /// @param requestKey keccak256(movingFundsTxHash ‖ movingFundsTxOutputIndex), the index as 4 bytes, big-endian.
    function movedFundsSweepRequests(uint256 requestKey) external view returns (MovedFundsSweepRequest memory);

    function depositParameters() external view returns (DepositParameters memory);

    function redemptionParameters() external view returns (RedemptionParameters memory);

    function movingFundsParameters() external view returns (MovingFundsParameters memory);

    /// @return The contract that can delay redemptions, or zero when there is none.
    function getRedemptionWatchtower() external view returns (address);
}
