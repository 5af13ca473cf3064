// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Script, VmSafe} from "forge-std/Script.sol";
import {console} from "forge-std/console.sol";
import {IBridge} from "../contracts/interfaces/IBridge.sol";
import {IRedemptionWatchtower} from "../contracts/interfaces/IRedemptionWatchtower.sol";
import {IWalletProposalValidator} from "../contracts/interfaces/IWalletProposalValidator.sol";

/// @title Deploys the validator for a Bridge, or checks one that is deployed
/// @notice The address depends on nothing but the Bridge and this repository's build: the same on every chain.
///
///             forge script script/Deploy.s.sol --sig 'run(address)' BRIDGE --rpc-url URL --broadcast --account NAME
///             forge script script/Deploy.s.sol --sig 'verify(address)' VALIDATOR --rpc-url URL
///
///         Without an argument, `run()` takes the Bridge from the environment's BRIDGE, or mainnet's own on mainnet.
///         Known chains are Ethereum mainnet and local ones; for another, name its id in ALLOW_CHAIN.
///
///         Run again, it finds the code, verifies it, and completes the record `deployments/<chain id>.json` with the
///         transaction and its block, which forge knows only after the first run.
contract Deploy is Script {
    error ChainUnknown(uint256 chainId);
    error BridgeWithoutCode(address bridge);
    error BridgeViewMissing(address target, string view_);
    error FactoryWithoutCode(address factory);
    error FactoryFailed(address factory);
    error ValidatorWithoutCode(address validator);
    error CodeMismatch(address at, bytes32 built, bytes32 found);

    /// The deterministic deployment proxy: it deploys the init code that follows a 32-byte salt.
    address public constant FACTORY = 0x4e59b44847b379578588920cA78FbF26c0B4956C;
    bytes32 public constant SALT = 0;
    address public constant MAINNET_BRIDGE = 0x5e4861a80B55f035D899f66772117F00FA0E8e7B;

    string private constant ARTIFACT = "out/WalletProposalValidator.sol/WalletProposalValidator.json";

    /// @notice Deploys for the environment's Bridge, see above.
    function run() external returns (address validator) {
        if (block.chainid == 1) return run(vm.envOr("BRIDGE", MAINNET_BRIDGE));
        return run(vm.envAddress("BRIDGE"));
    }

    /// @notice Deploys for `bridge`, unless that is done, and writes the record.
    function run(address bridge) public returns (address validator) {
        _requireKnownChain();
        _requireBridge(bridge);
        validator = addressFor(bridge);

        if (validator.code.length != 0) {
            _requireCode(validator, bridge);
            console.log("already deployed, code verified:", validator);
        } else {
            require(FACTORY.code.length != 0, FactoryWithoutCode(FACTORY));
            vm.broadcast();
            (bool success,) = FACTORY.call(bytes.concat(SALT, _initCode(bridge)));
            require(success && validator.code.length != 0, FactoryFailed(FACTORY));
            _requireCode(validator, bridge);
            console.log("validator:", validator);
            if (!_keepsState()) {
                console.log("a dry run: nothing sent, nothing recorded");
                return validator;
            }
        }
        _record(validator, bridge);
    }

    /// @notice Compares the code at `validator` with this repository's build for the Bridge that it names.
    function verify(address validator) external returns (address bridge) {
        require(validator.code.length != 0, ValidatorWithoutCode(validator));
        bridge = address(IWalletProposalValidator(validator).bridge());
        _requireCode(validator, bridge);
        _requireBridge(bridge);
        console.log("code verified:", validator);
        console.log("its Bridge:", bridge);
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
        return "deployments";
    }

    /// @dev Whether what is done here lasts. False for a dry run.
    function _keepsState() internal view virtual returns (bool) {
        return vm.isContext(VmSafe.ForgeContext.ScriptBroadcast) || vm.isContext(VmSafe.ForgeContext.ScriptResume);
    }

    function _requireKnownChain() private view {
        uint256 id = block.chainid;
        bool known = id == 1 || id == 31337 || id == 1337 || id == vm.envOr("ALLOW_CHAIN", uint256(0));
        require(known, ChainUnknown(id));
    }

    /// @dev Each view that the validator reads answers with exactly its type's size.
    function _requireBridge(address bridge) private view {
        require(bridge.code.length != 0, BridgeWithoutCode(bridge));
        _requireView(bridge, "wallets", abi.encodeCall(IBridge.wallets, (0)), 9);
        _requireView(bridge, "deposits", abi.encodeCall(IBridge.deposits, (0)), 7);
        _requireView(bridge, "pendingRedemptions", abi.encodeCall(IBridge.pendingRedemptions, (0)), 5);
        _requireView(bridge, "movedFundsSweepRequests", abi.encodeCall(IBridge.movedFundsSweepRequests, (0)), 4);
        _requireView(bridge, "depositParameters", abi.encodeCall(IBridge.depositParameters, ()), 4);
        _requireView(bridge, "redemptionParameters", abi.encodeCall(IBridge.redemptionParameters, ()), 7);
        _requireView(bridge, "movingFundsParameters", abi.encodeCall(IBridge.movingFundsParameters, ()), 11);
        _requireView(bridge, "getRedemptionWatchtower", abi.encodeCall(IBridge.getRedemptionWatchtower, ()), 1);

        address watchtower = IBridge(bridge).getRedemptionWatchtower();
        if (watchtower == address(0)) return;
        bytes memory call = abi.encodeCall(IRedemptionWatchtower.getRedemptionDelay, (0));
        _requireView(watchtower, "getRedemptionDelay", call, 1);
    }

    function _requireView(address target, string memory view_, bytes memory call, uint256 words) private view {
        (bool success, bytes memory answer) = target.staticcall(call);
        require(success && answer.length == 32 * words, BridgeViewMissing(target, view_));
    }

    /// @dev What the build deploys for this Bridge is put up in this process alone, for comparison.
    function _requireCode(address validator, address bridge) private {
        bytes memory initCode = _initCode(bridge);
        address built;
        assembly ("memory-safe") {
            built := create(0, add(initCode, 0x20), mload(initCode))
        }
        require(built.codehash == validator.codehash, CodeMismatch(validator, built.codehash, validator.codehash));
    }

    function _initCode(address bridge) private view returns (bytes memory) {
        return bytes.concat(vm.getCode("WalletProposalValidator.sol:WalletProposalValidator"), abi.encode(bridge));
    }

    function _record(address validator, address bridge) private {
        string memory artifact = vm.readFile(ARTIFACT);
        string memory compiler = "compiler";
        vm.serializeString(compiler, "version", vm.parseJsonString(artifact, ".metadata.compiler.version"));
        vm.serializeString(compiler, "evmVersion", vm.parseJsonString(artifact, ".metadata.settings.evmVersion"));
        vm.serializeBool(compiler, "viaIR", vm.parseJsonBool(artifact, ".metadata.settings.viaIR"));
        compiler = vm.serializeUint(
            compiler, "optimizerRuns", vm.parseJsonUint(artifact, ".metadata.settings.optimizer.runs")
        );

        (bytes32 transaction, uint256 blockNumber) = _creation(validator);
        string memory record = "record";
        vm.serializeJson(record, "{}"); // forgets an earlier one
        vm.serializeUint(record, "chainId", block.chainid);
        vm.serializeAddress(record, "address", validator);
        vm.serializeAddress(record, "bridge", bridge);
        vm.serializeBytes(record, "constructorArguments", abi.encode(bridge));
        vm.serializeAddress(record, "factory", FACTORY);
        vm.serializeBytes32(record, "salt", SALT);
        vm.serializeBytes32(record, "codeHash", validator.codehash);
        if (transaction != 0) {
            vm.serializeBytes32(record, "transaction", transaction);
            vm.serializeUint(record, "block", blockNumber);
        }
        vm.createDir(recordFolder(), true);
        vm.writeJson(vm.serializeString(record, "compiler", compiler), recordPath());
        console.log("recorded in", recordPath());
    }

    /// @dev The transaction that created it, by forge's log, or else by the record so far. Without either, zeros.
    function _creation(address validator) private view returns (bytes32 transaction, uint256 blockNumber) {
        VmSafe.BroadcastTxType kind = VmSafe.BroadcastTxType.Create2;
        try vm.getBroadcast("WalletProposalValidator", uint64(block.chainid), kind) returns (
            VmSafe.BroadcastTxSummary memory creation
        ) {
            if (creation.contractAddress == validator) return (creation.txHash, creation.blockNumber);
        } catch {}

        if (!vm.exists(recordPath())) return (0, 0);
        string memory record = vm.readFile(recordPath());
        bool same = vm.parseJsonAddress(record, ".address") == validator;
        if (!same || !vm.keyExistsJson(record, ".transaction")) return (0, 0);
        return (vm.parseJsonBytes32(record, ".transaction"), vm.parseJsonUint(record, ".block"));
    }
}
