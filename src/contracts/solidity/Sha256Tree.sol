// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Merkle trees of RFC 9162 with SHA-256.
library Sha256Tree {
    /// @dev The leaf hash of a digest: SHA-256 of a zero byte and it.
    function leafOf(bytes32 digest) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0), digest));
    }

    /// @dev Section 2.1.3.2: whether `proof` leads from leaf `index` to the root of a tree of `size` leaves.
    function isUnder(bytes32 root, uint256 size, uint256 index, bytes32 leaf, bytes32[] calldata proof)
        internal
        view
        returns (bool)
    {
        if (index >= size) return false;
        uint256 last = size - 1;
        bytes32 node = leaf;
        for (uint256 i = 0; i < proof.length; ++i) {
            if (last == 0) return false;
            if (index & 1 == 1 || index == last) {
                node = _inner(proof[i], node);
                // The last node of a level without a sibling goes up as it is.
                while (index & 1 == 0 && index != 0) {
                    index >>= 1;
                    last >>= 1;
                }
            } else {
                node = _inner(node, proof[i]);
            }
            index >>= 1;
            last >>= 1;
        }
        return last == 0 && node == root;
    }

    /// @dev SHA-256 of a one byte and both children. Works in the scratch space past the free memory pointer.
    function _inner(bytes32 left, bytes32 right) private view returns (bytes32 node) {
        assembly ("memory-safe") {
            let pair := mload(0x40)
            mstore8(pair, 1)
            mstore(add(pair, 1), left)
            mstore(add(pair, 33), right)
            // A hash that failed for want of gas must not pass for a contradiction.
            if iszero(staticcall(gas(), 2, pair, 65, 0, 32)) { revert(0, 0) }
            node := mload(0)
        }
    }
}
