// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// Cases that together are all output vectors of a size. Halmos needs concrete positions: so the first byte of a longer
/// compact size becomes concrete, and each length that fits the vector, in a case of its own. All else stays symbolic.
library OutputVectors {
    function split(bytes memory vector) internal pure {
        uint256 at = _form(vector, 0);
        while (at + 8 < vector.length) {
            uint256 head = at + 8;
            at = _form(vector, head);
            if (at > vector.length || !_fit(vector, head, at)) return;
            at += uint8(vector[at == head + 1 ? head : head + 1]);
        }
    }

    /// Where the compact size at `at` ends.
    function _form(bytes memory vector, uint256 at) private pure returns (uint256) {
        if (at >= vector.length || uint8(vector[at]) < 0xfd) return at + 1;
        for (uint8 tag = 0xfd; tag < 0xff; ++tag) {
            if (uint8(vector[at]) == tag) {
                vector[at] = bytes1(tag);
                return at + (tag == 0xfd ? 3 : 5);
            }
        }
        vector[at] = 0xff;
        return at + 9;
    }

    /// Whether the length from `head` to `end` fits the rest of the vector. If so, it is concrete.
    function _fit(bytes memory vector, uint256 head, uint256 end) private pure returns (bool) {
        uint256 lowest = end == head + 1 ? head : head + 1;
        for (uint256 i = lowest + 1; i < end; ++i) {
            if (vector[i] != 0) return false;
            vector[i] = 0;
        }
        for (uint256 length = 0; length <= vector.length - end; ++length) {
            if (uint8(vector[lowest]) == length) {
                // forge-lint: disable-next-line(unsafe-typecast)
                vector[lowest] = bytes1(uint8(length));
                return true;
            }
        }
        return false;
    }
}
