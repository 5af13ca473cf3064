// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";

/// The test of the hashes of limits.py, beside this file: with it each of these comes out as named; under plain Halmos each
/// crashes.
contract HashesSymbolicTest is Test {
    function check_sha256_equalInputs(bytes32 a, bytes32 b) external pure {
        if (a == b) assert(sha256(abi.encode(a)) == sha256(abi.encode(b)));
    }

    function check_ripemd160_equalInputs(bytes32 a, bytes32 b) external pure {
        if (a == b) assert(ripemd160(abi.encode(a)) == ripemd160(abi.encode(b)));
    }

    /// All 32 bytes of the hash, and all 20, no more.
    function check_sizes(bytes1 a) external view {
        (bool hashed, bytes memory sha) = address(2).staticcall(abi.encodePacked(a));
        assert(hashed && sha.length == 32);
        bytes memory ripemd;
        (hashed, ripemd) = address(3).staticcall(abi.encodePacked(a));
        assert(hashed && ripemd.length == 32);
        assert(abi.decode(ripemd, (uint256)) < 2 ** 160);
    }

    function witness_sha256_otherInput(bytes32 a, bytes32 b) external pure {
        assert(a == b || sha256(abi.encode(a)) == sha256(abi.encode(b)));
    }

    function witness_ripemd160_otherInput(bytes32 a, bytes32 b) external pure {
        assert(a == b || ripemd160(abi.encode(a)) == ripemd160(abi.encode(b)));
    }

    /// The last bit of each hash can be set.
    function witness_sha256_lastBit(bytes32 a) external pure {
        assert(uint256(sha256(abi.encode(a))) & 1 == 0);
    }

    function witness_ripemd160_firstBit(bytes32 a) external pure {
        assert(uint160(ripemd160(abi.encode(a))) >> 159 == 0);
    }
}
