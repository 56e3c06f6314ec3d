// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {Signatures} from "../../src/contracts/solidity/Signatures.sol";
import {TokenNetwork} from "../../src/contracts/solidity/TokenNetwork.sol";
import {ChannelFixture} from "./ChannelFixture.sol";

/// @dev A wallet of one owner. Its signatures are longer than a key's.
contract Wallet is IERC1271 {
    enum Mode {
        Honest,
        Revert,
        Short,
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

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        if (mode == Mode.Revert) revert("no");
        if (mode == Mode.Short) {
            bytes4 magic = IERC1271.isValidSignature.selector;
            assembly {
                mstore(0, magic)
                return(0, 4)
            }
        }
        if (mode == Mode.Wrong || signature.length != 66) return 0;
        (address signer,,) = ECDSA.tryRecoverCalldata(hash, signature[:65]);
        return signer == owner ? IERC1271.isValidSignature.selector : bytes4(0);
    }
}

/// @dev Everything goes through one check; closing with bob's proof stands for all.
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

    function test_sessionKey_withItsDelegation() public {
        bytes memory bySession = sign(SESSION_KEY, proofDigest(net, id, proof));
        attempt(bySession, false);
        attempt(abi.encodePacked(bySession, signDelegation(BOB_KEY, bob, stranger)), false);
        attempt(abi.encodePacked(bySession, signDelegation(BOB_KEY, alice, session)), false);
        attempt(abi.encodePacked(bySession, signDelegation(ALICE_KEY, bob, session)), false);
        attempt(abi.encodePacked(bySession, signDelegation(SESSION_KEY, bob, session)), false);
        bytes memory delegation = signDelegation(BOB_KEY, bob, session);
        // Of another message, and of a key that no message was signed with.
        attempt(abi.encodePacked(sign(SESSION_KEY, "other"), delegation), false);
        attempt(abi.encodePacked(new bytes(65), delegation), false);
        attempt(abi.encodePacked(bySession, delegation, uint8(0)), false);
        attempt(abi.encodePacked(bySession, delegation), true);
    }

    /// @dev In every network of the registry, and of no other, and on this chain only.
    function test_sessionKey_holdsInTheRegistrysNetworks() public {
        bytes memory delegation = signDelegation(BOB_KEY, bob, session);
        net = eth;
        vm.prank(alice);
        id = eth.open{value: 1}(bob, 1, 0, "");
        bytes memory bySession = sign(SESSION_KEY, proofDigest(eth, id, proof));
        attempt(abi.encodePacked(bySession, delegation), true);

        vm.chainId(block.chainid + 1);
        net = registry.createTokenNetwork(address(secrets));
        vm.prank(alice);
        id = net.open(bob, 0, 0, "");
        bySession = sign(SESSION_KEY, proofDigest(net, id, proof));
        attempt(abi.encodePacked(bySession, delegation), false);
        attempt(abi.encodePacked(bySession, signDelegation(BOB_KEY, bob, session)), true);
    }

    /// @dev After a fork of the chain, networks that were there before tell the branches apart too.
    function test_sessionKey_afterAForkOfTheChain() public {
        bytes memory before = signDelegation(BOB_KEY, bob, session);
        vm.chainId(block.chainid + 1);
        bytes memory bySession = sign(SESSION_KEY, proofDigest(net, id, proof));
        attempt(abi.encodePacked(bySession, before), false);
        attempt(abi.encodePacked(bySession, signDelegation(BOB_KEY, bob, session)), true);
    }

    function test_sessionKey_ofAnotherRegistry() public {
        bytes memory bySession = sign(SESSION_KEY, proofDigest(net, id, proof));
        bytes32 structHash =
            keccak256(abi.encode(keccak256("Delegation(address participant,address signer)"), bob, session));
        bytes memory elsewhere =
            sign(BOB_KEY, keccak256(abi.encodePacked(hex"1901", net.DOMAIN_SEPARATOR(), structHash)));
        attempt(abi.encodePacked(bySession, elsewhere), false);
    }

    // ---------------------------------------------------------------------------------------------------- ERC-1271

    /// @dev Puts a wallet of bob's key in place of bob.
    function walletChannel() private returns (Wallet wallet) {
        wallet = new Wallet(vm.addr(BOB_KEY));
        vm.prank(alice);
        id = net.open(address(wallet), 100, 0, "");
    }

    function attemptWallet(Wallet wallet, bytes memory signature, bool good) private {
        TokenNetwork.Proof memory tried = proof;
        tried.signature = signature;
        if (!good) vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, address(wallet)));
        vm.prank(alice);
        net.close(alice, address(wallet), tried, "");
    }

    function test_wallet_signsByItsContract() public {
        Wallet wallet = walletChannel();
        bytes memory byOwner = sign(BOB_KEY, proofDigest(net, id, proof));
        bytes memory long = abi.encodePacked(byOwner, uint8(0));
        // The owner's key is not the wallet's.
        attemptWallet(wallet, byOwner, false);
        attemptWallet(wallet, abi.encodePacked(sign(ALICE_KEY, proofDigest(net, id, proof)), uint8(0)), false);
        for (uint256 mode = 1; mode < 4; ++mode) {
            wallet.setMode(Wallet.Mode(mode));
            attemptWallet(wallet, long, false);
        }
        wallet.setMode(Wallet.Mode.Honest);
        attemptWallet(wallet, long, true);
    }

    function test_wallet_delegates() public {
        Wallet wallet = walletChannel();
        bytes memory bySession = sign(SESSION_KEY, proofDigest(net, id, proof));
        bytes memory delegation = abi.encodePacked(signDelegation(BOB_KEY, address(wallet), session), uint8(0));
        attemptWallet(wallet, abi.encodePacked(bySession, signDelegation(BOB_KEY, bob, session), uint8(0)), false);
        attemptWallet(wallet, abi.encodePacked(bySession, delegation), true);
    }

    /// @dev EIP-7702: an account with code still has its key.
    function test_accountWithCodeStillHasItsKey() public {
        vm.etch(bob, address(new Wallet(stranger)).code);
        attempt(proof.signature, true);
    }
}
