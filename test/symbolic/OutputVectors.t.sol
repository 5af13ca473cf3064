// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {BitcoinOutputs} from "../../contracts/libraries/BitcoinOutputs.sol";
import {Test} from "forge-std/Test.sol";
import {OutputVectors} from "./OutputVectors.sol";
import {SymbolicVm} from "./Symbolic.sol";

/// The walk over an output vector against a plain one: every vector of 0 to 20 bytes, every index, and anything in the
/// calldata behind the vector.
contract OutputVectorsSymbolicTest is Test {
    SymbolicVm private constant SVM = SymbolicVm(address(uint160(uint256(keccak256("svm cheat code")))));

    function check_scriptAt_upTo10(uint256 size, uint256 index) external view {
        _check(_vector(size, 0, 10), index);
    }

    function check_scriptAt_upTo15(uint256 size, uint256 index) external view {
        _check(_vector(size, 11, 15), index);
    }

    function check_scriptAt_upTo20(uint256 size, uint256 index) external view {
        _check(_vector(size, 16, 20), index);
    }

    /// The second of two empty outputs.
    function witness_scriptAt_second(uint256 index) external view {
        bytes memory vector = _vector(19, 19, 19);
        OutputVectors.split(vector);
        (bool found,) = this.scriptAt(vector, vector.length, index);
        assert(!found || index == 0);
    }

    function witness_scriptAt_script() external view {
        bytes memory vector = _vector(12, 12, 12);
        OutputVectors.split(vector);
        (, bytes memory script) = this.scriptAt(vector, vector.length, 0);
        assert(script.length != 2);
    }

    function scriptAt(bytes calldata data, uint256 size, uint256 index) external pure returns (bool, bytes memory) {
        return BitcoinOutputs.scriptAt(data[:size], index);
    }

    /// A vector of each size from `least` to `most`, in a case of its own.
    function _vector(uint256 size, uint256 least, uint256 most) private pure returns (bytes memory) {
        for (uint256 n = least; n < most; ++n) {
            if (size == n) return SVM.createBytes(n, "vector");
        }
        return SVM.createBytes(most, "vector");
    }

    function _check(bytes memory vector, uint256 index) private view {
        OutputVectors.split(vector);
        bytes memory data = bytes.concat(vector, SVM.createBytes(64, "behind"));
        (bool success, bytes memory answer) =
            address(this).staticcall(abi.encodeCall(this.scriptAt, (data, vector.length, index)));
        assert(success);
        (bool found, bytes memory script) = abi.decode(answer, (bool, bytes));
        (bool expected, uint256 start, uint256 length) = _plain(vector, index);
        assert(found == expected);
        assert(script.length == length);
        for (uint256 i = 0; i < length; ++i) {
            assert(script[i] == vector[start + i]);
        }
    }

    /// Whether output `index` is there and its length minimal, and where its script is.
    function _plain(bytes memory vector, uint256 index) private pure returns (bool found, uint256 start, uint256 size) {
        (bool whole, uint256 count, uint256 at) = _number(vector, 0);
        if (!whole || index >= count) return (false, 0, 0);
        for (uint256 i = 0;; ++i) {
            uint256 head = at + 8;
            uint256 length;
            (whole, length, at) = _number(vector, head);
            if (!whole || length > vector.length - at) return (false, 0, 0);
            if (i == index) {
                // A length that is all there and within such a vector is minimal in one byte only.
                return at == head + 1 ? (true, at, length) : (false, 0, 0);
            }
            at += length;
        }
    }

    /// The compact size at `at`, whether it is all there, and where it ends.
    function _number(bytes memory vector, uint256 at) private pure returns (bool, uint256, uint256) {
        if (at >= vector.length) return (false, 0, 0);
        uint8 tag = uint8(vector[at]);
        if (tag < 0xfd) return (true, tag, at + 1);
        uint256 width = tag == 0xfd ? 2 : tag == 0xfe ? 4 : 8;
        if (width > vector.length - at - 1) return (false, 0, 0);
        uint256 number = 0;
        for (uint256 i = width; i > 0; --i) {
            number = number * 256 + uint8(vector[at + i]);
        }
        return (true, number, at + 1 + width);
    }
}
