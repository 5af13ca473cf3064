// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IWalletProposalValidator} from "../../contracts/interfaces/IWalletProposalValidator.sol";

/// Bitcoin serialization for tests, written plainly and apart from the contract's libraries.
library Bitcoin {
    /// Everything that a deposit script depends on, and the type of output that pays to it.
    struct Deposit {
        address depositor;
        bytes32 extraData;
        bytes8 blindingFactor;
        bytes20 walletPubKeyHash;
        bytes20 refundPubKeyHash;
        uint256 refundLocktime;
        OutputType outputType;
    }

    enum OutputType {
        P2wsh,
        P2sh,
        P2wpkh,
        P2pkh
    }

    function depositScript(Deposit memory d) internal pure returns (bytes memory script) {
        script = bytes.concat(push(bytes.concat(bytes20(d.depositor))), drop());
        if (d.extraData != 0) script = bytes.concat(script, push(bytes.concat(d.extraData)), drop());
        script = bytes.concat(script, push(bytes.concat(d.blindingFactor)), drop());
        script = bytes.concat(script, hex"76a9", push(bytes.concat(d.walletPubKeyHash)), hex"87"); // DUP HASH160 … EQUAL
        script = bytes.concat(script, hex"63ac67"); // IF CHECKSIG ELSE
        script = bytes.concat(script, hex"76a9", push(bytes.concat(d.refundPubKeyHash)), hex"88"); // DUP HASH160 … EQUALVERIFY
        script = bytes.concat(script, push(littleEndian(d.refundLocktime, 4)), hex"b1", drop(), hex"ac68"); // CLTV … CHECKSIG ENDIF
    }

    /// The output script of type `d.outputType` over the deposit script.
    function fundingScript(Deposit memory d) internal pure returns (bytes memory) {
        bytes memory script = depositScript(d);
        bytes20 hash160 = ripemd160(bytes.concat(sha256(script)));
        if (d.outputType == OutputType.P2wsh) return bytes.concat(hex"00", push(bytes.concat(sha256(script))));
        if (d.outputType == OutputType.P2sh) return bytes.concat(hex"a9", push(bytes.concat(hash160)), hex"87");
        if (d.outputType == OutputType.P2wpkh) return bytes.concat(hex"00", push(bytes.concat(hash160)));
        return bytes.concat(hex"76a9", push(bytes.concat(hash160)), hex"88ac");
    }

    function push(bytes memory data) internal pure returns (bytes memory) {
        return bytes.concat(littleEndian(data.length, 1), data);
    }

    function drop() private pure returns (bytes memory) {
        return hex"75";
    }

    /// The `width` lowest bytes of `value`, lowest first.
    function littleEndian(uint256 value, uint256 width) internal pure returns (bytes memory encoded) {
        encoded = new bytes(width);
        for (uint256 i = 0; i < width; ++i) {
            // forge-lint: disable-next-line(unsafe-typecast)
            encoded[i] = bytes1(uint8(value >> (8 * i)));
        }
    }

    function compactSize(uint256 number) internal pure returns (bytes memory) {
        if (number < 0xfd) return compactSize(number, 1);
        if (number <= 0xffff) return compactSize(number, 3);
        return compactSize(number, number <= 0xffffffff ? 5 : 9);
    }

    /// In `size` bytes (1, 3, 5 or 9), be that the minimal form or a longer one.
    function compactSize(uint256 number, uint256 size) internal pure returns (bytes memory) {
        if (size == 1) return littleEndian(number, 1);
        return bytes.concat(
            size == 3 ? bytes1(0xfd) : size == 5 ? bytes1(0xfe) : bytes1(0xff), littleEndian(number, size - 1)
        );
    }

    function output(uint256 value, bytes memory script) internal pure returns (bytes memory) {
        return bytes.concat(littleEndian(value, 8), compactSize(script.length), script);
    }

    /// A P2WPKH output to nobody in particular.
    function otherOutput(uint256 seed) internal pure returns (bytes memory) {
        return output(seed, bytes.concat(hex"0014", bytes20(keccak256(abi.encode(seed)))));
    }

    /// `count` outputs: `wanted` at `index`, the others to nobody in particular.
    function outputVector(bytes memory wanted, uint256 index, uint256 count) internal pure returns (bytes memory) {
        bytes[] memory parts = new bytes[](1 + count);
        parts[0] = compactSize(count);
        for (uint256 i = 0; i < count; ++i) {
            parts[1 + i] = i == index ? wanted : otherOutput(i);
        }
        return concat(parts);
    }

    function concat(bytes[] memory parts) internal pure returns (bytes memory whole) {
        uint256 length = 0;
        for (uint256 i = 0; i < parts.length; ++i) {
            length += parts[i].length;
        }
        whole = new bytes(length);
        uint256 at = 0;
        for (uint256 i = 0; i < parts.length; ++i) {
            bytes memory part = parts[i];
            assembly ("memory-safe") {
                mcopy(add(add(whole, 0x20), at), add(part, 0x20), mload(part))
            }
            at += part.length;
        }
    }

    /// A transaction with one input, that spends an outpoint made of `seed`.
    function transaction(uint256 seed, bytes memory outputs)
        internal
        pure
        returns (IWalletProposalValidator.BitcoinTransaction memory)
    {
        bytes memory inputs =
            bytes.concat(hex"01", keccak256(abi.encode("outpoint", seed)), hex"00000000", hex"00", hex"ffffffff");
        return IWalletProposalValidator.BitcoinTransaction(0x02000000, inputs, outputs, 0x00000000);
    }

    /// In internal byte order.
    function txHash(IWalletProposalValidator.BitcoinTransaction memory t) internal pure returns (bytes32) {
        return sha256(bytes.concat(sha256(bytes.concat(t.version, t.inputVector, t.outputVector, t.locktime))));
    }
}
