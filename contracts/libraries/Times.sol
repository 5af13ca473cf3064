// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title Bounds on times, for strict comparison
/// @notice The Bridge keeps times in 32 bits. A bound that they can't hold is replaced by one that no time meets, so
///         that the comparison alone decides, never a wrapped number and never a panic.
library Times {
    /// @notice `start + wait`, or 2²⁵⁶−1 where that exceeds 32 bits. For "now must be after".
    function earliest(uint32 start, uint32 wait) internal pure returns (uint256 bound) {
        unchecked {
            bound = uint256(start) + wait;
        }
        if (bound > type(uint32).max) bound = type(uint256).max;
    }

    /// @notice `start + period - margin`, or zero where the sum exceeds 32 bits or the difference is negative. For
    ///         "now must be before".
    function latest(uint32 start, uint32 period, uint32 margin) internal pure returns (uint256) {
        unchecked {
            uint256 end = uint256(start) + period;
            return end > type(uint32).max || end < margin ? 0 : end - margin;
        }
    }
}
