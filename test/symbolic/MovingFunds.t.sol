// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {SymbolicTest} from "./Symbolic.sol";

/// MF-1 to MF-7, for 0 to 3 target wallets: every proposal and main UTXO, in every state of the Bridge.
contract MovingFundsSymbolicTest is SymbolicTest {
    function check_movingFunds_of0(IValidator.BitcoinUtxo calldata utxo) external view {
        _check(0, utxo);
    }

    function check_movingFunds_of1(IValidator.BitcoinUtxo calldata utxo) external view {
        _check(1, utxo);
    }

    function check_movingFunds_of2(IValidator.BitcoinUtxo calldata utxo) external view {
        _check(2, utxo);
    }

    function check_movingFunds_of3(IValidator.BitcoinUtxo calldata utxo) external view {
        _check(3, utxo);
    }

    function witness_movingFunds_of1(IValidator.BitcoinUtxo calldata utxo) external view {
        _neverAccepts(abi.encodeCall(IValidator.validateMovingFundsProposal, (_movingFunds(1), utxo)));
    }

    function witness_movingFunds_of3(IValidator.BitcoinUtxo calldata utxo) external view {
        _neverAccepts(abi.encodeCall(IValidator.validateMovingFundsProposal, (_movingFunds(3), utxo)));
    }

    function _check(uint256 n, IValidator.BitcoinUtxo calldata utxo) private view {
        IValidator.MovingFundsProposal memory p = _movingFunds(n);
        _agree(
            abi.encodeCall(IValidator.validateMovingFundsProposal, (p, utxo)),
            abi.encodeCall(predicate.movingFunds, (bridge, p, utxo))
        );
    }

    function _movingFunds(uint256 n) private pure returns (IValidator.MovingFundsProposal memory p) {
        p.walletPubKeyHash = _bytes20("wallet");
        p.movingFundsTxFee = SVM.createUint256("fee");
        p.targetWallets = new bytes20[](n);
        for (uint256 i = 0; i < n; ++i) {
            p.targetWallets[i] = _bytes20("target");
        }
    }
}
