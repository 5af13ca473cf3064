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
            (uint256 count, uint256 at) = _compactSize(vector, 0);
            if (index >= count) return (false, vector[0:0]);

            uint256 length;
            // Once past the vector's end, what is read means nothing, but `at` only grows: the last check fails.
            for (; index != 0 && at <= vector.length; --index) {
                (length, at) = _compactSize(vector, at + 8);
                at += length;
            }

            uint256 start;
            (length, start) = _compactSize(vector, at + 8);
            if (start + length > vector.length) return (false, vector[0:0]);
            if (start - (at + 8) != _minimalSize(length)) return (false, vector[0:0]);
            return (true, vector[start:start + length]);
        }
    }

    /// @dev The compact size at `at`, and where it ends. Past the vector's end, of whatever calldata holds there, or zeros.
    function _compactSize(bytes calldata vector, uint256 at) private pure returns (uint256 number, uint256 end) {
        unchecked {
            uint256 word;
            assembly ("memory-safe") {
                word := calldataload(add(vector.offset, at))
            }
            number = word >> 248;
            if (number < 0xfd) return (number, at + 1);

            uint256 width = number == 0xfd ? 2 : number == 0xfe ? 4 : 8;
            number = 0;
            for (uint256 i = width; i != 0; --i) {
                number = (number << 8) | ((word >> (248 - 8 * i)) & 0xff);
            }
            return (number, at + 1 + width);
        }
    }

    /// @dev The length of the shortest compact size of `number`.
    function _minimalSize(uint256 number) private pure returns (uint256) {
        if (number < 0xfd) return 1;
        if (number <= 0xffff) return 3;
        return number <= 0xffffffff ? 5 : 9;
    }
}
