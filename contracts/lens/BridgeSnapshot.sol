// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IBridge} from "../interfaces/IBridge.sol";
import {IRedemptionWatchtower} from "../interfaces/IRedemptionWatchtower.sol";
import {BridgeReader} from "../libraries/BridgeReader.sol";

/// @title The Bridge's state as far as it is asked for, read in one call at one block
/// @notice Never deployed: an `eth_call` without `to` runs the constructor, and what that returns in the place of code is
///         the answer. It is a row of 32-byte words, so that its length follows from the question:
///
///             block.chainid, block.number, block.timestamp, watchtower,
///             depositTxMaxFee, redemptionTxMaxTotalFee, redemptionTimeout,
///             movingFundsTxMaxTotalFee, movingFundsDustThreshold, movingFundsTimeout, movedFundsSweepTxMaxTotalFee,
///
///         then, in the order asked for and packed from the left,
///
///             wallet:        mainUtxoHash
///                            movingFundsTargetWalletsCommitmentHash
///                            pendingRedemptionsValue ‖ movingFundsRequestedAt ‖ pendingMovedFundsSweepRequestsCount ‖ state
///             deposit:       depositor ‖ amount ‖ revealedAt
///                            vault ‖ treasuryFee ‖ sweptAt
///                            extraData
///             redemption:    requestedAmount ‖ treasuryFee ‖ txMaxFee ‖ requestedAt ‖ the watchtower's delay
///             sweep request: walletPubKeyHash ‖ value ‖ state
///
/// @dev Nodes hold the answer to the limits of code: 24,576 bytes (EIP-170), the first of them not 0xef (EIP-3541), which
///      a chain id never begins with. The question is init code, of at most 49,152 bytes (EIP-3860). 250 keys are within both.
contract BridgeSnapshot {
    using BridgeReader for IBridge;
    using BridgeReader for IRedemptionWatchtower;

    struct Answer {
        bytes32[] words;
        uint256 length;
    }

    /// @param wallets Public key hashes.
    /// @param deposits, redemptions, sweepRequests Keys, as the Bridge's views take them.
    constructor(
        IBridge bridge,
        bytes20[] memory wallets,
        uint256[] memory deposits,
        uint256[] memory redemptions,
        uint256[] memory sweepRequests
    ) {
        uint256 length = 11 + 3 * (wallets.length + deposits.length) + redemptions.length + sweepRequests.length;
        Answer memory answer = Answer(new bytes32[](length), 0);
        IRedemptionWatchtower watchtower = bridge.readRedemptionWatchtower();

        _push(answer, block.chainid);
        _push(answer, block.number);
        _push(answer, block.timestamp);
        _push(answer, uint160(address(watchtower)));
        _pushParameters(answer, bridge);
        _pushWallets(answer, bridge, wallets);
        _pushDeposits(answer, bridge, deposits);
        _pushRedemptions(answer, bridge, watchtower, redemptions);
        _pushSweepRequests(answer, bridge, sweepRequests);

        bytes32[] memory words = answer.words;
        assembly ("memory-safe") { return(add(words, 0x20), shl(5, mload(words))) }
    }

    function _pushParameters(Answer memory answer, IBridge bridge) private view {
        IBridge.RedemptionParameters memory redemption = bridge.readRedemptionParameters();
        IBridge.MovingFundsParameters memory movingFunds = bridge.readMovingFundsParameters();
        _push(answer, bridge.readDepositParameters().depositTxMaxFee);
        _push(answer, redemption.redemptionTxMaxTotalFee);
        _push(answer, redemption.redemptionTimeout);
        _push(answer, movingFunds.movingFundsTxMaxTotalFee);
        _push(answer, movingFunds.movingFundsDustThreshold);
        _push(answer, movingFunds.movingFundsTimeout);
        _push(answer, movingFunds.movedFundsSweepTxMaxTotalFee);
    }

    function _pushWallets(Answer memory answer, IBridge bridge, bytes20[] memory wallets) private view {
        for (uint256 i; i < wallets.length; ++i) {
            IBridge.Wallet memory wallet = bridge.readWallet(wallets[i]);
            _push(answer, wallet.mainUtxoHash);
            _push(answer, wallet.movingFundsTargetWalletsCommitmentHash);
            _push(
                answer,
                abi.encodePacked(
                    wallet.pendingRedemptionsValue,
                    wallet.movingFundsRequestedAt,
                    wallet.pendingMovedFundsSweepRequestsCount,
                    wallet.state
                )
            );
        }
    }

    function _pushDeposits(Answer memory answer, IBridge bridge, uint256[] memory keys) private view {
        IBridge.DepositRequest memory deposit;
        for (uint256 i; i < keys.length; ++i) {
            bridge.readDeposit(keys[i], deposit);
            _push(answer, abi.encodePacked(deposit.depositor, deposit.amount, deposit.revealedAt));
            _push(answer, abi.encodePacked(deposit.vault, deposit.treasuryFee, deposit.sweptAt));
            _push(answer, deposit.extraData);
        }
    }

    /// @dev The watchtower is asked as the validator asks it: when there is one, about requests that are pending.
    function _pushRedemptions(
        Answer memory answer,
        IBridge bridge,
        IRedemptionWatchtower watchtower,
        uint256[] memory keys
    ) private view {
        IBridge.RedemptionRequest memory request;
        for (uint256 i; i < keys.length; ++i) {
            bridge.readRedemption(keys[i], request);
            bool delayed = address(watchtower) != address(0) && request.requestedAt != 0;
            uint32 delay = delayed ? watchtower.readRedemptionDelay(keys[i]) : 0;
            _push(
                answer,
                abi.encodePacked(
                    request.requestedAmount, request.treasuryFee, request.txMaxFee, request.requestedAt, delay
                )
            );
        }
    }

    function _pushSweepRequests(Answer memory answer, IBridge bridge, uint256[] memory keys) private view {
        for (uint256 i; i < keys.length; ++i) {
            IBridge.MovedFundsSweepRequest memory request = bridge.readMovedFundsSweepRequest(keys[i]);
            _push(answer, abi.encodePacked(request.walletPubKeyHash, request.value, request.state));
        }
    }

    function _push(Answer memory answer, uint256 word) private pure {
        _push(answer, bytes32(word));
    }

    /// @param packed At most 32 bytes.
    function _push(Answer memory answer, bytes memory packed) private pure {
        // forge-lint: disable-next-line(unsafe-typecast)
        _push(answer, bytes32(packed));
    }

    function _push(Answer memory answer, bytes32 word) private pure {
        answer.words[answer.length++] = word;
    }
}
