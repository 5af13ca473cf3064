// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IBridge} from "../interfaces/IBridge.sol";
import {IRedemptionWatchtower} from "../interfaces/IRedemptionWatchtower.sol";

/// @title Reads the Bridge's views, trusting only answers that are exactly of their type
/// @notice A call that fails, an answer shorter or longer than its type (an address without code gives an empty one),
///         and a field beyond its type's range revert without data: the caller learns that nothing was decided. What a
///         failing callee returned isn't passed on, as it could pose as a rejection.
/// @dev Answers are static, so their encoding is the layout of the struct in memory, and the call writes them right
///      there: in a loop one struct serves all reads. Then one check is for both: that the call failed, and that bits are
///      set which a field's type doesn't have.
library BridgeReader {
    /// @notice `IBridge.wallets`.
    function readWallet(IBridge bridge, bytes20 walletPubKeyHash) internal view returns (IBridge.Wallet memory wallet) {
        uint256 output;
        assembly ("memory-safe") { output := wallet }
        uint256 failed = _call(address(bridge), IBridge.wallets.selector, walletPubKeyHash, 0x24, output, 9 * 32);
        assembly ("memory-safe") {
            let excess := or(failed, shr(64, mload(add(wallet, 0x40))))
            excess := or(excess, shr(32, mload(add(wallet, 0x60))))
            excess := or(excess, shr(32, mload(add(wallet, 0x80))))
            excess := or(excess, shr(32, mload(add(wallet, 0xa0))))
            excess := or(excess, shr(32, mload(add(wallet, 0xc0))))
            excess := or(excess, shr(8, mload(add(wallet, 0xe0))))
            if excess { revert(0, 0) }
        }
    }

    /// @notice `IBridge.movedFundsSweepRequests`.
    function readMovedFundsSweepRequest(IBridge bridge, uint256 requestKey)
        internal
        view
        returns (IBridge.MovedFundsSweepRequest memory request)
    {
        uint256 output;
        assembly ("memory-safe") { output := request }
        uint256 failed =
            _call(address(bridge), IBridge.movedFundsSweepRequests.selector, bytes32(requestKey), 0x24, output, 4 * 32);
        assembly ("memory-safe") {
            let excess := or(failed, shl(160, mload(request)))
            excess := or(excess, shr(64, mload(add(request, 0x20))))
            excess := or(excess, shr(32, mload(add(request, 0x40))))
            excess := or(excess, shr(8, mload(add(request, 0x60))))
            if excess { revert(0, 0) }
        }
    }

    /// @notice `IBridge.deposits` of `depositKey`, written over `request`.
    function readDeposit(IBridge bridge, uint256 depositKey, IBridge.DepositRequest memory request) internal view {
        uint256 output;
        assembly ("memory-safe") { output := request }
        uint256 failed = _call(address(bridge), IBridge.deposits.selector, bytes32(depositKey), 0x24, output, 7 * 32);
        assembly ("memory-safe") {
            let excess := or(failed, shr(160, or(mload(request), mload(add(request, 0x60)))))
            excess := or(excess, shr(64, or(mload(add(request, 0x20)), mload(add(request, 0x80)))))
            excess := or(excess, shr(32, or(mload(add(request, 0x40)), mload(add(request, 0xa0)))))
            if excess { revert(0, 0) }
        }
    }

    /// @notice `IBridge.pendingRedemptions` of `redemptionKey`, written over `request`.
    function readRedemption(IBridge bridge, uint256 redemptionKey, IBridge.RedemptionRequest memory request)
        internal
        view
    {
        uint256 output;
        assembly ("memory-safe") { output := request }
        uint256 failed =
            _call(address(bridge), IBridge.pendingRedemptions.selector, bytes32(redemptionKey), 0x24, output, 5 * 32);
        assembly ("memory-safe") {
            let amounts := or(mload(add(request, 0x20)), or(mload(add(request, 0x40)), mload(add(request, 0x60))))
            let excess := or(failed, shr(160, mload(request)))
            excess := or(excess, or(shr(64, amounts), shr(32, mload(add(request, 0x80)))))
            if excess { revert(0, 0) }
        }
    }

    /// @notice `IBridge.depositParameters`.
    function readDepositParameters(IBridge bridge) internal view returns (IBridge.DepositParameters memory parameters) {
        uint256 output;
        assembly ("memory-safe") { output := parameters }
        uint256 failed = _call(address(bridge), IBridge.depositParameters.selector, 0, 0x04, output, 4 * 32);
        assembly ("memory-safe") {
            let excess := or(failed, shr(64, mload(parameters)))
            excess := or(excess, shr(64, mload(add(parameters, 0x20))))
            excess := or(excess, shr(64, mload(add(parameters, 0x40))))
            excess := or(excess, shr(32, mload(add(parameters, 0x60))))
            if excess { revert(0, 0) }
        }
    }

    /// @notice `IBridge.redemptionParameters`.
    function readRedemptionParameters(IBridge bridge)
        internal
        view
        returns (IBridge.RedemptionParameters memory parameters)
    {
        uint256 output;
        assembly ("memory-safe") { output := parameters }
        uint256 failed = _call(address(bridge), IBridge.redemptionParameters.selector, 0, 0x04, output, 7 * 32);
        assembly ("memory-safe") {
            let excess := or(failed, shr(64, mload(parameters)))
            excess := or(excess, shr(64, mload(add(parameters, 0x20))))
            excess := or(excess, shr(64, mload(add(parameters, 0x40))))
            excess := or(excess, shr(64, mload(add(parameters, 0x60))))
            excess := or(excess, shr(32, mload(add(parameters, 0x80))))
            excess := or(excess, shr(96, mload(add(parameters, 0xa0))))
            excess := or(excess, shr(32, mload(add(parameters, 0xc0))))
            if excess { revert(0, 0) }
        }
    }

    /// @notice `IBridge.movingFundsParameters`.
    function readMovingFundsParameters(IBridge bridge)
        internal
        view
        returns (IBridge.MovingFundsParameters memory parameters)
    {
        uint256 output;
        assembly ("memory-safe") { output := parameters }
        uint256 failed = _call(address(bridge), IBridge.movingFundsParameters.selector, 0, 0x04, output, 11 * 32);
        assembly ("memory-safe") {
            let excess := or(failed, shr(64, mload(parameters)))
            excess := or(excess, shr(64, mload(add(parameters, 0x20))))
            excess := or(excess, shr(32, mload(add(parameters, 0x40))))
            excess := or(excess, shr(32, mload(add(parameters, 0x60))))
            excess := or(excess, shr(96, mload(add(parameters, 0x80))))
            excess := or(excess, shr(32, mload(add(parameters, 0xa0))))
            excess := or(excess, shr(16, mload(add(parameters, 0xc0))))
            excess := or(excess, shr(64, mload(add(parameters, 0xe0))))
            excess := or(excess, shr(32, mload(add(parameters, 0x100))))
            excess := or(excess, shr(96, mload(add(parameters, 0x120))))
            excess := or(excess, shr(32, mload(add(parameters, 0x140))))
            if excess { revert(0, 0) }
        }
    }

    /// @notice `IBridge.getRedemptionWatchtower`.
    function readRedemptionWatchtower(IBridge bridge) internal view returns (IRedemptionWatchtower watchtower) {
        uint256 failed = _call(address(bridge), IBridge.getRedemptionWatchtower.selector, 0, 0x04, 0x00, 32);
        assembly ("memory-safe") {
            watchtower := mload(0x00)
            if or(failed, shr(160, watchtower)) { revert(0, 0) }
        }
    }

    /// @notice `IRedemptionWatchtower.getRedemptionDelay`.
    function readRedemptionDelay(IRedemptionWatchtower watchtower, uint256 redemptionKey)
        internal
        view
        returns (uint32 delay)
    {
        uint256 failed = _call(
            address(watchtower),
            IRedemptionWatchtower.getRedemptionDelay.selector,
            bytes32(redemptionKey),
            0x24,
            0x00,
            32
        );
        assembly ("memory-safe") {
            delay := mload(0x00)
            if or(failed, shr(32, delay)) { revert(0, 0) }
        }
    }

    /// @dev Calls `target` with the first `inputSize` bytes of `selector ‖ argument`, and has it write its answer, of exactly
    ///      `outputSize` bytes, at `output`: the scratch space or memory that the caller holds. `failed` is 1 if it didn't, else 0.
    function _call(
        address target,
        bytes4 selector,
        bytes32 argument,
        uint256 inputSize,
        uint256 output,
        uint256 outputSize
    ) private view returns (uint256 failed) {
        assembly ("memory-safe") {
            mstore(0x00, selector)
            mstore(0x04, argument)
            let success := staticcall(gas(), target, 0x00, inputSize, output, outputSize)
            failed := iszero(and(success, eq(returndatasize(), outputSize)))
        }
    }
}
