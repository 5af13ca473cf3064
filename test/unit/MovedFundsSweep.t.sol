// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IBridge} from "../../contracts/interfaces/IBridge.sol";
import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {ValidatorTest} from "../support/ValidatorTest.sol";

/// `validateMovedFundsSweepProposal`, branch by branch of MovedFundsSweep.tree.
contract MovedFundsSweepTest is ValidatorTest {
    function test_RevertWhen_MS1TheWalletIsNeitherLiveNorMovingFunds() external {
        IValidator.MovedFundsSweepProposal memory proposal = _movedFundsSweep();
        for (uint256 state = 0; state <= type(uint8).max; ++state) {
            if (state == 1 || state == 2) continue;
            _setWalletState(WALLET, state);
            _rejects(proposal, abi.encodeWithSelector(IValidator.WalletStateNotAllowed.selector, WALLET, state));
        }
    }

    function test_WhenMS1TheWalletIsLive() external {
        _setWalletState(WALLET, IBridge.WalletState.Live);
        _accepts(_movedFundsSweep());
    }

    function test_WhenMS1TheWalletIsMovingFunds() external {
        _setWalletState(WALLET, IBridge.WalletState.MovingFunds);
        _accepts(_movedFundsSweep());
    }

    function test_RevertWhen_MS2TheRequestIsNotPending() external {
        IValidator.MovedFundsSweepProposal memory proposal = _movedFundsSweep();
        for (uint256 state = 0; state <= type(uint8).max; ++state) {
            if (state == 1) continue;
            _setSweepRequest(proposal, WALLET, state);
            _rejects(proposal, abi.encodeWithSelector(IValidator.SweepRequestNotPending.selector, state));
        }
    }

    function test_RevertWhen_MS2TheRequestIsOfAnotherOutput() external {
        IValidator.MovedFundsSweepProposal memory proposal = _movedFundsSweep();
        proposal.movingFundsTxOutputIndex ^= 1;
        _rejects(proposal, abi.encodeWithSelector(IValidator.SweepRequestNotPending.selector, 0));
        proposal = _movedFundsSweep();
        proposal.movingFundsTxHash ^= bytes32(uint256(1));
        _rejects(proposal, abi.encodeWithSelector(IValidator.SweepRequestNotPending.selector, 0));
    }

    function test_RevertWhen_MS3TheRequestBelongsToAnotherWallet() external {
        IValidator.MovedFundsSweepProposal memory proposal = _movedFundsSweep();
        bytes20[2] memory wallets = [bytes20(uint160(WALLET) - 1), bytes20(uint160(WALLET) + 1)];
        for (uint256 i = 0; i < 2; ++i) {
            _setSweepRequest(proposal, wallets[i], uint8(IBridge.MovedFundsSweepRequestState.Pending));
            _rejects(proposal, abi.encodeWithSelector(IValidator.SweepRequestOfOtherWallet.selector, wallets[i]));
        }
    }

    function test_RevertWhen_MS4TheFeeIsZero() external {
        IValidator.MovedFundsSweepProposal memory proposal = _movedFundsSweep();
        proposal.movedFundsSweepTxFee = 0;
        _rejects(proposal, abi.encodeWithSelector(IValidator.FeeZero.selector));
    }

    function test_WhenMS4TheFeeIsOne() external {
        IValidator.MovedFundsSweepProposal memory proposal = _movedFundsSweep();
        proposal.movedFundsSweepTxFee = 1;
        _accepts(proposal);
    }

    function test_RevertWhen_MS5TheFeeIsOneAboveTheMaximum() external {
        IValidator.MovedFundsSweepProposal memory proposal = _movedFundsSweep();
        uint256 maxFee = MOVED_FUNDS_SWEEP_TX_MAX_TOTAL_FEE;
        proposal.movedFundsSweepTxFee = maxFee + 1;
        _rejects(proposal, abi.encodeWithSelector(IValidator.FeeTooHigh.selector, maxFee + 1, maxFee));
        proposal.movedFundsSweepTxFee = type(uint256).max;
        _rejects(proposal, abi.encodeWithSelector(IValidator.FeeTooHigh.selector, type(uint256).max, maxFee));
    }

    function test_WhenMS5TheFeeIsTheMaximum() external {
        IValidator.MovedFundsSweepProposal memory proposal = _movedFundsSweep();
        proposal.movedFundsSweepTxFee = MOVED_FUNDS_SWEEP_TX_MAX_TOTAL_FEE;
        _accepts(proposal);
    }

    // ----- -----

    function _accepts(IValidator.MovedFundsSweepProposal memory proposal) private view {
        assertTrue(validator.validateMovedFundsSweepProposal(proposal));
    }

    function _rejects(IValidator.MovedFundsSweepProposal memory proposal, bytes memory rejection) private {
        vm.expectRevert(rejection);
        validator.validateMovedFundsSweepProposal(proposal);
    }
}
