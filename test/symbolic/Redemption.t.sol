// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {PlainWatchtower} from "../doubles/PlainWatchtower.sol";
import {SymbolicTest} from "./Symbolic.sol";

/// RD-1 to RD-10, for 0, 1 and 2 requests with scripts of 23 bytes, for 1 with an empty one, for 2 of unequal sizes, and for
/// 21: every proposal, in every state of the Bridge, without a watchtower and with one that answers any delay.
contract RedemptionSymbolicTest is SymbolicTest {
    function check_redemption_of0(bool watched) external {
        _check(0, 23, watched);
    }

    function check_redemption_of1(bool watched) external {
        _check(1, 23, watched);
    }

    function check_redemption_of1_emptyScript(bool watched) external {
        _check(1, 0, watched);
    }

    function check_redemption_of2(bool watched) external {
        _check(2, 23, watched);
    }

    function check_redemption_of2_unequalSizes(bool watched) external {
        IValidator.RedemptionProposal memory p = _redemption(2, 23);
        p.redeemersOutputScripts[1] = SVM.createBytes(26, "script");
        _check(p, watched);
    }

    function check_redemption_of21(bool watched) external {
        _check(21, 23, watched);
    }

    function witness_redemption_of1(bool watched) external {
        _witness(1, watched);
    }

    function witness_redemption_of2(bool watched) external {
        _witness(2, watched);
    }

    function _check(uint256 n, uint256 size, bool watched) private {
        _check(_redemption(n, size), watched);
    }

    function _check(IValidator.RedemptionProposal memory p, bool watched) private {
        _setWatchtower(watched);
        _agree(
            abi.encodeCall(IValidator.validateRedemptionProposal, (p)),
            abi.encodeCall(predicate.redemption, (bridge, p))
        );
    }

    function _witness(uint256 n, bool watched) private {
        _setWatchtower(watched);
        _neverAccepts(abi.encodeCall(IValidator.validateRedemptionProposal, (_redemption(n, 23))));
    }

    function _setWatchtower(bool watched) private {
        address watchtower = address(0);
        if (watched) {
            watchtower = address(new PlainWatchtower());
            SVM.enableSymbolicStorage(watchtower);
        }
        bridge.setRedemptionWatchtower(watchtower);
    }

    function _redemption(uint256 n, uint256 size) private pure returns (IValidator.RedemptionProposal memory p) {
        p.walletPubKeyHash = _bytes20("wallet");
        p.redemptionTxFee = SVM.createUint256("fee");
        p.redeemersOutputScripts = new bytes[](n);
        for (uint256 i = 0; i < n; ++i) {
            p.redeemersOutputScripts[i] = SVM.createBytes(size, "script");
        }
    }
}
