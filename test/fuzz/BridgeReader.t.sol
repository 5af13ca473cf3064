// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {IBridge} from "../../contracts/interfaces/IBridge.sol";
import {IRedemptionWatchtower} from "../../contracts/interfaces/IRedemptionWatchtower.sol";
import {BridgeReader} from "../../contracts/libraries/BridgeReader.sol";

/// Answers one question, asked in exactly these bytes, as it was told. Any other burns all gas.
contract Callee {
    bytes32 private _question;
    bytes private _answer;
    bool private _fails;

    function set(bytes memory question, bytes memory answer, bool fails) external {
        (_question, _answer, _fails) = (keccak256(question), answer, fails);
    }

    fallback() external {
        assert(keccak256(msg.data) == _question);
        bytes memory answer = _answer;
        bool fails = _fails;
        assembly ("memory-safe") {
            if fails { revert(add(answer, 0x20), mload(answer)) }
            return(add(answer, 0x20), mload(answer))
        }
    }
}

/// Each view, passed on as plain Solidity does.
contract PlainReader is IBridge, IRedemptionWatchtower {
    address private immutable CALLEE;

    constructor(address callee) {
        CALLEE = callee;
    }

    function wallets(bytes20 walletPubKeyHash) external view returns (Wallet memory) {
        return IBridge(CALLEE).wallets(walletPubKeyHash);
    }

    function deposits(uint256 depositKey) external view returns (DepositRequest memory) {
        return IBridge(CALLEE).deposits(depositKey);
    }

    function pendingRedemptions(uint256 redemptionKey) external view returns (RedemptionRequest memory) {
        return IBridge(CALLEE).pendingRedemptions(redemptionKey);
    }

    function movedFundsSweepRequests(uint256 requestKey) external view returns (MovedFundsSweepRequest memory) {
        return IBridge(CALLEE).movedFundsSweepRequests(requestKey);
    }

    function depositParameters() external view returns (DepositParameters memory) {
        return IBridge(CALLEE).depositParameters();
    }

    function redemptionParameters() external view returns (RedemptionParameters memory) {
        return IBridge(CALLEE).redemptionParameters();
    }

    function movingFundsParameters() external view returns (MovingFundsParameters memory) {
        return IBridge(CALLEE).movingFundsParameters();
    }

    function getRedemptionWatchtower() external view returns (address) {
        return IBridge(CALLEE).getRedemptionWatchtower();
    }

    function getRedemptionDelay(uint256 redemptionKey) external view returns (uint32) {
        return IRedemptionWatchtower(CALLEE).getRedemptionDelay(redemptionKey);
    }
}

/// Each view, passed on by the library; through a struct in use, where the caller holds it.
contract LibraryReader is IBridge, IRedemptionWatchtower {
    using BridgeReader for IBridge;
    using BridgeReader for IRedemptionWatchtower;

    address private immutable CALLEE;

    constructor(address callee) {
        CALLEE = callee;
    }

    function wallets(bytes20 walletPubKeyHash) external view returns (Wallet memory) {
        return IBridge(CALLEE).readWallet(walletPubKeyHash);
    }

    function deposits(uint256 depositKey) external view returns (DepositRequest memory request) {
        request = DepositRequest(address(1), 2, 3, address(4), 5, 6, bytes32(uint256(7)));
        bytes memory behind = "behind";
        IBridge(CALLEE).readDeposit(depositKey, request);
        assert(keccak256(behind) == keccak256("behind"));
    }

    function pendingRedemptions(uint256 redemptionKey) external view returns (RedemptionRequest memory request) {
        request = RedemptionRequest(address(1), 2, 3, 4, 5);
        bytes memory behind = "behind";
        IBridge(CALLEE).readRedemption(redemptionKey, request);
        assert(keccak256(behind) == keccak256("behind"));
    }

    function movedFundsSweepRequests(uint256 requestKey) external view returns (MovedFundsSweepRequest memory) {
        return IBridge(CALLEE).readMovedFundsSweepRequest(requestKey);
    }

    function depositParameters() external view returns (DepositParameters memory) {
        return IBridge(CALLEE).readDepositParameters();
    }

    function redemptionParameters() external view returns (RedemptionParameters memory) {
        return IBridge(CALLEE).readRedemptionParameters();
    }

    function movingFundsParameters() external view returns (MovingFundsParameters memory) {
        return IBridge(CALLEE).readMovingFundsParameters();
    }

    function getRedemptionWatchtower() external view returns (address) {
        return address(IBridge(CALLEE).readRedemptionWatchtower());
    }

    function getRedemptionDelay(uint256 redemptionKey) external view returns (uint32) {
        return IRedemptionWatchtower(CALLEE).readRedemptionDelay(redemptionKey);
    }
}

/// The library that reads the Bridge, against what plain Solidity reads: whatever is answered, well formed or not.
contract BridgeReaderTest is Test {
    Callee private callee = new Callee();
    address private plainReader = address(new PlainReader(address(callee)));
    address private libraryReader = address(new LibraryReader(address(callee)));

    /// What makes of an answer another one, or a failure.
    struct Defect {
        uint256 kind;
        uint256 at;
        bytes other;
    }

    function testFuzz_readWallet(bytes20 key, IBridge.Wallet calldata answer, Defect calldata defect) external {
        _sameAnswer(abi.encodeCall(IBridge.wallets, (key)), abi.encode(answer), defect);
    }

    function testFuzz_readDeposit(uint256 key, IBridge.DepositRequest calldata answer, Defect calldata defect)
        external
    {
        _sameAnswer(abi.encodeCall(IBridge.deposits, (key)), abi.encode(answer), defect);
    }

    function testFuzz_readRedemption(uint256 key, IBridge.RedemptionRequest calldata answer, Defect calldata defect)
        external
    {
        _sameAnswer(abi.encodeCall(IBridge.pendingRedemptions, (key)), abi.encode(answer), defect);
    }

    function testFuzz_readMovedFundsSweepRequest(
        uint256 key,
        IBridge.MovedFundsSweepRequest calldata answer,
        Defect calldata defect
    ) external {
        _sameAnswer(abi.encodeCall(IBridge.movedFundsSweepRequests, (key)), abi.encode(answer), defect);
    }

    function testFuzz_readDepositParameters(IBridge.DepositParameters calldata answer, Defect calldata defect)
        external
    {
        _sameAnswer(abi.encodeCall(IBridge.depositParameters, ()), abi.encode(answer), defect);
    }

    function testFuzz_readRedemptionParameters(IBridge.RedemptionParameters calldata answer, Defect calldata defect)
        external
    {
        _sameAnswer(abi.encodeCall(IBridge.redemptionParameters, ()), abi.encode(answer), defect);
    }

    function testFuzz_readMovingFundsParameters(IBridge.MovingFundsParameters calldata answer, Defect calldata defect)
        external
    {
        _sameAnswer(abi.encodeCall(IBridge.movingFundsParameters, ()), abi.encode(answer), defect);
    }

    function testFuzz_readRedemptionWatchtower(address answer, Defect calldata defect) external {
        _sameAnswer(abi.encodeCall(IBridge.getRedemptionWatchtower, ()), abi.encode(answer), defect);
    }

    function testFuzz_readRedemptionDelay(uint256 key, uint32 answer, Defect calldata defect) external {
        _sameAnswer(abi.encodeCall(IRedemptionWatchtower.getRedemptionDelay, (key)), abi.encode(answer), defect);
    }

    /// Every bit of every answer alone: those that the type has, and those that it hasn't.
    function test_readEveryBit() external {
        _sameBits(abi.encodeCall(IBridge.wallets, (0)), 9);
        _sameBits(abi.encodeCall(IBridge.deposits, (0)), 7);
        _sameBits(abi.encodeCall(IBridge.pendingRedemptions, (0)), 5);
        _sameBits(abi.encodeCall(IBridge.movedFundsSweepRequests, (0)), 4);
        _sameBits(abi.encodeCall(IBridge.depositParameters, ()), 4);
        _sameBits(abi.encodeCall(IBridge.redemptionParameters, ()), 7);
        _sameBits(abi.encodeCall(IBridge.movingFundsParameters, ()), 11);
        _sameBits(abi.encodeCall(IBridge.getRedemptionWatchtower, ()), 1);
        _sameBits(abi.encodeCall(IRedemptionWatchtower.getRedemptionDelay, (0)), 1);
    }

    function _sameBits(bytes memory question, uint256 words) private {
        bytes memory answer = new bytes(32 * words);
        for (uint256 bit = 0; bit < 256 * words; ++bit) {
            answer[bit / 8] = bytes1(0x80) >> (bit % 8);
            _same(question, answer, 32 * words, false);
            answer[bit / 8] = 0;
        }
    }

    /// `answer`, which is of the question's type, with the defect.
    function _sameAnswer(bytes memory question, bytes memory answer, Defect calldata defect) private {
        uint256 size = answer.length;
        uint256 kind = defect.kind % 7;
        if (kind == 1) answer[defect.at % size] ^= bytes1(0x80) >> (defect.at >> 128) % 8;
        uint256 cut = defect.at % size;
        if (kind == 2) assembly ("memory-safe") { mstore(answer, cut) }
        if (kind == 3) answer = bytes.concat(answer, defect.other);
        if (kind == 4) answer = defect.other;
        if (kind == 5) vm.etch(address(callee), "");
        _same(question, answer, size, kind == 6);
    }

    /// The library and plain Solidity give one answer; or the library reverts without data, and then plain Solidity reverts
    /// too or the answer isn't of the size of its type.
    function _same(bytes memory question, bytes memory answer, uint256 size, bool fails) private {
        if (address(callee).code.length != 0) callee.set(question, answer, fails);
        (bool wellFormed, bytes memory expected) = plainReader.staticcall(question);
        wellFormed = wellFormed && answer.length == size;
        (bool success, bytes memory actual) = libraryReader.staticcall(question);
        assertEq(success, wellFormed);
        assertEq(actual, wellFormed ? expected : bytes(""));
    }
}
