// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IBridge} from "./IBridge.sol";

/// @title Says whether a tBTC wallet's proposed next action is allowed
/// @notice One view per action of RFC 12. Each returns true for a valid proposal and reverts otherwise. A proposal
///         that breaks several rules is rejected for the first, in the order in which the function's docs list them;
///         items of a list are judged in order, each by all its rules before the next one.
///
///         Selectors, types and constants are those of the validator deployed on mainnet in 2024, so either can stand
///         in for the other.
///
///         ## Three outcomes
///         - true: the proposal keeps every rule.
///         - one of the errors below: it breaks the rule that function and error name.
///         - a revert without data: undecided. The calldata isn't the ABI encoding of a proposal, the Bridge or its
///           watchtower failed or gave an answer not exactly of its type, or gas ran out.
///         Each is about the block that the call is made at, and holds for no other.
///
///         ## Times
///         All comparisons are strict, against `block.timestamp`. The Bridge keeps times in 32 bits. A bound that
///         32 bits can't hold is never met, and is reported as one that no time meets: 2²⁵⁶−1 for "eligible after",
///         zero for "before".
///
///         ## Assumed of the Bridge
///         For safety (a wrong answer could make a bad proposal look valid):
///         - its views tell its true state, and its keys are computed as `IBridge` says;
///         - a deposit's depositor and extra data never change once revealed, a deposit is `sweptAt` from its proven
///           sweep on, and a redemption stops being pending once it is handled, timed out or vetoed;
///         - refund locktimes are Unix times (at least 500,000,000), which the Bridge checks at the reveal;
///         - it accepts a proof only for what it has on record, and until then neither shortens a redemption's timeout
///           nor lowers the maximum that DS-6, RD-5, MF-7 or MS-5 compared with;
///         - its watchtower, if it has one, says how long a redemption can still be vetoed.
///         For liveness (a wrong answer makes good proposals fail): its views don't revert and cost little gas.
///
///         ## Not checked here
///         Each member checks these before signing:
///         - funding transactions have enough Bitcoin confirmations (6);
///         - reveals and redemption requests are at least 32 blocks deep on Ethereum;
///         - the wallet's earlier actions are proven: the main UTXO that the Bridge knows is unspent on Bitcoin;
///         - for moving funds, the safety margin since the wallet entered that state has passed;
///         - the proposed fee can relay, is small beside the amounts that bear it (deposits, moved funds, the main UTXO),
///           and doesn't waste the wallet's money below the Bridge's maximum.
interface IWalletProposalValidator {
    // ----- Proposals. Hashes are in Bitcoin's internal byte order, amounts are satoshis. -----

    /// @notice A deposit, by its funding output.
    struct DepositKey {
        bytes32 fundingTxHash;
        uint32 fundingOutputIndex;
    }

    /// @notice Sweep these deposits, and the wallet's main UTXO if any, into one output.
    struct DepositSweepProposal {
        bytes20 walletPubKeyHash;
        DepositKey[] depositsKeys;
        uint256 sweepTxFee;
        /// Ethereum blocks of the reveals, for finding their events. Not checked: with a wrong one the members don't
        /// find the event, so they can't build the extra info and reject the proposal themselves.
        uint256[] depositsRevealBlocks;
    }

    /// @notice A Bitcoin transaction without its witness, in parts as serialized.
    struct BitcoinTransaction {
        bytes4 version;
        /// With its leading count.
        bytes inputVector;
        /// With its leading count.
        bytes outputVector;
        bytes4 locktime;
    }

    /// @notice What the Bridge doesn't store of a deposit. Untrusted: bound to the deposit by DS-10 and DS-11.
    struct DepositExtraInfo {
        BitcoinTransaction fundingTx;
        bytes8 blindingFactor;
        bytes20 walletPubKeyHash;
        bytes20 refundPubKeyHash;
        /// Little-endian, as in the deposit script.
        bytes4 refundLocktime;
    }

    /// @notice Pay these redemption requests from the wallet's main UTXO.
    struct RedemptionProposal {
        bytes20 walletPubKeyHash;
        /// Each with its length prefix, as in `Bridge.requestRedemption`.
        bytes[] redeemersOutputScripts;
        uint256 redemptionTxFee;
    }

    /// @notice Sign this message, to show that the wallet's signers are alive.
    struct HeartbeatProposal {
        bytes20 walletPubKeyHash;
        bytes message;
    }

    /// @notice Move all of the wallet's funds to the wallets it has committed to.
    struct MovingFundsProposal {
        bytes20 walletPubKeyHash;
        bytes20[] targetWallets;
        uint256 movingFundsTxFee;
    }

    /// @notice An unspent Bitcoin output.
    struct BitcoinUtxo {
        bytes32 txHash;
        uint32 txOutputIndex;
        uint64 txOutputValue;
    }

    /// @notice Merge an output that another wallet moved here into this wallet's main UTXO.
    struct MovedFundsSweepProposal {
        bytes20 walletPubKeyHash;
        bytes32 movingFundsTxHash;
        uint32 movingFundsTxOutputIndex;
        uint256 movedFundsSweepTxFee;
    }

    // ----- Rejections. `index` is the item's position in the proposal's list, from zero. -----

    /// @notice DS-1, RD-1, MF-1, MS-1: the Bridge has the wallet in another state, see `IBridge.WalletState`.
    error WalletStateNotAllowed(bytes20 walletPubKeyHash, uint8 state);
    /// @notice DS-5, RD-4, MF-6, MS-4: a transaction without a fee isn't relayed.
    error FeeZero();
    /// @notice DS-6 (`fee` is the largest share), RD-5, MF-7, MS-5: the Bridge wouldn't accept the proof.
    error FeeTooHigh(uint256 fee, uint256 maxFee);

    /// @notice DS-2.
    error SweepEmpty();
    /// @notice DS-3.
    error SweepTooLarge(uint256 size, uint256 maxSize);
    /// @notice DS-4.
    error ExtraInfoCountMismatch(uint256 deposits, uint256 extraInfos);
    /// @notice DS-7.
    error DepositNotRevealed(uint256 index);
    /// @notice DS-8: valid only in blocks later than `eligibleAfter`.
    error DepositTooYoung(uint256 index, uint256 eligibleAfter);
    /// @notice DS-9.
    error DepositAlreadySwept(uint256 index, uint256 sweptAt);
    /// @notice DS-10: `expected` stands in the proposal, `actual` is the hash of the extra info's transaction.
    error FundingTxHashMismatch(uint256 index, bytes32 expected, bytes32 actual);
    /// @notice DS-11: no such output, or not well formed.
    error FundingOutputMalformed(uint256 index);
    /// @notice DS-11: the output isn't P2SH or P2WSH of exactly the deposit script.
    error FundingOutputScriptMismatch(uint256 index);
    /// @notice DS-12: valid only in blocks earlier than `sweepableBefore`.
    error DepositRefundTooClose(uint256 index, uint256 sweepableBefore);
    /// @notice DS-13: the deposit was made to `walletPubKeyHash`.
    error DepositOfOtherWallet(uint256 index, bytes20 walletPubKeyHash);
    /// @notice DS-14: `expected` is the first deposit's vault.
    error DepositVaultMismatch(uint256 index, address vault, address expected);
    /// @notice DS-15.
    error DepositDuplicated(uint256 index, uint256 firstIndex);

    /// @notice RD-2.
    error RedemptionEmpty();
    /// @notice RD-3.
    error RedemptionTooLarge(uint256 size, uint256 maxSize);
    /// @notice RD-6: unknown, handled, timed out, vetoed, or of another wallet.
    error RedemptionNotPending(uint256 index);
    /// @notice RD-7: valid only in blocks later than `eligibleAfter`.
    error RedemptionTooYoung(uint256 index, uint256 eligibleAfter);
    /// @notice RD-8: valid only in blocks earlier than `eligibleBefore`.
    error RedemptionTimeoutTooClose(uint256 index, uint256 eligibleBefore);
    /// @notice RD-9: `maxShare` is what the redeemer agreed to.
    error RedemptionFeeShareTooHigh(uint256 index, uint256 share, uint256 maxShare);
    /// @notice RD-10.
    error RedemptionDuplicated(uint256 index, uint256 firstIndex);

    /// @notice HB-1.
    error HeartbeatMessageInvalid();

    /// @notice MF-2.
    error TargetWalletsNotCommitted();
    /// @notice MF-3: `actual` is the hash of the proposal's targets, in their order.
    error TargetWalletsMismatch(bytes32 committed, bytes32 actual);
    /// @notice MF-4: `expected` is the Bridge's, `actual` the given UTXO's hash.
    error MainUtxoMismatch(bytes32 expected, bytes32 actual);
    /// @notice MF-5.
    error BalanceBelowDust(uint256 balance, uint256 dustThreshold);

    /// @notice MS-2: see `IBridge.MovedFundsSweepRequestState`.
    error SweepRequestNotPending(uint8 state);
    /// @notice MS-3: the funds were moved to `walletPubKeyHash`.
    error SweepRequestOfOtherWallet(bytes20 walletPubKeyHash);

    // ----- Constants. Durations are seconds. -----

    /// @notice 2 hours. The race: a sweep against a reveal (or a funding transaction) that is still reorganised away.
    ///         Revealed at 12:00:00, sweepable from 14:00:01. Were it swept at 12:01 and the reveal undone at 12:05, the
    ///         wallet would have signed away an output that the Bridge knows nothing of: no proof of that sweep would be
    ///         accepted, and the wallet would be stuck behind it.
    function DEPOSIT_MIN_AGE() external view returns (uint32);

    /// @notice 24 hours. The race: a sweep against the depositor's refund of the same output.
    ///         With a locktime of Saturday 12:00:00, sweepable until Friday 11:59:59; a sweep signed at that last moment has a
    ///         day to confirm, and the hour or so more by which Bitcoin's median time, which locktimes go by, lags the clock.
    ///         Were one signed on Saturday at 11:50 and left in the mempool, the depositor could take the refund as soon as
    ///         that median has passed noon. The sweep could never be proven, yet the wallet's signature over that input would
    ///         be public, and it could be used in a fraud challenge that nobody can defeat.
    function DEPOSIT_REFUND_SAFETY_MARGIN() external view returns (uint32);

    /// @notice 20. Bounds what the wallet must sign in one go, one signature per input, and the gas of the proof.
    function DEPOSIT_SWEEP_MAX_SIZE() external view returns (uint16);

    /// @notice 600 seconds. The race: a payment against a request that is still reorganised away.
    ///         Requested at 12:00:00, payable from 12:10:01. Were it paid at 12:01 and the request undone at 12:03, the wallet
    ///         would have paid bitcoin for tBTC that was never handed in. The watchtower's delay replaces it where longer.
    function REDEMPTION_REQUEST_MIN_AGE() external view returns (uint32);

    /// @notice 2 hours. The race: a payment against the notice of the request's timeout.
    ///         Requested on Monday 12:00:00 with a Bridge timeout of 5 days: payable until Saturday 09:59:59, timed out from
    ///         Saturday 12:00:00. Were it signed at 11:55 and confirmed at 12:20, anyone could report the timeout at 12:05, and
    ///         the redeemer would have both the bitcoin and the tBTC back.
    function REDEMPTION_REQUEST_TIMEOUT_SAFETY_MARGIN() external view returns (uint32);

    /// @notice 20. Bounds the outputs of one transaction and the gas of its proof.
    function REDEMPTION_MAX_SIZE() external view returns (uint16);

    /// @notice The Bridge whose state decides. Set at construction, for good.
    function bridge() external view returns (IBridge);

    // ----- The five actions -----

    /// @notice May the wallet sweep these deposits?
    ///         - DS-1: the wallet is Live or MovingFunds.
    ///         - DS-2: there is at least one deposit.
    ///         - DS-3: there are at most `DEPOSIT_SWEEP_MAX_SIZE`.
    ///         - DS-4: there are as many extra infos as deposits.
    ///         - DS-5: the fee isn't zero.
    ///         - DS-6: the largest fee share, `fee / n + fee % n`, is at most the Bridge's `depositTxMaxFee`.
    ///         Then each deposit:
    ///         - DS-7: it is revealed.
    ///         - DS-8: more than `DEPOSIT_MIN_AGE` has passed since.
    ///         - DS-9: it isn't swept.
    ///         - DS-10: the extra info's transaction hashes to its `fundingTxHash`.
    ///         - DS-11: the output at its `fundingOutputIndex` exists, is well formed, and is P2SH or P2WSH of exactly the
    ///           deposit script.
    ///         - DS-12: its refund is more than `DEPOSIT_REFUND_SAFETY_MARGIN` away.
    ///         - DS-13: the extra info names the proposal's wallet.
    ///         - DS-14: its vault is the first deposit's.
    ///         - DS-15: it hasn't occurred earlier in the proposal.
    /// @dev DS-11 differs from the validator deployed in 2024 on purpose. That one also accepts P2PKH and P2WPKH outputs
    ///      whose 20 bytes equal HASH160(deposit script); nobody can ever spend those.
    ///      Not checked: `depositsRevealBlocks`, and what the interface's docs list.
    /// @param depositsExtraInfo One per deposit, in the same order.
    function validateDepositSweepProposal(
        DepositSweepProposal calldata proposal,
        DepositExtraInfo[] calldata depositsExtraInfo
    ) external view returns (bool);

    /// @notice May the wallet pay these redemption requests?
    ///         - RD-1: the wallet is Live or MovingFunds.
    ///         - RD-2: there is at least one request.
    ///         - RD-3: there are at most `REDEMPTION_MAX_SIZE`.
    ///         - RD-4: the fee isn't zero.
    ///         - RD-5: the fee is at most the Bridge's `redemptionTxMaxTotalFee`.
    ///         Then each request:
    ///         - RD-6: it is pending.
    ///         - RD-7: since it was made, more than the larger of `REDEMPTION_REQUEST_MIN_AGE` and the watchtower's
    ///           delay has passed (the former where no watchtower is set).
    ///         - RD-8: its timeout, by the Bridge's `redemptionTimeout`, is more than
    ///           `REDEMPTION_REQUEST_TIMEOUT_SAFETY_MARGIN` away.
    ///         - RD-9: its fee share is at most its `txMaxFee`: `fee / n`, the last one also bearing `fee % n`.
    ///         - RD-10: it hasn't occurred earlier in the proposal.
    /// @dev Not checked: that the requests' amounts fit the main UTXO (the Bridge reserves them when they are made), and
    ///      what the interface's docs list.
    function validateRedemptionProposal(RedemptionProposal calldata proposal) external view returns (bool);

    /// @notice May the wallet sign this message?
    ///         - HB-1: it is 16 bytes, the first 8 of them all `ff`. No preimage of a Bitcoin sighash starts like that.
    /// @dev Not checked: the wallet's state, and what the interface's docs list.
    function validateHeartbeatProposal(HeartbeatProposal calldata proposal) external view returns (bool);

    /// @notice May the wallet move its funds to these wallets?
    ///         - MF-1: the wallet is MovingFunds.
    ///         - MF-2: it has submitted its commitment to target wallets.
    ///         - MF-3: the target wallets equal the committed ones, in order.
    ///         - MF-4: if the wallet has a main UTXO, the given UTXO is that one.
    ///         - MF-5: its balance (that UTXO's value, zero without one) is at least the Bridge's `movingFundsDustThreshold`.
    ///         - MF-6: the fee isn't zero.
    ///         - MF-7: the fee is at most the Bridge's `movingFundsTxMaxTotalFee`.
    /// @dev Not checked: the targets' state (the Bridge did at the commitment), and what the interface's docs list.
    /// @param walletMainUtxo Ignored when the Bridge knows no main UTXO of the wallet.
    function validateMovingFundsProposal(MovingFundsProposal calldata proposal, BitcoinUtxo calldata walletMainUtxo)
        external
        view
        returns (bool);

    /// @notice May the wallet sweep this output that another wallet moved to it?
    ///         - MS-1: the wallet is Live or MovingFunds.
    ///         - MS-2: the sweep request is pending.
    ///         - MS-3: the request is the wallet's.
    ///         - MS-4: the fee isn't zero.
    ///         - MS-5: the fee is at most the Bridge's `movedFundsSweepTxMaxTotalFee`.
    /// @dev Not checked: what the interface's docs list.
    function validateMovedFundsSweepProposal(MovedFundsSweepProposal calldata proposal) external view returns (bool);
}
