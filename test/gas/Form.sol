// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IBridge} from "../../contracts/interfaces/IBridge.sol";
import {IRedemptionWatchtower} from "../../contracts/interfaces/IRedemptionWatchtower.sol";
import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {KeyList} from "../../contracts/libraries/KeyList.sol";

/// What the libraries do in assembly, over a batch as the validator meets it. Forms.sol has it in several forms.
abstract contract Form {
    function hash256(IValidator.DepositExtraInfo[] calldata infos) external view returns (bytes32 sum) {
        for (uint256 i = 0; i < infos.length; ++i) {
            IValidator.BitcoinTransaction calldata t = infos[i].fundingTx;
            sum ^= _hash256(t.version, t.inputVector, t.outputVector, t.locktime);
        }
    }

    function scriptAt(IValidator.DepositExtraInfo[] calldata infos, uint256 index) external pure returns (bytes32 sum) {
        for (uint256 i = 0; i < infos.length; ++i) {
            (bool found, bytes calldata script) = _scriptAt(infos[i].fundingTx.outputVector, index);
            // The cast takes the first 32 bytes.
            // forge-lint: disable-next-line(unsafe-typecast)
            if (found) sum ^= bytes32(script);
        }
    }

    function read(IValidator.DepositExtraInfo[] calldata infos) external pure returns (bytes32 sum) {
        for (uint256 i = 0; i < infos.length; ++i) {
            sum ^= _info(infos, i);
        }
    }

    function hash(address depositor, bytes32 extraData, IValidator.DepositExtraInfo[] calldata infos)
        external
        view
        returns (bytes32 sum)
    {
        for (uint256 i = 0; i < infos.length; ++i) {
            IValidator.DepositExtraInfo calldata info = infos[i];
            sum ^= _hash(
                depositor,
                extraData,
                info.blindingFactor,
                info.walletPubKeyHash,
                info.refundPubKeyHash,
                info.refundLocktime
            );
        }
    }

    function isPaidBy(bytes32[] calldata hashes, bytes[] calldata scripts) external view returns (bytes32 sum) {
        for (uint256 i = 0; i < hashes.length; ++i) {
            if (_isPaidBy(hashes[i], scripts[i])) sum ^= bytes32(1 + i);
        }
    }

    function output(IValidator.DepositKey[] calldata keys) external pure returns (bytes32 sum) {
        for (uint256 i = 0; i < keys.length; ++i) {
            sum ^= bytes32(_output(keys[i].fundingTxHash, keys[i].fundingOutputIndex));
        }
    }

    function redemption(bytes[] calldata scripts, bytes20 wallet) external pure returns (bytes32 sum) {
        for (uint256 i = 0; i < scripts.length; ++i) {
            sum ^= bytes32(_redemption(scripts[i], wallet));
        }
    }

    function put(uint256[] calldata keys) external pure returns (bytes32 sum) {
        KeyList.List list = KeyList.empty(keys.length);
        uint256[] memory plainList = new uint256[](1 + keys.length);
        for (uint256 i = 0; i < keys.length; ++i) {
            sum ^= bytes32(_put(list, plainList, i, keys[i]));
        }
    }

    function readDeposit(IBridge bridge, uint256[] calldata keys) external view returns (bytes32 sum) {
        IBridge.DepositRequest memory request;
        for (uint256 i = 0; i < keys.length; ++i) {
            request = _readDeposit(bridge, keys[i], request);
            sum ^= keccak256(abi.encode(request.depositor, request.revealedAt, request.vault, request.sweptAt));
        }
    }

    function readRedemption(IBridge bridge, uint256[] calldata keys) external view returns (bytes32 sum) {
        IBridge.RedemptionRequest memory request;
        for (uint256 i = 0; i < keys.length; ++i) {
            request = _readRedemption(bridge, keys[i], request);
            sum ^= keccak256(abi.encode(request.requestedAt, request.txMaxFee));
        }
    }

    function readRedemptionDelay(IRedemptionWatchtower watchtower, uint256[] calldata keys)
        external
        view
        returns (bytes32 sum)
    {
        for (uint256 i = 0; i < keys.length; ++i) {
            sum ^= bytes32(uint256(_readRedemptionDelay(watchtower, keys[i])));
        }
    }

    function readWallet(IBridge bridge, bytes20 wallet) external view returns (bytes32) {
        return bytes32(uint256(_readWallet(bridge, wallet)));
    }

    function readMovedFundsSweepRequest(IBridge bridge, uint256 key) external view returns (bytes32) {
        return _readMovedFundsSweepRequest(bridge, key);
    }

    function readDepositParameters(IBridge bridge) external view returns (bytes32) {
        return bytes32(uint256(_readDepositParameters(bridge)));
    }

    function readRedemptionParameters(IBridge bridge) external view returns (bytes32) {
        return bytes32(uint256(_readRedemptionParameters(bridge)));
    }

    function readMovingFundsParameters(IBridge bridge) external view returns (bytes32) {
        return bytes32(uint256(_readMovingFundsParameters(bridge)));
    }

    function readRedemptionWatchtower(IBridge bridge) external view returns (bytes32) {
        return bytes32(uint256(uint160(_readRedemptionWatchtower(bridge))));
    }

    /// What shows each field of an extra info, and the first 32 bytes of its vectors.
    function _fold(
        bytes4 version,
        bytes calldata inputs,
        bytes calldata outputs,
        bytes4 locktime,
        bytes8 blindingFactor,
        bytes20 walletPubKeyHash,
        bytes20 refundPubKeyHash,
        bytes4 refundLocktime
    ) internal pure returns (bytes32 sum) {
        sum = version ^ bytes32(inputs.length) ^ bytes32(outputs.length) ^ bytes32(locktime) >> 32;
        sum ^= bytes32(blindingFactor) >> 64 ^ walletPubKeyHash ^ bytes32(refundPubKeyHash) >> 64 ^ refundLocktime;
        assembly ("memory-safe") {
            sum := xor(sum, xor(calldataload(inputs.offset), shr(8, calldataload(outputs.offset))))
        }
    }

    function _hash256(bytes4, bytes calldata, bytes calldata, bytes4) internal view virtual returns (bytes32);
    function _scriptAt(bytes calldata, uint256) internal pure virtual returns (bool, bytes calldata);
    function _hash(address, bytes32, bytes8, bytes20, bytes20, bytes4) internal view virtual returns (bytes32);
    function _isPaidBy(bytes32, bytes calldata) internal view virtual returns (bool);
    function _output(bytes32, uint32) internal pure virtual returns (uint256);
    function _redemption(bytes calldata, bytes20) internal pure virtual returns (uint256);
    function _put(KeyList.List, uint256[] memory, uint256, uint256) internal pure virtual returns (uint256);
    function _info(IValidator.DepositExtraInfo[] calldata, uint256) internal pure virtual returns (bytes32);
    function _readDeposit(IBridge, uint256, IBridge.DepositRequest memory)
        internal
        view
        virtual
        returns (IBridge.DepositRequest memory);
    function _readRedemption(IBridge, uint256, IBridge.RedemptionRequest memory)
        internal
        view
        virtual
        returns (IBridge.RedemptionRequest memory);
    function _readRedemptionDelay(IRedemptionWatchtower, uint256) internal view virtual returns (uint32);
    function _readWallet(IBridge, bytes20) internal view virtual returns (uint8);
    function _readMovedFundsSweepRequest(IBridge, uint256) internal view virtual returns (bytes20);
    function _readDepositParameters(IBridge) internal view virtual returns (uint64);
    function _readRedemptionParameters(IBridge) internal view virtual returns (uint64);
    function _readMovingFundsParameters(IBridge) internal view virtual returns (uint64);
    function _readRedemptionWatchtower(IBridge) internal view virtual returns (address);
}
