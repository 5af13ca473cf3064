// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// A relay that takes any headers for proof of the next epoch, as many as it asks for. The real one keeps targets in 224 bits, so
/// that nobody can mine headers for it in a test.
contract EasyRelay {
    uint64 public currentEpoch;
    uint64 public immutable proofLength;

    error WrongLength(uint256 actual, uint256 expected);

    constructor(uint64 epoch, uint64 length) {
        currentEpoch = epoch;
        proofLength = length;
    }

    function retarget(bytes calldata headers) external {
        uint256 expected = 160 * uint256(proofLength);
        if (headers.length != expected) revert WrongLength(headers.length, expected);
        ++currentEpoch;
    }

    function ready() external pure returns (bool) {
        return true;
    }

    function authorizationRequired() external pure returns (bool) {
        return false;
    }
}
