// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @title The keys of a proposal's items so far, to find one that occurs twice
/// @dev Comparing each key with all before it would cost more than any other rule. So a set of the keys' lowest bytes
///      comes first: a key whose lowest byte is new is new itself, and only the others are searched for.
library KeyList {
    /// @notice An empty list with room for `capacity` keys.
    /// @dev The set, then the keys.
    function empty(uint256 capacity) internal pure returns (uint256[] memory) {
        return new uint256[](1 + capacity);
    }

    /// @notice Puts `key` at `index` and returns the index of its first occurrence.
    /// @dev `index` counts up from zero, from call to call, and stays below the capacity.
    function put(uint256[] memory list, uint256 index, uint256 key) internal pure returns (uint256 first) {
        assembly ("memory-safe") {
            let set := add(list, 0x20)
            let keys := add(list, 0x40)
            // 1 << lowest byte: in assembly the shift comes first.
            // slither-disable-next-line incorrect-shift
            let bit := shl(and(key, 0xff), 1)
            mstore(add(keys, shl(5, index)), key)

            first := index
            if and(mload(set), bit) {
                // The key just put ends the search at the latest.
                first := 0
                for {} xor(mload(add(keys, shl(5, first))), key) {} { first := add(first, 1) }
            }
            mstore(set, or(mload(set), bit))
        }
    }
}
