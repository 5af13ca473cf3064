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

/// The script with its records in a folder of the test's own, and either kind of run.
contract DeployHere is Deploy {
    string private _folder;
    bool private _lasts;

    constructor(string memory name, bool lasts) {
        _folder = string.concat("cache/deployments/", name);
        _lasts = lasts;
    }

    function recordFolder() public view override returns (string memory) {
        return _folder;
    }

    function _keepsState() internal view override returns (bool) {
        return _lasts;
    }
}

/// The deploy script: where it deploys, what it refuses, what it records, and that a second run changes nothing.
contract DeployTest is Test {
    /// The deterministic deployment proxy's code, as on mainnet.
    bytes private constant FACTORY_CODE =
        hex"7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3";

    address private bridge;

    function setUp() external {
        bridge = address(new PlainBridge());
        vm.etch(0x4e59b44847b379578588920cA78FbF26c0B4956C, FACTORY_CODE);
    }

    function test_deploysWhereItSaidAndRecordsIt() external {
        Deploy script = _script("deploys");
        address expected = script.addressFor(bridge);
        assertEq(script.run(bridge), expected);
        assertEq(address(IValidator(expected).bridge()), bridge);

        string memory record = vm.readFile(script.recordPath());
        assertEq(vm.parseJsonUint(record, ".chainId"), 31337);
        assertEq(vm.parseJsonAddress(record, ".address"), expected);
        assertEq(vm.parseJsonAddress(record, ".bridge"), bridge);
        assertEq(vm.parseJsonBytes(record, ".constructorArguments"), abi.encode(bridge));
        assertEq(vm.parseJsonBytes32(record, ".codeHash"), expected.codehash);
        assertEq(vm.parseJsonBytes32(record, ".salt"), script.SALT());
        assertEq(vm.parseJsonAddress(record, ".factory"), script.FACTORY());
        assertEq(vm.parseJsonString(record, ".compiler.evmVersion"), "cancun");
        assertTrue(vm.parseJsonBool(record, ".compiler.viaIR"));
        assertFalse(vm.keyExistsJson(record, ".transaction"), "known only once sent");
    }

    function test_aSecondRunFindsTheSameCode() external {
        Deploy script = _script("second");
        address first = script.run(bridge);
        string memory record = vm.readFile(script.recordPath());
        uint64 nonce = vm.getNonce(script.FACTORY());
        assertEq(script.run(bridge), first);
        assertEq(vm.getNonce(script.FACTORY()), nonce, "nothing deployed");
        assertEq(vm.readFile(script.recordPath()), record);
    }

    function test_aSecondRunKeepsTheTransactionOnRecord() external {
        Deploy script = _script("kept");
        script.run(bridge);
        string memory path = script.recordPath();
        bytes32 transaction = keccak256("transaction");
        vm.serializeAddress("kept", "address", script.addressFor(bridge));
        vm.serializeUint("kept", "block", 7);
        vm.writeJson(vm.serializeBytes32("kept", "transaction", transaction), path);
        script.run(bridge);
        assertEq(vm.parseJsonBytes32(vm.readFile(path), ".transaction"), transaction);
        assertEq(vm.parseJsonUint(vm.readFile(path), ".block"), 7);

        address other = address(new PlainBridge());
        script.run(other);
        assertEq(vm.parseJsonAddress(vm.readFile(path), ".bridge"), other);
        assertFalse(vm.keyExistsJson(vm.readFile(path), ".transaction"), "of another deployment");
    }

    function test_theAddressDependsOnTheBridgeAloneNotOnTheChain() external {
        Deploy script = _script("address");
        address here = script.addressFor(bridge);
        assertNotEq(script.addressFor(address(new PlainBridge())), here);
        vm.chainId(1);
        assertEq(script.addressFor(bridge), here);
        assertEq(script.run(bridge), here);
    }

    function test_aDryRunRecordsNothing() external {
        Deploy script = new DeployHere("dry", false);
        script.run(bridge);
        assertFalse(vm.exists(script.recordPath()));
    }

    function test_takesTheBridgeFromTheEnvironment() external {
        vm.setEnv("BRIDGE", vm.toString(bridge));
        Deploy script = _script("environment");
        assertEq(script.run(), script.addressFor(bridge));
        vm.chainId(1);
        assertEq(script.run(), script.addressFor(bridge));
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
            vm.expectRevert(abi.encodeWithSelector(Deploy.BridgeViewMissing.selector, bridge, names[i]));
            script.run(bridge);
            vm.clearMockedCalls();
            vm.mockCall(bridge, abi.encodePacked(selectors[i]), new bytes(12 * 32));
            vm.expectRevert(abi.encodeWithSelector(Deploy.BridgeViewMissing.selector, bridge, names[i]));
            script.run(bridge);
            vm.clearMockedCalls();
        }
    }

    function test_refusesAWatchtowerThatLacksItsView() external {
        Deploy script = _script("watchtower");
        address watchtower = address(new PlainWatchtower());
        PlainBridge(bridge).setRedemptionWatchtower(watchtower);
        script.run(bridge);

        vm.mockCallRevert(watchtower, abi.encodePacked(IRedemptionWatchtower.getRedemptionDelay.selector), "");
        vm.expectRevert(abi.encodeWithSelector(Deploy.BridgeViewMissing.selector, watchtower, "getRedemptionDelay"));
        script.run(bridge);
    }

    function test_refusesAChainWithoutTheFactory() external {
        Deploy script = _script("factory");
        vm.etch(script.FACTORY(), "");
        vm.expectRevert(abi.encodeWithSelector(Deploy.FactoryWithoutCode.selector, script.FACTORY()));
        script.run(bridge);
    }

    function test_refusesAFactoryThatDeploysNothing() external {
        Deploy script = _script("bad-factory");
        vm.etch(script.FACTORY(), hex"00");
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

    function _script(string memory name) private returns (Deploy) {
        return new DeployHere(name, true);
    }
}
