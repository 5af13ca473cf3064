// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {SymbolicTest} from "./Symbolic.sol";

/// MS-1 to MS-5, unbounded: every proposal, in every state of the Bridge.
contract MovedFundsSweepSymbolicTest is SymbolicTest {
    function check_movedFundsSweep(IValidator.MovedFundsSweepProposal calldata p) external view {
        _agree(
            abi.encodeCall(IValidator.validateMovedFundsSweepProposal, (p)),
            abi.encodeCall(predicate.movedFundsSweep, (bridge, p))
        );
    }

    function witness_movedFundsSweep(IValidator.MovedFundsSweepProposal calldata p) external view {
        _neverAccepts(abi.encodeCall(IValidator.validateMovedFundsSweepProposal, (p)));
    }
}
