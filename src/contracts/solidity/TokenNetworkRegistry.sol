// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SecretRegistry} from "./SecretRegistry.sol";
import {TokenNetwork} from "./TokenNetwork.sol";
import {TypedData} from "./TypedData.sol";

/// @title The token networks: one per token.
/// @notice Its EIP-712 domain is that of delegations to session keys, which hold in all its networks.
contract TokenNetworkRegistry is TypedData {
    /// @notice `tokenNetwork` holds the channels of `token` (zero for ETH) from now on.
    event TokenNetworkCreated(address indexed token, address indexed tokenNetwork);

    /// @notice There is no contract at this address.
    error TokenUnusable(address token);
    /// @notice The token has its network.
    error TokenNetworkExists(address token, address tokenNetwork);
    /// @notice The challenge period must be some time.
    error ChallengePeriodZero();

    /// @notice Seconds between closing and settlement in all networks.
    uint32 public immutable challengePeriod;
    /// @notice Knows when secrets became public.
    SecretRegistry public immutable secretRegistry;

    /// @notice The network of a token (zero for ETH); zero if there is none.
    mapping(address token => TokenNetwork) public tokenNetworks;

    /// @param challengePeriod_ Seconds: how long a side may be offline. 86,400 on public chains.
    constructor(uint32 challengePeriod_, SecretRegistry secretRegistry_) {
        if (challengePeriod_ == 0) revert ChallengePeriodZero();
        challengePeriod = challengePeriod_;
        secretRegistry = secretRegistry_;
    }

    /// @notice Creates the network of a token; anyone may. Its address depends on the token alone.
    /// @param token Zero for ETH.
    function createTokenNetwork(address token) external returns (TokenNetwork tokenNetwork) {
        if (token != address(0) && token.code.length == 0) revert TokenUnusable(token);
        if (address(tokenNetworks[token]) != address(0)) {
            revert TokenNetworkExists(token, address(tokenNetworks[token]));
        }
        tokenNetwork = new TokenNetwork{salt: 0}(token, challengePeriod, secretRegistry);
        tokenNetworks[token] = tokenNetwork;
        emit TokenNetworkCreated(token, address(tokenNetwork));
    }

    function _domainName() internal pure override returns (string memory) {
        return "Sluice TokenNetworkRegistry";
    }
}
