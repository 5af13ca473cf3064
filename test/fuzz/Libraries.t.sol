// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {IWalletProposalValidator as IValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";
import {BitcoinHashes} from "../../contracts/libraries/BitcoinHashes.sol";
import {BitcoinOutputs} from "../../contracts/libraries/BitcoinOutputs.sol";
import {DepositScript} from "../../contracts/libraries/DepositScript.sol";
import {ExtraInfos} from "../../contracts/libraries/ExtraInfos.sol";
import {FeeShares} from "../../contracts/libraries/FeeShares.sol";
import {KeyList} from "../../contracts/libraries/KeyList.sol";
import {Keys} from "../../contracts/libraries/Keys.sol";
import {Times} from "../../contracts/libraries/Times.sol";
import {Bitcoin} from "../support/Bitcoin.sol";
import {Spec} from "../support/Spec.sol";

/// Each library but the one that reads the Bridge, assembly above all, against the plain way to say the same; and that memory
/// before the free pointer stays as it was.
contract LibrariesTest is Test {
    using ExtraInfos for IValidator.DepositExtraInfo;
    using ExtraInfos for IValidator.DepositExtraInfo[];
    using KeyList for KeyList.List;

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

    function isPaidBy(bytes32 scriptSha256, bytes calldata outputScript) external view returns (bool) {
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

    /// Whatever the bytes, and with them made small, so that they are outputs more often.
    function testFuzz_scriptAt_anyBytes(bytes memory vector, bytes memory behind, uint32 index) external view {
        _sameScript(vector, behind, index);
        _sameScript(vector, behind, index % 8);
        for (uint256 i = 0; i < vector.length; ++i) {
            uint8 low = uint8(vector[i]) % 16;
            vector[i] = bytes1(low < 13 ? low / 2 : low + 0xf0);
        }
        _sameScript(vector, behind, index % 8);
    }

    /// Outputs with lengths in any form, counted in any form, truthfully or not; cut anywhere, or with any byte changed.
    function testFuzz_scriptAt_anyForms(uint256[6] memory seeds, uint256 n, uint256 at, bytes1 change) external view {
        n = bound(n, 0, 6);
        bytes[] memory parts = new bytes[](1 + n);
        parts[0] = _anyForm(n + at % 4 / 3, at >> 8);
        for (uint256 i = 0; i < n; ++i) {
            bytes memory script = new bytes(seeds[i] % 8 == 0 ? 250 + (seeds[i] >> 8) % 8 : (seeds[i] >> 8) % 40);
            for (uint256 j = 0; j < script.length; ++j) {
                script[j] = bytes32(seeds[i])[j % 32];
            }
            parts[1 + i] = bytes.concat(bytes8(uint64(seeds[i])), _anyForm(script.length, seeds[i] >> 64), script);
        }
        bytes memory vector = Bitcoin.concat(parts);
        uint256 place = (at >> 16) % vector.length;
        for (uint256 i = 0; i < n + 2; ++i) {
            _sameScript(vector, "", i);
            vector[place] ^= change;
            _sameScript(vector, "", i);
            vector[place] ^= change;
            _sameScript(_slice(vector, 0, place), _slice(vector, place, vector.length), i);
        }
    }

    /// The number in one of the forms that can hold it; every other time the minimal one.
    function _anyForm(uint256 number, uint256 seed) private pure returns (bytes memory) {
        bytes memory minimal = Bitcoin.compactSize(number);
        if (seed % 2 == 0) return minimal;
        uint256 size = [1, 3, 5, 9][(seed >> 1) % 4];
        return size < minimal.length ? minimal : Bitcoin.compactSize(number, size);
    }

    function _slice(bytes memory whole, uint256 from, uint256 to) private pure returns (bytes memory part) {
        part = new bytes(to - from);
        for (uint256 i = from; i < to; ++i) {
            part[i - from] = whole[i];
        }
    }

    /// What the library finds in the vector, with `behind` in the calldata after it, is what the predicate's plain walk does.
    function _sameScript(bytes memory vector, bytes memory behind, uint256 index) private view {
        (bool found, bytes memory script) = this.scriptAtStart(bytes.concat(vector, behind), vector.length, index);
        (bool expected, bytes memory expectedScript) = Spec.output(vector, index);
        assertEq(found, expected);
        assertEq(script, expectedScript);
    }

    function scriptAtStart(bytes calldata data, uint256 size, uint256 index)
        external
        pure
        returns (bool, bytes memory)
    {
        return BitcoinOutputs.scriptAt(data[:size], index);
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
        KeyList.List list = KeyList.empty(n);
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

    /// What stands in memory past the free pointer, where the list begins, isn't taken for keys.
    function test_keyList_onDirtyMemory() external pure {
        assembly ("memory-safe") {
            let free := mload(0x40)
            for { let i := 0 } lt(i, 0x200) { i := add(i, 0x20) } { mstore(add(free, i), not(0)) }
        }
        KeyList.List list = KeyList.empty(2);
        assertEq(list.put(0, type(uint256).max), 0);
        assertEq(list.put(1, type(uint256).max - 1), 1);
    }

    /// Keys that differ in one bit only are two keys, whichever bit it is.
    function test_keyList_everyBitCounts() external pure {
        uint256 key = uint256(keccak256("key"));
        for (uint256 bit = 0; bit < 256; ++bit) {
            KeyList.List list = KeyList.empty(3);
            assertEq(list.put(0, key), 0);
            assertEq(list.put(1, key ^ 2 ** bit), 1);
            assertEq(list.put(2, key), 0);
        }
    }

    /// Two extra infos with any vectors, changed in up to three words.
    function testFuzz_extraInfos(bytes calldata inputs, bytes calldata outputs, bytes32 fields, uint256 seed)
        external
        view
    {
        bytes memory data = _infos(inputs, outputs, fields, seed % 2);
        _sameInfo(data);
        for (uint256 i = 0; i < 3; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256[] memory values = _unusual(data.length);
            uint256 value =
                seed % 8 == 0 ? seed : seed % 8 == 1 ? 32 * ((seed >> 8) % 40) : values[(seed >> 8) % values.length];
            _setWord(data, (seed >> 128) % ((data.length - 4) / 32), value);
            _sameInfo(data);
        }
    }

    /// Each word in turn with each of the unusual values; each byte with another in its place; cut off at each byte.
    function test_extraInfos_everyWordAndByte() external view {
        for (uint256 index = 0; index < 2; ++index) {
            bytes memory data = _infos(new bytes(43), new bytes(64), keccak256("fields"), index);
            uint256[] memory values = _unusual(data.length);
            uint256 free;
            assembly ("memory-safe") { free := mload(0x40) }
            for (uint256 word = 0; word < (data.length - 4) / 32; ++word) {
                uint256 own = _setWord(data, word, 0);
                for (uint256 i = 0; i < values.length; ++i) {
                    _setWord(data, word, values[i]);
                    _sameInfo(data);
                    assembly ("memory-safe") { mstore(0x40, free) }
                }
                _setWord(data, word, own);
            }
            for (uint256 i = 4; i < data.length; ++i) {
                data[i] ^= 0x01;
                _sameInfo(data);
                data[i] ^= 0x81;
                _sameInfo(data);
                data[i] ^= 0x80;
                _sameInfo(_slice(data, 0, i));
                assembly ("memory-safe") { mstore(0x40, free) }
            }
        }
    }

    /// The info's end, or its transaction's, is the calldata's, and that is cut off at each byte. All is zeros: the vectors are empty,
    /// and where the transaction is.
    function test_extraInfos_endWithTheCalldata() external view {
        for (uint256 i = 0; i < 2; ++i) {
            bytes memory data =
                bytes.concat(this.readInfo.selector, abi.encode(64, 0, 1, 32), new bytes((5 + 4 * i) * 32));
            if (i == 1) _setWord(data, 4, 5 * 32);
            for (uint256 size = 4 + 4 * 32; size <= data.length; ++size) {
                _sameInfo(_slice(data, 0, size));
            }
        }
    }

    /// The call that reads the info at `index` of two.
    function _infos(bytes memory inputs, bytes memory outputs, bytes32 fields, uint256 index)
        private
        view
        returns (bytes memory)
    {
        IValidator.DepositExtraInfo[] memory infos = new IValidator.DepositExtraInfo[](2);
        for (uint256 i = 0; i < 2; ++i) {
            bytes4 version = bytes4(keccak256(abi.encode(fields, i)));
            IValidator.BitcoinTransaction memory funding =
                IValidator.BitcoinTransaction(version, i == 0 ? inputs : outputs, i == 0 ? outputs : inputs, ~version);
            bytes20 wallet = bytes20(keccak256(abi.encode(fields, i, "wallet")));
            bytes8 blindingFactor = bytes8(keccak256(abi.encode(fields, i, "blinding")));
            infos[i] = IValidator.DepositExtraInfo(funding, blindingFactor, wallet, ~wallet, ~version);
        }
        return abi.encodeCall(this.readInfo, (infos, index));
    }

    /// Near zero, 2⁶⁴, 2²⁵⁵ and 2²⁵⁶, and near the size of the calldata: backwards too.
    function _unusual(uint256 size) private pure returns (uint256[] memory values) {
        values = new uint256[](64);
        uint256[7] memory around = [uint256(0), 32, 2 ** 64, 2 ** 255, size, type(uint256).max - 31, 2 ** 224];
        for (uint256 i = 0; i < 7; ++i) {
            for (uint256 j = 0; j < 3; ++j) {
                unchecked {
                    values[3 * i + j] = around[i] + j - 1;
                }
            }
        }
        for (uint256 i = 21; i < 64; ++i) {
            unchecked {
                values[i] = 32 * (i - 42); // from -672 to 672
            }
        }
    }

    function _setWord(bytes memory data, uint256 word, uint256 value) private pure returns (uint256 before) {
        assembly ("memory-safe") {
            let at := add(add(data, 0x24), shl(5, word))
            before := mload(at)
            mstore(at, value)
        }
    }

    /// The library reads what the plain copy to memory does, or both revert.
    function _sameInfo(bytes memory data) private view {
        (bool read, bytes memory actual) = address(this).staticcall(data);
        _setSelector(data, this.copyInfo.selector);
        (bool copied, bytes memory expected) = address(this).staticcall(data);
        _setSelector(data, this.readInfo.selector);
        assertEq(read, copied);
        if (read) assertEq(actual, expected);
    }

    function _setSelector(bytes memory data, bytes4 selector) private pure {
        for (uint256 i = 0; i < 4; ++i) {
            data[i] = selector[i];
        }
    }

    function readInfo(IValidator.DepositExtraInfo[] calldata infos, uint256 index)
        external
        pure
        returns (IValidator.DepositExtraInfo memory)
    {
        require(index < infos.length);
        IValidator.DepositExtraInfo calldata info = infos.at(index);
        (bytes4 version, bytes calldata inputs, bytes calldata outputs, bytes4 locktime) = info.transaction();
        (bytes8 blindingFactor, bytes20 wallet, bytes20 refundKey, bytes4 refundLocktime) = info.scriptFields();
        assert(wallet == info.wallet() && refundLocktime == info.refund());
        return IValidator.DepositExtraInfo(
            IValidator.BitcoinTransaction(version, inputs, outputs, locktime),
            blindingFactor,
            wallet,
            refundKey,
            refundLocktime
        );
    }

    function copyInfo(IValidator.DepositExtraInfo[] calldata infos, uint256 index)
        external
        pure
        returns (IValidator.DepositExtraInfo memory info)
    {
        info = infos[index];
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
