// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ValidatorTest} from "../support/ValidatorTest.sol";

/// What a call costs that is the first of its transaction: execution only.
abstract contract ColdTest is ValidatorTest {
    /// The gas of a call that must not revert, and its answer.
    function _gas(address target, bytes memory data) internal returns (uint256, bytes memory) {
        vm.cool(bridge.getRedemptionWatchtower());
        vm.cool(address(bridge));
        vm.cool(target);
        (bool success, bytes memory answer) = target.staticcall(data);
        assertTrue(success);
        return (vm.lastCallGas().gasTotalUsed, answer);
    }

    /// The gas of a validator's call that must accept.
    function _judge(address judge, bytes memory data) internal returns (uint256 gas) {
        bytes memory answer;
        (gas, answer) = _gas(judge, data);
        assertEq(answer, abi.encode(true));
    }

    function _largeSweep(uint32 outputs) internal returns (Sweep memory sweep) {
        sweep = _sweep(20);
        for (uint256 i = 0; i < 20; ++i) {
            _putDeposit(sweep, i, _deposit(i), outputs - 1, outputs);
        }
    }
}
