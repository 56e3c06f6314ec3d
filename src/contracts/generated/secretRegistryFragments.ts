// Written by scripts/compile.mjs. Do not edit.

/** The ABI of `SecretRegistry.sol` in ethers' human-readable form: a quarter of the size, for what runs in pages. */
export const secretRegistryFragments = [
  'error NoSecrets()',
  'error ZeroSecret(uint256 place)',
  'event SecretRevealed(bytes32 indexed secrethash, bytes32 secret)',
  'event SecretsRegistered(bytes32 indexed key, uint256 count)',
  'function listRevealedAt(bytes32 key) view returns (uint256 time)',
  'function registerSecrets(bytes32[] secrets) returns (bytes32 key)',
  'function revealTimes(bytes32[] secrethashes) view returns (uint256[] times)',
  'function revealedAt(bytes32 secrethash) view returns (uint256 time)',
] as const
