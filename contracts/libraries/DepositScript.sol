// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @title The Bitcoin script that a deposit pays to
/// @notice The wallet can spend it at once, the depositor's refund key after the locktime.
library DepositScript {
    /// @notice Whether `outputScript` is P2WSH or P2SH of exactly the script with this SHA-256. Nothing else will do: of
    ///         P2WPKH or P2PKH over the same 20 bytes nobody could ever spend.
    function isPaidBy(bytes32 scriptSha256, bytes calldata outputScript) internal view returns (bool paid) {
        if (outputScript.length == 34) {
            // 0 <32 bytes>: the first two, and the rest.
            assembly ("memory-safe") {
                paid := eq(shr(240, calldataload(outputScript.offset)), 0x0020)
                paid := and(paid, eq(calldataload(add(outputScript.offset, 2)), scriptSha256))
            }
        } else if (outputScript.length == 23) {
            // HASH160 <20 bytes> EQUAL. 0x03 is RIPEMD-160. It fails only for lack of gas.
            assembly ("memory-safe") {
                mstore(0x00, scriptSha256)
                if iszero(staticcall(gas(), 0x03, 0x00, 0x20, 0x00, 0x20)) { revert(0, 0) }
                let expected := or(or(shl(168, 0xa914), shl(8, mload(0x00))), 0x87)
                paid := eq(shr(72, calldataload(outputScript.offset)), expected)
            }
        }
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
            // EQUAL IF CHECKSIG ELSE DUP HASH160 <refundPubKeyHash>
            mstore(add(at, 33), or(shl(200, 0x8763ac6776a914), shr(56, refundPubKeyHash)))
            // EQUALVERIFY <refundLocktime> CHECKLOCKTIMEVERIFY DROP CHECKSIG ENDIF
            mstore(add(at, 60), or(or(shl(240, 0x8804), shr(16, refundLocktime)), shl(176, 0xb175ac68)))
            at := add(at, 70)

            // 0x02 is SHA-256. It fails only for lack of gas.
            if iszero(staticcall(gas(), 0x02, start, sub(at, start), 0x00, 0x20)) { revert(0, 0) }
            scriptSha256 := mload(0x00)
        }
    }
}
