// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {DeployedValidator} from "../support/DeployedValidator.sol";
import {ValidatorTest} from "../support/ValidatorTest.sol";

/// Drop-in: each function of the deployed validator's ABI is ours too, with its types, names and mutability, and ours has no other.
contract AbiTest is ValidatorTest {
    string private constant OURS = "out/WalletProposalValidator.sol/WalletProposalValidator.json";

    function test_functionsEqualThoseOfTheDeployedValidator() external view {
        bytes32[] memory theirs = _functions(vm.readFile(DeployedValidator.ARTIFACT));
        bytes32[] memory ours = _functions(vm.readFile(OURS));
        assertEq(theirs.length, 13, "the constructor, seven getters and five validators");
        assertEq(ours, theirs);
    }

    function test_gettersEqualThoseOfTheDeployedValidator() external {
        address deployed = address(DeployedValidator.deploy(bridge));
        string[7] memory getters = [
            "DEPOSIT_MIN_AGE()",
            "DEPOSIT_REFUND_SAFETY_MARGIN()",
            "DEPOSIT_SWEEP_MAX_SIZE()",
            "REDEMPTION_REQUEST_MIN_AGE()",
            "REDEMPTION_REQUEST_TIMEOUT_SAFETY_MARGIN()",
            "REDEMPTION_MAX_SIZE()",
            "bridge()"
        ];
        for (uint256 i = 0; i < getters.length; ++i) {
            bytes memory call = abi.encodeWithSignature(getters[i]);
            (bool success, bytes memory theirs) = deployed.staticcall(call);
            assertTrue(success);
            bytes memory ours;
            (success, ours) = address(validator).staticcall(call);
            assertTrue(success);
            assertEq(ours, theirs, getters[i]);
        }
        assertEq(address(validator.bridge()), address(bridge));
    }

    /// An extra info that no encoder makes is refused as solc's own copy refuses it: without data, so that it is no rejection.
    function test_malformedExtraInfosAreRefusedWithoutData() external {
        bytes memory data = _data(_sweep(1));
        uint256 list = 4 + _word(data, 4 + 0x20);
        uint256 info = list + 0x20 + _word(data, list + 0x20);
        // What follows the refund locktime's 4 bytes; the lowest byte over 64 bits of the transaction's offset.
        uint256[2] memory places = [info + 0x80 + 31, info + 23];
        for (uint256 i = 0; i < 2; ++i) {
            (bool success, bytes memory answer) = address(validator).staticcall(data);
            assertTrue(success);
            data[places[i]] = 0x01;
            (success, answer) = address(validator).staticcall(data);
            assertFalse(success);
            assertEq(answer, "");
            data[places[i]] = 0x00;
        }
    }

    function _word(bytes memory data, uint256 at) private pure returns (uint256 word) {
        for (uint256 i = 0; i < 32; ++i) {
            word = (word << 8) | uint8(data[at + i]);
        }
    }

    /// Nothing is kept in storage, by the compiler's own account; of a contract that keeps something it says so.
    function test_theStorageLayoutIsEmpty() external view {
        string memory first = ".storageLayout.storage[0]";
        string[2] memory artifacts = [OURS, "out/BridgeSnapshot.sol/BridgeSnapshot.json"];
        for (uint256 i = 0; i < 2; ++i) {
            string memory artifact = vm.readFile(artifacts[i]);
            assertTrue(vm.keyExistsJson(artifact, ".storageLayout.storage"));
            assertFalse(vm.keyExistsJson(artifact, first));
        }
        assertTrue(vm.keyExistsJson(vm.readFile("out/PlainBridge.sol/PlainBridge.json"), first));
    }

    /// Hashes of the ABI's entries but errors, sorted; names of Solidity types, which the ABI only notes, left out.
    function _functions(string memory artifact) private view returns (bytes32[] memory entries) {
        uint256 length = 0;
        bytes32[] memory all = new bytes32[](100);
        for (uint256 i = 0;; ++i) {
            string memory entry = string.concat(".abi[", vm.toString(i), "]");
            if (!vm.keyExistsJson(artifact, entry)) break;
            string memory kind = vm.parseJsonString(artifact, string.concat(entry, ".type"));
            if (keccak256(bytes(kind)) == keccak256("error")) continue;

            bool isFunction = keccak256(bytes(kind)) == keccak256("function");
            string memory name = isFunction ? vm.parseJsonString(artifact, string.concat(entry, ".name")) : "";
            string memory mutability = vm.parseJsonString(artifact, string.concat(entry, ".stateMutability"));
            string memory outputs = isFunction ? _parameters(artifact, string.concat(entry, ".outputs")) : "";
            string memory inputs = _parameters(artifact, string.concat(entry, ".inputs"));
            all[length++] = keccak256(abi.encode(kind, name, mutability, inputs, outputs));
        }
        entries = new bytes32[](length);
        for (uint256 i = 0; i < length; ++i) {
            uint256 at = i;
            for (; at > 0 && entries[at - 1] > all[i]; --at) {
                entries[at] = entries[at - 1];
            }
            entries[at] = all[i];
        }
    }

    function _parameters(string memory artifact, string memory path) private view returns (string memory list) {
        for (uint256 i = 0;; ++i) {
            string memory parameter = string.concat(path, "[", vm.toString(i), "]");
            if (!vm.keyExistsJson(artifact, parameter)) break;
            string memory name = vm.parseJsonString(artifact, string.concat(parameter, ".name"));
            string memory kind = vm.parseJsonString(artifact, string.concat(parameter, ".type"));
            string memory components = string.concat(parameter, ".components");
            list = string.concat(list, kind, " ", name);
            if (vm.keyExistsJson(artifact, components)) {
                list = string.concat(list, "(", _parameters(artifact, components), ")");
            }
            list = string.concat(list, ",");
        }
    }
}
