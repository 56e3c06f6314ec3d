// Written by scripts/compile.mjs. Do not edit.

/** The ABI of `SecretRegistry.sol`. */
export const secretRegistryAbi = [
  {"inputs":[],"name":"NoSecrets","type":"error"},
  {"inputs":[{"internalType":"uint256","name":"place","type":"uint256"}],"name":"ZeroSecret","type":"error"},
  {"anonymous":false,"inputs":[{"indexed":true,"internalType":"bytes32","name":"secrethash","type":"bytes32"},{"indexed":false,"internalType":"bytes32","name":"secret","type":"bytes32"}],"name":"SecretRevealed","type":"event"},
  {"anonymous":false,"inputs":[{"indexed":true,"internalType":"bytes32","name":"key","type":"bytes32"},{"indexed":false,"internalType":"uint256","name":"count","type":"uint256"}],"name":"SecretsRegistered","type":"event"},
  {"inputs":[{"internalType":"bytes32","name":"key","type":"bytes32"}],"name":"listRevealedAt","outputs":[{"internalType":"uint256","name":"time","type":"uint256"}],"stateMutability":"view","type":"function"},
  {"inputs":[{"internalType":"bytes32[]","name":"secrets","type":"bytes32[]"}],"name":"registerSecrets","outputs":[{"internalType":"bytes32","name":"key","type":"bytes32"}],"stateMutability":"nonpayable","type":"function"},
  {"inputs":[{"internalType":"bytes32[]","name":"secrethashes","type":"bytes32[]"}],"name":"revealTimes","outputs":[{"internalType":"uint256[]","name":"times","type":"uint256[]"}],"stateMutability":"view","type":"function"},
  {"inputs":[{"internalType":"bytes32","name":"secrethash","type":"bytes32"}],"name":"revealedAt","outputs":[{"internalType":"uint256","name":"time","type":"uint256"}],"stateMutability":"view","type":"function"},
] as const
