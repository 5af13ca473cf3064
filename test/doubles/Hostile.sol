// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// Answers whatever it is asked with what it was told, or fails so. Its code may run in the place of another contract's, which
/// has that one's storage: what it was told, it asks for where it is deployed itself.
contract Hostile {
    enum Mode {
        Return,
        Revert,
        BurnGas
    }

    Hostile private immutable SELF = this;
    bytes private _answer;
    Mode private _mode;

    function told() external view returns (bytes memory, Mode) {
        return (_answer, _mode);
    }

    function set(bytes memory answer, Mode mode) external {
        _answer = answer;
        _mode = mode;
    }

    fallback() external {
        (bytes memory answer, Mode mode) = SELF.told();
        assembly ("memory-safe") {
            switch mode
            case 0 { return(add(answer, 0x20), mload(answer)) }
            case 1 { revert(add(answer, 0x20), mload(answer)) }
            default { invalid() }
        }
    }
}
