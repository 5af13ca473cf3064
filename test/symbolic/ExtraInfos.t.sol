// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {ExtraInfos} from "../../contracts/libraries/ExtraInfos.sol";
import {Test} from "forge-std/Test.sol";
import {SymbolicVm} from "./Symbolic.sol";

/// An extra info read by the library, against the plain copy to memory: both revert, or both read the same. Its fields are any
/// words, padded or not. Its offsets, two at a time and with fields that are zero, are each right, one word off to either side, to
/// a place before the info, or too large by one bit, up to the sign; its lengths are 0, 1, 32, 33, all that there is, one more, or
/// too large.
contract ExtraInfosSymbolicTest is Test {
    using ExtraInfos for IValidator.DepositExtraInfo;
    using ExtraInfos for IValidator.DepositExtraInfo[];

    SymbolicVm private constant SVM = SymbolicVm(address(uint160(uint256(keccak256("svm cheat code")))));

    /// As encoders lay it out: the list's one offset at 0, the info's words from 1 on, its transaction's from 6 on, inputs of one word
    /// from 10 on, outputs of one from 12 on; then nothing.
    uint256 private constant INFO = 1;
    uint256 private constant FUNDING = 6;
    uint256 private constant INPUTS = 10;
    uint256 private constant OUTPUTS = 12;
    uint256 private constant END = 14;

    function check_extraInfo_anyFields() external view {
        _check(_words());
    }

    function check_extraInfo_outerOffsets(uint256 info, uint256 funding) external view {
        bytes32[] memory words = _zeros();
        words[0] = _offset(32 * INFO, info);
        words[INFO] = _offset(32 * (FUNDING - INFO), funding);
        _check(words);
    }

    function check_extraInfo_innerOffsets(uint256 inputs, uint256 outputs) external view {
        bytes32[] memory words = _zeros();
        words[FUNDING + 1] = _offset(32 * (INPUTS - FUNDING), inputs);
        words[FUNDING + 2] = _offset(32 * (OUTPUTS - FUNDING), outputs);
        _check(words);
    }

    function check_extraInfo_lengths(uint256 inputs, uint256 outputs) external view {
        bytes32[] memory words = _words();
        words[INPUTS] = _length(inputs);
        words[OUTPUTS] = _length(outputs);
        _clean(words);
        _check(words);
    }

    function witness_extraInfo() external view {
        (bool read,) = address(this).staticcall(_call(this.readInfo.selector, _words()));
        assert(!read);
    }

    function _words() private pure returns (bytes32[] memory words) {
        words = _zeros();
        for (uint256 i = 0; i < END; ++i) {
            if (words[i] == 0) words[i] = SVM.createBytes32("word");
        }
    }

    /// Fields that are zero: what an offset leads to is concrete, a length too.
    function _zeros() private pure returns (bytes32[] memory words) {
        words = new bytes32[](END);
        words[0] = bytes32(32 * INFO);
        words[INFO] = bytes32(32 * (FUNDING - INFO));
        words[FUNDING + 1] = bytes32(32 * (INPUTS - FUNDING));
        words[FUNDING + 2] = bytes32(32 * (OUTPUTS - FUNDING));
        words[INPUTS] = bytes32(uint256(32));
        words[OUTPUTS] = bytes32(uint256(32));
    }

    /// Fields without anything in their padding: what is then refused is so for its offsets and lengths.
    function _clean(bytes32[] memory words) private pure {
        words[INFO + 1] = bytes8(words[INFO + 1]);
        words[INFO + 2] = bytes20(words[INFO + 2]);
        words[INFO + 3] = bytes20(words[INFO + 3]);
        words[INFO + 4] = bytes4(words[INFO + 4]);
        words[FUNDING] = bytes4(words[FUNDING]);
        words[FUNDING + 3] = bytes4(words[FUNDING + 3]);
    }

    function _offset(uint256 right, uint256 which) private pure returns (bytes32) {
        if (which == 1) return bytes32(right - 32);
        if (which == 2) return bytes32(right + 32);
        unchecked {
            if (which == 3) return bytes32(right - 32 * END);
        }
        if (which == 4) return bytes32(right + 2 ** 64);
        if (which == 5) return bytes32(right + 2 ** 255);
        return bytes32(right);
    }

    function _length(uint256 which) private pure returns (bytes32) {
        if (which == 1) return bytes32(uint256(0));
        if (which == 2) return bytes32(uint256(1));
        if (which == 3) return bytes32(uint256(33));
        if (which == 4) return bytes32(uint256(96));
        if (which == 5) return bytes32(uint256(97));
        if (which == 6) return bytes32(uint256(2 ** 64));
        if (which == 7) return bytes32(type(uint256).max);
        return bytes32(uint256(32));
    }

    function _check(bytes32[] memory words) private view {
        (bool read, bytes memory actual) = address(this).staticcall(_call(this.readInfo.selector, words));
        (bool copied, bytes memory expected) = address(this).staticcall(_call(this.copyInfo.selector, words));
        assert(read == copied);
        assert(!read || keccak256(actual) == keccak256(expected));
    }

    /// With a list of one, of these words.
    function _call(bytes4 selector, bytes32[] memory words) private pure returns (bytes memory) {
        return bytes.concat(selector, bytes32(uint256(32)), bytes32(uint256(1)), abi.encodePacked(words));
    }

    function readInfo(IValidator.DepositExtraInfo[] calldata infos)
        external
        pure
        returns (IValidator.DepositExtraInfo memory)
    {
        IValidator.DepositExtraInfo calldata info = infos.at(0);
        (bytes4 version, bytes calldata inputs, bytes calldata outputs, bytes4 locktime) = info.transaction();
        (bytes8 blindingFactor, bytes20 wallet, bytes20 refundKey, bytes4 refundLocktime) = info.scriptFields();
        assert(wallet == info.wallet() && refundLocktime == info.refund());
        return IValidator.DepositExtraInfo(
            IValidator.BitcoinTransaction(version, inputs, outputs, locktime),
            blindingFactor,
            wallet,
            refundKey,
            refundLocktime
        );
    }

    function copyInfo(IValidator.DepositExtraInfo[] calldata infos)
        external
        pure
        returns (IValidator.DepositExtraInfo memory info)
    {
        info = infos[0];
    }
}
