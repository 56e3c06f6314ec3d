// Written by scripts/compile.mjs. Do not edit.

/** What `TokenNetwork.sol` tells, events and views, in ethers' human-readable form: a quarter of the size, for what runs in pages. */
export const tokenNetworkViewFragments = [
  'event ChannelClosed(bytes32 indexed channelId, address indexed closer, (uint64 nonce, uint128 transferred, uint128 locked, bytes32 locksroot) fromPartner, bytes32 watch, uint256 settleAt)',
  'event ChannelGift(bytes32 indexed channelId, address indexed participant, address indexed payer, uint256 totalGift)',
  'event ChannelNewDeposit(bytes32 indexed channelId, address indexed participant, uint256 totalDeposit)',
  'event ChannelOpened(bytes32 indexed channelId, address indexed participant1, address indexed participant2, uint40 epoch, bool consented)',
  'event ChannelSettled(bytes32 indexed channelId, uint256 paid1, uint256 paid2, uint256 locked1, uint256 locked2, bool cooperative)',
  'event ChannelUnlocked(bytes32 indexed channelId, address indexed sender, uint256 toReceiver, uint256 toSender, uint256 numbers)',
  'event ChannelWithdraw(bytes32 indexed channelId, address indexed participant, uint256 totalWithdraw)',
  'event Credited(address indexed token, address indexed account, uint256 amount)',
  'event LocksReleased(bytes32 indexed channelId, address indexed sender, bytes32[] locks)',
  'event NonClosingBalanceProofUpdated(bytes32 indexed channelId, address indexed closer, (uint64 nonce, uint128 transferred, uint128 locked, bytes32 locksroot) fromCloser)',
  'event SessionKeyAdded(bytes32 indexed channelId, address indexed participant, address signer)',
  'event Withdrawn(address indexed token, address indexed account, address to, uint256 amount)',
  'function DOMAIN_SEPARATOR() view returns (bytes32)',
  'function challengePeriod() view returns (uint32)',
  'function channel(address a, address b) view returns ((bytes32 channelId, uint40 epoch, uint8 state, uint128 deposit1, uint128 deposit2, uint128 withdrawn1, uint128 withdrawn2, uint40 settleAt, bool consented, uint128 gift1, uint128 gift2) shown)',
  'function channelId(address a, address b, uint40 epoch) view returns (bytes32)',
  'function credit(address account) view returns (uint256)',
  'function eip712Domain() view returns (bytes1 fields, string name, string version, uint256 chainId, address verifyingContract, bytes32 salt, uint256[] extensions)',
  'function registry() view returns (address)',
  'function secretRegistry() view returns (address)',
  'function sessionKeys(bytes32 channelId, address account, address signer) view returns (bool)',
  'function token() view returns (address)',
] as const
