// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IWalletProposalValidator} from "../interfaces/IWalletProposalValidator.sol";

/// @title Reads a deposit's extra info from calldata
/// @notice An extra info points to its transaction, that to its two vectors, and these have lengths. All of its offsets,
///         lengths, ends and padding are checked at once: what the plain copy to memory
///         (`DepositExtraInfo memory info = infos[i]`) refuses is refused.
/// @dev That copy is what the validator deployed in 2024 does. The plain access in calldata refuses less: with it, the offset
///      of the transaction, or of a vector, may be negative (2²⁵⁶−k). The offset of an extra info in its list may be for all, but
///      one that leads to before the calldata is refused here. The copy reads zeros there, which no rule lets pass: the output
///      vector is empty.
library ExtraInfos {
    /// @notice Extra info `index`, checked; all else here takes only such. Reverts without data where it is malformed.
    /// @dev `index` is less than `infos.length`.
    function at(IWalletProposalValidator.DepositExtraInfo[] calldata infos, uint256 index)
        internal
        pure
        returns (IWalletProposalValidator.DepositExtraInfo calldata info)
    {
        assembly ("memory-safe") {
            info := add(infos.offset, calldataload(add(infos.offset, shl(5, index))))
            let funding := add(info, calldataload(info))
            let inputs := add(funding, calldataload(add(funding, 0x20)))
            let outputs := add(funding, calldataload(add(funding, 0x40)))

            // No position, offset or length has more than 64 bits: then no sum wraps,
            let excess := or(or(info, calldataload(info)), or(calldataload(inputs), calldataload(outputs)))
            excess := or(excess, or(calldataload(add(funding, 0x20)), calldataload(add(funding, 0x40))))
            // and no part ends past the calldata: or else this difference wraps, and has more than 64 bits too.
            // (The last word of each begins a word before the end of all.)
            let end := sub(calldatasize(), 0x20)
            excess := or(excess, or(sub(end, add(info, 0x80)), sub(end, add(funding, 0x60))))
            excess := or(excess, sub(end, add(inputs, calldataload(inputs))))
            excess := shr(64, or(excess, sub(end, add(outputs, calldataload(outputs)))))
            // What a field leaves of its word is zero: of 4 bytes, of 8, of 20.
            let padded := or(calldataload(funding), or(calldataload(add(funding, 0x60)), calldataload(add(info, 0x80))))
            excess := or(excess, shl(32, padded))
            excess := or(excess, shl(64, calldataload(add(info, 0x20))))
            excess := or(excess, shl(160, or(calldataload(add(info, 0x40)), calldataload(add(info, 0x60)))))
            if excess { revert(0, 0) }
        }
    }

    /// @notice The funding transaction.
    function transaction(IWalletProposalValidator.DepositExtraInfo calldata info)
        internal
        pure
        returns (bytes4 version, bytes calldata inputs, bytes calldata outputs, bytes4 locktime)
    {
        assembly ("memory-safe") {
            let funding := add(info, calldataload(info))
            version := calldataload(funding)
            inputs.offset := add(funding, calldataload(add(funding, 0x20)))
            inputs.length := calldataload(inputs.offset)
            inputs.offset := add(inputs.offset, 0x20)
            outputs.offset := add(funding, calldataload(add(funding, 0x40)))
            outputs.length := calldataload(outputs.offset)
            outputs.offset := add(outputs.offset, 0x20)
            locktime := calldataload(add(funding, 0x60))
        }
    }

    /// @notice What the deposit script has of the extra info.
    function scriptFields(IWalletProposalValidator.DepositExtraInfo calldata info)
        internal
        pure
        returns (bytes8 blindingFactor, bytes20 walletPubKeyHash, bytes20 refundPubKeyHash, bytes4 refundLocktime)
    {
        assembly ("memory-safe") {
            blindingFactor := calldataload(add(info, 0x20))
            walletPubKeyHash := calldataload(add(info, 0x40))
            refundPubKeyHash := calldataload(add(info, 0x60))
            refundLocktime := calldataload(add(info, 0x80))
        }
    }

    /// @notice `walletPubKeyHash`.
    function wallet(IWalletProposalValidator.DepositExtraInfo calldata info) internal pure returns (bytes20 hash) {
        assembly ("memory-safe") {
            hash := calldataload(add(info, 0x40))
        }
    }

    /// @notice `refundLocktime`.
    function refund(IWalletProposalValidator.DepositExtraInfo calldata info) internal pure returns (bytes4 locktime) {
        assembly ("memory-safe") {
            locktime := calldataload(add(info, 0x80))
        }
    }
}
