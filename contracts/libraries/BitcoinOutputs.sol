// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

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
        script = vector[0:0];

        // No sum here overflows: a position is at most 2⁶⁴ + 17 past the vector's end, which calldata bounds.
        unchecked {
            (uint256 count, uint256 position) = _compactSize(_word(vector, 0));
            if (position > vector.length || index >= count) return (false, script);

            for (uint256 i = 0;; ++i) {
                (uint256 length, uint256 size) = _compactSize(_word(vector, position + 8));
                uint256 start = position + 8 + size;
                position = start + length;
                // Covers a cut-off value and length too: `length` isn't negative, whatever was read for it.
                if (position > vector.length) return (false, script);

                if (i == index) {
                    if (size != _minimalSize(length)) return (false, script);
                    return (true, vector[start:position]);
                }
            }
        }
    }

    /// @dev The compact size that `word` starts with, and how many bytes it takes.
    function _compactSize(uint256 word) private pure returns (uint256 number, uint256 size) {
        number = word >> 248;
        if (number < 0xfd) return (number, 1);

        uint256 width = number == 0xfd ? 2 : number == 0xfe ? 4 : 8;
        number = 0;
        for (uint256 i = width; i > 0; --i) {
            number = (number << 8) | ((word >> (248 - 8 * i)) & 0xff);
        }
        return (number, width + 1);
    }

    function _minimalSize(uint256 number) private pure returns (uint256) {
        if (number < 0xfd) return 1;
        if (number <= 0xffff) return 3;
        return number <= 0xffffffff ? 5 : 9;
    }

    /// @dev The 32 bytes from `position` on; past the vector's end, whatever calldata holds there, or zeros.
    function _word(bytes calldata vector, uint256 position) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := calldataload(add(vector.offset, position))
        }
    }
}
