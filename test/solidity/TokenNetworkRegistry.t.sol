// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SecretRegistry} from "../../src/contracts/solidity/SecretRegistry.sol";
import {TokenNetwork} from "../../src/contracts/solidity/TokenNetwork.sol";
import {TokenNetworkRegistry} from "../../src/contracts/solidity/TokenNetworkRegistry.sol";
import {ChannelFixture} from "./ChannelFixture.sol";
import {SilentToken} from "./Hostile.sol";

contract TokenNetworkRegistryTest is ChannelFixture {
    function setUp() public {
        begin();
    }

    function test_createTokenNetwork_makesOnePerToken() public {
        address other = address(new SilentToken());
        vm.prank(stranger);
        TokenNetwork network = registry.createTokenNetwork(other);
        vm.assertEq(address(registry.tokenNetworks(other)), address(network), "noted");
        vm.assertEq(network.token(), other, "token");
        vm.assertEq(network.challengePeriod(), PERIOD, "period");
        vm.assertEq(address(network.secretRegistry()), address(secrets), "secrets");
        vm.assertEq(address(network.registry()), address(registry), "registry");
        vm.assertEq(eth.token(), address(0), "ETH");
        vm.expectRevert(
            abi.encodeWithSelector(TokenNetworkRegistry.TokenNetworkExists.selector, other, address(network))
        );
        registry.createTokenNetwork(other);
    }

    /// @dev Whoever creates it and when: the address follows from the token.
    function test_createTokenNetwork_addressFollowsFromTheToken() public {
        address other = address(new SilentToken());
        TokenNetworkRegistry twin = TokenNetworkRegistry(deploy("TokenNetworkRegistry", abi.encode(PERIOD, secrets)));
        bytes memory code = abi.encodePacked(
            vm.getCode("cache/deployed/TokenNetwork.json"), abi.encode(other, PERIOD, address(secrets))
        );
        address expected = vm.computeCreate2Address(0, keccak256(code), address(twin));
        vm.expectEmit(address(twin));
        emit TokenNetworkRegistry.TokenNetworkCreated(other, expected);
        vm.assertEq(address(twin.createTokenNetwork(other)), expected, "address");
    }

    function test_refusals() public {
        vm.expectRevert(abi.encodeWithSelector(TokenNetworkRegistry.TokenUnusable.selector, stranger));
        registry.createTokenNetwork(stranger);
        bytes memory code =
            abi.encodePacked(vm.getCode("cache/deployed/TokenNetworkRegistry.json"), abi.encode(0, secrets));
        address made;
        assembly ("memory-safe") {
            made := create(0, add(code, 32), mload(code))
        }
        vm.assertEq(made, address(0), "no challenge period");
    }

    function test_domains() public view {
        bytes32 typeHash =
            keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        bytes32 version = keccak256("1");
        bytes32 name = keccak256("Sluice TokenNetworkRegistry");
        bytes32 expected = keccak256(abi.encode(typeHash, name, version, block.chainid, address(registry)));
        vm.assertEq(registry.DOMAIN_SEPARATOR(), expected, "registry");
        name = keccak256("Sluice TokenNetwork");
        expected = keccak256(abi.encode(typeHash, name, version, block.chainid, address(net)));
        vm.assertEq(net.DOMAIN_SEPARATOR(), expected, "network");
        (bytes1 fields, string memory shown,, uint256 chainId, address where,,) = net.eip712Domain();
        vm.assertEq(bytes32(fields), bytes32(bytes1(0x0f)), "fields");
        vm.assertEq(keccak256(bytes(shown)), name, "name");
        vm.assertEq(chainId, block.chainid, "chain");
        vm.assertEq(where, address(net), "contract");
    }
}
