// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SecretRegistry} from "../../src/contracts/solidity/SecretRegistry.sol";
import {Test} from "./Test.sol";

contract SecretRegistryTest is Test {
    SecretRegistry private registry;

    function setUp() public {
        registry = SecretRegistry(deploy("SecretRegistry", ""));
        vm.warp(1_800_000_000);
    }

    function listOf(bytes32 a, bytes32 b) private pure returns (bytes32[] memory list) {
        list = new bytes32[](2);
        (list[0], list[1]) = (a, b);
    }

    function only(bytes32 a) private pure returns (bytes32[] memory list) {
        list = new bytes32[](1);
        list[0] = a;
    }

    function test_registerSecrets_oneIsNotedUnderItsHash() public {
        bytes32 hash = sha256(abi.encode(bytes32("secret")));
        vm.expectEmit(address(registry));
        emit SecretRegistry.SecretRevealed(hash, "secret");
        vm.assertEq(registry.registerSecrets(only("secret")), hash, "key");
        vm.assertEq(registry.revealedAt(hash), 1_800_000_000, "time");
        vm.assertEq(registry.listRevealedAt(hash), 0, "no list");
    }

    function test_registerSecrets_manyAreNotedUnderTheHashOfTheirHashes() public {
        bytes32 one = sha256(abi.encode(bytes32("one")));
        bytes32 two = sha256(abi.encode(bytes32("two")));
        bytes32 key = keccak256(abi.encodePacked(one, two));
        vm.expectEmit(address(registry));
        emit SecretRegistry.SecretRevealed(one, "one");
        vm.expectEmit(address(registry));
        emit SecretRegistry.SecretRevealed(two, "two");
        vm.expectEmit(address(registry));
        emit SecretRegistry.SecretsRegistered(key, 2);
        vm.assertEq(registry.registerSecrets(listOf("one", "two")), key, "key");
        bytes32[] memory keys = listOf(key, one);
        uint256[] memory times = registry.revealTimes(keys);
        vm.assertEq(registry.listRevealedAt(key), 1_800_000_000, "the list");
        vm.assertEq(registry.revealedAt(key), 0, "is no secret");
        vm.assertEq(times[0], 0, "nor is it among many");
        vm.assertEq(times[1], 0, "not its members");
        vm.assertEq(registry.listRevealedAt(one), 0, "nor as a list");
        // In another order it is another list.
        vm.assertTrue(registry.registerSecrets(listOf("two", "one")) != key, "order");
    }

    function test_registerSecrets_keepsTheFirstTime() public {
        bytes32 key = registry.registerSecrets(only("secret"));
        bytes32 list = registry.registerSecrets(listOf("one", "two"));
        vm.warp(1_800_000_100);
        registry.registerSecrets(only("secret"));
        registry.registerSecrets(listOf("one", "two"));
        vm.assertEq(registry.revealedAt(key), 1_800_000_000, "one");
        vm.assertEq(registry.listRevealedAt(list), 1_800_000_000, "list");
        // Alone a secret is new.
        vm.assertEq(registry.revealedAt(registry.registerSecrets(only("one"))), 1_800_000_100, "alone");
    }

    function test_registerSecrets_refusals() public {
        vm.expectRevert(abi.encodeWithSelector(SecretRegistry.NoSecrets.selector));
        registry.registerSecrets(new bytes32[](0));
        vm.expectRevert(abi.encodeWithSelector(SecretRegistry.ZeroSecret.selector, 1));
        registry.registerSecrets(listOf("one", 0));
    }

    function testFuzz_registerSecrets_keyIsTheConcatenation(bytes32[] memory list) public {
        vm.assume(list.length > 0);
        bytes memory hashes;
        for (uint256 i = 0; i < list.length; ++i) {
            if (list[i] == 0) list[i] = "zero";
            hashes = abi.encodePacked(hashes, sha256(abi.encode(list[i])));
        }
        bytes32 key = list.length == 1 ? bytes32(hashes) : keccak256(hashes);
        vm.assertEq(registry.registerSecrets(list), key, "key");
        (uint256 alone, uint256 together) = (registry.revealedAt(key), registry.listRevealedAt(key));
        vm.assertEq(list.length == 1 ? alone : together, block.timestamp, "time");
        vm.assertEq(list.length == 1 ? together : alone, 0, "nothing else");
    }
}
