// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {console} from "forge-std/console.sol";
import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {Bitcoin} from "../support/Bitcoin.sol";
import {DeployedValidator} from "../support/DeployedValidator.sol";
import {ColdTest} from "./Cold.sol";

/// Gas of each call, cold, on a plain unproxied Bridge: ours, and the deployed validator's in the same run. Snapshots of ours
/// are committed: a change is a failure until `make snapshots` writes them.
contract GasTest is ColdTest {
    address private deployed;

    function setUp() public override {
        super.setUp();
        deployed = address(DeployedValidator.deploy(bridge));
    }

    function test_depositSweepOf1() external {
        _compare("deposit sweep of 1", _data(_sweep(1)), 850);
    }

    function test_depositSweepOf20() external {
        _compare("deposit sweep of 20", _data(_sweep(20)), 500);
    }

    function test_depositSweepOf20P2SHWithExtraData() external {
        Sweep memory sweep = _sweep(20);
        for (uint256 i = 0; i < 20; ++i) {
            Bitcoin.Deposit memory deposit = _deposit(i);
            deposit.outputType = Bitcoin.OutputType.P2sh;
            deposit.extraData = keccak256(abi.encode(i));
            _putDeposit(sweep, i, deposit, 1, 2);
        }
        _compare("deposit sweep of 20, P2SH with extra data", _data(sweep), 600);
    }

    /// INC-8.
    function test_depositSweepOf20WithThousandOutputsEach() external {
        uint256 ours = _compare("deposit sweep of 20, 1000 outputs each", _data(_largeSweep(1_000)), 600);
        assertLt(ours, 3_500_000);
    }

    /// INC-8.
    function test_depositSweepOf20With2500OutputsEach() external {
        _compare("deposit sweep of 20, 2500 outputs each", _data(_largeSweep(2_500)), 600);
    }

    function test_redemptionOf1() external {
        _compare("redemption of 1", abi.encodeCall(IValidator.validateRedemptionProposal, (_redemption(1))), 1000);
    }

    function test_redemptionOf20() external {
        _compare("redemption of 20", abi.encodeCall(IValidator.validateRedemptionProposal, (_redemption(20))), 665);
    }

    function test_redemptionOf20WithAWatchtower() external {
        IValidator.RedemptionProposal memory proposal = _redemption(20);
        _setDelay(proposal, 0, 1 hours);
        bytes memory data = abi.encodeCall(IValidator.validateRedemptionProposal, (proposal));
        _compare("redemption of 20, watchtower set", data, 800);
    }

    function test_heartbeat() external {
        _compare("heartbeat", abi.encodeCall(IValidator.validateHeartbeatProposal, (_heartbeat())), 1000);
    }

    function test_movingFundsToOneWallet() external {
        _compare("moving funds to 1", _data(_movingFunds(1)), 1000);
    }

    function test_movingFunds() external {
        _compare("moving funds", _data(_movingFunds()), 1000);
    }

    function test_movingFundsTo20Wallets() external {
        _compare("moving funds to 20", _data(_movingFunds(20)), 1000);
    }

    function test_movedFundsSweep() external {
        bytes memory data = abi.encodeCall(IValidator.validateMovedFundsSweepProposal, (_movedFundsSweep()));
        _compare("moved funds sweep", data, 1000);
    }

    function test_bytecodeSize() external {
        uint256 size = address(validator).code.length;
        vm.snapshotValue("bytecode size", size);
        console.log(
            string.concat("bytes of code: ", vm.toString(size), ", deployed ", vm.toString(deployed.code.length))
        );
        assertLt(size, deployed.code.length);
    }

    /// Ours costs at most `perMille` of the deployed validator's.
    function _compare(string memory name, bytes memory data, uint256 perMille) private returns (uint256 ours) {
        uint256 theirs = _judge(deployed, data);
        ours = _judge(address(validator), data);
        vm.snapshotValue(name, ours);
        console.log(
            string.concat(
                "gas: ",
                name,
                ": ",
                vm.toString(ours),
                " of ",
                vm.toString(theirs),
                ", ",
                vm.toString(ours * 100 / theirs),
                " %"
            )
        );
        assertLe(ours * 1_000, theirs * perMille);
    }
}
