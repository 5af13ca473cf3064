// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IBridge} from "./interfaces/IBridge.sol";
import {IRedemptionWatchtower} from "./interfaces/IRedemptionWatchtower.sol";
import {IWalletProposalValidator} from "./interfaces/IWalletProposalValidator.sol";
import {BitcoinHashes} from "./libraries/BitcoinHashes.sol";
import {BitcoinOutputs} from "./libraries/BitcoinOutputs.sol";
import {BridgeReader} from "./libraries/BridgeReader.sol";
import {DepositScript} from "./libraries/DepositScript.sol";
import {ExtraInfos} from "./libraries/ExtraInfos.sol";
import {FeeShares} from "./libraries/FeeShares.sol";
import {KeyList} from "./libraries/KeyList.sol";
import {Keys} from "./libraries/Keys.sol";
import {Times} from "./libraries/Times.sol";

/// @title WalletProposalValidator
/// @notice Reads the Bridge and applies the rules. Their meaning stands in `IWalletProposalValidator`.
/// @dev No owner, no storage, no write function, no upgrade path: changed rules mean a new deployment.
/// @custom:security-contact SECURITY.md, in the repository that this is built from, says whom to tell.
contract WalletProposalValidator is IWalletProposalValidator {
    using BridgeReader for IBridge;
    using BridgeReader for IRedemptionWatchtower;
    using DepositScript for bytes32;
    using ExtraInfos for DepositExtraInfo;
    using ExtraInfos for DepositExtraInfo[];
    using KeyList for KeyList.List;

    /// @inheritdoc IWalletProposalValidator
    uint32 public constant DEPOSIT_MIN_AGE = 2 hours;
    /// @inheritdoc IWalletProposalValidator
    uint32 public constant DEPOSIT_REFUND_SAFETY_MARGIN = 24 hours;
    /// @inheritdoc IWalletProposalValidator
    uint16 public constant DEPOSIT_SWEEP_MAX_SIZE = 20;
    /// @inheritdoc IWalletProposalValidator
    uint32 public constant REDEMPTION_REQUEST_MIN_AGE = 600;
    /// @inheritdoc IWalletProposalValidator
    uint32 public constant REDEMPTION_REQUEST_TIMEOUT_SAFETY_MARGIN = 2 hours;
    /// @inheritdoc IWalletProposalValidator
    uint16 public constant REDEMPTION_MAX_SIZE = 20;

    /// @inheritdoc IWalletProposalValidator
    IBridge public immutable bridge;

    constructor(IBridge _bridge) {
        bridge = _bridge;
    }

    /// @inheritdoc IWalletProposalValidator
    function validateDepositSweepProposal(
        DepositSweepProposal calldata proposal,
        DepositExtraInfo[] calldata depositsExtraInfo
    ) external view returns (bool) {
        DepositKey[] calldata keys = proposal.depositsKeys;
        bytes20 walletPubKeyHash = proposal.walletPubKeyHash;
        uint256 n = keys.length;

        _requireLiveOrMovingFunds(walletPubKeyHash); // DS-1
        require(n != 0, SweepEmpty()); // DS-2
        require(n <= DEPOSIT_SWEEP_MAX_SIZE, SweepTooLarge(n, DEPOSIT_SWEEP_MAX_SIZE)); // DS-3
        require(n == depositsExtraInfo.length, ExtraInfoCountMismatch(n, depositsExtraInfo.length)); // DS-4
        require(proposal.sweepTxFee != 0, FeeZero()); // DS-5
        {
            uint256 maxFee = bridge.readDepositParameters().depositTxMaxFee;
            // The other shares are never larger.
            // slither-disable-next-line unused-return
            (, uint256 share) = FeeShares.split(proposal.sweepTxFee, n);
            require(share <= maxFee, FeeTooHigh(share, maxFee)); // DS-6
        }

        KeyList.List seen = KeyList.empty(n);
        // Written over by each read.
        // slither-disable-next-line uninitialized-local
        IBridge.DepositRequest memory request;
        address vault = address(0);
        for (uint256 i = 0; i < n; ++i) {
            uint256 depositKey;
            (depositKey, vault) =
                _requireSweepable(keys[i], depositsExtraInfo.at(i), request, i, walletPubKeyHash, vault); // DS-7 to DS-14
            uint256 first = seen.put(i, depositKey);
            require(first == i, DepositDuplicated(i, first)); // DS-15
        }
        return true;
    }

    /// @inheritdoc IWalletProposalValidator
    function validateRedemptionProposal(RedemptionProposal calldata proposal) external view returns (bool) {
        bytes20 walletPubKeyHash = proposal.walletPubKeyHash;
        bytes[] calldata scripts = proposal.redeemersOutputScripts;
        uint256 n = scripts.length;
        uint256 fee = proposal.redemptionTxFee;

        _requireLiveOrMovingFunds(walletPubKeyHash); // RD-1
        require(n != 0, RedemptionEmpty()); // RD-2
        require(n <= REDEMPTION_MAX_SIZE, RedemptionTooLarge(n, REDEMPTION_MAX_SIZE)); // RD-3
        require(fee != 0, FeeZero()); // RD-4
        IBridge.RedemptionParameters memory parameters = bridge.readRedemptionParameters();
        require(fee <= parameters.redemptionTxMaxTotalFee, FeeTooHigh(fee, parameters.redemptionTxMaxTotalFee)); // RD-5

        (uint256 share, uint256 lastShare) = FeeShares.split(fee, n);
        IRedemptionWatchtower watchtower = bridge.readRedemptionWatchtower();
        KeyList.List seen = KeyList.empty(n);
        // Written over by each read.
        // slither-disable-next-line uninitialized-local
        IBridge.RedemptionRequest memory request;
        for (uint256 i = 0; i < n; ++i) {
            uint256 redemptionKey = Keys.redemption(scripts[i], walletPubKeyHash);
            bridge.readRedemption(redemptionKey, request);
            uint32 requestedAt = request.requestedAt;

            require(requestedAt != 0, RedemptionNotPending(i)); // RD-6
            uint256 bound = Times.earliest(requestedAt, _minAge(watchtower, redemptionKey));
            require(block.timestamp > bound, RedemptionTooYoung(i, bound)); // RD-7
            bound = Times.latest(requestedAt, parameters.redemptionTimeout, REDEMPTION_REQUEST_TIMEOUT_SAFETY_MARGIN);
            require(block.timestamp < bound, RedemptionTimeoutTooClose(i, bound)); // RD-8
            unchecked {
                if (i == n - 1) share = lastShare; // n isn't zero.
            }
            require(share <= request.txMaxFee, RedemptionFeeShareTooHigh(i, share, request.txMaxFee)); // RD-9
            uint256 first = seen.put(i, redemptionKey);
            require(first == i, RedemptionDuplicated(i, first)); // RD-10
        }
        return true;
    }

    /// @inheritdoc IWalletProposalValidator
    function validateHeartbeatProposal(HeartbeatProposal calldata proposal) external view returns (bool) {
        bytes calldata message = proposal.message;
        // The cast takes the first 8 bytes.
        // forge-lint: disable-next-line(unsafe-typecast)
        require(message.length == 16 && bytes8(message) == 0xffffffffffffffff, HeartbeatMessageInvalid()); // HB-1
        return true;
    }

    /// @inheritdoc IWalletProposalValidator
    function validateMovingFundsProposal(MovingFundsProposal calldata proposal, BitcoinUtxo calldata walletMainUtxo)
        external
        view
        returns (bool)
    {
        IBridge.Wallet memory wallet = bridge.readWallet(proposal.walletPubKeyHash);
        bool movingFunds = wallet.state == uint8(IBridge.WalletState.MovingFunds);
        require(movingFunds, WalletStateNotAllowed(proposal.walletPubKeyHash, wallet.state)); // MF-1

        bytes32 committed = wallet.movingFundsTargetWalletsCommitmentHash;
        require(committed != 0, TargetWalletsNotCommitted()); // MF-2
        bytes32 targets = keccak256(abi.encodePacked(proposal.targetWallets));
        require(targets == committed, TargetWalletsMismatch(committed, targets)); // MF-3

        uint256 balance = 0;
        if (wallet.mainUtxoHash != 0) {
            bytes32 utxo = Keys.utxo(walletMainUtxo.txHash, walletMainUtxo.txOutputIndex, walletMainUtxo.txOutputValue);
            require(utxo == wallet.mainUtxoHash, MainUtxoMismatch(wallet.mainUtxoHash, utxo)); // MF-4
            balance = walletMainUtxo.txOutputValue;
        }
        IBridge.MovingFundsParameters memory parameters = bridge.readMovingFundsParameters();
        uint256 dustThreshold = parameters.movingFundsDustThreshold;
        require(balance >= dustThreshold, BalanceBelowDust(balance, dustThreshold)); // MF-5

        _requireFee(proposal.movingFundsTxFee, parameters.movingFundsTxMaxTotalFee); // MF-6, MF-7
        return true;
    }

    /// @inheritdoc IWalletProposalValidator
    function validateMovedFundsSweepProposal(MovedFundsSweepProposal calldata proposal) external view returns (bool) {
        _requireLiveOrMovingFunds(proposal.walletPubKeyHash); // MS-1

        uint256 requestKey = Keys.output(proposal.movingFundsTxHash, proposal.movingFundsTxOutputIndex);
        IBridge.MovedFundsSweepRequest memory request = bridge.readMovedFundsSweepRequest(requestKey);
        bool pending = request.state == uint8(IBridge.MovedFundsSweepRequestState.Pending);
        require(pending, SweepRequestNotPending(request.state)); // MS-2
        bytes20 wallet = request.walletPubKeyHash;
        require(wallet == proposal.walletPubKeyHash, SweepRequestOfOtherWallet(wallet)); // MS-3

        _requireFee(proposal.movedFundsSweepTxFee, bridge.readMovingFundsParameters().movedFundsSweepTxMaxTotalFee); // MS-4, MS-5
        return true;
    }

    /// @dev DS-1, RD-1, MS-1.
    function _requireLiveOrMovingFunds(bytes20 walletPubKeyHash) private view {
        uint8 state = bridge.readWallet(walletPubKeyHash).state;
        bool allowed = state == uint8(IBridge.WalletState.Live) || state == uint8(IBridge.WalletState.MovingFunds);
        require(allowed, WalletStateNotAllowed(walletPubKeyHash, state));
    }

    /// @dev MF-6, MF-7; MS-4, MS-5.
    function _requireFee(uint256 fee, uint256 maxFee) private pure {
        require(fee != 0, FeeZero());
        require(fee <= maxFee, FeeTooHigh(fee, maxFee));
    }

    /// @dev Judges one deposit, but for DS-15. Returns its key, and the first deposit's vault.
    ///      A function of its own, which its early return keeps from being inlined: within the loop the compiler would be short
    ///      of stack, and load the same again and again.
    function _requireSweepable(
        DepositKey calldata key,
        DepositExtraInfo calldata info,
        IBridge.DepositRequest memory request,
        uint256 i,
        bytes20 walletPubKeyHash,
        address firstVault
    ) private view returns (uint256 depositKey, address vault) {
        (bytes32 txHash, uint32 outputIndex) = (key.fundingTxHash, key.fundingOutputIndex);
        depositKey = Keys.output(txHash, outputIndex);
        bridge.readDeposit(depositKey, request);

        _requireSweepableRequest(request, i); // DS-7, DS-8, DS-9
        _requireFundingOutput(info, request, i, txHash, outputIndex); // DS-10, DS-11
        uint256 sweepableBefore = Times.latest(_littleEndian(info.refund()), 0, DEPOSIT_REFUND_SAFETY_MARGIN);
        require(block.timestamp < sweepableBefore, DepositRefundTooClose(i, sweepableBefore)); // DS-12
        bytes20 wallet = info.wallet();
        require(wallet == walletPubKeyHash, DepositOfOtherWallet(i, wallet)); // DS-13
        vault = request.vault;
        if (i == 0) return (depositKey, vault);
        require(vault == firstVault, DepositVaultMismatch(i, vault, firstVault)); // DS-14
    }

    /// @dev What the Bridge's record of a deposit must say, whatever the rest of the proposal.
    function _requireSweepableRequest(IBridge.DepositRequest memory request, uint256 i) private view {
        uint32 revealedAt = request.revealedAt;
        require(revealedAt != 0, DepositNotRevealed(i)); // DS-7
        uint256 eligibleAfter = Times.earliest(revealedAt, DEPOSIT_MIN_AGE);
        require(block.timestamp > eligibleAfter, DepositTooYoung(i, eligibleAfter)); // DS-8
        require(request.sweptAt == 0, DepositAlreadySwept(i, request.sweptAt)); // DS-9
    }

    /// @dev Binds the untrusted extra info to the deposit: its transaction by hash, its other fields by the script.
    function _requireFundingOutput(
        DepositExtraInfo calldata info,
        IBridge.DepositRequest memory request,
        uint256 i,
        bytes32 txHash,
        uint32 outputIndex
    ) private view {
        (bytes32 hash, bytes calldata outputs) = _hashFundingTx(info);
        require(hash == txHash, FundingTxHashMismatch(i, txHash, hash)); // DS-10

        (bool found, bytes calldata outputScript) = BitcoinOutputs.scriptAt(outputs, outputIndex);
        require(found, FundingOutputMalformed(i)); // DS-11
        bytes32 scriptHash = _hashDepositScript(info, request);
        require(scriptHash.isPaidBy(outputScript), FundingOutputScriptMismatch(i)); // DS-11
    }

    /// @dev Also returns the outputs.
    function _hashFundingTx(DepositExtraInfo calldata info) private view returns (bytes32, bytes calldata) {
        (bytes4 version, bytes calldata inputs, bytes calldata outputs, bytes4 locktime) = info.transaction();
        return (BitcoinHashes.hash256(version, inputs, outputs, locktime), outputs);
    }

    function _hashDepositScript(DepositExtraInfo calldata info, IBridge.DepositRequest memory request)
        private
        view
        returns (bytes32)
    {
        (bytes8 blindingFactor, bytes20 wallet, bytes20 refundPubKeyHash, bytes4 refundLocktime) = info.scriptFields();
        return DepositScript.hash(
            request.depositor, request.extraData, blindingFactor, wallet, refundPubKeyHash, refundLocktime
        );
    }

    /// @dev The larger of the fixed minimum and the watchtower's delay, where there is a watchtower.
    function _minAge(IRedemptionWatchtower watchtower, uint256 redemptionKey) private view returns (uint32 age) {
        age = REDEMPTION_REQUEST_MIN_AGE;
        if (address(watchtower) != address(0)) {
            uint32 delay = watchtower.readRedemptionDelay(redemptionKey);
            if (delay > age) age = delay;
        }
    }

    function _littleEndian(bytes4 value) private pure returns (uint32) {
        uint256 v = uint32(value);
        v = ((v & 0xff00ff00) >> 8) | ((v & 0x00ff00ff) << 8);
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint32((v >> 16) | (v << 16)); // its lower half
    }
}
