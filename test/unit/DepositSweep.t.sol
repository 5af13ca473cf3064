// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IBridge} from "../../contracts/interfaces/IBridge.sol";
import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {Bitcoin} from "../support/Bitcoin.sol";
import {ValidatorTest} from "../support/ValidatorTest.sol";

/// `validateDepositSweepProposal`, branch by branch of DepositSweep.tree.
contract DepositSweepTest is ValidatorTest {
    uint32 private constant MIN_AGE = 2 hours;
    uint32 private constant REFUND_MARGIN = 24 hours;

    function test_RevertWhen_DS1TheWalletIsNeitherLiveNorMovingFunds() external {
        Sweep memory sweep = _sweep(1);
        for (uint256 state = 0; state <= type(uint8).max; ++state) {
            if (state == 1 || state == 2) continue;
            _setWalletState(WALLET, state);
            _rejects(sweep, abi.encodeWithSelector(IValidator.WalletStateNotAllowed.selector, WALLET, state));
        }
    }

    function test_WhenDS1TheWalletIsLive() external {
        Sweep memory sweep = _sweep(1);
        _setWalletState(WALLET, IBridge.WalletState.Live);
        _accepts(sweep);
    }

    function test_WhenDS1TheWalletIsMovingFunds() external {
        Sweep memory sweep = _sweep(1);
        _setWalletState(WALLET, IBridge.WalletState.MovingFunds);
        _accepts(sweep);
    }

    function test_RevertWhen_DS2ThereIsNoDeposit() external {
        _rejects(_sweep(0), abi.encodeWithSelector(IValidator.SweepEmpty.selector));
    }

    function test_WhenDS2ThereIsOneDeposit() external {
        _accepts(_sweep(1));
    }

    function test_RevertWhen_DS3ThereIsOneDepositTooMany() external {
        _rejects(_sweep(21), abi.encodeWithSelector(IValidator.SweepTooLarge.selector, 21, 20));
    }

    function test_WhenDS3ThereAreAsManyDepositsAsAllowed() external {
        _accepts(_sweep(20));
    }

    function test_RevertWhen_DS4AnExtraInfoIsMissing() external {
        Sweep memory sweep = _sweep(3);
        sweep.extraInfo = _sweep(2).extraInfo;
        _rejects(sweep, abi.encodeWithSelector(IValidator.ExtraInfoCountMismatch.selector, 3, 2));
    }

    function test_RevertWhen_DS4ThereIsAnExtraInfoTooMany() external {
        Sweep memory sweep = _sweep(3);
        sweep.extraInfo = _sweep(4).extraInfo;
        _rejects(sweep, abi.encodeWithSelector(IValidator.ExtraInfoCountMismatch.selector, 3, 4));
    }

    function test_RevertWhen_DS5TheFeeIsZero() external {
        Sweep memory sweep = _sweep(1);
        sweep.proposal.sweepTxFee = 0;
        _rejects(sweep, abi.encodeWithSelector(IValidator.FeeZero.selector));
    }

    function test_WhenDS5TheFeeIsOne() external {
        Sweep memory sweep = _sweep(3);
        sweep.proposal.sweepTxFee = 1;
        _accepts(sweep);
    }

    /// Three deposits: the shares differ by the remainder, up to 2.
    function test_RevertWhen_DS6TheLargestShareIsOneAboveTheMaximum() external {
        Sweep memory sweep = _sweep(3);
        sweep.proposal.sweepTxFee = 3 * (DEPOSIT_TX_MAX_FEE - 1) + 2;
        bytes memory rejection =
            abi.encodeWithSelector(IValidator.FeeTooHigh.selector, DEPOSIT_TX_MAX_FEE + 1, DEPOSIT_TX_MAX_FEE);
        _rejects(sweep, rejection);
        sweep.proposal.sweepTxFee = 3 * (DEPOSIT_TX_MAX_FEE + 1);
        _rejects(sweep, rejection);
    }

    function test_WhenDS6TheLargestShareIsTheMaximum() external {
        Sweep memory sweep = _sweep(3);
        sweep.proposal.sweepTxFee = 3 * (DEPOSIT_TX_MAX_FEE - 2) + 2;
        _accepts(sweep);
        sweep.proposal.sweepTxFee = 3 * DEPOSIT_TX_MAX_FEE;
        _accepts(sweep);
    }

    function test_RevertWhen_DS6TheFeeIsTheLargestNumber() external {
        Sweep memory sweep = _sweep(3);
        uint256 fee = type(uint256).max;
        sweep.proposal.sweepTxFee = fee;
        _rejects(sweep, abi.encodeWithSelector(IValidator.FeeTooHigh.selector, fee / 3 + (fee % 3), DEPOSIT_TX_MAX_FEE));
    }

    function test_RevertWhen_DS7TheDepositIsNotRevealed() external {
        Sweep memory sweep = _sweep(3);
        IBridge.DepositRequest memory request = _request(sweep, 1);
        request.revealedAt = 0;
        _setRequest(sweep, 1, request);
        _rejects(sweep, abi.encodeWithSelector(IValidator.DepositNotRevealed.selector, 1));
    }

    function test_WhenDS7TheDepositIsRevealedAtTimeOne() external {
        Sweep memory sweep = _sweep(3);
        IBridge.DepositRequest memory request = _request(sweep, 1);
        request.revealedAt = 1;
        _setRequest(sweep, 1, request);
        _accepts(sweep);
    }

    function test_RevertWhen_DS8TheDepositIsExactlyAsOldAsTheMinimumAge() external {
        Sweep memory sweep = _sweep(3);
        vm.warp(_request(sweep, 0).revealedAt + MIN_AGE);
        _rejects(sweep, abi.encodeWithSelector(IValidator.DepositTooYoung.selector, 0, block.timestamp));

        vm.warp(NOW);
        IBridge.DepositRequest memory request = _request(sweep, 2);
        request.revealedAt = NOW - MIN_AGE;
        _setRequest(sweep, 2, request);
        _rejects(sweep, abi.encodeWithSelector(IValidator.DepositTooYoung.selector, 2, NOW));
    }

    function test_WhenDS8TheDepositIsOneSecondOlderThanTheMinimumAge() external {
        Sweep memory sweep = _sweep(3);
        vm.warp(_request(sweep, 0).revealedAt + MIN_AGE + 1);
        _accepts(sweep);
    }

    function test_RevertWhen_DS9TheDepositIsSwept() external {
        Sweep memory sweep = _sweep(3);
        IBridge.DepositRequest memory request = _request(sweep, 1);
        request.sweptAt = 1;
        _setRequest(sweep, 1, request);
        _rejects(sweep, abi.encodeWithSelector(IValidator.DepositAlreadySwept.selector, 1, 1));
    }

    function test_RevertWhen_DS10AnyPartOfTheFundingTransactionDiffers() external {
        for (uint256 part = 0; part < 6; ++part) {
            Sweep memory sweep = _sweep(2);
            IValidator.BitcoinTransaction memory transaction = sweep.extraInfo[1].fundingTx;
            bytes32 expected = Bitcoin.txHash(transaction);
            if (part == 0) transaction.version = 0x02000001;
            if (part == 1) transaction.inputVector[41] ^= 0x01;
            if (part == 2) transaction.inputVector = bytes.concat(transaction.inputVector, hex"00");
            if (part == 3) transaction.outputVector[1] ^= 0x01;
            if (part == 4) transaction.outputVector = bytes.concat(transaction.outputVector, hex"00");
            if (part == 5) transaction.locktime = 0x00000001;
            bytes32 actual = Bitcoin.txHash(transaction);
            assertNotEq(actual, expected);
            _rejects(sweep, abi.encodeWithSelector(IValidator.FundingTxHashMismatch.selector, 1, expected, actual));
        }
    }

    function test_RevertWhen_DS11TheOutputIndexIsTheOutputCount() external {
        Sweep memory sweep = _sweep(2);
        bytes memory vector = Bitcoin.outputVector(_funding(_deposit(1)), 4, 5);
        _putDeposit(sweep, 1, _deposit(1), 5, vector);
        _rejectsMalformed(sweep, 1);
        // There is an output at that index, and at the next, but the count doesn't have them.
        vector = bytes.concat(vector, _funding(_deposit(1)), _funding(_deposit(1)));
        _putDeposit(sweep, 1, _deposit(1), 5, vector);
        _rejectsMalformed(sweep, 1);
        _putDeposit(sweep, 1, _deposit(1), 6, vector);
        _rejectsMalformed(sweep, 1);
        _putDeposit(sweep, 1, _deposit(1), type(uint32).max, vector);
        _rejectsMalformed(sweep, 1);
    }

    function test_WhenDS11TheOutputIndexIsTheLastOne() external {
        Sweep memory sweep = _sweep(2);
        _putDeposit(sweep, 1, _deposit(1), 4, Bitcoin.outputVector(_funding(_deposit(1)), 4, 5));
        _accepts(sweep);
    }

    /// Wherever the vector ends short of the wanted output's end, from its count on.
    function test_RevertWhen_DS11TheOutputIsCutOff() external {
        Sweep memory sweep = _sweep(1);
        bytes memory whole = Bitcoin.outputVector(_funding(_deposit(0)), 2, 3);
        for (uint256 length = 0; length < whole.length; ++length) {
            _putDeposit(sweep, 0, _deposit(0), 2, _head(whole, length));
            _rejectsMalformed(sweep, 0);
        }
        _putDeposit(sweep, 0, _deposit(0), 2, whole);
        _accepts(sweep);
    }

    function test_RevertWhen_DS11TheOutputVectorIsEmpty() external {
        Sweep memory sweep = _sweep(1);
        _putDeposit(sweep, 0, _deposit(0), 0, "");
        _rejectsMalformed(sweep, 0);
        _putDeposit(sweep, 0, _deposit(0), 0, hex"00");
        _rejectsMalformed(sweep, 0);
    }

    function test_RevertWhen_DS11TheOutputLengthIsLongerThanMinimal() external {
        Sweep memory sweep = _sweep(1);
        bytes memory script = Bitcoin.fundingScript(_deposit(0));
        for (uint256 size = 3; size <= 9; size = 2 * size - 1) {
            bytes memory output = bytes.concat(bytes8(0), Bitcoin.compactSize(script.length, size), script);
            _putDeposit(sweep, 0, _deposit(0), 1, Bitcoin.outputVector(output, 1, 2));
            _rejectsMalformed(sweep, 0);
        }
    }

    function test_WhenDS11BytesFollowTheOutput() external {
        Sweep memory sweep = _sweep(1);
        bytes memory vector = Bitcoin.outputVector(_funding(_deposit(0)), 1, 2);
        bytes[3] memory trailing = [bytes(hex"00"), hex"ff", new bytes(100)];
        for (uint256 i = 0; i < 3; ++i) {
            _putDeposit(sweep, 0, _deposit(0), 1, bytes.concat(vector, trailing[i]));
            _accepts(sweep);
        }
    }

    /// One output that the count has is missing, or as many as can be counted, or one is cut off.
    function test_WhenDS11LaterOutputsAreMissing() external {
        Sweep memory sweep = _sweep(1);
        bytes memory outputs = bytes.concat(Bitcoin.otherOutput(0), _funding(_deposit(0)));
        _putDeposit(sweep, 0, _deposit(0), 1, bytes.concat(hex"03", outputs));
        _accepts(sweep);
        _putDeposit(sweep, 0, _deposit(0), 1, bytes.concat(Bitcoin.compactSize(type(uint64).max), outputs));
        _accepts(sweep);
        bytes memory cut = _head(Bitcoin.otherOutput(2), 30);
        _putDeposit(sweep, 0, _deposit(0), 1, bytes.concat(hex"03", outputs, cut));
        _accepts(sweep);
    }

    function test_WhenDS11TheOutputCountIsLongerThanMinimal() external {
        Sweep memory sweep = _sweep(1);
        bytes memory outputs = bytes.concat(Bitcoin.otherOutput(0), _funding(_deposit(0)));
        for (uint256 size = 3; size <= 9; size = 2 * size - 1) {
            _putDeposit(sweep, 0, _deposit(0), 1, bytes.concat(Bitcoin.compactSize(2, size), outputs));
            _accepts(sweep);
        }
    }

    function test_WhenDS11AnEarlierOutputLengthIsLongerThanMinimal() external {
        Sweep memory sweep = _sweep(1);
        for (uint256 size = 3; size <= 9; size = 2 * size - 1) {
            bytes memory earlier = bytes.concat(bytes8(0), Bitcoin.compactSize(3, size), hex"aabbcc");
            _putDeposit(sweep, 0, _deposit(0), 1, bytes.concat(hex"02", earlier, _funding(_deposit(0))));
            _accepts(sweep);
        }
    }

    function test_RevertWhen_DS11AnyFieldOfTheDepositScriptDiffers() external {
        for (uint256 field = 0; field < 7; ++field) {
            Sweep memory sweep = _sweep(2);
            IBridge.DepositRequest memory request = _request(sweep, 1);
            IValidator.DepositExtraInfo memory info = sweep.extraInfo[1];
            if (field == 0) request.depositor = address(uint160(request.depositor) ^ 1);
            if (field == 1) request.extraData = bytes32(uint256(1));
            if (field == 2) info.blindingFactor ^= bytes8(uint64(1));
            if (field == 3) info.walletPubKeyHash ^= bytes20(uint160(1));
            if (field == 4) info.refundPubKeyHash ^= bytes20(uint160(1));
            if (field == 5) info.refundLocktime ^= 0x01000000; // the lowest byte
            if (field == 6) info.refundLocktime ^= 0x00000001; // the highest byte
            _setRequest(sweep, 1, request);
            _rejects(sweep, abi.encodeWithSelector(IValidator.FundingOutputScriptMismatch.selector, 1));
        }

        Sweep memory withExtraData = _sweep(1);
        Bitcoin.Deposit memory deposit = _deposit(0);
        deposit.extraData = bytes32(uint256(2));
        _putDeposit(withExtraData, 0, deposit, 1, 2);
        IBridge.DepositRequest memory changed = _request(withExtraData, 0);
        changed.extraData = bytes32(uint256(3));
        _setRequest(withExtraData, 0, changed);
        _rejects(withExtraData, abi.encodeWithSelector(IValidator.FundingOutputScriptMismatch.selector, 0));
    }

    function test_RevertWhen_DS11TheOutputIsNeitherP2SHNorP2WSH() external {
        Sweep memory sweep = _sweep(1);
        bytes memory script = Bitcoin.depositScript(_deposit(0));
        bytes20 hash160 = ripemd160(bytes.concat(sha256(script)));
        bytes[8] memory others = [
            bytes.concat(hex"5120", sha256(script)), // P2TR
            bytes.concat(hex"0021", sha256(script)),
            bytes.concat(hex"a915", hash160, hex"87"),
            bytes.concat(hex"a814", hash160, hex"87"),
            bytes.concat(hex"a914", hash160, hex"88"),
            bytes.concat(hex"0014", hash160), // P2WPKH
            bytes.concat(hex"76a914", hash160, hex"88ac"), // P2PKH
            script
        ];
        for (uint256 i = 0; i < others.length; ++i) {
            _rejectsScript(sweep, others[i]);
        }
    }

    function test_RevertWhen_DS11TheOutputScriptHasOneByteMoreOrLess() external {
        Sweep memory sweep = _sweep(1);
        for (uint256 i = 0; i < 2; ++i) {
            Bitcoin.Deposit memory deposit = _deposit(0);
            deposit.outputType = Bitcoin.OutputType(i);
            bytes memory script = Bitcoin.fundingScript(deposit);
            _rejectsScript(sweep, bytes.concat(script, hex"00"));
            bytes memory shorter = _head(script, script.length - 1);
            _rejectsScript(sweep, shorter);
            // The byte that it lacks comes next, after the output.
            bytes1 last = script[script.length - 1];
            _putDeposit(sweep, 0, deposit, 0, bytes.concat(hex"01", Bitcoin.output(2_000_000, shorter), last));
            _rejects(sweep, abi.encodeWithSelector(IValidator.FundingOutputScriptMismatch.selector, 0));
        }
        _rejectsScript(sweep, "");
        _rejectsScript(sweep, new bytes(253));
    }

    function test_WhenDS11TheOutputIsP2WSH() external {
        _accepts(_sweep(1));
    }

    function test_WhenDS11TheOutputIsP2SH() external {
        Sweep memory sweep = _sweep(1);
        Bitcoin.Deposit memory deposit = _deposit(0);
        deposit.outputType = Bitcoin.OutputType.P2sh;
        _putDeposit(sweep, 0, deposit, 1, 2);
        _accepts(sweep);
    }

    function test_WhenDS11TheDepositHasExtraData() external {
        Sweep memory sweep = _sweep(1);
        for (uint256 i = 0; i < 2; ++i) {
            Bitcoin.Deposit memory deposit = _deposit(0);
            deposit.extraData = i == 0 ? bytes32(uint256(1)) : keccak256("extra data");
            deposit.outputType = Bitcoin.OutputType(i);
            _putDeposit(sweep, 0, deposit, 1, 2);
            _accepts(sweep);
        }
    }

    function test_RevertWhen_DS12TheRefundIsExactlyTheSafetyMarginAway() external {
        Sweep memory sweep = _sweep(2);
        Bitcoin.Deposit memory deposit = _deposit(1);
        deposit.refundLocktime = NOW + REFUND_MARGIN;
        _putDeposit(sweep, 1, deposit, 1, 2);
        _rejects(sweep, abi.encodeWithSelector(IValidator.DepositRefundTooClose.selector, 1, NOW));
    }

    function test_WhenDS12TheRefundIsOneSecondMoreThanTheSafetyMarginAway() external {
        Sweep memory sweep = _sweep(2);
        Bitcoin.Deposit memory deposit = _deposit(1);
        deposit.refundLocktime = NOW + REFUND_MARGIN + 1;
        _putDeposit(sweep, 1, deposit, 1, 2);
        _accepts(sweep);
    }

    function test_RevertWhen_DS13TheDepositIsMadeToAnotherWallet() external {
        Sweep memory sweep = _sweep(2);
        Bitcoin.Deposit memory deposit = _deposit(1);
        bytes20[2] memory wallets = [bytes20(uint160(WALLET) - 1), bytes20(uint160(WALLET) + 1)];
        for (uint256 i = 0; i < 2; ++i) {
            deposit.walletPubKeyHash = wallets[i];
            _putDeposit(sweep, 1, deposit, 1, 2);
            _rejects(sweep, abi.encodeWithSelector(IValidator.DepositOfOtherWallet.selector, 1, wallets[i]));
        }
    }

    function test_RevertWhen_DS14TheVaultIsNotTheFirstDepositsVault() external {
        Sweep memory sweep = _sweep(3);
        IBridge.DepositRequest memory request = _request(sweep, 2);
        request.vault = address(0);
        _setRequest(sweep, 2, request);
        _rejects(sweep, abi.encodeWithSelector(IValidator.DepositVaultMismatch.selector, 2, address(0), VAULT));

        request = _request(sweep, 0);
        request.vault = address(0);
        _setRequest(sweep, 0, request);
        _rejects(sweep, abi.encodeWithSelector(IValidator.DepositVaultMismatch.selector, 1, VAULT, address(0)));
    }

    function test_WhenDS14AllVaultsAreZero() external {
        Sweep memory sweep = _sweep(3);
        for (uint256 i = 0; i < 3; ++i) {
            IBridge.DepositRequest memory request = _request(sweep, i);
            request.vault = address(0);
            _setRequest(sweep, i, request);
        }
        _accepts(sweep);
    }

    /// Each item in the place of each later one, with as many as allowed: none is forgotten on the way.
    function test_RevertWhen_DS15ADepositOccursTwice() external {
        Sweep memory sweep = _sweep(20);
        for (uint256 index = 1; index < 20; ++index) {
            IValidator.DepositKey memory ownKey = sweep.proposal.depositsKeys[index];
            IValidator.DepositExtraInfo memory ownInfo = sweep.extraInfo[index];
            for (uint256 first = 0; first < index; ++first) {
                sweep.proposal.depositsKeys[index] = sweep.proposal.depositsKeys[first];
                sweep.extraInfo[index] = sweep.extraInfo[first];
                _rejects(sweep, abi.encodeWithSelector(IValidator.DepositDuplicated.selector, index, first));
            }
            sweep.proposal.depositsKeys[index] = ownKey;
            sweep.extraInfo[index] = ownInfo;
        }
    }

    function test_WhenDS15TwoDepositsShareAFundingTransaction() external {
        Sweep memory sweep = _sweep(2);
        bytes memory vector = bytes.concat(hex"02", _funding(_deposit(0)), _funding(_deposit(1)));
        _putDeposit(sweep, 1, _deposit(1), 1, vector);
        IBridge.DepositRequest memory request = _request(sweep, 1);
        request.depositor = _deposit(0).depositor;
        sweep.proposal.depositsKeys[0] = IValidator.DepositKey(sweep.proposal.depositsKeys[1].fundingTxHash, 0);
        sweep.extraInfo[0].fundingTx = sweep.extraInfo[1].fundingTx;
        _setRequest(sweep, 0, request);
        _accepts(sweep);
    }

    // ----- -----

    function _accepts(Sweep memory sweep) private view {
        assertTrue(_validate(sweep));
    }

    function _rejects(Sweep memory sweep, bytes memory rejection) private {
        vm.expectRevert(rejection);
        _validate(sweep);
    }

    function _rejectsMalformed(Sweep memory sweep, uint256 index) private {
        _rejects(sweep, abi.encodeWithSelector(IValidator.FundingOutputMalformed.selector, index));
    }

    /// Funds the sweep's first deposit by an output with this script.
    function _rejectsScript(Sweep memory sweep, bytes memory script) private {
        _putDeposit(sweep, 0, _deposit(0), 0, Bitcoin.outputVector(Bitcoin.output(2_000_000, script), 0, 2));
        _rejects(sweep, abi.encodeWithSelector(IValidator.FundingOutputScriptMismatch.selector, 0));
    }

    function _funding(Bitcoin.Deposit memory deposit) private pure returns (bytes memory) {
        return Bitcoin.output(2_000_000, Bitcoin.fundingScript(deposit));
    }
}
