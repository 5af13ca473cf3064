// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {IBridge} from "../../contracts/interfaces/IBridge.sol";
import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {PlainBridge} from "../doubles/PlainBridge.sol";
import {PlainWatchtower} from "../doubles/PlainWatchtower.sol";
import {Bitcoin} from "./Bitcoin.sol";

/// A validator on a plain Bridge, and a valid default of each proposal for tests to change one thing in.
abstract contract ValidatorTest is Test {
    uint32 internal constant NOW = 1_800_000_000;
    uint32 internal constant WEEK = 7 days;

    bytes20 internal constant WALLET = bytes20(uint160(0xa11e7));
    bytes20 internal constant OTHER_WALLET = bytes20(uint160(0x07e2));
    address internal constant VAULT = address(0x7a117);

    uint64 internal constant DEPOSIT_TX_MAX_FEE = 10_000;
    uint64 internal constant REDEMPTION_TX_MAX_TOTAL_FEE = 100_000;
    uint32 internal constant REDEMPTION_TIMEOUT = 5 days;
    uint64 internal constant REDEMPTION_TX_MAX_FEE = 7_000;
    uint64 internal constant MOVING_FUNDS_TX_MAX_TOTAL_FEE = 50_000;
    uint64 internal constant MOVING_FUNDS_DUST_THRESHOLD = 20_000;
    uint64 internal constant MOVED_FUNDS_SWEEP_TX_MAX_TOTAL_FEE = 60_000;

    PlainBridge internal bridge;
    IValidator internal validator;

    struct Sweep {
        IValidator.DepositSweepProposal proposal;
        IValidator.DepositExtraInfo[] extraInfo;
    }

    struct MovingFunds {
        IValidator.MovingFundsProposal proposal;
        IValidator.BitcoinUtxo mainUtxo;
    }

    function setUp() public virtual {
        vm.warp(NOW);
        bridge = new PlainBridge();
        validator = _deployValidator(bridge);

        bridge.setDepositParameters(IBridge.DepositParameters(1_000_000, 2_000, DEPOSIT_TX_MAX_FEE, 15 days));
        bridge.setRedemptionParameters(
            IBridge.RedemptionParameters(
                1_000_000, 2_000, REDEMPTION_TX_MAX_FEE, REDEMPTION_TX_MAX_TOTAL_FEE, REDEMPTION_TIMEOUT, 100e18, 100
            )
        );
        bridge.setMovingFundsParameters(
            IBridge.MovingFundsParameters({
                movingFundsTxMaxTotalFee: MOVING_FUNDS_TX_MAX_TOTAL_FEE,
                movingFundsDustThreshold: MOVING_FUNDS_DUST_THRESHOLD,
                movingFundsTimeoutResetDelay: 6 days,
                movingFundsTimeout: 7 days,
                movingFundsTimeoutSlashingAmount: 100e18,
                movingFundsTimeoutNotifierRewardMultiplier: 100,
                movingFundsCommitmentGasOffset: 15_000,
                movedFundsSweepTxMaxTotalFee: MOVED_FUNDS_SWEEP_TX_MAX_TOTAL_FEE,
                movedFundsSweepTimeout: 7 days,
                movedFundsSweepTimeoutSlashingAmount: 100e18,
                movedFundsSweepTimeoutNotifierRewardMultiplier: 100
            })
        );
        _setWalletState(WALLET, IBridge.WalletState.Live);
    }

    function _deployValidator(IBridge bridge_) internal returns (IValidator) {
        return IValidator(deployCode("WalletProposalValidator.sol:WalletProposalValidator", abi.encode(bridge_)));
    }

    // ----- The Bridge's records -----

    function _setWalletState(bytes20 walletPubKeyHash, IBridge.WalletState state) internal {
        _setWalletState(walletPubKeyHash, uint256(state));
    }

    /// Any state that fits the type, known or not.
    function _setWalletState(bytes20 walletPubKeyHash, uint256 state) internal {
        IBridge.Wallet memory wallet = bridge.wallets(walletPubKeyHash);
        wallet.ecdsaWalletID = bytes32(uint256(0x1d));
        wallet.createdAt = NOW - WEEK;
        wallet.state = _uint8(state);
        bridge.setWallet(walletPubKeyHash, wallet);
    }

    function _uint8(uint256 state) private pure returns (uint8) {
        assertLe(state, type(uint8).max);
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint8(state);
    }

    function _depositKey(IValidator.DepositKey memory key) internal pure returns (uint256) {
        return uint256(keccak256(abi.encodePacked(key.fundingTxHash, key.fundingOutputIndex)));
    }

    function _redemptionKey(bytes memory script, bytes20 walletPubKeyHash) internal pure returns (uint256) {
        return uint256(keccak256(abi.encodePacked(keccak256(script), walletPubKeyHash)));
    }

    // ----- Deposit sweep -----

    /// A valid sweep of `n` deposits: P2WSH, funded by one-input two-output transactions, each deposit the second output.
    function _sweep(uint256 n) internal returns (Sweep memory sweep) {
        sweep.proposal.walletPubKeyHash = WALLET;
        sweep.proposal.sweepTxFee = DEPOSIT_TX_MAX_FEE;
        sweep.proposal.depositsKeys = new IValidator.DepositKey[](n);
        sweep.proposal.depositsRevealBlocks = new uint256[](n);
        sweep.extraInfo = new IValidator.DepositExtraInfo[](n);
        for (uint256 i = 0; i < n; ++i) {
            sweep.proposal.depositsRevealBlocks[i] = 20_000_000 + i;
            _putDeposit(sweep, i, _deposit(i), 1, 2);
        }
    }

    /// The default deposit `i`.
    function _deposit(uint256 i) internal pure returns (Bitcoin.Deposit memory) {
        return Bitcoin.Deposit({
            depositor: address(uint160(uint256(keccak256(abi.encode("depositor", i))))),
            extraData: 0,
            blindingFactor: bytes8(keccak256(abi.encode("blinding", i))),
            walletPubKeyHash: WALLET,
            refundPubKeyHash: bytes20(keccak256(abi.encode("refund", i))),
            refundLocktime: NOW + 30 days,
            outputType: Bitcoin.OutputType.P2wsh
        });
    }

    /// Makes `deposit` item `i` of the sweep, funded by output `outputIndex` of `outputCount`, and reveals it.
    function _putDeposit(
        Sweep memory sweep,
        uint256 i,
        Bitcoin.Deposit memory deposit,
        uint32 outputIndex,
        uint256 outputCount
    ) internal {
        bytes memory funding = Bitcoin.output(2_000_000, Bitcoin.fundingScript(deposit));
        _putDeposit(sweep, i, deposit, outputIndex, Bitcoin.outputVector(funding, outputIndex, outputCount));
    }

    /// The same with a given output vector.
    function _putDeposit(
        Sweep memory sweep,
        uint256 i,
        Bitcoin.Deposit memory deposit,
        uint32 outputIndex,
        bytes memory outputVector
    ) internal {
        IValidator.BitcoinTransaction memory transaction = Bitcoin.transaction(i, outputVector);
        IValidator.DepositKey memory key = IValidator.DepositKey(Bitcoin.txHash(transaction), outputIndex);
        sweep.proposal.depositsKeys[i] = key;
        sweep.extraInfo[i] = IValidator.DepositExtraInfo({
            fundingTx: transaction,
            blindingFactor: deposit.blindingFactor,
            walletPubKeyHash: deposit.walletPubKeyHash,
            refundPubKeyHash: deposit.refundPubKeyHash,
            refundLocktime: bytes4(Bitcoin.littleEndian(deposit.refundLocktime, 4))
        });
        bridge.setDeposit(
            _depositKey(key),
            IBridge.DepositRequest({
                depositor: deposit.depositor,
                amount: 2_000_000,
                revealedAt: NOW - WEEK,
                vault: VAULT,
                treasuryFee: 1_000,
                sweptAt: 0,
                extraData: deposit.extraData
            })
        );
    }

    /// The Bridge's record of deposit `i`, to be changed and put back by `_setRequest`.
    function _request(Sweep memory sweep, uint256 i) internal view returns (IBridge.DepositRequest memory) {
        return bridge.deposits(_depositKey(sweep.proposal.depositsKeys[i]));
    }

    function _setRequest(Sweep memory sweep, uint256 i, IBridge.DepositRequest memory request) internal {
        bridge.setDeposit(_depositKey(sweep.proposal.depositsKeys[i]), request);
    }

    function _validate(Sweep memory sweep) internal view returns (bool) {
        return validator.validateDepositSweepProposal(sweep.proposal, sweep.extraInfo);
    }

    // ----- Redemption -----

    /// A valid redemption of `n` requests, to P2WPKH scripts.
    function _redemption(uint256 n) internal returns (IValidator.RedemptionProposal memory proposal) {
        proposal.walletPubKeyHash = WALLET;
        proposal.redemptionTxFee = REDEMPTION_TX_MAX_FEE;
        proposal.redeemersOutputScripts = new bytes[](n);
        for (uint256 i = 0; i < n; ++i) {
            bytes memory script = bytes.concat(hex"160014", bytes20(keccak256(abi.encode("redeemer", i))));
            proposal.redeemersOutputScripts[i] = script;
            bridge.setPendingRedemption(
                _redemptionKey(script, WALLET),
                IBridge.RedemptionRequest(address(0x4edee3e4), 1_500_000, 750, REDEMPTION_TX_MAX_FEE, NOW - 1 days)
            );
        }
    }

    function _request(IValidator.RedemptionProposal memory proposal, uint256 i)
        internal
        view
        returns (IBridge.RedemptionRequest memory)
    {
        return bridge.pendingRedemptions(_redemptionKey(proposal.redeemersOutputScripts[i], proposal.walletPubKeyHash));
    }

    function _setRequest(
        IValidator.RedemptionProposal memory proposal,
        uint256 i,
        IBridge.RedemptionRequest memory request
    ) internal {
        bridge.setPendingRedemption(
            _redemptionKey(proposal.redeemersOutputScripts[i], proposal.walletPubKeyHash), request
        );
    }

    /// Sets a watchtower that delays request `i` by `delay`.
    function _setDelay(IValidator.RedemptionProposal memory proposal, uint256 i, uint32 delay) internal {
        PlainWatchtower watchtower = new PlainWatchtower();
        watchtower.setRedemptionDelay(
            _redemptionKey(proposal.redeemersOutputScripts[i], proposal.walletPubKeyHash), delay
        );
        bridge.setRedemptionWatchtower(address(watchtower));
    }

    // ----- Heartbeat -----

    function _heartbeat() internal pure returns (IValidator.HeartbeatProposal memory) {
        return IValidator.HeartbeatProposal(WALLET, hex"ffffffffffffffff0000000000000001");
    }

    // ----- Moving funds -----

    /// A valid move to three wallets.
    function _movingFunds() internal returns (MovingFunds memory) {
        return _movingFunds(3);
    }

    /// A valid move to `n` wallets.
    function _movingFunds(uint256 n) internal returns (MovingFunds memory m) {
        m.proposal = IValidator.MovingFundsProposal(WALLET, new bytes20[](n), MOVING_FUNDS_TX_MAX_TOTAL_FEE);
        for (uint256 i = 0; i < n; ++i) {
            m.proposal.targetWallets[i] = bytes20(keccak256(abi.encode("target", i)));
        }
        m.mainUtxo = IValidator.BitcoinUtxo(keccak256("main UTXO"), 3, 5_000_000);

        IBridge.Wallet memory wallet = bridge.wallets(WALLET);
        wallet.state = uint8(IBridge.WalletState.MovingFunds);
        wallet.movingFundsRequestedAt = NOW - 1 days;
        wallet.movingFundsTargetWalletsCommitmentHash = keccak256(abi.encodePacked(m.proposal.targetWallets));
        wallet.mainUtxoHash = _utxoHash(m.mainUtxo);
        bridge.setWallet(WALLET, wallet);
    }

    function _utxoHash(IValidator.BitcoinUtxo memory utxo) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(utxo.txHash, utxo.txOutputIndex, utxo.txOutputValue));
    }

    function _validate(MovingFunds memory m) internal view returns (bool) {
        return validator.validateMovingFundsProposal(m.proposal, m.mainUtxo);
    }

    // ----- Moved funds sweep -----

    /// A valid sweep of moved funds.
    function _movedFundsSweep() internal returns (IValidator.MovedFundsSweepProposal memory proposal) {
        proposal = IValidator.MovedFundsSweepProposal(
            WALLET, keccak256("moving funds"), 2, MOVED_FUNDS_SWEEP_TX_MAX_TOTAL_FEE
        );
        _setSweepRequest(proposal, WALLET, uint256(IBridge.MovedFundsSweepRequestState.Pending));
    }

    function _sweepRequestKey(IValidator.MovedFundsSweepProposal memory proposal) internal pure returns (uint256) {
        return uint256(keccak256(abi.encodePacked(proposal.movingFundsTxHash, proposal.movingFundsTxOutputIndex)));
    }

    function _setSweepRequest(
        IValidator.MovedFundsSweepProposal memory proposal,
        bytes20 walletPubKeyHash,
        uint256 state
    ) internal {
        bridge.setMovedFundsSweepRequest(
            _sweepRequestKey(proposal),
            IBridge.MovedFundsSweepRequest(walletPubKeyHash, 3_000_000, NOW - 1 days, _uint8(state))
        );
    }

    // ----- -----

    /// The call that judges the proposal.
    function _data(Sweep memory sweep) internal pure returns (bytes memory) {
        return abi.encodeCall(IValidator.validateDepositSweepProposal, (sweep.proposal, sweep.extraInfo));
    }

    function _data(MovingFunds memory m) internal pure returns (bytes memory) {
        return abi.encodeCall(IValidator.validateMovingFundsProposal, (m.proposal, m.mainUtxo));
    }

    /// The first `length` bytes.
    function _head(bytes memory data, uint256 length) internal pure returns (bytes memory head) {
        head = new bytes(length);
        for (uint256 i = 0; i < length; ++i) {
            head[i] = data[i];
        }
    }

    /// What one round took of memory the next may take again: its price grows with the square of its size.
    function _freeMemory() internal pure returns (uint256 free) {
        assembly ("memory-safe") {
            free := mload(0x40)
        }
    }

    function _releaseMemory(uint256 free) internal pure {
        assembly ("memory-safe") {
            mstore(0x40, free)
        }
    }
}
