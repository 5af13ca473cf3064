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

    function testFuzz_heartbeat(uint256 seed) external view {
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

    function _judge(bytes memory call, bytes memory rejection) private view {
        (bool success, bytes memory answer) = address(validator).staticcall(call);
        assertEq(success, rejection.length == 0, "verdict");
        assertEq(answer, success ? abi.encode(true) : rejection);
    }
}
