// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {LockTree} from "../../src/contracts/solidity/LockTree.sol";
import {Signatures} from "../../src/contracts/solidity/Signatures.sol";
import {TokenNetwork} from "../../src/contracts/solidity/TokenNetwork.sol";
import {ChannelFixture} from "./ChannelFixture.sol";

/// @dev alice has locked to bob; both have deposited 1,000. What bob has beyond his 1e36 - 1,000 he got.
contract TokenNetworkUnlockTest is ChannelFixture {
    uint40 private constant LATER = uint40(NOW + 7 days);
    uint256 private constant ALL = type(uint256).max;

    function setUp() public {
        begin();
    }

    function gotBob() private view returns (uint256) {
        return token.balanceOf(bob) - (1e36 - 1000) - 1000;
    }

    function gotAlice() private view returns (uint256) {
        return token.balanceOf(alice) + 1000 - 1e36;
    }

    function pending(uint256 number, uint256 refundAt) private pure returns (bytes memory) {
        return abi.encodeWithSelector(LockTree.LockPending.selector, number, refundAt);
    }

    /// @dev One secrethash, and the depth of the tree that follows.
    function listing(bytes32 secrethash, uint8 depth) private pure returns (bytes memory) {
        return abi.encodePacked(uint16(1), secrethash, uint16(0), depth);
    }

    // ---------------------------------------------------------------------------------------------------- the whole

    function test_unlock_revealedLocksGoToTheReceiver() public {
        Lock[] memory locks = locksOf(6, LATER, 0);
        reveal(0, 6);
        (bytes32 id, uint128 locked) = settleWith(locks);
        vm.assertEq(locked, 75, "locked");
        vm.assertEq(gotBob(), 0, "before");
        vm.expectEmit(address(net));
        emit TokenNetwork.ChannelUnlocked(id, alice, 75, 0, 63);
        vm.prank(stranger);
        net.unlock(alice, bob, 1, locked, nothingLeft(), encode(locks, 63, false));
        vm.assertEq(gotBob(), 75, "bob");
        vm.assertEq(token.balanceOf(address(net)), 0, "contract");
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.WrongLocks.selector, id));
        net.unlock(alice, bob, 1, locked, nothingLeft(), encode(locks, 63, false));
    }

    function test_unlock_eachSecretRegisteredAlone() public {
        Lock[] memory locks = locksOf(5, LATER, 0);
        for (uint256 i = 0; i < 5; ++i) {
            reveal(i, 1);
        }
        (, uint128 locked) = settleWith(locks);
        unlock(locked, encode(locks, 31, true));
        vm.assertEq(gotBob(), 60, "bob");
    }

    /// @dev Attack 9: at the expiry it is too late.
    function test_unlock_secretMustBePublicBeforeTheExpiry() public {
        uint40 expiry = uint40(NOW + 3 days);
        Lock[] memory locks = locksOf(2, expiry, 0);
        (, uint128 locked) = settleWith(locks);
        vm.warp(expiry - 1);
        reveal(0, 1);
        vm.warp(expiry);
        reveal(1, 1);
        unlock(locked, encode(locks, 3, true));
        vm.assertEq(gotBob(), 10, "in time");
        vm.assertEq(gotAlice(), 1000 - 10, "at the expiry");
    }

    function test_unlock_unrevealedLockWaitsForItsExpiry() public {
        Lock[] memory locks = locksOf(1, LATER, 0);
        (, uint128 locked) = settleWith(locks);
        bytes memory data = encode(locks, 1, true);
        vm.warp(LATER - 1);
        vm.expectRevert(pending(0, LATER));
        unlock(locked, data);
        vm.warp(LATER);
        unlock(locked, data);
        vm.assertEq(gotAlice(), 1000, "back");
    }

    // -------------------------------------------------------------------- what was registered with others

    /// @dev A secret that was registered in a list looks, alone, as if it never was. The sender must not be able to say so
    /// before the receiver had time to show the list.
    function test_refund_othersWaitForTheReceiver() public {
        Lock[] memory locks = locksOf(2, LATER, 0);
        reveal(0, 2);
        (, uint128 locked) = settleWith(locks);
        bytes memory asIfNever = encode(locks, 3, true);
        uint256 refundAt = LATER + PERIOD;
        vm.warp(refundAt - 1);
        vm.expectRevert(pending(0, refundAt));
        vm.prank(alice);
        net.unlock(alice, bob, 1, locked, nothingLeft(), asIfNever);
        vm.expectRevert(pending(0, refundAt));
        vm.prank(stranger);
        net.unlock(alice, bob, 1, locked, nothingLeft(), asIfNever);
        unlock(locked, encode(locks, 3, false));
        vm.assertEq(gotBob(), 21, "the list in time");
    }

    function test_refund_afterTheReceiversTime() public {
        Lock[] memory locks = locksOf(2, LATER, 0);
        (, uint128 locked) = settleWith(locks);
        vm.warp(LATER + PERIOD);
        vm.prank(alice);
        net.unlock(alice, bob, 1, locked, nothingLeft(), encode(locks, 3, true));
        vm.assertEq(gotAlice(), 1000, "back");
    }

    /// @dev The receiver's time begins with the settlement, however late that is.
    function test_refund_neverSoonerAfterTheSettlement() public {
        Lock[] memory locks = locksOf(1, uint40(NOW + 1), 0);
        (, uint128 locked) = settleWith(locks);
        uint256 refundAt = block.timestamp + PERIOD;
        bytes memory data = encode(locks, 1, true);
        vm.warp(refundAt - 1);
        vm.expectRevert(pending(0, refundAt));
        vm.prank(alice);
        net.unlock(alice, bob, 1, locked, nothingLeft(), data);
        vm.warp(refundAt);
        vm.prank(alice);
        net.unlock(alice, bob, 1, locked, nothingLeft(), data);
    }

    /// @dev A list that was registered too late says nothing about other registrations.
    function test_refund_byNoListOfSeveral() public {
        uint40 expiry = uint40(NOW + 1 hours);
        Lock[] memory locks = locksOf(2, expiry, 0);
        (, uint128 locked) = settleWith(locks);
        reveal(0, 2);
        vm.warp(LATER);
        vm.expectRevert(pending(0, 0));
        unlock(locked, encode(locks, 3, false));
        unlock(locked, encode(locks, 3, true));
        vm.assertEq(gotAlice(), 1000, "back");
    }

    /// @dev What was registered alone in time can't be passed over, ever.
    function test_refund_notOfWhatWasRegisteredAlone() public {
        Lock[] memory locks = locksOf(1, LATER, 0);
        reveal(0, 1);
        (, uint128 locked) = settleWith(locks);
        vm.warp(LATER + 10 * PERIOD);
        vm.prank(alice);
        net.unlock(alice, bob, 1, locked, nothingLeft(), encode(locks, 1, true));
        vm.assertEq(gotBob(), 10, "bob");
    }

    // ------------------------------------------------------------------------------------------------------ releases

    function releaseOf(uint256 key, bytes32 id, address sender, Lock memory lock)
        private
        view
        returns (TokenNetwork.Release[] memory releases)
    {
        releases = new TokenNetwork.Release[](1);
        bytes32 typeHash = keccak256("Release(bytes32 channelId,address sender,bytes32 lock)");
        bytes32 leaf = leafOf(lock);
        releases[0] = TokenNetwork.Release(leaf, sign(key, digestOf(net, keccak256(abi.encode(typeHash, id, sender, leaf)))));
    }

    /// @dev bob closes with a proof of alice's that still has locks which he has given back.
    function closedWith(Lock[] memory locks) private returns (bytes32 id, TokenNetwork.Proof memory proof) {
        id = open(1000, 1000);
        proof = lockedProof(ALICE_KEY, id, 1, 0, locks);
        vm.prank(bob);
        net.close(bob, alice, proof, "");
    }

    function test_release_lockGoesBackWhateverBecomesPublic() public {
        Lock[] memory locks = locksOf(3, LATER, 0);
        reveal(0, 3);
        (bytes32 id, TokenNetwork.Proof memory proof) = closedWith(locks);
        TokenNetwork.Release[] memory releases = releaseOf(BOB_KEY, id, alice, locks[1]);
        bytes32[] memory leaves = new bytes32[](1);
        leaves[0] = releases[0].lock;
        vm.expectEmit(address(net));
        emit TokenNetwork.LocksReleased(id, alice, leaves);
        vm.prank(stranger);
        net.registerReleases(alice, bob, releases);
        vm.assertEq(net.channel(alice, bob).settleAt, NOW + PERIOD, "settleAt stays");
        vm.warp(NOW + PERIOD);
        net.settle(bob, alice, balanceOf(proof), none());
        // Anyone, at once, before its expiry.
        vm.prank(stranger);
        net.unlock(alice, bob, 1, proof.locked, nothingLeft(), encode(locks, 7, false));
        vm.assertEq(gotBob(), 10 + 12, "bob");
        vm.assertEq(gotAlice(), 1000 - 22, "alice");
        vm.assertEq(token.balanceOf(address(net)), 0, "contract");
    }

    function test_release_inParts() public {
        Lock[] memory locks = locksOf(3, LATER, 0);
        for (uint256 i = 0; i < 3; ++i) {
            reveal(i, 1);
        }
        (bytes32 id, TokenNetwork.Proof memory proof) = closedWith(locks);
        net.registerReleases(alice, bob, releaseOf(BOB_KEY, id, alice, locks[1]));
        net.registerReleases(alice, bob, releaseOf(BOB_KEY, id, alice, locks[2]));
        vm.warp(NOW + PERIOD);
        net.settle(bob, alice, balanceOf(proof), none());
        uint128 left = proof.locked;
        for (uint256 i = 0; i < 2; ++i) {
            unlock(left, encode(locks, 1 << i, true));
            left -= locks[i].amount;
            vm.expectRevert(abi.encodeWithSelector(TokenNetwork.NothingToUnlock.selector, id));
            unlock(left, encode(locks, 1 << i, true));
        }
        unlock(left, encode(locks, 7, true));
        vm.assertEq(gotBob(), 10, "bob");
        vm.assertEq(token.balanceOf(address(net)), 0, "contract");
    }

    /// @dev Before the update that was made after it, and on both sides.
    function test_release_survivesAnUpdate() public {
        bytes32 id = open(1000, 1000);
        Lock[] memory ofAlice = locksOf(1, LATER, 0);
        Lock[] memory ofBob = locksOf(1, LATER, 5);
        reveal(0, 1);
        reveal(5, 1);
        TokenNetwork.Proof memory byAlice = lockedProof(ALICE_KEY, id, 1, 0, ofAlice);
        TokenNetwork.Proof memory byBob = lockedProof(BOB_KEY, id, 1, 0, ofBob);
        close(byBob);
        net.registerReleases(alice, bob, releaseOf(BOB_KEY, id, alice, ofAlice[0]));
        update(balanceOf(byBob), none(), byAlice);
        vm.warp(NOW + PERIOD);
        net.settle(alice, bob, balanceOf(byBob), balanceOf(byAlice));
        TokenNetwork.Left memory leftOfBob = TokenNetwork.Left(10, rootOf(ofBob));
        net.unlock(alice, bob, 1, 10, leftOfBob, encode(ofAlice, 1, true));
        vm.assertEq(token.balanceOf(alice), 1e36, "back to alice");
        // Bob's own lock, which nobody gave back, goes to alice.
        net.unlock(bob, alice, 1, 10, nothingLeft(), encode(ofBob, 1, true));
        vm.assertEq(token.balanceOf(alice), 1e36 + 10, "earned by alice");
    }

    function test_release_refusals() public {
        Lock[] memory locks = locksOf(2, LATER, 0);
        bytes32 id = net.channelId(alice, bob, 1);
        TokenNetwork.Release[] memory good = releaseOf(BOB_KEY, id, alice, locks[0]);
        open(1000, 1000);
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.NoClosedChannel.selector, id));
        net.registerReleases(alice, bob, good);
        closeCooperatively(1000, 1000);
        (bytes32 next, TokenNetwork.Proof memory proof) = closedWith(locks);
        TokenNetwork.Release[][4] memory wrong = [
            // Of the channel before, by the sender, of a lock of the other side, of another lock.
            good,
            releaseOf(ALICE_KEY, next, alice, locks[0]),
            releaseOf(BOB_KEY, next, bob, locks[0]),
            releaseOf(BOB_KEY, next, alice, locks[0])
        ];
        wrong[3][0].lock = leafOf(locks[1]);
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.NoReleases.selector));
        net.registerReleases(alice, bob, new TokenNetwork.Release[](0));
        for (uint256 i = 0; i < wrong.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob));
            vm.prank(bob);
            net.registerReleases(alice, bob, wrong[i]);
        }
        vm.warp(NOW + PERIOD);
        net.settle(bob, alice, balanceOf(proof), none());
        good = releaseOf(BOB_KEY, next, alice, locks[0]);
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.NoClosedChannel.selector, next));
        net.registerReleases(alice, bob, good);
    }

    // --------------------------------------------------------------------------------------------------------- parts

    function test_unlock_partByPart() public {
        Lock[] memory locks = locksOf(6, LATER, 0);
        reveal(0, 6);
        (bytes32 id, uint128 locked) = settleWith(locks);
        reveal(2, 1);
        vm.expectEmit(address(net));
        emit TokenNetwork.ChannelUnlocked(id, alice, 12, 0, 4);
        unlock(locked, encode(locks, 4, true));
        vm.assertEq(gotBob(), 12, "one");
        // The same again is nothing.
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.NothingToUnlock.selector, id));
        unlock(locked - 12, encode(locks, 4, true));
        // With what was left before, it is refused.
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.WrongLocks.selector, id));
        unlock(locked, encode(locks, 63, false));
        // All of them: the one that was paid is passed over.
        vm.expectEmit(address(net));
        emit TokenNetwork.ChannelUnlocked(id, alice, 63, 0, 59);
        unlock(locked - 12, encode(locks, 63, false));
        vm.assertEq(gotBob(), 75, "all");
        vm.assertEq(token.balanceOf(address(net)), 0, "contract");
    }

    function test_unlock_partByPartToTheLast() public {
        Lock[] memory locks = locksOf(3, LATER, 0);
        for (uint256 i = 0; i < 3; ++i) {
            reveal(i, 1);
        }
        (bytes32 id, uint128 locked) = settleWith(locks);
        for (uint256 i = 0; i < 3; ++i) {
            unlock(locked, encode(locks, 1 << i, true));
            locked -= locks[i].amount;
        }
        vm.assertEq(gotBob(), 33, "all");
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.WrongLocks.selector, id));
        unlock(0, encode(locks, 7, true));
    }

    /// @dev Attack 7 of facts: a lock counts once however often it is in the calldata, and at its own number only.
    function test_unlock_duplicateLeaf() public {
        Lock[] memory locks = locksOf(2, LATER, 0);
        reveal(0, 1);
        (bytes32 id, uint128 locked) = settleWith(locks);
        // The first lock twice, in the place of the second.
        bytes memory twice = bytes.concat(
            listing(locks[0].secrethash, 1),
            abi.encodePacked(uint8(0x10), LATER, locks[0].amount),
            abi.encodePacked(uint8(0x30), uint16(0), LATER, locks[0].amount)
        );
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.WrongLocks.selector, id));
        unlock(locked, twice);
        // A deeper tree whose left half is the true one.
        bytes memory deeper = bytes.concat(
            listing(locks[0].secrethash, 2),
            abi.encodePacked(uint8(0x10), LATER, locks[0].amount),
            abi.encodePacked(uint8(0x80), leafOf(locks[1]), uint8(0x41))
        );
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.WrongLocks.selector, id));
        unlock(locked, deeper);
        unlock(locked, encode(locks, 1, true));
        vm.assertEq(gotBob(), 10, "once");
    }

    /// @dev Two locks of one amount, expiry and secret are two locks: paid twice because they were signed twice (attack 8).
    function test_unlock_sameSecretTwice() public {
        Lock[] memory locks = locksOf(2, LATER, 0);
        locks[1] = Lock(1, LATER, 10, locks[0].secrethash);
        reveal(0, 1);
        (, uint128 locked) = settleWith(locks);
        bytes memory data = bytes.concat(
            listing(locks[0].secrethash, 1),
            abi.encodePacked(uint8(0x01), LATER, uint8(10)),
            abi.encodePacked(uint8(0x21), uint16(0), LATER, uint8(10))
        );
        unlock(locked, data);
        vm.assertEq(gotBob(), 20, "both");
    }

    /// @dev A node is no leaf: 65 bytes against 54, with another first byte (second preimage).
    function test_unlock_innerNodeIsNoLock() public {
        Lock[] memory locks = locksOf(4, LATER, 0);
        reveal(0, 4);
        (bytes32 id, uint128 locked) = settleWith(locks);
        // The root shown as the only number of a tree of depth 0 has no lock in it: nothing to unlock.
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.NothingToUnlock.selector, id));
        unlock(locked, abi.encodePacked(uint16(0), uint8(0), uint8(0x80), rootOf(locks)));
        unlock(locked, encode(locks, 15, false));
    }

    // --------------------------------------------------------------------------------------------- sums that differ

    /// @dev More promised than locked: it goes back with the last lock.
    function test_unlock_surplusGoesBack() public {
        (Lock[] memory locks, uint128 locked) = settledFor(100);
        reveal(0, 2);
        unlock(locked, encode(locks, 3, false));
        vm.assertEq(gotBob(), 21, "bob");
        vm.assertEq(gotAlice(), 1000 - 21, "alice");
    }

    function test_unlock_surplusGoesBackWhenAllWereUnlockedInParts() public {
        (Lock[] memory locks, uint128 locked) = settledFor(100);
        reveal(0, 1);
        reveal(1, 1);
        unlock(locked, encode(locks, 1, true));
        unlock(locked - 10, encode(locks, 2, true));
        vm.assertEq(gotBob(), 21, "bob");
        unlock(locked - 21, encode(locks, 3, true));
        vm.assertEq(gotAlice(), 1000 - 21, "alice");
        vm.assertEq(token.balanceOf(address(net)), 0, "contract");
    }

    /// @dev Less locked than promised: the receiver goes first, and nobody gets more than there is.
    function test_unlock_shortfall() public {
        (Lock[] memory locks, uint128 locked) = settledFor(15);
        reveal(1, 1);
        vm.warp(LATER);
        unlock(locked, encode(locks, 3, true));
        vm.assertEq(gotBob(), 11, "bob");
        vm.assertEq(gotAlice(), 1000 - 11, "alice");
    }

    function test_unlock_shortfallInParts() public {
        (Lock[] memory locks, uint128 locked) = settledFor(15);
        reveal(0, 1);
        reveal(1, 1);
        unlock(locked, encode(locks, 1, true));
        unlock(5, encode(locks, 2, true));
        vm.assertEq(gotBob(), 15, "all there is");
        vm.assertEq(token.balanceOf(address(net)), 0, "contract");
    }

    /// @dev Two locks, 10 and 11, in a proof that says otherwise.
    function settledFor(uint128 locked) private returns (Lock[] memory locks, uint128) {
        locks = locksOf(2, LATER, 0);
        bytes32 id = open(1000, 1000);
        TokenNetwork.Proof memory proof;
        (proof.nonce, proof.locked, proof.locksroot) = (1, locked, rootOf(locks));
        signed(ALICE_KEY, id, proof);
        close(noProof());
        update(none(), none(), proof);
        vm.warp(NOW + PERIOD);
        net.settle(alice, bob, none(), balanceOf(proof));
        return (locks, locked);
    }

    /// @dev Locked without any lock: it goes back on request.
    function test_unlock_nothingUnderTheRoot() public {
        bytes32 id = open(1000, 1000);
        TokenNetwork.Proof memory proof;
        (proof.nonce, proof.locked) = (1, 40);
        signed(ALICE_KEY, id, proof);
        close(noProof());
        update(none(), none(), proof);
        vm.warp(NOW + PERIOD);
        net.settle(alice, bob, none(), balanceOf(proof));
        vm.prank(stranger);
        net.unlock(alice, bob, 1, 40, nothingLeft(), "");
        vm.assertEq(gotAlice(), 1000, "back");
    }

    // ---------------------------------------------------------------------------------------------------- both sides

    function test_unlock_bothSidesInEitherOrder() public {
        for (uint256 order = 0; order < 2; ++order) {
            bytes32 id = open(1000, 1000);
            Lock[] memory ofAlice = locksOf(3, uint40(block.timestamp + 7 days), 10 * order);
            Lock[] memory ofBob = locksOf(2, uint40(block.timestamp + 7 days), 10 * order + 5);
            reveal(10 * order, 3);
            reveal(10 * order + 5, 2);
            TokenNetwork.Proof memory byAlice = lockedProof(ALICE_KEY, id, 1, 0, ofAlice);
            TokenNetwork.Proof memory byBob = lockedProof(BOB_KEY, id, 1, 0, ofBob);
            close(byBob);
            update(balanceOf(byBob), none(), byAlice);
            vm.warp(block.timestamp + PERIOD);
            net.settle(alice, bob, balanceOf(byBob), balanceOf(byAlice));
            uint40 epoch = uint40(order + 1);
            TokenNetwork.Left memory leftOfAlice = TokenNetwork.Left(33, rootOf(ofAlice));
            TokenNetwork.Left memory leftOfBob = TokenNetwork.Left(21, rootOf(ofBob));
            bytes memory dataOfAlice = encode(ofAlice, 7, false);
            if (order == 0) {
                vm.expectRevert(abi.encodeWithSelector(TokenNetwork.WrongLocks.selector, id));
                net.unlock(alice, bob, epoch, 33, nothingLeft(), dataOfAlice);
                net.unlock(alice, bob, epoch, 33, leftOfBob, dataOfAlice);
                net.unlock(bob, alice, epoch, 21, nothingLeft(), encode(ofBob, 3, false));
            } else {
                net.unlock(bob, alice, epoch, 21, leftOfAlice, encode(ofBob, 3, false));
                net.unlock(alice, bob, epoch, 33, nothingLeft(), dataOfAlice);
            }
            vm.assertEq(token.balanceOf(address(net)), 0, "contract");
            vm.assertEq(token.balanceOf(bob), 1e36 + 12 * (order + 1), "bob");
        }
    }

    /// @dev In parts on both sides: the bitmaps are apart.
    function test_unlock_bothSidesInParts() public {
        bytes32 id = open(1000, 1000);
        Lock[] memory ofAlice = locksOf(2, LATER, 0);
        Lock[] memory ofBob = locksOf(2, LATER, 5);
        for (uint256 i = 0; i < 7; ++i) {
            reveal(i, 1);
        }
        TokenNetwork.Proof memory byAlice = lockedProof(ALICE_KEY, id, 1, 0, ofAlice);
        TokenNetwork.Proof memory byBob = lockedProof(BOB_KEY, id, 1, 0, ofBob);
        close(byBob);
        update(balanceOf(byBob), none(), byAlice);
        vm.warp(NOW + PERIOD);
        net.settle(alice, bob, balanceOf(byBob), balanceOf(byAlice));
        TokenNetwork.Left memory leftOfAlice = TokenNetwork.Left(21, rootOf(ofAlice));
        TokenNetwork.Left memory leftOfBob = TokenNetwork.Left(21, rootOf(ofBob));
        net.unlock(alice, bob, 1, 21, leftOfBob, encode(ofAlice, 1, true));
        leftOfAlice.locked = 11;
        net.unlock(bob, alice, 1, 21, leftOfAlice, encode(ofBob, 1, true));
        leftOfBob.locked = 11;
        net.unlock(alice, bob, 1, 11, leftOfBob, encode(ofAlice, 2, true));
        net.unlock(bob, alice, 1, 11, nothingLeft(), encode(ofBob, 2, true));
        vm.assertEq(token.balanceOf(address(net)), 0, "contract");
        vm.assertEq(token.balanceOf(bob), 1e36, "even");
    }

    /// @dev While the pair's next channel is open, closed or settled too.
    function test_unlock_afterTheNextChannelBegan() public {
        Lock[] memory locks = locksOf(2, LATER, 0);
        reveal(0, 2);
        (, uint128 locked) = settleWith(locks);
        open(500, 500);
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.WrongLocks.selector, net.channelId(alice, bob, 2)));
        net.unlock(alice, bob, 2, locked, nothingLeft(), encode(locks, 3, false));
        close(noProof());
        unlock(locked, encode(locks, 3, false));
        vm.assertEq(token.balanceOf(address(net)), 1000, "the next channel's deposits");
    }

    function test_unlock_notBeforeTheSettlement() public {
        Lock[] memory locks = locksOf(2, LATER, 0);
        reveal(0, 2);
        bytes32 id = open(1000, 1000);
        TokenNetwork.Proof memory proof = lockedProof(ALICE_KEY, id, 1, 0, locks);
        bytes memory data = encode(locks, 3, false);
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.WrongLocks.selector, id));
        unlock(21, data);
        close(noProof());
        update(none(), none(), proof);
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.WrongLocks.selector, id));
        unlock(21, data);
    }

    // ---------------------------------------------------------------------------------------------------- the reader

    function test_read_malformed() public {
        Lock[] memory locks = locksOf(3, LATER, 0);
        reveal(0, 3);
        (bytes32 id, uint128 locked) = settleWith(locks);
        bytes memory good = encode(locks, 7, false);
        bytes[12] memory wrong = [
            // Bytes left over, or missing at the end.
            abi.encodePacked(good, uint8(0)),
            abi.encodePacked(good, uint8(0x40)),
            // Too deep a tree.
            abi.encodePacked(uint16(0), uint8(9), uint8(0x49)),
            abi.encodePacked(uint16(0), uint8(255), uint8(0x40)),
            // A subtree beyond the tree, and one across a boundary.
            abi.encodePacked(uint16(0), uint8(2), uint8(0x43)),
            abi.encodePacked(uint16(0), uint8(2), uint8(0x40), uint8(0x41), uint8(0x40)),
            abi.encodePacked(uint16(0), uint8(2), uint8(0x40), uint8(0x81), bytes32("hash"), uint8(0x40)),
            // Unknown pieces.
            abi.encodePacked(uint16(0), uint8(0), uint8(0x60)),
            abi.encodePacked(uint16(0), uint8(0), uint8(0xff), bytes32("hash")),
            bytes.concat(listing(hashOf(0), 0), abi.encodePacked(uint8(0x11), LATER, new bytes(17))),
            // A secrethash that is not there.
            bytes.concat(listing(hashOf(0), 0), abi.encodePacked(uint8(0x21), uint16(1), LATER, uint8(1))),
            abi.encodePacked(uint16(0), uint8(0), uint8(1), LATER, uint8(1))
        ];
        for (uint256 i = 0; i < wrong.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(LockTree.LocksMalformed.selector));
            unlock(locked, wrong[i]);
        }
        bytes memory tooLong =
            bytes.concat(listing(hashOf(0), 0), abi.encodePacked(uint8(0x31), uint16(0), LATER, new bytes(17)));
        vm.expectRevert(abi.encodeWithSelector(LockTree.LocksMalformed.selector));
        unlock(locked, tooLong);
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.WrongLocks.selector, id));
        unlock(locked, "");
        unlock(locked, good);
        vm.assertEq(gotBob(), 33, "bob");
    }

    /// @dev What lies in memory behind the secrethashes must not pass for one: the caller chooses some of it.
    function test_read_placesBehindTheLastAreNone() public {
        Lock[] memory locks = locksOf(3, LATER, 0);
        (, uint128 locked) = settleWith(locks);
        // A word that, taken for what is known of a secrethash, would say: in the calldata at 0x200, public long ago.
        bytes32 forged = bytes32(uint256(0x200) << 64 | 1);
        for (uint16 place = 1; place < 40; ++place) {
            bytes memory data = bytes.concat(
                listing(hashOf(0), 2),
                abi.encodePacked(uint8(0x80), forged, uint8(0x80), forged),
                abi.encodePacked(uint8(0x30), place, LATER, uint128(12), uint8(0x40), hashOf(2))
            );
            vm.expectRevert(abi.encodeWithSelector(LockTree.LocksMalformed.selector));
            unlock(locked, data);
        }
    }

    /// @dev All forms of a lock, and of a gap.
    function test_read_sizesOfAmounts() public {
        uint128[5] memory amounts = [uint128(0), 1, 255, 256, 300];
        Lock[] memory locks = new Lock[](5);
        bytes memory data;
        bytes memory hashes;
        for (uint256 i = 0; i < 5; ++i) {
            locks[i] = Lock(i, LATER, amounts[i], hashOf(i));
            hashes = abi.encodePacked(hashes, hashOf(i));
        }
        data = abi.encodePacked(uint16(5), hashes, uint16(0), uint8(3), uint8(0), LATER);
        data = abi.encodePacked(data, uint8(1), LATER, uint8(1), uint8(1), LATER, uint8(255));
        data = abi.encodePacked(data, uint8(2), LATER, uint16(256), uint8(2), LATER, uint16(300));
        data = abi.encodePacked(data, uint8(0x40), uint8(0x41));
        reveal(0, 5);
        (, uint128 locked) = settleWith(locks);
        unlock(locked, data);
        vm.assertEq(gotBob(), 812, "bob");
    }

    // ---------------------------------------------------------------------------------------------------------- fuzz

    struct Fuzz {
        Lock[] locks;
        uint256 wanted;
        uint256 revealed;
        uint256 toBob;
        uint256 sum;
    }

    /// @dev Any numbers, any part of them, any of the secrets public: against sums made the plain way.
    function testFuzz_unlock_anyPartOfAnyTree(uint256 numbers, uint256 wanted, uint256 revealed, uint8 bits) public {
        // Up to 2^bits numbers, not too many of them in use.
        bits = uint8(bound(bits, 0, 8));
        if (bits < 8) numbers &= (1 << (1 << bits)) - 1;
        numbers &= uint256(keccak256(abi.encode(numbers))) & uint256(keccak256(abi.encode(numbers, 1)));
        if (numbers == 0) numbers = 1 << (revealed % (1 << bits));
        Fuzz memory fuzz = make(numbers, wanted, revealed);
        bytes32 id = open(1e18, 1e18);
        TokenNetwork.Proof memory proof = lockedProof(ALICE_KEY, id, 1, 0, fuzz.locks);
        close(noProof());
        update(none(), none(), proof);
        vm.warp(LATER + PERIOD);
        net.settle(alice, bob, none(), balanceOf(proof));
        uint256 before = token.balanceOf(alice);
        if (fuzz.wanted == 0) {
            vm.expectRevert(abi.encodeWithSelector(TokenNetwork.NothingToUnlock.selector, id));
            unlock(proof.locked, encode(fuzz.locks, 0, true));
            return;
        }
        unlock(proof.locked, encode(fuzz.locks, fuzz.wanted, true));
        vm.assertEq(token.balanceOf(bob), 1e36 + fuzz.toBob, "bob");
        vm.assertEq(token.balanceOf(alice) - before, fuzz.sum - fuzz.toBob, "alice");
        uint256 left = proof.locked - fuzz.sum;
        vm.assertEq(token.balanceOf(address(net)), left, "left");
        if (left == 0) return;
        // And the rest.
        unlock(uint128(left), encode(fuzz.locks, type(uint256).max, true));
        vm.assertEq(token.balanceOf(address(net)), 0, "nothing left");
    }

    function make(uint256 numbers, uint256 wanted, uint256 revealed) private returns (Fuzz memory fuzz) {
        uint256 count = 0;
        for (uint256 i = 0; i < 256; ++i) {
            count += numbers >> i & 1;
        }
        fuzz.locks = new Lock[](count);
        count = 0;
        for (uint256 i = 0; i < 256; ++i) {
            if (numbers >> i & 1 == 0) continue;
            uint128 amount = uint128(uint256(keccak256(abi.encode(numbers, i))) >> (200 + i % 50));
            fuzz.locks[count++] = Lock(i, LATER, amount, hashOf(i));
            bool open_ = revealed >> i & 1 == 1;
            if (open_) reveal(i, 1);
            if (wanted >> i & 1 == 0) continue;
            fuzz.wanted |= 1 << i;
            fuzz.sum += amount;
            if (open_) fuzz.toBob += amount;
        }
    }

    /// @dev No byte of what is handed in can change and something else be paid.
    function testFuzz_unlock_anyChangeIsRefused(uint256 where, uint8 by) public {
        Lock[] memory locks = locksOf(5, LATER, 0);
        reveal(0, 2);
        (, uint128 locked) = settleWith(locks);
        vm.warp(LATER + PERIOD);
        bytes memory data = encode(locks, 3, false);
        if (by == 0) by = 1;
        where = bound(where, 0, data.length - 1);
        data[where] ^= bytes1(by);
        uint256 before = token.balanceOf(address(net));
        vm.prank(bob);
        try net.unlock(alice, bob, 1, locked, nothingLeft(), data) {
            vm.assertEq(token.balanceOf(address(net)), before - 21, "what is due, however it was written");
            vm.assertEq(gotBob(), 21, "to bob");
        } catch {}
    }

    /// @dev Attack 18: 256 locks fit a block many times over.
    function test_unlock_theLargestTree() public {
        Lock[] memory locks = new Lock[](256);
        for (uint256 i = 0; i < 256; ++i) {
            locks[i] = Lock(i, LATER, 1, hashOf(i));
        }
        reveal(0, 256);
        (, uint128 locked) = settleWith(locks);
        bytes memory data = encode(locks, ALL, false);
        bytes memory call = abi.encodeCall(net.unlock, (alice, bob, 1, locked, nothingLeft(), data));
        uint256 before = gasleft();
        (bool success,) = address(net).call(call);
        vm.assertTrue(success, "unlocked");
        vm.assertLe(before - gasleft(), 400_000, "gas");
        vm.assertEq(gotBob(), 256, "bob");
    }
}
