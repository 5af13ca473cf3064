// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IBridge} from "../../contracts/interfaces/IBridge.sol";
import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {Bitcoin} from "../support/Bitcoin.sol";
import {DeployedValidator} from "../support/DeployedValidator.sol";
import {ValidatorTest} from "../support/ValidatorTest.sol";

/// What has gone wrong, or could, with such contracts. (Hostile answers, INC-28, have a file of their own.)
contract IncidentsTest is ValidatorTest {
    /// The published advisory: outputs that nobody can ever spend. The validator of 2024 lets them through.
    function test_INC1_outputsOverTheScriptsHashThatNobodyCanSpendAreRejected() external {
        IValidator deployed = DeployedValidator.deploy(bridge);
        for (uint256 i = 2; i < 4; ++i) {
            Sweep memory sweep = _sweep(2);
            Bitcoin.Deposit memory deposit = _deposit(1);
            deposit.outputType = Bitcoin.OutputType(i);
            _putDeposit(sweep, 1, deposit, 1, 2);

            assertTrue(deployed.validateDepositSweepProposal(sweep.proposal, sweep.extraInfo));
            vm.expectRevert(abi.encodeWithSelector(IValidator.FundingOutputScriptMismatch.selector, 1));
            _validate(sweep);
        }
    }

    function test_INC7_revealTimesThatWouldWrapAreTooYoung() external {
        Sweep memory sweep = _sweep(1);
        IBridge.DepositRequest memory request = _request(sweep, 0);
        uint32[2] memory wrapping = [type(uint32).max, type(uint32).max - 2 hours + 1];
        for (uint256 i = 0; i < 2; ++i) {
            request.revealedAt = wrapping[i];
            _setRequest(sweep, 0, request);
            vm.warp(i == 0 ? NOW : uint256(type(uint32).max) + 365 days);
            vm.expectRevert(abi.encodeWithSelector(IValidator.DepositTooYoung.selector, 0, type(uint256).max));
            _validate(sweep);
        }

        request.revealedAt = type(uint32).max - 2 hours;
        _setRequest(sweep, 0, request);
        vm.warp(NOW);
        vm.expectRevert(abi.encodeWithSelector(IValidator.DepositTooYoung.selector, 0, type(uint32).max));
        _validate(sweep);
    }

    function test_INC7_refundLocktimesThatWouldWrapAreTooClose() external {
        Sweep memory sweep = _sweep(1);
        Bitcoin.Deposit memory deposit = _deposit(0);
        uint32[4] memory locktimes = [uint32(0), 1, 24 hours - 1, 24 hours];
        for (uint256 i = 0; i < 4; ++i) {
            deposit.refundLocktime = locktimes[i];
            _putDeposit(sweep, 0, deposit, 1, 2);
            vm.expectRevert(abi.encodeWithSelector(IValidator.DepositRefundTooClose.selector, 0, 0));
            _validate(sweep);
        }
        deposit.refundLocktime = 24 hours + 1;
        _putDeposit(sweep, 0, deposit, 1, 2);
        vm.expectRevert(abi.encodeWithSelector(IValidator.DepositRefundTooClose.selector, 0, 1));
        _validate(sweep);
        deposit.refundLocktime = type(uint32).max;
        _putDeposit(sweep, 0, deposit, 1, 2);
        assertTrue(_validate(sweep));
    }

    function test_INC7_requestTimesThatWouldWrapAreTooYoung() external {
        IValidator.RedemptionProposal memory proposal = _redemption(1);
        _setRequestedAt(proposal, type(uint32).max - 600 + 1);
        vm.warp(uint256(type(uint32).max) + 365 days);
        vm.expectRevert(abi.encodeWithSelector(IValidator.RedemptionTooYoung.selector, 0, type(uint256).max));
        validator.validateRedemptionProposal(proposal);

        _setRequestedAt(proposal, NOW - 1 days);
        _setDelay(proposal, 0, type(uint32).max);
        vm.expectRevert(abi.encodeWithSelector(IValidator.RedemptionTooYoung.selector, 0, type(uint256).max));
        validator.validateRedemptionProposal(proposal);
    }

    function test_INC7_timeoutsThatWouldWrapAreTooClose() external {
        IValidator.RedemptionProposal memory proposal = _redemption(1);
        _setTimeout(type(uint32).max - (NOW - 1 days) + 1);
        vm.expectRevert(abi.encodeWithSelector(IValidator.RedemptionTimeoutTooClose.selector, 0, 0));
        validator.validateRedemptionProposal(proposal);
        _setTimeout(type(uint32).max - (NOW - 1 days));
        assertTrue(validator.validateRedemptionProposal(proposal));

        // A sum below the margin: late in the chain's first two hours.
        vm.warp(6_000);
        _setRequestedAt(proposal, 1);
        _setTimeout(2 hours - 2);
        vm.expectRevert(abi.encodeWithSelector(IValidator.RedemptionTimeoutTooClose.selector, 0, 0));
        validator.validateRedemptionProposal(proposal);
        _setTimeout(2 hours + 6_000);
        assertTrue(validator.validateRedemptionProposal(proposal));
    }

    /// 20 deposits, the last output of 1,000 each: executed within 10 million gas, and the whole call within the 50 million
    /// that nodes allow, with calldata at EIP-7623's floor price.
    function test_INC8_largeFundingTransactionsFitOneCall() external {
        (uint256 execution, uint256 calldataFloor) = _gasOfLargeTransactions(1_000);
        assertLt(execution, 10_000_000);
        assertLt(21_000 + execution + calldataFloor, 50_000_000);
    }

    function _gasOfLargeTransactions(uint32 outputs) private returns (uint256 execution, uint256 calldataFloor) {
        Sweep memory sweep = _sweep(20);
        for (uint256 i = 0; i < 20; ++i) {
            _putDeposit(sweep, i, _deposit(i), outputs - 1, outputs);
        }
        bytes memory data = _data(sweep);
        (bool valid,) = address(validator).staticcall(data);
        assertTrue(valid);
        execution = vm.lastCallGas().gasTotalUsed;
        for (uint256 i = 0; i < data.length; ++i) {
            calldataFloor += data[i] == 0 ? 10 : 40;
        }
    }

    function _setRequestedAt(IValidator.RedemptionProposal memory proposal, uint32 requestedAt) private {
        IBridge.RedemptionRequest memory request = _request(proposal, 0);
        request.requestedAt = requestedAt;
        _setRequest(proposal, 0, request);
    }

    function _setTimeout(uint32 timeout) private {
        IBridge.RedemptionParameters memory parameters = bridge.redemptionParameters();
        parameters.redemptionTimeout = timeout;
        bridge.setRedemptionParameters(parameters);
    }
}
