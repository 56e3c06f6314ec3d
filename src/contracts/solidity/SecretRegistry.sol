// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title When a secret became public.
/// @notice Secrets registered in one call are noted under one key, at the price of one.
/// @dev A payer chooses secrethashes, and could choose the key of a list, whose time is no word about any secret with that
/// hash. So what is noted says what it is for: a time alone for one secret, a time with a mark for a list.
contract SecretRegistry {
    /// @notice `secret`, whose SHA-256 is `secrethash`, is public.
    event SecretRevealed(bytes32 indexed secrethash, bytes32 secret);
    /// @notice The `count` secrets of the `SecretRevealed` just before this were noted together, under `key`. One secret
    /// alone has no such event: its key is its secrethash.
    event SecretsRegistered(bytes32 indexed key, uint256 count);

    /// @notice There is nothing to register.
    error NoSecrets();
    /// @notice The secret at this place is zero.
    error ZeroSecret(uint256 place);

    /// @dev In the slot of a list, beside the time.
    uint256 private constant LIST = 1 << 255;

    /// @notice Registers secrets together. Registering the same list again changes nothing.
    /// @return key The secrethash of one secret; of more, the keccak-256 of their secrethashes one behind the other.
    function registerSecrets(bytes32[] calldata secrets) external returns (bytes32 key) {
        uint256 count = secrets.length;
        if (count == 0) revert NoSecrets();
        unchecked {
            bytes32[] memory hashes = secrets;
            for (uint256 i = 0; i < count; ++i) {
                if (hashes[i] == 0) revert ZeroSecret(i);
                _hash(hashes, i);
            }
            uint256 noted;
            assembly ("memory-safe") {
                switch count
                case 1 { key := mload(add(hashes, 32)) }
                default { key := keccak256(add(hashes, 32), shl(5, count)) }
                noted := sload(key)
            }
            if (noted != 0) return key;
            noted = count == 1 ? block.timestamp : block.timestamp | LIST;
            assembly ("memory-safe") {
                sstore(key, noted)
            }
            for (uint256 i = 0; i < count; ++i) {
                emit SecretRevealed(hashes[i], secrets[i]);
            }
            if (count > 1) emit SecretsRegistered(key, count);
        }
    }

    /// @notice Unix seconds of the block in which a secret was registered alone; 0 for never, and for the key of a list.
    /// @dev Kept in the slot of that number. Keys are hashes already, and nothing else is stored here.
    function revealedAt(bytes32 secrethash) public view returns (uint256 time) {
        assembly ("memory-safe") {
            time := sload(secrethash)
            time := mul(time, iszero(shr(255, time)))
        }
    }

    /// @notice Unix seconds of the block in which a list of several secrets was registered; 0 for never, and for the hash of
    /// a secret that was registered alone.
    /// @param key The keccak-256 of their secrethashes one behind the other.
    function listRevealedAt(bytes32 key) external view returns (uint256 time) {
        assembly ("memory-safe") {
            time := sload(key)
            time := mul(xor(time, LIST), shr(255, time))
        }
    }

    /// @notice `revealedAt` of many secrethashes.
    function revealTimes(bytes32[] calldata secrethashes) external view returns (uint256[] memory times) {
        times = new uint256[](secrethashes.length);
        for (uint256 i = 0; i < secrethashes.length; ++i) {
            times[i] = revealedAt(secrethashes[i]);
        }
    }

    /// @dev Puts the SHA-256 of a member in its place.
    function _hash(bytes32[] memory words, uint256 i) private view {
        assembly ("memory-safe") {
            let word := add(add(words, 32), shl(5, i))
            if iszero(staticcall(gas(), 2, word, 32, word, 32)) { revert(0, 0) }
        }
    }
}
