// Written by scripts/compile.mjs. Do not edit.

/** The ABI of `TokenNetworkRegistry.sol`. */
export const tokenNetworkRegistryAbi = [
  {"inputs":[{"internalType":"uint32","name":"challengePeriod_","type":"uint32"},{"internalType":"contract SecretRegistry","name":"secretRegistry_","type":"address"}],"stateMutability":"nonpayable","type":"constructor"},
  {"inputs":[],"name":"ChallengePeriodZero","type":"error"},
  {"inputs":[{"internalType":"address","name":"account","type":"address"}],"name":"NotSignedBy","type":"error"},
  {"inputs":[{"internalType":"address","name":"token","type":"address"},{"internalType":"address","name":"tokenNetwork","type":"address"}],"name":"TokenNetworkExists","type":"error"},
  {"inputs":[{"internalType":"address","name":"token","type":"address"}],"name":"TokenUnusable","type":"error"},
  {"anonymous":false,"inputs":[{"indexed":true,"internalType":"address","name":"account","type":"address"},{"indexed":true,"internalType":"address","name":"signer","type":"address"}],"name":"SessionKeyRevoked","type":"event"},
  {"anonymous":false,"inputs":[{"indexed":true,"internalType":"address","name":"token","type":"address"},{"indexed":true,"internalType":"address","name":"tokenNetwork","type":"address"}],"name":"TokenNetworkCreated","type":"event"},
  {"inputs":[],"name":"DOMAIN_SEPARATOR","outputs":[{"internalType":"bytes32","name":"","type":"bytes32"}],"stateMutability":"view","type":"function"},
  {"inputs":[],"name":"challengePeriod","outputs":[{"internalType":"uint32","name":"","type":"uint32"}],"stateMutability":"view","type":"function"},
  {"inputs":[{"internalType":"address","name":"token","type":"address"}],"name":"createTokenNetwork","outputs":[{"internalType":"contract TokenNetwork","name":"tokenNetwork","type":"address"}],"stateMutability":"nonpayable","type":"function"},
  {"inputs":[],"name":"eip712Domain","outputs":[{"internalType":"bytes1","name":"fields","type":"bytes1"},{"internalType":"string","name":"name","type":"string"},{"internalType":"string","name":"version","type":"string"},{"internalType":"uint256","name":"chainId","type":"uint256"},{"internalType":"address","name":"verifyingContract","type":"address"},{"internalType":"bytes32","name":"salt","type":"bytes32"},{"internalType":"uint256[]","name":"extensions","type":"uint256[]"}],"stateMutability":"view","type":"function"},
  {"inputs":[{"internalType":"address","name":"account","type":"address"},{"internalType":"address","name":"signer","type":"address"},{"internalType":"bytes","name":"delegation","type":"bytes"}],"name":"isDelegated","outputs":[{"internalType":"bool","name":"","type":"bool"}],"stateMutability":"view","type":"function"},
  {"inputs":[{"internalType":"address","name":"account","type":"address"},{"internalType":"bytes32","name":"digest","type":"bytes32"},{"internalType":"bytes","name":"signature","type":"bytes"}],"name":"isSignedBy","outputs":[{"internalType":"bool","name":"","type":"bool"}],"stateMutability":"view","type":"function"},
  {"inputs":[{"internalType":"address","name":"signer","type":"address"}],"name":"revoke","outputs":[],"stateMutability":"nonpayable","type":"function"},
  {"inputs":[{"internalType":"address","name":"account","type":"address"},{"internalType":"address","name":"signer","type":"address"}],"name":"revoked","outputs":[{"internalType":"bool","name":"","type":"bool"}],"stateMutability":"view","type":"function"},
  {"inputs":[],"name":"secretRegistry","outputs":[{"internalType":"contract SecretRegistry","name":"","type":"address"}],"stateMutability":"view","type":"function"},
  {"inputs":[{"internalType":"address","name":"token","type":"address"}],"name":"tokenNetworks","outputs":[{"internalType":"contract TokenNetwork","name":"","type":"address"}],"stateMutability":"view","type":"function"},
] as const
