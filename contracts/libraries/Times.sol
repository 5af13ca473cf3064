// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @title Bounds on times, for strict comparison
/// @notice The Bridge keeps times in 32 bits. A bound that doesn't come out in 32 bits at every step is replaced by one that
///         no time meets, so that the comparison alone decides: nothing wraps, nothing panics.
library Times {
    /// @notice `start + wait`, or else 2²⁵⁶−1. For "now must be after".
    function earliest(uint32 start, uint32 wait) internal pure returns (uint256 bound) {
        unchecked {
            bound = uint256(start) + wait;
            if (bound > type(uint32).max) bound = type(uint256).max;
        }
    }

    /// @notice `start + period - margin`, or else zero. For "now must be before".
    function latest(uint32 start, uint32 period, uint32 margin) internal pure returns (uint256 bound) {
        unchecked {
            bound = uint256(start) + period - margin;
            // One comparison for both steps: a negative difference wraps around to a number that is too large as well.
            if (bound > type(uint32).max - margin) bound = 0;
        }
    }
}
