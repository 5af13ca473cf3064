// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IBridge} from "../../contracts/interfaces/IBridge.sol";
import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {Bitcoin} from "../support/Bitcoin.sol";
import {ValidatorTest} from "../support/ValidatorTest.sol";

/// Numbers and sizes that a short cut would get wrong, and that no other test is large enough for: a byte or a bit left out, a
/// narrower type, a shorter copy.
contract SizesTest is ValidatorTest {
    // ----- Compact sizes -----

    /// An earlier output's length with one byte more of it set: the vector is too short for it, whichever byte it is.
    function test_DS11_everyByteOfALengthCounts() external {
        Sweep memory sweep = _sweep(1);
        for (uint256 size = 3; size <= 9; size = 2 * size - 1) {
            for (uint256 k = 0; k < size - 1; ++k) {
                uint256 length = k == 0 ? 22 : 22 + 2 ** (8 * k);
                bytes memory earlier = bytes.concat(bytes8(0), Bitcoin.compactSize(length, size), new bytes(22));
                _putDeposit(sweep, 0, _deposit(0), 1, bytes.concat(hex"02", earlier, _funding(_deposit(0))));
                if (k == 0) assertTrue(_validate(sweep));
                else _rejectsMalformed(sweep);
            }
        }
    }

    /// A count with one byte set: it is more than the index, whichever byte it is.
    function test_DS11_everyByteOfTheCountCounts() external {
        Sweep memory sweep = _sweep(1);
        bytes memory outputs = bytes.concat(Bitcoin.otherOutput(0), _funding(_deposit(0)));
        for (uint256 size = 3; size <= 9; size = 2 * size - 1) {
            for (uint256 k = 0; k < size - 1; ++k) {
                bytes memory count = Bitcoin.compactSize(2 * 2 ** (8 * k), size);
                _putDeposit(sweep, 0, _deposit(0), 1, bytes.concat(count, outputs));
                assertTrue(_validate(sweep));
            }
        }
    }

    /// With the sum cut to 64 bits, each of these lengths would lead back to some byte of the vector, the wanted output's too.
    function test_DS11_lengthsThatWrapAt64BitsAreMalformed() external {
        Sweep memory sweep = _sweep(1);
        bytes memory wanted = _funding(_deposit(0));
        for (uint256 back = 1; back <= 100; ++back) {
            bytes memory length = Bitcoin.compactSize(2 ** 64 - back, 9);
            bytes memory earlier = bytes.concat(bytes8(0), length);
            _putDeposit(sweep, 0, _deposit(0), 2, bytes.concat(hex"03", wanted, earlier, wanted));
            _rejectsMalformed(sweep);
            _putDeposit(sweep, 0, _deposit(0), 1, bytes.concat(hex"03", wanted, earlier, wanted));
            _rejectsMalformed(sweep);
        }
    }

    // ----- Output indices -----

    /// An index whose lowest bits name the wanted output is another one, be it within the count or not.
    function test_DS11_theOutputIndexIsTakenWhole() external {
        Sweep memory sweep = _sweep(1);
        bytes memory outputs = bytes.concat(Bitcoin.otherOutput(0), _funding(_deposit(0)));
        for (uint256 bit = 2; bit < 32; ++bit) {
            uint32 index = 1 + _bit32(bit);
            _putDeposit(sweep, 0, _deposit(0), index, bytes.concat(hex"02", outputs));
            _rejectsMalformed(sweep);
            _putDeposit(sweep, 0, _deposit(0), index, bytes.concat(Bitcoin.compactSize(2 ** 32, 9), outputs));
            _rejectsMalformed(sweep);
        }
    }

    /// 2¹⁶ empty outputs come before the wanted one.
    function test_DS11_theOutputIndexMayHaveMoreThan16Bits() external {
        Sweep memory sweep = _sweep(1);
        bytes memory vector = bytes.concat(hex"fe01000100", new bytes(9 * 65_536), _funding(_deposit(0)));
        _putDeposit(sweep, 0, _deposit(0), 65_536, vector);
        assertTrue(_validate(sweep));
        _putDeposit(sweep, 0, _deposit(0), 65_535, vector);
        _rejects(sweep, abi.encodeWithSelector(IValidator.FundingOutputScriptMismatch.selector, 0));
        _putDeposit(sweep, 0, _deposit(0), 65_537, vector);
        _rejectsMalformed(sweep);
    }

    // ----- Large parts -----

    /// Inputs, and outputs behind the wanted one, around 64 KiB; the last byte counts.
    function test_DS10_largeVectorsAreHashedWhole() external {
        for (uint256 size = 65_535; size <= 65_537; ++size) {
            for (uint256 part = 0; part < 2; ++part) {
                Sweep memory sweep = _sweep(1);
                IValidator.BitcoinTransaction memory funding = sweep.extraInfo[0].fundingTx;
                IBridge.DepositRequest memory request = _request(sweep, 0);
                if (part == 0) funding.inputVector = new bytes(size);
                else funding.outputVector = bytes.concat(funding.outputVector, new bytes(size));
                bytes32 hash = Bitcoin.txHash(funding);
                sweep.proposal.depositsKeys[0].fundingTxHash = hash;
                _setRequest(sweep, 0, request);
                assertTrue(_validate(sweep));

                bytes memory changed = part == 0 ? funding.inputVector : funding.outputVector;
                changed[changed.length - 1] ^= 0x01;
                bytes32 actual = Bitcoin.txHash(funding);
                _rejects(sweep, abi.encodeWithSelector(IValidator.FundingTxHashMismatch.selector, 0, hash, actual));
            }
        }
    }

    /// Redeemers' scripts around 4 KiB and 64 KiB; the last byte counts.
    function test_RD6_largeScriptsAreHashedWhole() external {
        uint256[4] memory sizes = [uint256(4_096), 4_097, 65_536, 65_537];
        for (uint256 i = 0; i < 4; ++i) {
            IValidator.RedemptionProposal memory proposal = _redemption(2);
            IBridge.RedemptionRequest memory request = _request(proposal, 1);
            bytes memory script = new bytes(sizes[i]);
            proposal.redeemersOutputScripts[1] = script;
            _setRequest(proposal, 1, request);
            assertTrue(validator.validateRedemptionProposal(proposal));
            script[sizes[i] - 1] = 0x01;
            vm.expectRevert(abi.encodeWithSelector(IValidator.RedemptionNotPending.selector, 1));
            validator.validateRedemptionProposal(proposal);
        }
    }

    // ----- Amounts -----

    /// Each bit of the value alone, from the dust threshold on.
    function test_MF5_theMainUtxosValueHas64Bits() external {
        MovingFunds memory m = _movingFunds();
        for (uint256 bit = 15; bit < 64; ++bit) {
            _setMainUtxo(m, _bit64(bit));
            assertTrue(_validate(m));
        }
    }

    /// One bit more or less, of the value or the index.
    function test_MF4_everyBitOfTheMainUtxoCounts() external {
        MovingFunds memory m = _movingFunds();
        bytes32 expected = _utxoHash(m.mainUtxo);
        for (uint256 bit = 0; bit < 96; ++bit) {
            IValidator.BitcoinUtxo memory utxo = m.mainUtxo;
            if (bit < 64) utxo.txOutputValue ^= _bit64(bit);
            else utxo.txOutputIndex ^= _bit32(bit - 64);
            vm.expectRevert(abi.encodeWithSelector(IValidator.MainUtxoMismatch.selector, expected, _utxoHash(utxo)));
            _validate(m);
            if (bit < 64) utxo.txOutputValue ^= _bit64(bit);
            else utxo.txOutputIndex ^= _bit32(bit - 64);
        }
    }

    // ----- Fee shares: every number of items, every remainder -----

    function test_DS6_theLargestShareIsRightForEverySize() external {
        for (uint256 n = 1; n <= 20; ++n) {
            Sweep memory sweep = _sweep(n);
            for (uint256 rest = 0; rest < n; ++rest) {
                sweep.proposal.sweepTxFee = n * (DEPOSIT_TX_MAX_FEE - rest) + rest;
                assertTrue(_validate(sweep));
                sweep.proposal.sweepTxFee += n;
                _rejects(
                    sweep,
                    abi.encodeWithSelector(IValidator.FeeTooHigh.selector, DEPOSIT_TX_MAX_FEE + 1, DEPOSIT_TX_MAX_FEE)
                );
            }
        }
    }

    function test_RD9_eachShareIsRightForEverySize() external {
        for (uint256 n = 1; n <= 20; ++n) {
            IValidator.RedemptionProposal memory proposal = _redemption(n);
            for (uint64 rest = 0; rest < n; ++rest) {
                proposal.redemptionTxFee = n * 4_000 + rest;
                for (uint256 i = 0; i < n; ++i) {
                    _setMaxShare(proposal, i, i == n - 1 ? 4_000 + rest : 4_000);
                }
                assertTrue(validator.validateRedemptionProposal(proposal));
                _setMaxShare(proposal, n - 1, 4_000 + rest - 1);
                _rejectsShare(proposal, n - 1, 4_000 + rest);
                if (n == 1) continue;
                _setMaxShare(proposal, n - 2, 3_999);
                _rejectsShare(proposal, n - 2, 4_000);
            }
        }
    }

    // ----- Keys that agree in many bits -----

    /// Of `_redemption`'s requests, by a search: the first two keys agree in their lowest 32 bits, the others in their highest.
    function test_RD10_keysAreComparedWhole() external {
        uint256[2][2] memory pairs = [[uint256(2_147), 18_972], [uint256(56_593), 93_654]];
        for (uint256 i = 0; i < 2; ++i) {
            IValidator.RedemptionProposal memory proposal = _redemption(2);
            IBridge.RedemptionRequest memory request = _request(proposal, 0);
            uint256 differing = 0;
            for (uint256 j = 0; j < 2; ++j) {
                bytes20 redeemer = bytes20(keccak256(abi.encode("redeemer", pairs[i][j])));
                proposal.redeemersOutputScripts[j] = bytes.concat(hex"160014", redeemer);
                differing ^= _redemptionKey(proposal.redeemersOutputScripts[j], WALLET);
                _setRequest(proposal, j, request);
            }
            assertEq(i == 0 ? differing % 2 ** 32 : differing >> 224, 0);
            assertTrue(validator.validateRedemptionProposal(proposal));
        }
    }

    /// Among the keys of one transaction's outputs, two agree in their lowest 16 bits.
    function test_DS15_keysAreComparedWhole() external {
        Sweep memory sweep = _sweep(2);
        bytes memory wanted = _funding(_deposit(0));
        bytes[] memory outputs = new bytes[](1_001);
        outputs[0] = Bitcoin.compactSize(1_000);
        for (uint256 i = 1; i <= 1_000; ++i) {
            outputs[i] = wanted;
        }
        bytes memory vector = Bitcoin.concat(outputs);
        (uint32 a, uint32 b) = _alikeIndices(Bitcoin.txHash(Bitcoin.transaction(0, vector)));
        _putDeposit(sweep, 0, _deposit(0), a, vector);
        IBridge.DepositRequest memory request = _request(sweep, 0);
        sweep.extraInfo[1] = sweep.extraInfo[0];
        sweep.proposal.depositsKeys[1] = IValidator.DepositKey(sweep.proposal.depositsKeys[0].fundingTxHash, b);
        _setRequest(sweep, 1, request);
        assertTrue(_validate(sweep));
    }

    function _alikeIndices(bytes32 txHash) private pure returns (uint32 a, uint32 b) {
        uint32[] memory first = new uint32[](2 ** 16);
        for (b = 0; b < 1_000; ++b) {
            uint256 low = _depositKey(IValidator.DepositKey(txHash, b)) % 2 ** 16;
            if (first[low] != 0) return (first[low] - 1, b);
            first[low] = b + 1;
        }
        revert("no two keys are alike");
    }

    // ----- -----

    function _bit32(uint256 bit) private pure returns (uint32) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint32(2 ** bit);
    }

    function _bit64(uint256 bit) private pure returns (uint64) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint64(2 ** bit);
    }

    function _funding(Bitcoin.Deposit memory deposit) private pure returns (bytes memory) {
        return Bitcoin.output(2_000_000, Bitcoin.fundingScript(deposit));
    }

    function _rejects(Sweep memory sweep, bytes memory rejection) private {
        vm.expectRevert(rejection);
        _validate(sweep);
    }

    function _rejectsMalformed(Sweep memory sweep) private {
        _rejects(sweep, abi.encodeWithSelector(IValidator.FundingOutputMalformed.selector, 0));
    }

    function _rejectsShare(IValidator.RedemptionProposal memory proposal, uint256 i, uint256 share) private {
        vm.expectRevert(abi.encodeWithSelector(IValidator.RedemptionFeeShareTooHigh.selector, i, share, share - 1));
        validator.validateRedemptionProposal(proposal);
    }

    function _setMaxShare(IValidator.RedemptionProposal memory proposal, uint256 i, uint64 maxShare) private {
        IBridge.RedemptionRequest memory request = _request(proposal, i);
        request.txMaxFee = maxShare;
        _setRequest(proposal, i, request);
    }

    function _setMainUtxo(MovingFunds memory m, uint64 value) private {
        m.mainUtxo.txOutputValue = value;
        IBridge.Wallet memory wallet = bridge.wallets(WALLET);
        wallet.mainUtxoHash = _utxoHash(m.mainUtxo);
        bridge.setWallet(WALLET, wallet);
    }
}
