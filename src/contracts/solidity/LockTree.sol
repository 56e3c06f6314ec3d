// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SecretRegistry} from "./SecretRegistry.sol";

/// @title Reads the locks of one side, finds the root of their tree and who gets them.
/// @dev First come the secrethashes of the locks to unlock, in the lists in which their secrets were registered; a list of
/// one for each that was registered alone or never. The size of each list (2 bytes) stands before it, and a zero after the
/// last. Then come the depth of the tree (1 byte, at most 8) and all its numbers from left to right, piece by piece:
///
///     00 - 10    expiry 5 | amount              a lock; the first byte is the size of the amount in bytes
///     20 - 30    place 2 | expiry 5 | amount    the same, with the place of its secrethash among all above
///     40 - 48                                   no locks in a subtree of height 0 to 8
///     80 - 88    hash 32                        a subtree of height 0 to 8 by its hash
///
/// Without a place, a lock's secrethash is the one after that of the lock before; the first is at place 0. The number of
/// a lock follows from what lies left of it.
library LockTree {
    /// @notice What is handed in can't be read: an unknown or unaligned piece, a secrethash that is not there, too deep a
    /// tree, or bytes left over.
    error LocksMalformed();
    /// @notice Neither has the secret of lock `number` become public in time, as far as was shown, nor may the lock go
    /// back to its sender before `refundAt`. Zero: not by a list of several secrethashes.
    error LockPending(uint256 number, uint256 refundAt);

    uint256 private constant DEEPEST = 8;

    /// @dev What decides who gets a lock, and what came out. `_readTree` knows the places of the fields.
    struct Walk {
        /// @dev What the locks are worth that can be unlocked now.
        uint256 toReceiver;
        uint256 toSender;
        /// @dev Bitmaps of numbers: to be looked at more closely; unlocked, at first before, in the end now too.
        uint256 closer;
        uint256 done;
        /// @dev How many numbers the tree has: 2^depth.
        uint256 size;
        /// @dev Where a word stands for each secrethash: its place in the calldata | alone in its list u1 | when the list
        /// became public u63, the highest for never. A zero follows at `secretsEnd`.
        uint256 secrets;
        uint256 secretsEnd;
        /// @dev A lock goes back to its sender `pause` seconds after its expiry, or after `settledAt` if that is later.
        uint256 settledAt;
        uint256 pause;
        /// @dev Whether a subtree was given by its hash.
        bool hidden;
        bytes32 root;
        /// @dev Slot of the map of leaves that were released, for a closer look.
        uint256 released;
        /// @dev The lock that stopped everything, and when it may go back.
        uint256 pending;
        uint256 refundAt;
    }

    /// @dev Reads everything; the caller compares the root. Without locks nothing has to be handed in.
    function read(Walk memory walk, bytes calldata locks, SecretRegistry secretRegistry) internal view {
        if (locks.length == 0) return;
        uint256 cursor = _readSecrets(walk, locks, secretRegistry);
        uint256 depth;
        uint256 end;
        assembly ("memory-safe") {
            depth := byte(0, calldataload(cursor))
            end := add(locks.offset, locks.length)
        }
        if (depth > DEEPEST) revert LocksMalformed();
        walk.size = 1 << depth;
        cursor = _readTree(walk, cursor + 1);
        if (cursor == 0) revert LockPending(walk.pending, walk.refundAt);
        if (cursor != end) revert LocksMalformed();
    }

    /// @dev Divides what is left of the locks if they were worth more: the receiver goes first. With every lock unlocked, what
    /// was promised without a lock goes back too.
    /// @return left What is left then.
    function divide(Walk memory walk, uint256 locked) internal pure returns (uint256 left) {
        unchecked {
            if (walk.toReceiver > locked) walk.toReceiver = locked;
            left = locked - walk.toReceiver;
            if (!walk.hidden || walk.toSender > left) walk.toSender = left;
            left -= walk.toSender;
        }
    }

    /// @dev Asks when each list of secrets became public. What is read past the end of `locks` is found out later.
    /// @return cursor Where they end in the calldata.
    function _readSecrets(Walk memory walk, bytes calldata locks, SecretRegistry secretRegistry)
        private
        view
        returns (uint256 cursor)
    {
        uint256 secrets;
        uint256 end;
        // A list of one counts if its secret was registered alone, a longer one if it was registered as this list.
        bytes4 alone = secretRegistry.revealedAt.selector;
        bytes4 together = secretRegistry.listRevealedAt.selector;
        assembly ("memory-safe") {
            cursor := locks.offset
            secrets := mload(0x40)
            let cell := secrets
            for {} 1 {} {
                let size := shr(240, calldataload(cursor))
                cursor := add(cursor, 2)
                if iszero(size) { break }
                switch size
                case 1 {
                    mstore(0, alone)
                    calldatacopy(4, cursor, 32)
                }
                default {
                    mstore(0, together)
                    calldatacopy(cell, cursor, shl(5, size))
                    mstore(4, keccak256(cell, shl(5, size)))
                }
                if iszero(staticcall(gas(), secretRegistry, 0, 36, 0, 32)) { revert(0, 0) }
                let known := or(mload(0), shl(63, eq(size, 1)))
                if iszero(mload(0)) { known := or(known, 0x7fffffffffffffff) }
                known := or(known, shl(64, cursor))
                cursor := add(cursor, shl(5, size))
                for { let last := add(cell, shl(5, size)) } lt(cell, last) { cell := add(cell, 32) } {
                    mstore(cell, known)
                    known := add(known, shl(64, 32))
                }
            }
            mstore(cell, 0)
            mstore(0x40, add(cell, 32))
            end := cell
        }
        (walk.secrets, walk.secretsEnd) = (secrets, end);
    }

    /// @dev Reads the tree. By hand: in Solidity a lock takes twice the gas.
    /// @return end Where it ends in the calldata; 0 if a lock is pending.
    function _readTree(Walk memory walk, uint256 cursor) private view returns (uint256 end) {
        uint256 stack;
        assembly ("memory-safe") {
            // The nodes that wait for their right sibling, highest first, 64 bytes apart: hashing takes what lies between.
            stack := add(mload(0x40), 32)
            mstore(0x40, add(stack, 608))
        }
        assembly ("memory-safe") {
            function malformed() {
                mstore(0, 0x08e23fe4) // LocksMalformed
                revert(28, 4)
            }
            let next := mload(add(walk, 0xa0))
            let node
            for { let n := 0 let height } lt(n, mload(add(walk, 0x80))) {
                // Each bit of n from the height on that is set, up to the first that is not, has a sibling waiting.
                let waiting := shr(height, n)
                n := add(n, shl(height, 1))
                for {} and(waiting, 1) { waiting := shr(1, waiting) } {
                    stack := sub(stack, 64)
                    // keccak256(0x01 | left | right), zero for two zeros
                    if or(mload(stack), node) {
                        mstore8(sub(stack, 1), 1)
                        mstore(add(stack, 32), node)
                        node := keccak256(sub(stack, 1), 65)
                    }
                }
                mstore(stack, node)
                stack := add(stack, 64)
            } {
                let head := calldataload(cursor)
                height := shr(248, head)
                if gt(height, 0x10) {
                    if gt(height, 0x3f) {
                        // A subtree: none of its numbers has a lock, or its hash says which do.
                        cursor := add(cursor, 1)
                        node := 0
                        if gt(height, 0x7f) {
                            height := sub(height, 0x40)
                            node := calldataload(cursor)
                            cursor := add(cursor, 32)
                            mstore(add(walk, 0x120), 1)
                        }
                        height := sub(height, 0x40)
                        // Neither beyond the tree, nor across what a subtree of this height begins at.
                        if or(gt(shl(height, 1), mload(add(walk, 0x80))), and(n, sub(shl(height, 1), 1))) { malformed() }
                        continue
                    }
                    // A lock with the place of its secrethash. What lies behind the last could be anything.
                    height := sub(height, 0x20)
                    next := add(mload(add(walk, 0xa0)), shl(5, and(shr(232, head), 0xffff)))
                    if or(gt(height, 0x10), gt(next, mload(add(walk, 0xc0)))) { malformed() }
                    head := shl(16, head)
                    cursor := add(cursor, 2)
                }
                // A lock: its leaf, and its money unless it was paid before.
                cursor := add(cursor, add(6, height))
                let expiry := and(shr(208, head), 0xffffffffff)
                // What follows the expiry, without what is not the amount.
                let amount := shr(sub(256, shl(3, height)), shl(48, head))
                height := 0
                head := mload(next)
                if iszero(head) { malformed() }
                next := add(next, 32)
                mstore(0, shl(80, or(shl(128, expiry), amount)))
                mstore(22, calldataload(shr(64, head)))
                node := keccak256(0, 54)
                if and(shr(n, mload(add(walk, 0x40))), 1) {
                    if and(shr(n, mload(add(walk, 0x60))), 1) { continue }
                    mstore(0, node)
                    mstore(32, mload(add(walk, 0x160)))
                    // If the receiver gave it back, nothing has to be known of its secret.
                    if sload(keccak256(0, 64)) {
                        expiry := 0
                        head := 0
                    }
                }
                mstore(add(walk, 0x60), or(mload(add(walk, 0x60)), shl(n, 1)))
                // To the receiver if the secret became public before the expiry.
                let field := walk
                if iszero(lt(and(head, 0x7fffffffffffffff), expiry)) {
                    // A secret that was registered with others looks as if it never was. Hence a list of one here, time for
                    // the receiver to show the right list, and what was registered alone is always seen.
                    if head {
                        if lt(expiry, mload(add(walk, 0xe0))) { expiry := mload(add(walk, 0xe0)) }
                        head := and(shr(63, head), 1)
                        expiry := mul(add(expiry, mload(add(walk, 0x100))), head)
                        if or(lt(timestamp(), expiry), iszero(head)) {
                            mstore(add(walk, 0x180), n)
                            mstore(add(walk, 0x1a0), expiry)
                            cursor := 0
                            break
                        }
                    }
                    field := add(walk, 0x20)
                }
                mstore(field, add(mload(field), amount))
            }
            mstore(add(walk, 0x140), node)
            end := cursor
        }
    }
}
