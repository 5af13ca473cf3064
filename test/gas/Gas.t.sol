// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;
import {ValidatorTest} from "../support/ValidatorTest.sol";
import {Bitcoin} from "../support/Bitcoin.sol";
import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {console} from "forge-std/console.sol";

contract GasTest is ValidatorTest {
    address deployed;

    function setUp() public override {
        super.setUp();
        string memory j = vm.readFile(
            "node_modules/@keep-network/tbtc-v2/build/contracts/bridge/WalletProposalValidator.sol/WalletProposalValidator.json"
        );
        bytes memory code = bytes.concat(vm.parseJsonBytes(j, ".bytecode"), abi.encode(bridge));
        address d;
        assembly { d := create(0, add(code, 32), mload(code)) }
        deployed = d;
    }

    function _gas(address target, bytes memory data) internal returns (uint256) {
        vm.cool(address(bridge));
        vm.cool(target);
        (bool ok,) = target.staticcall(data);
        require(ok, "fail");
        return vm.lastCallGas().gasTotalUsed;
    }

    function _row(string memory name, bytes memory data) internal {
        uint256 d = _gas(deployed, data);
        uint256 o = _gas(address(validator), data);
        console.log(name, o, d, o * 10000 / d);
    }

    function test_gas() public {
        Sweep memory s = _sweep(20);
        _row("sweep20", abi.encodeCall(IValidator.validateDepositSweepProposal, (s.proposal, s.extraInfo)));
        s = _sweep(1);
        _row("sweep1", abi.encodeCall(IValidator.validateDepositSweepProposal, (s.proposal, s.extraInfo)));
        _row("redemption20", abi.encodeCall(IValidator.validateRedemptionProposal, (_redemption(20))));
        _row("redemption1", abi.encodeCall(IValidator.validateRedemptionProposal, (_redemption(1))));
        _row("heartbeat", abi.encodeCall(IValidator.validateHeartbeatProposal, (_heartbeat())));
        _row("movedfunds", abi.encodeCall(IValidator.validateMovedFundsSweepProposal, (_movedFundsSweep())));
        MovingFunds memory m = _movingFunds();
        _row("movingfunds", abi.encodeCall(IValidator.validateMovingFundsProposal, (m.proposal, m.mainUtxo)));
        IValidator.RedemptionProposal memory r = _redemption(20);
        _setDelay(r, 0, 5);
        _row("redemption20 wt", abi.encodeCall(IValidator.validateRedemptionProposal, (r)));
        // Bridge's own
        uint256 t;
        for (uint256 i = 0; i < 20; i++) {
            t += _gas(address(bridge), abi.encodeCall(bridge.deposits, (_depositKey(s.proposal.depositsKeys[0]))))
            - 2600;
        }
        console.log(t);
        s = _sweep(20);
        for (uint256 i; i < 20; i++) {
            _putDeposit(s, i, _deposit(i), 99, 100);
        }
        _row("inc8", abi.encodeCall(IValidator.validateDepositSweepProposal, (s.proposal, s.extraInfo)));
    }
}
