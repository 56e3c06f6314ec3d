// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SecretRegistry} from "../../src/contracts/solidity/SecretRegistry.sol";
import {TokenNetwork} from "../../src/contracts/solidity/TokenNetwork.sol";
import {TokenNetworkRegistry} from "../../src/contracts/solidity/TokenNetworkRegistry.sol";
import {BlockingToken} from "./Hostile.sol";
import {Test} from "./Test.sol";

/// @dev The contracts, two sides with keys, what they sign, and locks in trees built by the definition.
abstract contract ChannelFixture is Test {
    uint32 internal constant PERIOD = 1 days;
    uint256 internal constant NOW = 1_800_000_000;
    uint64 internal constant SOON = uint64(NOW + 1 hours);

    uint256 internal constant ALICE_KEY = 0xa11ce;
    uint256 internal constant BOB_KEY = 0xb0b;
    uint256 internal constant SESSION_KEY = 0x5e55;
    uint256 internal constant STRANGER_KEY = 0x57;

    /// @dev Order of secp256k1 (SEC 2).
    uint256 internal constant CURVE_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    /// @dev alice opens and closes; whose address is lower is not arranged, tests that care say so.
    address internal immutable alice = vm.addr(ALICE_KEY);
    address internal immutable bob = vm.addr(BOB_KEY);
    address internal immutable session = vm.addr(SESSION_KEY);
    address internal immutable stranger = vm.addr(STRANGER_KEY);

    SecretRegistry internal secrets;
    TokenNetworkRegistry internal registry;
    BlockingToken internal token;
    /// @dev Of `token`, and of ETH.
    TokenNetwork internal net;
    TokenNetwork internal eth;

    struct Lock {
        uint256 number;
        uint40 expiry;
        uint128 amount;
        bytes32 secrethash;
    }

    function begin() internal {
        vm.warp(NOW);
        secrets = SecretRegistry(deploy("SecretRegistry", ""));
        registry = TokenNetworkRegistry(deploy("TokenNetworkRegistry", abi.encode(PERIOD, secrets)));
        token = new BlockingToken();
        net = registry.createTokenNetwork(address(token));
        eth = registry.createTokenNetwork(address(0));
        address[3] memory accounts = [alice, bob, stranger];
        for (uint256 i = 0; i < accounts.length; ++i) {
            token.mint(accounts[i], 1e36);
            vm.prank(accounts[i]);
            token.approve(address(net), type(uint256).max);
            vm.deal(accounts[i], 1e36);
        }
    }

    // ---------------------------------------------------------------------------------------------------- channels

    /// @dev Opens a channel of alice and bob in the token.
    function open(uint128 ofAlice, uint128 ofBob) internal returns (bytes32 id) {
        vm.prank(alice);
        id = net.open(bob, ofAlice, 0, "");
        if (ofBob == 0) return id;
        vm.prank(bob);
        net.deposit(bob, alice, ofBob);
    }

    function first() internal view returns (bool) {
        return alice < bob;
    }

    function none() internal pure returns (TokenNetwork.Balance memory balance) {}

    function noProof() internal pure returns (TokenNetwork.Proof memory proof) {}

    function noPermit() internal pure returns (TokenNetwork.Permit memory permit) {}

    function nothingLeft() internal pure returns (TokenNetwork.Left memory left) {}

    function balanceOf(TokenNetwork.Proof memory proof) internal pure returns (TokenNetwork.Balance memory) {
        return TokenNetwork.Balance(proof.nonce, proof.transferred, proof.locked, proof.locksroot);
    }

    function close(TokenNetwork.Proof memory proof) internal {
        vm.prank(alice);
        net.close(alice, bob, proof, "");
    }

    function update(TokenNetwork.Balance memory fromPartner, TokenNetwork.Balance memory known, TokenNetwork.Proof memory proof)
        internal
    {
        vm.prank(bob);
        net.update(alice, bob, fromPartner, known, proof, "");
    }

    // -------------------------------------------------------------------------------------------------- signatures

    function sign(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function digestOf(TokenNetwork network, bytes32 structHash) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", network.DOMAIN_SEPARATOR(), structHash));
    }

    function proofDigest(TokenNetwork network, bytes32 id, TokenNetwork.Proof memory proof)
        internal
        view
        returns (bytes32)
    {
        bytes32 typeHash = keccak256(
            "BalanceProof(bytes32 channel,uint64 nonce,uint128 transferred,uint128 locked,bytes32 locksroot,bytes32 stream,bytes32 reference)"
        );
        bytes memory head = abi.encode(typeHash, keccak256(abi.encode(id, proof.watch)), proof.nonce, proof.transferred);
        bytes memory tail = abi.encode(proof.locked, proof.locksroot, proof.stream, proof.ref);
        return digestOf(network, keccak256(bytes.concat(head, tail)));
    }

    function signed(uint256 key, bytes32 id, TokenNetwork.Proof memory proof)
        internal
        view
        returns (TokenNetwork.Proof memory)
    {
        proof.signature = sign(key, proofDigest(net, id, proof));
        return proof;
    }

    function proofOf(uint256 key, bytes32 id, uint64 nonce, uint128 transferred)
        internal
        view
        returns (TokenNetwork.Proof memory proof)
    {
        proof.nonce = nonce;
        proof.transferred = transferred;
        return signed(key, id, proof);
    }

    function lockedProof(uint256 key, bytes32 id, uint64 nonce, uint128 transferred, Lock[] memory locks)
        internal
        view
        returns (TokenNetwork.Proof memory proof)
    {
        proof.nonce = nonce;
        proof.transferred = transferred;
        proof.locksroot = rootOf(locks);
        for (uint256 i = 0; i < locks.length; ++i) {
            proof.locked += locks[i].amount;
        }
        return signed(key, id, proof);
    }

    function signClose(uint256 key, bytes32 id, bytes32 proof) internal view returns (bytes memory) {
        return signClose(key, id, proof, "");
    }

    function signClose(uint256 key, bytes32 id, bytes32 proof, bytes memory steps) internal view returns (bytes memory) {
        return signShown("Close(bytes32 channelId,bytes32 proof,bytes32 steps)", key, id, proof, steps);
    }

    function signUpdate(uint256 key, bytes32 id, bytes32 proof) internal view returns (bytes memory) {
        return signUpdate(key, id, proof, "");
    }

    function signUpdate(uint256 key, bytes32 id, bytes32 proof, bytes memory steps) internal view returns (bytes memory) {
        return signShown("Update(bytes32 channelId,bytes32 proof,bytes32 steps)", key, id, proof, steps);
    }

    function signShown(string memory kind, uint256 key, bytes32 id, bytes32 proof, bytes memory steps)
        private
        view
        returns (bytes memory)
    {
        bytes32 hash = steps.length == 0 ? bytes32(0) : keccak256(steps);
        return sign(key, digestOf(net, keccak256(abi.encode(keccak256(bytes(kind)), id, proof, hash))));
    }

    function signWithdraw(uint256 key, bytes32 id, address participant, uint128 total, uint64 validUntil)
        internal
        view
        returns (bytes memory)
    {
        bytes32 typeHash =
            keccak256("Withdraw(bytes32 channelId,address participant,uint128 totalWithdraw,uint64 validUntil)");
        return sign(key, digestOf(net, keccak256(abi.encode(typeHash, id, participant, total, validUntil))));
    }

    function signCooperativeClose(uint256 key, TokenNetwork network, bytes32 id, uint128 ofAlice, uint128 ofBob)
        internal
        view
        returns (bytes memory)
    {
        bytes32 typeHash =
            keccak256("CooperativeClose(bytes32 channelId,uint128 balance1,uint128 balance2,uint64 validUntil)");
        (uint128 one, uint128 two) = first() ? (ofAlice, ofBob) : (ofBob, ofAlice);
        return sign(key, digestOf(network, keccak256(abi.encode(typeHash, id, one, two, SOON))));
    }

    function signOpen(uint256 key, bytes32 id, uint128 amount, uint64 validUntil) internal view returns (bytes memory) {
        return signOpen(key, id, amount, validUntil, 0, "");
    }

    function signOpen(uint256 key, bytes32 id, uint128 amount, uint64 validUntil, bytes32 watch, bytes memory consent)
        internal
        view
        returns (bytes memory)
    {
        bytes32 typeHash = keccak256("Open(bytes32 channelId,uint128 deposit,uint64 validUntil,bytes32 consent)");
        bytes32 hash = consent.length == 0 ? bytes32(0) : keccak256(abi.encodePacked(watch, consent));
        return sign(key, digestOf(net, keccak256(abi.encode(typeHash, id, amount, validUntil, hash))));
    }

    /// @dev Good for 90 days from the start.
    function signDelegation(uint256 key, address participant, address signer) internal view returns (bytes memory) {
        return signDelegation(key, participant, signer, uint64(NOW + 90 days));
    }

    /// @dev Behind its end, as contracts take it.
    function signDelegation(uint256 key, address participant, address signer, uint64 validUntil)
        internal
        view
        returns (bytes memory)
    {
        return abi.encodePacked(validUntil, sign(key, delegationOf(participant, signer, validUntil)));
    }

    /// @dev The digest that is signed.
    function delegationOf(address participant, address signer, uint64 validUntil) internal view returns (bytes32) {
        bytes32 typeHash = keccak256("Delegation(address participant,address signer,uint64 validUntil)");
        bytes32 structHash = keccak256(abi.encode(typeHash, participant, signer, validUntil));
        return keccak256(abi.encodePacked(hex"1901", registry.DOMAIN_SEPARATOR(), structHash));
    }

    function closeCooperatively(uint128 ofAlice, uint128 ofBob) internal {
        bytes32 id = net.channel(alice, bob).channelId;
        bytes memory byAlice = signCooperativeClose(ALICE_KEY, net, id, ofAlice, ofBob);
        bytes memory byBob = signCooperativeClose(BOB_KEY, net, id, ofAlice, ofBob);
        net.closeCooperatively(alice, bob, ofAlice, ofBob, SOON, byAlice, byBob);
    }

    // ------------------------------------------------------------------------------------------------------- locks

    function secretOf(uint256 seed) internal pure returns (bytes32) {
        return keccak256(abi.encode("secret", seed));
    }

    function hashOf(uint256 seed) internal pure returns (bytes32) {
        return sha256(abi.encode(secretOf(seed)));
    }

    /// @dev `count` locks at numbers 0 to count - 1, of 10, 11, ... and secrets `seed`, `seed + 1`, ...
    function locksOf(uint256 count, uint40 expiry, uint256 seed) internal pure returns (Lock[] memory locks) {
        locks = new Lock[](count);
        for (uint256 i = 0; i < count; ++i) {
            locks[i] = Lock(i, expiry, uint128(10 + i), hashOf(seed + i));
        }
    }

    function reveal(uint256 seed, uint256 count) internal returns (bytes32) {
        bytes32[] memory list = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            list[i] = secretOf(seed + i);
        }
        return secrets.registerSecrets(list);
    }

    function leafOf(Lock memory lock) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(uint8(0), lock.expiry, lock.amount, lock.secrethash));
    }

    function nodeOf(bytes32 left, bytes32 right) internal pure returns (bytes32) {
        return left == 0 && right == 0 ? bytes32(0) : keccak256(abi.encodePacked(uint8(1), left, right));
    }

    function depthOf(Lock[] memory locks) internal pure returns (uint256 depth) {
        for (uint256 i = 0; i < locks.length; ++i) {
            while (locks[i].number >= 1 << depth) ++depth;
        }
    }

    function numbersOf(Lock[] memory locks) internal pure returns (uint256 bitmap) {
        for (uint256 i = 0; i < locks.length; ++i) {
            bitmap |= 1 << locks[i].number;
        }
    }

    /// @dev The root as docs/channel.md defines it: every level of the whole tree, one after the other.
    function rootOf(Lock[] memory locks) internal pure returns (bytes32) {
        return subtree(locks, 0, 1 << depthOf(locks));
    }

    function subtree(Lock[] memory locks, uint256 from, uint256 span) internal pure returns (bytes32) {
        bytes32[] memory level = new bytes32[](span);
        for (uint256 i = 0; i < locks.length; ++i) {
            if (locks[i].number >= from && locks[i].number < from + span) {
                level[locks[i].number - from] = leafOf(locks[i]);
            }
        }
        for (; span > 1; span /= 2) {
            for (uint256 i = 0; i < span / 2; ++i) {
                level[i] = nodeOf(level[2 * i], level[2 * i + 1]);
            }
        }
        return level[0];
    }

    /// @dev What `unlock` takes: the locks of the bitmap, `lists` before them, each with the place of its secrethash.
    /// @param alone Whether each secrethash makes a list of its own; else those of all wanted locks make one.
    function encode(Lock[] memory locks, uint256 wanted, bool alone) internal pure returns (bytes memory) {
        wanted &= numbersOf(locks);
        bytes memory hashes = "";
        uint256 count = 0;
        for (uint256 i = 0; i < locks.length; ++i) {
            if (wanted >> locks[i].number & 1 == 0) continue;
            ++count;
            hashes = alone
                ? abi.encodePacked(hashes, uint16(1), locks[i].secrethash)
                : abi.encodePacked(hashes, locks[i].secrethash);
        }
        if (!alone && count > 0) hashes = abi.encodePacked(uint16(count), hashes);
        uint256 depth = depthOf(locks);
        return abi.encodePacked(hashes, uint16(0), uint8(depth), pieces(locks, wanted, 0, depth));
    }

    /// @dev The tree by pieces; locks in the order of the array have the places of their secrethashes in that order.
    function pieces(Lock[] memory locks, uint256 wanted, uint256 from, uint256 height)
        internal
        pure
        returns (bytes memory)
    {
        if (wanted >> from << (256 - (1 << height)) == 0) {
            bytes32 hash = subtree(locks, from, 1 << height);
            return hash == 0
                ? abi.encodePacked(uint8(0x40 + height))
                : abi.encodePacked(uint8(0x80 + height), hash);
        }
        if (height > 0) {
            uint256 half = 1 << (height - 1);
            return bytes.concat(pieces(locks, wanted, from, height - 1), pieces(locks, wanted, from + half, height - 1));
        }
        uint256 place = 0;
        for (uint256 i = 0; i < locks.length; ++i) {
            if (locks[i].number == from) {
                return abi.encodePacked(uint8(0x30), uint16(place), locks[i].expiry, locks[i].amount);
            }
            if (wanted >> locks[i].number & 1 == 1) ++place;
        }
        return "";
    }

    /// @dev Ends a channel in which alice has `locks` open to bob, with deposits of 1,000 each.
    function settleWith(Lock[] memory locks) internal returns (bytes32 id, uint128 locked) {
        id = open(1000, 1000);
        TokenNetwork.Proof memory proof = lockedProof(ALICE_KEY, id, 1, 0, locks);
        close(noProof());
        update(none(), none(), proof);
        vm.warp(block.timestamp + PERIOD);
        net.settle(alice, bob, none(), balanceOf(proof));
        return (id, proof.locked);
    }

    /// @dev By bob, the receiver, of the first channel.
    function unlock(uint128 locked, bytes memory locks) internal {
        vm.prank(bob);
        net.unlock(alice, bob, 1, locked, nothingLeft(), locks);
    }
}
