// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @title The part of the tBTC redemption watchtower that the validator reads
interface IRedemptionWatchtower {
    /// @param redemptionKey As in `IBridge.pendingRedemptions`.
    /// @return Seconds that must pass since the request before the redemption may be processed.
    function getRedemptionDelay(uint256 redemptionKey) external view returns (uint32);
}
