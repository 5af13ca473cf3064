// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IBridge} from "../../contracts/interfaces/IBridge.sol";

/// A Bridge that answers from its own storage, laid out as the real one's, and lets anyone write there.
contract PlainBridge is IBridge {
    mapping(bytes20 => Wallet) private _wallets;
    mapping(uint256 => DepositRequest) private _deposits;
    mapping(uint256 => RedemptionRequest) private _pendingRedemptions;
    mapping(uint256 => MovedFundsSweepRequest) private _movedFundsSweepRequests;
    DepositParameters private _depositParameters;
    RedemptionParameters private _redemptionParameters;
    MovingFundsParameters private _movingFundsParameters;
    address private _redemptionWatchtower;

    function wallets(bytes20 walletPubKeyHash) external view returns (Wallet memory) {
        return _wallets[walletPubKeyHash];
    }

    function deposits(uint256 depositKey) external view returns (DepositRequest memory) {
        return _deposits[depositKey];
    }

    function pendingRedemptions(uint256 redemptionKey) external view returns (RedemptionRequest memory) {
        return _pendingRedemptions[redemptionKey];
    }

    function movedFundsSweepRequests(uint256 requestKey) external view returns (MovedFundsSweepRequest memory) {
        return _movedFundsSweepRequests[requestKey];
    }

    function depositParameters() external view returns (DepositParameters memory) {
        return _depositParameters;
    }

    function redemptionParameters() external view returns (RedemptionParameters memory) {
        return _redemptionParameters;
    }

    function movingFundsParameters() external view returns (MovingFundsParameters memory) {
        return _movingFundsParameters;
    }

    function getRedemptionWatchtower() external view returns (address) {
        return _redemptionWatchtower;
    }

    function setWallet(bytes20 walletPubKeyHash, Wallet memory wallet) external {
        _wallets[walletPubKeyHash] = wallet;
    }

    function setDeposit(uint256 depositKey, DepositRequest memory request) external {
        _deposits[depositKey] = request;
    }

    function setPendingRedemption(uint256 redemptionKey, RedemptionRequest memory request) external {
        _pendingRedemptions[redemptionKey] = request;
    }

    function setMovedFundsSweepRequest(uint256 requestKey, MovedFundsSweepRequest memory request) external {
        _movedFundsSweepRequests[requestKey] = request;
    }

    function setDepositParameters(DepositParameters memory parameters) external {
        _depositParameters = parameters;
    }

    function setRedemptionParameters(RedemptionParameters memory parameters) external {
        _redemptionParameters = parameters;
    }

    function setMovingFundsParameters(MovingFundsParameters memory parameters) external {
        _movingFundsParameters = parameters;
    }

    function setRedemptionWatchtower(address watchtower) external {
        _redemptionWatchtower = watchtower;
    }
}
