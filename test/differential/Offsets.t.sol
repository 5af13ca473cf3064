// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IBridge} from "../../contracts/interfaces/IBridge.sol";
import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {Bitcoin} from "../support/Bitcoin.sol";
import {DeployedValidator} from "../support/DeployedValidator.sol";
import {ValidatorTest} from "../support/ValidatorTest.sol";

/// Calldata in other forms than encoders give it, beside the bytecode deployed in 2024: the same verdict on all of it. Every
/// offset of every call points forward, to a copy behind all else; backward, to one before, which takes an offset of 2²⁵⁶−k; or
/// where another one points. Then each word of small proposals is replaced by unusual ones, and each byte changed.
contract OffsetsTest is ValidatorTest {
    address private deployed;

    /// An offset: where it is in the arguments, and what it counts from.
    struct Offset {
        string name;
        uint256 at;
        uint256 base;
    }

    function setUp() public override {
        super.setUp();
        deployed = address(DeployedValidator.deploy(bridge));
    }

    // ----- Every offset, forward and backward -----

    function test_depositSweep_offsets() external {
        bytes memory data = _data(_sweep(2));
        (uint256 proposal, uint256 list) = (_word(data, 0), _word(data, 32) + 32);
        _bothWays(data, 2, Offset("keys", proposal + 32, proposal), true);
        // Nothing reads them.
        _bothWays(data, 2, Offset("reveal blocks", proposal + 96, proposal), true);
        for (uint256 i = 0; i < 2; ++i) {
            uint256 info = list + _word(data, list + 32 * i);
            uint256 fundingTx = info + _word(data, info);
            _bothWays(data, 2, Offset("extra info", list + 32 * i, list), true);
            _bothWays(data, 2, Offset("funding transaction", info, info), false);
            _bothWays(data, 2, Offset("input vector", fundingTx + 32, fundingTx), false);
            _bothWays(data, 2, Offset("output vector", fundingTx + 64, fundingTx), false);
        }
        _arguments(data, 2);
    }

    function test_redemption_offsets() external {
        bytes memory data = abi.encodeCall(IValidator.validateRedemptionProposal, (_redemption(2)));
        uint256 proposal = _word(data, 0);
        uint256 list = proposal + _word(data, proposal + 32) + 32;
        _bothWays(data, 1, Offset("scripts", proposal + 32, proposal), true);
        _bothWays(data, 1, Offset("first script", list, list), true);
        _bothWays(data, 1, Offset("second script", list + 32, list), true);
        _arguments(data, 1);
    }

    function test_heartbeat_offsets() external view {
        bytes memory data = abi.encodeCall(IValidator.validateHeartbeatProposal, (_heartbeat()));
        _bothWays(data, 1, Offset("message", _word(data, 0) + 32, _word(data, 0)), true);
        _arguments(data, 1);
    }

    function test_movingFunds_offsets() external {
        bytes memory data = _data(_movingFunds());
        _bothWays(data, 1, Offset("targets", _word(data, 0) + 32, _word(data, 0)), true);
        _arguments(data, 1);
    }

    // ----- Aliasing -----

    /// One extra info for two deposits: two outputs of one transaction that pay to one script.
    function test_depositSweep_oneExtraInfoForTwoDeposits() external {
        Sweep memory sweep = _sweep(2);
        bytes memory wanted = Bitcoin.output(2_000_000, Bitcoin.fundingScript(_deposit(0)));
        _putDeposit(sweep, 0, _deposit(0), 0, bytes.concat(hex"02", wanted, wanted));
        sweep.proposal.depositsKeys[1] = IValidator.DepositKey(sweep.proposal.depositsKeys[0].fundingTxHash, 1);
        _setRequest(sweep, 1, _request(sweep, 0));
        bytes memory data = _data(sweep);
        uint256 list = _word(data, 32) + 32;
        _setWord(data, list + 32, _word(data, list));
        _both(data, true, "one extra info");

        // One funding transaction: the first may point on to the second's, the second can't point back.
        sweep.extraInfo[1] = sweep.extraInfo[0];
        data = _data(sweep);
        uint256 first = list + _word(data, list);
        uint256 second = list + _word(data, list + 32);
        uint256 ahead = second + _word(data, second) - first;
        _setWord(data, first, ahead);
        _both(data, true, "the second's funding transaction");
        data = _data(sweep);
        unchecked {
            _setWord(data, second, first + _word(data, first) - second);
        }
        _both(data, false, "the first's funding transaction");
    }

    /// The input vector's bytes are the output vector's.
    function test_depositSweep_oneVectorForInputsAndOutputs() external {
        Sweep memory sweep = _sweep(1);
        IBridge.DepositRequest memory request = _request(sweep, 0);
        IValidator.BitcoinTransaction memory funding = sweep.extraInfo[0].fundingTx;
        funding.inputVector = funding.outputVector;
        sweep.proposal.depositsKeys[0].fundingTxHash = Bitcoin.txHash(funding);
        _setRequest(sweep, 0, request);
        bytes memory data = _data(sweep);
        uint256 info = _word(data, 32) + 32 + _word(data, _word(data, 32) + 32);
        uint256 fundingTx = info + _word(data, info);
        for (uint256 i = 0; i < 2; ++i) {
            bytes memory aliased = bytes.concat(data);
            _setWord(aliased, fundingTx + 32 + 32 * i, _word(data, fundingTx + 64 - 32 * i));
            _both(aliased, true, "one vector");
        }
    }

    /// One script for two requests is the same request twice. A script may begin within another.
    function test_redemption_oneScriptWithinAnother() external {
        IValidator.RedemptionProposal memory proposal = _redemption(2);
        IBridge.RedemptionRequest memory request = _request(proposal, 1);
        proposal.redeemersOutputScripts[0] = bytes.concat(bytes32(uint256(23)), proposal.redeemersOutputScripts[1]);
        _setRequest(proposal, 0, request);
        bytes memory data = abi.encodeCall(IValidator.validateRedemptionProposal, (proposal));
        uint256 list = _word(data, 0) + _word(data, _word(data, 0) + 32) + 32;
        uint256 first = _word(data, list);
        _setWord(data, list + 32, first);
        _both(data, false, "the same script");
        _setWord(data, list + 32, first + 32);
        _both(data, true, "a script within another");
    }

    // ----- Everything else -----

    function test_depositSweep_everyWordAndByte() external {
        Sweep memory sweep = _sweep(1);
        Bitcoin.Deposit memory deposit = _deposit(0);
        deposit.outputType = Bitcoin.OutputType.P2sh;
        _putDeposit(sweep, 0, deposit, 0, 1);
        _everyWordAndByte(_data(sweep));
    }

    function test_redemption_everyWordAndByte() external {
        _everyWordAndByte(abi.encodeCall(IValidator.validateRedemptionProposal, (_redemption(2))));
    }

    function test_heartbeat_everyWordAndByte() external view {
        _everyWordAndByte(abi.encodeCall(IValidator.validateHeartbeatProposal, (_heartbeat())));
    }

    function test_movingFunds_everyWordAndByte() external {
        MovingFunds memory m = _movingFunds(1);
        _everyWordAndByte(_data(m));
        IBridge.Wallet memory wallet = bridge.wallets(WALLET);
        wallet.mainUtxoHash = 0;
        bridge.setWallet(WALLET, wallet);
        IBridge.MovingFundsParameters memory parameters = bridge.movingFundsParameters();
        parameters.movingFundsDustThreshold = 0;
        bridge.setMovingFundsParameters(parameters);
        _everyWordAndByte(_data(m));
    }

    function test_movedFundsSweep_everyWordAndByte() external {
        _everyWordAndByte(abi.encodeCall(IValidator.validateMovedFundsSweepProposal, (_movedFundsSweep())));
    }

    // ----- -----

    /// To a copy of all arguments behind them, and, from within that copy, back to the first. `accepted` says of backward whether
    /// both accept that; forward both do.
    function _bothWays(bytes memory data, uint256 arguments, Offset memory offset, bool accepted) private view {
        _both(data, true, "as encoded");
        uint256 size = data.length - 4;
        bytes memory twice = bytes.concat(data, _tail(data));
        _setWord(twice, offset.at, _word(data, offset.at) + size);
        _both(twice, true, string.concat(offset.name, " forward"));

        twice = bytes.concat(data, _tail(data));
        for (uint256 i = 0; i < arguments; ++i) {
            _setWord(twice, 32 * i, _word(data, 32 * i) + size);
        }
        _both(twice, true, string.concat(offset.name, " in the copy"));
        unchecked {
            _setWord(twice, offset.at + size, _word(data, offset.at) - size);
        }
        _both(twice, accepted, string.concat(offset.name, " backward"));
    }

    /// The arguments' own offsets: forward, both accept; before the arguments there is nothing, and both refuse.
    function _arguments(bytes memory data, uint256 arguments) private view {
        for (uint256 i = 0; i < arguments; ++i) {
            bytes memory twice = bytes.concat(data, _tail(data));
            _setWord(twice, 32 * i, _word(data, 32 * i) + data.length - 4);
            _both(twice, true, "an argument forward");
            for (uint256 back = 1; back <= 512; ++back) {
                _setWord(twice, 32 * i, type(uint256).max - back + 1);
                _both(twice, false, "an argument backward");
            }
        }
    }

    function _everyWordAndByte(bytes memory data) private view {
        uint256 size = data.length - 4;
        uint256 free = _freeMemory();
        _same(data);
        for (uint256 at = 0; at < size; at += 32) {
            uint256 own = _word(data, at);
            for (uint256 i = 0; i < 84; ++i) {
                unchecked {
                    uint256 value = 32 * (i - 42); // from -1344 to 1312
                    if (i < 12) value = [size, 2 ** 32, 2 ** 64, 2 ** 255][i / 3] + i % 3 - 1;
                    else if (i < 18) value = own + [uint256(1), 32, 2 ** 64, 2 ** 128, 2 ** 255, 2 ** 32][i - 12];
                    _setWord(data, at, value);
                }
                _same(data);
                _releaseMemory(free);
            }
            _setWord(data, at, own);
        }
        for (uint256 i = 4; i < data.length; ++i) {
            for (uint256 change = 0; change < 3; ++change) {
                bytes1 own = data[i];
                data[i] ^= [bytes1(0x01), 0x80, 0xff][change];
                _same(data);
                data[i] = own;
                _releaseMemory(free);
            }
            _same(_head(data, i));
            _releaseMemory(free);
        }
    }

    function _same(bytes memory data) private view {
        (bool accepted,) = address(validator).staticcall(data);
        (bool theyAccept,) = deployed.staticcall(data);
        assertEq(accepted, theyAccept);
    }

    /// Both say so.
    function _both(bytes memory data, bool accepted, string memory what) private view {
        (bool accepts,) = address(validator).staticcall(data);
        (bool theyAccept,) = deployed.staticcall(data);
        assertEq(accepts, accepted, string.concat("ours: ", what));
        assertEq(theyAccept, accepted, string.concat("deployed: ", what));
    }

    function _word(bytes memory data, uint256 at) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := mload(add(add(data, 0x24), at))
        }
    }

    function _setWord(bytes memory data, uint256 at, uint256 word) private pure {
        assembly ("memory-safe") {
            mstore(add(add(data, 0x24), at), word)
        }
    }

    function _tail(bytes memory data) private pure returns (bytes memory tail) {
        tail = new bytes(data.length - 4);
        for (uint256 i = 0; i < tail.length; ++i) {
            tail[i] = data[i + 4];
        }
    }
}
