// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Payouts} from "../../src/contracts/solidity/Payouts.sol";
import {Signatures} from "../../src/contracts/solidity/Signatures.sol";
import {TokenNetwork} from "../../src/contracts/solidity/TokenNetwork.sol";
import {ChannelFixture} from "./ChannelFixture.sol";
import {BurningToken, FalseToken, FeeToken, HookToken, Receiver, SilentToken} from "./Hostile.sol";

/// @dev Batches, tokens and receivers of all kinds (attacks 17 and 18).
contract TokenNetworkMoneyTest is ChannelFixture {
    function setUp() public {
        begin();
    }

    function networkOf(address token_) private {
        net = registry.createTokenNetwork(token_);
    }

    function fund(function(address, uint256) external mint, function(address, uint256) external returns (bool) approve)
        private
    {
        address[2] memory accounts = [alice, bob];
        for (uint256 i = 0; i < 2; ++i) {
            mint(accounts[i], 1000);
            vm.prank(accounts[i]);
            approve(address(net), type(uint256).max);
        }
    }

    // ------------------------------------------------------------------------------------------------------ tokens

    function test_token_thatReturnsNothing() public {
        SilentToken silent = new SilentToken();
        networkOf(address(silent));
        fund(silent.mint, silent.approve);
        open(100, 50);
        closeCooperatively(20, 130);
        vm.assertEq(silent.balanceOf(alice), 920, "alice");
        vm.assertEq(silent.balanceOf(bob), 1080, "bob");
    }

    function test_token_thatReturnsFalse() public {
        FalseToken falsely = new FalseToken();
        networkOf(address(falsely));
        fund(falsely.mint, falsely.approve);
        open(100, 50);
        falsely.refuse(true);
        vm.expectRevert(abi.encodeWithSelector(Payouts.TokenTransferFailed.selector, address(falsely)));
        vm.prank(alice);
        net.deposit(alice, bob, 200);
        closeCooperatively(20, 130);
        vm.assertEq(net.credit(alice), 20, "alice");
        vm.assertEq(net.credit(bob), 130, "bob");
        vm.expectRevert(abi.encodeWithSelector(Payouts.WithdrawFailed.selector, address(falsely), bob));
        vm.prank(bob);
        net.withdrawCredit(bob);
        falsely.refuse(false);
        vm.prank(bob);
        net.withdrawCredit(stranger);
        vm.assertEq(falsely.balanceOf(stranger), 130, "elsewhere");
        vm.assertEq(net.credit(bob), 0, "used up");
    }

    function test_token_thatTakesAFee() public {
        FeeToken fee = new FeeToken();
        networkOf(address(fee));
        fund(fee.mint, fee.approve);
        vm.expectRevert(abi.encodeWithSelector(Payouts.TokenTookFee.selector, address(fee), 99, 100));
        vm.prank(alice);
        net.open(bob, 100, 0, "");
        vm.prank(alice);
        net.open(bob, 0, 0, "");
        vm.expectRevert(abi.encodeWithSelector(Payouts.TokenTookFee.selector, address(fee), 198, 200));
        vm.prank(alice);
        net.deposit(alice, bob, 200);
    }

    /// @dev A blocked side keeps the other from nothing.
    function test_token_thatBlocksOneSide() public {
        bytes32 id = open(100, 50);
        TokenNetwork.Proof memory proof = proofOf(BOB_KEY, id, 1, 30);
        close(proof);
        token.setBlocked(alice, true);
        vm.warp(NOW + PERIOD);
        vm.expectEmit(address(net));
        emit Payouts.Credited(address(token), alice, 130);
        net.settle(alice, bob, balanceOf(proof), none());
        vm.assertEq(token.balanceOf(bob), 1e36 - 30, "bob");
        vm.assertEq(net.credit(alice), 130, "alice");
        vm.expectEmit(address(net));
        emit Payouts.Withdrawn(address(token), alice, stranger, 130);
        vm.prank(alice);
        net.withdrawCredit(stranger);
        vm.expectRevert(abi.encodeWithSelector(Payouts.NothingToWithdraw.selector, address(token), alice));
        vm.prank(alice);
        net.withdrawCredit(stranger);
        vm.expectRevert(abi.encodeWithSelector(Payouts.NothingToWithdraw.selector, address(token), bob));
        vm.prank(bob);
        net.withdrawCredit(address(0));
    }

    function test_token_thatBlocksTheReceiverOfLocks() public {
        Lock[] memory locks = locksOf(2, uint40(NOW + 7 days), 0);
        reveal(0, 2);
        (, uint128 locked) = settleWith(locks);
        token.setBlocked(bob, true);
        unlock(locked, encode(locks, 3, false));
        vm.assertEq(net.credit(bob), 21, "bob");
    }

    function test_token_thatBurnsAllGas() public {
        BurningToken burning = new BurningToken();
        networkOf(address(burning));
        fund(burning.mint, burning.approve);
        bytes32 id = open(100, 0);
        burning.burn(true);
        bytes memory byBob = signCooperativeClose(BOB_KEY, net, id, 60, 40);
        vm.prank(alice);
        net.closeCooperatively{gas: 500_000}(alice, bob, 60, 40, SOON, "", byBob);
        vm.assertEq(net.credit(alice), 60, "alice");
        vm.assertEq(net.credit(bob), 40, "bob");
    }

    /// @dev A push that is given too little gas must not turn into credit (and the caller's gas must pay for it all).
    function test_push_cannotBeStarved() public {
        bytes32 id = open(100, 0);
        bytes memory byBob = signCooperativeClose(BOB_KEY, net, id, 60, 40);
        bytes memory byAlice = signCooperativeClose(ALICE_KEY, net, id, 60, 40);
        for (uint256 gasLimit = 40_000; gasLimit < 200_000; gasLimit += 1_009) {
            try net.closeCooperatively{gas: gasLimit}(alice, bob, 60, 40, SOON, byAlice, byBob) {
                break;
            } catch {}
        }
        vm.assertEq(net.credit(alice) + net.credit(bob), 0, "credit");
        vm.assertEq(token.balanceOf(bob), 1e36 + 40, "bob");
    }

    // --------------------------------------------------------------------------------------------------------- ETH

    function ethChannelWith(Receiver receiver) private returns (bytes32 id) {
        vm.prank(alice);
        id = eth.open{value: 100}(address(receiver), 100, 0, "");
    }

    function test_eth_receiversOfAllKinds() public {
        for (uint256 mode = 0; mode < 6; ++mode) {
            Receiver receiver = new Receiver(Receiver.Mode(mode));
            ethChannelWith(receiver);
            bytes memory call = abi.encodeCall(eth.close, (address(receiver), alice, noProof(), bytes("")));
            receiver.execute(address(eth), call);
            uint256 before = alice.balance;
            vm.warp(block.timestamp + PERIOD);
            eth.settle(address(receiver), alice, none(), none());
            vm.assertEq(alice.balance - before, 100, "alice");
        }
    }

    function test_eth_receiverThatRefusesGetsCredit() public {
        Receiver receiver = new Receiver(Receiver.Mode.Revert);
        bytes32 id = ethChannelWith(receiver);
        bytes32 typeHash =
            keccak256("CooperativeClose(bytes32 channelId,uint128 balance1,uint128 balance2,uint64 validUntil)");
        (uint256 one, uint256 two) = alice < address(receiver) ? (uint256(30), uint256(70)) : (uint256(70), uint256(30));
        bytes memory byAlice = sign(ALICE_KEY, digestOf(eth, keccak256(abi.encode(typeHash, id, one, two, SOON))));
        bytes memory call =
            abi.encodeCall(eth.closeCooperatively, (alice, address(receiver), 30, 70, SOON, byAlice, bytes("")));
        receiver.execute(address(eth), call);
        vm.assertEq(eth.credit(address(receiver)), 70, "credit");
        vm.assertEq(address(eth).balance, 70, "held");
        receiver.execute(address(eth), abi.encodeCall(eth.withdrawCredit, (stranger)));
        vm.assertEq(address(eth).balance, 0, "paid");
    }

    // -------------------------------------------------------------------------------------------------- reentrancy

    /// @dev Everything that moves money, called back by a token in the middle of a deposit and of a payout.
    function test_reentrancy_isRefused() public {
        HookToken hook = new HookToken();
        networkOf(address(hook));
        fund(hook.mint, hook.approve);
        bytes32 id = open(100, 50);
        bytes[9] memory calls = [
            abi.encodeCall(net.addSessionKey, (alice, bob, session, "")),
            abi.encodeCall(net.open, (stranger, 0, 0, "")),
            abi.encodeCall(net.deposit, (alice, bob, 150)),
            abi.encodeCall(net.withdraw, (alice, bob, 1, SOON, "", "")),
            abi.encodeCall(net.closeCooperatively, (alice, bob, 100, 50, SOON, "", "")),
            abi.encodeCall(net.settle, (alice, bob, none(), none())),
            abi.encodeCall(net.unlock, (alice, bob, 1, 0, nothingLeft(), "")),
            abi.encodeCall(net.withdrawCredit, (alice)),
            abi.encodeCall(net.batch, (new bytes[](0)))
        ];
        bytes32 expected = keccak256(abi.encodeWithSelector(Payouts.Reentered.selector));
        for (uint256 i = 0; i < calls.length; ++i) {
            hook.arm(address(net), calls[i]);
            vm.prank(alice);
            net.deposit(alice, bob, uint128(101 + i));
            vm.assertFalse(hook.hookSucceeded(), "in a deposit");
            vm.assertEq(keccak256(hook.hookAnswer()), expected, "its reason");
        }
        // In a batch too, where a guard that is lifted between its calls would let others in.
        bytes[] memory batch = new bytes[](2);
        batch[0] = abi.encodeCall(net.deposit, (alice, bob, 110));
        batch[1] = abi.encodeCall(net.deposit, (alice, bob, 111));
        for (uint256 i = 7; i < 9; ++i) {
            hook.arm(address(net), calls[i]);
            (batch[0], batch[1]) = (
                abi.encodeCall(net.deposit, (alice, bob, uint128(100 + 10 * i))),
                abi.encodeCall(net.deposit, (alice, bob, uint128(101 + 10 * i)))
            );
            vm.prank(alice);
            net.batch(batch);
            vm.assertFalse(hook.hookSucceeded(), "in a batch");
            vm.assertEq(keccak256(hook.hookAnswer()), expected, "its reason");
        }
        hook.arm(address(net), calls[5]);
        vm.assertEq(net.channel(alice, bob).channelId, id, "still there");
        closeCooperatively(181, 50);
        vm.assertFalse(hook.hookSucceeded(), "in a payout");
    }

    /// @dev A receiver that closes another of its channels when it is paid.
    function test_reentrancy_byAReceiverOfEth() public {
        Receiver receiver = new Receiver(Receiver.Mode.Accept);
        ethChannelWith(receiver);
        receiver.execute(address(eth), abi.encodeCall(eth.close, (address(receiver), alice, noProof(), bytes(""))));
        vm.prank(alice);
        bytes32 id = eth.open{value: 7}(bob, 7, 0, "");
        receiver.setMode(Receiver.Mode.Call);
        receiver.arm(address(eth), abi.encodeCall(eth.withdrawCredit, (stranger)));
        vm.warp(NOW + PERIOD);
        eth.settle(address(receiver), alice, none(), none());
        vm.assertFalse(receiver.callSucceeded(), "called back");
        vm.assertEq(eth.channel(alice, bob).channelId, id, "the other channel");
        vm.assertEq(address(eth).balance, 7, "its money");
    }

    // ------------------------------------------------------------------------------------------------------- batch

    function test_batch_manyCallsWithOneSum() public {
        bytes[] memory calls = new bytes[](3);
        calls[0] = abi.encodeCall(eth.open, (bob, 30, 0, ""));
        calls[1] = abi.encodeCall(eth.deposit, (bob, alice, 12));
        calls[2] = abi.encodeCall(eth.open, (stranger, 8, 0, ""));
        vm.prank(alice);
        eth.batch{value: 50}(calls);
        TokenNetwork.ChannelView memory shown = eth.channel(alice, bob);
        vm.assertEq(first() ? shown.deposit1 : shown.deposit2, 30, "alice opened");
        vm.assertEq(first() ? shown.gift2 : shown.gift1, 12, "for bob");
        shown = eth.channel(alice, stranger);
        vm.assertEq(shown.deposit1 + shown.deposit2, 8, "another");
        vm.assertEq(address(eth).balance, 50, "held");
    }

    function test_batch_toTheLastWei() public {
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(eth.open, (bob, 30, 0, ""));
        calls[1] = abi.encodeCall(eth.open, (stranger, 20, 0, ""));
        vm.expectRevert(abi.encodeWithSelector(Payouts.WrongValue.selector, 51, 50));
        vm.prank(alice);
        eth.batch{value: 51}(calls);
        // The same ETH can't pay twice.
        vm.expectRevert(abi.encodeWithSelector(Payouts.WrongValue.selector, 19, 20));
        vm.prank(alice);
        eth.batch{value: 49}(calls);
        vm.deal(address(eth), 1000);
        vm.expectRevert(abi.encodeWithSelector(Payouts.WrongValue.selector, 0, 30));
        vm.prank(alice);
        eth.batch(calls);
        // Nor can ETH get into a network of a token.
        calls = new bytes[](1);
        calls[0] = abi.encodeCall(net.open, (bob, 0, 0, ""));
        vm.expectRevert(abi.encodeWithSelector(Payouts.WrongValue.selector, 1, 0));
        vm.prank(alice);
        net.batch{value: 1}(calls);
        vm.expectRevert(abi.encodeWithSelector(Payouts.WrongValue.selector, 1, 0));
        vm.prank(alice);
        net.batch{value: 1}(new bytes[](0));
    }

    function test_batch_allOrNothing() public {
        bytes32 id = open(10, 0);
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(net.deposit, (alice, bob, 20));
        calls[1] = abi.encodeCall(net.open, (bob, 0, 0, ""));
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.PairHasChannel.selector, id));
        vm.prank(alice);
        net.batch(calls);
        vm.assertEq(token.balanceOf(address(net)), 10, "nothing");
        // One after the other: nothing of a batch stays behind to spoil the next call.
        calls[1] = abi.encodeCall(net.open, (stranger, 5, 0, ""));
        vm.prank(alice);
        net.batch(calls);
        vm.prank(alice);
        net.deposit(alice, bob, 30);
        vm.assertEq(token.balanceOf(address(net)), 35, "all");
    }

    /// @dev A batch is its caller's: calls in it are checked as if made alone.
    function test_batch_speaksForItsCallerOnly() public {
        open(10, 0);
        bytes[] memory calls = new bytes[](1);
        calls[0] = abi.encodeCall(net.close, (alice, bob, noProof(), ""));
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, alice));
        vm.prank(stranger);
        net.batch(calls);
        vm.prank(alice);
        net.batch(calls);
        // Not in one another, which would spend ETH twice.
        bytes[] memory outer = new bytes[](1);
        outer[0] = abi.encodeCall(net.batch, (calls));
        vm.expectRevert(abi.encodeWithSelector(Payouts.Reentered.selector));
        net.batch(outer);
    }

    /// @dev Ends and begins in one go, with ETH for what begins.
    function test_batch_mixesWhatPaysInAndWhatPaysOut() public {
        vm.prank(alice);
        bytes32 id = eth.open{value: 100}(bob, 100, 0, "");
        bytes memory byBob = signCooperativeClose(BOB_KEY, eth, id, 60, 40);
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(eth.closeCooperatively, (alice, bob, 60, 40, SOON, "", byBob));
        calls[1] = abi.encodeCall(eth.open, (bob, 25, 0, ""));
        uint256 before = alice.balance;
        vm.prank(alice);
        eth.batch{value: 25}(calls);
        vm.assertEq(alice.balance, before + 60 - 25, "alice");
        vm.assertEq(address(eth).balance, 25, "held");
    }
}
