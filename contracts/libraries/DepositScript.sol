// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title The Bitcoin script that a deposit pays to
/// @notice Spendable by the wallet at once, and by the depositor's refund key after the locktime.
library DepositScript {
    /// @dev `extraData` is part of the script unless it is zero. `refundLocktime` is little-endian.
    function encode(
        address depositor,
        bytes32 extraData,
        bytes8 blindingFactor,
        bytes20 walletPubKeyHash,
        bytes20 refundPubKeyHash,
        bytes4 refundLocktime
    ) internal pure returns (bytes memory) {
        bytes memory extra = extraData == 0 ? bytes("") : abi.encodePacked(hex"20", extraData, hex"75");
        return abi.encodePacked(
            hex"14",
            depositor,
            hex"75", // <depositor> DROP
            extra, // [<extraData> DROP]
            hex"08",
            blindingFactor,
            hex"75", // <blindingFactor> DROP
            hex"76a914",
            walletPubKeyHash, // DUP HASH160 <walletPubKeyHash>
            hex"8763ac67", // EQUAL IF CHECKSIG ELSE
            hex"76a914",
            refundPubKeyHash,
            hex"88", // DUP HASH160 <refundPubKeyHash> EQUALVERIFY
            hex"04",
            refundLocktime, // <refundLocktime>
            hex"b175ac68" // CHECKLOCKTIMEVERIFY DROP CHECKSIG ENDIF
        );
    }

    /// @notice Whether `outputScript` is P2SH or P2WSH of exactly `script`. Nothing else will do: of P2PKH or P2WPKH over
    ///         the same 20 bytes nobody could ever spend.
    function isPaidBy(bytes memory script, bytes calldata outputScript) internal pure returns (bool) {
        // The cast takes the first two bytes.
        // forge-lint: disable-next-line(unsafe-typecast)
        bytes2 prefix = bytes2(outputScript);
        if (outputScript.length == 34) {
            return prefix == 0x0020 && bytes32(outputScript[2:]) == sha256(script);
        }
        if (outputScript.length == 23) {
            return prefix == 0xa914 && bytes20(outputScript[2:]) == _hash160(script) && outputScript[22] == 0x87;
        }
        return false;
    }

    function _hash160(bytes memory script) private pure returns (bytes20) {
        return ripemd160(abi.encodePacked(sha256(script)));
    }
}
