// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {IBridge} from "../../contracts/interfaces/IBridge.sol";
import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {PlainBridge} from "../doubles/PlainBridge.sol";
import {Spec} from "../support/Spec.sol";

/// Halmos's own cheat codes, as far as they are used here: values that stand for all values.
interface SymbolicVm {
    function createUint256(string calldata name) external pure returns (uint256);
    function createUint(uint256 bits, string calldata name) external pure returns (uint256);
    function createBytes4(string calldata name) external pure returns (bytes4);
    function createBytes32(string calldata name) external pure returns (bytes32);
    function createBytes(uint256 size, string calldata name) external pure returns (bytes memory);
    /// Whatever the account's storage holds, it stands for all values.
    function enableSymbolicStorage(address account) external;
}

/// The predicate as a contract: called at low level, it can't end a path unseen by reverting.
contract Predicate {
    function depositSweep(
        IBridge bridge,
        IValidator.DepositSweepProposal calldata proposal,
        IValidator.DepositExtraInfo[] calldata infos
    ) external view returns (bytes memory) {
        return Spec.depositSweep(bridge, proposal, infos);
    }

    function redemption(IBridge bridge, IValidator.RedemptionProposal calldata proposal)
        external
        view
        returns (bytes memory)
    {
        return Spec.redemption(bridge, proposal);
    }

    function heartbeat(IValidator.HeartbeatProposal calldata proposal) external pure returns (bytes memory) {
        return Spec.heartbeat(proposal);
    }

    function movingFunds(
        IBridge bridge,
        IValidator.MovingFundsProposal calldata proposal,
        IValidator.BitcoinUtxo calldata utxo
    ) external view returns (bytes memory) {
        return Spec.movingFunds(bridge, proposal, utxo);
    }

    function movedFundsSweep(IBridge bridge, IValidator.MovedFundsSweepProposal calldata proposal)
        external
        view
        returns (bytes memory)
    {
        return Spec.movedFundsSweep(bridge, proposal);
    }
}

/// Proofs that the validator reverts exactly when the predicate says so, with exactly the error that it names, and
/// otherwise returns true. The code under proof is the built artifact's, byte for byte. The Bridge is the plain double in
/// every state that its storage can hold, and the time any below 2⁶⁴.
///
/// `check_` functions must pass. A `witness_` function asserts that nothing is accepted: it must fail with an example,
/// else the proofs of its size would say nothing of what is accepted.
abstract contract SymbolicTest is Test {
    SymbolicVm internal constant SVM = SymbolicVm(address(uint160(uint256(keccak256("svm cheat code")))));

    PlainBridge internal bridge;
    address internal validator;
    Predicate internal predicate;

    function setUp() public virtual {
        bridge = new PlainBridge();
        SVM.enableSymbolicStorage(address(bridge));
        predicate = new Predicate();
        validator =
            deployCode("out/WalletProposalValidator.sol/WalletProposalValidator.json", abi.encode(address(bridge)));
        vm.warp(uint64(SVM.createUint256("now")));
    }

    function _bytes20(string memory name) internal pure returns (bytes20) {
        return bytes20(SVM.createBytes32(name));
    }

    /// `call` to the validator ends as `judge`, a call to the predicate, says.
    function _agree(bytes memory call, bytes memory judge) internal view {
        (bool judged, bytes memory verdict) = address(predicate).staticcall(judge);
        assert(judged);
        bytes memory rejection = abi.decode(verdict, (bytes));
        (bool accepted, bytes memory answer) = validator.staticcall(call);
        assert(accepted == (rejection.length == 0));
        assert(keccak256(answer) == keccak256(accepted ? abi.encode(true) : rejection));
    }

    function _neverAccepts(bytes memory call) internal view {
        (bool accepted,) = validator.staticcall(call);
        assert(!accepted);
    }
}
