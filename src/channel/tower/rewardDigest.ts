import { typedDataHasher } from '../../core/crypto/typedData.ts'
import type { Hex } from '../../core/bytes.ts'

/** Client: "whoever `tower` names gets `amount` for showing this proof of my partner". */
export interface TowerRewardMessage {
  readonly tokenNetwork: Hex
  readonly channelId: Hex
  /** Of the balance proof. */
  readonly nonce: number
  /** Zero for whoever shows it. */
  readonly tower: Hex
  readonly amount: bigint
}

/** Fields of the type that `TowerDeposit.sol` checks. */
export const towerRewardTypes = {
  TowerReward: [
    { name: 'tokenNetwork', type: 'address' },
    { name: 'channelId', type: 'bytes32' },
    { name: 'nonce', type: 'uint64' },
    { name: 'tower', type: 'address' },
    { name: 'amount', type: 'uint128' },
  ],
} as const

/** The digest of a reward under the `TowerDeposit` at an address. Source: EIP-712. */
export function rewardDigest(chainId: bigint, towerDeposit: string, message: TowerRewardMessage): Uint8Array {
  const domain = { name: 'Sluice TowerDeposit', version: '1', chainId, verifyingContract: towerDeposit }
  return typedDataHasher(domain, 'TowerReward', towerRewardTypes.TowerReward)({ ...message })
}
