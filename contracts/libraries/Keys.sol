// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @title The keys and hashes under which the Bridge keeps its records
/// @dev In assembly for the scratch space: the plain `keccak256(abi.encodePacked(…))` allocates memory for each key.
library Keys {
    /// @notice The key of a deposit or of a moved-funds sweep request: keccak256(txHash ‖ outputIndex).
    function output(bytes32 txHash, uint32 outputIndex) internal pure returns (uint256 key) {
        assembly ("memory-safe") {
            mstore(0x04, outputIndex) // Its last 4 bytes are the ones that stay.
            mstore(0x00, txHash)
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
}
