// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Vm} from "forge-std/Vm.sol";
import {IBridge} from "../../contracts/interfaces/IBridge.sol";
import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";

/// The validator that runs on mainnet since 2024, from the npm package's artifact.
library DeployedValidator {
    string internal constant ARTIFACT =
        "node_modules/@keep-network/tbtc-v2/build/contracts/bridge/WalletProposalValidator.sol/WalletProposalValidator.json";

    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    /// Deploys its bytecode for this Bridge.
    function deploy(IBridge bridge) internal returns (IValidator validator) {
        bytes memory code = vm.parseJsonBytes(vm.readFile(ARTIFACT), ".bytecode");
        code = bytes.concat(code, abi.encode(bridge));
        assembly {
            validator := create(0, add(code, 0x20), mload(code))
        }
        require(address(validator) != address(0), "the artifact's bytecode doesn't deploy");
    }
}
