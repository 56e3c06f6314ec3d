// Written by scripts/compile.mjs. Do not edit.

/** The ABI of `TokenNetworkRegistry.sol` in ethers' human-readable form: a quarter of the size, for what runs in pages. */
export const tokenNetworkRegistryFragments = [
  'error ChallengePeriodZero()',
  'error NotSignedBy(address account)',
  'error TokenNetworkExists(address token, address tokenNetwork)',
  'error TokenUnusable(address token)',
  'event SessionKeyRevoked(address indexed account, address indexed signer)',
  'event TokenNetworkCreated(address indexed token, address indexed tokenNetwork)',
  'function DOMAIN_SEPARATOR() view returns (bytes32)',
  'function challengePeriod() view returns (uint32)',
  'function createTokenNetwork(address token) returns (address tokenNetwork)',
  'function eip712Domain() view returns (bytes1 fields, string name, string version, uint256 chainId, address verifyingContract, bytes32 salt, uint256[] extensions)',
  'function isDelegated(address account, address signer, bytes delegation) view returns (bool)',
  'function isSignedBy(address account, bytes32 digest, bytes signature) view returns (bool)',
  'function revoke(address signer)',
  'function revoked(address account, address signer) view returns (bool)',
  'function secretRegistry() view returns (address)',
  'function tokenNetworks(address token) view returns (address)',
] as const
