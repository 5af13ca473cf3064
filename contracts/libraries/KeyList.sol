// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @title The keys of a proposal's items so far, to find one that occurs twice
/// @dev Comparing each key with all before it would cost more than any other rule. So a set of the keys' lowest bytes
///      comes first: a key whose lowest byte is new is new itself, and only the others are searched for.
library KeyList {
    /// @dev Where it is in memory: the set, then the keys. Those are written before they are read, so only the set starts at zero.
    type List is uint256;

    /// @notice An empty list with room for `capacity` keys.
    function empty(uint256 capacity) internal pure returns (List list) {
        assembly ("memory-safe") {
            list := mload(0x40)
            mstore(0x40, add(list, shl(5, add(capacity, 1))))
            mstore(list, 0)
        }
    }

    /// @notice Puts `key` at `index` and returns the index of its first occurrence.
    /// @dev `index` counts up from zero, from call to call, and stays below the capacity.
    function put(List list, uint256 index, uint256 key) internal pure returns (uint256 first) {
        assembly ("memory-safe") {
            let keys := add(list, 0x20)
            // 1 << lowest byte: in assembly the shift comes first.
            // slither-disable-next-line incorrect-shift
            let bit := shl(and(key, 0xff), 1)
            mstore(add(keys, shl(5, index)), key)

            first := index
            if and(mload(list), bit) {
                // The key just put ends the search at the latest.
                first := 0
                for {} xor(mload(add(keys, shl(5, first))), key) {} { first := add(first, 1) }
            }
            mstore(list, or(mload(list), bit))
        }
    }
}
