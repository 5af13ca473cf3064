// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IBridge} from "../../contracts/interfaces/IBridge.sol";
import {IRedemptionWatchtower} from "../../contracts/interfaces/IRedemptionWatchtower.sol";
import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {Bitcoin} from "./Bitcoin.sol";

/// The rules as a predicate, written from their text and shaped otherwise than the contract: every rule is a line
/// "this holds, or else that", and the first that doesn't hold is the answer. An item with one is looked at no further:
/// for a proof, which follows each way that can be taken, the rest would be many ways to one answer. Plain signed
/// arithmetic, plain concatenation, and no bit of the contract's libraries.
library Spec {
    /// The first rejection so far; empty while there is none.
    struct Judgement {
        bytes rejection;
    }

    function _holds(Judgement memory j, bool rule, bytes memory orElse) private pure {
        if (j.rejection.length == 0 && !rule) j.rejection = orElse;
    }

    /// Whether a time of the Bridge's can be this.
    function _is32Bits(int256 time) private pure returns (bool) {
        return time >= 0 && time < 2 ** 32;
    }

    function _i(uint256 small) private pure returns (int256) {
        require(small < 2 ** 255);
        // forge-lint: disable-next-line(unsafe-typecast)
        return int256(small);
    }

    function _u(int256 positive) private pure returns (uint256) {
        require(positive >= 0);
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint256(positive);
    }

    /// The rejection of a deposit sweep; empty for a valid one.
    function depositSweep(
        IBridge bridge,
        IValidator.DepositSweepProposal memory p,
        IValidator.DepositExtraInfo[] memory infos
    ) internal view returns (bytes memory) {
        Judgement memory j;
        uint256 n = p.depositsKeys.length;
        uint8 state = bridge.wallets(p.walletPubKeyHash).state;
        _holds(
            j,
            state == 1 || state == 2,
            abi.encodeWithSelector(IValidator.WalletStateNotAllowed.selector, p.walletPubKeyHash, state)
        );
        _holds(j, n >= 1, abi.encodeWithSelector(IValidator.SweepEmpty.selector));
        _holds(j, n < 21, abi.encodeWithSelector(IValidator.SweepTooLarge.selector, n, 20));
        _holds(
            j, infos.length == n, abi.encodeWithSelector(IValidator.ExtraInfoCountMismatch.selector, n, infos.length)
        );
        _holds(j, p.sweepTxFee > 0, abi.encodeWithSelector(IValidator.FeeZero.selector));
        if (j.rejection.length != 0) return j.rejection;

        uint256 maxFee = bridge.depositParameters().depositTxMaxFee;
        uint256 share = p.sweepTxFee / n + (p.sweepTxFee - n * (p.sweepTxFee / n));
        _holds(j, !(share > maxFee), abi.encodeWithSelector(IValidator.FeeTooHigh.selector, share, maxFee));
        for (uint256 i = 0; i < n && j.rejection.length == 0; ++i) {
            IBridge.DepositRequest memory d = _deposit(bridge, p.depositsKeys[i]);
            _depositRecord(j, i, d);
            if (j.rejection.length != 0) break;
            _depositFunding(j, i, d, p.depositsKeys[i], infos[i]);
            if (j.rejection.length != 0) break;
            _depositRest(j, i, p, infos[i]);
            address expected = _deposit(bridge, p.depositsKeys[0]).vault;
            _holds(
                j,
                d.vault == expected,
                abi.encodeWithSelector(IValidator.DepositVaultMismatch.selector, i, d.vault, expected)
            );
            _depositOnce(j, i, p.depositsKeys);
        }
        return j.rejection;
    }

    function _deposit(IBridge bridge, IValidator.DepositKey memory key)
        private
        view
        returns (IBridge.DepositRequest memory)
    {
        return bridge.deposits(uint256(keccak256(bytes.concat(key.fundingTxHash, bytes4(key.fundingOutputIndex)))));
    }

    function _depositRecord(Judgement memory j, uint256 i, IBridge.DepositRequest memory d) private view {
        _holds(j, d.revealedAt > 0, abi.encodeWithSelector(IValidator.DepositNotRevealed.selector, i));
        if (j.rejection.length != 0) return;
        int256 eligibleAfter = _i(d.revealedAt) + 7_200;
        bool fits = _is32Bits(eligibleAfter);
        _holds(
            j,
            fits && _i(block.timestamp) - _i(d.revealedAt) > 7_200,
            abi.encodeWithSelector(IValidator.DepositTooYoung.selector, i, fits ? _u(eligibleAfter) : type(uint256).max)
        );
        _holds(j, !(d.sweptAt > 0), abi.encodeWithSelector(IValidator.DepositAlreadySwept.selector, i, d.sweptAt));
    }

    function _depositFunding(
        Judgement memory j,
        uint256 i,
        IBridge.DepositRequest memory d,
        IValidator.DepositKey memory key,
        IValidator.DepositExtraInfo memory info
    ) private pure {
        bytes32 hash = Bitcoin.txHash(info.fundingTx);
        _holds(
            j,
            hash == key.fundingTxHash,
            abi.encodeWithSelector(IValidator.FundingTxHashMismatch.selector, i, key.fundingTxHash, hash)
        );
        if (j.rejection.length != 0) return;
        (bool wellFormed, bytes memory paidTo) = output(info.fundingTx.outputVector, key.fundingOutputIndex);
        _holds(j, wellFormed, abi.encodeWithSelector(IValidator.FundingOutputMalformed.selector, i));
        if (j.rejection.length != 0) return;

        Bitcoin.Deposit memory deposit = Bitcoin.Deposit(
            d.depositor,
            d.extraData,
            info.blindingFactor,
            info.walletPubKeyHash,
            info.refundPubKeyHash,
            _u(_locktime(info)),
            Bitcoin.OutputType.P2wsh
        );
        bytes32 p2wsh = keccak256(Bitcoin.fundingScript(deposit));
        deposit.outputType = Bitcoin.OutputType.P2sh;
        bytes32 p2sh = keccak256(Bitcoin.fundingScript(deposit));
        _holds(
            j,
            keccak256(paidTo) == p2wsh || keccak256(paidTo) == p2sh,
            abi.encodeWithSelector(IValidator.FundingOutputScriptMismatch.selector, i)
        );
    }

    function _depositRest(
        Judgement memory j,
        uint256 i,
        IValidator.DepositSweepProposal memory p,
        IValidator.DepositExtraInfo memory info
    ) private view {
        int256 sweepableBefore = _locktime(info) - 86_400;
        bool fits = _is32Bits(sweepableBefore);
        _holds(
            j,
            fits && _i(block.timestamp) + 86_400 < _locktime(info),
            abi.encodeWithSelector(IValidator.DepositRefundTooClose.selector, i, fits ? _u(sweepableBefore) : 0)
        );
        _holds(
            j,
            info.walletPubKeyHash == p.walletPubKeyHash,
            abi.encodeWithSelector(IValidator.DepositOfOtherWallet.selector, i, info.walletPubKeyHash)
        );
    }

    function _depositOnce(Judgement memory j, uint256 i, IValidator.DepositKey[] memory keys) private pure {
        for (uint256 k = 0; k < i; ++k) {
            bool same = keys[k].fundingTxHash == keys[i].fundingTxHash
                && keys[k].fundingOutputIndex == keys[i].fundingOutputIndex;
            _holds(j, !same, abi.encodeWithSelector(IValidator.DepositDuplicated.selector, i, k));
        }
    }

    /// The refund locktime, which the extra info has in little-endian order.
    function _locktime(IValidator.DepositExtraInfo memory info) private pure returns (int256) {
        return _i(_number(bytes.concat(info.refundLocktime)));
    }

    /// The rejection of a redemption; empty for a valid one.
    function redemption(IBridge bridge, IValidator.RedemptionProposal memory p) internal view returns (bytes memory) {
        Judgement memory j;
        uint256 n = p.redeemersOutputScripts.length;
        uint8 state = bridge.wallets(p.walletPubKeyHash).state;
        _holds(
            j,
            state == 1 || state == 2,
            abi.encodeWithSelector(IValidator.WalletStateNotAllowed.selector, p.walletPubKeyHash, state)
        );
        _holds(j, n >= 1, abi.encodeWithSelector(IValidator.RedemptionEmpty.selector));
        _holds(j, n < 21, abi.encodeWithSelector(IValidator.RedemptionTooLarge.selector, n, 20));
        _holds(j, p.redemptionTxFee > 0, abi.encodeWithSelector(IValidator.FeeZero.selector));
        uint256 maxFee = bridge.redemptionParameters().redemptionTxMaxTotalFee;
        _holds(
            j,
            !(p.redemptionTxFee > maxFee),
            abi.encodeWithSelector(IValidator.FeeTooHigh.selector, p.redemptionTxFee, maxFee)
        );
        for (uint256 i = 0; i < n && j.rejection.length == 0; ++i) {
            bytes32 scriptHash = keccak256(p.redeemersOutputScripts[i]);
            uint256 key = uint256(keccak256(bytes.concat(scriptHash, p.walletPubKeyHash)));
            _request(j, i, bridge, key);
            if (j.rejection.length != 0) break;
            uint256 share = p.redemptionTxFee / n;
            if (i + 1 == n) share = p.redemptionTxFee - share * (n - 1);
            uint256 maxShare = bridge.pendingRedemptions(key).txMaxFee;
            _holds(
                j,
                !(share > maxShare),
                abi.encodeWithSelector(IValidator.RedemptionFeeShareTooHigh.selector, i, share, maxShare)
            );
            for (uint256 k = 0; k < i; ++k) {
                bool same = keccak256(p.redeemersOutputScripts[k]) == scriptHash;
                _holds(j, !same, abi.encodeWithSelector(IValidator.RedemptionDuplicated.selector, i, k));
            }
        }
        return j.rejection;
    }

    function _request(Judgement memory j, uint256 i, IBridge bridge, uint256 key) private view {
        int256 requestedAt = _i(bridge.pendingRedemptions(key).requestedAt);
        _holds(j, requestedAt > 0, abi.encodeWithSelector(IValidator.RedemptionNotPending.selector, i));
        if (j.rejection.length != 0) return;

        int256 wait = 600;
        address watchtower = bridge.getRedemptionWatchtower();
        if (watchtower != address(0)) {
            int256 delay = _i(IRedemptionWatchtower(watchtower).getRedemptionDelay(key));
            if (wait < delay) wait = delay;
        }
        bool fits = _is32Bits(requestedAt + wait);
        _holds(
            j,
            fits && _i(block.timestamp) - requestedAt > wait,
            abi.encodeWithSelector(
                IValidator.RedemptionTooYoung.selector, i, fits ? _u(requestedAt + wait) : type(uint256).max
            )
        );
        if (j.rejection.length != 0) return;

        int256 end = requestedAt + _i(bridge.redemptionParameters().redemptionTimeout);
        fits = _is32Bits(end) && _is32Bits(end - 7_200);
        _holds(
            j,
            fits && _i(block.timestamp) + 7_200 < end,
            abi.encodeWithSelector(IValidator.RedemptionTimeoutTooClose.selector, i, fits ? _u(end - 7_200) : 0)
        );
    }

    /// The rejection of a heartbeat; empty for a valid one.
    function heartbeat(IValidator.HeartbeatProposal memory p) internal pure returns (bytes memory) {
        Judgement memory j;
        bool valid = p.message.length == 16;
        for (uint256 i = 0; i < 8 && valid; ++i) {
            valid = p.message[i] == 0xff;
        }
        _holds(j, valid, abi.encodeWithSelector(IValidator.HeartbeatMessageInvalid.selector));
        return j.rejection;
    }

    /// The rejection of a move of funds; empty for a valid one.
    function movingFunds(IBridge bridge, IValidator.MovingFundsProposal memory p, IValidator.BitcoinUtxo memory utxo)
        internal
        view
        returns (bytes memory)
    {
        Judgement memory j;
        IBridge.Wallet memory w = bridge.wallets(p.walletPubKeyHash);
        IBridge.MovingFundsParameters memory parameters = bridge.movingFundsParameters();
        _holds(
            j,
            w.state == 2,
            abi.encodeWithSelector(IValidator.WalletStateNotAllowed.selector, p.walletPubKeyHash, w.state)
        );
        bytes32 committed = w.movingFundsTargetWalletsCommitmentHash;
        _holds(j, committed > 0, abi.encodeWithSelector(IValidator.TargetWalletsNotCommitted.selector));
        bytes memory targets = "";
        for (uint256 i = 0; i < p.targetWallets.length; ++i) {
            targets = bytes.concat(targets, p.targetWallets[i], bytes12(0));
        }
        _holds(
            j,
            keccak256(targets) == committed,
            abi.encodeWithSelector(IValidator.TargetWalletsMismatch.selector, committed, keccak256(targets))
        );
        bytes32 given = keccak256(bytes.concat(utxo.txHash, bytes4(utxo.txOutputIndex), bytes8(utxo.txOutputValue)));
        bool funded = w.mainUtxoHash != 0;
        _holds(
            j,
            !funded || given == w.mainUtxoHash,
            abi.encodeWithSelector(IValidator.MainUtxoMismatch.selector, w.mainUtxoHash, given)
        );
        uint256 balance = funded ? utxo.txOutputValue : 0;
        uint256 dust = parameters.movingFundsDustThreshold;
        _holds(j, !(balance < dust), abi.encodeWithSelector(IValidator.BalanceBelowDust.selector, balance, dust));
        _fee(j, p.movingFundsTxFee, parameters.movingFundsTxMaxTotalFee);
        return j.rejection;
    }

    /// The rejection of a moved funds sweep; empty for a valid one.
    function movedFundsSweep(IBridge bridge, IValidator.MovedFundsSweepProposal memory p)
        internal
        view
        returns (bytes memory)
    {
        Judgement memory j;
        uint8 state = bridge.wallets(p.walletPubKeyHash).state;
        _holds(
            j,
            state == 1 || state == 2,
            abi.encodeWithSelector(IValidator.WalletStateNotAllowed.selector, p.walletPubKeyHash, state)
        );
        bytes32 key = keccak256(bytes.concat(p.movingFundsTxHash, bytes4(p.movingFundsTxOutputIndex)));
        IBridge.MovedFundsSweepRequest memory r = bridge.movedFundsSweepRequests(uint256(key));
        _holds(j, r.state == 1, abi.encodeWithSelector(IValidator.SweepRequestNotPending.selector, r.state));
        _holds(
            j,
            r.walletPubKeyHash == p.walletPubKeyHash,
            abi.encodeWithSelector(IValidator.SweepRequestOfOtherWallet.selector, r.walletPubKeyHash)
        );
        _fee(j, p.movedFundsSweepTxFee, bridge.movingFundsParameters().movedFundsSweepTxMaxTotalFee);
        return j.rejection;
    }

    function _fee(Judgement memory j, uint256 fee, uint256 maxFee) private pure {
        _holds(j, fee > 0, abi.encodeWithSelector(IValidator.FeeZero.selector));
        _holds(j, !(fee > maxFee), abi.encodeWithSelector(IValidator.FeeTooHigh.selector, fee, maxFee));
    }

    // ----- Output vectors: read front to back, each read failing where bytes are missing -----

    struct Reader {
        bytes data;
        uint256 at;
        bool failed;
    }

    /// DS-11's walk: the script of output `index`, where all of that is there and its length minimal.
    function output(bytes memory vector, uint256 index) internal pure returns (bool wellFormed, bytes memory script) {
        Reader memory r = Reader(vector, 0, false);
        (uint256 count,) = _readCompactSize(r);
        if (r.failed || index >= count) return (false, "");
        for (uint256 i = 0;; ++i) {
            _read(r, 8);
            (uint256 length, bool minimal) = _readCompactSize(r);
            script = _read(r, length);
            if (r.failed) return (false, "");
            if (i == index) return (minimal, minimal ? script : bytes(""));
        }
    }

    function _read(Reader memory r, uint256 length) private pure returns (bytes memory part) {
        if (r.failed || length > r.data.length - r.at) {
            r.failed = true;
            return "";
        }
        part = new bytes(length);
        for (uint256 i = 0; i < length; ++i) {
            part[i] = r.data[r.at + i];
        }
        r.at += length;
    }

    function _readCompactSize(Reader memory r) private pure returns (uint256 number, bool minimal) {
        bytes memory first = _read(r, 1);
        if (r.failed) return (0, false);
        uint256 tag = uint8(first[0]);
        if (tag < 253) return (tag, true);
        number = _number(_read(r, tag == 253 ? 2 : tag == 254 ? 4 : 8));
        minimal = number >= (tag == 253 ? 253 : tag == 254 ? 2 ** 16 : 2 ** 32);
    }

    /// Little-endian.
    function _number(bytes memory encoded) private pure returns (uint256 number) {
        for (uint256 i = encoded.length; i > 0; --i) {
            number = number * 256 + uint8(encoded[i - 1]);
        }
    }
}
