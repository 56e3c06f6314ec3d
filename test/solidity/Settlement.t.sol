// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Settlement} from "../../src/contracts/solidity/Settlement.sol";
import {Test} from "./Test.sol";

/// @dev The formula against a second one, which counts in signed numbers of 512 bits and more instead of saturating.
contract SettlementTest is Test {
    uint256 private constant MAX = type(uint256).max;

    struct Amounts {
        uint256 pays1;
        uint256 pays2;
        uint256 locked1;
        uint256 locked2;
    }

    function divide(uint256[8] memory x) private pure returns (Amounts memory out) {
        (out.pays1, out.pays2, out.locked1, out.locked2) =
            Settlement.divide(Settlement.Side(x[0], x[1], x[2], x[3]), Settlement.Side(x[4], x[5], x[6], x[7]));
    }

    /// @dev What side 1 may get at most, when numbers are small enough for signed arithmetic: its deposit, less what it has
    /// taken out and owes, plus what is owed to it, within nothing and everything.
    function expected(uint256[8] memory x) private pure returns (Amounts memory out) {
        int256 total = int256(x[0] + x[4]) - int256(x[1] + x[5]);
        if (total < 0) total = 0;
        int256 most1 = int256(x[0]) - int256(x[1]) + int256(x[6] + x[7]) - int256(x[2] + x[3]);
        int256 most2 = int256(x[4]) - int256(x[5]) + int256(x[2] + x[3]) - int256(x[6] + x[7]);
        // Whoever comes out behind is the one who pays for what isn't there.
        if (x[6] + x[7] >= x[2] + x[3]) most1 = most1 < 0 ? int256(0) : most1 > total ? total : most1;
        else most1 = total - (most2 < 0 ? int256(0) : most2 > total ? total : most2);
        out.locked2 = uint256(most1) < x[7] ? uint256(most1) : x[7];
        out.pays1 = uint256(most1) - out.locked2;
        uint256 rest = uint256(total - most1);
        out.locked1 = rest < x[3] ? rest : x[3];
        out.pays2 = rest - out.locked1;
    }

    /// @dev In a channel the amounts are below 2^129; sums of them stay far below 2^255.
    function testFuzz_divide_isTheOtherFormula(uint256[8] memory x, uint8 bits) public pure {
        bits = uint8(bound(bits, 1, 252));
        for (uint256 i = 0; i < 8; ++i) {
            x[i] = bound(x[i], 0, (uint256(1) << bits) - 1);
        }
        Amounts memory out = divide(x);
        Amounts memory other = expected(x);
        vm.assertEq(out.pays1, other.pays1, "pays1");
        vm.assertEq(out.pays2, other.pays2, "pays2");
        vm.assertEq(out.locked1, other.locked1, "locked1");
        vm.assertEq(out.locked2, other.locked2, "locked2");
    }

    /// @dev For anything at all: what is there is divided to the last unit, and nothing else.
    function testFuzz_divide_addsUp(uint256[8] memory x, uint8 extreme) public pure {
        for (uint256 i = 0; i < 8; ++i) {
            if (extreme >> i & 1 == 1) x[i] = MAX - x[i] % 3;
        }
        Amounts memory out = divide(x);
        uint256 total = x[4] > MAX - x[0] ? MAX : x[0] + x[4];
        total = total > x[1] ? total - x[1] : 0;
        total = total > x[5] ? total - x[5] : 0;
        vm.assertLe(out.pays1, total, "pays1");
        vm.assertLe(out.locked2, total - out.pays1, "locked2");
        vm.assertLe(out.pays2, total - out.pays1 - out.locked2, "pays2");
        vm.assertEq(out.pays1 + out.pays2 + out.locked1 + out.locked2, total, "sum");
        vm.assertLe(out.locked1, x[3], "locked1");
        vm.assertLe(out.locked2, x[7], "locked2");
    }

    /// @dev Who is side 1 makes no difference.
    function testFuzz_divide_isSymmetric(uint256[8] memory x) public pure {
        vm.assume(x[2] < MAX / 2 && x[3] < MAX / 2 && x[6] < MAX / 2 && x[7] < MAX / 2 && x[2] + x[3] != x[6] + x[7]);
        Amounts memory out = divide(x);
        Amounts memory turned = divide([x[4], x[5], x[6], x[7], x[0], x[1], x[2], x[3]]);
        vm.assertEq(out.pays1, turned.pays2, "pays1");
        vm.assertEq(out.pays2, turned.pays1, "pays2");
        vm.assertEq(out.locked1, turned.locked2, "locked1");
        vm.assertEq(out.locked2, turned.locked1, "locked2");
    }

    /// @dev Valid states: with an older proof of the other side, and the latest of its own, nobody gets more.
    /// States of one side are what it has transferred and locked; from an older to a newer one, transferred + locked may
    /// shrink only by locks that expired.
    function testFuzz_divide_olderProofPaysItsPresenterNoMore(uint256[8] memory x, uint256[4] memory y) public pure {
        uint256 half = type(uint96).max;
        // Deposits, then alice's latest (side 1) and bob's latest and older.
        (x[0], x[4]) = (bound(x[0], 0, half), bound(x[4], 0, half));
        (x[1], x[5]) = (0, 0);
        x[6] = bound(x[6], 0, half);
        x[7] = bound(x[7], 0, half);
        // Alice can have transferred and locked what she had and got, and bob no more than he had and got.
        x[2] = bound(x[2], 0, x[0] + x[6]);
        x[3] = bound(x[3], 0, x[0] + x[6] - x[2]);
        vm.assume(x[6] + x[7] <= x[4] + x[2]);
        // An older proof of bob: less transferred; locked was what became transferred since, and possibly more.
        uint256 older = bound(y[0], 0, x[6]);
        uint256 lockedThen = bound(y[1], 0, x[7]);
        Amounts memory latest = divide(x);
        (x[6], x[7]) = (older, lockedThen);
        Amounts memory stale = divide(x);
        // All locks of bob's may end with alice.
        vm.assertLe(stale.pays1 + stale.locked2, latest.pays1 + latest.locked2, "alice");
        vm.assertLe(stale.pays1, latest.pays1 + latest.locked2, "alice at once");
    }

    /// @dev Issue 127 of raiden-contracts: an old proof with more locked must not turn what is locked into what is paid.
    function test_divide_oldProofWithMoreLocked() public pure {
        // Side 1 deposited 35, side 2 40. Side 2 had locked 30; the lock expired and 20 were transferred instead.
        Amounts memory latest = divide([uint256(35), 0, 0, 0, 40, 0, 20, 0]);
        Amounts memory stale = divide([uint256(35), 0, 0, 0, 40, 0, 0, 30]);
        vm.assertEq(latest.pays1, 55, "latest");
        vm.assertEq(stale.pays1, 35, "stale");
        vm.assertEq(stale.locked2, 30, "which goes back when the lock expired");
    }
}
