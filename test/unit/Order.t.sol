// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IBridge} from "../../contracts/interfaces/IBridge.sol";
import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {Bitcoin} from "../support/Bitcoin.sol";
import {ValidatorTest} from "../support/ValidatorTest.sol";

/// The first broken rule is the one reported. Each test breaks its rule and every later one that can be broken with it.
contract OrderTest is ValidatorTest {
    // ----- Deposit sweep -----

    function test_DS1_isReportedBeforeLaterRules() external {
        _setWalletState(WALLET, IBridge.WalletState.Closed);
        Sweep memory sweep = _badSweep(0, 1, 0);
        _rejects(sweep, abi.encodeWithSelector(IValidator.WalletStateNotAllowed.selector, WALLET, 4));
    }

    function test_DS2_isReportedBeforeLaterRules() external {
        _rejects(_badSweep(0, 1, 0), abi.encodeWithSelector(IValidator.SweepEmpty.selector));
    }

    function test_DS3_isReportedBeforeLaterRules() external {
        _rejects(_badSweep(21, 22, 0), abi.encodeWithSelector(IValidator.SweepTooLarge.selector, 21, 20));
    }

    function test_DS4_isReportedBeforeLaterRules() external {
        _rejects(_badSweep(2, 3, 0), abi.encodeWithSelector(IValidator.ExtraInfoCountMismatch.selector, 2, 3));
    }

    function test_DS5_isReportedBeforeLaterRules() external {
        _rejects(_badSweep(2, 2, 0), abi.encodeWithSelector(IValidator.FeeZero.selector));
    }

    function test_DS6_isReportedBeforeLaterRules() external {
        Sweep memory sweep = _badSweep(2, 2, 2 * DEPOSIT_TX_MAX_FEE + 2);
        _rejects(
            sweep, abi.encodeWithSelector(IValidator.FeeTooHigh.selector, DEPOSIT_TX_MAX_FEE + 1, DEPOSIT_TX_MAX_FEE)
        );
    }

    function test_DS7_isReportedBeforeLaterRules() external {
        _rejects(_sweepBrokenFrom(7), abi.encodeWithSelector(IValidator.DepositNotRevealed.selector, 1));
    }

    function test_DS8_isReportedBeforeLaterRules() external {
        _rejects(_sweepBrokenFrom(8), abi.encodeWithSelector(IValidator.DepositTooYoung.selector, 1, NOW + 2 hours));
    }

    function test_DS9_isReportedBeforeLaterRules() external {
        _rejects(_sweepBrokenFrom(9), abi.encodeWithSelector(IValidator.DepositAlreadySwept.selector, 1, NOW));
    }

    function test_DS10_isReportedBeforeLaterRules() external {
        Sweep memory sweep = _sweepBrokenFrom(10);
        bytes32 actual = Bitcoin.txHash(sweep.extraInfo[1].fundingTx);
        bytes32 expected = sweep.proposal.depositsKeys[1].fundingTxHash;
        _rejects(sweep, abi.encodeWithSelector(IValidator.FundingTxHashMismatch.selector, 1, expected, actual));
    }

    function test_DS11_isReportedBeforeLaterRules() external {
        _rejects(_sweepBrokenFrom(11), abi.encodeWithSelector(IValidator.FundingOutputScriptMismatch.selector, 1));
    }

    function test_DS12_isReportedBeforeLaterRules() external {
        _rejects(_sweepBrokenFrom(12), abi.encodeWithSelector(IValidator.DepositRefundTooClose.selector, 1, NOW));
    }

    function test_DS13_isReportedBeforeLaterRules() external {
        _rejects(
            _sweepBrokenFrom(13), abi.encodeWithSelector(IValidator.DepositOfOtherWallet.selector, 1, OTHER_WALLET)
        );
    }

    function test_DS14_isReportedBeforeLaterRules() external {
        _rejects(
            _sweepBrokenFrom(14), abi.encodeWithSelector(IValidator.DepositVaultMismatch.selector, 1, address(1), VAULT)
        );
    }

    /// An occurrence of an earlier deposit, so its record is in order: only its extra info can break a rule before.
    function test_DS15_isReportedAfterDS10() external {
        Sweep memory sweep = _sweep(3);
        sweep.proposal.depositsKeys[1] = sweep.proposal.depositsKeys[0];
        sweep.extraInfo[1] = sweep.extraInfo[0];
        _setVault(sweep, 2, address(1));
        _rejects(sweep, abi.encodeWithSelector(IValidator.DepositDuplicated.selector, 1, 0));

        sweep.extraInfo[1] = sweep.extraInfo[2];
        bytes32 actual = sweep.proposal.depositsKeys[2].fundingTxHash;
        bytes32 expected = sweep.proposal.depositsKeys[0].fundingTxHash;
        _rejects(sweep, abi.encodeWithSelector(IValidator.FundingTxHashMismatch.selector, 1, expected, actual));
    }

    function test_DS_itemsAreJudgedInOrder() external {
        Sweep memory sweep = _sweep(3);
        _setVault(sweep, 1, address(1));
        IBridge.DepositRequest memory request = _request(sweep, 2);
        request.revealedAt = 0;
        _setRequest(sweep, 2, request);
        _rejects(sweep, abi.encodeWithSelector(IValidator.DepositVaultMismatch.selector, 1, address(1), VAULT));
    }

    /// A sweep none of whose deposits is revealed.
    function _badSweep(uint256 deposits, uint256 extraInfos, uint256 fee) private returns (Sweep memory sweep) {
        sweep.proposal = _sweep(deposits).proposal;
        sweep.extraInfo = _sweep(extraInfos).extraInfo;
        sweep.proposal.sweepTxFee = fee;
        for (uint256 i = 0; i < deposits; ++i) {
            IBridge.DepositRequest memory request = _request(sweep, i);
            request.revealedAt = 0;
            _setRequest(sweep, i, request);
        }
    }

    /// The second of three deposits breaks all rules from `rule` (7 to 14) on, and the third occurs twice.
    function _sweepBrokenFrom(uint256 rule) private returns (Sweep memory sweep) {
        sweep = _sweep(3);
        sweep.proposal.depositsKeys[2] = sweep.proposal.depositsKeys[0];
        sweep.extraInfo[2] = sweep.extraInfo[0];

        Bitcoin.Deposit memory deposit = _deposit(1);
        if (rule <= 12) deposit.refundLocktime = NOW + 24 hours;
        if (rule <= 13) deposit.walletPubKeyHash = OTHER_WALLET;
        _putDeposit(sweep, 1, deposit, 1, 2);

        IBridge.DepositRequest memory request = _request(sweep, 1);
        request.vault = address(1);
        if (rule == 7) request.revealedAt = 0;
        if (rule == 8) request.revealedAt = NOW;
        if (rule <= 9) request.sweptAt = NOW;
        if (rule <= 11) request.depositor = address(1);
        _setRequest(sweep, 1, request);
        if (rule <= 10) sweep.extraInfo[1].fundingTx.outputVector = hex"00";
    }

    function _setVault(Sweep memory sweep, uint256 i, address vault) private {
        IBridge.DepositRequest memory request = _request(sweep, i);
        request.vault = vault;
        _setRequest(sweep, i, request);
    }

    function _rejects(Sweep memory sweep, bytes memory rejection) private {
        vm.expectRevert(rejection);
        _validate(sweep);
    }

    // ----- Redemption -----

    function test_RD1_isReportedBeforeLaterRules() external {
        _setWalletState(WALLET, IBridge.WalletState.Closed);
        _rejects(_badRedemption(0, 0), abi.encodeWithSelector(IValidator.WalletStateNotAllowed.selector, WALLET, 4));
    }

    function test_RD2_isReportedBeforeLaterRules() external {
        _rejects(_badRedemption(0, 0), abi.encodeWithSelector(IValidator.RedemptionEmpty.selector));
    }

    function test_RD3_isReportedBeforeLaterRules() external {
        _rejects(_badRedemption(21, 0), abi.encodeWithSelector(IValidator.RedemptionTooLarge.selector, 21, 20));
    }

    function test_RD4_isReportedBeforeLaterRules() external {
        _rejects(_badRedemption(2, 0), abi.encodeWithSelector(IValidator.FeeZero.selector));
    }

    function test_RD5_isReportedBeforeLaterRules() external {
        uint256 maxFee = REDEMPTION_TX_MAX_TOTAL_FEE;
        _rejects(
            _badRedemption(2, maxFee + 1), abi.encodeWithSelector(IValidator.FeeTooHigh.selector, maxFee + 1, maxFee)
        );
    }

    function test_RD6_isReportedBeforeLaterRules() external {
        _rejects(_badRedemption(2, 6_000), abi.encodeWithSelector(IValidator.RedemptionNotPending.selector, 0));
    }

    /// Too young and too close to its timeout at once, by a watchtower's delay above the timeout.
    function test_RD7_isReportedBeforeLaterRules() external {
        IValidator.RedemptionProposal memory proposal = _lateRedemption();
        _setDelay(proposal, 1, 10 days);
        _rejects(proposal, abi.encodeWithSelector(IValidator.RedemptionTooYoung.selector, 1, NOW + 5 days));
    }

    function test_RD8_isReportedBeforeLaterRules() external {
        bytes memory rejection = abi.encodeWithSelector(IValidator.RedemptionTimeoutTooClose.selector, 1, NOW - 2 hours);
        _rejects(_lateRedemption(), rejection);
    }

    /// The duplicate's record is its first occurrence's: only the last share, with the remainder, can be too high for it.
    function test_RD9_isReportedBeforeLaterRules() external {
        IValidator.RedemptionProposal memory proposal = _redemption(3);
        proposal.redemptionTxFee = 3 * REDEMPTION_TX_MAX_FEE + 2;
        proposal.redeemersOutputScripts[2] = proposal.redeemersOutputScripts[0];
        _rejects(
            proposal,
            abi.encodeWithSelector(
                IValidator.RedemptionFeeShareTooHigh.selector, 2, REDEMPTION_TX_MAX_FEE + 2, REDEMPTION_TX_MAX_FEE
            )
        );
    }

    function test_RD10_isReportedBeforeLaterItems() external {
        IValidator.RedemptionProposal memory proposal = _redemption(3);
        proposal.redeemersOutputScripts[1] = proposal.redeemersOutputScripts[0];
        proposal.redeemersOutputScripts[2] = "";
        _rejects(proposal, abi.encodeWithSelector(IValidator.RedemptionDuplicated.selector, 1, 0));
    }

    /// None of the requests is pending.
    function _badRedemption(uint256 n, uint256 fee) private returns (IValidator.RedemptionProposal memory proposal) {
        proposal = _redemption(n);
        proposal.redemptionTxFee = fee;
        for (uint256 i = 0; i < n; ++i) {
            proposal.redeemersOutputScripts[i] = "";
        }
    }

    /// The second of three requests, 5 days old, breaks RD-8 and RD-9.
    function _lateRedemption() private returns (IValidator.RedemptionProposal memory proposal) {
        proposal = _redemption(3);
        IBridge.RedemptionRequest memory request = _request(proposal, 1);
        request.requestedAt = NOW - 5 days;
        request.txMaxFee = 0;
        _setRequest(proposal, 1, request);
    }

    function _rejects(IValidator.RedemptionProposal memory proposal, bytes memory rejection) private {
        vm.expectRevert(rejection);
        validator.validateRedemptionProposal(proposal);
    }

    // ----- Heartbeat: one rule -----

    function test_HB1_isTheOnlyRule() external view {
        assertTrue(validator.validateHeartbeatProposal(_heartbeat()));
    }

    // ----- Moving funds -----

    function test_MF1_isReportedBeforeLaterRules() external {
        MovingFunds memory m = _movingFundsBrokenFrom(1);
        _rejects(m, abi.encodeWithSelector(IValidator.WalletStateNotAllowed.selector, WALLET, 1));
    }

    function test_MF2_isReportedBeforeLaterRules() external {
        _rejects(_movingFundsBrokenFrom(2), abi.encodeWithSelector(IValidator.TargetWalletsNotCommitted.selector));
    }

    function test_MF3_isReportedBeforeLaterRules() external {
        MovingFunds memory m = _movingFundsBrokenFrom(3);
        bytes32 actual = keccak256(abi.encodePacked(m.proposal.targetWallets));
        _rejects(m, abi.encodeWithSelector(IValidator.TargetWalletsMismatch.selector, keccak256("other"), actual));
    }

    function test_MF4_isReportedBeforeLaterRules() external {
        MovingFunds memory m = _movingFundsBrokenFrom(4);
        bytes32 actual = _utxoHash(m.mainUtxo);
        _rejects(m, abi.encodeWithSelector(IValidator.MainUtxoMismatch.selector, keccak256("other"), actual));
    }

    function test_MF5_isReportedBeforeLaterRules() external {
        MovingFunds memory m = _movingFundsBrokenFrom(5);
        uint256 threshold = MOVING_FUNDS_DUST_THRESHOLD;
        _rejects(m, abi.encodeWithSelector(IValidator.BalanceBelowDust.selector, threshold - 1, threshold));
    }

    function test_MF6_isReportedBeforeLaterRules() external {
        MovingFunds memory m = _movingFundsBrokenFrom(6);
        IBridge.MovingFundsParameters memory parameters = bridge.movingFundsParameters();
        parameters.movingFundsTxMaxTotalFee = 0;
        bridge.setMovingFundsParameters(parameters);
        _rejects(m, abi.encodeWithSelector(IValidator.FeeZero.selector));
    }

    function test_MF7_isTheLastRule() external {
        MovingFunds memory m = _movingFunds();
        m.proposal.movingFundsTxFee = type(uint256).max;
        _rejects(
            m, abi.encodeWithSelector(IValidator.FeeTooHigh.selector, type(uint256).max, MOVING_FUNDS_TX_MAX_TOTAL_FEE)
        );
    }

    /// Breaks all rules from `rule` (1 to 6) on.
    function _movingFundsBrokenFrom(uint256 rule) private returns (MovingFunds memory m) {
        m = _movingFunds();
        m.proposal.movingFundsTxFee = 0;
        if (rule <= 5) m.mainUtxo.txOutputValue = MOVING_FUNDS_DUST_THRESHOLD - 1;

        IBridge.Wallet memory wallet = bridge.wallets(WALLET);
        wallet.mainUtxoHash = rule <= 4 ? keccak256("other") : _utxoHash(m.mainUtxo);
        if (rule <= 3) wallet.movingFundsTargetWalletsCommitmentHash = keccak256("other");
        if (rule <= 2) wallet.movingFundsTargetWalletsCommitmentHash = 0;
        if (rule <= 1) wallet.state = uint8(IBridge.WalletState.Live);
        bridge.setWallet(WALLET, wallet);
    }

    function _rejects(MovingFunds memory m, bytes memory rejection) private {
        vm.expectRevert(rejection);
        _validate(m);
    }

    // ----- Moved funds sweep -----

    function test_MS1_isReportedBeforeLaterRules() external {
        _setWalletState(WALLET, IBridge.WalletState.Closed);
        _rejectsSweepOf(2, abi.encodeWithSelector(IValidator.WalletStateNotAllowed.selector, WALLET, 4));
    }

    function test_MS2_isReportedBeforeLaterRules() external {
        _rejectsSweepOf(2, abi.encodeWithSelector(IValidator.SweepRequestNotPending.selector, 2));
    }

    function test_MS3_isReportedBeforeLaterRules() external {
        _rejectsSweepOf(1, abi.encodeWithSelector(IValidator.SweepRequestOfOtherWallet.selector, OTHER_WALLET));
    }

    function test_MS4_isReportedBeforeLaterRules() external {
        IBridge.MovingFundsParameters memory parameters = bridge.movingFundsParameters();
        parameters.movedFundsSweepTxMaxTotalFee = 0;
        bridge.setMovingFundsParameters(parameters);
        IValidator.MovedFundsSweepProposal memory proposal = _movedFundsSweep();
        proposal.movedFundsSweepTxFee = 0;
        vm.expectRevert(abi.encodeWithSelector(IValidator.FeeZero.selector));
        validator.validateMovedFundsSweepProposal(proposal);
    }

    function test_MS5_isTheLastRule() external {
        IValidator.MovedFundsSweepProposal memory proposal = _movedFundsSweep();
        proposal.movedFundsSweepTxFee = type(uint256).max;
        vm.expectRevert(
            abi.encodeWithSelector(
                IValidator.FeeTooHigh.selector, type(uint256).max, MOVED_FUNDS_SWEEP_TX_MAX_TOTAL_FEE
            )
        );
        validator.validateMovedFundsSweepProposal(proposal);
    }

    /// A sweep of another wallet's request in `state`, for no fee.
    function _rejectsSweepOf(uint256 state, bytes memory rejection) private {
        IValidator.MovedFundsSweepProposal memory proposal = _movedFundsSweep();
        proposal.movedFundsSweepTxFee = 0;
        _setSweepRequest(proposal, OTHER_WALLET, state);
        vm.expectRevert(rejection);
        validator.validateMovedFundsSweepProposal(proposal);
    }
}
