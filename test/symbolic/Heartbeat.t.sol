// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {SymbolicTest} from "./Symbolic.sol";

/// HB-1, for every wallet and every message of 0 to 33 bytes.
contract HeartbeatSymbolicTest is SymbolicTest {
    function check_heartbeat(uint256 size) external view {
        for (uint256 n = 0; n <= 33; ++n) {
            if (size == n) _check(_heartbeat(n));
        }
    }

    function witness_heartbeat() external view {
        _neverAccepts(abi.encodeCall(IValidator.validateHeartbeatProposal, (_heartbeat(16))));
    }

    function _check(IValidator.HeartbeatProposal memory p) private view {
        _agree(abi.encodeCall(IValidator.validateHeartbeatProposal, (p)), abi.encodeCall(predicate.heartbeat, (p)));
    }

    function _heartbeat(uint256 size) private pure returns (IValidator.HeartbeatProposal memory) {
        return IValidator.HeartbeatProposal(_bytes20("wallet"), SVM.createBytes(size, "message"));
    }
}
