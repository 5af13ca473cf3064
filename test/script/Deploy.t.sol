// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {IBridge} from "../../contracts/interfaces/IBridge.sol";
import {IRedemptionWatchtower} from "../../contracts/interfaces/IRedemptionWatchtower.sol";
import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {Deploy} from "../../script/Deploy.s.sol";
import {PlainBridge} from "../doubles/PlainBridge.sol";
import {PlainWatchtower} from "../doubles/PlainWatchtower.sol";
import {DeployedValidator} from "../support/DeployedValidator.sol";

/// The script with its records in a folder of the test's own, and any build.
contract DeployHere is Deploy {
    string private _folder;
    bytes private _code;

    constructor(string memory name) {
        _folder = string.concat("cache/deployments/", name);
        _code = super._creationCode();
    }

    function setCreationCode(bytes memory code) external {
        _code = code;
    }

    function recordFolder() public view override returns (string memory) {
        return _folder;
    }

    function _creationCode() internal view override returns (bytes memory) {
        return _code;
    }
}

/// The deploy script: where it deploys, what it refuses, what it records, and that a second run changes nothing. What forge knows
/// only once it has sent a transaction is tested on a local chain, in `crates/testkit/tests/deploy_script.rs`.
contract DeployTest is Test {
    /// The deterministic deployment proxy's code, as on mainnet.
    bytes private constant FACTORY_CODE =
        hex"7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3";

    address private bridge;

    function setUp() external {
        bridge = address(new PlainBridge());
        vm.etch(0x4e59b44847b379578588920cA78FbF26c0B4956C, FACTORY_CODE);
    }

    /// Fails when the compiler, its settings or the code change: then the address is another everywhere.
    function test_theBuildIsTheOneThatIsPinned() external {
        DeployHere script = _script("pinned");
        bytes memory code = vm.getCode("WalletProposalValidator.sol:WalletProposalValidator");
        assertEq(keccak256(code), script.CREATION_CODE_HASH());
        address mainnetBridge = 0x5e4861a80B55f035D899f66772117F00FA0E8e7B;
        assertEq(script.addressFor(mainnetBridge), 0x7f966d62Ad7547971c683afFA9Ac5aa0d6d35a4B);
    }

    function test_refusesAnotherBuild() external {
        DeployHere script = _script("build");
        address validator = script.run(bridge);
        bytes memory code = vm.getCode("WalletProposalValidator.sol:WalletProposalValidator");
        code[code.length - 1] ^= 0x01;
        script.setCreationCode(code);
        bytes memory refusal =
            abi.encodeWithSelector(Deploy.BuildMismatch.selector, script.CREATION_CODE_HASH(), keccak256(code));
        vm.expectRevert(refusal);
        script.run(bridge);
        vm.expectRevert(refusal);
        script.record(bridge);
        vm.expectRevert(refusal);
        script.verify(validator);
    }

    function test_deploysWhereItSaidAndRecordsIt() external {
        Deploy script = _script("deploys");
        address expected = script.addressFor(bridge);
        assertEq(script.run(bridge), expected);
        assertEq(address(IValidator(expected).bridge()), bridge);
        assertFalse(vm.exists(script.recordPath()), "may be a dry run");

        assertEq(script.record(bridge), expected);
        string memory record = vm.readFile(script.recordPath());
        assertEq(vm.parseJsonUint(record, ".chainId"), 31337);
        assertEq(vm.parseJsonAddress(record, ".address"), expected);
        assertEq(vm.parseJsonAddress(record, ".bridge"), bridge);
        assertEq(vm.parseJsonBytes(record, ".constructorArguments"), abi.encode(bridge));
        assertEq(vm.parseJsonBytes32(record, ".creationCodeHash"), script.CREATION_CODE_HASH());
        assertEq(vm.parseJsonBytes32(record, ".codeHash"), expected.codehash);
        assertEq(vm.parseJsonBytes32(record, ".salt"), script.SALT());
        assertEq(vm.parseJsonAddress(record, ".factory"), script.FACTORY());
        assertEq(vm.parseJsonString(record, ".compiler.version"), "0.8.30+commit.73712a01");
        assertEq(vm.parseJsonString(record, ".compiler.evmVersion"), "cancun");
        assertTrue(vm.parseJsonBool(record, ".compiler.viaIR"));
        assertTrue(vm.parseJsonBool(record, ".compiler.optimizer"));
        assertEq(vm.parseJsonUint(record, ".compiler.optimizerRuns"), 1_000_000);
        assertEq(vm.parseJsonString(record, ".compiler.bytecodeHash"), "none");
        assertFalse(vm.keyExistsJson(record, ".transaction"), "known only once sent");
        assertFalse(vm.keyExistsJson(record, ".block"), "known only once sent");
    }

    function test_aSecondRunFindsTheSameCode() external {
        Deploy script = _script("second");
        address first = script.run(bridge);
        uint64 nonce = vm.getNonce(script.FACTORY());
        assertEq(script.run(bridge), first);
        assertEq(vm.getNonce(script.FACTORY()), nonce, "nothing deployed");
    }

    function test_recordsNothingThatIsntThere() external {
        Deploy script = _script("nothing");
        address validator = script.addressFor(bridge);
        vm.expectRevert(abi.encodeWithSelector(Deploy.ValidatorWithoutCode.selector, validator));
        script.record(bridge);
        vm.etch(validator, hex"00");
        bytes32 built = deployCode("WalletProposalValidator.sol:WalletProposalValidator", abi.encode(bridge)).codehash;
        vm.expectRevert(abi.encodeWithSelector(Deploy.CodeMismatch.selector, validator, built, validator.codehash));
        script.record(bridge);
        assertFalse(vm.exists(script.recordPath()));
    }

    function test_keepsTheTransactionOnRecord() external {
        Deploy script = _script("kept");
        script.run(bridge);
        string memory path = _writeRecord(script, script.addressFor(bridge));
        script.record(bridge);
        assertEq(vm.parseJsonBytes32(vm.readFile(path), ".transaction"), keccak256("transaction"));
        assertEq(vm.parseJsonUint(vm.readFile(path), ".block"), 7);
        assertEq(vm.parseJsonAddress(vm.readFile(path), ".bridge"), bridge);
        script.verify(script.addressFor(bridge));
    }

    function test_overwritesNoRecordOfAnotherValidator() external {
        Deploy script = _script("another");
        address validator = script.run(bridge);
        string memory path = _writeRecord(script, address(1234));
        string memory before = vm.readFile(path);
        bytes memory refusal = abi.encodeWithSelector(Deploy.RecordOfAnother.selector, path, address(1234), validator);
        vm.expectRevert(refusal);
        script.run(bridge);
        vm.expectRevert(refusal);
        script.record(bridge);
        assertEq(vm.readFile(path), before);
        script.verify(validator); // there is no record of it
    }

    function test_verifiesTheRecordToo() external {
        Deploy script = _script("verify-record");
        address validator = script.run(bridge);
        script.record(bridge);
        string memory path = script.recordPath();
        string memory record = vm.readFile(path);
        script.verify(validator);

        vm.writeJson("false", path, ".compiler.optimizer");
        vm.expectPartialRevert(Deploy.RecordMismatch.selector);
        script.verify(validator);
        vm.writeFile(path, record);
        vm.writeJson(vm.toString(address(1234)), path, ".bridge");
        vm.expectPartialRevert(Deploy.RecordMismatch.selector);
        script.verify(validator);
    }

    function test_theAddressDependsOnTheBridgeAloneNotOnTheChain() external {
        Deploy script = _script("address");
        address here = script.addressFor(bridge);
        assertNotEq(script.addressFor(address(new PlainBridge())), here);
        vm.chainId(1);
        assertEq(script.addressFor(bridge), here);
        assertEq(script.run(bridge), here);
    }

    function test_refusesAnUnknownChainUnlessTold() external {
        Deploy script = _script("chain");
        vm.chainId(424242);
        vm.expectRevert(abi.encodeWithSelector(Deploy.ChainUnknown.selector, 424242));
        script.run(bridge);
        vm.setEnv("ALLOW_CHAIN", "424242");
        script.run(bridge);
        vm.chainId(424243);
        vm.expectRevert(abi.encodeWithSelector(Deploy.ChainUnknown.selector, 424243));
        script.run(bridge);
    }

    function test_refusesABridgeWithoutCode() external {
        Deploy script = _script("no-bridge");
        vm.expectRevert(abi.encodeWithSelector(Deploy.BridgeWithoutCode.selector, address(1234)));
        script.run(address(1234));
    }

    function test_refusesABridgeThatLacksAView() external {
        bytes4[8] memory selectors = [
            IBridge.wallets.selector,
            IBridge.deposits.selector,
            IBridge.pendingRedemptions.selector,
            IBridge.movedFundsSweepRequests.selector,
            IBridge.depositParameters.selector,
            IBridge.redemptionParameters.selector,
            IBridge.movingFundsParameters.selector,
            IBridge.getRedemptionWatchtower.selector
        ];
        string[8] memory names = [
            "wallets",
            "deposits",
            "pendingRedemptions",
            "movedFundsSweepRequests",
            "depositParameters",
            "redemptionParameters",
            "movingFundsParameters",
            "getRedemptionWatchtower"
        ];
        Deploy script = _script("views");
        for (uint256 i = 0; i < 8; ++i) {
            vm.mockCallRevert(bridge, abi.encodePacked(selectors[i]), "");
            vm.expectRevert(abi.encodeWithSelector(Deploy.ViewMissing.selector, bridge, names[i]));
            script.run(bridge);
            vm.clearMockedCalls();
            vm.mockCall(bridge, abi.encodePacked(selectors[i]), new bytes(12 * 32));
            vm.expectRevert(abi.encodeWithSelector(Deploy.ViewMissing.selector, bridge, names[i]));
            script.run(bridge);
            vm.clearMockedCalls();
        }
    }

    /// Each parameter's last bit beyond its type: the validator would leave every proposal undecided.
    function test_refusesABridgeThatTheValidatorCantRead() external {
        bytes4[4] memory selectors = [
            IBridge.depositParameters.selector,
            IBridge.redemptionParameters.selector,
            IBridge.movingFundsParameters.selector,
            IBridge.getRedemptionWatchtower.selector
        ];
        uint256[4] memory words = [uint256(4), 7, 11, 1];
        uint256[4] memory bits = [uint256(64), 64, 64, 160];
        Deploy script = _script("unreadable");
        for (uint256 i = 0; i < 4; ++i) {
            bytes memory answer = new bytes(32 * words[i]);
            uint256 excess = 2 ** bits[i];
            assembly {
                mstore(add(answer, 0x20), excess)
            }
            vm.mockCall(bridge, abi.encodePacked(selectors[i]), answer);
            vm.expectRevert(abi.encodeWithSelector(Deploy.BridgeUnreadable.selector, bridge));
            script.run(bridge);
            vm.clearMockedCalls();
        }
        script.run(bridge);
    }

    function test_refusesAWatchtowerThatLacksItsView() external {
        Deploy script = _script("watchtower");
        address watchtower = address(new PlainWatchtower());
        PlainBridge(bridge).setRedemptionWatchtower(watchtower);
        script.run(bridge);

        bytes memory refusal = abi.encodeWithSelector(Deploy.ViewMissing.selector, watchtower, "getRedemptionDelay");
        bytes memory delay = abi.encodePacked(IRedemptionWatchtower.getRedemptionDelay.selector);
        vm.mockCallRevert(watchtower, delay, "");
        vm.expectRevert(refusal);
        script.run(bridge);
        vm.mockCall(watchtower, delay, new bytes(64));
        vm.expectRevert(refusal);
        script.run(bridge);
        vm.clearMockedCalls();
        vm.etch(watchtower, "");
        vm.expectRevert(refusal);
        script.run(bridge);
    }

    /// As the real one does: the request with key 0 isn't pending.
    function test_takesAWatchtowerThatRefusesWithWords() external {
        Deploy script = _script("watchtower-words");
        address watchtower = address(new PlainWatchtower());
        PlainBridge(bridge).setRedemptionWatchtower(watchtower);
        bytes memory delay = abi.encodePacked(IRedemptionWatchtower.getRedemptionDelay.selector);
        vm.mockCallRevert(watchtower, delay, abi.encodeWithSignature("Error(string)", "not pending"));
        assertEq(script.verify(script.run(bridge)), bridge);
    }

    function test_refusesAChainWithoutTheFactory() external {
        Deploy script = _script("factory");
        vm.etch(script.FACTORY(), "");
        vm.expectRevert(abi.encodeWithSelector(Deploy.FactoryWithoutCode.selector, script.FACTORY()));
        script.run(bridge);
    }

    function test_refusesAnotherFactory() external {
        DeployHere script = _script("other-factory");
        bytes memory code = FACTORY_CODE;
        code[code.length - 1] ^= 0x01;
        vm.etch(script.FACTORY(), code);
        bytes32 pinned = keccak256(FACTORY_CODE);
        vm.expectRevert(
            abi.encodeWithSelector(Deploy.FactoryMismatch.selector, script.FACTORY(), pinned, keccak256(code))
        );
        script.run(bridge);
    }

    function test_refusesAFactoryThatDeploysNothing() external {
        Deploy script = _script("bad-factory");
        vm.mockCallRevert(script.FACTORY(), abi.encodePacked(script.SALT()), "");
        vm.expectRevert(abi.encodeWithSelector(Deploy.FactoryFailed.selector, script.FACTORY()));
        script.run(bridge);
    }

    function test_refusesOtherCodeAtTheAddress() external {
        Deploy script = _script("other-code");
        address built = script.run(bridge);
        bytes32 expected = built.codehash;
        bytes memory code = built.code;
        code[code.length - 1] ^= 0x01;
        vm.etch(built, code);
        vm.expectRevert(abi.encodeWithSelector(Deploy.CodeMismatch.selector, built, expected, keccak256(code)));
        script.run(bridge);
    }

    function test_verifiesADeploymentByWhateverMeans() external {
        Deploy script = _script("verify");
        assertEq(script.verify(script.run(bridge)), bridge);
        bytes memory args = abi.encode(bridge);
        assertEq(script.verify(deployCode("WalletProposalValidator.sol:WalletProposalValidator", args)), bridge);
    }

    function test_doesntVerifyOtherCode() external {
        Deploy script = _script("verify-other");
        address other = address(DeployedValidator.deploy(IBridge(bridge)));
        bytes32 built = script.run(bridge).codehash;
        vm.expectRevert(abi.encodeWithSelector(Deploy.CodeMismatch.selector, other, built, other.codehash));
        script.verify(other);
        vm.expectRevert(abi.encodeWithSelector(Deploy.ValidatorWithoutCode.selector, address(1234)));
        script.verify(address(1234));
    }

    function test_doesntVerifyWhatNamesNoBridge() external {
        Deploy script = _script("no-validator");
        vm.expectRevert(abi.encodeWithSelector(Deploy.ViewMissing.selector, bridge, "bridge"));
        script.verify(bridge);
    }

    /// A record that tells a transaction, and else only whose it is.
    function _writeRecord(Deploy script, address validator) private returns (string memory path) {
        path = script.recordPath();
        vm.createDir(script.recordFolder(), true);
        string memory json = script.recordFolder();
        vm.serializeAddress(json, "address", validator);
        vm.serializeUint(json, "block", 7);
        vm.writeJson(vm.serializeBytes32(json, "transaction", keccak256("transaction")), path);
    }

    /// Its folder is as new.
    function _script(string memory name) private returns (DeployHere script) {
        // Within this test's own code it would be too much of it.
        script = DeployHere(deployCode("Deploy.t.sol:DeployHere", abi.encode(name)));
        if (vm.exists(script.recordFolder())) vm.removeDir(script.recordFolder(), true);
    }
}
