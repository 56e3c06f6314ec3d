// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Evidence} from "../../src/contracts/solidity/Evidence.sol";
import {Test} from "./Test.sol";

contract EvidenceTest is Test {
    Evidence private evidence;

    event Anchored(bytes32 indexed id, address indexed anchorer, bytes32 indexed root, uint64 size);

    function setUp() public {
        vm.warp(1_800_000_000);
        evidence = Evidence(deploy("Evidence", ""));
    }

    function leaf(bytes32 digest) private pure returns (bytes32) {
        return sha256(abi.encodePacked(hex"00", digest));
    }

    function node(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return sha256(abi.encodePacked(hex"01", left, right));
    }

    /// @dev RFC 9162 section 2.1.1, by recursion.
    function rootOf(bytes32[] memory digests, uint256 from, uint256 to) private pure returns (bytes32) {
        if (to - from == 1) return leaf(digests[from]);
        uint256 split = 1;
        while (split * 2 < to - from) split *= 2;
        return node(rootOf(digests, from, from + split), rootOf(digests, from + split, to));
    }

    /// @dev RFC 9162 section 2.1.3.1, by recursion.
    function proofOf(bytes32[] memory digests, uint256 from, uint256 to, uint256 index)
        private
        pure
        returns (bytes32[] memory proof)
    {
        if (to - from == 1) return proof;
        uint256 split = 1;
        while (split * 2 < to - from) split *= 2;
        bool left = index < from + split;
        bytes32[] memory below =
            left ? proofOf(digests, from, from + split, index) : proofOf(digests, from + split, to, index);
        proof = new bytes32[](below.length + 1);
        for (uint256 i = 0; i < below.length; ++i) proof[i] = below[i];
        proof[below.length] = left ? rootOf(digests, from + split, to) : rootOf(digests, from, from + split);
    }

    function digestsOf(uint256 size) private pure returns (bytes32[] memory digests) {
        digests = new bytes32[](size);
        for (uint256 i = 0; i < size; ++i) digests[i] = keccak256(abi.encode(i));
    }

    function test_anchor_onceForEach() public {
        bytes32 id = evidence.idOf(address(this), "root", 5);
        vm.expectEmit(address(evidence));
        emit Anchored(id, address(this), "root", 5);
        vm.assertEq(evidence.anchor("root", 5), id, "id");
        vm.assertEq(evidence.anchoredAt(id), 1_800_000_000, "when");
        vm.expectRevert(abi.encodeWithSelector(Evidence.AnchoredAlready.selector, id));
        evidence.anchor("root", 5);
        vm.prank(address(7));
        evidence.anchor("root", 5);
        vm.expectRevert(abi.encodeWithSelector(Evidence.NoDigests.selector));
        evidence.anchor("root", 0);
    }

    function testFuzz_verify_everyDigest(uint256 size, uint256 index) public {
        size = bound(size, 1, 40);
        index = bound(index, 0, size - 1);
        bytes32[] memory digests = digestsOf(size);
        bytes32 root = rootOf(digests, 0, size);
        bytes32[] memory proof = proofOf(digests, 0, size, index);
        uint64 place = uint64(index);
        vm.assertEq(evidence.verify(address(this), root, uint64(size), place, digests[index], proof), 0, "not yet");
        evidence.anchor(root, uint64(size));
        vm.assertEq(evidence.verify(address(this), root, uint64(size), place, digests[index], proof), 1_800_000_000, "when");
        vm.assertEq(evidence.verify(address(7), root, uint64(size), place, digests[index], proof), 0, "not by another");
        vm.assertEq(evidence.verify(address(this), root, uint64(size + 1), place, digests[index], proof), 0, "size");
        vm.assertEq(evidence.verify(address(this), root, uint64(size), place, ~digests[index], proof), 0, "digest");
        if (size > 1) {
            vm.assertEq(evidence.verify(address(this), root, uint64(size), place ^ 1, digests[index], proof), 0, "index");
            proof[0] = ~proof[0];
            vm.assertEq(evidence.verify(address(this), root, uint64(size), place, digests[index], proof), 0, "proof");
        }
    }

    /// @dev A node is no leaf: neither by its hash, nor by what it is the hash of.
    function test_verify_refusesNodes() public {
        bytes32[] memory digests = digestsOf(4);
        bytes32 left = node(leaf(digests[0]), leaf(digests[1]));
        bytes32 right = node(leaf(digests[2]), leaf(digests[3]));
        bytes32 root = node(left, right);
        evidence.anchor(root, 4);
        evidence.anchor(root, 2);
        bytes32[] memory proof = new bytes32[](1);
        proof[0] = right;
        vm.assertEq(evidence.verify(address(this), root, 2, 0, left, proof), 0, "a node as a digest");
        vm.assertEq(evidence.verify(address(this), root, 4, 0, left, proof), 0, "a short proof");
    }
}
