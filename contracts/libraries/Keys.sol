// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title The Bridge's keys, and a list of those seen
/// @dev In assembly for the scratch space: the plain `keccak256(abi.encodePacked(…))` allocates memory for each key.
library Keys {
    /// @notice The key of a deposit or of a moved-funds sweep request: keccak256(txHash ‖ outputIndex).
    function output(bytes32 txHash, uint32 outputIndex) internal pure returns (uint256 key) {
        assembly ("memory-safe") {
            mstore(0x00, txHash)
            mstore(0x20, shl(224, outputIndex))
            key := keccak256(0x00, 0x24)
        }
    }

    /// @notice The key of a redemption: keccak256(keccak256(outputScript) ‖ walletPubKeyHash).
    function redemption(bytes calldata outputScript, bytes20 walletPubKeyHash) internal pure returns (uint256 key) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, outputScript.offset, outputScript.length)
            mstore(0x00, keccak256(free, outputScript.length))
            mstore(0x20, walletPubKeyHash)
            key := keccak256(0x00, 0x34)
        }
    }

    /// @notice The hash of a main UTXO: keccak256(txHash ‖ txOutputIndex ‖ txOutputValue).
    function utxo(bytes32 txHash, uint32 txOutputIndex, uint64 txOutputValue) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(txHash, txOutputIndex, txOutputValue));
    }

    /// @notice Where `key` stands among the first `index` items of `seen`, or else `index`, where it is then put.
    function firstIndexOf(uint256[] memory seen, uint256 index, uint256 key) internal pure returns (uint256 first) {
        seen[index] = key;
        assembly ("memory-safe") {
            // `key` itself ends the search, at `index` at the latest.
            let item := add(seen, 0x20)
            for {} sub(mload(item), key) {} { item := add(item, 0x20) }
            first := shr(5, sub(sub(item, seen), 0x20))
        }
    }
}
