// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Sha256Tree} from "./Sha256Tree.sol";

/// @title When somebody knew of many records, for the price of one.
/// @notice Who keeps records anchors the root of a tree over their digests. Whoever has one of the records, and its proof,
/// can show afterwards to anybody who anchored it, and when. The tree is that of RFC 9162 with SHA-256: a leaf is
/// SHA-256(0x00 | digest), a node SHA-256(0x01 | left | right), so that neither can pass for the other.
contract Evidence {
    /// @notice `anchorer` has anchored a tree of `size` digests; `id` names all three.
    event Anchored(bytes32 indexed id, address indexed anchorer, bytes32 indexed root, uint64 size);

    /// @notice The caller has anchored this tree before.
    error AnchoredAlready(bytes32 id);
    /// @notice A tree of no digests proves nothing.
    error NoDigests();

    /// @notice When a tree was anchored, in Unix seconds; 0 for not at all.
    mapping(bytes32 id => uint256) public anchoredAt;

    /// @notice Anchors a tree once.
    function anchor(bytes32 root, uint64 size) external returns (bytes32 id) {
        if (size == 0) revert NoDigests();
        id = idOf(msg.sender, root, size);
        if (anchoredAt[id] != 0) revert AnchoredAlready(id);
        anchoredAt[id] = block.timestamp;
        emit Anchored(id, msg.sender, root, size);
    }

    /// @notice Names what `anchorer` anchors. Without the size, a proof could lead to a leaf that never was one.
    function idOf(address anchorer, bytes32 root, uint64 size) public pure returns (bytes32) {
        return keccak256(abi.encode(anchorer, root, size));
    }

    /// @notice When `anchorer` has anchored a digest, in Unix seconds; 0 if that isn't proven.
    /// @param index The digest's place in the tree, from 0.
    /// @param proof Sibling hashes from the leaf up (RFC 9162 section 2.1.3).
    function verify(
        address anchorer,
        bytes32 root,
        uint64 size,
        uint64 index,
        bytes32 digest,
        bytes32[] calldata proof
    ) external view returns (uint256) {
        if (!Sha256Tree.isUnder(root, size, index, Sha256Tree.leafOf(digest), proof)) return 0;
        return anchoredAt[idOf(anchorer, root, size)];
    }
}
