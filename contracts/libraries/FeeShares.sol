// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @title How a transaction's fee is shared among its items
library FeeShares {
    /// @notice Each of `n` items bears `share`, but the last bears `largest`, with the remainder of the division.
    /// @dev `n` isn't zero. `largest` is at most `fee`: nothing overflows.
    function split(uint256 fee, uint256 n) internal pure returns (uint256 share, uint256 largest) {
        unchecked {
            share = fee / n;
            largest = share + fee % n;
        }
    }
}
