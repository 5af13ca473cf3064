// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {OutputVectors} from "./OutputVectors.sol";
import {SymbolicTest} from "./Symbolic.sol";

/// DS-1 to DS-15, for 0, 1, 2 and 21 deposits, and for unequal numbers of deposits and extra infos, in every state of the
/// Bridge. Funding transactions have 41 bytes of inputs and one output of any value, with a script of 34 bytes (P2WSH's
/// size) or 23 (P2SH's), or else any output vector of up to 12 bytes. Of SHA-256 and RIPEMD-160 only that equal input
/// gives equal output. The reveal blocks, which nothing reads, are none.
contract DepositSweepSymbolicTest is SymbolicTest {
    function check_depositSweep_of0() external view {
        _check(_keys(0), new IValidator.DepositExtraInfo[](0));
    }

    function check_depositSweep_of0_oneExtraInfo() external view {
        _check(_keys(0), _infos(1, 34));
    }

    function check_depositSweep_of1_noExtraInfo() external view {
        _check(_keys(1), new IValidator.DepositExtraInfo[](0));
    }

    function check_depositSweep_of1_twoExtraInfos() external view {
        _check(_keys(1), _infos(2, 34));
    }

    function check_depositSweep_of1_p2wsh() external view {
        _check(_keys(1), _infos(1, 34));
    }

    function check_depositSweep_of1_p2sh() external view {
        _check(_keys(1), _infos(1, 23));
    }

    function check_depositSweep_of1_anyVector(uint256 size) external view {
        IValidator.DepositExtraInfo[] memory infos = _infos(1, 0);
        for (uint256 n = 0; n <= 12; ++n) {
            if (size == n) infos[0].fundingTx.outputVector = SVM.createBytes(n, "outputs");
        }
        OutputVectors.split(infos[0].fundingTx.outputVector);
        _check(_keys(1), infos);
    }

    function check_depositSweep_of2_p2wsh() external view {
        _check(_keys(2), _infos(2, 34));
    }

    function check_depositSweep_of21() external view {
        _check(_keys(21), new IValidator.DepositExtraInfo[](21));
    }

    function witness_depositSweep_of1_p2wsh() external view {
        _witness(1, 34);
    }

    function witness_depositSweep_of1_p2sh() external view {
        _witness(1, 23);
    }

    function witness_depositSweep_of2_p2wsh() external view {
        _witness(2, 34);
    }

    function _check(IValidator.DepositSweepProposal memory p, IValidator.DepositExtraInfo[] memory infos) private view {
        _agree(
            abi.encodeCall(IValidator.validateDepositSweepProposal, (p, infos)),
            abi.encodeCall(predicate.depositSweep, (bridge, p, infos))
        );
    }

    function _witness(uint256 n, uint256 scriptSize) private view {
        _neverAccepts(abi.encodeCall(IValidator.validateDepositSweepProposal, (_keys(n), _infos(n, scriptSize))));
    }

    function _keys(uint256 n) private pure returns (IValidator.DepositSweepProposal memory p) {
        p.walletPubKeyHash = _bytes20("wallet");
        p.sweepTxFee = SVM.createUint256("fee");
        p.depositsKeys = new IValidator.DepositKey[](n);
        for (uint256 i = 0; i < n; ++i) {
            p.depositsKeys[i].fundingTxHash = SVM.createBytes32("funding tx hash");
            p.depositsKeys[i].fundingOutputIndex = uint32(SVM.createUint(32, "index"));
        }
    }

    function _infos(uint256 n, uint256 scriptSize) private pure returns (IValidator.DepositExtraInfo[] memory infos) {
        infos = new IValidator.DepositExtraInfo[](n);
        for (uint256 i = 0; i < n; ++i) {
            IValidator.DepositExtraInfo memory info = infos[i];
            info.fundingTx.version = SVM.createBytes4("version");
            info.fundingTx.inputVector = SVM.createBytes(41, "inputs");
            info.fundingTx.outputVector = bytes.concat(
                hex"01",
                SVM.createBytes(8, "value"),
                // forge-lint: disable-next-line(unsafe-typecast)
                bytes1(uint8(scriptSize)),
                SVM.createBytes(scriptSize, "script")
            );
            info.fundingTx.locktime = SVM.createBytes4("locktime");
            info.blindingFactor = bytes8(SVM.createBytes32("blinding factor"));
            info.walletPubKeyHash = _bytes20("deposit wallet");
            info.refundPubKeyHash = _bytes20("refund key");
            info.refundLocktime = SVM.createBytes4("refund locktime");
        }
    }
}
