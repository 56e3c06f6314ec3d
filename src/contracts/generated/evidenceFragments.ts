// Written by scripts/compile.mjs. Do not edit.

/** The ABI of `Evidence.sol` in ethers' human-readable form: a quarter of the size, for what runs in pages. */
export const evidenceFragments = [
  'error AnchoredAlready(bytes32 id)',
  'error NoDigests()',
  'event Anchored(bytes32 indexed id, address indexed anchorer, bytes32 indexed root, uint64 size)',
  'function anchor(bytes32 root, uint64 size) returns (bytes32 id)',
  'function anchoredAt(bytes32 id) view returns (uint256)',
  'function idOf(address anchorer, bytes32 root, uint64 size) pure returns (bytes32)',
  'function verify(address anchorer, bytes32 root, uint64 size, uint64 index, bytes32 digest, bytes32[] proof) view returns (uint256)',
] as const
