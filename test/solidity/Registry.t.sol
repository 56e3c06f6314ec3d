// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Registry} from "../../src/contracts/solidity/Registry.sol";
import {Test} from "./Test.sol";

contract RegistryTest is Test {
    bytes32 private constant DATA = keccak256("data");
    bytes32 private constant CHANNEL = keccak256("channel");

    Registry private registry;
    /// @dev Keys 1, 2 and 3 of secp256k1 (SEC 2, multiples of the generator).
    bytes[3] private keys = [
        bytes(
            hex"0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
        ),
        bytes(
            hex"04c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee51ae168fea63dc339a3c58419466ceaeef7f632653266d0e1236431a950cfe52a"
        ),
        bytes(
            hex"04f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9388f7b0f632de8140fe337e62a37f3566500a99934c2231b6cb9fd7584b8e672"
        )
    ];

    event Registered(
        bytes32 indexed service, address indexed account, string endpoint, bytes publicKey, bytes32 menuHash
    );
    event Updated(bytes32 indexed service, address indexed account, string endpoint, bytes32 menuHash);
    event Removed(bytes32 indexed service, address indexed account);

    function setUp() public {
        registry = Registry(deploy("Registry", ""));
        vm.warp(1_800_000_000);
    }

    function account(uint256 i) private pure returns (address) {
        return vm.addr(i + 1);
    }

    function register(uint256 i) private {
        vm.prank(account(i));
        registry.register(DATA, "wss://seller.example", keys[i], bytes32(i));
    }

    function assertListed(uint256[] memory expected) private view {
        Registry.Entry[] memory page = registry.list(DATA, 0, 10);
        vm.assertEq(registry.count(DATA), expected.length, "count");
        vm.assertEq(page.length, expected.length, "page");
        for (uint256 i = 0; i < page.length; ++i) {
            vm.assertEq(page[i].account, account(expected[i]), "listed account");
            vm.assertEq(page[i].menuHash, bytes32(expected[i]), "its menu");
            vm.assertEq(keccak256(page[i].publicKey), keccak256(keys[expected[i]]), "its key");
            vm.assertEq(registry.get(DATA, page[i].account).account, page[i].account, "found by account");
        }
    }

    function test_register_storesTheEntry() public {
        vm.expectEmit(address(registry));
        emit Registered(DATA, account(1), "wss://seller.example", keys[1], bytes32(uint256(1)));
        register(1);
        Registry.Entry memory entry = registry.get(DATA, account(1));
        vm.assertEq(entry.account, account(1), "account");
        vm.assertEq(entry.updatedAt, 1_800_000_000, "time");
        vm.assertEq(entry.menuHash, bytes32(uint256(1)), "menu");
        vm.assertEq(keccak256(bytes(entry.endpoint)), keccak256("wss://seller.example"), "endpoint");
        vm.assertEq(keccak256(entry.publicKey), keccak256(keys[1]), "key");
        vm.assertEq(registry.count(CHANNEL), 0, "other services");
    }

    function test_register_twiceReverts() public {
        register(0);
        vm.expectRevert(abi.encodeWithSelector(Registry.AlreadyRegistered.selector, DATA, account(0)));
        register(0);
    }

    function test_register_keyMustBeTheCallers() public {
        vm.expectRevert(abi.encodeWithSelector(Registry.PublicKeyNotCallers.selector, account(1), account(0)));
        vm.prank(account(0));
        registry.register(DATA, "wss://seller.example", keys[1], 0);
    }

    function test_register_keyMustBeUncompressed() public {
        bytes memory key = keys[0];
        bytes[4] memory wrong;
        wrong[0] = "";
        wrong[1] = abi.encodePacked(key, uint8(0));
        wrong[2] = new bytes(64);
        wrong[3] = new bytes(65);
        for (uint256 i = 0; i < 64; ++i) {
            wrong[2][i] = key[i];
            wrong[3][i + 1] = key[i + 1];
        }
        wrong[3][0] = 0x06;
        for (uint256 i = 0; i < wrong.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Registry.PublicKeyNotCallers.selector, address(0), account(0)));
            vm.prank(account(0));
            registry.register(DATA, "wss://seller.example", wrong[i], 0);
        }
    }

    function test_register_endpointHas1To256Bytes() public {
        string memory longest = string(new bytes(256));
        string memory tooLong = string(new bytes(257));
        vm.prank(account(0));
        registry.register(DATA, longest, keys[0], 0);
        vm.expectRevert(abi.encodeWithSelector(Registry.EndpointOutOfRange.selector, 257, 256));
        vm.prank(account(1));
        registry.register(DATA, tooLong, keys[1], 0);
        vm.expectRevert(abi.encodeWithSelector(Registry.EndpointOutOfRange.selector, 0, 256));
        vm.prank(account(1));
        registry.register(DATA, "", keys[1], 0);
        vm.expectRevert(abi.encodeWithSelector(Registry.EndpointOutOfRange.selector, 0, 256));
        vm.prank(account(0));
        registry.update(DATA, "", 0);
    }

    function test_update_changesTheEntryAndKeepsTheKey() public {
        register(2);
        vm.warp(1_800_000_100);
        vm.expectEmit(address(registry));
        emit Updated(DATA, account(2), "wss://other.example", bytes32(uint256(9)));
        vm.prank(account(2));
        registry.update(DATA, "wss://other.example", bytes32(uint256(9)));
        Registry.Entry memory entry = registry.get(DATA, account(2));
        vm.assertEq(entry.updatedAt, 1_800_000_100, "time");
        vm.assertEq(entry.menuHash, bytes32(uint256(9)), "menu");
        vm.assertEq(keccak256(bytes(entry.endpoint)), keccak256("wss://other.example"), "endpoint");
        vm.assertEq(keccak256(entry.publicKey), keccak256(keys[2]), "key");
    }

    function test_withdraw_movesTheLastIntoTheGap() public {
        register(0);
        register(1);
        register(2);
        vm.expectEmit(address(registry));
        emit Removed(DATA, account(0));
        vm.prank(account(0));
        registry.withdraw(DATA);
        uint256[] memory two = new uint256[](2);
        (two[0], two[1]) = (2, 1);
        assertListed(two);

        // The one that moved can still leave, and the first come back.
        vm.prank(account(2));
        registry.withdraw(DATA);
        register(0);
        (two[0], two[1]) = (1, 0);
        assertListed(two);
        vm.expectRevert(abi.encodeWithSelector(Registry.NotRegistered.selector, DATA, account(2)));
        registry.get(DATA, account(2));
    }

    function test_unknownAccountsRevert() public {
        bytes memory expected = abi.encodeWithSelector(Registry.NotRegistered.selector, DATA, address(this));
        vm.expectRevert(expected);
        registry.get(DATA, address(this));
        vm.expectRevert(expected);
        registry.update(DATA, "wss://seller.example", 0);
        vm.expectRevert(expected);
        registry.withdraw(DATA);
    }

    function test_list_pages() public {
        register(0);
        register(1);
        register(2);
        vm.assertEq(registry.list(DATA, 0, 2).length, 2, "first page");
        vm.assertEq(registry.list(DATA, 2, 2)[0].account, account(2), "second page");
        vm.assertEq(registry.list(DATA, 2, 2).length, 1, "length of the second page");
        vm.assertEq(registry.list(DATA, 1, type(uint256).max).length, 2, "everything from 1");
        vm.assertEq(registry.list(DATA, 3, 5).length, 0, "past the end");
        vm.assertEq(registry.list(DATA, type(uint256).max, 5).length, 0, "far past the end");
        vm.assertEq(registry.list(DATA, 0, 0).length, 0, "nothing asked");
    }
}
