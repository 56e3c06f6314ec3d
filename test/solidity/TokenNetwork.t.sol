// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {Payouts} from "../../src/contracts/solidity/Payouts.sol";
import {Signatures} from "../../src/contracts/solidity/Signatures.sol";
import {TokenNetwork} from "../../src/contracts/solidity/TokenNetwork.sol";
import {ChannelFixture} from "./ChannelFixture.sol";

contract PermitToken is ERC20Permit {
    constructor() ERC20("Permit", "PER") ERC20Permit("Permit") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}

contract TokenNetworkTest is ChannelFixture {
    function setUp() public {
        begin();
    }

    // -------------------------------------------------------------------------------------------------------- open

    function test_open_makesTheChannelAndTakesTheDeposit() public {
        bytes32 id = net.channelId(alice, bob, 1);
        (address low, address high) = first() ? (alice, bob) : (bob, alice);
        vm.assertEq(id, keccak256(abi.encode(net, low, high, uint40(1))), "id");
        vm.expectEmit(address(net));
        emit TokenNetwork.ChannelOpened(id, low, high, 1, false);
        vm.expectEmit(address(net));
        emit TokenNetwork.ChannelNewDeposit(id, alice, 700);
        vm.assertEq(open(700, 0), id, "returned");
        TokenNetwork.ChannelView memory shown = net.channel(bob, alice);
        vm.assertEq(shown.channelId, id, "shown");
        vm.assertEq(shown.epoch, 1, "epoch");
        vm.assertTrue(shown.state == TokenNetwork.State.Open, "state");
        vm.assertEq(first() ? shown.deposit1 : shown.deposit2, 700, "deposit");
        vm.assertEq(first() ? shown.deposit2 : shown.deposit1, 0, "the other's");
        vm.assertFalse(shown.consented, "consented");
        vm.assertEq(token.balanceOf(address(net)), 700, "balance");
        vm.assertTrue(net.channel(alice, stranger).state == TokenNetwork.State.None, "none");
        vm.assertEq(net.channel(alice, stranger).channelId, bytes32(0), "no id");
    }

    function test_open_inEth() public {
        vm.prank(alice);
        eth.open{value: 5}(bob, 5, 0, "");
        vm.assertEq(address(eth).balance, 5, "balance");
        vm.expectRevert(abi.encodeWithSelector(Payouts.WrongValue.selector, 4, 5));
        vm.prank(alice);
        eth.open{value: 4}(stranger, 5, 0, "");
        vm.expectRevert(abi.encodeWithSelector(Payouts.WrongValue.selector, 1, 0));
        vm.prank(alice);
        net.open{value: 1}(bob, 0, 0, "");
    }

    function test_open_refusals() public {
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.PartnerUnusable.selector, address(0)));
        vm.prank(alice);
        net.open(address(0), 0, 0, "");
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.PartnerUnusable.selector, alice));
        vm.prank(alice);
        net.open(alice, 0, 0, "");
        uint256 largest = type(uint104).max;
        vm.expectRevert(
            abi.encodeWithSelector(TokenNetwork.TotalDepositOutOfRange.selector, largest + 1, 0, largest)
        );
        vm.prank(alice);
        net.open(bob, uint128(largest + 1), 0, "");
        bytes32 id = open(0, 0);
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.PairHasChannel.selector, id));
        vm.prank(bob);
        net.open(alice, 0, 0, "");
        close(noProof());
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.PairHasChannel.selector, id));
        vm.prank(bob);
        net.open(alice, 0, 0, "");
    }

    function test_open_againIsAnotherChannel() public {
        bytes32 id = open(10, 0);
        closeCooperatively(10, 0);
        bytes32 next = open(20, 0);
        vm.assertTrue(next != id, "id");
        vm.assertEq(next, net.channelId(alice, bob, 2), "epoch");
        vm.assertEq(net.channel(alice, bob).epoch, 2, "shown");
        TokenNetwork.ChannelView memory shown = net.channel(alice, bob);
        vm.assertEq(shown.deposit1 + shown.deposit2, 20, "deposits begin anew");
    }

    function test_open_largestDepositsKeepApart() public {
        uint128 largest = type(uint104).max;
        open(largest, largest - 1);
        TokenNetwork.ChannelView memory shown = net.channel(alice, bob);
        vm.assertEq(first() ? shown.deposit1 : shown.deposit2, largest, "alice");
        vm.assertEq(first() ? shown.deposit2 : shown.deposit1, largest - 1, "bob");
        vm.assertEq(shown.epoch, 1, "epoch");
        closeCooperatively(0, 2 * largest - 1);
        vm.assertEq(token.balanceOf(bob), 1e36 + largest, "all to bob");
    }

    // ----------------------------------------------------------------------------------------------------- consent

    function consentOf(uint256 key, bytes32 watch) private view returns (TokenNetwork.Proof memory proof) {
        proof.nonce = 1;
        proof.watch = watch;
        return signed(key, net.channelId(alice, bob, 1), proof);
    }

    function test_consent_closingTakesAProof() public {
        TokenNetwork.Proof memory proof = consentOf(BOB_KEY, "watch");
        vm.prank(alice);
        bytes32 id = net.open(bob, 10, "watch", proof.signature);
        vm.assertTrue(net.channel(alice, bob).consented, "consented");
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.ProofMissing.selector, id));
        vm.prank(alice);
        net.close(alice, bob, noProof(), "");
        vm.expectEmit(address(net));
        emit TokenNetwork.ChannelClosed(id, alice, balanceOf(proof), "watch", block.timestamp + PERIOD);
        close(proof);
    }

    function test_consent_mustBeThePartnersFirstProof() public {
        bytes memory own = consentOf(ALICE_KEY, "watch").signature;
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob));
        vm.prank(alice);
        net.open(bob, 0, "watch", own);
        bytes memory other = consentOf(BOB_KEY, "other").signature;
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob));
        vm.prank(alice);
        net.open(bob, 0, "watch", other);
        // Consent to the first channel is none to the second.
        bytes memory consent = consentOf(BOB_KEY, "watch").signature;
        vm.prank(alice);
        net.open(bob, 0, "watch", consent);
        closeCooperatively(0, 0);
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob));
        vm.prank(alice);
        net.open(bob, 0, "watch", consent);
    }

    // ----------------------------------------------------------------------------------------------------- openFor

    function test_openFor_byTheParticipantsSignature() public {
        bytes32 id = net.channelId(alice, bob, 1);
        bytes memory signature = signOpen(ALICE_KEY, id, 50, SOON);
        vm.prank(stranger);
        net.openFor(alice, bob, 50, SOON, signature, 0, "", noPermit());
        vm.assertEq(token.balanceOf(alice), 1e36 - 50, "alice paid");
        // The signature is used up with the channel's id.
        closeCooperatively(50, 0);
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, alice));
        net.openFor(alice, bob, 50, SOON, signature, 0, "", noPermit());
    }

    function test_openFor_refusals() public {
        bytes32 id = net.channelId(alice, bob, 1);
        bytes memory signature = signOpen(ALICE_KEY, id, 50, SOON);
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, alice));
        net.openFor(alice, bob, 51, SOON, signature, 0, "", noPermit());
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob));
        net.openFor(bob, alice, 50, SOON, signature, 0, "", noPermit());
        // Even the participant has to sign: the call by it is `open`.
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, alice));
        vm.prank(alice);
        net.openFor(alice, bob, 50, SOON, "", 0, "", noPermit());
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.NotForEth.selector));
        eth.openFor(alice, bob, 50, SOON, signature, 0, "", noPermit());
        vm.warp(SOON + 1);
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.SignatureExpired.selector, SOON, SOON + 1));
        net.openFor(alice, bob, 50, SOON, signature, 0, "", noPermit());
    }

    function test_openFor_withPermit() public {
        PermitToken permitted = new PermitToken();
        permitted.mint(alice, 100);
        net = registry.createTokenNetwork(address(permitted));
        TokenNetwork.Permit memory permit = permitOf(permitted, 0);
        bytes memory signature = signOpen(ALICE_KEY, net.channelId(alice, bob, 1), 60, SOON);
        uint256 snapshot = 0;
        // Somebody else may have used it before: the allowance is there all the same.
        for (; snapshot < 2; ++snapshot) {
            if (snapshot == 1) {
                permitted.permit(alice, address(net), 60, SOON, permit.v, permit.r, permit.s);
            }
            net.openFor(alice, bob, 60, SOON, signature, 0, "", permit);
            vm.assertEq(permitted.balanceOf(address(net)), 60, "deposit");
            closeCooperatively(60, 0);
            permit = permitOf(permitted, 1);
            signature = signOpen(ALICE_KEY, net.channelId(alice, bob, 2), 60, SOON);
        }
        // A bad permit leaves nothing to pull.
        permit.value = 1;
        signature = signOpen(ALICE_KEY, net.channelId(alice, bob, 3), 60, SOON);
        vm.expectRevert(abi.encodeWithSelector(Payouts.TokenTransferFailed.selector, address(permitted)));
        net.openFor(alice, bob, 60, SOON, signature, 0, "", permit);
    }

    function permitOf(PermitToken permitted, uint256 nonce) private view returns (TokenNetwork.Permit memory permit) {
        bytes32 typeHash =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 structHash = keccak256(abi.encode(typeHash, alice, net, 60, nonce, SOON));
        (permit.v, permit.r, permit.s) = vm.sign(
            ALICE_KEY, keccak256(abi.encodePacked(hex"1901", permitted.DOMAIN_SEPARATOR(), structHash))
        );
        (permit.value, permit.deadline) = (60, SOON);
    }

    // ----------------------------------------------------------------------------------------------------- deposit

    function test_deposit_raisesTheTotal() public {
        bytes32 id = open(10, 0);
        vm.expectEmit(address(net));
        emit TokenNetwork.ChannelNewDeposit(id, bob, 30);
        vm.prank(bob);
        net.deposit(bob, alice, 30);
        vm.prank(alice);
        net.deposit(alice, bob, 15);
        vm.assertEq(token.balanceOf(alice), 1e36 - 15, "the difference");
        TokenNetwork.ChannelView memory shown = net.channel(alice, bob);
        vm.assertEq(first() ? shown.deposit1 : shown.deposit2, 15, "alice");
        vm.assertEq(first() ? shown.deposit2 : shown.deposit1, 30, "bob");
    }

    function test_deposit_refusals() public {
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.NoOpenChannel.selector, net.channelId(alice, bob, 0)));
        net.deposit(alice, bob, 1);
        bytes32 id = open(10, 0);
        uint256 largest = type(uint104).max;
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.TotalDepositOutOfRange.selector, 10, 10, largest));
        vm.prank(alice);
        net.deposit(alice, bob, 10);
        vm.expectRevert(
            abi.encodeWithSelector(TokenNetwork.TotalDepositOutOfRange.selector, largest + 1, 10, largest)
        );
        vm.prank(alice);
        net.deposit(alice, bob, uint128(largest + 1));
        close(noProof());
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.NoOpenChannel.selector, id));
        net.deposit(alice, bob, 20);
    }

    // ---------------------------------------------------------------------------------------------------- withdraw

    function withdraw(uint128 total) private {
        bytes32 id = net.channel(alice, bob).channelId;
        bytes memory byBob = signWithdraw(BOB_KEY, id, alice, total, SOON);
        vm.prank(alice);
        net.withdraw(alice, bob, total, SOON, "", byBob);
    }

    function test_withdraw_paysTheDifference() public {
        bytes32 id = open(100, 0);
        vm.expectEmit(address(net));
        emit TokenNetwork.ChannelWithdraw(id, alice, 30);
        withdraw(30);
        withdraw(45);
        vm.assertEq(token.balanceOf(alice), 1e36 - 55, "alice");
        TokenNetwork.ChannelView memory shown = net.channel(alice, bob);
        vm.assertEq(first() ? shown.withdrawn1 : shown.withdrawn2, 45, "withdrawn");
        // The other side's is counted apart.
        bytes memory byAlice = signWithdraw(ALICE_KEY, id, bob, 55, SOON);
        bytes memory byBob = signWithdraw(BOB_KEY, id, bob, 55, SOON);
        vm.prank(stranger);
        net.withdraw(bob, alice, 55, SOON, byBob, byAlice);
        shown = net.channel(alice, bob);
        vm.assertEq(first() ? shown.withdrawn1 : shown.withdrawn2, 45, "alice's withdrawn");
        vm.assertEq(first() ? shown.withdrawn2 : shown.withdrawn1, 55, "bob's withdrawn");
        closeCooperatively(0, 0);
        vm.assertEq(token.balanceOf(address(net)), 0, "nothing left");
        // The next channel begins with none.
        open(10, 0);
        shown = net.channel(alice, bob);
        vm.assertEq(shown.withdrawn1 + shown.withdrawn2, 0, "anew");
    }

    function test_withdraw_refusals() public {
        bytes32 id = open(100, 0);
        bytes memory byBob = signWithdraw(BOB_KEY, id, alice, 30, SOON);
        bytes memory byAlice = signWithdraw(ALICE_KEY, id, alice, 30, SOON);
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, alice));
        vm.prank(stranger);
        net.withdraw(alice, bob, 30, SOON, "", byBob);
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob));
        net.withdraw(alice, bob, 30, SOON, byAlice, byAlice);
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob));
        vm.prank(alice);
        net.withdraw(alice, bob, 30, SOON, "", "");
        // For somebody else than it was signed for.
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, alice));
        vm.prank(bob);
        net.withdraw(bob, alice, 30, SOON, "", byAlice);

        withdraw(30);
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.TotalWithdrawOutOfRange.selector, 30, 30, 100));
        vm.prank(alice);
        net.withdraw(alice, bob, 30, SOON, "", byBob);
        byBob = signWithdraw(BOB_KEY, id, alice, 101, SOON);
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.TotalWithdrawOutOfRange.selector, 101, 30, 100));
        vm.prank(alice);
        net.withdraw(alice, bob, 101, SOON, "", byBob);

        byBob = signWithdraw(BOB_KEY, id, alice, 40, SOON);
        vm.warp(SOON + 1);
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.SignatureExpired.selector, SOON, SOON + 1));
        vm.prank(alice);
        net.withdraw(alice, bob, 40, SOON, "", byBob);
        vm.warp(NOW);
        close(noProof());
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.NoOpenChannel.selector, id));
        vm.prank(alice);
        net.withdraw(alice, bob, 40, SOON, "", byBob);
    }

    /// @dev Both sides together take out no more than there is.
    function test_withdraw_boundedByBothSides() public {
        bytes32 id = open(100, 50);
        withdraw(120);
        bytes memory byAlice = signWithdraw(ALICE_KEY, id, bob, 31, SOON);
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.TotalWithdrawOutOfRange.selector, 31, 0, 30));
        vm.prank(bob);
        net.withdraw(bob, alice, 31, SOON, "", byAlice);
    }

    // ------------------------------------------------------------------------------------------ closeCooperatively

    function test_closeCooperatively_paysBothAtOnce() public {
        bytes32 id = open(100, 20);
        (uint256 one, uint256 two) = first() ? (uint256(70), uint256(50)) : (uint256(50), uint256(70));
        bytes memory byAlice = signCooperativeClose(ALICE_KEY, net, id, 70, 50);
        bytes memory byBob = signCooperativeClose(BOB_KEY, net, id, 70, 50);
        vm.expectEmit(address(net));
        emit TokenNetwork.ChannelSettled(id, one, two, 0, 0, true);
        net.closeCooperatively(alice, bob, 70, 50, SOON, byAlice, byBob);
        vm.assertEq(token.balanceOf(alice), 1e36 - 30, "alice");
        vm.assertEq(token.balanceOf(bob), 1e36 + 30, "bob");
        vm.assertTrue(net.channel(alice, bob).state == TokenNetwork.State.Settled, "state");
    }

    function test_closeCooperatively_inEitherOrderAndWithoutTheCallersSignature() public {
        bytes32 id = open(100, 20);
        bytes memory byAlice = signCooperativeClose(ALICE_KEY, net, id, 70, 50);
        vm.prank(bob);
        net.closeCooperatively(bob, alice, 50, 70, SOON, "", byAlice);
        vm.assertEq(token.balanceOf(bob), 1e36 + 30, "bob");
    }

    function test_closeCooperatively_refusals() public {
        bytes32 id = open(100, 20);
        bytes memory byAlice = signCooperativeClose(ALICE_KEY, net, id, 70, 50);
        bytes memory byBob = signCooperativeClose(BOB_KEY, net, id, 70, 50);
        // Turned round, the balances are others.
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob));
        vm.prank(alice);
        net.closeCooperatively(alice, bob, 50, 70, SOON, "", byBob);
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, alice));
        vm.prank(stranger);
        net.closeCooperatively(alice, bob, 70, 50, SOON, "", byBob);
        byBob = signCooperativeClose(BOB_KEY, net, id, 70, 49);
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.BalancesNotTotal.selector, 119, 120));
        vm.prank(alice);
        net.closeCooperatively(alice, bob, 70, 49, SOON, "", byBob);
        byBob = signCooperativeClose(BOB_KEY, net, id, type(uint128).max, type(uint128).max);
        vm.expectRevert(
            abi.encodeWithSelector(TokenNetwork.BalancesNotTotal.selector, 2 * uint256(type(uint128).max), 120)
        );
        vm.prank(alice);
        net.closeCooperatively(alice, bob, type(uint128).max, type(uint128).max, SOON, "", byBob);
        byBob = signCooperativeClose(BOB_KEY, net, id, 70, 50);
        vm.warp(SOON + 1);
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.SignatureExpired.selector, SOON, SOON + 1));
        net.closeCooperatively(alice, bob, 70, 50, SOON, byAlice, byBob);
        vm.warp(NOW);
        close(noProof());
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.NoOpenChannel.selector, id));
        net.closeCooperatively(alice, bob, 70, 50, SOON, byAlice, byBob);
    }

    // ------------------------------------------------------------------------------------------------------- close

    function test_close_showsThePartnersProof() public {
        bytes32 id = open(100, 100);
        TokenNetwork.Proof memory proof;
        (proof.nonce, proof.transferred, proof.watch, proof.ref) = (7, 40, "watch", "reference");
        signed(BOB_KEY, id, proof);
        vm.expectEmit(address(net));
        emit TokenNetwork.ChannelClosed(id, alice, balanceOf(proof), "watch", NOW + PERIOD);
        close(proof);
        TokenNetwork.ChannelView memory shown = net.channel(alice, bob);
        vm.assertTrue(shown.state == TokenNetwork.State.Closed, "state");
        vm.assertEq(shown.settleAt, NOW + PERIOD, "settleAt");
    }

    function test_close_relayed() public {
        bytes32 id = open(100, 100);
        TokenNetwork.Proof memory proof = proofOf(BOB_KEY, id, 7, 40);
        bytes32 digest = proofDigest(net, id, proof);
        bytes memory other = signClose(ALICE_KEY, id, bytes32(uint256(digest) + 1));
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, alice));
        vm.prank(stranger);
        net.close(alice, bob, proof, other);
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, alice));
        vm.prank(stranger);
        net.close(alice, bob, proof, "");
        bytes memory byAlice = signClose(ALICE_KEY, id, digest);
        vm.prank(stranger);
        net.close(alice, bob, proof, byAlice);
        vm.assertTrue(net.channel(alice, bob).state == TokenNetwork.State.Closed, "state");
    }

    function test_close_relayedWithoutProof() public {
        bytes32 id = open(100, 100);
        bytes memory byAlice = signClose(ALICE_KEY, id, 0);
        vm.prank(stranger);
        net.close(alice, bob, noProof(), byAlice);
    }

    function test_close_refusals() public {
        bytes32 id = open(100, 100);
        TokenNetwork.Proof memory proof = proofOf(ALICE_KEY, id, 7, 40);
        expectNotBobs(proof);
        proof = proofOf(BOB_KEY, id, 7, 40);
        proof.transferred = 41;
        expectNotBobs(proof);
        proof = proofOf(BOB_KEY, id, 7, 40);
        proof.watch = "other";
        expectNotBobs(proof);
        proof = proofOf(BOB_KEY, id, 7, 40);
        proof.stream = "other";
        expectNotBobs(proof);
        proof = proofOf(BOB_KEY, id, 7, 40);
        proof.ref = "other";
        expectNotBobs(proof);
        proof = proofOf(BOB_KEY, id, 7, 40);
        proof.nonce = 8;
        expectNotBobs(proof);
        // Signed, but of nonce 0: not to be passed over in silence.
        proof = proofOf(BOB_KEY, id, 0, 40);
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.NonceNotIncreased.selector, 0, 0));
        vm.prank(alice);
        net.close(alice, bob, proof, "");
        close(noProof());
        proof = proofOf(BOB_KEY, id, 7, 40);
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.NoOpenChannel.selector, id));
        vm.prank(alice);
        net.close(alice, bob, proof, "");
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.NoOpenChannel.selector, id));
        vm.prank(bob);
        net.close(bob, alice, noProof(), "");
    }

    function expectNotBobs(TokenNetwork.Proof memory proof) private {
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob));
        vm.prank(alice);
        net.close(alice, bob, proof, "");
    }

    /// @dev Attack 15: with somebody else's closing one can't speak for the other side.
    function test_close_asTheOtherSide() public {
        bytes32 id = open(100, 100);
        TokenNetwork.Proof memory proof = proofOf(ALICE_KEY, id, 7, 40);
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob));
        vm.prank(alice);
        net.close(bob, alice, proof, "");
    }

    // ------------------------------------------------------------------------------------------------------- update

    function test_update_asOftenAsWithANewerProof() public {
        bytes32 id = open(100, 100);
        close(noProof());
        TokenNetwork.Proof memory one = proofOf(ALICE_KEY, id, 1, 10);
        TokenNetwork.Proof memory two = proofOf(ALICE_KEY, id, 2, 30);
        update(none(), none(), one);
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.NonceNotIncreased.selector, 1, 1));
        vm.prank(bob);
        net.update(alice, bob, none(), balanceOf(one), one, "");
        vm.expectEmit(address(net));
        emit TokenNetwork.NonClosingBalanceProofUpdated(id, alice, balanceOf(two));
        update(none(), balanceOf(one), two);
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.NonceNotIncreased.selector, 1, 2));
        vm.prank(bob);
        net.update(alice, bob, none(), balanceOf(two), one, "");
        vm.warp(NOW + PERIOD);
        net.settle(alice, bob, none(), balanceOf(two));
        vm.assertEq(token.balanceOf(bob), 1e36 + 30, "the newest counts");
    }

    function test_update_relayed() public {
        bytes32 id = open(100, 100);
        close(noProof());
        TokenNetwork.Proof memory proof = proofOf(ALICE_KEY, id, 1, 10);
        bytes memory byBob = signUpdate(BOB_KEY, id, proofDigest(net, id, proof));
        vm.prank(stranger);
        net.update(alice, bob, none(), none(), proof, byBob);
        vm.warp(NOW + PERIOD);
        net.settle(alice, bob, none(), balanceOf(proof));
        vm.assertEq(token.balanceOf(bob), 1e36 + 10, "counts");
    }

    /// @dev A closer could otherwise hand in an empty proof of the highest nonce, and nothing the other side has would count.
    function test_update_neverByTheCloser() public {
        bytes32 id = open(100, 100);
        TokenNetwork.Proof memory good = proofOf(ALICE_KEY, id, 9, 60);
        close(noProof());
        TokenNetwork.Proof memory blank = proofOf(ALICE_KEY, id, type(uint64).max, 0);
        bytes memory byAlice = signUpdate(ALICE_KEY, id, proofDigest(net, id, blank));
        address[3] memory callers = [alice, stranger, address(this)];
        for (uint256 i = 0; i < callers.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob));
            vm.prank(callers[i]);
            net.update(alice, bob, none(), none(), blank, "");
            vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob));
            vm.prank(callers[i]);
            net.update(alice, bob, none(), none(), blank, byAlice);
        }
        // An agreement to another proof is none to this.
        bytes memory byBob = signUpdate(BOB_KEY, id, proofDigest(net, id, good));
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob));
        vm.prank(stranger);
        net.update(alice, bob, none(), none(), blank, byBob);
        update(none(), none(), good);
    }

    function test_update_refusals() public {
        bytes32 id = open(100, 100);
        TokenNetwork.Proof memory proof = proofOf(ALICE_KEY, id, 1, 10);
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.NoClosedChannel.selector, id));
        vm.prank(bob);
        net.update(alice, bob, none(), none(), proof, "");
        close(noProof());
        // The balances so far must be the true ones, and the closer too.
        TokenNetwork.Balance memory wrong = balanceOf(proof);
        expectWrongBalances(id, alice, bob, wrong, none(), proof);
        expectWrongBalances(id, alice, bob, none(), wrong, proof);
        expectWrongBalances(id, bob, alice, none(), none(), proof);
        // A proof by the wrong side.
        TokenNetwork.Proof memory own = proofOf(BOB_KEY, id, 1, 10);
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, alice));
        vm.prank(bob);
        net.update(alice, bob, none(), none(), own, "");
        vm.warp(NOW + PERIOD);
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.UpdateTooLate.selector, NOW + PERIOD));
        vm.prank(bob);
        net.update(alice, bob, none(), none(), proof, "");
        vm.warp(NOW + PERIOD - 1);
        update(none(), none(), proof);
        vm.warp(NOW + PERIOD);
        net.settle(alice, bob, none(), balanceOf(proof));
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.NoClosedChannel.selector, id));
        vm.prank(bob);
        net.update(alice, bob, none(), balanceOf(proof), proof, "");
    }

    function expectWrongBalances(
        bytes32 id,
        address closer,
        address partner,
        TokenNetwork.Balance memory fromPartner,
        TokenNetwork.Balance memory known,
        TokenNetwork.Proof memory proof
    ) private {
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.WrongBalances.selector, id));
        vm.prank(partner);
        net.update(closer, partner, fromPartner, known, proof, "");
    }

    // ------------------------------------------------------------------------------------------------------- settle

    function test_settle_dividesByTheProofs() public {
        bytes32 id = open(100, 100);
        TokenNetwork.Proof memory byBob = proofOf(BOB_KEY, id, 3, 50);
        TokenNetwork.Proof memory byAlice = proofOf(ALICE_KEY, id, 4, 20);
        close(byBob);
        update(balanceOf(byBob), none(), byAlice);
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.SettleTooEarly.selector, NOW + PERIOD));
        net.settle(alice, bob, balanceOf(byBob), balanceOf(byAlice));
        vm.warp(NOW + PERIOD);
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.WrongBalances.selector, id));
        net.settle(alice, bob, balanceOf(byBob), none());
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.WrongBalances.selector, id));
        net.settle(bob, alice, balanceOf(byAlice), balanceOf(byBob));
        (uint256 one, uint256 two) = first() ? (uint256(130), uint256(70)) : (uint256(70), uint256(130));
        vm.expectEmit(address(net));
        emit TokenNetwork.ChannelSettled(id, one, two, 0, 0, false);
        vm.prank(stranger);
        net.settle(alice, bob, balanceOf(byBob), balanceOf(byAlice));
        vm.assertEq(token.balanceOf(alice), 1e36 + 30, "alice");
        vm.assertEq(token.balanceOf(bob), 1e36 - 30, "bob");
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.NoClosedChannel.selector, id));
        net.settle(alice, bob, balanceOf(byBob), balanceOf(byAlice));
    }

    function test_settle_withWithdrawals() public {
        bytes32 id = open(100, 100);
        withdraw(60);
        TokenNetwork.Proof memory byBob = proofOf(BOB_KEY, id, 3, 50);
        close(byBob);
        TokenNetwork.ChannelView memory shown = net.channel(alice, bob);
        vm.assertEq(shown.withdrawn1 + shown.withdrawn2, 60, "shown while closed");
        vm.warp(NOW + PERIOD);
        net.settle(alice, bob, balanceOf(byBob), none());
        vm.assertEq(token.balanceOf(alice), 1e36 + 50, "alice: 100 - 60 + 50 on top of 60");
        vm.assertEq(token.balanceOf(bob), 1e36 - 50, "bob");
        vm.assertEq(token.balanceOf(address(net)), 0, "contract");
    }

    /// @dev Attack 2: sums at the edge of 128 bits neither revert nor wrap.
    function test_settle_enormousProofs() public {
        bytes32 id = open(100, 100);
        TokenNetwork.Proof memory byBob;
        (byBob.nonce, byBob.transferred, byBob.locked) = (1, type(uint128).max, type(uint128).max);
        byBob.locksroot = "root";
        signed(BOB_KEY, id, byBob);
        TokenNetwork.Proof memory byAlice = proofOf(ALICE_KEY, id, 1, type(uint128).max);
        close(byBob);
        update(balanceOf(byBob), none(), byAlice);
        vm.warp(NOW + PERIOD);
        net.settle(alice, bob, balanceOf(byBob), balanceOf(byAlice));
        // Bob is behind by his locks: all that there is may belong to alice, if they are hers.
        vm.assertEq(token.balanceOf(alice), 1e36 - 100, "alice");
        vm.assertEq(token.balanceOf(bob), 1e36 - 100, "bob");
        vm.assertEq(token.balanceOf(address(net)), 200, "locked");
    }

    /// @dev Attack 1: whoever presents an older proof gets no more than with the latest.
    function test_settle_staleProofHelpsNobody() public {
        bytes32 id = open(100, 100);
        TokenNetwork.Proof memory old = proofOf(BOB_KEY, id, 3, 50);
        TokenNetwork.Proof memory byAlice = proofOf(ALICE_KEY, id, 4, 20);
        // Bob paid 80 in all since. Alice presents the old one.
        close(old);
        update(balanceOf(old), none(), byAlice);
        vm.warp(NOW + PERIOD);
        net.settle(alice, bob, balanceOf(old), balanceOf(byAlice));
        vm.assertEq(token.balanceOf(alice), 1e36 + 30, "less than the 60 of the latest");
    }

    // --------------------------------------------------------------------------------------------------- reopening

    /// @dev Attack 4: nothing that was signed for one channel counts in another.
    function test_replay_inTheNextChannel() public {
        bytes32 id = open(100, 100);
        TokenNetwork.Proof memory proof = proofOf(BOB_KEY, id, 7, 40);
        bytes memory byBob = signWithdraw(BOB_KEY, id, alice, 40, SOON);
        bytes memory together = signCooperativeClose(BOB_KEY, net, id, 150, 50);
        closeCooperatively(100, 100);
        open(100, 100);
        expectNotBobs(proof);
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob));
        vm.prank(alice);
        net.withdraw(alice, bob, 40, SOON, "", byBob);
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob));
        vm.prank(alice);
        net.closeCooperatively(alice, bob, 150, 50, SOON, "", together);
    }

    function test_replay_inAnotherNetworkOrChain() public {
        bytes32 id = open(100, 100);
        TokenNetwork.Proof memory proof = proofOf(BOB_KEY, id, 7, 40);
        TokenNetwork tokens = net;
        net = eth;
        vm.prank(alice);
        bytes32 other = eth.open{value: 100}(bob, 100, 0, "");
        vm.assertTrue(other != id, "the pair's channels have an id of their own in each network");
        expectNotBobs(proof);
        net = tokens;
        vm.chainId(block.chainid + 1);
        expectNotBobs(proof);
        vm.chainId(block.chainid - 1);
        close(proof);
    }

    /// @dev Types differ, so a signature of one message is none of another.
    function test_replay_asAnotherMessage() public {
        bytes32 id = open(100, 100);
        TokenNetwork.Proof memory proof = proofOf(BOB_KEY, id, 7, 40);
        bytes memory asUpdate = signUpdate(ALICE_KEY, id, proofDigest(net, id, proof));
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, alice));
        vm.prank(stranger);
        net.close(alice, bob, proof, asUpdate);
    }

    // --------------------------------------------------------------------------------------------------- hash chain

    function chain(bytes32 seed, uint256 steps) private pure returns (bytes32 link) {
        link = seed;
        for (uint256 i = 0; i < steps; ++i) {
            link = sha256(abi.encode(link));
        }
    }

    function streamed(bytes32 id, uint128 transferred, uint128 unit, uint32 length)
        private
        view
        returns (TokenNetwork.Proof memory proof)
    {
        proof.nonce = 1;
        proof.transferred = transferred;
        proof.stream = keccak256(abi.encode(chain("seed", length), unit, length));
        return signed(BOB_KEY, id, proof);
    }

    function test_steps_payOnTop() public {
        bytes32 id = open(100, 1000);
        TokenNetwork.Proof memory proof = streamed(id, 10, 5, 20);
        proof.steps = abi.encode(chain("seed", 20 - 8), uint128(5), uint32(20), uint32(8));
        TokenNetwork.Balance memory balance = balanceOf(proof);
        balance.transferred = 10 + 8 * 5;
        vm.expectEmit(address(net));
        emit TokenNetwork.ChannelClosed(id, alice, balance, 0, NOW + PERIOD);
        close(proof);
        vm.warp(NOW + PERIOD);
        net.settle(alice, bob, balance, none());
        vm.assertEq(token.balanceOf(alice), 1e36 + 50, "paid");
    }

    function test_steps_noneAndAll() public {
        bytes32 id = open(100, 1000);
        TokenNetwork.Proof memory proof = streamed(id, 10, 5, 1024);
        uint256[3] memory counts = [uint256(0), 1, 1024];
        for (uint256 i = 0; i < 3; ++i) {
            proof.steps = abi.encode(chain("seed", 1024 - counts[i]), uint128(5), uint32(1024), uint32(counts[i]));
            close(proof);
            TokenNetwork.Balance memory balance = balanceOf(proof);
            balance.transferred += uint128(counts[i] * 5);
            vm.warp(block.timestamp + PERIOD);
            net.settle(alice, bob, balance, none());
            id = open(100, 1000);
            proof = streamed(id, 10, 5, 1024);
        }
    }

    function test_steps_refusals() public {
        bytes32 id = open(100, 1000);
        TokenNetwork.Proof memory proof = streamed(id, 10, 5, 20);
        bytes32 link = chain("seed", 12);
        bytes[6] memory wrong = [
            abi.encode(link, uint128(6), uint32(20), uint32(8)),
            abi.encode(link, uint128(5), uint32(21), uint32(8)),
            abi.encode(link, uint128(5), uint32(20), uint32(9)),
            abi.encode(link, uint128(5), uint32(20), uint32(7)),
            abi.encode(bytes32("other"), uint128(5), uint32(20), uint32(8)),
            // More steps than the chain is long.
            abi.encode(bytes32("before the seed"), uint128(5), uint32(20), uint32(21))
        ];
        uint256[6] memory counts = [uint256(8), 8, 9, 7, 8, 21];
        for (uint256 i = 0; i < wrong.length; ++i) {
            proof.steps = wrong[i];
            vm.expectRevert(abi.encodeWithSelector(TokenNetwork.StepsInvalid.selector, proof.stream, counts[i]));
            vm.prank(alice);
            net.close(alice, bob, proof, "");
        }
        // Steps without a chain.
        proof = proofOf(BOB_KEY, id, 1, 10);
        proof.steps = abi.encode(link, uint128(5), uint32(20), uint32(8));
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.StepsInvalid.selector, 0, 8));
        vm.prank(alice);
        net.close(alice, bob, proof, "");
    }

    /// @dev A seed of which a hash is the seed of the chain would lead further than its length.
    function test_steps_longerThanTheChainOrTooMany() public {
        bytes32 id = open(100, 1000);
        TokenNetwork.Proof memory proof;
        proof.nonce = 1;
        proof.stream = keccak256(abi.encode(chain("seed", 10), uint128(5), uint32(9)));
        signed(BOB_KEY, id, proof);
        proof.steps = abi.encode(bytes32("seed"), uint128(5), uint32(9), uint32(10));
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.StepsInvalid.selector, proof.stream, 10));
        vm.prank(alice);
        net.close(alice, bob, proof, "");
        proof.stream = keccak256(abi.encode(chain("seed", 1025), uint128(5), uint32(2000)));
        signed(BOB_KEY, id, proof);
        proof.steps = abi.encode(bytes32("seed"), uint128(5), uint32(2000), uint32(1025));
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.StepsInvalid.selector, proof.stream, 1025));
        vm.prank(alice);
        net.close(alice, bob, proof, "");
    }

    function test_steps_beyond128Bits() public {
        bytes32 id = open(100, 1000);
        TokenNetwork.Proof memory proof = streamed(id, 10, type(uint128).max, 20);
        proof.steps = abi.encode(chain("seed", 19), type(uint128).max, uint32(20), uint32(1));
        vm.expectRevert(
            abi.encodeWithSelector(TokenNetwork.TransferredTooLarge.selector, uint256(type(uint128).max) + 10)
        );
        vm.prank(alice);
        net.close(alice, bob, proof, "");
    }
}
