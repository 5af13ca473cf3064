// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";

/// The test of what limits.py, beside this file, makes of calldata read at a symbolic position: any word, and each time one of
/// its own. Plain Halmos gets stuck there.
contract CalldataSymbolicTest is Test {
    function check_anyPosition(uint256 at) external pure {
        uint256 word = _word(at);
        assert(word == 0 || word - 1 < word);
    }

    /// At a concrete position it is what is there.
    function check_concretePosition(uint256, uint256 second) external pure {
        assert(_word(36) == second);
    }

    /// What is truly there is one of the possible words: at 4, the position itself.
    function witness_truth(uint256 at) external pure {
        uint256 word = _word(at);
        assert(word != 4 || at != 4);
    }

    /// No word is left out, nor known from an earlier read: a proof can't rest on what it isn't told.
    function witness_anyWord(uint256 at) external pure {
        assert(_word(at) != type(uint256).max);
    }

    function witness_readTwice(uint256 at, uint256 again) external pure {
        assert(at != again || _word(at) == _word(again));
    }

    function _word(uint256 at) private pure returns (uint256 word) {
        assembly ("memory-safe") { word := calldataload(at) }
    }
}
