// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IRedemptionWatchtower} from "../../contracts/interfaces/IRedemptionWatchtower.sol";

/// A watchtower whose delays anyone can write.
contract PlainWatchtower is IRedemptionWatchtower {
    mapping(uint256 => uint32) public getRedemptionDelay;

    function setRedemptionDelay(uint256 redemptionKey, uint32 delay) external {
        getRedemptionDelay[redemptionKey] = delay;
    }
}
