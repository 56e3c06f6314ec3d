// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {Signatures} from "../../src/contracts/solidity/Signatures.sol";
import {TokenNetworkRegistry} from "../../src/contracts/solidity/TokenNetworkRegistry.sol";
import {TokenNetwork} from "../../src/contracts/solidity/TokenNetwork.sol";
import {ChannelFixture} from "./ChannelFixture.sol";

/// @dev A wallet of one owner. Its signatures are longer than a key's.
contract Wallet is IERC1271 {
    enum Mode {
        Honest,
        Revert,
        Short,
        Prefix,
        Long,
        Empty,
        RevertRight,
        Wrong
    }

    address private immutable owner;
    Mode public mode;

    constructor(address owner_) {
        owner = owner_;
    }

    function setMode(Mode mode_) external {
        mode = mode_;
    }

    function run(address to, bytes calldata data) external {
        (bool success,) = to.call(data);
        require(success, "run");
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        if (mode == Mode.Revert) revert("no");
        if (mode == Mode.Short) {
            bytes4 magic = IERC1271.isValidSignature.selector;
            assembly {
                mstore(0, magic)
                return(0, 4)
            }
        }
        // Right in the first four bytes, and in the first word.
        if (mode == Mode.Prefix) {
            assembly {
                mstore(0, or(shl(224, 0x1626ba7e), 1))
                return(0, 32)
            }
        }
        if (mode == Mode.Long || mode == Mode.RevertRight) {
            bool good = mode == Mode.Long;
            assembly {
                mstore(0, shl(224, 0x1626ba7e))
                mstore(32, 0)
                if good { return(0, 64) }
                revert(0, 32)
            }
        }
        if (mode == Mode.Empty) {
            assembly {
                return(0, 0)
            }
        }
        if (mode == Mode.Wrong || signature.length != 66) return 0;
        (address signer,,) = ECDSA.tryRecoverCalldata(hash, signature[:65]);
        return signer == owner ? IERC1271.isValidSignature.selector : bytes4(0);
    }
}

/// @dev Everything goes through one check; closing with bob's proof stands for the most of it.
contract TokenNetworkSignaturesTest is ChannelFixture {
    bytes32 private id;
    TokenNetwork.Proof private proof;

    function setUp() public {
        begin();
        id = open(100, 100);
        proof = proofOf(BOB_KEY, id, 7, 40);
    }

    function attempt(bytes memory signature, bool good) private {
        TokenNetwork.Proof memory tried = proof;
        tried.signature = signature;
        if (!good) vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob));
        vm.prank(alice);
        net.close(alice, bob, tried, "");
    }

    /// @dev Attack 6.
    function test_malformedSignatures() public {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(BOB_KEY, proofDigest(net, id, proof));
        bytes32 high = bytes32(CURVE_ORDER - uint256(s));
        bytes32 compact = bytes32(uint256(s) | (v == 28 ? 1 << 255 : 0));
        bytes[10] memory wrong = [
            abi.encodePacked(r, high, v == 27 ? uint8(28) : uint8(27)),
            abi.encodePacked(r, s, v - 27),
            abi.encodePacked(r, s, uint8(29)),
            abi.encodePacked(r, s),
            abi.encodePacked(r, compact),
            abi.encodePacked(r, s, v, uint8(0)),
            abi.encodePacked(bytes32(0), s, v),
            abi.encodePacked(r, bytes32(0), v),
            bytes(""),
            new bytes(65)
        ];
        for (uint256 i = 0; i < wrong.length; ++i) {
            attempt(wrong[i], false);
        }
        attempt(abi.encodePacked(r, s, v), true);
    }

    function testFuzz_anyFlipIsRefused(uint256 bit) public {
        bytes memory signature = proof.signature;
        bit = bound(bit, 0, 65 * 8 - 1);
        signature[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
        attempt(signature, false);
    }

    /// @dev A partner of zero has no key; what doesn't recover must not pass for it.
    function test_zeroSignsNothing() public {
        bytes memory signature = new bytes(65);
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, address(0)));
        net.openFor(address(0), bob, 0, SOON, signature, 0, "", noPermit());
    }

    // ------------------------------------------------------------------------------------------------ session keys

    /// @dev Registers a key for bob, or fails to.
    function add(address signer, bytes memory delegation, bool good) private {
        if (!good) vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob));
        vm.prank(stranger);
        net.addSessionKey(bob, alice, signer, delegation);
    }

    function test_sessionKey_countsOnceItIsRegistered() public {
        bytes memory bySession = sign(SESSION_KEY, proofDigest(net, id, proof));
        bytes memory delegation = signDelegation(BOB_KEY, bob, session);
        attempt(bySession, false);
        attempt(abi.encodePacked(bySession, delegation), false);
        vm.expectEmit(address(net));
        emit TokenNetwork.SessionKeyAdded(id, bob, session);
        add(session, delegation, true);
        add(session, delegation, true); // again changes nothing
        attempt(abi.encodePacked(bySession, delegation), false);
        attempt(sign(STRANGER_KEY, proofDigest(net, id, proof)), false);
        attempt(bySession, true);
    }

    /// @dev For its side and its channel alone.
    function test_sessionKey_countsInItsChannelForItsSide() public {
        vm.prank(alice);
        net.addSessionKey(alice, bob, session, "");
        bytes memory bySession = sign(SESSION_KEY, proofDigest(net, id, proof));
        attempt(bySession, false);
        vm.prank(bob);
        net.addSessionKey(bob, alice, session, "");
        closeCooperatively(100, 100);
        id = open(100, 100);
        attempt(sign(SESSION_KEY, proofDigest(net, id, proof)), false);
    }

    function test_sessionKey_needsADelegation() public {
        bytes memory good = signDelegation(BOB_KEY, bob, session);
        add(session, "", false);
        add(session, hex"00ff", false);
        add(session, signDelegation(BOB_KEY, bob, stranger), false);
        add(session, signDelegation(BOB_KEY, alice, session), false);
        add(session, signDelegation(ALICE_KEY, bob, session), false);
        add(session, signDelegation(SESSION_KEY, bob, session), false);
        add(session, abi.encodePacked(good, uint8(0)), false);
        add(address(0), signDelegation(BOB_KEY, bob, address(0)), false);
        // With another end than was signed.
        good[7] ^= 0x01;
        add(session, good, false);
        good[7] ^= 0x01;
        add(session, good, true);
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob));
        vm.prank(bob);
        net.addSessionKey(bob, alice, address(0), "");
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.NoOpenChannel.selector, net.channelId(bob, stranger, 0)));
        vm.prank(bob);
        net.addSessionKey(bob, stranger, session, "");
    }

    function test_sessionKey_expires() public {
        bytes memory delegation = signDelegation(BOB_KEY, bob, session, SOON);
        vm.warp(uint256(SOON) + 1);
        add(session, delegation, false);
        vm.warp(SOON);
        add(session, delegation, true);
        // What is registered stays: the payee counts on it.
        vm.warp(uint256(SOON) + 1);
        attempt(sign(SESSION_KEY, proofDigest(net, id, proof)), true);
    }

    function test_sessionKey_isRevoked() public {
        bytes memory delegation = signDelegation(BOB_KEY, bob, session);
        vm.prank(stranger);
        registry.revoke(session); // not bob's word
        vm.assertTrue(registry.isDelegated(bob, session, delegation), "before");
        vm.expectEmit(address(registry));
        emit TokenNetworkRegistry.SessionKeyRevoked(bob, session);
        vm.prank(bob);
        registry.revoke(session);
        vm.assertFalse(registry.isDelegated(bob, session, delegation), "revoked");
        add(session, delegation, false);
        add(session, signDelegation(BOB_KEY, bob, session, type(uint64).max), false);
        add(stranger, signDelegation(BOB_KEY, bob, stranger), true); // another key
    }

    /// @dev bob has paid alice by a session key. If revoking it took the proofs back, he would have paid nothing.
    function test_sessionKey_revokedTakesNothingBack() public {
        add(session, signDelegation(BOB_KEY, bob, session), true);
        vm.prank(bob);
        registry.revoke(session);
        attempt(sign(SESSION_KEY, proofDigest(net, id, proof)), true);
    }

    /// @dev In every network of the registry, and of no other, and on this chain only.
    function test_sessionKey_holdsInTheRegistrysNetworks() public {
        bytes memory delegation = signDelegation(BOB_KEY, bob, session);
        net = eth;
        vm.prank(alice);
        id = eth.open{value: 1}(bob, 1, 0, "");
        add(session, delegation, true);
        attempt(sign(SESSION_KEY, proofDigest(eth, id, proof)), true);

        vm.chainId(block.chainid + 1);
        net = registry.createTokenNetwork(address(secrets));
        vm.prank(alice);
        id = net.open(bob, 0, 0, "");
        add(session, delegation, false);
        add(session, signDelegation(BOB_KEY, bob, session), true);
        attempt(sign(SESSION_KEY, proofDigest(net, id, proof)), true);
    }

    function test_sessionKey_ofAnotherDomain() public {
        bytes32 typeHash = keccak256("Delegation(address participant,address signer,uint64 validUntil)");
        bytes32 structHash = keccak256(abi.encode(typeHash, bob, session, SOON));
        bytes memory elsewhere =
            sign(BOB_KEY, keccak256(abi.encodePacked(hex"1901", net.DOMAIN_SEPARATOR(), structHash)));
        add(session, abi.encodePacked(SOON, elsewhere), false);
    }

    /// @dev All that a side signs goes by a registered key, none of it by another.
    function test_sessionKey_forEverything() public {
        TokenNetwork.Proof memory shown = proofOf(ALICE_KEY, id, 1, 5);
        bytes32 digest = proofDigest(net, id, proof);
        for (uint256 i = 0; i < 2; ++i) {
            bool good = i == 1;
            if (good) add(session, signDelegation(BOB_KEY, bob, session), true);
            bytes memory coop = signCooperativeClose(SESSION_KEY, net, id, 100, 100);
            bytes memory draw = signWithdraw(SESSION_KEY, id, alice, 10, SOON);
            if (!good) {
                vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob));
                vm.prank(alice);
                net.closeCooperatively(alice, bob, 100, 100, SOON, "", coop);
            }
            if (!good) vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob));
            vm.prank(alice);
            net.withdraw(alice, bob, 10, SOON, "", draw);
        }
        TokenNetwork.Release[] memory releases = new TokenNetwork.Release[](1);
        close(proof);
        digest = proofDigest(net, id, shown);
        net.update(alice, bob, balanceOf(proof), none(), shown, signUpdate(SESSION_KEY, id, digest));
        bytes32 typeHash = keccak256("Release(bytes32 channelId,address sender,bytes32 lock)");
        bytes32 released = digestOf(net, keccak256(abi.encode(typeHash, id, alice, bytes32("lock"))));
        releases[0] = TokenNetwork.Release("lock", sign(STRANGER_KEY, released));
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob));
        net.registerReleases(alice, bob, releases);
        releases[0].signature = sign(SESSION_KEY, released);
        net.registerReleases(alice, bob, releases);
    }

    // ---------------------------------------------------------------------------------------------------- consents

    /// @dev The partner's consent by a session key brings its delegation and registers it.
    function test_consent_bySessionKeyRegistersIt() public {
        closeCooperatively(100, 100);
        id = net.channelId(alice, bob, 2);
        TokenNetwork.Proof memory first_ = proofOf(SESSION_KEY, id, 1, 0);
        bytes[4] memory wrong = [
            first_.signature,
            bytes.concat(first_.signature, signDelegation(ALICE_KEY, bob, session)),
            bytes.concat(first_.signature, signDelegation(BOB_KEY, bob, stranger)),
            bytes.concat(first_.signature, signDelegation(BOB_KEY, bob, session, uint64(NOW - 1)))
        ];
        for (uint256 i = 0; i < wrong.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob));
            vm.prank(alice);
            net.open(bob, 0, 0, wrong[i]);
        }
        bytes memory consent = bytes.concat(first_.signature, signDelegation(BOB_KEY, bob, session));
        vm.prank(alice);
        net.open(bob, 0, 0, consent);
        vm.assertTrue(net.sessionKeys(id, bob, session), "registered");
        vm.assertFalse(net.sessionKeys(id, alice, session), "for bob");
        close(first_);
    }

    /// @dev A contract's yes is no consent: with a proof that it alone vouches for, no one could be sure to close.
    function test_consent_ofAContractIsByAKey() public {
        Wallet wallet = new Wallet(vm.addr(BOB_KEY));
        id = net.channelId(alice, address(wallet), 1);
        TokenNetwork.Proof memory first_ = proofOf(BOB_KEY, id, 1, 0);
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, address(wallet)));
        vm.prank(alice);
        net.open(address(wallet), 0, 0, abi.encodePacked(first_.signature, uint8(0)));
        first_ = proofOf(SESSION_KEY, id, 1, 0);
        bytes memory delegation = abi.encodePacked(signDelegation(BOB_KEY, address(wallet), session), uint8(0));
        vm.prank(alice);
        net.open(address(wallet), 0, 0, bytes.concat(first_.signature, delegation));
        wallet.setMode(Wallet.Mode.Wrong);
        vm.prank(alice);
        net.close(alice, address(wallet), first_, "");
    }

    // ---------------------------------------------------------------------------------------------------- ERC-1271

    /// @dev For itself a contract signs what it wants now: to close, to end together, to have something shown.
    function test_wallet_consentsByItsContract() public {
        Wallet wallet = new Wallet(vm.addr(BOB_KEY));
        vm.prank(alice);
        id = net.open(address(wallet), 100, 0, "");
        bytes memory byWallet = abi.encodePacked(signClose(BOB_KEY, id, 0), uint8(0));
        wallet.setMode(Wallet.Mode.Prefix);
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, address(wallet)));
        net.close(address(wallet), alice, noProof(), byWallet);
        wallet.setMode(Wallet.Mode.Honest);
        net.close(address(wallet), alice, noProof(), byWallet);
    }

    /// @dev No proof hangs on what a contract says.
    function test_wallet_signsNoProofByItsContract() public {
        Wallet wallet = new Wallet(vm.addr(BOB_KEY));
        vm.prank(alice);
        id = net.open(address(wallet), 100, 0, "");
        TokenNetwork.Proof memory tried = proof;
        tried.signature = abi.encodePacked(sign(BOB_KEY, proofDigest(net, id, proof)), uint8(0));
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, address(wallet)));
        vm.prank(alice);
        net.close(alice, address(wallet), tried, "");
    }

    function test_wallet_delegates() public {
        Wallet wallet = new Wallet(vm.addr(BOB_KEY));
        vm.prank(alice);
        id = net.open(address(wallet), 100, 0, "");
        bytes memory delegation = abi.encodePacked(signDelegation(BOB_KEY, address(wallet), session), uint8(0));
        for (uint256 mode = 0; mode < 8; ++mode) {
            wallet.setMode(Wallet.Mode(mode));
            bool good = mode == uint256(Wallet.Mode.Honest);
            vm.assertTrue(registry.isDelegated(address(wallet), session, delegation) == good, "told");
            if (!good) vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, address(wallet)));
            net.addSessionKey(address(wallet), alice, session, delegation);
            vm.assertTrue(net.sessionKeys(id, address(wallet), session), "stays");
        }
    }

    /// @dev Without a fee of its own: the opening is by the contract's word, which can't be taken back afterwards.
    function test_wallet_opensByItsContract() public {
        Wallet wallet = new Wallet(vm.addr(BOB_KEY));
        token.mint(address(wallet), 10);
        wallet.run(address(token), abi.encodeCall(token.approve, (address(net), 10)));
        bytes memory byWallet =
            abi.encodePacked(signOpen(BOB_KEY, net.channelId(address(wallet), alice, 1), 10, SOON), uint8(0));
        wallet.setMode(Wallet.Mode.Prefix);
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, address(wallet)));
        net.openFor(address(wallet), alice, 10, SOON, byWallet, 0, "", noPermit());
        wallet.setMode(Wallet.Mode.Honest);
        id = net.openFor(address(wallet), alice, 10, SOON, byWallet, 0, "", noPermit());
        wallet.run(address(net), abi.encodeCall(net.close, (address(wallet), alice, noProof(), "")));
    }

    /// @dev EIP-7702: an account with code still has its key.
    function test_accountWithCodeStillHasItsKey() public {
        vm.etch(bob, address(new Wallet(stranger)).code);
        attempt(proof.signature, true);
    }
}
