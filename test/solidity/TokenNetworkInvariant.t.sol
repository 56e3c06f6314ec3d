// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {TokenNetwork} from "../../src/contracts/solidity/TokenNetwork.sol";
import {BlockingToken} from "./Hostile.sol";
import {ChannelFixture} from "./ChannelFixture.sol";

/// @dev Plays channels of alice and bob one after the other, in a token that blocks them at times. Payments off chain are
/// played by the rules of nodes: nobody spends what it hasn't. A ledger beside the contract says what each side owns by
/// the latest agreed state; each side ends its channels with older proofs too, and the other answers with its latest.
contract Town is ChannelFixture {
    /// @dev One side as agreed off chain.
    struct Side {
        uint128 deposit;
        uint128 withdrawn;
        uint128 transferred;
        uint128 locked;
        uint64 nonce;
    }

    /// @dev A channel that was settled with locks left.
    struct Open {
        uint40 epoch;
        uint128[2] locked;
        uint256[2] done;
        Lock[][2] locks;
    }

    uint40 private constant EXPIRY = 3 days;
    uint256 private constant MOST_LOCKS = 5;

    Side[2] private sides;
    Lock[][2] private locks;
    /// @dev Proofs in force and before: what a cheat would show.
    TokenNetwork.Proof[2] private latest;
    TokenNetwork.Proof[2] private older;
    Open[] private unsettled;
    uint256 private seeds;
    uint256 public time = NOW;

    /// @dev What each side has paid in and must have got at least, over all channels that ended.
    uint256[2] public paidIn;
    uint256[2] public least;
    uint256[2] public got;

    modifier onTime() {
        vm.warp(time);
        _;
    }

    constructor() {
        begin();
    }

    function account(uint256 side) public view returns (address) {
        return side == 0 ? alice : bob;
    }

    function keyOf(uint256 side) private pure returns (uint256) {
        return side == 0 ? ALICE_KEY : BOB_KEY;
    }

    function network() external view returns (TokenNetwork) {
        return net;
    }

    function money() external view returns (BlockingToken) {
        return token;
    }

    function stateIs(TokenNetwork.State state) private view returns (bool) {
        return net.channel(alice, bob).state == state;
    }

    /// @dev In the pocket and as credit.
    function wealth(uint256 side) public view returns (uint256) {
        return token.balanceOf(account(side)) + net.credit(account(side));
    }

    /// @dev What the side has for itself right now: without its own pending locks, and without the other's.
    function owns(uint256 side) private view returns (uint256) {
        Side storage me = sides[side];
        Side storage other = sides[1 - side];
        return uint256(me.deposit) + other.transferred - me.withdrawn - me.transferred - me.locked;
    }

    // ---------------------------------------------------------------------------------------------------- on chain

    /// @dev Every action off chain begins with a channel.
    modifier inChannel(uint256 seed) {
        vm.warp(time);
        if (!stateIs(TokenNetwork.State.Open)) start(seed % 2, uint96(seed >> 8), uint96(seed >> 104));
        _;
    }

    function start(uint256 side, uint96 one, uint96 two) private {
        token.setBlocked(alice, false);
        token.setBlocked(bob, false);
        for (uint256 i = 0; i < 2; ++i) {
            delete sides[i];
            delete locks[i];
            delete latest[i];
            delete older[i];
        }
        pay(side, one, true);
        vm.prank(account(side));
        net.open(account(1 - side), one, 0, "");
        if (two != 0) top(1 - side, two);
    }

    function pay(uint256 side, uint128 amount, bool first_) private {
        sides[side].deposit = first_ ? amount : sides[side].deposit + amount;
        paidIn[side] += amount;
    }

    function top(uint256 side, uint128 amount) private {
        pay(side, amount, false);
        vm.prank(account(side));
        net.deposit(account(side), account(1 - side), sides[side].deposit);
    }

    function topUp(uint256 seed, uint96 amount) external onTime {
        if (!stateIs(TokenNetwork.State.Open) || amount == 0 || token.blocked(account(seed % 2))) return;
        top(seed % 2, amount);
    }

    function withdraw(uint256 seed, uint96 amount) external inChannel(seed) {
        uint256 side = seed % 2;
        if (owns(side) == 0) return;
        amount = uint96(bound(amount, 1, owns(side) < type(uint96).max ? owns(side) : type(uint96).max));
        uint128 total = sides[side].withdrawn + amount;
        bytes32 id = net.channel(alice, bob).channelId;
        bytes memory signature = signWithdraw(keyOf(1 - side), id, account(side), total, uint64(time));
        uint256 before = wealth(side);
        vm.prank(account(side));
        net.withdraw(account(side), account(1 - side), total, uint64(time), "", signature);
        sides[side].withdrawn = total;
        vm.assertEq(wealth(side) - before, amount, "withdrawn");
        got[side] += amount;
        least[side] += amount;
    }

    function endTogether() external onTime {
        if (!stateIs(TokenNetwork.State.Open) || sides[0].locked + sides[1].locked != 0) return;
        (uint128 one, uint128 two) = (uint128(owns(0)), uint128(owns(1)));
        (uint256 before1, uint256 before2) = (wealth(0), wealth(1));
        bytes32 id = net.channel(alice, bob).channelId;
        bytes32 typeHash =
            keccak256("CooperativeClose(bytes32 channelId,uint128 balance1,uint128 balance2,uint64 validUntil)");
        (uint128 low, uint128 high) = first() ? (one, two) : (two, one);
        bytes32 digest = digestOf(net, keccak256(abi.encode(typeHash, id, low, high, uint64(time))));
        net.closeCooperatively(
            alice, bob, one, two, uint64(time), sign(ALICE_KEY, digest), sign(BOB_KEY, digest)
        );
        note(0, one, wealth(0) - before1);
        note(1, two, wealth(1) - before2);
    }

    function note(uint256 side, uint256 atLeast, uint256 amount) private {
        least[side] += atLeast;
        got[side] += amount;
        vm.assertGe(amount, atLeast, "no less than agreed");
    }

    /// @dev From the closing to the settlement in one go: what happens between is in the arguments.
    /// @param cheat Whether the closer shows an older proof, or none.
    function endAlone(uint256 seed, uint8 cheat) external onTime {
        if (!stateIs(TokenNetwork.State.Open)) return;
        uint256 closer = seed % 2;
        TokenNetwork.Proof memory shown = latest[1 - closer];
        if (cheat % 3 == 1) shown = older[1 - closer];
        if (cheat % 3 == 2) shown = noProof();
        vm.prank(account(closer));
        net.close(account(closer), account(1 - closer), shown, "");
        TokenNetwork.Balance memory known;
        // The other side shows its latest, at times after an older one.
        for (uint256 i = cheat % 2; i < 2; ++i) {
            TokenNetwork.Proof memory answer = i == 0 ? older[closer] : latest[closer];
            if (answer.nonce <= known.nonce) continue;
            vm.prank(account(1 - closer));
            net.update(account(closer), account(1 - closer), balanceOf(shown), known, answer, "");
            known = balanceOf(answer);
        }
        time += PERIOD;
        vm.warp(time);
        settle(closer, balanceOf(shown), known, cheat % 3 != 0);
    }

    function settle(uint256 closer, TokenNetwork.Balance memory fromPartner, TokenNetwork.Balance memory known, bool cheated)
        private
    {
        uint256[2] memory before = [wealth(0), wealth(1)];
        uint256 held = token.balanceOf(address(net)) - net.credit(alice) - net.credit(bob);
        net.settle(account(closer), account(1 - closer), fromPartner, known);
        uint256 left = token.balanceOf(address(net)) - net.credit(alice) - net.credit(bob);
        // Whoever shows its latest gets no less than it owns, where locks that the other's older proof still has come back
        // later; a cheat may get less, never more than with the latest.
        uint256 owned = owns(1 - closer);
        if (cheated) {
            uint256 held_ = left - pending();
            uint256 back = held_ > sides[closer].locked ? held_ - sides[closer].locked : 0;
            owned = owned > back ? owned - back : 0;
        }
        note(1 - closer, owned, wealth(1 - closer) - before[1 - closer]);
        uint256 amount = wealth(closer) - before[closer];
        if (!cheated) note(closer, owns(closer), amount);
        else got[closer] += amount;
        vm.assertLe(amount, owns(closer) + sides[1 - closer].locked, "no more than agreed");
        keep(closer, fromPartner, held - left);
    }

    /// @dev Held for channels that were settled before.
    function pending() private view returns (uint256 sum) {
        for (uint256 i = 0; i < unsettled.length; ++i) {
            sum += uint256(unsettled[i].locked[0]) + unsettled[i].locked[1];
        }
        sum += lost;
    }

    /// @dev Notes what is left to unlock.
    function keep(uint256 closer, TokenNetwork.Balance memory fromPartner, uint256 paid) private {
        uint256 total = uint256(sides[0].deposit) + sides[1].deposit - sides[0].withdrawn - sides[1].withdrawn;
        uint256 left = total - paid;
        if (left == 0) return;
        bool whole = fromPartner.nonce == latest[1 - closer].nonce;
        // Of a cheat's locks it is not known here what they were: only whole states are played on.
        if (!whole) {
            lost += left;
            return;
        }
        Open storage entry = unsettled.push();
        entry.epoch = net.channel(alice, bob).epoch;
        for (uint256 side = 0; side < 2; ++side) {
            entry.locked[side] = sides[side].locked;
            for (uint256 i = 0; i < locks[side].length; ++i) {
                entry.locks[side].push(locks[side][i]);
            }
        }
        vm.assertEq(left, uint256(entry.locked[0]) + entry.locked[1], "left are the locks");
    }

    /// @dev Held for locks that nobody here unlocks.
    uint256 public lost;

    // --------------------------------------------------------------------------------------------------- off chain

    function transfer(uint256 seed, uint96 amount) external inChannel(seed) {
        uint256 side = seed % 2;
        if (owns(side) == 0) return;
        sides[side].transferred += uint128(bound(amount, 0, owns(side)));
        promise_(side);
    }

    function lock(uint256 seed, uint96 amount) external inChannel(seed) {
        uint256 side = seed % 2;
        if (owns(side) == 0 || locks[side].length >= MOST_LOCKS) return;
        uint128 value = uint128(bound(amount, 1, owns(side)));
        locks[side].push(Lock(free(side), uint40(time) + EXPIRY, value, hashOf(seeds)));
        ++seeds;
        sides[side].locked += value;
        promise_(side);
    }

    /// @dev A number that no pending lock has; not always the lowest.
    function free(uint256 side) private view returns (uint256 number) {
        uint256 used = locks[side].length == 0 ? 0 : numbersOf(locks[side]);
        number = seeds % 7;
        while (used >> number & 1 == 1) ++number;
    }

    /// @dev The last lock is unlocked by its secret, or taken back.
    function release(uint256 seed, bool paid) external onTime {
        uint256 side = seed % 2;
        if (!stateIs(TokenNetwork.State.Open) || locks[side].length == 0) return;
        uint128 amount = locks[side][locks[side].length - 1].amount;
        locks[side].pop();
        sides[side].locked -= amount;
        if (paid) sides[side].transferred += amount;
        promise_(side);
    }

    function promise_(uint256 side) private {
        TokenNetwork.Proof memory proof;
        proof.nonce = ++sides[side].nonce;
        proof.transferred = sides[side].transferred;
        proof.locked = sides[side].locked;
        proof.locksroot = locks[side].length == 0 ? bytes32(0) : rootOf(locks[side]);
        signed(keyOf(side), net.channel(alice, bob).channelId, proof);
        older[side] = latest[side];
        latest[side] = proof;
    }

    /// @dev One of the newest secrets becomes public.
    function publish(uint256 seed) external onTime {
        if (seeds != 0) reveal(seeds - 1 - seed % (seeds < 6 ? seeds : 6), 1);
    }

    // ------------------------------------------------------------------------------------------------------ unlocks

    /// @dev Some of what is left of one side, those of the mask; by the receiver.
    function unlock(uint256 seed, uint8 mask) external onTime {
        if (unsettled.length == 0) return;
        // The newest of which something is left.
        uint256 i = unsettled.length - 1;
        while (i > 0 && unsettled[i].locked[0] + unsettled[i].locked[1] == 0) --i;
        Open storage entry = unsettled[i];
        uint256 side = entry.locked[seed % 2] != 0 ? seed % 2 : 1 - seed % 2;
        if (entry.locked[side] == 0) return;
        (uint256 wanted, uint256 toReceiver, uint256 toSender) = choose(entry, side, mask);
        if (wanted == 0) return;
        uint256[2] memory before = [wealth(side), wealth(1 - side)];
        TokenNetwork.Left memory other;
        if (entry.locked[1 - side] != 0) {
            other = TokenNetwork.Left(entry.locked[1 - side], rootOf(entry.locks[1 - side]));
        }
        bytes memory data = encode(entry.locks[side], wanted, true);
        vm.prank(account(1 - side));
        net.unlock(account(side), account(1 - side), entry.epoch, entry.locked[side], other, data);
        vm.assertEq(wealth(side) - before[0], toSender, "to the sender");
        vm.assertEq(wealth(1 - side) - before[1], toReceiver, "to the receiver");
        got[side] += toSender;
        got[1 - side] += toReceiver;
        least[side] += toSender;
        least[1 - side] += toReceiver;
        entry.locked[side] -= uint128(toReceiver + toSender);
        entry.done[side] |= wanted;
    }

    /// @dev What can be unlocked of what the mask asks for, and what it is worth to whom. Unlocked ones may be asked for
    /// again beside others.
    function choose(Open storage entry, uint256 side, uint8 mask)
        private
        view
        returns (uint256 wanted, uint256 toReceiver, uint256 toSender)
    {
        uint256 again = 0;
        for (uint256 i = 0; i < entry.locks[side].length; ++i) {
            Lock memory one = entry.locks[side][i];
            if (mask >> i & 1 == 0) continue;
            if (entry.done[side] >> one.number & 1 == 1) {
                again |= 1 << one.number;
                continue;
            }
            uint256 revealed = secrets.revealedAt(one.secrethash);
            if (revealed != 0 && revealed < one.expiry) toReceiver += one.amount;
            else if (time >= one.expiry) toSender += one.amount;
            else continue;
            wanted |= 1 << one.number;
        }
        if (wanted != 0) wanted |= again;
    }

    // --------------------------------------------------------------------------------------------------------- rest

    function setBlocked(uint256 seed, bool yes) external onTime {
        token.setBlocked(account(seed % 2), yes);
    }

    function takeCredit(uint256 seed) external onTime {
        address owner = account(seed % 2);
        if (net.credit(owner) == 0 || token.blocked(owner)) return;
        vm.prank(owner);
        net.withdrawCredit(owner);
    }

    function wait_(uint256 seconds_) external {
        time += bound(seconds_, 1, 2 days);
    }

    /// @dev What the contract must hold: deposits less what was taken out, of an open channel, and what is left of others.
    function expected() external view returns (uint256 sum) {
        TokenNetwork.ChannelView memory shown = net.channel(alice, bob);
        sum = uint256(shown.deposit1) + shown.deposit2 - shown.withdrawn1 - shown.withdrawn2;
        return sum + pending() + net.credit(alice) + net.credit(bob);
    }
}

contract TokenNetworkInvariantTest is ChannelFixture {
    Town private town;

    function setUp() public {
        town = new Town();
    }

    /// @dev Forge calls these, and only these.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(town);
    }

    function invariant_moneyIsWhereItBelongs() external view {
        vm.assertEq(town.money().balanceOf(address(town.network())), town.expected(), "held");
        for (uint256 side = 0; side < 2; ++side) {
            // Payouts and credits are all that came out, and with what is held all that came in.
            vm.assertEq(town.wealth(side), 1e36 - town.paidIn(side) + town.got(side), "wealth");
            vm.assertGe(town.got(side), town.least(side), "no less than agreed");
        }
    }
}
