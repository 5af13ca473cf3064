// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IBridge} from "../../contracts/interfaces/IBridge.sol";
import {IRedemptionWatchtower} from "../../contracts/interfaces/IRedemptionWatchtower.sol";
import {BitcoinHashes} from "../../contracts/libraries/BitcoinHashes.sol";
import {BitcoinOutputs} from "../../contracts/libraries/BitcoinOutputs.sol";
import {BridgeReader} from "../../contracts/libraries/BridgeReader.sol";
import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {DepositScript} from "../../contracts/libraries/DepositScript.sol";
import {ExtraInfos} from "../../contracts/libraries/ExtraInfos.sol";
import {KeyList} from "../../contracts/libraries/KeyList.sol";
import {Keys} from "../../contracts/libraries/Keys.sol";
import {Form} from "./Form.sol";

// The forms that Assembly.t.sol weighs, compiled as the validator is: through the IR, for 1,000,000 runs.

contract LibraryForm is Form {
    using ExtraInfos for IValidator.DepositExtraInfo;
    using ExtraInfos for IValidator.DepositExtraInfo[];

    function _info(IValidator.DepositExtraInfo[] calldata infos, uint256 i) internal pure override returns (bytes32) {
        IValidator.DepositExtraInfo calldata info_ = infos.at(i);
        (bytes4 version, bytes calldata inputs, bytes calldata outputs, bytes4 locktime) = info_.transaction();
        (bytes8 blinding, bytes20 wallet, bytes20 refund, bytes4 refundLocktime) = info_.scriptFields();
        return _fold(version, inputs, outputs, locktime, blinding, wallet, refund, refundLocktime);
    }

    function _hash256(bytes4 version, bytes calldata inputs, bytes calldata outputs, bytes4 locktime)
        internal
        view
        override
        returns (bytes32)
    {
        return BitcoinHashes.hash256(version, inputs, outputs, locktime);
    }

    function _scriptAt(bytes calldata vector, uint256 index) internal pure override returns (bool, bytes calldata) {
        return BitcoinOutputs.scriptAt(vector, index);
    }

    function _hash(address depositor, bytes32 data, bytes8 blinding, bytes20 wallet, bytes20 refund, bytes4 locktime)
        internal
        view
        override
        returns (bytes32)
    {
        return DepositScript.hash(depositor, data, blinding, wallet, refund, locktime);
    }

    function _isPaidBy(bytes32 hash_, bytes calldata script) internal view override returns (bool) {
        return DepositScript.isPaidBy(hash_, script);
    }

    function _output(bytes32 txHash, uint32 index) internal pure override returns (uint256) {
        return Keys.output(txHash, index);
    }

    function _redemption(bytes calldata script, bytes20 wallet) internal pure override returns (uint256) {
        return Keys.redemption(script, wallet);
    }

    function _put(KeyList.List list, uint256[] memory, uint256 index, uint256 key)
        internal
        pure
        override
        returns (uint256)
    {
        return KeyList.put(list, index, key);
    }

    function _readDeposit(IBridge bridge, uint256 key, IBridge.DepositRequest memory request)
        internal
        view
        override
        returns (IBridge.DepositRequest memory)
    {
        BridgeReader.readDeposit(bridge, key, request);
        return request;
    }

    function _readRedemption(IBridge bridge, uint256 key, IBridge.RedemptionRequest memory request)
        internal
        view
        override
        returns (IBridge.RedemptionRequest memory)
    {
        BridgeReader.readRedemption(bridge, key, request);
        return request;
    }

    function _readRedemptionDelay(IRedemptionWatchtower watchtower, uint256 key)
        internal
        view
        override
        returns (uint32)
    {
        return BridgeReader.readRedemptionDelay(watchtower, key);
    }

    function _readWallet(IBridge bridge, bytes20 wallet) internal view override returns (uint8) {
        return BridgeReader.readWallet(bridge, wallet).state;
    }

    function _readMovedFundsSweepRequest(IBridge bridge, uint256 key) internal view override returns (bytes20) {
        return BridgeReader.readMovedFundsSweepRequest(bridge, key).walletPubKeyHash;
    }

    function _readDepositParameters(IBridge bridge) internal view override returns (uint64) {
        return BridgeReader.readDepositParameters(bridge).depositTxMaxFee;
    }

    function _readRedemptionParameters(IBridge bridge) internal view override returns (uint64) {
        return BridgeReader.readRedemptionParameters(bridge).redemptionTxMaxTotalFee;
    }

    function _readMovingFundsParameters(IBridge bridge) internal view override returns (uint64) {
        return BridgeReader.readMovingFundsParameters(bridge).movingFundsDustThreshold;
    }

    function _readRedemptionWatchtower(IBridge bridge) internal view override returns (address) {
        return address(BridgeReader.readRedemptionWatchtower(bridge));
    }
}

contract PlainForm is Form {
    /// As solc reads calldata. That checks less: it lets an offset within an extra info be negative.
    function _info(IValidator.DepositExtraInfo[] calldata infos, uint256 i) internal pure override returns (bytes32) {
        IValidator.DepositExtraInfo calldata info_ = infos[i];
        IValidator.BitcoinTransaction calldata t = info_.fundingTx;
        return _fold(
            t.version,
            t.inputVector,
            t.outputVector,
            t.locktime,
            info_.blindingFactor,
            info_.walletPubKeyHash,
            info_.refundPubKeyHash,
            info_.refundLocktime
        );
    }

    function _hash256(bytes4 version, bytes calldata inputs, bytes calldata outputs, bytes4 locktime)
        internal
        pure
        override
        returns (bytes32)
    {
        return sha256(abi.encodePacked(sha256(abi.encodePacked(version, inputs, outputs, locktime))));
    }

    /// The library's walk, with its bytes from slices.
    function _scriptAt(bytes calldata vector, uint256 index) internal pure override returns (bool, bytes calldata) {
        unchecked {
            (uint256 count, uint256 size) = (_byteAt(vector, 0), 1);
            if (count >= 0xfd) (count, size) = _longCompactSize(vector, 0);
            if (index >= count) return (false, vector[0:0]);
            uint256 at = size;
            uint256 length;
            for (;; --index) {
                at += 8;
                (length, size) = (_byteAt(vector, at), 1);
                if (length >= 0xfd) (length, size) = _longCompactSize(vector, at);
                at += size + length;
                if (at > vector.length) return (false, vector[0:0]);
                if (index == 0) break;
            }
            uint256 minimal = length < 0xfd ? 1 : length <= 0xffff ? 3 : length <= 0xffffffff ? 5 : 9;
            if (size != minimal) return (false, vector[0:0]);
            return (true, vector[at - length:at]);
        }
    }

    function _byteAt(bytes calldata vector, uint256 at) private pure returns (uint256) {
        return at < vector.length ? uint8(vector[at]) : 0;
    }

    function _longCompactSize(bytes calldata vector, uint256 at) private pure returns (uint256 number, uint256 size) {
        unchecked {
            uint256 first = _byteAt(vector, at);
            size = first == 0xfd ? 3 : first == 0xfe ? 5 : 9;
            for (uint256 i = size - 1; i != 0; --i) {
                number = (number << 8) | _byteAt(vector, at + i);
            }
        }
    }

    function _hash(address depositor, bytes32 data, bytes8 blinding, bytes20 wallet, bytes20 refund, bytes4 locktime)
        internal
        pure
        override
        returns (bytes32)
    {
        bytes memory rest = abi.encodePacked(
            hex"08", blinding, hex"7576a914", wallet, hex"8763ac6776a914", refund, hex"8804", locktime
        );
        if (data == 0) return sha256(abi.encodePacked(hex"14", depositor, hex"75", rest, hex"b175ac68"));
        return sha256(abi.encodePacked(hex"14", depositor, hex"7520", data, hex"75", rest, hex"b175ac68"));
    }

    function _isPaidBy(bytes32 hash_, bytes calldata script) internal pure override returns (bool) {
        // Casts take the leading bytes.
        // forge-lint: disable-next-line(unsafe-typecast)
        if (script.length == 34) return bytes2(script) == 0x0020 && bytes32(script[2:]) == hash_;
        if (script.length == 23) {
            bytes20 hash160 = ripemd160(abi.encodePacked(hash_));
            // forge-lint: disable-next-line(unsafe-typecast)
            return bytes23(script) == bytes23(abi.encodePacked(hex"a914", hash160, hex"87"));
        }
        return false;
    }

    function _output(bytes32 txHash, uint32 index) internal pure override returns (uint256) {
        return uint256(keccak256(abi.encodePacked(txHash, index)));
    }

    function _redemption(bytes calldata script, bytes20 wallet) internal pure override returns (uint256) {
        return uint256(keccak256(abi.encodePacked(keccak256(script), wallet)));
    }

    function _put(KeyList.List, uint256[] memory list, uint256 index, uint256 key)
        internal
        pure
        virtual
        override
        returns (uint256 first)
    {
        uint256 bit = uint256(1) << (key & 0xff);
        list[1 + index] = key;
        first = index;
        if (list[0] & bit != 0) {
            first = 0;
            while (list[1 + first] != key) ++first;
        }
        list[0] |= bit;
    }

    function _readDeposit(IBridge bridge, uint256 key, IBridge.DepositRequest memory)
        internal
        view
        override
        returns (IBridge.DepositRequest memory)
    {
        return bridge.deposits(key);
    }

    function _readRedemption(IBridge bridge, uint256 key, IBridge.RedemptionRequest memory)
        internal
        view
        override
        returns (IBridge.RedemptionRequest memory)
    {
        return bridge.pendingRedemptions(key);
    }

    function _readRedemptionDelay(IRedemptionWatchtower watchtower, uint256 key)
        internal
        view
        override
        returns (uint32)
    {
        return watchtower.getRedemptionDelay(key);
    }

    function _readWallet(IBridge bridge, bytes20 wallet) internal view override returns (uint8) {
        return bridge.wallets(wallet).state;
    }

    function _readMovedFundsSweepRequest(IBridge bridge, uint256 key) internal view override returns (bytes20) {
        return bridge.movedFundsSweepRequests(key).walletPubKeyHash;
    }

    function _readDepositParameters(IBridge bridge) internal view override returns (uint64) {
        return bridge.depositParameters().depositTxMaxFee;
    }

    function _readRedemptionParameters(IBridge bridge) internal view override returns (uint64) {
        return bridge.redemptionParameters().redemptionTxMaxTotalFee;
    }

    function _readMovingFundsParameters(IBridge bridge) internal view override returns (uint64) {
        return bridge.movingFundsParameters().movingFundsDustThreshold;
    }

    function _readRedemptionWatchtower(IBridge bridge) internal view override returns (address) {
        return bridge.getRedemptionWatchtower();
    }
}

/// A key's first occurrence without the set: compared with all before it.
contract AllWithAllForm is PlainForm {
    function _put(KeyList.List, uint256[] memory list, uint256 index, uint256 key)
        internal
        pure
        override
        returns (uint256 first)
    {
        list[index] = key;
        while (list[first] != key) ++first;
    }
}

/// Nothing, but for what keeps the optimizer from leaving out the decoding: the gas of that and of the loop.
contract NoForm is Form {
    function _hash256(bytes4 version, bytes calldata inputs, bytes calldata outputs, bytes4 locktime)
        internal
        pure
        override
        returns (bytes32)
    {
        return bytes32(version) ^ bytes32(inputs.length) ^ bytes32(outputs.length) ^ bytes32(locktime);
    }

    function _scriptAt(bytes calldata vector, uint256) internal pure override returns (bool, bytes calldata) {
        return (true, vector);
    }

    function _hash(address depositor, bytes32 data, bytes8 blinding, bytes20 wallet, bytes20 refund, bytes4 locktime)
        internal
        pure
        override
        returns (bytes32)
    {
        return bytes32(bytes20(depositor)) ^ data ^ blinding ^ wallet ^ refund ^ locktime;
    }

    function _isPaidBy(bytes32 hash_, bytes calldata script) internal pure override returns (bool) {
        return hash_ != bytes32(script.length);
    }

    function _output(bytes32 txHash, uint32 index) internal pure override returns (uint256) {
        return uint256(txHash) ^ index;
    }

    function _redemption(bytes calldata script, bytes20) internal pure override returns (uint256) {
        return script.length;
    }

    function _put(KeyList.List, uint256[] memory, uint256, uint256 key) internal pure override returns (uint256) {
        return key;
    }

    function _info(IValidator.DepositExtraInfo[] calldata infos, uint256 i) internal pure override returns (bytes32) {
        return bytes32(infos.length ^ i);
    }

    function _readDeposit(IBridge, uint256, IBridge.DepositRequest memory request)
        internal
        pure
        override
        returns (IBridge.DepositRequest memory)
    {
        return request;
    }

    function _readRedemption(IBridge, uint256, IBridge.RedemptionRequest memory request)
        internal
        pure
        override
        returns (IBridge.RedemptionRequest memory)
    {
        return request;
    }

    function _readRedemptionDelay(IRedemptionWatchtower, uint256) internal pure override returns (uint32) {}
    function _readWallet(IBridge, bytes20) internal pure override returns (uint8) {}
    function _readMovedFundsSweepRequest(IBridge, uint256) internal pure override returns (bytes20) {}
    function _readDepositParameters(IBridge) internal pure override returns (uint64) {}
    function _readRedemptionParameters(IBridge) internal pure override returns (uint64) {}
    function _readMovingFundsParameters(IBridge) internal pure override returns (uint64) {}
    function _readRedemptionWatchtower(IBridge) internal pure override returns (address) {}
}
