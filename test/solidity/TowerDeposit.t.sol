// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Payouts} from "../../src/contracts/solidity/Payouts.sol";
import {Signatures} from "../../src/contracts/solidity/Signatures.sol";
import {TokenNetwork} from "../../src/contracts/solidity/TokenNetwork.sol";
import {TokenNetworkRegistry} from "../../src/contracts/solidity/TokenNetworkRegistry.sol";
import {TowerDeposit} from "../../src/contracts/solidity/TowerDeposit.sol";
import {ChannelFixture} from "./ChannelFixture.sol";
import {FeeToken, Receiver} from "./Hostile.sol";

/// @dev Says yes to every update, of any channel: somebody's own network. It can name a token that has a network.
contract FakeNetwork {
    bytes32 private immutable id;
    address public immutable token;

    constructor(bytes32 id_, address token_) {
        (id, token) = (id_, token_);
    }

    function update(
        address,
        address,
        TokenNetwork.Balance calldata,
        TokenNetwork.Balance calldata,
        TokenNetwork.Proof calldata,
        bytes calldata
    ) external {}

    function channel(address, address) external view returns (TokenNetwork.ChannelView memory shown) {
        shown.channelId = id;
    }
}

/// @dev alice closes; bob is the client whom stranger, the tower, serves.
contract TowerDepositTest is ChannelFixture {
    uint32 private constant DELAY = 2 * PERIOD;
    address private constant ANYONE = address(0);

    TowerDeposit private towers;
    bytes32 private id;

    function setUp() public {
        begin();
        towers = TowerDeposit(deploy("TowerDeposit", abi.encode(registry, address(0), DELAY)));
        towers.deposit{value: 100}(bob, 100);
        id = open(500, 500);
    }

    function signReward(uint256 key, address network, uint64 nonce, address tower, uint128 amount)
        private
        view
        returns (TowerDeposit.Reward memory)
    {
        bytes32 typeHash =
            keccak256("TowerReward(address tokenNetwork,bytes32 channelId,uint64 nonce,address tower,uint128 amount)");
        bytes32 structHash = keccak256(abi.encode(typeHash, network, id, nonce, tower, amount));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", towers.DOMAIN_SEPARATOR(), structHash));
        return TowerDeposit.Reward(tower, amount, sign(key, digest));
    }

    function show(TokenNetwork.Balance memory known, TokenNetwork.Proof memory proof, TowerDeposit.Reward memory reward)
        private
    {
        bytes memory byBob = signUpdate(BOB_KEY, id, proofDigest(net, id, proof));
        vm.prank(stranger);
        towers.update(net, alice, bob, none(), known, proof, byBob, reward);
    }

    function depositOf(address client) private view returns (uint256 amount) {
        (amount,,) = towers.accounts(client);
    }

    function test_update_showsTheProofAndSetsTheRewardAside() public {
        close(noProof());
        TokenNetwork.Proof memory proof = proofOf(ALICE_KEY, id, 4, 40);
        TowerDeposit.Reward memory reward = signReward(BOB_KEY, address(net), 4, ANYONE, 30);
        show(none(), proof, reward);
        vm.assertEq(depositOf(bob), 70, "set aside");
        (address tower, uint64 nonce, uint104 amount, uint40 claimAt) = towers.claims(address(net), id);
        vm.assertEq(tower, stranger, "tower");
        vm.assertEq(nonce, 4, "nonce");
        vm.assertEq(amount, 30, "amount");
        vm.assertEq(claimAt, NOW + PERIOD, "time");

        vm.expectRevert(abi.encodeWithSelector(TowerDeposit.ClaimTooEarly.selector, NOW + PERIOD));
        towers.claim(address(net), id);
        vm.warp(NOW + PERIOD);
        net.settle(alice, bob, none(), balanceOf(proof));
        vm.assertEq(token.balanceOf(bob), 1e36 + 40, "the proof counted");
        uint256 before = stranger.balance;
        vm.expectEmit(address(towers));
        emit TowerDeposit.RewardClaimed(address(net), id, stranger, 30);
        towers.claim(address(net), id);
        vm.assertEq(stranger.balance - before, 30, "paid");
        vm.expectRevert(abi.encodeWithSelector(TowerDeposit.NoReward.selector, address(net), id));
        towers.claim(address(net), id);
        vm.assertEq(address(towers).balance, 70, "held");
    }

    function test_update_newerProofTakesThePlace() public {
        close(noProof());
        TokenNetwork.Proof memory one = proofOf(ALICE_KEY, id, 4, 40);
        TokenNetwork.Proof memory two = proofOf(ALICE_KEY, id, 5, 50);
        TowerDeposit.Reward memory forOne = signReward(BOB_KEY, address(net), 4, ANYONE, 80);
        TowerDeposit.Reward memory forTwo = signReward(BOB_KEY, address(net), 5, session, 90);
        show(none(), one, forOne);
        // More than is left, but the first reward is free again.
        show(balanceOf(one), two, forTwo);
        vm.assertEq(depositOf(bob), 10, "one reward");
        // Attack 16: an older proof can't win it back.
        bytes memory byBob = signUpdate(BOB_KEY, id, proofDigest(net, id, one));
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.NonceNotIncreased.selector, 4, 5));
        vm.prank(stranger);
        towers.update(net, alice, bob, none(), balanceOf(two), one, byBob, forOne);
        vm.warp(NOW + PERIOD);
        towers.claim(address(net), id);
        vm.assertEq(session.balance, 90, "the named tower, whoever sent it");
    }

    function test_update_rewardMustBeTheClients() public {
        close(noProof());
        TokenNetwork.Proof memory proof = proofOf(ALICE_KEY, id, 4, 40);
        bytes memory byBob = signUpdate(BOB_KEY, id, proofDigest(net, id, proof));
        TowerDeposit.Reward[5] memory wrong = [
            signReward(ALICE_KEY, address(net), 4, ANYONE, 30),
            signReward(BOB_KEY, address(eth), 4, ANYONE, 30),
            signReward(BOB_KEY, address(net), 5, ANYONE, 30),
            signReward(BOB_KEY, address(net), 4, session, 30),
            signReward(BOB_KEY, address(net), 4, ANYONE, 31)
        ];
        wrong[3].tower = stranger;
        wrong[4].amount = 32;
        for (uint256 i = 0; i < wrong.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob));
            vm.prank(stranger);
            towers.update(net, alice, bob, none(), none(), proof, byBob, wrong[i]);
        }
    }

    /// @dev A session key signs rewards where it is registered for the client.
    function test_update_rewardByASessionKey() public {
        TowerDeposit.Reward memory reward = signReward(SESSION_KEY, address(net), 4, ANYONE, 30);
        TokenNetwork.Proof memory proof = proofOf(ALICE_KEY, id, 4, 40);
        bytes memory byBob = signUpdate(BOB_KEY, id, proofDigest(net, id, proof));
        vm.prank(alice);
        net.addSessionKey(alice, bob, session, ""); // for the other side
        vm.expectRevert(abi.encodeWithSelector(TokenNetwork.NoClosedChannel.selector, id));
        towers.update(net, alice, bob, none(), none(), proof, byBob, reward);
        bytes memory delegation = signDelegation(BOB_KEY, bob, session);
        bytes memory alone = reward.signature;
        for (uint256 i = 0; i < 2; ++i) {
            if (i == 1) net.addSessionKey(bob, alice, session, delegation);
            if (i == 1) close(noProof());
            reward.signature = i == 0 ? alone : abi.encodePacked(alone, delegation);
            if (i == 1) vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob));
            else vm.expectRevert(abi.encodeWithSelector(TokenNetwork.NoClosedChannel.selector, id));
            towers.update(net, alice, bob, none(), none(), proof, byBob, reward);
        }
        reward.signature = alone;
        vm.prank(stranger);
        towers.update(net, alice, bob, none(), none(), proof, byBob, reward);
        vm.assertEq(depositOf(bob), 70, "set aside");
    }

    function test_update_withoutTheClientsAgreement() public {
        close(noProof());
        TokenNetwork.Proof memory proof = proofOf(ALICE_KEY, id, 4, 40);
        TowerDeposit.Reward memory reward = signReward(BOB_KEY, address(net), 4, ANYONE, 30);
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob));
        vm.prank(stranger);
        towers.update(net, alice, bob, none(), none(), proof, "", reward);
    }

    function test_update_uncovered() public {
        close(noProof());
        TokenNetwork.Proof memory proof = proofOf(ALICE_KEY, id, 4, 40);
        bytes memory byBob = signUpdate(BOB_KEY, id, proofDigest(net, id, proof));
        TowerDeposit.Reward memory reward = signReward(BOB_KEY, address(net), 4, ANYONE, 101);
        vm.expectRevert(abi.encodeWithSelector(TowerDeposit.RewardUncovered.selector, bob, 100, 101));
        vm.prank(stranger);
        towers.update(net, alice, bob, none(), none(), proof, byBob, reward);
        towers.deposit{value: 1}(bob, 1);
        vm.prank(stranger);
        towers.update(net, alice, bob, none(), none(), proof, byBob, reward);
        vm.assertEq(depositOf(bob), 0, "all of it");
    }

    /// @dev Attack 16: a network of somebody's own takes nothing that was signed for the real one, and earns nobody a reward,
    /// even with the client's: the client would have its deposit back without the delay that towers count on.
    function test_update_ofAFakeNetwork() public {
        address[3] memory tokens = [address(token), address(0), address(0xdead)];
        for (uint256 i = 0; i < 3; ++i) {
            FakeNetwork fake = new FakeNetwork(id, tokens[i]);
            TokenNetwork.Proof memory proof = proofOf(ALICE_KEY, id, 4, 40);
            TowerDeposit.Reward memory reward = signReward(BOB_KEY, address(fake), 4, ANYONE, 30);
            vm.expectRevert(abi.encodeWithSelector(TowerDeposit.NetworkUnknown.selector, address(fake)));
            vm.prank(stranger);
            towers.update(TokenNetwork(address(fake)), alice, bob, none(), none(), proof, "", reward);
        }
        vm.assertEq(depositOf(bob), 100, "what towers count on");
    }

    /// @dev A network of another registry is no better: anyone can make one, with a period of a second.
    function test_update_ofAnotherRegistry() public {
        TokenNetworkRegistry other = TokenNetworkRegistry(deploy("TokenNetworkRegistry", abi.encode(uint32(1), secrets)));
        TokenNetwork network = other.createTokenNetwork(address(0));
        TokenNetwork.Proof memory proof;
        TowerDeposit.Reward memory reward = signReward(BOB_KEY, address(network), 4, ANYONE, 30);
        vm.expectRevert(abi.encodeWithSelector(TowerDeposit.NetworkUnknown.selector, address(network)));
        towers.update(network, alice, bob, none(), none(), proof, "", reward);
    }

    // ---------------------------------------------------------------------------------------------------- deposits

    function test_deposit_byAnyone() public {
        vm.expectEmit(address(towers));
        emit TowerDeposit.Deposited(bob, alice, 5, 105);
        vm.prank(alice);
        towers.deposit{value: 5}(bob, 5);
        uint256 largest = uint256(type(uint104).max) - 105;
        vm.expectRevert(abi.encodeWithSelector(TowerDeposit.TowerDepositOutOfRange.selector, 0, largest));
        towers.deposit(bob, 0);
        vm.deal(alice, type(uint128).max);
        vm.expectRevert(abi.encodeWithSelector(TowerDeposit.TowerDepositOutOfRange.selector, largest + 1, largest));
        vm.prank(alice);
        towers.deposit{value: largest + 1}(bob, largest + 1);
        vm.expectRevert(abi.encodeWithSelector(Payouts.WrongValue.selector, 4, 5));
        vm.prank(alice);
        towers.deposit{value: 4}(bob, 5);
    }

    function test_deposit_ofAToken() public {
        towers = TowerDeposit(deploy("TowerDeposit", abi.encode(registry, address(token), DELAY)));
        vm.prank(bob);
        token.approve(address(towers), 50);
        vm.prank(bob);
        towers.deposit(bob, 50);
        vm.assertEq(token.balanceOf(address(towers)), 50, "balance");
        vm.expectRevert(abi.encodeWithSelector(Payouts.WrongValue.selector, 1, 0));
        vm.prank(bob);
        towers.deposit{value: 1}(bob, 1);
        FeeToken fee = new FeeToken();
        towers = TowerDeposit(deploy("TowerDeposit", abi.encode(registry, address(fee), DELAY)));
        fee.mint(bob, 100);
        vm.prank(bob);
        fee.approve(address(towers), 100);
        vm.expectRevert(abi.encodeWithSelector(Payouts.TokenTookFee.selector, address(fee), 99, 100));
        vm.prank(bob);
        towers.deposit(bob, 100);
    }

    function test_withdraw_afterTheDelay() public {
        vm.expectRevert(abi.encodeWithSelector(TowerDeposit.WithdrawNotPlanned.selector, bob));
        vm.prank(bob);
        towers.withdraw(bob);
        vm.expectEmit(address(towers));
        emit TowerDeposit.WithdrawPlanned(bob, 60, NOW + DELAY);
        vm.prank(bob);
        towers.planWithdraw(60);
        vm.warp(NOW + DELAY - 1);
        vm.expectRevert(abi.encodeWithSelector(TowerDeposit.WithdrawTooEarly.selector, NOW + DELAY));
        vm.prank(bob);
        towers.withdraw(bob);
        vm.warp(NOW + DELAY);
        uint256 before = stranger.balance;
        vm.prank(bob);
        towers.withdraw(stranger);
        vm.assertEq(stranger.balance - before, 60, "paid");
        vm.assertEq(depositOf(bob), 40, "left");
        vm.expectRevert(abi.encodeWithSelector(TowerDeposit.WithdrawNotPlanned.selector, bob));
        vm.prank(bob);
        towers.withdraw(bob);
    }

    function test_withdraw_calledOff() public {
        vm.prank(bob);
        towers.planWithdraw(60);
        vm.prank(bob);
        towers.planWithdraw(0);
        vm.warp(NOW + DELAY);
        vm.expectRevert(abi.encodeWithSelector(TowerDeposit.WithdrawNotPlanned.selector, bob));
        vm.prank(bob);
        towers.withdraw(bob);
    }

    /// @dev What a tower has earned meanwhile is not the client's any more.
    function test_withdraw_onlyWhatIsLeft() public {
        vm.prank(bob);
        towers.planWithdraw(100);
        close(noProof());
        show(none(), proofOf(ALICE_KEY, id, 4, 40), signReward(BOB_KEY, address(net), 4, ANYONE, 30));
        vm.warp(NOW + DELAY);
        vm.prank(bob);
        towers.withdraw(bob);
        vm.assertEq(address(towers).balance, 30, "the reward");
        towers.claim(address(net), id);
        vm.assertEq(address(towers).balance, 0, "claimed");
    }

    function test_withdraw_toWhoRefuses() public {
        Receiver receiver = new Receiver(Receiver.Mode.Revert);
        vm.prank(bob);
        towers.planWithdraw(60);
        vm.warp(NOW + DELAY);
        vm.expectRevert(abi.encodeWithSelector(Payouts.WithdrawFailed.selector, address(0), address(receiver)));
        vm.prank(bob);
        towers.withdraw(address(receiver));
    }

    /// @dev A tower that can't be paid has credit.
    function test_claim_towerThatRefuses() public {
        Receiver receiver = new Receiver(Receiver.Mode.Revert);
        close(noProof());
        show(none(), proofOf(ALICE_KEY, id, 4, 40), signReward(BOB_KEY, address(net), 4, address(receiver), 30));
        vm.warp(NOW + PERIOD);
        towers.claim(address(net), id);
        vm.assertEq(towers.credit(address(receiver)), 30, "credit");
        receiver.execute(address(towers), abi.encodeCall(towers.withdrawCredit, (stranger)));
        vm.assertEq(towers.credit(address(receiver)), 0, "paid");
    }
}
