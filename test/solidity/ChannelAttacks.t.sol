// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {LockTree} from "../../src/contracts/solidity/LockTree.sol";
import {Signatures} from "../../src/contracts/solidity/Signatures.sol";
import {TokenNetwork} from "../../src/contracts/solidity/TokenNetwork.sol";
import {TowerDeposit} from "../../src/contracts/solidity/TowerDeposit.sol";
import {ChannelFixture} from "./ChannelFixture.sol";
import {HookToken} from "./Hostile.sol";

/// @dev A wallet that says of everything what it is set to say, and does what it is told.
contract Turncoat is IERC1271 {
    bool private willing = true;

    function turn() external {
        willing = false;
    }

    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        return willing ? IERC1271.isValidSignature.selector : bytes4(0);
    }

    function run(address to, bytes calldata data) external {
        (bool success,) = to.call(data);
        require(success, "run");
    }
}

/// @dev What a partner, a relayer or a stranger has tried, each to take what another is owed or to hold it up.
contract ChannelAttacksTest is ChannelFixture {
    uint128 private constant LARGEST = type(uint104).max;

    function setUp() public {
        begin();
    }

    // --------------------------------------------------------------------------------------------- secrets and lists

    function lockOf(bytes32 secrethash) private pure returns (Lock[] memory locks) {
        locks = new Lock[](1);
        locks[0] = Lock(0, uint40(NOW + 3 days), 100, secrethash);
    }

    /// @dev A payer takes the key of a list for a secrethash. There is no secret with that hash, so whoever forwards the
    /// payment can never claim it, while the next one, who registered the list, shows it as a secret.
    function test_aListsKeyIsNoSecret() public {
        bytes32 key = reveal(0, 2);
        Lock[] memory locks = lockOf(key);
        (, uint128 locked) = settleWith(locks);
        vm.prank(bob);
        vm.expectRevert(abi.encodeWithSelector(LockTree.LockPending.selector, 0, NOW + 3 days));
        net.unlock(alice, bob, 1, locked, nothingLeft(), encode(locks, 1, true));
        // Once it is over it goes back, list or not.
        vm.warp(NOW + 3 days + PERIOD);
        net.unlock(alice, bob, 1, locked, nothingLeft(), encode(locks, 1, true));
        vm.assertEq(token.balanceOf(alice), 1e36, "back");
    }

    /// @dev The other way round: a secret that was registered alone is no list of several.
    function test_aSecretIsNoList() public {
        bytes32 key = reveal(0, 1);
        vm.assertEq(secrets.listRevealedAt(key), 0, "no list");
        bytes32 list = reveal(0, 3);
        vm.assertEq(secrets.revealedAt(list), 0, "no secret");
        vm.assertEq(secrets.listRevealedAt(list), NOW, "a list");
        vm.warp(NOW + 5);
        reveal(0, 3);
        vm.assertEq(secrets.listRevealedAt(list), NOW, "its first time");
    }

    // --------------------------------------------------------------------------------------------------------- steps

    function stepsBelow(uint256 count) private pure returns (bytes32 node) {
        node = keccak256("seed");
        for (uint256 i = count; i < 100; ++i) {
            node = sha256(abi.encode(node));
        }
    }

    function stepsOf(uint256 count) private pure returns (bytes memory) {
        return abi.encode(stepsBelow(count), uint128(1), uint32(100), uint32(count));
    }

    /// @dev `key`'s proof of 100 and of a chain of 100 steps of 1, of which `count` are shown.
    function streamed(uint256 key, bytes32 id, uint256 count) private view returns (TokenNetwork.Proof memory proof) {
        proof.nonce = 2;
        proof.transferred = 100;
        proof.stream = keccak256(abi.encode(stepsBelow(0), uint128(1), uint32(100)));
        proof = signed(key, id, proof);
        if (count > 0) proof.steps = stepsOf(count);
    }

    function paidToBob(uint128 transferred) private {
        vm.warp(block.timestamp + PERIOD);
        net.settle(alice, bob, none(), TokenNetwork.Balance(2, transferred, 0, 0));
        vm.assertEq(token.balanceOf(bob), 1e36 + transferred, "what bob was paid");
    }

    /// @dev What a tower sends is seen before it is mined. Nobody can send the same with other steps, or without.
    function test_update_coversItsSteps() public {
        bytes32 id = open(2000, 0);
        TokenNetwork.Proof memory proof = streamed(ALICE_KEY, id, 60);
        bytes memory byBob = signUpdate(BOB_KEY, id, proofDigest(net, id, proof), proof.steps);
        close(noProof());
        bytes[3] memory others = [bytes(""), stepsOf(59), stepsOf(61)];
        for (uint256 i = 0; i < 3; ++i) {
            proof.steps = others[i];
            vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob));
            vm.prank(alice);
            net.update(alice, bob, none(), none(), proof, byBob);
        }
        proof.steps = stepsOf(60);
        vm.prank(stranger);
        net.update(alice, bob, none(), none(), proof, byBob);
        paidToBob(160);
    }

    /// @dev The same of a relayed closing, after which nothing could mend it.
    function test_close_coversItsSteps() public {
        bytes32 id = open(0, 2000);
        TokenNetwork.Proof memory proof = streamed(BOB_KEY, id, 60);
        bytes memory byAlice = signClose(ALICE_KEY, id, proofDigest(net, id, proof), proof.steps);
        bytes[2] memory others = [bytes(""), stepsOf(59)];
        for (uint256 i = 0; i < 2; ++i) {
            proof.steps = others[i];
            vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, alice));
            vm.prank(bob);
            net.close(alice, bob, proof, byAlice);
        }
        proof.steps = stepsOf(60);
        vm.prank(stranger);
        net.close(alice, bob, proof, byAlice);
        vm.warp(block.timestamp + PERIOD);
        net.settle(alice, bob, TokenNetwork.Balance(2, 160, 0, 0), none());
        vm.assertEq(token.balanceOf(alice), 1e36 + 160, "what alice was paid");
    }

    /// @dev Shows alice's proof with `count` steps for bob, after one with `known`.
    function showSteps(bytes32 id, uint256 count, TokenNetwork.Balance memory known, bool good) private {
        TokenNetwork.Proof memory proof = streamed(ALICE_KEY, id, count);
        bytes memory byBob = signUpdate(BOB_KEY, id, proofDigest(net, id, proof), proof.steps);
        if (!good) vm.expectRevert(abi.encodeWithSelector(TokenNetwork.NonceNotIncreased.selector, 2, 2));
        vm.prank(stranger);
        net.update(alice, bob, none(), known, proof, byBob);
    }

    /// @dev A tower with an older appointment is faster than bob: what it shows costs him nothing.
    function test_update_moreStepsOfTheSameProofWin() public {
        bytes32 id = open(2000, 0);
        close(noProof());
        TokenNetwork.Balance memory known;
        uint8[3] memory counts = [0, 40, 100];
        for (uint256 i = 0; i < 3; ++i) {
            showSteps(id, counts[i], known, true);
            known = TokenNetwork.Balance(2, 100 + counts[i], 0, 0);
            // The same once more, or less, does nothing.
            for (uint256 j = 0; j <= i; ++j) {
                showSteps(id, counts[j], known, false);
            }
        }
        paidToBob(200);
    }

    /// @dev Of two proofs of one nonce the second doesn't count, however much it pays: what is locked would change with it.
    function test_update_anotherProofOfTheSameNonceDoesNotWin() public {
        bytes32 id = open(2000, 0);
        Lock[] memory locks = lockOf(hashOf(0));
        TokenNetwork.Proof memory one = lockedProof(ALICE_KEY, id, 2, 100, locks);
        TokenNetwork.Proof memory two = proofOf(ALICE_KEY, id, 2, 150);
        locks[0].expiry += 1;
        TokenNetwork.Proof memory three = lockedProof(ALICE_KEY, id, 2, 150, locks);
        close(noProof());
        update(none(), none(), one);
        TokenNetwork.Proof[2] memory others = [two, three];
        for (uint256 i = 0; i < 2; ++i) {
            vm.expectRevert(abi.encodeWithSelector(TokenNetwork.NonceNotIncreased.selector, 2, 2));
            vm.prank(bob);
            net.update(alice, bob, none(), balanceOf(one), others[i], "");
        }
    }

    /// @dev A proof of nonce zero is none, even if it pays.
    function test_update_nonceZeroIsNoProof() public {
        bytes32 id = open(2000, 0);
        TokenNetwork.Proof memory proof = proofOf(ALICE_KEY, id, 0, 100);
        close(noProof());
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.NonceNotIncreased.selector, 0, 0));
        vm.prank(bob);
        net.update(alice, bob, none(), none(), proof, "");
    }

    // ------------------------------------------------------------------------------------- partners that are contracts

    function walletChannel() private returns (Turncoat wallet, bytes32 id) {
        wallet = new Turncoat();
        vm.prank(bob);
        id = net.open(address(wallet), 0, 0, "");
        vm.prank(stranger);
        net.deposit(address(wallet), bob, 1000);
    }

    /// @dev A contract pays bob by its session key, and then knows nothing of it.
    function test_aContractCantTakeBackWhatItPaid() public {
        (Turncoat wallet, bytes32 id) = walletChannel();
        bytes memory delegation = abi.encodePacked(SOON, "whatever it takes");
        net.addSessionKey(address(wallet), bob, session, delegation);
        TokenNetwork.Proof memory proof = proofOf(SESSION_KEY, id, 2, 1000);

        wallet.turn();
        wallet.run(address(registry), abi.encodeCall(registry.revoke, (session)));
        wallet.run(address(net), abi.encodeCall(net.close, (address(wallet), bob, noProof(), "")));
        vm.prank(bob);
        net.update(address(wallet), bob, none(), none(), proof, "");
        vm.warp(block.timestamp + PERIOD);
        net.settle(address(wallet), bob, none(), balanceOf(proof));
        vm.assertEq(token.balanceOf(bob), 1e36 + 1000, "what bob was paid");
    }

    /// @dev Whoever opened with a contract's consent can leave alone, whatever the contract says afterwards.
    function test_aContractCantHoldADeposit() public {
        Turncoat wallet = new Turncoat();
        bytes32 id = net.channelId(bob, address(wallet), 1);
        bytes memory delegation = abi.encodePacked(SOON, "whatever it takes");
        TokenNetwork.Proof memory first_ = proofOf(SESSION_KEY, id, 1, 0);
        vm.prank(bob);
        net.open(address(wallet), 500, 0, bytes.concat(first_.signature, delegation));
        wallet.turn();
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.ProofMissing.selector, id));
        vm.prank(bob);
        net.close(bob, address(wallet), noProof(), "");
        vm.prank(bob);
        net.close(bob, address(wallet), first_, "");
        vm.warp(block.timestamp + PERIOD);
        net.settle(bob, address(wallet), balanceOf(first_), none());
        vm.assertEq(token.balanceOf(bob), 1e36, "bob has his deposit");
    }

    // ---------------------------------------------------------------------------------------------- leaked session keys

    /// @dev With a session key and a delegation of long ago a thief opens a channel with itself, and takes all of it.
    function thiefOpens(bytes memory delegation) private returns (bool opened) {
        bytes32 id = net.channelId(alice, stranger, 1);
        uint64 soon = uint64(block.timestamp + 1 hours);
        bytes memory byKey = bytes.concat(signOpen(SESSION_KEY, id, 1e30, soon), delegation);
        vm.prank(stranger);
        try net.openFor(alice, stranger, 1e30, soon, byKey, 0, "", noPermit()) {
            return true;
        } catch {
            return false;
        }
    }

    function test_aLeakedSessionKeyExpires() public {
        bytes memory delegation = signDelegation(ALICE_KEY, alice, session, SOON);
        vm.warp(uint256(SOON) + 1);
        vm.assertFalse(thiefOpens(delegation), "opened after the end");
        vm.warp(SOON);
        vm.assertTrue(thiefOpens(delegation), "opened before");
        vm.assertTrue(net.sessionKeys(net.channelId(alice, stranger, 1), alice, session), "and is registered");
    }

    function test_aLeakedSessionKeyCanBeRevoked() public {
        bytes memory delegation = signDelegation(ALICE_KEY, alice, session);
        open(10, 0);
        vm.prank(alice);
        registry.revoke(session);
        vm.assertFalse(thiefOpens(delegation), "opened");
        vm.assertFalse(thiefOpens(signDelegation(ALICE_KEY, alice, session, type(uint64).max)), "with a newer one");
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, alice));
        net.addSessionKey(alice, bob, session, delegation);
        vm.assertEq(token.balanceOf(alice), 1e36 - 10, "what alice has");
    }

    // ------------------------------------------------------------------------------------------------------- openings

    /// @dev Whoever hands in an opening can't leave the partner's consent away, change it, or put one in.
    function test_openFor_coversTheConsent() public {
        bytes32 id = net.channelId(alice, bob, 1);
        TokenNetwork.Proof memory first_ = proofOf(BOB_KEY, id, 1, 0);
        first_.watch = "bob's watch";
        first_ = signed(BOB_KEY, id, first_);
        bytes memory consent = first_.signature;
        bytes memory byAlice = signOpen(ALICE_KEY, id, 100, SOON, "bob's watch", consent);
        bytes memory without = signOpen(ALICE_KEY, id, 100, SOON);
        bytes memory refusal = abi.encodeWithSelector(Signatures.NotSignedBy.selector, alice);
        vm.expectRevert(refusal);
        net.openFor(alice, bob, 100, SOON, byAlice, 0, "", noPermit());
        vm.expectRevert(refusal);
        net.openFor(alice, bob, 100, SOON, byAlice, "bob's watch", "", noPermit());
        TokenNetwork.Proof memory other = proofOf(BOB_KEY, id, 1, 0);
        other.watch = "another";
        bytes memory byBob = signed(BOB_KEY, id, other).signature;
        vm.expectRevert(refusal);
        net.openFor(alice, bob, 100, SOON, byAlice, "another", byBob, noPermit());
        vm.expectRevert(refusal);
        net.openFor(alice, bob, 100, SOON, without, "bob's watch", consent, noPermit());
        vm.prank(stranger);
        net.openFor(alice, bob, 100, SOON, byAlice, "bob's watch", consent, noPermit());
        vm.assertTrue(net.channel(alice, bob).consented, "as alice meant it");
    }

    /// @dev A consent is for one channel of one network, and of the side that gave it.
    function test_consent_isNotUsedAgain() public {
        bytes32 id = net.channelId(alice, bob, 1);
        bytes memory consent = proofOf(BOB_KEY, id, 1, 0).signature;
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob));
        vm.prank(alice);
        eth.open(bob, 0, 0, consent);
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, alice));
        vm.prank(bob);
        net.open(alice, 0, 0, consent);
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob));
        vm.prank(stranger);
        net.open(bob, 0, 0, consent);
        vm.prank(alice);
        net.open(bob, 0, 0, consent);
        closeCooperatively(0, 0);
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob));
        vm.prank(alice);
        net.open(bob, 0, 0, consent);
    }

    // ----------------------------------------------------------------------------------------------------------- gifts

    function giftsOf(TokenNetwork network) private view returns (uint256 ofAlice, uint256 ofBob) {
        TokenNetwork.ChannelView memory shown = network.channel(alice, bob);
        return first() ? (shown.gift1, shown.gift2) : (shown.gift2, shown.gift1);
    }

    function depositsOf(TokenNetwork network) private view returns (uint256 ofAlice, uint256 ofBob) {
        TokenNetwork.ChannelView memory shown = network.channel(alice, bob);
        return first() ? (shown.deposit1, shown.deposit2) : (shown.deposit2, shown.deposit1);
    }

    function give(address side, address other, uint128 total) private {
        vm.prank(stranger);
        net.deposit(side, other, total);
    }

    /// @dev What others pay in stops neither a raise, nor a withdrawal, nor a cooperative close that was agreed before.
    function test_nobodyElseChangesWhatWasAgreed() public {
        bytes32 id = open(100, 50);
        bytes memory byAlice = signCooperativeClose(ALICE_KEY, net, id, 80, 85);
        bytes memory byBob = signCooperativeClose(BOB_KEY, net, id, 80, 85);
        vm.expectEmit(address(net));
        emit TokenNetwork.ChannelGift(id, alice, stranger, 1);
        give(alice, bob, 101);
        give(bob, alice, 53);
        give(alice, bob, 106); // 6 in all
        (uint256 ofAlice, uint256 ofBob) = depositsOf(net);
        vm.assertEq(ofAlice, 100, "alice's deposit");
        vm.assertEq(ofBob, 50, "bob's deposit");
        (ofAlice, ofBob) = giftsOf(net);
        vm.assertEq(ofAlice, 6, "for alice");
        vm.assertEq(ofBob, 3, "for bob");

        vm.prank(alice);
        net.deposit(alice, bob, 120);
        bytes memory draw = signWithdraw(BOB_KEY, id, alice, 5, SOON);
        vm.prank(alice);
        net.withdraw(alice, bob, 5, SOON, "", draw);
        vm.expectEmit(address(net));
        (uint256 paid1, uint256 paid2) = first() ? (uint256(86), uint256(88)) : (uint256(88), uint256(86));
        emit TokenNetwork.ChannelSettled(id, paid1, paid2, 0, 0, true);
        vm.prank(stranger);
        net.closeCooperatively(alice, bob, 80, 85, SOON, byAlice, byBob);
        vm.assertEq(token.balanceOf(alice), 1e36 - 120 + 5 + 86, "alice");
        vm.assertEq(token.balanceOf(bob), 1e36 - 50 + 88, "bob");
        vm.assertEq(token.balanceOf(address(net)), 0, "nothing stays");
        // The next channel begins with none.
        open(10, 0);
        (ofAlice, ofBob) = giftsOf(net);
        vm.assertEq(ofAlice + ofBob, 0, "gifts of the next");
    }

    /// @dev Gifts can't be withdrawn before the end: withdrawals are reckoned by deposits.
    function test_gift_isNotWithdrawn() public {
        bytes32 id = open(100, 0);
        give(alice, bob, 150);
        bytes memory draw = signWithdraw(BOB_KEY, id, alice, 101, SOON);
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.TotalWithdrawOutOfRange.selector, 101, 0, 100));
        vm.prank(alice);
        net.withdraw(alice, bob, 101, SOON, "", draw);
    }

    /// @dev A channel that is closed pays a side's gift to it, or to whom it has paid more than its deposit.
    function testFuzz_gift_countsInTheSettlement(uint96 gift, uint96 back, uint96 paid) public {
        bytes32 id = open(1000, 500);
        if (gift > 0) give(alice, bob, 1000 + uint128(gift));
        if (back > 0) give(bob, alice, 500 + uint128(back));
        TokenNetwork.Proof memory proof = proofOf(ALICE_KEY, id, 1, paid);
        close(noProof());
        update(none(), none(), proof);
        vm.warp(block.timestamp + PERIOD);
        net.settle(alice, bob, none(), balanceOf(proof));
        uint256 has = 1000 + uint256(gift);
        uint256 due = paid < has ? paid : has;
        vm.assertEq(token.balanceOf(alice), 1e36 - 1000 + has - due, "alice");
        vm.assertEq(token.balanceOf(bob), 1e36 + back + due, "bob");
        vm.assertEq(token.balanceOf(address(net)), 0, "nothing stays");
    }

    function test_gift_refusals() public {
        bytes32 id = open(100, 0);
        vm.expectRevert(
            abi.encodeWithSelector(TokenNetwork.TotalDepositOutOfRange.selector, 100, 100, 100 + uint256(LARGEST))
        );
        give(alice, bob, 100);
        give(alice, bob, 110);
        vm.expectRevert(
            abi.encodeWithSelector(TokenNetwork.TotalDepositOutOfRange.selector, 110, 110, 100 + uint256(LARGEST))
        );
        give(alice, bob, 110);
        close(noProof());
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.NoOpenChannel.selector, id));
        give(alice, bob, 120);
    }

    /// @dev One's own raise in a transaction that crossed a gift, in ETH, where the sum sent along must be right.
    function test_gift_doesNotSpoilARaiseInEth() public {
        vm.prank(alice);
        bytes32 id = eth.open{value: 100}(bob, 100, 0, "");
        for (uint128 i = 1; i < 4; ++i) {
            vm.prank(stranger);
            eth.deposit{value: 1}(alice, bob, 100 + i);
        }
        vm.prank(alice);
        eth.deposit{value: 900}(alice, bob, 1000);
        // In a batch with what is one's own; and ETH that was forced on the contract is nobody's.
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(eth.deposit, (alice, bob, 1001));
        calls[1] = abi.encodeCall(eth.deposit, (bob, alice, 7));
        vm.prank(alice);
        eth.batch{value: 8}(calls);
        vm.deal(address(eth), address(eth).balance + 5);
        (uint256 ofAlice, uint256 ofBob) = giftsOf(eth);
        vm.assertEq(ofAlice, 3, "for alice");
        vm.assertEq(ofBob, 7, "for bob");
        bytes memory byAlice = signCooperativeClose(ALICE_KEY, eth, id, 1001, 0);
        bytes memory byBob = signCooperativeClose(BOB_KEY, eth, id, 1001, 0);
        eth.closeCooperatively(alice, bob, 1001, 0, SOON, byAlice, byBob);
        vm.assertEq(alice.balance, 1e36 + 3 - 7, "alice");
        vm.assertEq(bob.balance, 1e36 + 7, "bob");
        vm.assertEq(address(eth).balance, 5, "forced");
    }

    /// @dev A token that calls back in the middle of a gift gets no second one out of it.
    function test_gift_isNotReentered() public {
        HookToken hook = new HookToken();
        net = registry.createTokenNetwork(address(hook));
        address[2] memory payers = [alice, stranger];
        for (uint256 i = 0; i < 2; ++i) {
            hook.mint(payers[i], 1000);
            vm.prank(payers[i]);
            hook.approve(address(net), 1000);
        }
        open(100, 0);
        hook.arm(address(net), abi.encodeCall(net.deposit, (alice, bob, 120)));
        give(alice, bob, 110);
        vm.assertFalse(hook.hookSucceeded(), "in a gift");
        (uint256 ofAlice,) = giftsOf(net);
        vm.assertEq(ofAlice, 10, "one gift");
    }

    // ----------------------------------------------------------------------------------------------------- 104 bits

    /// @dev Deposits share a slot: one that were larger would reach into what stands beside it.
    function test_deposits_stayBelow104Bits() public {
        uint128 more = LARGEST + 1;
        bytes memory refusal = abi.encodeWithSelector(TokenNetwork.TotalDepositOutOfRange.selector, more, 0, LARGEST);
        vm.expectRevert(refusal);
        vm.prank(alice);
        net.open(bob, more, 0, "");
        vm.expectRevert(refusal);
        vm.prank(bob);
        net.open(alice, more, 0, "");
        bytes memory byAlice = signOpen(ALICE_KEY, net.channelId(alice, bob, 1), more, SOON);
        vm.expectRevert(refusal);
        net.openFor(alice, bob, more, SOON, byAlice, 0, "", noPermit());
        bytes32 id = open(LARGEST, LARGEST);
        give(alice, bob, 2 * LARGEST);
        give(bob, alice, 2 * LARGEST);
        (uint256 ofAlice, uint256 ofBob) = depositsOf(net);
        vm.assertEq(ofAlice, LARGEST, "alice");
        vm.assertEq(ofBob, LARGEST, "bob");
        (ofAlice, ofBob) = giftsOf(net);
        vm.assertEq(ofAlice, LARGEST, "for alice");
        vm.assertEq(ofBob, LARGEST, "for bob");
        vm.expectRevert(
            abi.encodeWithSelector(TokenNetwork.TotalDepositOutOfRange.selector, more, LARGEST, LARGEST)
        );
        vm.prank(alice);
        net.deposit(alice, bob, more);
        vm.expectRevert(
            abi.encodeWithSelector(
                TokenNetwork.TotalDepositOutOfRange.selector, 2 * LARGEST + 1, 2 * LARGEST, 2 * LARGEST
            )
        );
        give(alice, bob, 2 * LARGEST + 1);
        // A withdrawal, of which there is more than fits.
        bytes memory draw = signWithdraw(BOB_KEY, id, alice, more, SOON);
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.TotalWithdrawOutOfRange.selector, more, 0, LARGEST));
        vm.prank(alice);
        net.withdraw(alice, bob, more, SOON, "", draw);
        closeCooperatively(2 * LARGEST, 0);
        vm.assertEq(token.balanceOf(alice), 1e36 + 2 * uint256(LARGEST), "all of both, and her gift");
        vm.assertEq(token.balanceOf(bob), 1e36, "his gift");
    }

    // ---------------------------------------------------------------------------------------------- another chain id

    /// @dev The chain gets another id. What is signed before counts no more, what is stored is found as before: channels go
    /// on, close, settle and unlock; session keys and revocations stand; deposits of towers' clients can be had.
    function test_everythingIsReachableAfterTheChainGotAnotherId() public {
        TowerDeposit towers = TowerDeposit(deploy("TowerDeposit", abi.encode(registry, address(0), PERIOD)));
        towers.deposit{value: 100}(bob, 100);
        bytes32 id = open(1000, 0);
        give(alice, bob, 1005);
        vm.prank(alice);
        net.addSessionKey(alice, bob, session, "");
        vm.prank(alice);
        registry.revoke(stranger);
        TokenNetwork.Proof memory before = proofOf(ALICE_KEY, id, 1, 10);
        bytes memory delegation = signDelegation(ALICE_KEY, alice, vm.addr(77));

        vm.chainId(4242);
        vm.assertEq(net.channel(alice, bob).channelId, id, "the same channel");
        vm.assertEq(address(registry.tokenNetworks(address(token))), address(net), "the same network");
        vm.assertTrue(registry.revoked(alice, stranger), "revoked");
        vm.assertFalse(registry.isDelegated(alice, vm.addr(77), delegation), "another domain");
        goesOn(id, before);
        endsWith(towers, id);
        vm.assertEq(token.balanceOf(alice), 1e36 - 1000 + 1005 - 30 - 100, "alice");
        vm.assertEq(token.balanceOf(bob), 1e36 + 30 + 100, "bob");
        towers.claim(address(net), id);
        vm.prank(bob);
        towers.planWithdraw(100);
        vm.warp(NOW + 2 * PERIOD);
        vm.prank(bob);
        towers.withdraw(bob);
        vm.assertEq(bob.balance, 1e36 + 70, "what the tower left");
    }

    function goesOn(bytes32 id, TokenNetwork.Proof memory before) private {
        vm.prank(bob);
        net.deposit(bob, alice, 200);
        bytes memory draw = signWithdraw(ALICE_KEY, id, bob, 50, SOON);
        vm.prank(bob);
        net.withdraw(bob, alice, 50, SOON, "", draw);
        close(noProof());
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, alice));
        vm.prank(bob);
        net.update(alice, bob, none(), none(), before, "");
    }

    function endsWith(TowerDeposit towers, bytes32 id) private {
        Lock[] memory locks = lockOf(hashOf(0));
        TokenNetwork.Proof memory proof = lockedProof(SESSION_KEY, id, 2, 30, locks);
        TowerDeposit.Reward memory reward = rewardOf(towers, id);
        bytes memory byBob = signUpdate(BOB_KEY, id, proofDigest(net, id, proof));
        vm.prank(stranger);
        towers.update(net, alice, bob, none(), none(), proof, byBob, reward);
        reveal(0, 1);
        vm.warp(NOW + PERIOD);
        net.settle(alice, bob, none(), balanceOf(proof));
        unlock(100, encode(locks, 1, true));
    }

    /// @dev By bob, of 30, for the proof of nonce 2.
    function rewardOf(TowerDeposit towers, bytes32 id) private view returns (TowerDeposit.Reward memory) {
        bytes32 typeHash =
            keccak256("TowerReward(address tokenNetwork,bytes32 channelId,uint64 nonce,address tower,uint128 amount)");
        bytes32 structHash = keccak256(abi.encode(typeHash, net, id, uint64(2), stranger, uint128(30)));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", towers.DOMAIN_SEPARATOR(), structHash));
        return TowerDeposit.Reward(stranger, 30, sign(BOB_KEY, digest));
    }

    // ------------------------------------------------------------------------------------------------ towers' rewards

    function showForReward(TowerDeposit towers, bytes32 id, uint256 count, TokenNetwork.Balance memory known, bool good)
        private
    {
        TokenNetwork.Proof memory proof = streamed(ALICE_KEY, id, count);
        bytes memory byBob = signUpdate(BOB_KEY, id, proofDigest(net, id, proof), proof.steps);
        TowerDeposit.Reward memory reward = rewardOf(towers, id);
        if (!good) vm.expectRevert(abi.encodeWithSelector(TokenNetwork.NonceNotIncreased.selector, 2, 2));
        towers.update(net, alice, bob, none(), known, proof, byBob, reward);
    }

    /// @dev Shows the same proof again and again, with a step more each time: one reward is set aside, never the sum.
    function test_aDepositIsNotDrainedByRepetition() public {
        TowerDeposit towers = TowerDeposit(deploy("TowerDeposit", abi.encode(registry, address(0), 2 * PERIOD)));
        towers.deposit{value: 100}(bob, 100);
        bytes32 id = open(2000, 0);
        close(noProof());
        TokenNetwork.Balance memory known;
        for (uint256 i = 0; i < 5; ++i) {
            showForReward(towers, id, i, known, true);
            known = TokenNetwork.Balance(2, uint128(100 + i), 0, 0);
            (uint104 left,,) = towers.accounts(bob);
            vm.assertEq(left, 70, "left");
            showForReward(towers, id, i, known, false);
        }
        vm.warp(block.timestamp + PERIOD);
        towers.claim(address(net), id);
        vm.expectRevert(abi.encodeWithSelector(TowerDeposit.NoReward.selector, address(net), id));
        towers.claim(address(net), id);
        vm.assertEq(address(towers).balance, 70, "one reward");
    }
}
