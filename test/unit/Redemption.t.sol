// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IBridge} from "../../contracts/interfaces/IBridge.sol";
import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {ValidatorTest} from "../support/ValidatorTest.sol";

/// `validateRedemptionProposal`, branch by branch of Redemption.tree.
contract RedemptionTest is ValidatorTest {
    uint32 private constant MIN_AGE = 600;
    uint32 private constant TIMEOUT_MARGIN = 2 hours;

    function test_RevertWhen_RD1TheWalletIsNeitherLiveNorMovingFunds() external {
        IValidator.RedemptionProposal memory proposal = _redemption(1);
        for (uint256 state = 0; state <= type(uint8).max; ++state) {
            if (state == 1 || state == 2) continue;
            _setWalletState(WALLET, state);
            _rejects(proposal, abi.encodeWithSelector(IValidator.WalletStateNotAllowed.selector, WALLET, state));
        }
    }

    function test_WhenRD1TheWalletIsLive() external {
        _setWalletState(WALLET, IBridge.WalletState.Live);
        _accepts(_redemption(1));
    }

    function test_WhenRD1TheWalletIsMovingFunds() external {
        _setWalletState(WALLET, IBridge.WalletState.MovingFunds);
        _accepts(_redemption(1));
    }

    function test_RevertWhen_RD2ThereIsNoRequest() external {
        _rejects(_redemption(0), abi.encodeWithSelector(IValidator.RedemptionEmpty.selector));
    }

    function test_WhenRD2ThereIsOneRequest() external {
        _accepts(_redemption(1));
    }

    function test_RevertWhen_RD3ThereIsOneRequestTooMany() external {
        _rejects(_redemption(21), abi.encodeWithSelector(IValidator.RedemptionTooLarge.selector, 21, 20));
    }

    function test_WhenRD3ThereAreAsManyRequestsAsAllowed() external {
        _accepts(_redemption(20));
    }

    function test_RevertWhen_RD4TheFeeIsZero() external {
        IValidator.RedemptionProposal memory proposal = _redemption(1);
        proposal.redemptionTxFee = 0;
        _rejects(proposal, abi.encodeWithSelector(IValidator.FeeZero.selector));
    }

    function test_WhenRD4TheFeeIsOne() external {
        IValidator.RedemptionProposal memory proposal = _redemption(3);
        proposal.redemptionTxFee = 1;
        _accepts(proposal);
    }

    function test_RevertWhen_RD5TheFeeIsOneAboveTheMaximum() external {
        IValidator.RedemptionProposal memory proposal = _redemption(20);
        proposal.redemptionTxFee = REDEMPTION_TX_MAX_TOTAL_FEE + 1;
        _rejects(
            proposal,
            abi.encodeWithSelector(
                IValidator.FeeTooHigh.selector, REDEMPTION_TX_MAX_TOTAL_FEE + 1, REDEMPTION_TX_MAX_TOTAL_FEE
            )
        );
        proposal.redemptionTxFee = type(uint256).max;
        _rejects(
            proposal,
            abi.encodeWithSelector(IValidator.FeeTooHigh.selector, type(uint256).max, REDEMPTION_TX_MAX_TOTAL_FEE)
        );
    }

    function test_WhenRD5TheFeeIsTheMaximum() external {
        IValidator.RedemptionProposal memory proposal = _redemption(20);
        proposal.redemptionTxFee = REDEMPTION_TX_MAX_TOTAL_FEE;
        _accepts(proposal);
    }

    function test_RevertWhen_RD6TheRequestIsNotPending() external {
        IValidator.RedemptionProposal memory proposal = _redemption(3);
        _setRequestedAt(proposal, 1, 0);
        _rejects(proposal, abi.encodeWithSelector(IValidator.RedemptionNotPending.selector, 1));
    }

    function test_RevertWhen_RD6TheRequestIsOfAnotherWallet() external {
        IValidator.RedemptionProposal memory proposal = _redemption(3);
        _setWalletState(OTHER_WALLET, IBridge.WalletState.Live);
        proposal.walletPubKeyHash = OTHER_WALLET;
        _rejects(proposal, abi.encodeWithSelector(IValidator.RedemptionNotPending.selector, 0));
    }

    function test_RevertWhen_RD7TheRequestIsExactlyAsOldAsTheMinimumAge() external {
        IValidator.RedemptionProposal memory proposal = _redemption(3);
        _setRequestedAt(proposal, 1, NOW - MIN_AGE);
        _rejects(proposal, abi.encodeWithSelector(IValidator.RedemptionTooYoung.selector, 1, NOW));
    }

    function test_WhenRD7TheRequestIsOneSecondOlderThanTheMinimumAge() external {
        IValidator.RedemptionProposal memory proposal = _redemption(3);
        _setRequestedAt(proposal, 1, NOW - MIN_AGE - 1);
        _accepts(proposal);
    }

    function test_RevertWhen_RD7TheRequestIsExactlyAsOldAsTheWatchtowersDelay() external {
        IValidator.RedemptionProposal memory proposal = _redemption(3);
        _setDelay(proposal, 1, MIN_AGE + 1);
        _setRequestedAt(proposal, 1, NOW - MIN_AGE - 1);
        _rejects(proposal, abi.encodeWithSelector(IValidator.RedemptionTooYoung.selector, 1, NOW));
    }

    function test_WhenRD7TheRequestIsOneSecondOlderThanTheWatchtowersDelay() external {
        IValidator.RedemptionProposal memory proposal = _redemption(3);
        _setDelay(proposal, 1, MIN_AGE + 1);
        _setRequestedAt(proposal, 1, NOW - MIN_AGE - 2);
        _accepts(proposal);
    }

    function test_RevertWhen_RD7TheWatchtowersDelayIsShorterThanTheMinimumAge() external {
        IValidator.RedemptionProposal memory proposal = _redemption(3);
        _setDelay(proposal, 1, MIN_AGE - 1);
        _setRequestedAt(proposal, 1, NOW - MIN_AGE);
        _rejects(proposal, abi.encodeWithSelector(IValidator.RedemptionTooYoung.selector, 1, NOW));
    }

    function test_RevertWhen_RD8TheTimeoutIsExactlyTheSafetyMarginAway() external {
        IValidator.RedemptionProposal memory proposal = _redemption(3);
        _setRequestedAt(proposal, 1, NOW + TIMEOUT_MARGIN - REDEMPTION_TIMEOUT);
        _rejects(proposal, abi.encodeWithSelector(IValidator.RedemptionTimeoutTooClose.selector, 1, NOW));
    }

    function test_WhenRD8TheTimeoutIsOneSecondMoreThanTheSafetyMarginAway() external {
        IValidator.RedemptionProposal memory proposal = _redemption(3);
        _setRequestedAt(proposal, 1, NOW + TIMEOUT_MARGIN - REDEMPTION_TIMEOUT + 1);
        _accepts(proposal);
    }

    function test_RevertWhen_RD9AFeeShareIsOneAboveWhatItsRequestAllows() external {
        IValidator.RedemptionProposal memory proposal = _redemption(3);
        proposal.redemptionTxFee = 3 * 5_000;
        _setMaxFee(proposal, 1, 4_999);
        _rejects(proposal, abi.encodeWithSelector(IValidator.RedemptionFeeShareTooHigh.selector, 1, 5_000, 4_999));
    }

    function test_RevertWhen_RD9TheLastFeeShareWithTheRemainderIsOneAboveWhatItsRequestAllows() external {
        IValidator.RedemptionProposal memory proposal = _redemption(3);
        proposal.redemptionTxFee = 3 * 5_000 + 2;
        _setMaxFee(proposal, 2, 5_001);
        _rejects(proposal, abi.encodeWithSelector(IValidator.RedemptionFeeShareTooHigh.selector, 2, 5_002, 5_001));
    }

    function test_WhenRD9EachFeeShareIsAllThatItsRequestAllows() external {
        IValidator.RedemptionProposal memory proposal = _redemption(3);
        proposal.redemptionTxFee = 3 * 5_000 + 2;
        _setMaxFee(proposal, 0, 5_000);
        _setMaxFee(proposal, 1, 5_000);
        _setMaxFee(proposal, 2, 5_002);
        _accepts(proposal);
    }

    /// Each item in the place of each later one, with as many as allowed: none is forgotten on the way.
    function test_RevertWhen_RD10ARequestOccursTwice() external {
        IValidator.RedemptionProposal memory proposal = _redemption(20);
        for (uint256 index = 1; index < 20; ++index) {
            bytes memory own = proposal.redeemersOutputScripts[index];
            for (uint256 first = 0; first < index; ++first) {
                proposal.redeemersOutputScripts[index] = proposal.redeemersOutputScripts[first];
                _rejects(proposal, abi.encodeWithSelector(IValidator.RedemptionDuplicated.selector, index, first));
            }
            proposal.redeemersOutputScripts[index] = own;
        }
    }

    /// Among 20 of 300 scripts some keys share their lowest byte.
    function test_WhenRD10ManyRequestsDiffer() external {
        bytes[] memory scripts = _redemption(300).redeemersOutputScripts;
        IValidator.RedemptionProposal memory proposal = _redemption(20);
        for (uint256 start = 0; start < 300; start += 20) {
            for (uint256 i = 0; i < 20; ++i) {
                proposal.redeemersOutputScripts[i] = scripts[start + i];
            }
            _accepts(proposal);
        }
    }

    // ----- -----

    function _accepts(IValidator.RedemptionProposal memory proposal) private view {
        assertTrue(validator.validateRedemptionProposal(proposal));
    }

    function _rejects(IValidator.RedemptionProposal memory proposal, bytes memory rejection) private {
        vm.expectRevert(rejection);
        validator.validateRedemptionProposal(proposal);
    }

    function _setRequestedAt(IValidator.RedemptionProposal memory proposal, uint256 i, uint32 requestedAt) private {
        IBridge.RedemptionRequest memory request = _request(proposal, i);
        request.requestedAt = requestedAt;
        _setRequest(proposal, i, request);
    }

    function _setMaxFee(IValidator.RedemptionProposal memory proposal, uint256 i, uint64 txMaxFee) private {
        IBridge.RedemptionRequest memory request = _request(proposal, i);
        request.txMaxFee = txMaxFee;
        _setRequest(proposal, i, request);
    }
}
