// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IBridge} from "../../contracts/interfaces/IBridge.sol";
import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {ValidatorTest} from "../support/ValidatorTest.sol";

/// `validateMovingFundsProposal`, branch by branch of MovingFunds.tree.
contract MovingFundsTest is ValidatorTest {
    function test_RevertWhen_MF1TheWalletIsNotMovingFunds() external {
        MovingFunds memory m = _movingFunds();
        for (uint256 state = 0; state <= type(uint8).max; ++state) {
            if (state == 2) continue;
            _setWalletState(WALLET, state);
            _rejects(m, abi.encodeWithSelector(IValidator.WalletStateNotAllowed.selector, WALLET, state));
        }
    }

    function test_WhenMF1TheWalletIsMovingFunds() external {
        _accepts(_movingFunds());
    }

    function test_RevertWhen_MF2NoCommitmentIsSubmitted() external {
        MovingFunds memory m = _movingFunds();
        _setCommitment(0);
        _rejects(m, abi.encodeWithSelector(IValidator.TargetWalletsNotCommitted.selector));
    }

    function test_RevertWhen_MF3TheTargetsAreNotThoseCommittedTo() external {
        MovingFunds memory m = _movingFunds();
        bytes20[] memory targets = m.proposal.targetWallets;
        bytes32 committed = keccak256(abi.encodePacked(targets));

        (targets[0], targets[1]) = (targets[1], targets[0]);
        _rejectsTargets(m, committed);
        (targets[0], targets[1]) = (targets[1], targets[0]);
        targets[2] ^= bytes20(uint160(1));
        _rejectsTargets(m, committed);
        m.proposal.targetWallets = new bytes20[](0);
        _rejectsTargets(m, committed);
    }

    function test_WhenMF3TheOneTargetIsCommittedTo() external {
        MovingFunds memory m = _movingFunds();
        m.proposal.targetWallets = new bytes20[](1);
        m.proposal.targetWallets[0] = OTHER_WALLET;
        _setCommitment(keccak256(abi.encodePacked(OTHER_WALLET, bytes12(0))));
        _accepts(m);
    }

    function test_RevertWhen_MF4AnyFieldOfTheMainUTXODiffers() external {
        for (uint256 field = 0; field < 3; ++field) {
            MovingFunds memory m = _movingFunds();
            bytes32 expected = _utxoHash(m.mainUtxo);
            if (field == 0) m.mainUtxo.txHash ^= bytes32(uint256(1));
            if (field == 1) m.mainUtxo.txOutputIndex ^= 1;
            if (field == 2) m.mainUtxo.txOutputValue ^= 1;
            bytes32 actual = _utxoHash(m.mainUtxo);
            _rejects(m, abi.encodeWithSelector(IValidator.MainUtxoMismatch.selector, expected, actual));
        }
    }

    function test_WhenMF4TheWalletHasNoMainUTXO() external {
        MovingFunds memory m = _movingFunds();
        _setMainUtxoHash(0);
        _setDustThreshold(0);
        _accepts(m);
    }

    function test_RevertWhen_MF5TheBalanceIsOneBelowTheDustThreshold() external {
        MovingFunds memory m = _movingFunds();
        m.mainUtxo.txOutputValue = MOVING_FUNDS_DUST_THRESHOLD - 1;
        _setMainUtxoHash(_utxoHash(m.mainUtxo));
        _rejects(
            m,
            abi.encodeWithSelector(
                IValidator.BalanceBelowDust.selector, MOVING_FUNDS_DUST_THRESHOLD - 1, MOVING_FUNDS_DUST_THRESHOLD
            )
        );
    }

    function test_WhenMF5TheBalanceIsTheDustThreshold() external {
        MovingFunds memory m = _movingFunds();
        m.mainUtxo.txOutputValue = MOVING_FUNDS_DUST_THRESHOLD;
        _setMainUtxoHash(_utxoHash(m.mainUtxo));
        _accepts(m);
    }

    function test_RevertWhen_MF5TheWalletHasNoMainUTXOAndTheThresholdIsOne() external {
        MovingFunds memory m = _movingFunds();
        _setMainUtxoHash(0);
        _setDustThreshold(1);
        _rejects(m, abi.encodeWithSelector(IValidator.BalanceBelowDust.selector, 0, 1));
    }

    function test_RevertWhen_MF6TheFeeIsZero() external {
        MovingFunds memory m = _movingFunds();
        m.proposal.movingFundsTxFee = 0;
        _rejects(m, abi.encodeWithSelector(IValidator.FeeZero.selector));
    }

    function test_WhenMF6TheFeeIsOne() external {
        MovingFunds memory m = _movingFunds();
        m.proposal.movingFundsTxFee = 1;
        _accepts(m);
    }

    function test_RevertWhen_MF7TheFeeIsOneAboveTheMaximum() external {
        MovingFunds memory m = _movingFunds();
        uint256 maxFee = MOVING_FUNDS_TX_MAX_TOTAL_FEE;
        m.proposal.movingFundsTxFee = maxFee + 1;
        _rejects(m, abi.encodeWithSelector(IValidator.FeeTooHigh.selector, maxFee + 1, maxFee));
        m.proposal.movingFundsTxFee = type(uint256).max;
        _rejects(m, abi.encodeWithSelector(IValidator.FeeTooHigh.selector, type(uint256).max, maxFee));
    }

    function test_WhenMF7TheFeeIsTheMaximum() external {
        MovingFunds memory m = _movingFunds();
        m.proposal.movingFundsTxFee = MOVING_FUNDS_TX_MAX_TOTAL_FEE;
        _accepts(m);
    }

    // ----- -----

    function _accepts(MovingFunds memory m) private view {
        assertTrue(_validate(m));
    }

    function _rejects(MovingFunds memory m, bytes memory rejection) private {
        vm.expectRevert(rejection);
        _validate(m);
    }

    function _rejectsTargets(MovingFunds memory m, bytes32 committed) private {
        bytes32 actual = keccak256(abi.encodePacked(m.proposal.targetWallets));
        _rejects(m, abi.encodeWithSelector(IValidator.TargetWalletsMismatch.selector, committed, actual));
    }

    function _setCommitment(bytes32 hash) private {
        IBridge.Wallet memory wallet = bridge.wallets(WALLET);
        wallet.movingFundsTargetWalletsCommitmentHash = hash;
        bridge.setWallet(WALLET, wallet);
    }

    function _setMainUtxoHash(bytes32 hash) private {
        IBridge.Wallet memory wallet = bridge.wallets(WALLET);
        wallet.mainUtxoHash = hash;
        bridge.setWallet(WALLET, wallet);
    }

    function _setDustThreshold(uint64 threshold) private {
        IBridge.MovingFundsParameters memory parameters = bridge.movingFundsParameters();
        parameters.movingFundsDustThreshold = threshold;
        bridge.setMovingFundsParameters(parameters);
    }
}
