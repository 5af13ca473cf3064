// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {BitcoinHashes} from "../../contracts/libraries/BitcoinHashes.sol";
import {BitcoinOutputs} from "../../contracts/libraries/BitcoinOutputs.sol";
import {DepositScript} from "../../contracts/libraries/DepositScript.sol";
import {FeeShares} from "../../contracts/libraries/FeeShares.sol";
import {KeyList} from "../../contracts/libraries/KeyList.sol";
import {Keys} from "../../contracts/libraries/Keys.sol";
import {Times} from "../../contracts/libraries/Times.sol";
import {Bitcoin} from "../support/Bitcoin.sol";

/// Each library, assembly above all, against the plain way to say the same; and that memory before the free pointer stays
/// as it was.
contract LibrariesTest is Test {
    using KeyList for uint256[];

    function testFuzz_hash256(bytes4 version, bytes calldata inputs, bytes calldata outputs, bytes4 locktime)
        external
        view
    {
        bytes memory canary = abi.encode(inputs);
        bytes32 expected = sha256(bytes.concat(sha256(bytes.concat(version, inputs, outputs, locktime))));
        uint256 gas = gasleft();
        bytes32 digest = BitcoinHashes.hash256(version, inputs, outputs, locktime);
        _usedLittle(gas, inputs.length + outputs.length);
        assertEq(digest, expected);
        assertEq(canary, abi.encode(inputs));
    }

    function testFuzz_depositScript(address depositor, bytes32 extraData, bytes32 keys, uint32 locktime, bool plain)
        external
        view
    {
        Bitcoin.Deposit memory d = _deposit(depositor, plain ? bytes32(0) : extraData, keys, locktime);
        bytes memory script = Bitcoin.depositScript(d);
        assertEq(script.length, d.extraData == 0 ? 92 : 126);
        bytes32 hash = _hash(d, _bytes4(locktime));
        assertEq(hash, sha256(script));

        for (uint256 kind = 0; kind < 4; ++kind) {
            d.outputType = Bitcoin.OutputType(kind);
            bytes memory output = Bitcoin.fundingScript(d);
            assertEq(this.isPaidBy(hash, output), kind < 2);
            assertFalse(this.isPaidBy(hash ^ bytes32(uint256(1)), output));
            assertFalse(this.isPaidBy(hash, bytes.concat(output, hex"00")));
            for (uint256 i = 0; i < output.length; ++i) {
                output[i] ^= 0x01;
                assertFalse(this.isPaidBy(hash, output));
                output[i] ^= 0x01;
            }
        }
    }

    /// What stands in memory past the free pointer, where the script is put together, doesn't show in it.
    function testFuzz_depositScriptOnDirtyMemory(address depositor, bytes32 extraData, bytes32 keys, uint32 locktime)
        external
        view
    {
        Bitcoin.Deposit memory d = _deposit(depositor, extraData, keys, locktime);
        bytes32 expected = sha256(Bitcoin.depositScript(d));
        bytes4 locktimeBytes = _bytes4(locktime);
        assembly ("memory-safe") {
            let free := mload(0x40)
            for { let i := 0 } lt(i, 0x200) { i := add(i, 0x20) } { mstore(add(free, i), not(0)) }
        }
        bytes32 hash = _hash(d, locktimeBytes);
        assertEq(hash, expected);
    }

    function _deposit(address depositor, bytes32 extraData, bytes32 keys, uint32 locktime)
        private
        pure
        returns (Bitcoin.Deposit memory)
    {
        bytes8 blindingFactor = bytes8(keccak256(abi.encode(keys, 1)));
        bytes20 refundKey = bytes20(keccak256(abi.encode(keys, 2)));
        bytes20 walletKey = bytes20(keccak256(abi.encode(keys, 3)));
        return
            Bitcoin.Deposit(
                depositor, extraData, blindingFactor, walletKey, refundKey, locktime, Bitcoin.OutputType.P2wsh
            );
    }

    function _bytes4(uint32 locktime) private pure returns (bytes4) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return bytes4(Bitcoin.littleEndian(locktime, 4));
    }

    function _hash(Bitcoin.Deposit memory d, bytes4 locktime) private view returns (bytes32) {
        uint256 gas = gasleft();
        bytes32 hash = DepositScript.hash(
            d.depositor, d.extraData, d.blindingFactor, d.walletPubKeyHash, d.refundPubKeyHash, locktime
        );
        _usedLittle(gas, 126);
        return hash;
    }

    /// What the hashes and the copies of `size` bytes cost, but no stretch of memory between.
    function _usedLittle(uint256 gasBefore, uint256 size) private view {
        assertLt(gasBefore - gasleft(), 2_000 + size);
    }

    function isPaidBy(bytes32 scriptSha256, bytes calldata outputScript) external pure returns (bool) {
        return DepositScript.isPaidBy(scriptSha256, outputScript);
    }

    function scriptAt(bytes calldata vector, uint256 index) external pure returns (bool, bytes memory) {
        return BitcoinOutputs.scriptAt(vector, index);
    }

    /// Every output of a well-formed vector, and none beyond.
    function testFuzz_scriptAt(bytes[] memory scripts, uint256 beyond) external view {
        bytes[] memory parts = new bytes[](scripts.length + 1);
        parts[0] = Bitcoin.compactSize(scripts.length);
        for (uint256 i = 0; i < scripts.length; ++i) {
            parts[i + 1] = Bitcoin.output(i, scripts[i]);
        }
        bytes memory vector = Bitcoin.concat(parts);
        for (uint256 i = 0; i < scripts.length; ++i) {
            (bool found, bytes memory script) = this.scriptAt(vector, i);
            assertTrue(found);
            assertEq(script, scripts[i]);
        }
        (bool nothing, bytes memory empty) = this.scriptAt(vector, bound(beyond, scripts.length, type(uint256).max));
        assertFalse(nothing);
        assertEq(empty, "");
    }

    /// Lengths at the borders of the compact size's forms, in each form that can hold them, as an earlier output's and as
    /// the wanted one's.
    function test_scriptAt_compactSizes() external view {
        uint32[6] memory lengths = [uint32(0), 252, 253, 254, 65_535, 65_536];
        for (uint256 i = 0; i < lengths.length; ++i) {
            uint256 minimal = Bitcoin.compactSize(lengths[i]).length;
            for (uint256 size = minimal; size <= 9; size = size == 1 ? 3 : 2 * size - 1) {
                bytes memory output =
                    bytes.concat(bytes8(0), Bitcoin.compactSize(lengths[i], size), new bytes(lengths[i]));
                bytes memory vector = bytes.concat(hex"02", output, Bitcoin.output(1, hex"abcd"));
                (bool found, bytes memory script) = this.scriptAt(vector, 1);
                assertTrue(found);
                assertEq(script, hex"abcd");
                (found, script) = this.scriptAt(vector, 0);
                assertEq(found, size == minimal);
                assertEq(script.length, found ? lengths[i] : 0);
            }
        }
    }

    /// However many outputs the vector says to have, the walk is over where it ends.
    function test_scriptAt_endsWithTheVector() external view {
        uint256 gas = gasleft();
        (bool found,) = this.scriptAt(hex"ffffffffffffffffff00", type(uint32).max);
        assertLt(gas - gasleft(), 10_000);
        assertFalse(found);
    }

    /// Whatever the bytes, it ends, in bounds, and what it finds lies within the vector.
    function testFuzz_scriptAt_anyBytes(bytes memory vector, uint32 index) external view {
        (bool found, bytes memory script) = this.scriptAt(vector, index % 8);
        if (found) assertLe(script.length + 10, vector.length);
        else assertEq(script, "");
        (found,) = this.scriptAt(vector, index);
        if (found) assertLt(index, vector.length / 9);
    }

    function testFuzz_keys(bytes32 hash, uint32 index, uint64 value, bytes calldata script, bytes20 wallet)
        external
        view
    {
        assertEq(Keys.output(hash, index), uint256(keccak256(abi.encodePacked(hash, index))));
        assertEq(Keys.utxo(hash, index, value), keccak256(abi.encodePacked(hash, index, value)));
        uint256 gas = gasleft();
        uint256 key = Keys.redemption(script, wallet);
        _usedLittle(gas, script.length);
        assertEq(key, uint256(keccak256(abi.encodePacked(keccak256(script), wallet))));
    }

    /// Few different keys, so that they repeat, and many that share their lowest byte, the largest one too.
    function testFuzz_keyList(uint256[20] memory keys, uint256 n) external pure {
        n = bound(n, 0, 20);
        uint256[] memory list = KeyList.empty(n);
        bytes32 canary = keccak256("canary");
        bytes32[] memory behind = new bytes32[](1);
        behind[0] = canary;
        for (uint256 i = 0; i < n; ++i) {
            keys[i] = (keys[i] % 4) << 8 | (keys[i] >> 8) % 4 * 85;
            uint256 expected = 0;
            while (keys[expected] != keys[i]) ++expected;
            assertEq(list.put(i, keys[i]), expected);
        }
        assertEq(abi.encode(behind), abi.encode(0x20, 1, canary));
    }

    function testFuzz_feeShares(uint256 fee, uint256 n) external pure {
        n = bound(n, 1, 1_000_000);
        (uint256 share, uint256 largest) = FeeShares.split(fee, n);
        assertEq(share, fee / n);
        assertGe(largest, share);
        assertLe(largest, fee);
        assertEq(share * (n - 1) + largest, fee, "all of the fee, no more");
    }

    function testFuzz_times(uint32 start, uint32 period, uint32 margin) external pure {
        uint256 sum = uint256(start) + period;
        assertEq(Times.earliest(start, period), sum < 2 ** 32 ? sum : type(uint256).max);
        assertEq(Times.latest(start, period, margin), sum < 2 ** 32 && sum >= margin ? sum - margin : 0);
    }

    function test_times_borders() external pure {
        uint32 max = type(uint32).max;
        assertEq(Times.earliest(max - 1, 1), max);
        assertEq(Times.earliest(max, 1), type(uint256).max);
        assertEq(Times.latest(max - 1, 1, 0), max);
        assertEq(Times.latest(max, 1, 0), 0);
        assertEq(Times.latest(max, 1, max), 0, "the sum doesn't fit, be the difference as it may");
        assertEq(Times.latest(5, 5, 10), 0);
        assertEq(Times.latest(5, 5, 11), 0);
        assertEq(Times.latest(5, 5, 9), 1);
    }
}
