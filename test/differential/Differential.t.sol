// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {console} from "forge-std/console.sol";
import {IBridge} from "../../contracts/interfaces/IBridge.sol";
import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {Bitcoin} from "../support/Bitcoin.sol";
import {DeployedValidator} from "../support/DeployedValidator.sol";
import {Scenarios} from "../support/Scenarios.sol";
import {Spec} from "../support/Spec.sol";

/// The same proposals, on the same Bridge, to our validator and to the bytecode deployed in 2024: same verdict, and the error
/// that corresponds to the deployed one's reason. The one difference there may be is INC-1: outputs that nobody can ever
/// spend, which ours rejects by DS-11. With a spendable output in such a one's place, ours has to agree again, so that what
/// the deployed one found later in the proposal is compared too.
///
/// Seeded and counted: DIFFERENTIAL_SEED (1) and DIFFERENTIAL_RUNS (2,000) in the environment. Of the runs, 35 % are sweeps,
/// as many redemptions, 12 % the other kinds, and 18 % are proposals of any kind with calldata that is malformed or unusual: of
/// those, a third or so have an offset that points backward, or where another one does.
contract DifferentialTest is Scenarios {
    bytes4 private constant ERROR = 0x08c379a0;
    bytes4 private constant PANIC = 0x4e487b71;

    IValidator private deployed;
    uint256 private seed;
    uint256 private runs;
    /// The deposit that ours alone rejects.
    uint256 private suspect;
    /// How many calls had an offset that points backward, and how many one that points where another does.
    uint256 private backward;
    uint256 private aliased;

    /// By the hash of the deployed validator's reason, our error. DS-11's reasons stand for either of its errors.
    mapping(bytes32 reason => bytes4 selector) private errorOf;

    function setUp() public override {
        super.setUp();
        deployed = DeployedValidator.deploy(bridge);
        seed = vm.envOr("DIFFERENTIAL_SEED", uint256(1));
        runs = vm.envOr("DIFFERENTIAL_RUNS", uint256(2_000));

        _pair("Wallet is not in Live or MovingFunds state", IValidator.WalletStateNotAllowed.selector);
        _pair("Source wallet is not in Live or MovingFunds state", IValidator.WalletStateNotAllowed.selector);
        _pair("Source wallet is not in MovingFunds state", IValidator.WalletStateNotAllowed.selector);
        _pair("Proposed transaction fee cannot be zero", IValidator.FeeZero.selector);
        _pair("Proposed transaction fee is too high", IValidator.FeeTooHigh.selector);
        _pair("Sweep below the min size", IValidator.SweepEmpty.selector);
        _pair("Sweep exceeds the max size", IValidator.SweepTooLarge.selector);
        _pair("Each deposit key must have matching extra info", IValidator.ExtraInfoCountMismatch.selector);
        _pair("Deposit not revealed", IValidator.DepositNotRevealed.selector);
        _pair("Deposit min age not achieved yet", IValidator.DepositTooYoung.selector);
        _pair("Deposit already swept", IValidator.DepositAlreadySwept.selector);
        _pair("Extra info funding tx hash does not match", IValidator.FundingTxHashMismatch.selector);
        _pair("Extra info funding output script does not match", IValidator.FundingOutputScriptMismatch.selector);
        _pair("Read overrun during VarInt parsing", IValidator.FundingOutputScriptMismatch.selector);
        _pair("Vout read overrun", IValidator.FundingOutputScriptMismatch.selector);
        _pair("Bad VarInt in scriptPubkey", IValidator.FundingOutputScriptMismatch.selector);
        _pair("Slice out of bounds", IValidator.FundingOutputScriptMismatch.selector);
        _pair("Deposit refund safety margin is not preserved", IValidator.DepositRefundTooClose.selector);
        _pair("Deposit controlled by different wallet", IValidator.DepositOfOtherWallet.selector);
        _pair("Deposit targets different vault", IValidator.DepositVaultMismatch.selector);
        _pair("Duplicated deposit", IValidator.DepositDuplicated.selector);
        _pair("Redemption below the min size", IValidator.RedemptionEmpty.selector);
        _pair("Redemption exceeds the max size", IValidator.RedemptionTooLarge.selector);
        _pair("Not a pending redemption request", IValidator.RedemptionNotPending.selector);
        _pair("Redemption request min age not achieved yet", IValidator.RedemptionTooYoung.selector);
        _pair(
            "Redemption request timeout safety margin is not preserved", IValidator.RedemptionTimeoutTooClose.selector
        );
        _pair("Proposed transaction per-request fee share is too high", IValidator.RedemptionFeeShareTooHigh.selector);
        _pair("Duplicated request", IValidator.RedemptionDuplicated.selector);
        _pair("Not a valid heartbeat message", IValidator.HeartbeatMessageInvalid.selector);
        _pair("Target wallets commitment is not submitted", IValidator.TargetWalletsNotCommitted.selector);
        _pair("Target wallets do not match target wallets commitment hash", IValidator.TargetWalletsMismatch.selector);
        _pair("Invalid wallet main UTXO data", IValidator.MainUtxoMismatch.selector);
        _pair(
            "Source wallet BTC balance is below the moving funds dust threshold", IValidator.BalanceBelowDust.selector
        );
        _pair("Sweep request is not in Pending state", IValidator.SweepRequestNotPending.selector);
        _pair("Sweep request does not belong to the wallet", IValidator.SweepRequestOfOtherWallet.selector);
    }

    function _pair(string memory reason, bytes4 selector) private {
        errorOf[keccak256(bytes(reason))] = selector;
    }

    function test_depositSweeps() external {
        _run("deposit sweeps", _oneDepositSweep, 35, 5);
    }

    function test_redemptions() external {
        _run("redemptions", _oneRedemption, 35, 5);
    }

    function test_heartbeats() external {
        _run("heartbeats", _oneHeartbeat, 4, 5);
    }

    function test_movesOfFunds() external {
        _run("moves of funds", _oneMovingFunds, 4, 5);
    }

    function test_movedFundsSweeps() external {
        _run("moved funds sweeps", _oneMovedFundsSweep, 4, 5);
    }

    function test_malformedDepositSweeps() external {
        _run("malformed deposit sweeps", _oneMalformedDepositSweep, 5, 25);
    }

    function test_malformedRedemptions() external {
        _run("malformed redemptions", _oneMalformedRedemption, 5, 25);
    }

    function test_malformedHeartbeats() external {
        _run("malformed heartbeats", _oneMalformedHeartbeat, 2, 25);
    }

    function test_malformedMovesOfFunds() external {
        _run("malformed moves of funds", _oneMalformedMovingFunds, 4, 25);
    }

    function test_malformedMovedFundsSweeps() external {
        _run("malformed moved funds sweeps", _oneMalformedMovedFundsSweep, 2, 25);
    }

    enum Outcome {
        Accepted,
        Rejected,
        /// By ours alone, for INC-1.
        RejectedByOurs,
        /// By ours for INC-1, by the deployed one for a rule that it came to later.
        RejectedForDifferentRules
    }

    /// `percent` of the runs. One in `share` at least is accepted, and one in five rejected.
    function _run(
        string memory kind,
        function(Random memory) internal returns (Outcome) one,
        uint256 percent,
        uint256 share
    ) private {
        Random memory r = Random(uint256(keccak256(abi.encode(seed, kind))));
        uint256[4] memory counts;
        uint256 count = runs * percent / 100;
        for (uint256 i = 0; i < count; ++i) {
            uint256 free = _freeMemory();
            counts[uint256(one(r))] += 1;
            _releaseMemory(free);
        }
        console.log(
            string.concat(
                "differential, seed ",
                vm.toString(seed),
                ": ",
                vm.toString(count),
                " ",
                kind,
                ": ",
                vm.toString(counts[0]),
                " accepted, ",
                vm.toString(counts[1]),
                " rejected by both, ",
                vm.toString(counts[2]),
                " by ours alone (INC-1), ",
                vm.toString(counts[3]),
                " by both for different rules (INC-1), ",
                vm.toString(backward),
                " with an offset backward, ",
                vm.toString(aliased),
                " with one aliased"
            )
        );
        assertGt(count, 0);
        assertGe(counts[0] * share, count, "too few accepted");
        assertGe(counts[1] * 5, count, "too few rejected");
    }

    function _oneDepositSweep(Random memory r) private returns (Outcome) {
        Sweep memory sweep = _randomSweep(r);
        (bool theyAccept, bytes memory theirs) = address(deployed).staticcall(_data(sweep));
        (bool accepted, bytes memory ours) = address(validator).staticcall(_data(sweep));
        bool inc1 = false;
        while (
            _selector(ours) == IValidator.FundingOutputScriptMismatch.selector
                && _makeSpendable(sweep, _firstArgument(ours))
        ) {
            inc1 = true;
            (accepted, ours) = address(validator).staticcall(_data(sweep));
        }
        Outcome outcome = _compare(accepted, ours, theyAccept, theirs);
        if (!inc1) return outcome;
        return outcome == Outcome.Accepted ? Outcome.RejectedByOurs : Outcome.RejectedForDifferentRules;
    }

    function _oneRedemption(Random memory r) private returns (Outcome) {
        return _compare(abi.encodeCall(IValidator.validateRedemptionProposal, (_randomRedemption(r))));
    }

    function _oneHeartbeat(Random memory r) private view returns (Outcome) {
        return _compare(abi.encodeCall(IValidator.validateHeartbeatProposal, (_randomHeartbeat(r))));
    }

    function _oneMovingFunds(Random memory r) private returns (Outcome) {
        return _compare(_data(_randomMovingFunds(r)));
    }

    function _oneMovedFundsSweep(Random memory r) private returns (Outcome) {
        return _compare(abi.encodeCall(IValidator.validateMovedFundsSweepProposal, (_randomMovedFundsSweep(r))));
    }

    function _oneMalformedDepositSweep(Random memory r) private returns (Outcome) {
        return _compareVerdicts(_garble(r, _data(_randomSweep(r))));
    }

    function _oneMalformedRedemption(Random memory r) private returns (Outcome) {
        bytes memory data = abi.encodeCall(IValidator.validateRedemptionProposal, (_randomRedemption(r)));
        return _compareVerdicts(_garble(r, data));
    }

    function _oneMalformedHeartbeat(Random memory r) private returns (Outcome) {
        return _compareVerdicts(_garble(r, abi.encodeCall(IValidator.validateHeartbeatProposal, (_randomHeartbeat(r)))));
    }

    function _oneMalformedMovingFunds(Random memory r) private returns (Outcome) {
        return _compareVerdicts(_garble(r, _data(_randomMovingFunds(r))));
    }

    function _oneMalformedMovedFundsSweep(Random memory r) private returns (Outcome) {
        bytes memory data = abi.encodeCall(IValidator.validateMovedFundsSweepProposal, (_randomMovedFundsSweep(r)));
        return _compareVerdicts(_garble(r, data));
    }

    function _compare(bytes memory data) private view returns (Outcome) {
        (bool accepted, bytes memory ours) = address(validator).staticcall(data);
        (bool theyAccept, bytes memory theirs) = address(deployed).staticcall(data);
        return _compare(accepted, ours, theyAccept, theirs);
    }

    /// Same verdict, and our error corresponds to their reason.
    function _compare(bool accepted, bytes memory ours, bool theyAccept, bytes memory theirs)
        private
        view
        returns (Outcome)
    {
        assertEq(accepted, theyAccept, "verdict");
        if (accepted) {
            assertEq(ours, theirs);
            return Outcome.Accepted;
        }
        bytes4 named = _selector(ours);
        if (_selector(theirs) == PANIC) {
            bool malformed = named == IValidator.FundingOutputMalformed.selector;
            bool mismatch = named == IValidator.FundingOutputScriptMismatch.selector;
            // An index out of bounds: of the vector, or of a script of too few bytes.
            if (_firstArgument(theirs) == 0x32 && (malformed || mismatch)) return Outcome.Rejected;
            assertEq(_firstArgument(theirs), 0x11, "an overflow");
            assertTrue(
                malformed || named == IValidator.DepositTooYoung.selector
                    || named == IValidator.DepositRefundTooClose.selector
                    || named == IValidator.RedemptionTooYoung.selector
                    || named == IValidator.RedemptionTimeoutTooClose.selector,
                "neither of times (INC-7) nor of a malformed output"
            );
            return Outcome.Rejected;
        }
        assertEq(_selector(theirs), ERROR, "neither reason nor panic");
        (string memory reason) = abi.decode(_tail(theirs), (string));
        if (named == IValidator.FundingOutputMalformed.selector) {
            named = IValidator.FundingOutputScriptMismatch.selector;
        }
        bytes4 expected = errorOf[keccak256(bytes(reason))];
        assertNotEq(bytes32(expected), 0, string.concat("a reason without an error: ", reason));
        assertEq(bytes32(named), bytes32(expected), reason);
        return Outcome.Rejected;
    }

    /// Calldata may be broken in two places, and which is noticed first may differ: only the verdict has to be the same.
    function _compareVerdicts(bytes memory data) private returns (Outcome) {
        (bool accepted, bytes memory ours) = address(validator).staticcall(data);
        (bool theyAccept,) = address(deployed).staticcall(data);
        if (accepted == theyAccept) return accepted ? Outcome.Accepted : Outcome.Rejected;
        assertFalse(accepted, "accepted by ours alone");
        assertEq(_selector(ours), IValidator.FundingOutputScriptMismatch.selector, "rejected by ours alone");
        suspect = _firstArgument(ours);
        (bool success, bytes memory answer) =
            address(this).call(bytes.concat(this.nobodyCanSpendTheSuspect.selector, _tail(data)));
        assertTrue(success && abi.decode(answer, (bool)), "rejected by ours alone, and not by INC-1");
        return Outcome.RejectedByOurs;
    }

    /// Reads calldata as the validator does: what isn't used may be broken.
    function nobodyCanSpendTheSuspect(
        IValidator.DepositSweepProposal calldata proposal,
        IValidator.DepositExtraInfo[] calldata extraInfo
    ) external view returns (bool) {
        return _nobodyCanSpend(proposal.depositsKeys[suspect], extraInfo[suspect]);
    }

    /// Cuts, prolongs, redirects an offset, or changes a word or a byte: where it isn't noticed, it changes nothing that the rules see.
    function _garble(Random memory r, bytes memory data) private returns (bytes memory) {
        uint256 choice = _below(r, 12);
        if (choice == 0) return _head(data, _below(r, data.length));
        if (choice == 1) return bytes.concat(data, new bytes(_below(r, 100)));
        if (choice == 2) return data;
        if (choice > 7) return _redirect(r, data, choice);
        uint256 words = (data.length - 4) / 32;
        uint256 word = _below(r, choice < 6 ? words : (words < 20 ? words : 20));
        uint256 value;
        if (choice == 3) value = 32 * _below(r, 2 * words);
        if (choice == 4) value = _below(r, 40);
        if (choice == 5) value = uint256(_bytes32(r));
        if (choice == 6) value = type(uint256).max - _below(r, 64);
        assembly ("memory-safe") {
            let at := add(add(data, 0x24), mul(32, word))
            switch choice
            case 7 { mstore8(add(at, mod(value, 32)), xor(byte(0, mload(at)), 0x01)) }
            default { mstore(at, value) }
        }
        return data;
    }

    /// One offset, or what could be one, points where a neighbour does (choice 8); or forward to a copy behind all arguments (9);
    /// or, from within that copy, backward to the first (else).
    function _redirect(Random memory r, bytes memory data, uint256 choice) private returns (bytes memory) {
        uint256 heads = _heads(data);
        uint256[] memory offsets = _offsets(data, heads);
        if (offsets.length == 0) return data;
        uint256 offset = offsets[_below(r, offsets.length)];
        if (choice == 8) {
            uint256 target = _word(data, _chance(r, 2) ? offset - 32 : offsets[_below(r, offsets.length)]);
            if (_word(data, offset) != target) ++aliased;
            _setWord(data, offset, target);
            return data;
        }
        uint256 size = data.length - 4;
        data = bytes.concat(data, _tail(data));
        if (choice == 9) {
            _setWord(data, offset, _word(data, offset) + size);
            return data;
        }
        ++backward;
        for (uint256 i = 0; i < heads; ++i) {
            _setWord(data, 32 * i, _word(data, 32 * i) + size);
        }
        unchecked {
            _setWord(data, offset + size, _word(data, offset) - size);
        }
        return data;
    }

    /// How many of the arguments are offsets; they come first.
    function _heads(bytes memory data) private pure returns (uint256) {
        bytes4 selector = _selector(data);
        if (selector == IValidator.validateMovedFundsSweepProposal.selector) return 0;
        return selector == IValidator.validateDepositSweepProposal.selector ? 2 : 1;
    }

    /// Where words behind those could be offsets.
    function _offsets(bytes memory data, uint256 heads) private pure returns (uint256[] memory offsets) {
        uint256 size = data.length - 4;
        uint256 count = 0;
        offsets = new uint256[](size / 32);
        for (uint256 at = 32 * heads; at < size; at += 32) {
            uint256 word = _word(data, at);
            if (word > 0 && word < size && word % 32 == 0) offsets[count++] = at;
        }
        assembly ("memory-safe") {
            mstore(offsets, count)
        }
    }

    function _word(bytes memory data, uint256 at) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := mload(add(add(data, 0x24), at))
        }
    }

    function _setWord(bytes memory data, uint256 at, uint256 word) private pure {
        assembly ("memory-safe") {
            mstore(add(add(data, 0x24), at), word)
        }
    }

    /// Whether the output that funds the deposit is P2PKH or P2WPKH over the hash of its script.
    function _nobodyCanSpend(IValidator.DepositKey memory key, IValidator.DepositExtraInfo memory info)
        private
        view
        returns (bool)
    {
        (bool found, bytes memory script) = Spec.output(info.fundingTx.outputVector, key.fundingOutputIndex);
        assertTrue(found, "a script mismatch without a script");
        return keccak256(script) == keccak256(_fundingScript(key, info, Bitcoin.OutputType.P2wpkh))
            || keccak256(script) == keccak256(_fundingScript(key, info, Bitcoin.OutputType.P2pkh));
    }

    /// Where nobody can spend the output that funds deposit `i`, the same deposit with a P2SH output: of one funding transaction
    /// always the same other one, so that duplicates stay duplicates.
    function _makeSpendable(Sweep memory sweep, uint256 i) private returns (bool) {
        IValidator.DepositKey memory key = sweep.proposal.depositsKeys[i];
        IValidator.DepositExtraInfo memory info = sweep.extraInfo[i];
        if (!_nobodyCanSpend(key, info)) return false;
        IBridge.DepositRequest memory request = _request(sweep, i);
        uint32 index = key.fundingOutputIndex;
        bytes memory wanted = Bitcoin.output(2_000_000, _fundingScript(key, info, Bitcoin.OutputType.P2sh));
        IValidator.BitcoinTransaction memory fundingTx =
            Bitcoin.transaction(uint256(key.fundingTxHash), Bitcoin.outputVector(wanted, index, uint256(index) + 1));
        sweep.proposal.depositsKeys[i] = IValidator.DepositKey(Bitcoin.txHash(fundingTx), index);
        sweep.extraInfo[i] = IValidator.DepositExtraInfo(
            fundingTx, info.blindingFactor, info.walletPubKeyHash, info.refundPubKeyHash, info.refundLocktime
        );
        _setRequest(sweep, i, request);
        return true;
    }

    /// What pays to the deposit by an output of this type.
    function _fundingScript(
        IValidator.DepositKey memory key,
        IValidator.DepositExtraInfo memory info,
        Bitcoin.OutputType outputType
    ) private view returns (bytes memory) {
        IBridge.DepositRequest memory request = bridge.deposits(_depositKey(key));
        uint256 refundLocktime = 0;
        for (uint256 j = 4; j > 0; --j) {
            refundLocktime = refundLocktime * 256 + uint8(info.refundLocktime[j - 1]);
        }
        return Bitcoin.fundingScript(
            Bitcoin.Deposit(
                request.depositor,
                request.extraData,
                info.blindingFactor,
                info.walletPubKeyHash,
                info.refundPubKeyHash,
                refundLocktime,
                outputType
            )
        );
    }

    function _selector(bytes memory error) private pure returns (bytes4) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return bytes4(error); // the first 4 bytes
    }

    function _firstArgument(bytes memory error) private pure returns (uint256 argument) {
        assembly ("memory-safe") {
            argument := mload(add(error, 0x24))
        }
    }

    function _tail(bytes memory error) private pure returns (bytes memory tail) {
        tail = new bytes(error.length - 4);
        for (uint256 i = 0; i < tail.length; ++i) {
            tail[i] = error[i + 4];
        }
    }
}
