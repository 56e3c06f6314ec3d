// Written by scripts/compile.mjs. Do not edit.

/** The ABI of `SecretRegistry.sol` in ethers' human-readable form: a quarter of the size, for what runs in pages. */
export const secretRegistryFragments = [
  'error NoSecrets()',
  'error ZeroSecret(uint256 place)',
  'event SecretRevealed(bytes32 indexed secrethash, bytes32 secret)',
  'event SecretsRegistered(bytes32 indexed key, uint256 count)',
  'function registerSecrets(bytes32[] secrets) returns (bytes32 key)',
  'function revealTimes(bytes32[] keys) view returns (uint256[] times)',
  'function revealedAt(bytes32 key) view returns (uint256 time)',
] as const
