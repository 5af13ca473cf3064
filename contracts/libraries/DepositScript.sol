// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @title The Bitcoin script that a deposit pays to
/// @notice The wallet can spend it at once, the depositor's refund key after the locktime.
library DepositScript {
    /// @notice Whether `outputScript` is P2WSH or P2SH of exactly the script with this SHA-256. Nothing else will do: of
    ///         P2WPKH or P2PKH over the same 20 bytes nobody could ever spend.
    function isPaidBy(bytes32 scriptSha256, bytes calldata outputScript) internal pure returns (bool) {
        bytes32 head; // The first 32 bytes,
        bytes32 tail; // and those from the third on.
        assembly ("memory-safe") {
            head := calldataload(outputScript.offset)
            tail := calldataload(add(outputScript.offset, 2))
        }
        // Casts to fewer bytes take the leading ones.
        if (outputScript.length == 34) {
            // forge-lint: disable-next-line(unsafe-typecast)
            return bytes2(head) == 0x0020 && tail == scriptSha256; // 0 <32 bytes>
        }
        if (outputScript.length == 23) {
            bytes20 hash160 = ripemd160(abi.encodePacked(scriptSha256));
            // forge-lint: disable-next-line(unsafe-typecast)
            return bytes23(head) == bytes23(abi.encodePacked(hex"a914", hash160, hex"87")); // HASH160 <20 bytes> EQUAL
        }
        return false;
    }

    /// @notice SHA-256 of the script. It has `extraData` only where that isn't zero. `refundLocktime` is little-endian.
    /// @dev Written past the free memory pointer, front to back: what a word holds beyond its bytes, the next overwrites.
    function hash(
        address depositor,
        bytes32 extraData,
        bytes8 blindingFactor,
        bytes20 walletPubKeyHash,
        bytes20 refundPubKeyHash,
        bytes4 refundLocktime
    ) internal view returns (bytes32 scriptSha256) {
        assembly ("memory-safe") {
            let start := mload(0x40)
            let at := start

            // <depositor> DROP
            mstore(at, or(or(shl(248, 0x14), shl(88, depositor)), shl(80, 0x75)))
            at := add(at, 22)
            // [<extraData> DROP]
            if extraData {
                mstore8(at, 0x20)
                mstore(add(at, 1), extraData)
                mstore8(add(at, 33), 0x75)
                at := add(at, 34)
            }
            // <blindingFactor> DROP DUP HASH160
            mstore(at, or(or(shl(248, 0x08), shr(8, blindingFactor)), shl(152, 0x7576a914)))
            // <walletPubKeyHash>
            mstore(add(at, 13), walletPubKeyHash)
            // EQUAL IF CHECKSIG ELSE DUP HASH160
            mstore(add(at, 33), shl(200, 0x8763ac6776a914))
            // <refundPubKeyHash>
            mstore(add(at, 40), refundPubKeyHash)
            // EQUALVERIFY <refundLocktime> CHECKLOCKTIMEVERIFY DROP CHECKSIG ENDIF
            mstore(add(at, 60), or(or(shl(240, 0x8804), shr(16, refundLocktime)), shl(176, 0xb175ac68)))
            at := add(at, 70)

            // 0x02 is SHA-256. It fails only for lack of gas.
            if iszero(staticcall(gas(), 0x02, start, sub(at, start), 0x00, 0x20)) { revert(0, 0) }
            scriptSha256 := mload(0x00)
        }
    }
}
