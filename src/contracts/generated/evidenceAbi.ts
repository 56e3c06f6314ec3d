// Written by scripts/compile.mjs. Do not edit.

/** The ABI of `Evidence.sol`. */
export const evidenceAbi = [
  {"inputs":[{"internalType":"bytes32","name":"id","type":"bytes32"}],"name":"AnchoredAlready","type":"error"},
  {"inputs":[],"name":"NoDigests","type":"error"},
  {"anonymous":false,"inputs":[{"indexed":true,"internalType":"bytes32","name":"id","type":"bytes32"},{"indexed":true,"internalType":"address","name":"anchorer","type":"address"},{"indexed":true,"internalType":"bytes32","name":"root","type":"bytes32"},{"indexed":false,"internalType":"uint64","name":"size","type":"uint64"}],"name":"Anchored","type":"event"},
  {"inputs":[{"internalType":"bytes32","name":"root","type":"bytes32"},{"internalType":"uint64","name":"size","type":"uint64"}],"name":"anchor","outputs":[{"internalType":"bytes32","name":"id","type":"bytes32"}],"stateMutability":"nonpayable","type":"function"},
  {"inputs":[{"internalType":"bytes32","name":"id","type":"bytes32"}],"name":"anchoredAt","outputs":[{"internalType":"uint256","name":"","type":"uint256"}],"stateMutability":"view","type":"function"},
  {"inputs":[{"internalType":"address","name":"anchorer","type":"address"},{"internalType":"bytes32","name":"root","type":"bytes32"},{"internalType":"uint64","name":"size","type":"uint64"}],"name":"idOf","outputs":[{"internalType":"bytes32","name":"","type":"bytes32"}],"stateMutability":"pure","type":"function"},
  {"inputs":[{"internalType":"address","name":"anchorer","type":"address"},{"internalType":"bytes32","name":"root","type":"bytes32"},{"internalType":"uint64","name":"size","type":"uint64"},{"internalType":"uint64","name":"index","type":"uint64"},{"internalType":"bytes32","name":"digest","type":"bytes32"},{"internalType":"bytes32[]","name":"proof","type":"bytes32[]"}],"name":"verify","outputs":[{"internalType":"uint256","name":"","type":"uint256"}],"stateMutability":"view","type":"function"},
] as const
