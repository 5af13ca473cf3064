// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IBridge} from "../../contracts/interfaces/IBridge.sol";
import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {Hostile} from "../doubles/Hostile.sol";
import {Bitcoin} from "../support/Bitcoin.sol";
import {DeployedValidator} from "../support/DeployedValidator.sol";
import {HostileViews} from "../support/HostileViews.sol";

/// INC-28 beside the bytecode deployed in 2024: what each of the two says of valid proposals where the Bridge or the watchtower
/// answers beyond its types, fails, or runs out of gas. A revert without data says that nothing was decided.
contract HostileDifferentialTest is HostileViews {
    string private constant HASH_MISMATCH = "Extra info funding tx hash does not match";
    string private constant SCRIPT_MISMATCH = "Extra info funding output script does not match";

    address private deployed;

    enum Says {
        Accepted,
        Rejected,
        Undecided
    }

    function _items() internal pure override returns (uint256) {
        return 1;
    }

    function setUp() public override {
        super.setUp();
        deployed = address(DeployedValidator.deploy(bridge));
    }

    function test_INC28_honestAnswers_bothAccept() external view {
        for (uint256 i = 0; i < calls.length; ++i) {
            _both(calls[i], Says.Accepted, Says.Accepted);
        }
    }

    // ----- Neither decides -----

    function test_INC28_views_bothReadTheSame() external {
        for (uint256 i = 0; i < views.length; ++i) {
            _makeHostile(views[i], "", Hostile.Mode.Return);
            for (uint256 j = 0; j < calls.length; ++j) {
                Says says = _reads(j, views[i]) ? Says.Undecided : Says.Accepted;
                _both(calls[j], says, says);
            }
            _makeHonest(views[i]);
        }
    }

    function test_INC28_shortAnswers_neitherDecides() external {
        for (uint256 i = 0; i < views.length; ++i) {
            bytes memory answer = honestAnswerOf[views[i]];
            _answers(views[i], _head(answer, answer.length - 32), Says.Undecided);
            _answers(views[i], _head(answer, answer.length - 1), Says.Undecided);
        }
    }

    /// Each bit alone: of fields that no rule needs too.
    function test_INC28_fieldsBeyondTheirType_neitherDecides() external {
        for (uint256 i = 0; i < views.length; ++i) {
            ExcessBit[] memory excess = _excessBits(views[i]);
            for (uint256 j = 0; j < excess.length; ++j) {
                uint256 free = _freeMemory();
                _answers(views[i], _with(honestAnswerOf[views[i]], excess[j]), Says.Undecided);
                _releaseMemory(free);
            }
        }
    }

    function test_INC28_burntGas_neitherDecides() external {
        for (uint256 i = 0; i < views.length; ++i) {
            _fails(views[i], "", Hostile.Mode.BurnGas);
        }
    }

    function test_INC28_addressesWithoutCode_neitherDecides() external {
        bridge.setRedemptionWatchtower(address(0xdead));
        _both(calls[1], Says.Undecided, Says.Undecided);
        validator = _deployValidator(IBridge(address(0xdead)));
        deployed = address(DeployedValidator.deploy(IBridge(address(0xdead))));
        for (uint256 i = 0; i < calls.length; ++i) {
            _both(calls[i], Says.Undecided, Says.Undecided);
        }
    }

    // ----- Ours decides nothing -----

    function test_INC28_longAnswers_oursDoesNotDecide_deployedAccepts() external {
        for (uint256 i = 0; i < views.length; ++i) {
            bytes memory answer = honestAnswerOf[views[i]];
            _answers(views[i], bytes.concat(answer, hex"00"), Says.Accepted);
            _answers(views[i], bytes.concat(answer, new bytes(32)), Says.Accepted);
            _answers(views[i], bytes.concat(answer, new bytes(100_000)), Says.Accepted);
        }
    }

    function test_INC28_failures_oursDoesNotDecide_deployedPassesOnWhatTheySay() external {
        for (uint256 i = 0; i < views.length; ++i) {
            _fails(views[i], "", Hostile.Mode.Revert);
            _fails(views[i], abi.encodeWithSelector(IValidator.FeeZero.selector), Hostile.Mode.Revert);
            _fails(views[i], abi.encodeWithSignature("Error(string)", "Deposit not revealed"), Hostile.Mode.Revert);
            _fails(views[i], honestAnswerOf[views[i]], Hostile.Mode.Revert);
        }
    }

    // ----- The deployed one decides nothing -----

    function test_INC28_unknownWalletStates_oursRejects_deployedDoesNotDecide() external {
        for (uint256 state = 6; state <= type(uint8).max; ++state) {
            _setWalletState(WALLET, state);
            for (uint256 i = 0; i < calls.length; ++i) {
                assertEq(
                    _both(calls[i], Says.Rejected, Says.Undecided),
                    abi.encodeWithSelector(IValidator.WalletStateNotAllowed.selector, WALLET, state)
                );
            }
        }
    }

    function test_INC28_unknownSweepRequestStates_oursRejects_deployedDoesNotDecide() external {
        IValidator.MovedFundsSweepProposal memory proposal = _movedFundsSweep();
        for (uint256 state = 4; state <= type(uint8).max; ++state) {
            _setSweepRequest(proposal, WALLET, state);
            assertEq(
                _both(calls[2], Says.Rejected, Says.Undecided),
                abi.encodeWithSelector(IValidator.SweepRequestNotPending.selector, state)
            );
        }
    }

    // ----- Ours decides nothing, the deployed one names a rejection -----

    /// Precompiles fail for lack of gas alone.
    function test_INC28_hashesNotMade_oursDoesNotDecide_deployedRejectsAsMismatches() external {
        Sweep memory sweep = _sweep(1);
        Bitcoin.Deposit memory deposit = _deposit(0);
        deposit.outputType = Bitcoin.OutputType.P2sh;
        _putDeposit(sweep, 0, deposit, 1, 2);
        IValidator.BitcoinTransaction memory funding = sweep.extraInfo[0].fundingTx;
        bytes memory serialized =
            bytes.concat(funding.version, funding.inputVector, funding.outputVector, funding.locktime);
        bytes memory script = Bitcoin.depositScript(deposit);
        _notMade(sweep, address(2), serialized, HASH_MISMATCH);
        _notMade(sweep, address(2), bytes.concat(sha256(serialized)), HASH_MISMATCH);
        _notMade(sweep, address(2), script, SCRIPT_MISMATCH);
        _notMade(sweep, address(3), bytes.concat(sha256(script)), SCRIPT_MISMATCH);
    }

    /// A valid sweep of one deposit, with a funding transaction of 100,000 bytes, and with more and more gas.
    function test_INC28_lackOfGas_oursDoesNotDecide_deployedRejectsAsAMismatch() external {
        Sweep memory sweep = _sweep(1);
        bytes memory wanted = Bitcoin.output(2_000_000, Bitcoin.fundingScript(_deposit(0)));
        bytes memory vector = bytes.concat(Bitcoin.outputVector(wanted, 0, 1), new bytes(100_000));
        _putDeposit(sweep, 0, _deposit(0), 0, vector);
        bytes memory data = _data(sweep);

        (bool success, bytes memory answer) = (false, bytes(""));
        for (uint256 limit = 0; !success; limit += 1_000) {
            (success, answer) = address(validator).staticcall{gas: limit}(data);
            if (!success) assertEq(answer, "");
        }

        success = false;
        uint256 rejections = 0;
        for (uint256 limit = 0; !success; limit += 1_000) {
            (success, answer) = deployed.staticcall{gas: limit}(data);
            if (success || answer.length == 0) continue;
            assertEq(answer, _reason(HASH_MISMATCH));
            ++rejections;
        }
        assertGt(rejections, 0);
    }

    function _notMade(Sweep memory sweep, address precompile, bytes memory input, string memory reason) private {
        bytes memory data = _data(sweep);
        _both(data, Says.Accepted, Says.Accepted);
        vm.mockCallRevert(precompile, input, "");
        (bool accepted, bytes memory ours) = address(validator).staticcall(data);
        (bool theyAccept, bytes memory theirs) = deployed.staticcall(data);
        vm.clearMockedCalls();
        assertFalse(accepted || theyAccept);
        assertEq(ours, "");
        assertEq(theirs, _reason(reason));
    }

    function _reason(string memory reason) private pure returns (bytes memory) {
        return abi.encodeWithSignature("Error(string)", reason);
    }

    /// Where `view_` answers this, ours says nothing of the calls that read it, and the deployed one says `theirs`.
    function _answers(string memory view_, bytes memory answer, Says theirs) private {
        _makeHostile(view_, answer, Hostile.Mode.Return);
        for (uint256 i = 0; i < calls.length; ++i) {
            if (_reads(i, view_)) _both(calls[i], Says.Undecided, theirs);
        }
        _makeHonest(view_);
    }

    /// Where `view_` fails so, ours says nothing of the calls that read it, and the deployed one the very same as `view_`.
    function _fails(string memory view_, bytes memory error, Hostile.Mode mode) private {
        _makeHostile(view_, error, mode);
        for (uint256 i = 0; i < calls.length; ++i) {
            if (!_reads(i, view_)) continue;
            (bool accepted, bytes memory ours) = address(validator).staticcall{gas: 10_000_000}(calls[i]);
            (bool theyAccept, bytes memory theirs) = deployed.staticcall{gas: 10_000_000}(calls[i]);
            assertFalse(accepted || theyAccept);
            assertEq(ours, "");
            assertEq(theirs, error);
        }
        _makeHonest(view_);
    }

    /// Returns what ours answers.
    function _both(bytes memory data, Says ours, Says theirs) private view returns (bytes memory answer) {
        (bool accepted, bytes memory answer_) = address(validator).staticcall{gas: 10_000_000}(data);
        assertTrue(_says(accepted, answer_) == ours, "ours");
        (bool theyAccept, bytes memory theirAnswer) = deployed.staticcall{gas: 10_000_000}(data);
        assertTrue(_says(theyAccept, theirAnswer) == theirs, "deployed");
        return answer_;
    }

    function _says(bool success, bytes memory answer) private pure returns (Says) {
        if (!success) return answer.length == 0 ? Says.Undecided : Says.Rejected;
        assertEq(answer, abi.encode(true));
        return Says.Accepted;
    }
}
