// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title How a transaction's fee is shared among its items
/// @notice Each of `n` items bears `fee / n`; one of them, the last, also bears the remainder.
library FeeShares {
    /// @notice The share of item `index` of `n`; `index` is below `n`.
    function at(uint256 fee, uint256 n, uint256 index) internal pure returns (uint256) {
        return index == n - 1 ? largest(fee, n) : fee / n;
    }

    /// @notice The largest of the `n` shares; `n` isn't zero. It is at most `fee`, so nothing overflows.
    function largest(uint256 fee, uint256 n) internal pure returns (uint256) {
        return fee / n + fee % n;
    }
}
