// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {BitcoinHashes} from "../../contracts/libraries/BitcoinHashes.sol";
import {DepositScript} from "../../contracts/libraries/DepositScript.sol";
import {FeeShares} from "../../contracts/libraries/FeeShares.sol";
import {KeyList} from "../../contracts/libraries/KeyList.sol";
import {Keys} from "../../contracts/libraries/Keys.sol";
import {Times} from "../../contracts/libraries/Times.sol";
import {Test} from "forge-std/Test.sol";
import {SymbolicVm} from "./Symbolic.sol";

/// Each library against the plain way to say the same. Times, keys, the deposit script and its output scripts: every
/// value, redemption scripts of 0 to 35 bytes. Fee shares: every fee, numbers of items
/// that are powers of 2 (by others no solver divides 256 bits in time). Transactions: inputs of 41
/// bytes, outputs of 0, 43 and 86. Key lists: 3 keys. Of SHA-256 and RIPEMD-160 only that equal input gives equal output.
contract LibrariesSymbolicTest is Test {
    using KeyList for KeyList.List;

    SymbolicVm private constant SVM = SymbolicVm(address(uint160(uint256(keccak256("svm cheat code")))));

    function check_times_earliest(uint32 start, uint32 wait) external pure {
        uint256 sum = uint256(start) + uint256(wait);
        assert(Times.earliest(start, wait) == (sum < 2 ** 32 ? sum : type(uint256).max));
    }

    function check_times_latest(uint32 start, uint32 period, uint32 margin) external pure {
        int256 sum = int256(uint256(start)) + int256(uint256(period));
        int256 bound = sum - int256(uint256(margin));
        bool fits = sum < 2 ** 32 && bound >= 0;
        assert(int256(Times.latest(start, period, margin)) == (fits ? bound : int256(0)));
    }

    function check_keys_output(bytes32 hash, uint32 index) external pure {
        assert(Keys.output(hash, index) == uint256(keccak256(abi.encodePacked(hash, index))));
    }

    function check_keys_utxo(bytes32 hash, uint32 index, uint64 value) external pure {
        assert(Keys.utxo(hash, index, value) == keccak256(abi.encodePacked(hash, index, value)));
    }

    function check_keys_redemption(bytes20 wallet) external view {
        for (uint256 size = 0; size <= 35; ++size) {
            bytes memory script = SVM.createBytes(size, "script");
            (bool success, bytes memory key) =
                address(this).staticcall(abi.encodeCall(this.redemption, (script, wallet)));
            assert(success);
            assert(abi.decode(key, (bytes32)) == keccak256(abi.encodePacked(keccak256(script), wallet)));
        }
    }

    function redemption(bytes calldata script, bytes20 wallet) external pure returns (uint256) {
        return Keys.redemption(script, wallet);
    }

    /// `first` is the index of the first equal key.
    function check_keyList(uint256 a, uint256 b, uint256 c) external pure {
        KeyList.List list = KeyList.empty(3);
        assert(list.put(0, a) == 0);
        assert(list.put(1, b) == (b == a ? 0 : 1));
        assert(list.put(2, c) == (c == a ? 0 : c == b ? 1 : 2));
    }

    function witness_keyList(uint256 a, uint256 b, uint256 c) external pure {
        KeyList.List list = KeyList.empty(3);
        list.put(0, a);
        list.put(1, b);
        assert(a == b || list.put(2, c) != 1);
    }

    /// Of 1, 2, 4, 8 and 16 items, whatever the fee: the shares come to it, and the last, the largest, is the one that
    /// bears the remainder.
    function check_feeShares(uint256 fee) external pure {
        for (uint256 n = 1; n <= 16; n *= 2) {
            (uint256 share, uint256 largest) = FeeShares.split(fee, n);
            unchecked {
                assert(share * (n - 1) + largest == fee);
                assert(share <= largest && largest - share < n);
            }
        }
    }

    function check_hash256(bytes4 version, bytes4 locktime) external view {
        _checkHash256(version, 0, locktime);
        _checkHash256(version, 43, locktime);
        _checkHash256(version, 86, locktime);
    }

    function _checkHash256(bytes4 version, uint256 size, bytes4 locktime) private view {
        bytes memory inputs = SVM.createBytes(41, "inputs");
        bytes memory outputs = SVM.createBytes(size, "outputs");
        (bool success, bytes memory hash) =
            address(this).staticcall(abi.encodeCall(this.hash256, (version, inputs, outputs, locktime)));
        assert(success);
        bytes32 expected = sha256(abi.encodePacked(sha256(abi.encodePacked(version, inputs, outputs, locktime))));
        assert(abi.decode(hash, (bytes32)) == expected);
    }

    function hash256(bytes4 version, bytes calldata inputs, bytes calldata outputs, bytes4 locktime)
        external
        view
        returns (bytes32)
    {
        return BitcoinHashes.hash256(version, inputs, outputs, locktime);
    }

    /// With extra data and without, put together on memory that holds anything.
    function check_depositScript(
        address depositor,
        bytes32 extraData,
        bytes8 blindingFactor,
        bytes20 walletPubKeyHash,
        bytes20 refundPubKeyHash,
        bytes4 refundLocktime,
        bytes32 dirt
    ) external view {
        bytes memory head = abi.encodePacked(hex"14", depositor, hex"75");
        if (extraData != 0) head = abi.encodePacked(head, hex"20", extraData, hex"75");
        bytes memory script =
            abi.encodePacked(head, hex"08", blindingFactor, hex"75", hex"76a914", walletPubKeyHash, hex"8763ac67");
        script = abi.encodePacked(script, hex"76a914", refundPubKeyHash, hex"8804", refundLocktime, hex"b175ac68");
        bytes32 expected = sha256(script);
        assembly ("memory-safe") {
            let free := mload(0x40)
            for { let i := 0 } lt(i, 0x100) { i := add(i, 0x20) } { mstore(add(free, i), dirt) }
        }
        bytes32 hash = DepositScript.hash(
            depositor, extraData, blindingFactor, walletPubKeyHash, refundPubKeyHash, refundLocktime
        );
        assert(hash == expected);
    }

    /// Output scripts of every size up to 40 bytes, with anything behind them.
    function check_isPaidBy(bytes32 scriptSha256, uint256 size) external view {
        for (uint256 n = 0; n <= 40; ++n) {
            if (size == n) _checkIsPaidBy(scriptSha256, n);
        }
    }

    function _checkIsPaidBy(bytes32 scriptSha256, uint256 size) private view {
        bytes memory p2wsh = abi.encodePacked(hex"0020", scriptSha256);
        bytes memory p2sh = abi.encodePacked(hex"a914", ripemd160(abi.encodePacked(scriptSha256)), hex"87");
        bytes memory data = SVM.createBytes(size + 40, "output script, and what follows");
        (bool success, bytes memory paid) =
            address(this).staticcall(abi.encodeCall(this.isPaidBy, (scriptSha256, data, size)));
        assert(success);
        bytes32 script = keccak256(_head(data, size));
        assert(abi.decode(paid, (bool)) == (script == keccak256(p2wsh) || script == keccak256(p2sh)));
    }

    function witness_isPaidBy_p2wsh(bytes32 scriptSha256) external view {
        assert(!this.isPaidBy(scriptSha256, SVM.createBytes(34, "output script"), 34));
    }

    function witness_isPaidBy_p2sh(bytes32 scriptSha256) external view {
        assert(!this.isPaidBy(scriptSha256, SVM.createBytes(23, "output script"), 23));
    }

    function isPaidBy(bytes32 scriptSha256, bytes calldata data, uint256 size) external view returns (bool) {
        return DepositScript.isPaidBy(scriptSha256, data[:size]);
    }

    function _head(bytes memory data, uint256 size) private pure returns (bytes memory head) {
        head = new bytes(size);
        for (uint256 i = 0; i < size; ++i) {
            head[i] = data[i];
        }
    }
}
