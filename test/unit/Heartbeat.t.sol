// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {ValidatorTest} from "../support/ValidatorTest.sol";

/// `validateHeartbeatProposal`, branch by branch of Heartbeat.tree.
contract HeartbeatTest is ValidatorTest {
    function test_RevertWhen_HB1TheMessageIsNot16Bytes() external {
        for (uint256 length = 0; length <= 40; ++length) {
            if (length == 16) continue;
            bytes memory message = new bytes(length);
            for (uint256 i = 0; i < length; ++i) {
                message[i] = 0xff;
            }
            _rejects(message);
        }
    }

    function test_RevertWhen_HB1AnyOfTheFirstEightBytesIsNotFf() external {
        for (uint64 bit = 1; bit != 0; bit <<= 1) {
            _rejects(abi.encodePacked(~bit, type(uint64).max));
        }
    }

    function test_WhenHB1TheMessageIs16BytesAndStartsWithEightFf() external view {
        _accepts(WALLET, hex"ffffffffffffffff0000000000000000");
        _accepts(WALLET, hex"ffffffffffffffffffffffffffffffff");
    }

    function test_WhenTheWalletIsUnknown() external view {
        _accepts(OTHER_WALLET, hex"ffffffffffffffff0000000000000000");
    }

    function _accepts(bytes20 walletPubKeyHash, bytes memory message) private view {
        assertTrue(validator.validateHeartbeatProposal(IValidator.HeartbeatProposal(walletPubKeyHash, message)));
    }

    function _rejects(bytes memory message) private {
        vm.expectRevert(abi.encodeWithSelector(IValidator.HeartbeatMessageInvalid.selector));
        validator.validateHeartbeatProposal(IValidator.HeartbeatProposal(WALLET, message));
    }
}
