// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @title Bitcoin's hashes, without a copy that memory keeps
/// @dev Works past the free memory pointer without moving it, so that a batch of large transactions reuses one stretch of
///      memory, whose price grows with the square of its size.
library BitcoinHashes {
    /// @notice Double SHA-256 of a transaction without its witness: its hash in internal byte order.
    function hash256(bytes4 version, bytes calldata inputVector, bytes calldata outputVector, bytes4 locktime)
        internal
        view
        returns (bytes32 digest)
    {
        assembly ("memory-safe") {
            let start := mload(0x40)
            mstore(start, version)
            let end := add(start, 4)
            calldatacopy(end, inputVector.offset, inputVector.length)
            end := add(end, inputVector.length)
            calldatacopy(end, outputVector.offset, outputVector.length)
            end := add(end, outputVector.length)
            mstore(end, locktime)
            end := add(end, 4)

            // 0x02 is SHA-256. It fails only for lack of gas.
            let success := staticcall(gas(), 0x02, start, sub(end, start), 0x00, 0x20)
            success := and(success, staticcall(gas(), 0x02, 0x00, 0x20, 0x00, 0x20))
            if iszero(success) { revert(0, 0) }
            digest := mload(0x00)
        }
    }
}
