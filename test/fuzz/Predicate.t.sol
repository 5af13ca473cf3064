// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {Scenarios} from "../support/Scenarios.sol";
import {Spec} from "../support/Spec.sol";

/// Fuzz against an independent predicate: a call succeeds exactly when the predicate holds, and fails with exactly the
/// error that the predicate names, arguments included.
contract PredicateTest is Scenarios {
    function testFuzz_depositSweep(uint256 seed) external {
        Sweep memory sweep = _randomSweep(Random(seed));
        _judge(_data(sweep), Spec.depositSweep(bridge, sweep.proposal, sweep.extraInfo));
    }

    function testFuzz_redemption(uint256 seed) external {
        IValidator.RedemptionProposal memory proposal = _randomRedemption(Random(seed));
        _judge(abi.encodeCall(IValidator.validateRedemptionProposal, (proposal)), Spec.redemption(bridge, proposal));
    }

    function testFuzz_heartbeat(uint256 seed) external {
        IValidator.HeartbeatProposal memory proposal = _randomHeartbeat(Random(seed));
        _judge(abi.encodeCall(IValidator.validateHeartbeatProposal, (proposal)), Spec.heartbeat(proposal));
    }

    function testFuzz_movingFunds(uint256 seed) external {
        MovingFunds memory m = _randomMovingFunds(Random(seed));
        _judge(_data(m), Spec.movingFunds(bridge, m.proposal, m.mainUtxo));
    }

    function testFuzz_movedFundsSweep(uint256 seed) external {
        IValidator.MovedFundsSweepProposal memory proposal = _randomMovedFundsSweep(Random(seed));
        _judge(
            abi.encodeCall(IValidator.validateMovedFundsSweepProposal, (proposal)),
            Spec.movedFundsSweep(bridge, proposal)
        );
    }

    // ----- The kept seeds: the first of each function, beside those that are drawn afresh -----

    /// They reach every error of its rules, and valid proposals. Each is judged as a fuzzed one is.
    function testKeptSeeds() external {
        _keptSeeds(this.testFuzz_depositSweep.selector, 1_200, 16);
        _keptSeeds(this.testFuzz_redemption.selector, 600, 10);
        _keptSeeds(this.testFuzz_heartbeat.selector, 50, 1);
        _keptSeeds(this.testFuzz_movingFunds.selector, 600, 7);
        _keptSeeds(this.testFuzz_movedFundsSweep.selector, 1_000, 5);
    }

    /// Valid proposals are an outcome besides the errors.
    function _keptSeeds(bytes4 function_, uint256 seeds, uint256 errors) private {
        outcomes[function_] = 0;
        uint256 free = _freeMemory();
        for (uint256 seed = 0; seed < seeds; ++seed) {
            (bool success, bytes memory failure) = address(this).call(abi.encodeWithSelector(function_, seed));
            assertTrue(success, string(failure));
            _releaseMemory(free);
        }
        assertEq(outcomes[function_], errors + 1, "not every rule was reached");
    }

    /// How many outcomes each function has had.
    mapping(bytes4 function_ => uint256) private outcomes;
    mapping(bytes32 outcome => bool) private had;

    function _judge(bytes memory call, bytes memory rejection) private {
        bytes32 outcome = keccak256(abi.encode(msg.sig, rejection.length == 0 ? bytes4(0) : _selector(rejection)));
        if (!had[outcome]) ++outcomes[msg.sig];
        had[outcome] = true;
        (bool success, bytes memory answer) = address(validator).staticcall(call);
        assertEq(success, rejection.length == 0, "verdict");
        assertEq(answer, success ? abi.encode(true) : rejection);
    }

    function _selector(bytes memory error) private pure returns (bytes4) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return bytes4(error); // the first 4 bytes
    }
}
