// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IBridge} from "../../contracts/interfaces/IBridge.sol";
import {IRedemptionWatchtower} from "../../contracts/interfaces/IRedemptionWatchtower.sol";
import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {Hostile} from "../doubles/Hostile.sol";
import {PlainWatchtower} from "../doubles/PlainWatchtower.sol";
import {ValidatorTest} from "./ValidatorTest.sol";

/// A valid call of each function that reads the Bridge, and every view they read: one of them can be made hostile, while the
/// rest stay honest.
abstract contract HostileViews is ValidatorTest {
    Hostile private hostile;
    PlainWatchtower private watchtower;
    bytes[] internal calls;
    string[] internal views;
    mapping(string view_ => bytes4) private selectorOf;
    /// The bits of each word of the answer's type. 1600 stands for 160 on the left: a bytes20.
    mapping(string view_ => uint256[]) internal bitsOf;
    /// What it says of the wallet, or of the first item.
    mapping(string view_ => bytes) internal honestAnswerOf;

    /// How many deposits and redemption requests the calls have.
    function _items() internal pure virtual returns (uint256);

    function setUp() public virtual override {
        super.setUp();
        hostile = new Hostile();
        watchtower = new PlainWatchtower();

        Sweep memory sweep = _sweep(_items());
        IValidator.RedemptionProposal memory redemption = _redemption(_items());
        IValidator.MovedFundsSweepProposal memory moved = _movedFundsSweep();
        MovingFunds memory m = _movingFunds();
        bridge.setRedemptionWatchtower(address(watchtower));
        calls.push(_data(sweep));
        calls.push(abi.encodeCall(IValidator.validateRedemptionProposal, (redemption)));
        calls.push(abi.encodeCall(IValidator.validateMovedFundsSweepProposal, (moved)));
        calls.push(_data(m));

        uint256 redemptionKey = _redemptionKey(redemption.redeemersOutputScripts[0], WALLET);
        _view(
            "wallets", abi.encodeCall(IBridge.wallets, (WALLET)), [uint256(256), 256, 64, 32, 32, 32, 32, 8, 256, 0, 0]
        );
        _view(
            "deposits",
            abi.encodeCall(IBridge.deposits, (_depositKey(sweep.proposal.depositsKeys[0]))),
            [uint256(160), 64, 32, 160, 64, 32, 256, 0, 0, 0, 0]
        );
        _view(
            "pendingRedemptions",
            abi.encodeCall(IBridge.pendingRedemptions, (redemptionKey)),
            [uint256(160), 64, 64, 64, 32, 0, 0, 0, 0, 0, 0]
        );
        _view(
            "movedFundsSweepRequests",
            abi.encodeCall(IBridge.movedFundsSweepRequests, (_sweepRequestKey(moved))),
            [uint256(1600), 64, 32, 8, 0, 0, 0, 0, 0, 0, 0]
        );
        _view(
            "depositParameters",
            abi.encodeCall(IBridge.depositParameters, ()),
            [uint256(64), 64, 64, 32, 0, 0, 0, 0, 0, 0, 0]
        );
        _view(
            "redemptionParameters",
            abi.encodeCall(IBridge.redemptionParameters, ()),
            [uint256(64), 64, 64, 64, 32, 96, 32, 0, 0, 0, 0]
        );
        _view(
            "movingFundsParameters",
            abi.encodeCall(IBridge.movingFundsParameters, ()),
            [uint256(64), 64, 32, 32, 96, 32, 16, 64, 32, 96, 32]
        );
        _view(
            "getRedemptionWatchtower",
            abi.encodeCall(IBridge.getRedemptionWatchtower, ()),
            [uint256(160), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        );
        _view(
            "getRedemptionDelay",
            abi.encodeCall(IRedemptionWatchtower.getRedemptionDelay, (redemptionKey)),
            [uint256(32), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        );
    }

    function _view(string memory name, bytes memory question, uint256[11] memory bits) private {
        views.push(name);
        // forge-lint: disable-next-line(unsafe-typecast)
        selectorOf[name] = bytes4(question); // the first 4 bytes
        for (uint256 i = 0; i < 11 && bits[i] != 0; ++i) {
            bitsOf[name].push(bits[i]);
        }
        (bool success, bytes memory answer) = _calleeOf(name).staticcall(question);
        assertTrue(success && answer.length == 32 * bitsOf[name].length, "not the view's type");
        honestAnswerOf[name] = answer;
    }

    function _calleeOf(string memory view_) private view returns (address) {
        bool ofWatchtower = selectorOf[view_] == IRedemptionWatchtower.getRedemptionDelay.selector;
        return ofWatchtower ? address(watchtower) : address(bridge);
    }

    /// From now on the view answers, or fails, like this.
    function _makeHostile(string memory view_, bytes memory answer, Hostile.Mode mode) internal {
        hostile.set(answer, mode);
        address callee = _calleeOf(view_);
        vm.mockFunction(callee, address(hostile), abi.encodePacked(selectorOf[view_]));
        (bool success, bytes memory said) = callee.staticcall{gas: 10_000_000}(abi.encodePacked(selectorOf[view_]));
        assertEq(success, mode == Hostile.Mode.Return, "the view isn't hostile");
        assertEq(said, mode == Hostile.Mode.BurnGas ? bytes("") : answer, "the view isn't hostile");
    }

    function _makeHonest(string memory view_) internal {
        address callee = _calleeOf(view_);
        vm.mockFunction(callee, callee, abi.encodePacked(selectorOf[view_]));
    }

    /// A bit of an answer's word that its type doesn't have.
    struct ExcessBit {
        uint256 word;
        uint256 bit;
    }

    /// All of them.
    function _excessBits(string memory view_) internal view returns (ExcessBit[] memory excess) {
        uint256[] memory bits = bitsOf[view_];
        excess = new ExcessBit[](256 * bits.length);
        uint256 count = 0;
        for (uint256 word = 0; word < bits.length; ++word) {
            bool left = bits[word] == 1600;
            for (uint256 bit = left ? 0 : bits[word]; bit < (left ? 96 : 256); ++bit) {
                excess[count++] = ExcessBit(word, bit);
            }
        }
        assembly ("memory-safe") {
            mstore(excess, count)
        }
    }

    /// `answer` with that bit set.
    function _with(bytes memory answer, ExcessBit memory at) internal pure returns (bytes memory) {
        answer[32 * at.word + 31 - at.bit / 8] |= bytes32(uint256(1) << (248 + at.bit % 8))[0];
        return answer;
    }

    function _reads(uint256 call_, string memory view_) internal view returns (bool) {
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
