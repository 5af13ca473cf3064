// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @title Finds one output in a Bitcoin transaction's output vector, in place
/// @notice The vector is a compact-size count, then per output an 8-byte value, a compact-size length and a script.
///         It is walked only as far as the end of the wanted output. What follows doesn't matter, nor that the count or
///         an earlier length is longer than minimal: the transaction's hash binds those bytes.
///
///         Compact size: a first byte below fd is the number itself; fd, fe and ff are followed by the number in 2, 4
///         and 8 bytes, little-endian.
library BitcoinOutputs {
    /// @notice The script of output `index`, without its length.
    /// @return found False where `index` is at or past the count, the vector ends before the output does, or the
    ///         output's own length is longer than minimal.
    /// @return script A slice of `vector`; empty unless found.
    function scriptAt(bytes calldata vector, uint256 index) internal pure returns (bool found, bytes calldata script) {
        // Nothing overflows: numbers are below 2⁶⁴, and positions are that much past the vector's end at most.
        unchecked {
            // Positions in the calldata.
            uint256 at;
            uint256 end;
            assembly ("memory-safe") {
                at := vector.offset
                end := add(at, vector.length)
            }
            (uint256 count, uint256 size) = (_firstByte(at), 1);
            if (count >= 0xfd) (count, size) = _longCompactSize(at);
            if (index >= count) return (false, vector[0:0]);
            at += size;

            uint256 length;
            for (;; --index) {
                at += 8; // The value.
                (length, size) = (_firstByte(at), 1);
                if (length >= 0xfd) (length, size) = _longCompactSize(at);
                at += size + length;
                // What was read past the vector's end means nothing, but `at` only grows.
                if (at > end) return (false, vector[0:0]);
                if (index == 0) break;
            }
            if (size != 1) {
                if (size != _minimalSize(length)) return (false, vector[0:0]);
            }
            assembly ("memory-safe") {
                // Two parts of one variable.
                // slither-disable-next-line write-after-write
                script.offset := sub(at, length)
                script.length := length
            }
            return (true, script);
        }
    }

    /// @dev The byte at `at` in the calldata, zero past its end. As a compact size it is the number itself, if it is below fd.
    function _firstByte(uint256 at) private pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := byte(0, calldataload(at))
        }
    }

    /// @dev The compact size of more than one byte at `at` in the calldata, zeros past its end, and how many bytes it takes.
    function _longCompactSize(uint256 at) private pure returns (uint256 number, uint256 size) {
        unchecked {
            uint256 first = _firstByte(at);
            size = first == 0xfd ? 3 : first == 0xfe ? 5 : 9;
            for (uint256 i = size - 1; i != 0; --i) {
                number = (number << 8) | _firstByte(at + i);
            }
        }
    }

    /// @dev The length of the shortest compact size of `number`.
    function _minimalSize(uint256 number) private pure returns (uint256) {
        if (number < 0xfd) return 1;
        if (number <= 0xffff) return 3;
        return number <= 0xffffffff ? 5 : 9;
    }
}
