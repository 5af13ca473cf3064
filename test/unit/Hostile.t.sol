// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IBridge} from "../../contracts/interfaces/IBridge.sol";
import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {Hostile} from "../doubles/Hostile.sol";
import {Bitcoin} from "../support/Bitcoin.sol";
import {HostileViews} from "../support/HostileViews.sol";

/// INC-28: a Bridge or a watchtower that answers too little, too much, garbage or not at all. Every such call reverts without
/// data, which says that nothing was decided: never accepted, and never a rejection that the callee made up.
contract HostileTest is HostileViews {
    function _items() internal pure override returns (uint256) {
        return 2;
    }

    function test_INC28_eachCallIsValidOnAnHonestBridge() public view {
        for (uint256 i = 0; i < calls.length; ++i) {
            (bool success,) = address(validator).staticcall(calls[i]);
            assertTrue(success);
        }
    }

    function test_INC28_shortAnswersDecideNothing() external {
        for (uint256 i = 0; i < views.length; ++i) {
            test_INC28_eachCallIsValidOnAnHonestBridge();
            uint256 length = 32 * bitsOf[views[i]].length;
            _undecided(views[i], "", Hostile.Mode.Return);
            _undecided(views[i], new bytes(length - 32), Hostile.Mode.Return);
            _undecided(views[i], new bytes(length - 1), Hostile.Mode.Return);
        }
    }

    function test_INC28_longAnswersDecideNothing() external {
        for (uint256 i = 0; i < views.length; ++i) {
            test_INC28_eachCallIsValidOnAnHonestBridge();
            uint256 length = 32 * bitsOf[views[i]].length;
            _undecided(views[i], new bytes(length + 1), Hostile.Mode.Return);
            _undecided(views[i], new bytes(length + 32), Hostile.Mode.Return);
            _undecided(views[i], new bytes(100_000), Hostile.Mode.Return);
        }
    }

    /// Each bit that a field's type doesn't have, set alone.
    function test_INC28_fieldsBeyondTheirTypeDecideNothing() external {
        for (uint256 i = 0; i < views.length; ++i) {
            test_INC28_eachCallIsValidOnAnHonestBridge();
            ExcessBit[] memory excess = _excessBits(views[i]);
            for (uint256 j = 0; j < excess.length; ++j) {
                _undecided(views[i], _with(new bytes(32 * bitsOf[views[i]].length), excess[j]), Hostile.Mode.Return);
            }
        }
    }

    /// What the callee fails with could pose as one of our rejections.
    function test_INC28_failuresDecideNothingWhateverTheySay() external {
        for (uint256 i = 0; i < views.length; ++i) {
            test_INC28_eachCallIsValidOnAnHonestBridge();
            _undecided(views[i], "", Hostile.Mode.Revert);
            _undecided(views[i], abi.encodeWithSelector(IValidator.FeeZero.selector), Hostile.Mode.Revert);
            _undecided(views[i], abi.encodeWithSignature("Error(string)", "Deposit not revealed"), Hostile.Mode.Revert);
            _undecided(views[i], new bytes(32 * bitsOf[views[i]].length), Hostile.Mode.Revert);
        }
    }

    function test_INC28_burntGasDecidesNothing() external {
        for (uint256 i = 0; i < views.length; ++i) {
            test_INC28_eachCallIsValidOnAnHonestBridge();
            _undecided(views[i], "", Hostile.Mode.BurnGas);
        }
    }

    function test_INC28_addressesWithoutCodeDecideNothing() external {
        bridge.setRedemptionWatchtower(address(0xdead));
        _isUndecided(calls[1]);
        IValidator lost = _deployValidator(IBridge(address(0xdead)));
        for (uint256 i = 0; i < calls.length; ++i) {
            (bool success, bytes memory answer) = address(lost).staticcall(calls[i]);
            assertFalse(success);
            assertEq(answer, "");
        }
    }

    /// Precompiles fail for lack of gas alone: a hash that wasn't made is no mismatch.
    function test_INC28_hashesNotMadeDecideNothing() external {
        IValidator.BitcoinTransaction memory funding = _sweep(2).extraInfo[0].fundingTx;
        bytes memory serialized =
            bytes.concat(funding.version, funding.inputVector, funding.outputVector, funding.locktime);
        address sha256_ = address(2);
        _undecidedWithout(sha256_, serialized);
        _undecidedWithout(sha256_, bytes.concat(sha256(serialized)));
        _undecidedWithout(sha256_, Bitcoin.depositScript(_deposit(0)));
    }

    /// The only use of RIPEMD-160, for a deposit in P2SH.
    function test_INC28_aHash160NotMadeDecidesNothing() external {
        Sweep memory sweep = _sweep(2);
        Bitcoin.Deposit memory deposit = _deposit(0);
        deposit.outputType = Bitcoin.OutputType.P2sh;
        _putDeposit(sweep, 0, deposit, 1, 2);
        calls[0] = _data(sweep);
        _undecidedWithout(address(3), bytes.concat(sha256(Bitcoin.depositScript(deposit))));
    }

    function _undecidedWithout(address precompile, bytes memory input) private {
        vm.mockCallRevert(precompile, input, "");
        (bool success,) = precompile.staticcall(input);
        assertFalse(success, "the precompile doesn't fail");
        _isUndecided(calls[0]);
        vm.clearMockedCalls();
        test_INC28_eachCallIsValidOnAnHonestBridge();
    }

    /// With any less gas than a call needs, it says nothing.
    function test_INC28_lackOfGasDecidesNothing() external view {
        for (uint256 i = 0; i < calls.length; ++i) {
            bool success = false;
            for (uint256 limit = 0; !success; limit += 13) {
                bytes memory answer;
                (success, answer) = address(validator).staticcall{gas: limit}(calls[i]);
                if (!success) assertEq(answer, "");
            }
        }
    }

    /// One view is hostile, the rest honest: no call that reads it decides anything; those that don't are valid still.
    function _undecided(string memory view_, bytes memory answer, Hostile.Mode mode) private {
        _makeHostile(view_, answer, mode);
        for (uint256 i = 0; i < calls.length; ++i) {
            if (_reads(i, view_)) _isUndecided(calls[i]);
        }
        _makeHonest(view_);
    }

    function _isUndecided(bytes memory data) private view {
        (bool success, bytes memory answer) = address(validator).staticcall{gas: 10_000_000}(data);
        assertFalse(success);
        assertEq(answer, "");
    }
}
