// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SecretRegistry} from "./SecretRegistry.sol";

/// @title Reads the locks of one side, finds the root of their tree and who gets them.
/// @dev First come the secrethashes of the locks to unlock, in the lists in which their secrets were registered; a list of
/// one for each that was registered alone or never:
///
///     count 2, then for each list: size 2 | secrethash 32 ...
///
/// Then the depth of the tree (1 byte, at most 16) and all its numbers from left to right, piece by piece:
///
///     00 - 10    expiry 5 | amount              a lock; the first byte is the size of the amount in bytes
///     20 - 30    place 2 | expiry 5 | amount    the same, with the place of its secrethash among all above
///     40 - 50                                   no locks in a subtree of height 0 to 16
///     80 - 90    hash 32                        a subtree of height 0 to 16 by its hash
///
/// Without a place, a lock's secrethash is the one after that of the lock before; the first is at place 0. The number of
/// a lock follows from what lies left of it.
library LockTree {
    /// @notice What is handed in can't be read: an unknown or unaligned piece before byte `cursor`, a secrethash that is
    /// not there, or bytes left over.
    error LocksMalformed(uint256 cursor);
    /// @notice Neither has the secret of lock `number` become public in time, as far as was shown, nor may the lock go
    /// back to its sender before `refundAt`. Zero: not by a list of several secrethashes.
    error LockPending(uint256 number, uint256 refundAt);

    uint256 private constant DEEPEST = 16;

    // What is known of a secrethash: alone u1 | where it is in the calldata u64 | when its list became public u64.
    uint256 private constant ALONE = 0x8000000000000000000000000000000000000000000000000000000000000000;
    uint256 private constant TIME = 0xffffffffffffffff;

    /// @dev What decides who gets a lock, and what came out. `_climb` knows the places of the fields.
    struct Walk {
        /// @dev What is left to pay out.
        uint256 locked;
        uint256 toReceiver;
        uint256 toSender;
        /// @dev A lock goes back to its sender `pause` seconds after its expiry, or after `settledAt` if that is later.
        uint256 settledAt;
        uint256 pause;
        /// @dev Bitmap of the numbers that are unlocked, before or now.
        uint256[] done;
        /// @dev What is known of the secrethashes; the place of the next lock's.
        uint256 known;
        uint256 count;
        uint256 next;
        /// @dev Whether a subtree was given by its hash.
        bool hidden;
        bytes32 root;
        /// @dev Whether some locks were unlocked before, and where that is noted.
        bool partly;
        bytes32 place;
    }

    /// @dev Asks when each list of secrets became public. What is read past the end of `locks` is found out later.
    /// @return cursor Where the tree begins in the calldata.
    function readLists(Walk memory walk, bytes calldata locks, SecretRegistry secretRegistry)
        internal
        view
        returns (uint256 cursor)
    {
        uint256 known;
        uint256 cell;
        bytes4 selector = secretRegistry.revealedAt.selector;
        assembly ("memory-safe") {
            cursor := add(locks.offset, 2)
            known := mload(0x40)
            cell := known
            for { let lists := shr(240, calldataload(locks.offset)) } lists { lists := sub(lists, 1) } {
                let length := shr(240, calldataload(cursor))
                cursor := add(cursor, 2)
                mstore(0, selector)
                switch length
                case 1 { calldatacopy(4, cursor, 32) }
                default {
                    calldatacopy(cell, cursor, shl(5, length))
                    mstore(4, keccak256(cell, shl(5, length)))
                }
                if iszero(staticcall(gas(), secretRegistry, 0, 36, 0, 32)) { revert(0, 0) }
                let entry := or(mload(0), shl(255, eq(length, 1)))
                for { let end := add(cursor, shl(5, length)) } lt(cursor, end) { cursor := add(cursor, 32) } {
                    mstore(cell, or(entry, shl(64, cursor)))
                    cell := add(cell, 32)
                }
            }
            mstore(0x40, cell)
        }
        (walk.known, walk.count) = (known, (cell - known) / 32);
    }

    /// @dev Reads all pieces of a tree of `size` numbers.
    /// @return end Where they end in the calldata.
    function readTree(Walk memory walk, uint256 size, uint256 cursor) internal view returns (uint256 end) {
        // By hand: in Solidity a lock takes twice the gas.
        assembly ("memory-safe") {
            // The nodes that wait for their right sibling, highest first: one per bit of `n`, the next number.
            let top := mload(0x40)
            mstore(0x40, add(top, 544))
            let node
            for { let n := 0 } lt(n, size) {} {
                let head := calldataload(cursor)
                switch shr(254, head)
                case 0 {
                    // A lock: its leaf, and its money unless it was paid before.
                    let next := mload(add(walk, 0x100))
                    cursor := add(cursor, add(6, and(shr(248, head), 0x1f)))
                    if shr(253, head) {
                        cursor := add(cursor, 2)
                        next := and(shr(232, head), 0xffff)
                        head := or(and(head, shl(248, 0x1f)), shr(8, shl(24, head)))
                    }
                    mstore(add(walk, 0x100), add(next, 1))
                    let expiry := and(shr(208, head), 0xffffffffff)
                    // All that follows the expiry, without what is not the amount.
                    let amount := shr(sub(256, shl(3, shr(248, head))), shl(48, head))
                    if or(gt(shr(248, head), 16), iszero(lt(next, mload(add(walk, 0xe0))))) {
                        mstore(0, 0x0) // LocksMalformed
                        mstore(4, sub(cursor, 4))
                        revert(0, 36)
                    }
                    // Now what is known of its secret: alone u1 | place in the calldata u64 | time u64.
                    head := mload(add(mload(add(walk, 0xc0)), shl(5, next)))
                    mstore(mload(0x40), shl(80, or(shl(128, expiry), amount)))
                    mstore(add(mload(0x40), 22), calldataload(and(shr(64, head), 0xffffffffffffffff)))
                    node := keccak256(mload(0x40), 54)
                    let word := add(add(mload(add(walk, 0xa0)), 32), shl(5, shr(8, n)))
                    if iszero(and(shr(and(n, 255), mload(word)), 1)) {
                        mstore(word, or(mload(word), shl(and(n, 255), 1)))
                        if gt(amount, mload(walk)) { amount := mload(walk) }
                        mstore(walk, sub(mload(walk), amount))
                        // To the receiver if the secret became public before the expiry.
                        let field := add(walk, 0x20)
                        if or(iszero(and(head, 0xffffffffffffffff)), iszero(lt(and(head, 0xffffffffffffffff), expiry))) {
                            // A secret that was registered with others looks as if it never was. Hence a list of one here,
                            // time for the receiver to show the right list, and what was registered alone is always seen.
                            if lt(expiry, mload(add(walk, 0x60))) { expiry := mload(add(walk, 0x60)) }
                            expiry := mul(add(expiry, mload(add(walk, 0x80))), shr(255, head))
                            if or(lt(timestamp(), expiry), iszero(expiry)) {
                                mstore(0, 0x1) // LockPending
                                mstore(4, n)
                                mstore(36, expiry)
                                revert(0, 68)
                            }
                            field := add(walk, 0x40)
                        }
                        mstore(field, add(mload(field), amount))
                    }
                    head := 0
                }
                default {
                    // A subtree: none of its numbers has a lock, or its hash says which do.
                    let kind := shr(253, head)
                    head := and(shr(248, head), 0x1f)
                    cursor := add(cursor, 1)
                    node := 0
                    if eq(kind, 4) {
                        node := calldataload(cursor)
                        cursor := add(cursor, 32)
                        mstore(add(walk, 0x120), 1)
                    }
                    if or(or(gt(shl(head, 1), size), and(n, sub(shl(head, 1), 1))), and(kind, 1)) {
                        mstore(0, 0x0) // LocksMalformed
                        mstore(4, sub(cursor, 4))
                        revert(0, 36)
                    }
                }
                // `head` is the height of what was read. Each bit of n from there on that is set has a left sibling waiting.
                let left := shr(head, n)
                n := add(n, shl(head, 1))
                for {} and(left, 1) { left := shr(1, left) } {
                    top := sub(top, 32)
                    if or(mload(top), node) {
                        mstore8(mload(0x40), 1)
                        mstore(add(mload(0x40), 1), mload(top))
                        mstore(add(mload(0x40), 33), node)
                        node := keccak256(mload(0x40), 65)
                    }
                }
                mstore(top, node)
                top := add(top, 32)
            }
            mstore(add(walk, 0x140), node)
            end := cursor
        }
    }
}
