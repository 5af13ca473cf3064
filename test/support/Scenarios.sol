// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IBridge} from "../../contracts/interfaces/IBridge.sol";
import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {PlainWatchtower} from "../doubles/PlainWatchtower.sol";
import {Bitcoin} from "./Bitcoin.sol";
import {ValidatorTest} from "./ValidatorTest.sol";

/// Proposals at random, with the Bridge's state to match: valid ones, then changed in zero to two places, at the rules'
/// boundaries as a rule. What a change leaves valid stays valid, so about a half of them are.
abstract contract Scenarios is ValidatorTest {
    PlainWatchtower private _watchtower;

    function setUp() public virtual override {
        super.setUp();
        _watchtower = new PlainWatchtower();
    }

    /// A stream of numbers that its seed determines.
    struct Random {
        uint256 state;
    }

    function _below(Random memory r, uint256 bound) internal pure returns (uint256) {
        r.state = uint256(keccak256(abi.encode(r.state)));
        return (r.state >> 64) % bound;
    }

    function _chance(Random memory r, uint256 oneIn) internal pure returns (bool) {
        return _below(r, oneIn) == 0;
    }

    function _bytes32(Random memory r) internal pure returns (bytes32) {
        return bytes32(_below(r, type(uint256).max) << 64);
    }

    /// `center`, or one less or more, or 32 bits' largest, or near it, or anything.
    function _near(Random memory r, uint256 center) internal pure returns (uint32) {
        uint256 choice = _below(r, 10);
        uint256 time = center;
        if (choice == 0) time = type(uint32).max;
        else if (choice == 1) time = type(uint32).max - _below(r, 100_000);
        else if (choice == 2) time = _below(r, 2 ** 32);
        else if (choice == 3) time = _below(r, 100_000);
        else time = _minus(center + _below(r, 3), 1);
        return _uint32(time);
    }

    function _minus(uint256 a, uint256 b) private pure returns (uint256) {
        return a > b ? a - b : 0;
    }

    /// A fee at which the maximum is met or missed by a little, or zero, or any.
    function _fee(Random memory r, uint256 maxFee) internal pure returns (uint256) {
        uint256 choice = _below(r, 6);
        if (choice == 0) return 0;
        if (choice == 1) return _below(r, type(uint256).max);
        if (choice == 2) return type(uint256).max;
        return _minus(maxFee + _below(r, 5), 2);
    }

    /// One or two, or few, or the most and beyond.
    function _size(Random memory r) private pure returns (uint256) {
        uint256 choice = _below(r, 16);
        return choice < 8 ? 1 + _below(r, 2) : choice < 15 ? 1 + _below(r, 5) : 19 + _below(r, 3);
    }

    /// Zero, one or two.
    function _changes(Random memory r) private pure returns (uint256) {
        return _below(r, 3);
    }

    /// Undoes what an earlier scenario changed for all.
    function _resetBridge() private {
        vm.warp(NOW);
        _setWalletState(WALLET, IBridge.WalletState.Live);
        bridge.setRedemptionWatchtower(address(0));
        IBridge.RedemptionParameters memory parameters = bridge.redemptionParameters();
        parameters.redemptionTimeout = REDEMPTION_TIMEOUT;
        bridge.setRedemptionParameters(parameters);
    }

    // ----- Deposit sweep -----

    function _randomSweep(Random memory r) internal returns (Sweep memory sweep) {
        _resetBridge();
        uint256 n = _size(r);
        sweep.proposal.walletPubKeyHash = WALLET;
        sweep.proposal.sweepTxFee = 1 + _below(r, DEPOSIT_TX_MAX_FEE);
        sweep.proposal.depositsKeys = new IValidator.DepositKey[](n);
        sweep.extraInfo = new IValidator.DepositExtraInfo[](n);
        Bitcoin.Deposit[] memory deposits = new Bitcoin.Deposit[](n);
        for (uint256 i = 0; i < n; ++i) {
            deposits[i] = _randomDeposit(r);
            uint256 count = 1 + _below(r, 3);
            _putDeposit(sweep, i, deposits[i], _uint32(_below(r, count)), count);
        }
        for (uint256 changes = _changes(r); changes > 0; --changes) {
            _changeSweep(r, sweep, deposits);
        }
    }

    /// Of a thousand kinds, so that the Bridge doesn't grow with the run's length.
    function _randomDeposit(Random memory r) private pure returns (Bitcoin.Deposit memory deposit) {
        deposit = _deposit(_below(r, 1_000));
        if (_chance(r, 3)) deposit.extraData = keccak256(abi.encode(deposit.depositor));
        if (_chance(r, 3)) deposit.outputType = Bitcoin.OutputType.P2sh;
    }

    function _changeSweep(Random memory r, Sweep memory sweep, Bitcoin.Deposit[] memory deposits) private {
        uint256 choice = _below(r, 22);
        if (choice == 0) return _setWalletState(WALLET, _below(r, 6));
        if (choice == 1) return vm.warp(_near(r, NOW - WEEK + 2 hours));
        if (choice == 2) sweep.proposal.walletPubKeyHash = _chance(r, 2) ? OTHER_WALLET : WALLET;
        if (choice == 3) sweep.proposal.sweepTxFee = _fee(r, sweep.extraInfo.length * DEPOSIT_TX_MAX_FEE);
        if (choice == 4) sweep.proposal.depositsKeys = new IValidator.DepositKey[](_below(r, 3));
        if (choice == 5 && sweep.extraInfo.length > 0) sweep.extraInfo = _dropLast(sweep.extraInfo);
        if (choice < 6 || sweep.extraInfo.length == 0) return;
        if (sweep.proposal.depositsKeys.length != sweep.extraInfo.length) return;

        uint256 i = _below(r, sweep.extraInfo.length);
        if (choice < 11) _changeRequest(r, sweep, i, choice);
        else if (choice < 14) _changeInfo(r, sweep.extraInfo[i]);
        else if (choice < 17) _changeVector(r, sweep, i, deposits[i]);
        else if (choice < 20) _changeDeposit(r, sweep, i, deposits[i]);
        else if (choice == 20) sweep.proposal.depositsKeys[i].fundingOutputIndex = _uint32(_below(r, 5));
        else _duplicate(r, sweep, i);
    }

    function _changeRequest(Random memory r, Sweep memory sweep, uint256 i, uint256 choice) private {
        IBridge.DepositRequest memory request = _request(sweep, i);
        if (choice == 6) request.revealedAt = 0;
        if (choice == 7) request.revealedAt = _near(r, _minus(block.timestamp, 2 hours));
        if (choice == 8) request.sweptAt = _near(r, NOW);
        if (choice == 9) request.vault = _chance(r, 2) ? address(0) : VAULT;
        if (choice == 10) {
            if (_chance(r, 2)) request.depositor = address(bytes20(_bytes32(r)));
            else request.extraData = _bytes32(r);
        }
        _setRequest(sweep, i, request);
    }

    /// Of what the Bridge doesn't know: the funding transaction no longer hashes, or the script is another.
    function _changeInfo(Random memory r, IValidator.DepositExtraInfo memory info) private pure {
        uint256 choice = _below(r, 8);
        bytes memory vector = info.fundingTx.outputVector;
        if (choice == 0) info.blindingFactor = bytes8(_bytes32(r));
        if (choice == 1) info.walletPubKeyHash = OTHER_WALLET;
        if (choice == 2) info.refundPubKeyHash = bytes20(_bytes32(r));
        if (choice == 3) info.refundLocktime = bytes4(_bytes32(r));
        if (choice == 4) info.fundingTx.version = bytes4(_bytes32(r));
        if (choice == 5) info.fundingTx.locktime = bytes4(_bytes32(r));
        if (choice == 6) info.fundingTx.inputVector[_below(r, 42)] ^= 0x10;
        if (choice == 7 && vector.length > 0) vector[_below(r, vector.length)] ^= 0x10;
    }

    /// An output vector that is malformed in some way, or unusual but in order, under the hash of its transaction.
    function _changeVector(Random memory r, Sweep memory sweep, uint256 i, Bitcoin.Deposit memory deposit) private {
        bytes memory script = Bitcoin.fundingScript(deposit);
        uint256 choice = _below(r, 12);
        uint256 size = [3, 5, 9][_below(r, 3)];
        bytes memory wanted = Bitcoin.output(2_000_000, script);
        bytes memory vector = bytes.concat(hex"02", Bitcoin.otherOutput(i), wanted);
        uint32 index = 1;
        if (choice == 0) vector = _head(vector, _below(r, vector.length));
        if (choice == 1) vector = bytes.concat(vector, _bytes32(r));
        if (choice == 2) vector = bytes.concat(Bitcoin.compactSize(2, size), Bitcoin.otherOutput(i), wanted);
        if (choice == 3) {
            wanted = bytes.concat(bytes8(0), Bitcoin.compactSize(script.length, size), script);
            vector = bytes.concat(hex"02", Bitcoin.otherOutput(i), wanted);
        }
        if (choice == 4) vector = bytes.concat(hex"02", bytes8(0), Bitcoin.compactSize(3, size), hex"aabbcc", wanted);
        if (choice == 5) {
            vector = bytes.concat(hex"02", bytes8(0), Bitcoin.compactSize(_below(r, 2 ** 64), 9), wanted);
        }
        if (choice == 6) {
            vector = bytes.concat(Bitcoin.compactSize(_below(r, 2 ** 64), 9), Bitcoin.otherOutput(i), wanted);
        }
        if (choice == 7) (vector, index) = (bytes.concat(hex"03", wanted, wanted), _uint32(_below(r, 4)));
        if (choice == 8) (vector, index) = (vector, _near(r, 1));
        if (choice == 9) vector = bytes.concat(hex"02", Bitcoin.output(1, new bytes(253 + _below(r, 300))), wanted);
        if (choice == 10) {
            wanted = Bitcoin.output(1, bytes.concat(_head(script, _below(r, script.length)), new bytes(_below(r, 3))));
            vector = bytes.concat(hex"02", Bitcoin.otherOutput(i), wanted);
        }
        if (choice == 11) {
            wanted = Bitcoin.output(1, new bytes(250 + _below(r, 6)));
            vector = bytes.concat(hex"02", Bitcoin.otherOutput(i), wanted);
        }
        _putDeposit(sweep, i, deposit, index, vector);
    }

    /// Another deposit, truly made.
    function _changeDeposit(Random memory r, Sweep memory sweep, uint256 i, Bitcoin.Deposit memory deposit) private {
        uint256 choice = _below(r, 4);
        if (choice == 0) deposit.refundLocktime = _near(r, block.timestamp + 24 hours);
        if (choice == 1) deposit.walletPubKeyHash = OTHER_WALLET;
        if (choice == 2) deposit.outputType = Bitcoin.OutputType(_below(r, 4));
        if (choice == 3) deposit.extraData = _chance(r, 2) ? bytes32(0) : _bytes32(r);
        _putDeposit(sweep, i, deposit, 0, 1);
    }

    function _duplicate(Random memory r, Sweep memory sweep, uint256 i) private pure {
        uint256 other = _below(r, sweep.extraInfo.length);
        sweep.proposal.depositsKeys[i] = sweep.proposal.depositsKeys[other];
        if (!_chance(r, 4)) sweep.extraInfo[i] = sweep.extraInfo[other];
    }

    function _dropLast(IValidator.DepositExtraInfo[] memory infos)
        private
        pure
        returns (IValidator.DepositExtraInfo[] memory shorter)
    {
        shorter = new IValidator.DepositExtraInfo[](infos.length - 1);
        for (uint256 i = 0; i < shorter.length; ++i) {
            shorter[i] = infos[i];
        }
    }

    // ----- Redemption -----

    function _randomRedemption(Random memory r) internal returns (IValidator.RedemptionProposal memory proposal) {
        _resetBridge();
        uint256 n = _size(r);
        uint256 offset = _below(r, 1_000);
        proposal.walletPubKeyHash = WALLET;
        proposal.redemptionTxFee = 1 + _below(r, REDEMPTION_TX_MAX_FEE);
        proposal.redeemersOutputScripts = new bytes[](n);
        if (_chance(r, 3)) bridge.setRedemptionWatchtower(address(_watchtower));
        for (uint256 i = 0; i < n; ++i) {
            bytes memory script = bytes.concat(hex"160014", bytes20(keccak256(abi.encode("redeemer", offset + i))));
            proposal.redeemersOutputScripts[i] = script;
            _watchtower.setRedemptionDelay(_redemptionKey(script, WALLET), 0);
            _setRequest(
                proposal, i, IBridge.RedemptionRequest(address(1), 1_500_000, 750, REDEMPTION_TX_MAX_FEE, NOW - 1 days)
            );
        }
        for (uint256 changes = _changes(r); changes > 0; --changes) {
            _changeRedemption(r, proposal);
        }
    }

    function _changeRedemption(Random memory r, IValidator.RedemptionProposal memory proposal) private {
        uint256 choice = _below(r, 13);
        uint256 n = proposal.redeemersOutputScripts.length;
        if (choice == 0) return _setWalletState(WALLET, _below(r, 6));
        if (choice == 1) return vm.warp(_near(r, NOW - 1 days + (_chance(r, 2) ? 600 : 4 days + 22 hours)));
        if (choice == 2) proposal.walletPubKeyHash = _chance(r, 2) ? OTHER_WALLET : WALLET;
        if (choice == 3) {
            proposal.redemptionTxFee = _fee(r, _chance(r, 2) ? REDEMPTION_TX_MAX_TOTAL_FEE : n * REDEMPTION_TX_MAX_FEE);
        }
        if (choice == 4) proposal.redeemersOutputScripts = new bytes[](_below(r, 2));
        if (choice == 5) {
            IBridge.RedemptionParameters memory parameters = bridge.redemptionParameters();
            parameters.redemptionTimeout = _chance(r, 2) ? _near(r, 1 days + 2 hours) : _near(r, 2 ** 32 - NOW + 1 days);
            return bridge.setRedemptionParameters(parameters);
        }
        if (choice < 6 || n == 0 || proposal.redeemersOutputScripts[0].length == 0) return;

        uint256 i = _below(r, proposal.redeemersOutputScripts.length);
        bytes memory script = proposal.redeemersOutputScripts[i];
        IBridge.RedemptionRequest memory request = _request(proposal, i);
        if (choice == 6) request.requestedAt = 0;
        if (choice == 7) request.requestedAt = _near(r, _minus(block.timestamp, 600));
        if (choice == 8) request.requestedAt = _near(r, _minus(block.timestamp + 2 hours, REDEMPTION_TIMEOUT));
        if (choice == 9) {
            uint256 share = proposal.redemptionTxFee / proposal.redeemersOutputScripts.length;
            request.txMaxFee = uint64(bytes8(bytes32((share % 2 ** 64 + _below(r, 3)) << 192)));
        }
        _setRequest(proposal, i, request);
        if (choice == 10) {
            _watchtower.setRedemptionDelay(
                _redemptionKey(script, proposal.walletPubKeyHash),
                _near(r, _chance(r, 2) ? 600 : _minus(block.timestamp, request.requestedAt))
            );
            bridge.setRedemptionWatchtower(address(_watchtower));
        }
        if (choice == 11) script[_below(r, script.length)] ^= 0x01;
        if (choice == 12) {
            proposal.redeemersOutputScripts[i] =
                proposal.redeemersOutputScripts[_below(r, proposal.redeemersOutputScripts.length)];
        }
    }

    // ----- Heartbeat -----

    function _randomHeartbeat(Random memory r) internal pure returns (IValidator.HeartbeatProposal memory proposal) {
        proposal = IValidator.HeartbeatProposal(WALLET, abi.encodePacked(type(uint64).max, bytes8(_bytes32(r))));
        uint256 choice = _below(r, 6);
        if (choice == 0) proposal.message[_below(r, 16)] ^= [bytes1(0x01), 0x10, 0x80][_below(r, 3)];
        if (choice == 1) proposal.message = _head(proposal.message, _below(r, 17));
        if (choice == 2) proposal.message = bytes.concat(proposal.message, new bytes(_below(r, 20)));
    }

    // ----- Moving funds -----

    function _randomMovingFunds(Random memory r) internal returns (MovingFunds memory m) {
        _resetBridge();
        m = _movingFunds();
        m.proposal.movingFundsTxFee = 1 + _below(r, MOVING_FUNDS_TX_MAX_TOTAL_FEE);
        for (uint256 changes = _changes(r); changes > 0; --changes) {
            uint256 choice = _below(r, 10);
            if (choice == 0) _setWalletState(WALLET, _below(r, 6));
            if (choice == 1) m.proposal.movingFundsTxFee = _fee(r, MOVING_FUNDS_TX_MAX_TOTAL_FEE);
            if (choice == 2) {
                m.proposal.targetWallets[_below(r, m.proposal.targetWallets.length)] ^= bytes20(uint160(1));
            }
            if (choice == 3) m.proposal.targetWallets = new bytes20[](1 + _below(r, 2));
            if (choice == 4) m.mainUtxo.txHash = _bytes32(r);
            if (choice == 5) m.mainUtxo.txOutputIndex = _near(r, 3);
            if (choice > 5) _changeMovingWallet(r, m, choice);
        }
    }

    function _changeMovingWallet(Random memory r, MovingFunds memory m, uint256 choice) private {
        IBridge.Wallet memory wallet = bridge.wallets(WALLET);
        if (choice == 6) {
            m.mainUtxo.txOutputValue = _near(r, MOVING_FUNDS_DUST_THRESHOLD);
            if (!_chance(r, 4)) wallet.mainUtxoHash = _utxoHash(m.mainUtxo);
        }
        if (choice == 7) wallet.mainUtxoHash = 0;
        if (choice == 8) wallet.movingFundsTargetWalletsCommitmentHash = _chance(r, 2) ? bytes32(0) : _bytes32(r);
        if (choice == 9) {
            m.proposal.targetWallets = new bytes20[](1 + _below(r, 12));
            wallet.movingFundsTargetWalletsCommitmentHash = keccak256(abi.encodePacked(m.proposal.targetWallets));
        }
        bridge.setWallet(WALLET, wallet);
    }

    // ----- Moved funds sweep -----

    function _randomMovedFundsSweep(Random memory r)
        internal
        returns (IValidator.MovedFundsSweepProposal memory proposal)
    {
        _resetBridge();
        proposal = _movedFundsSweep();
        proposal.movedFundsSweepTxFee = 1 + _below(r, MOVED_FUNDS_SWEEP_TX_MAX_TOTAL_FEE);
        for (uint256 changes = _changes(r); changes > 0; --changes) {
            uint256 choice = _below(r, 6);
            if (choice == 0) _setWalletState(WALLET, _below(r, 6));
            if (choice == 1) proposal.movedFundsSweepTxFee = _fee(r, MOVED_FUNDS_SWEEP_TX_MAX_TOTAL_FEE);
            if (choice == 2) proposal.movingFundsTxOutputIndex = _near(r, 2);
            if (choice == 3) proposal.walletPubKeyHash = _chance(r, 2) ? OTHER_WALLET : WALLET;
            if (choice == 4) _setSweepRequest(proposal, WALLET, _below(r, 4));
            if (choice == 5) _setSweepRequest(proposal, OTHER_WALLET, _below(r, 4));
        }
    }

    // ----- -----

    function _uint32(uint256 number) private pure returns (uint32) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint32(number); // the lowest 32 bits
    }
}
