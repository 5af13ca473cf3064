// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IBridge} from "../../contracts/interfaces/IBridge.sol";
import {IRedemptionWatchtower} from "../../contracts/interfaces/IRedemptionWatchtower.sol";
import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {PlainWatchtower} from "../doubles/PlainWatchtower.sol";
import {Bitcoin} from "../support/Bitcoin.sol";
import {ValidatorTest} from "../support/ValidatorTest.sol";

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

/// INC-28: a Bridge or a watchtower that answers too little, too much, garbage or not at all. Every such call reverts without
/// data, which says that nothing was decided: never accepted, and never a rejection that the callee made up.
contract HostileTest is ValidatorTest {
    Hostile private hostile;
    PlainWatchtower private watchtower;
    bytes[] private calls;
    string[] private views;
    mapping(string view_ => bytes4) private selectorOf;
    /// The bits of each word of the answer's type. 160 on the left for the one that is a bytes20.
    mapping(string view_ => uint256[]) private bitsOf;

    function setUp() public override {
        super.setUp();
        hostile = new Hostile();
        watchtower = new PlainWatchtower();

        Sweep memory sweep = _sweep(2);
        calls.push(abi.encodeCall(IValidator.validateDepositSweepProposal, (sweep.proposal, sweep.extraInfo)));
        calls.push(abi.encodeCall(IValidator.validateRedemptionProposal, (_redemption(2))));
        calls.push(abi.encodeCall(IValidator.validateMovedFundsSweepProposal, (_movedFundsSweep())));
        MovingFunds memory m = _movingFunds();
        calls.push(abi.encodeCall(IValidator.validateMovingFundsProposal, (m.proposal, m.mainUtxo)));
        bridge.setRedemptionWatchtower(address(watchtower));

        _view("wallets", IBridge.wallets.selector, [uint256(256), 256, 64, 32, 32, 32, 32, 8, 256, 0, 0]);
        _view("deposits", IBridge.deposits.selector, [uint256(160), 64, 32, 160, 64, 32, 256, 0, 0, 0, 0]);
        _view(
            "pendingRedemptions", IBridge.pendingRedemptions.selector, [uint256(160), 64, 64, 64, 32, 0, 0, 0, 0, 0, 0]
        );
        _view(
            "movedFundsSweepRequests",
            IBridge.movedFundsSweepRequests.selector,
            [uint256(1600), 64, 32, 8, 0, 0, 0, 0, 0, 0, 0]
        );
        _view("depositParameters", IBridge.depositParameters.selector, [uint256(64), 64, 64, 32, 0, 0, 0, 0, 0, 0, 0]);
        _view(
            "redemptionParameters",
            IBridge.redemptionParameters.selector,
            [uint256(64), 64, 64, 64, 32, 96, 32, 0, 0, 0, 0]
        );
        _view(
            "movingFundsParameters",
            IBridge.movingFundsParameters.selector,
            [uint256(64), 64, 32, 32, 96, 32, 16, 64, 32, 96, 32]
        );
        _view(
            "getRedemptionWatchtower",
            IBridge.getRedemptionWatchtower.selector,
            [uint256(160), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        );
        _view(
            "getRedemptionDelay",
            IRedemptionWatchtower.getRedemptionDelay.selector,
            [uint256(32), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        );
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
            uint256[] memory bits = bitsOf[views[i]];
            for (uint256 word = 0; word < bits.length; ++word) {
                bool left = bits[word] == 1600;
                for (uint256 bit = left ? 0 : bits[word]; bit < (left ? 96 : 256); ++bit) {
                    bytes memory answer = new bytes(32 * bits.length);
                    answer[32 * word + 31 - bit / 8] = bytes32(uint256(1) << (248 + bit % 8))[0];
                    _undecided(views[i], answer, Hostile.Mode.Return);
                }
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

    function _view(string memory name, bytes4 selector, uint256[11] memory bits) private {
        views.push(name);
        selectorOf[name] = selector;
        for (uint256 i = 0; i < 11 && bits[i] != 0; ++i) {
            bitsOf[name].push(bits[i]);
        }
    }

    /// One view is hostile, the rest honest: no call that reads it decides anything; those that don't are valid still.
    function _undecided(string memory view_, bytes memory answer, Hostile.Mode mode) private {
        hostile.set(answer, mode);
        bool ofWatchtower = selectorOf[view_] == IRedemptionWatchtower.getRedemptionDelay.selector;
        address target = ofWatchtower ? address(watchtower) : address(bridge);
        vm.mockFunction(target, address(hostile), abi.encodePacked(selectorOf[view_]));
        (bool success, bytes memory said) = target.staticcall{gas: 10_000_000}(abi.encodePacked(selectorOf[view_]));
        assertEq(success, mode == Hostile.Mode.Return, "the view isn't hostile");
        assertEq(said, mode == Hostile.Mode.BurnGas ? bytes("") : answer, "the view isn't hostile");
        for (uint256 i = 0; i < calls.length; ++i) {
            if (_reads(i, view_)) _isUndecided(calls[i]);
        }
        vm.mockFunction(target, target, abi.encodePacked(selectorOf[view_]));
    }

    function _isUndecided(bytes memory data) private view {
        (bool success, bytes memory answer) = address(validator).staticcall{gas: 10_000_000}(data);
        assertFalse(success);
        assertEq(answer, "");
    }

    function _reads(uint256 call_, string memory view_) private view returns (bool) {
        bytes4 selector = selectorOf[view_];
        if (selector == IBridge.wallets.selector) return true;
        if (call_ == 0) return selector == IBridge.deposits.selector || selector == IBridge.depositParameters.selector;
        if (call_ == 1) {
            return selector == IBridge.pendingRedemptions.selector || selector == IBridge.redemptionParameters.selector
                || selector == IBridge.getRedemptionWatchtower.selector
                || selector == IRedemptionWatchtower.getRedemptionDelay.selector;
        }
        if (selector == IBridge.movingFundsParameters.selector) return true;
        return call_ == 2 && selector == IBridge.movedFundsSweepRequests.selector;
    }
}
