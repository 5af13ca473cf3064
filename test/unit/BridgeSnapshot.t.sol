// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IBridge} from "../../contracts/interfaces/IBridge.sol";
import {PlainWatchtower} from "../doubles/PlainWatchtower.sol";
import {ValidatorTest} from "../support/ValidatorTest.sol";

/// The snapshot's answer, word by word.
// The numbers cast here are small ones of the tests' own.
// forge-lint: disable-next-item(unsafe-typecast)
contract BridgeSnapshotTest is ValidatorTest {
    bytes20[] private wallets;
    uint256[] private deposits;
    uint256[] private redemptions;
    uint256[] private sweepRequests;

    function test_startsWithTheChainAndTheParameters() external {
        vm.chainId(31_338);
        vm.roll(21_000_000);
        assertEq(
            _snapshot(),
            abi.encode(
                31_338,
                21_000_000,
                NOW,
                address(0),
                DEPOSIT_TX_MAX_FEE,
                REDEMPTION_TX_MAX_TOTAL_FEE,
                REDEMPTION_TIMEOUT,
                MOVING_FUNDS_TX_MAX_TOTAL_FEE,
                MOVING_FUNDS_DUST_THRESHOLD,
                7 days,
                MOVED_FUNDS_SWEEP_TX_MAX_TOTAL_FEE
            )
        );
    }

    function test_tellsWhatIsAskedForInTheOrderAskedFor() external {
        for (uint256 i = 1; i <= 2; ++i) {
            wallets.push(bytes20(uint160(i)));
            bridge.setWallet(wallets[i - 1], _wallet(i));
            deposits.push(i);
            bridge.setDeposit(i, _depositRequest(i));
            redemptions.push(i);
            bridge.setPendingRedemption(i, _redemptionRequest(i));
            sweepRequests.push(i);
            bridge.setMovedFundsSweepRequest(
                i, IBridge.MovedFundsSweepRequest(bytes20(uint160(0x41 * i)), _uint64(0x42 * i), NOW, uint8(i))
            );
        }
        bytes memory expected = _head();
        for (uint256 i = 1; i <= 2; ++i) {
            expected = bytes.concat(expected, bytes32(0x11 * i), bytes32(0x12 * i));
            expected = bytes.concat(
                expected, _word(abi.encodePacked(_uint64(0x13 * i), NOW - 2, _uint32(0x16 * i), uint8(0x17)))
            );
        }
        for (uint256 i = 1; i <= 2; ++i) {
            expected =
                bytes.concat(expected, _word(abi.encodePacked(address(uint160(0x21 * i)), _uint64(0x22 * i), NOW - 1)));
            expected =
                bytes.concat(expected, _word(abi.encodePacked(address(uint160(0x24 * i)), _uint64(0x25 * i), NOW - 2)));
            expected = bytes.concat(expected, bytes32(0x27 * i));
        }
        for (uint256 i = 1; i <= 2; ++i) {
            expected = bytes.concat(
                expected,
                _word(abi.encodePacked(_uint64(0x32 * i), _uint64(0x33 * i), _uint64(0x34 * i), NOW, uint32(0)))
            );
        }
        for (uint256 i = 1; i <= 2; ++i) {
            expected = bytes.concat(
                expected, _word(abi.encodePacked(bytes20(uint160(0x41 * i)), _uint64(0x42 * i), uint8(i)))
            );
        }
        assertEq(_snapshot(), expected);
    }

    /// Of two requests, the second isn't pending. An unknown request's delay isn't asked for: the watchtower may refuse to tell.
    function test_asksTheWatchtowerAboutPendingRequests() external {
        PlainWatchtower watchtower = new PlainWatchtower();
        watchtower.setRedemptionDelay(1, 3_600);
        watchtower.setRedemptionDelay(2, 7_200);
        bridge.setRedemptionWatchtower(address(watchtower));
        bridge.setPendingRedemption(1, _redemptionRequest(1));
        redemptions = [1, 2];

        bytes memory expected = bytes.concat(
            _head(), _word(abi.encodePacked(uint64(0x32), uint64(0x33), uint64(0x34), NOW, uint32(3_600))), bytes32(0)
        );
        assertEq(_snapshot(), expected);
    }

    /// 250 keys are within the limits of init code and of code, whatever they are keys of.
    function test_tells250KeysOfEachKind() external {
        uint256 head = _snapshot().length;
        for (uint256 i = 0; i < 250; ++i) {
            wallets.push(bytes20(uint160(i)));
        }
        assertEq(_snapshot().length, head + 250 * 3 * 32);
        delete wallets;
        deposits = new uint256[](250);
        assertEq(_snapshot().length, head + 250 * 3 * 32);
    }

    /// What an `eth_call` without `to` answers.
    function _snapshot() private returns (bytes memory) {
        bytes memory initCode = bytes.concat(
            vm.getCode("BridgeSnapshot.sol:BridgeSnapshot"),
            abi.encode(bridge, wallets, deposits, redemptions, sweepRequests)
        );
        address created;
        assembly ("memory-safe") {
            created := create(0, add(initCode, 0x20), mload(initCode))
        }
        assertNotEq(created, address(0), "the snapshot reverted");
        return created.code;
    }

    /// The words before those that are asked for.
    function _head() private returns (bytes memory head) {
        (bytes20[] memory w, uint256[] memory d, uint256[] memory r, uint256[] memory s) =
            (wallets, deposits, redemptions, sweepRequests);
        (wallets, deposits, redemptions, sweepRequests) =
        (new bytes20[](0), new uint256[](0), new uint256[](0), new uint256[](0));
        head = _snapshot();
        (wallets, deposits, redemptions, sweepRequests) = (w, d, r, s);
    }

    function _wallet(uint256 i) private pure returns (IBridge.Wallet memory wallet) {
        wallet.mainUtxoHash = bytes32(0x11 * i);
        wallet.movingFundsTargetWalletsCommitmentHash = bytes32(0x12 * i);
        wallet.pendingRedemptionsValue = _uint64(0x13 * i);
        wallet.createdAt = NOW - 1;
        wallet.movingFundsRequestedAt = NOW - 2;
        wallet.closingStartedAt = NOW - 3;
        wallet.pendingMovedFundsSweepRequestsCount = _uint32(0x16 * i);
        wallet.state = 0x17;
    }

    function _depositRequest(uint256 i) private pure returns (IBridge.DepositRequest memory) {
        return IBridge.DepositRequest({
            depositor: address(uint160(0x21 * i)),
            amount: _uint64(0x22 * i),
            revealedAt: NOW - 1,
            vault: address(uint160(0x24 * i)),
            treasuryFee: _uint64(0x25 * i),
            sweptAt: NOW - 2,
            extraData: bytes32(0x27 * i)
        });
    }

    function _redemptionRequest(uint256 i) private pure returns (IBridge.RedemptionRequest memory) {
        return IBridge.RedemptionRequest({
            redeemer: address(0x31),
            requestedAmount: _uint64(0x32 * i),
            treasuryFee: _uint64(0x33 * i),
            txMaxFee: _uint64(0x34 * i),
            requestedAt: NOW
        });
    }

    /// `packed`, filled up with zeros.
    function _word(bytes memory packed) private pure returns (bytes32) {
        assertLe(packed.length, 32);
        // forge-lint: disable-next-line(unsafe-typecast)
        return bytes32(packed);
    }

    function _uint64(uint256 value) private pure returns (uint64) {
        assertLe(value, type(uint64).max);
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint64(value);
    }

    function _uint32(uint256 value) private pure returns (uint32) {
        assertLe(value, type(uint32).max);
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint32(value);
    }
}
