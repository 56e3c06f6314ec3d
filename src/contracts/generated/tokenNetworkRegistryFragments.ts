// Written by scripts/compile.mjs. Do not edit.

/** The ABI of `TokenNetworkRegistry.sol` in ethers' human-readable form: a quarter of the size, for what runs in pages. */
export const tokenNetworkRegistryFragments = [
  'error ChallengePeriodZero()',
  'error TokenNetworkExists(address token, address tokenNetwork)',
  'error TokenUnusable(address token)',
  'event TokenNetworkCreated(address indexed token, address indexed tokenNetwork)',
  'function DOMAIN_SEPARATOR() view returns (bytes32)',
  'function challengePeriod() view returns (uint32)',
  'function createTokenNetwork(address token) returns (address tokenNetwork)',
  'function eip712Domain() view returns (bytes1 fields, string name, string version, uint256 chainId, address verifyingContract, bytes32 salt, uint256[] extensions)',
  'function secretRegistry() view returns (address)',
  'function tokenNetworks(address token) view returns (address)',
] as const
