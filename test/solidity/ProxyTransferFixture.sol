// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ProxyTransfer} from "../../src/contracts/solidity/ProxyTransfer.sol";
import {Test, Vm} from "./Test.sol";

/// @dev The contract, accounts with keys, and what they sign. The binary form is written here a second time, plainly.
abstract contract ProxyTransferFixture is Test {
    uint256 internal constant NOW = 1_800_000_000;
    /// @dev Order of secp256k1 (SEC 2).
    uint256 internal constant CURVE_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    uint256 internal constant PAYER_KEY = 0xb1;
    uint256 internal constant PAYEE_KEY = 0x5e;
    uint256 internal constant PROXY_KEY = 0xde5;
    uint32 internal constant PAYER = 1;
    uint32 internal constant PAYEE = 2;
    uint32 internal constant PROXY = 3;
    /// @dev Assets: ETH, and a token where a test adds it.
    uint32 internal constant ETH = 1;
    uint32 internal constant TOKEN = 7;

    address internal immutable payer = vm.addr(PAYER_KEY);
    address internal immutable payee = vm.addr(PAYEE_KEY);
    address internal immutable proxy = vm.addr(PROXY_KEY);

    ProxyTransfer internal exchange;

    struct Terms {
        uint64 from;
        uint64 to;
        uint64 proxyAccount;
        uint64 amount;
        uint64 asset;
        uint16 percentage;
        bytes memo;
        uint32 expiration;
    }

    function begin(uint8 placeBits) internal {
        vm.warp(NOW);
        exchange = ProxyTransfer(deploy("ProxyTransfer", abi.encode(address(this), placeBits)));
        exchange.addAsset(ETH, address(0));
        openFor(PAYER_KEY);
        openFor(PAYEE_KEY);
        openFor(PROXY_KEY);
        vm.deal(address(this), type(uint96).max);
    }

    function publicKeyOf(uint256 key) internal returns (bytes memory) {
        Vm.Wallet memory wallet = vm.createWallet(key);
        return abi.encodePacked(bytes1(0x04), wallet.publicKeyX, wallet.publicKeyY);
    }

    function openFor(uint256 key) internal returns (uint32) {
        bytes memory publicKey = publicKeyOf(key);
        vm.prank(vm.addr(key));
        return exchange.open(publicKey);
    }

    /// @dev 5,000 of ETH at 10 %, good for half an hour.
    function terms() internal view returns (Terms memory) {
        return Terms(PAYER, PAYEE, PROXY, 5000, ETH, 1000, "68b329da9893e34099c7d8ad5cb9c940", uint32(block.timestamp + 1800));
    }

    function encode(Terms memory t) internal pure returns (bytes memory) {
        return bytes.concat(
            varint(t.from),
            varint(t.to),
            varint(t.proxyAccount),
            littleEndian(t.amount, 8),
            varint(t.asset),
            littleEndian(t.percentage, 2),
            varint(uint64(t.memo.length)),
            t.memo,
            littleEndian(t.expiration, 4),
            hex"00"
        );
    }

    function digestOf(Terms memory t) internal pure returns (bytes32) {
        return sha256(encode(t));
    }

    function varint(uint64 value) internal pure returns (bytes memory out) {
        for (; value > 127; value >>= 7) out = bytes.concat(out, bytes1(uint8(value & 127 | 128)));
        return bytes.concat(out, bytes1(uint8(value)));
    }

    function littleEndian(uint64 value, uint256 size) internal pure returns (bytes memory out) {
        for (; size > 0; --size) {
            out = bytes.concat(out, bytes1(uint8(value)));
            value >>= 8;
        }
    }

    /// @dev As clients of GXChain sign: canonical, however many nonces it takes.
    function sign(uint256 key, bytes32 digest) internal pure returns (bytes memory signature) {
        for (uint256 i = 0; signature.length == 0; ++i) {
            uint256 nonce = 1 + uint256(keccak256(abi.encode(key, digest, i))) % (CURVE_ORDER - 1);
            (uint8 v, bytes32 r, bytes32 s) = vm.signWithNonceUnsafe(key, digest, nonce);
            if (uint256(s) > CURVE_ORDER / 2) (v, s) = (55 - v, bytes32(CURVE_ORDER - uint256(s)));
            if (isCanonical(r) && isCanonical(s)) signature = abi.encodePacked(v + 4, r, s);
        }
    }

    /// @dev As GXChain's documents have it.
    function isCanonical(bytes32 part) internal pure returns (bool) {
        return part[0] < 0x80 && !(part[0] == 0 && part[1] < 0x80);
    }

    function pack(bytes memory params, bytes memory signature, bytes memory proxyMemo) internal pure returns (bytes memory) {
        return abi.encodePacked(uint8(params.length), params, signature, uint8(proxyMemo.length), proxyMemo);
    }

    /// @dev A whole transfer, signed.
    function authorise(uint256 key, Terms memory t) internal pure returns (bytes memory) {
        return pack(encode(t), sign(key, digestOf(t)), "QmbTuAu2zM53Rj8rk8J2o7mCzHJr6vf8WdjYyiq5SNaDBF");
    }

    function balance(uint32 account) internal view returns (uint256) {
        return exchange.balanceOf(account, ETH);
    }
}
