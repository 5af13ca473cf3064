// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Script, VmSafe} from "forge-std/Script.sol";
import {console} from "forge-std/console.sol";
import {IBridge} from "../contracts/interfaces/IBridge.sol";
import {IRedemptionWatchtower} from "../contracts/interfaces/IRedemptionWatchtower.sol";
import {IWalletProposalValidator} from "../contracts/interfaces/IWalletProposalValidator.sol";
import {BridgeSnapshot} from "../contracts/lens/BridgeSnapshot.sol";

/// @title Deploys the validator for a Bridge, records the deployment, or checks one
/// @notice The address depends on nothing but the Bridge and this repository's build: the same on every chain.
///
///             forge script script/Deploy.s.sol --sig 'run(address)' BRIDGE --rpc-url URL --broadcast --account NAME
///             forge script script/Deploy.s.sol --sig 'record(address)' BRIDGE --rpc-url URL
///             forge script script/Deploy.s.sol --sig 'verify(address)' VALIDATOR --rpc-url URL
///
///         `make deploy` does the first two, `make verify-deployment` the third. Only `record` writes, to
///         `deployments/<chain id>.json`, and only what is on the chain by then: forge simulates `run` before it sends.
///
///         Known chains are Ethereum mainnet and local ones; for another, name its id in the environment's ALLOW_CHAIN.
///         DEPLOYMENTS names another folder for records.
contract Deploy is Script {
    error BuildMismatch(bytes32 pinned, bytes32 built);
    error ChainUnknown(uint256 chainId);
    error BridgeWithoutCode(address bridge);
    error ViewMissing(address target, string view_);
    error BridgeUnreadable(address bridge);
    error FactoryWithoutCode(address factory);
    error FactoryMismatch(address factory, bytes32 pinned, bytes32 found);
    error FactoryFailed(address factory);
    error ValidatorWithoutCode(address validator);
    error CodeMismatch(address at, bytes32 built, bytes32 found);
    /// Move the file away to record the validator in its place.
    error RecordOfAnother(string path, address recorded, address validator);
    error RecordMismatch(string path, string expected);

    /// keccak256 of the creation code without the argument. Other code means another address, and an audit anew.
    bytes32 public constant CREATION_CODE_HASH = 0x871873b687dd45442683d48cbae1fa4e4196de090f7f053cc93a09efdf638a3b;
    /// The deterministic deployment proxy: it deploys the init code that follows a 32-byte salt.
    address public constant FACTORY = 0x4e59b44847b379578588920cA78FbF26c0B4956C;
    /// keccak256 of its code. Other code at its address, on a chain where that is possible, could deploy anything anywhere.
    bytes32 public constant FACTORY_CODE_HASH = 0x2fa86add0aed31f33a762c9d88e807c475bd51d0f52bd0955754b2608f7e4989;
    bytes32 public constant SALT = 0;

    string private constant ARTIFACT = "out/WalletProposalValidator.sol/WalletProposalValidator.json";

    /// @notice Deploys for `bridge`, unless that is done.
    function run(address bridge) external returns (address validator) {
        _requireKnownChain();
        validator = addressFor(bridge);
        _requireBridge(bridge);
        _requireOwnRecord(validator);

        if (validator.code.length != 0) {
            console.log("deployed already:", validator);
        } else {
            require(FACTORY.code.length != 0, FactoryWithoutCode(FACTORY));
            bytes32 found = FACTORY.codehash;
            require(found == FACTORY_CODE_HASH, FactoryMismatch(FACTORY, FACTORY_CODE_HASH, found));
            vm.broadcast();
            (bool success,) = FACTORY.call(bytes.concat(SALT, _initCode(bridge)));
            require(success && validator.code.length != 0, FactoryFailed(FACTORY));
            console.log("the validator's address:", validator);
        }
        _requireCode(validator, bridge);
    }

    /// @notice Writes the record of the deployment for `bridge`, after it has found it on the chain.
    function record(address bridge) external returns (address validator) {
        validator = addressFor(bridge);
        _requireCode(validator, bridge);
        _requireOwnRecord(validator);

        (bytes32 transaction, uint256 blockNumber) = _creation(validator);
        if (transaction == 0) {
            console.log("by a transaction that neither broadcast/ nor a record tells: recorded without it");
        }
        vm.createDir(recordFolder(), true);
        vm.writeJson(_describe(validator, bridge, transaction, blockNumber), recordPath());
        console.log("code on the chain verified:", validator);
        console.log("recorded in", recordPath());
    }

    /// @notice Compares the code at `validator` with this repository's build for the Bridge that it names, and the chain's
    ///         record, if it is about this validator, with both.
    function verify(address validator) external returns (address bridge) {
        require(validator.code.length != 0, ValidatorWithoutCode(validator));
        bytes memory answer = _requireView(validator, "bridge", abi.encodeCall(IWalletProposalValidator.bridge, ()), 1);
        // No code built here answers more than an address: the comparison tells.
        // forge-lint: disable-next-line(unsafe-typecast)
        bridge = address(uint160(uint256(bytes32(answer))));
        _requireCode(validator, bridge);
        _requireBridge(bridge);
        console.log("code on the chain verified:", validator);
        console.log("its Bridge:", bridge);

        if (_recorded() != validator) {
            console.log("no record of it in", recordPath());
            return bridge;
        }
        (bytes32 transaction, uint256 blockNumber) = _recordedCreation();
        string memory expected = _describe(validator, bridge, transaction, blockNumber);
        bool same = keccak256(vm.parseJson(vm.readFile(recordPath()))) == keccak256(vm.parseJson(expected));
        require(same, RecordMismatch(recordPath(), expected));
        console.log("its record verified:", recordPath());
    }

    /// @notice Where the validator for `bridge` is, or will be.
    function addressFor(address bridge) public view returns (address) {
        return vm.computeCreate2Address(SALT, keccak256(_initCode(bridge)), FACTORY);
    }

    /// @notice The record of the chain's deployment.
    function recordPath() public view returns (string memory) {
        return string.concat(recordFolder(), "/", vm.toString(block.chainid), ".json");
    }

    function recordFolder() public view virtual returns (string memory) {
        return vm.envOr("DEPLOYMENTS", string("deployments"));
    }

    /// @dev The build's creation code, without the argument.
    function _creationCode() internal view virtual returns (bytes memory) {
        return vm.getCode("WalletProposalValidator.sol:WalletProposalValidator");
    }

    function _requireKnownChain() private view {
        uint256 id = block.chainid;
        bool known = id == 1 || id == 31337 || id == 1337 || id == vm.envOr("ALLOW_CHAIN", uint256(0));
        require(known, ChainUnknown(id));
    }

    /// @dev Each view that the validator reads answers with exactly its type's size, and can be read as the validator does.
    function _requireBridge(address bridge) private {
        require(bridge.code.length != 0, BridgeWithoutCode(bridge));
        _requireView(bridge, "wallets", abi.encodeCall(IBridge.wallets, (0)), 9);
        _requireView(bridge, "deposits", abi.encodeCall(IBridge.deposits, (0)), 7);
        _requireView(bridge, "pendingRedemptions", abi.encodeCall(IBridge.pendingRedemptions, (0)), 5);
        _requireView(bridge, "movedFundsSweepRequests", abi.encodeCall(IBridge.movedFundsSweepRequests, (0)), 4);
        _requireView(bridge, "depositParameters", abi.encodeCall(IBridge.depositParameters, ()), 4);
        _requireView(bridge, "redemptionParameters", abi.encodeCall(IBridge.redemptionParameters, ()), 7);
        _requireView(bridge, "movingFundsParameters", abi.encodeCall(IBridge.movingFundsParameters, ()), 11);
        _requireView(bridge, "getRedemptionWatchtower", abi.encodeCall(IBridge.getRedemptionWatchtower, ()), 1);

        (bytes20[] memory wallet, uint256[] memory key) = (new bytes20[](1), new uint256[](1));
        try new BridgeSnapshot(IBridge(bridge), wallet, key, key, key) {}
        catch {
            revert BridgeUnreadable(bridge);
        }

        address watchtower = IBridge(bridge).getRedemptionWatchtower();
        if (watchtower == address(0)) return;
        // The real one refuses, in words, to speak about a request that isn't pending. Where there is no such view, no data comes.
        (bool success, bytes memory answer) =
            watchtower.staticcall(abi.encodeCall(IRedemptionWatchtower.getRedemptionDelay, (0)));
        bool answers = success ? answer.length == 32 : answer.length != 0;
        require(answers, ViewMissing(watchtower, "getRedemptionDelay"));
    }

    function _requireView(address target, string memory view_, bytes memory call, uint256 words)
        private
        view
        returns (bytes memory answer)
    {
        bool success;
        (success, answer) = target.staticcall(call);
        require(success && answer.length == 32 * words, ViewMissing(target, view_));
    }

    /// @dev No record of another validator is overwritten.
    function _requireOwnRecord(address validator) private view {
        address recorded = _recorded();
        bool own = recorded == address(0) || recorded == validator;
        require(own, RecordOfAnother(recordPath(), recorded, validator));
    }

    /// @dev What the build deploys for this Bridge is put up in this process alone, for comparison.
    function _requireCode(address validator, address bridge) private {
        require(validator.code.length != 0, ValidatorWithoutCode(validator));
        bytes memory initCode = _initCode(bridge);
        address built;
        assembly ("memory-safe") {
            built := create(0, add(initCode, 0x20), mload(initCode))
        }
        require(built.codehash == validator.codehash, CodeMismatch(validator, built.codehash, validator.codehash));
    }

    function _initCode(address bridge) private view returns (bytes memory) {
        bytes memory code = _creationCode();
        require(keccak256(code) == CREATION_CODE_HASH, BuildMismatch(CREATION_CODE_HASH, keccak256(code)));
        return bytes.concat(code, abi.encode(bridge));
    }

    /// @dev The record as JSON. A zero transaction is left out, with its block.
    function _describe(address validator, address bridge, bytes32 transaction, uint256 blockNumber)
        private
        returns (string memory)
    {
        string memory artifact = vm.readFile(ARTIFACT);
        string memory settings = ".metadata.settings";
        string memory compiler = "compiler";
        vm.serializeString(compiler, "version", vm.parseJsonString(artifact, ".metadata.compiler.version"));
        vm.serializeString(compiler, "evmVersion", vm.parseJsonString(artifact, string.concat(settings, ".evmVersion")));
        vm.serializeBool(compiler, "viaIR", vm.parseJsonBool(artifact, string.concat(settings, ".viaIR")));
        vm.serializeBool(
            compiler, "optimizer", vm.parseJsonBool(artifact, string.concat(settings, ".optimizer.enabled"))
        );
        vm.serializeUint(
            compiler, "optimizerRuns", vm.parseJsonUint(artifact, string.concat(settings, ".optimizer.runs"))
        );
        string memory bytecodeHash = vm.parseJsonString(artifact, string.concat(settings, ".metadata.bytecodeHash"));
        compiler = vm.serializeString(compiler, "bytecodeHash", bytecodeHash);

        string memory json = "record";
        vm.serializeJson(json, "{}"); // forgets an earlier one
        vm.serializeUint(json, "chainId", block.chainid);
        vm.serializeAddress(json, "address", validator);
        vm.serializeAddress(json, "bridge", bridge);
        vm.serializeBytes(json, "constructorArguments", abi.encode(bridge));
        vm.serializeAddress(json, "factory", FACTORY);
        vm.serializeBytes32(json, "salt", SALT);
        vm.serializeBytes32(json, "creationCodeHash", CREATION_CODE_HASH);
        vm.serializeBytes32(json, "codeHash", validator.codehash);
        if (transaction != 0) {
            vm.serializeBytes32(json, "transaction", transaction);
            vm.serializeUint(json, "block", blockNumber);
        }
        return vm.serializeString(json, "compiler", compiler);
    }

    /// @dev The transaction that created it and its block, by forge's log, or else by the record so far. Without either, zeros.
    function _creation(address validator) private returns (bytes32 transaction, uint256 blockNumber) {
        VmSafe.BroadcastTxType kind = VmSafe.BroadcastTxType.Create2;
        try vm.getBroadcasts("WalletProposalValidator", uint64(block.chainid), kind) returns (
            VmSafe.BroadcastTxSummary[] memory creations
        ) {
            for (uint256 i = 0; i < creations.length; ++i) {
                VmSafe.BroadcastTxSummary memory creation = creations[i];
                bool found = creation.contractAddress == validator && _isOnChain(creation.txHash);
                if (found) return (creation.txHash, creation.blockNumber);
            }
        } catch {}

        if (_recorded() == validator) return _recordedCreation();
    }

    /// @dev Whether the transaction is on the chain. A log in broadcast/ may be of a rehearsal on a fork.
    function _isOnChain(bytes32 transaction) private returns (bool) {
        // An object, of many words, or null, which is one.
        return vm.rpc("eth_getTransactionReceipt", string.concat('["', vm.toString(transaction), '"]')).length > 32;
    }

    /// @dev The validator on record, zero when there is no record.
    function _recorded() private view returns (address) {
        return vm.exists(recordPath()) ? vm.parseJsonAddress(vm.readFile(recordPath()), ".address") : address(0);
    }

    /// @dev Transaction and block on record, zeros when it has none.
    function _recordedCreation() private view returns (bytes32, uint256) {
        string memory json = vm.readFile(recordPath());
        if (!vm.keyExistsJson(json, ".transaction")) return (0, 0);
        return (vm.parseJsonBytes32(json, ".transaction"), vm.parseJsonUint(json, ".block"));
    }
}
