// Written by scripts/compile.mjs. Do not edit.

/** The ABI of `Registry.sol` in ethers' human-readable form: a quarter of the size, for what runs in pages. */
export const registryFragments = [
  'error AlreadyRegistered(bytes32 service, address account)',
  'error EndpointOutOfRange(uint256 length, uint256 longest)',
  'error NotRegistered(bytes32 service, address account)',
  'error PublicKeyNotCallers(address derived, address caller)',
  'event Registered(bytes32 indexed service, address indexed account, string endpoint, bytes publicKey, bytes32 menuHash)',
  'event Removed(bytes32 indexed service, address indexed account)',
  'event Updated(bytes32 indexed service, address indexed account, string endpoint, bytes32 menuHash)',
  'function count(bytes32 service) view returns (uint256)',
  'function get(bytes32 service, address account) view returns ((address account, uint64 updatedAt, bytes32 menuHash, string endpoint, bytes publicKey))',
  'function list(bytes32 service, uint256 from, uint256 count_) view returns ((address account, uint64 updatedAt, bytes32 menuHash, string endpoint, bytes publicKey)[] page)',
  'function register(bytes32 service, string endpoint, bytes publicKey, bytes32 menuHash)',
  'function update(bytes32 service, string endpoint, bytes32 menuHash)',
  'function withdraw(bytes32 service)',
] as const
