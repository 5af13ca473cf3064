// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {console} from "forge-std/console.sol";
import {IBridge} from "../../contracts/interfaces/IBridge.sol";
import {IRedemptionWatchtower} from "../../contracts/interfaces/IRedemptionWatchtower.sol";
import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {Bitcoin} from "../support/Bitcoin.sol";
import {ColdTest} from "./Cold.sol";
import {Form} from "./Form.sol";

/// What each piece of assembly costs beside its plain form, without the decoding around and without the Bridge's own answers;
/// how much more the call that it serves would cost with that; and what the sweep of 20 is made of. Cold, on a plain unproxied Bridge,
/// compiled as the validator is.
contract AssemblyTest is ColdTest {
    address private ours;
    address private plain;
    address private none;

    /// The validator's call that all is weighed against, and its gas.
    string private call;
    uint256 private whole;
    /// The gas of the Bridge's answers to that call, and of asking for them and checking them.
    uint256 private answers;
    uint256 private reading;

    function setUp() public override {
        super.setUp();
        ours = deployCode("Forms.sol:LibraryForm");
        plain = deployCode("Forms.sol:PlainForm");
        none = deployCode("Forms.sol:NoForm");
    }

    function test_depositSweepOf20() external {
        Sweep memory sweep = _sweep(20);
        _call("sweep of 20", _data(sweep));
        uint256[] memory keys = new uint256[](20);
        bytes32[] memory hashes = new bytes32[](20);
        bytes[] memory scripts = new bytes[](20);
        for (uint256 i = 0; i < 20; ++i) {
            keys[i] = _depositKey(sweep.proposal.depositsKeys[i]);
            hashes[i] = sha256(Bitcoin.depositScript(_deposit(i)));
            scripts[i] = Bitcoin.fundingScript(_deposit(i));
        }

        _readEach("readDeposit", Form.readDeposit.selector, address(bridge), IBridge.deposits.selector, keys);
        _readWalletAndParameters();
        uint256 info = _weigh("ExtraInfos", abi.encodeCall(Form.read, (sweep.extraInfo)));
        uint256 hash256 = _weigh("hash256", abi.encodeCall(Form.hash256, (sweep.extraInfo)));
        uint256 walk = _weigh("scriptAt", abi.encodeCall(Form.scriptAt, (sweep.extraInfo, 1)));
        bytes memory data = abi.encodeCall(Form.hash, (address(1), 0, sweep.extraInfo));
        uint256 script = _weigh("DepositScript.hash", data);
        script += _weigh("isPaidBy", abi.encodeCall(Form.isPaidBy, (hashes, scripts)));
        uint256 key = _weigh("Keys.output", abi.encodeCall(Form.output, (sweep.proposal.depositsKeys)));
        key += _weigh("KeyList.put", abi.encodeCall(Form.put, (keys)));

        _part("the Bridge's own answers", answers);
        _part("asking for them, and their check", reading);
        _part("extra infos", info);
        _part("transactions' hashes", hash256);
        _part("walks to outputs", walk);
        _part("deposit scripts", script);
        _part("keys", key);
        _part("the rest of decoding, and rules", whole - answers - reading - info - hash256 - walk - script - key);

        (ours, plain) = (plain, deployCode("Forms.sol:AllWithAllForm"));
        _weigh("KeyList's set, both plain", abi.encodeCall(Form.put, (keys)));
    }

    function test_depositSweepOf20P2SHWithExtraData() external {
        Sweep memory sweep = _sweep(20);
        bytes32[] memory hashes = new bytes32[](20);
        bytes[] memory scripts = new bytes[](20);
        for (uint256 i = 0; i < 20; ++i) {
            Bitcoin.Deposit memory deposit = _deposit(i);
            deposit.outputType = Bitcoin.OutputType.P2sh;
            deposit.extraData = keccak256(abi.encode(i));
            _putDeposit(sweep, i, deposit, 1, 2);
            hashes[i] = sha256(Bitcoin.depositScript(deposit));
            scripts[i] = Bitcoin.fundingScript(deposit);
        }
        _call("sweep of 20, P2SH with extra data", _data(sweep));
        _weigh("DepositScript.hash", abi.encodeCall(Form.hash, (address(1), keccak256("data"), sweep.extraInfo)));
        _weigh("isPaidBy", abi.encodeCall(Form.isPaidBy, (hashes, scripts)));
    }

    function test_depositSweepOf1() external {
        _call("sweep of 1", _data(_sweep(1)));
        _readWalletAndParameters();
    }

    function test_redemptionOf1() external {
        _call("redemption of 1", abi.encodeCall(IValidator.validateRedemptionProposal, (_redemption(1))));
        bytes memory data = abi.encodeCall(Form.readRedemptionParameters, (bridge));
        _read("readRedemptionParameters", data, abi.encodeCall(IBridge.redemptionParameters, ()));
        data = abi.encodeCall(Form.readRedemptionWatchtower, (bridge));
        _read("readRedemptionWatchtower", data, abi.encodeCall(IBridge.getRedemptionWatchtower, ()));
    }

    /// INC-8.
    function test_depositSweepOf20WithThousandOutputsEach() external {
        Sweep memory sweep = _largeSweep(1_000);
        _call("sweep of 20, 1000 outputs each", _data(sweep));
        _weigh("hash256", abi.encodeCall(Form.hash256, (sweep.extraInfo)));
        _weigh("scriptAt", abi.encodeCall(Form.scriptAt, (sweep.extraInfo, 999)));
    }

    function test_redemptionOf20WithAWatchtower() external {
        IValidator.RedemptionProposal memory proposal = _redemption(20);
        _setDelay(proposal, 0, 1 hours);
        _call("redemption of 20, watchtower set", abi.encodeCall(IValidator.validateRedemptionProposal, (proposal)));
        uint256[] memory keys = new uint256[](20);
        for (uint256 i = 0; i < 20; ++i) {
            keys[i] = _redemptionKey(proposal.redeemersOutputScripts[i], WALLET);
        }
        _weigh("Keys.redemption", abi.encodeCall(Form.redemption, (proposal.redeemersOutputScripts, WALLET)));
        bytes4 form = Form.readRedemption.selector;
        _readEach("readRedemption", form, address(bridge), IBridge.pendingRedemptions.selector, keys);
        form = Form.readRedemptionDelay.selector;
        bytes4 question = IRedemptionWatchtower.getRedemptionDelay.selector;
        _readEach("readRedemptionDelay", form, bridge.getRedemptionWatchtower(), question, keys);
    }

    function test_movingFunds() external {
        MovingFunds memory m = _movingFunds();
        _call("moving funds", _data(m));
        bytes memory data = abi.encodeCall(Form.readMovingFundsParameters, (bridge));
        _read("readMovingFundsParameters", data, abi.encodeCall(IBridge.movingFundsParameters, ()));
    }

    function test_movedFundsSweep() external {
        IValidator.MovedFundsSweepProposal memory proposal = _movedFundsSweep();
        _call("moved funds sweep", abi.encodeCall(IValidator.validateMovedFundsSweepProposal, (proposal)));
        uint256 key =
            uint256(keccak256(abi.encodePacked(proposal.movingFundsTxHash, proposal.movingFundsTxOutputIndex)));
        bytes memory data = abi.encodeCall(Form.readMovedFundsSweepRequest, (bridge, key));
        _read("readMovedFundsSweepRequest", data, abi.encodeCall(IBridge.movedFundsSweepRequests, (key)));
    }

    function _call(string memory name, bytes memory data) private {
        (call, whole) = (name, _judge(address(validator), data));
    }

    function _readWalletAndParameters() private {
        bytes memory question = abi.encodeCall(IBridge.wallets, (WALLET));
        _read("readWallet", abi.encodeCall(Form.readWallet, (bridge, WALLET)), question);
        question = abi.encodeCall(IBridge.depositParameters, ());
        _read("readDepositParameters", abi.encodeCall(Form.readDepositParameters, (bridge)), question);
    }

    function _readEach(string memory name, bytes4 form, address callee, bytes4 question, uint256[] memory keys)
        private
    {
        uint256 sum = 0;
        for (uint256 i = 0; i < keys.length; ++i) {
            (uint256 gas,) = _gas(callee, abi.encodeWithSelector(question, keys[i]));
            sum += gas;
        }
        answers += sum;
        reading += _weigh(name, abi.encodeWithSelector(form, callee, keys), sum);
    }

    function _read(string memory name, bytes memory data, bytes memory question) private {
        (uint256 gas,) = _gas(address(bridge), question);
        answers += gas;
        reading += _weigh(name, data, gas);
    }

    function _weigh(string memory name, bytes memory data) private returns (uint256) {
        return _weigh(name, data, 0);
    }

    /// The gas of our form, less that of what is around it and of the `answered` in it. The plain form gives the same and costs
    /// more.
    function _weigh(string memory name, bytes memory data, uint256 answered) private returns (uint256 gas) {
        (uint256 rest,) = _gas(none, data);
        (uint256 plainGas, bytes memory expected) = _gas(plain, data);
        bytes memory result;
        (gas, result) = _gas(ours, data);
        assertEq(result, expected);
        assertLt(gas, plainGas);
        (gas, plainGas) = (gas - rest - answered, plainGas - rest - answered);
        string memory ratio = string.concat(
            vm.toString(gas), " of ", vm.toString(plainGas), ", ", vm.toString(gas * 100 / plainGas), " %"
        );
        string memory lost = string.concat("; plain, the ", call, " costs ", _percent(plainGas - gas), " more");
        console.log(string.concat("assembly: ", name, ": ", ratio, lost));
    }

    function _part(string memory name, uint256 gas) private view {
        console.log(string.concat("part of the ", call, ": ", name, ": ", vm.toString(gas), ", ", _percent(gas)));
    }

    /// Of the call, to a tenth.
    function _percent(uint256 gas) private view returns (string memory) {
        uint256 tenths = gas * 1_000 / whole;
        return string.concat(vm.toString(tenths / 10), ".", vm.toString(tenths % 10), " %");
    }
}
