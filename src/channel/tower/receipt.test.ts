import { TypedDataEncoder, Wallet } from 'ethers'
import { describe, expect, it } from 'vitest'
import { fromHex, toHex } from '../../core/bytes.ts'
import { generateKey } from '../../core/crypto/key.ts'
import { receiptDigest, receiptTypes, sealedHashOf, verifyReceipt, type TowerReceipt } from './receipt.ts'
import { rewardDigest, towerRewardTypes } from './rewardDigest.ts'

const key = generateKey()
const message = {
  chainId: 31337n,
  tower: key.address.toLowerCase() as `0x${string}`,
  hint: `0x${'12'.repeat(16)}`,
  counter: 3,
  sealedHash: sealedHashOf(new Uint8Array(9)),
  validUntil: 1_900_000_000,
  towerDeposit: `0x${'00'.repeat(20)}`,
  reward: 5n,
} as const satisfies Omit<TowerReceipt, 'signature'>
const receipt: TowerReceipt = { ...message, signature: key.sign(receiptDigest(message)) }

describe('a receipt', () => {
  it('proves to anybody what the tower signed', () => {
    expect(() => verifyReceipt(receipt)).not.toThrow()
  })

  it('of which anything is changed proves nothing', () => {
    const other = Wallet.createRandom().address.toLowerCase() as `0x${string}`
    const changes: Partial<TowerReceipt>[] = [
      { chainId: 1n },
      { tower: other },
      { hint: `0x${'13'.repeat(16)}` },
      { counter: 4 },
      { sealedHash: sealedHashOf(new Uint8Array(10)) },
      { validUntil: 1_900_000_001 },
      { towerDeposit: other },
      { reward: 4n },
      { signature: generateKey().sign(receiptDigest(message)) },
      { signature: new Uint8Array(65) },
    ]
    for (const change of changes)
      expect(() => verifyReceipt({ ...receipt, ...change })).toThrow(expect.objectContaining({ code: 'BAD_SIGNATURE' }))
  })

  it('is what wallets show and sign', () => {
    const { chainId, ...rest } = message
    const domain = { name: 'Sluice Tower', version: '1', chainId }
    expect(toHex(receiptDigest(message))).toBe(TypedDataEncoder.hash(domain, { Receipt: [...receiptTypes.Receipt] }, rest))
  })
})

describe('a reward', () => {
  it('is what wallets show and sign', () => {
    const address = `0x${'ab'.repeat(20)}` as const
    const reward = { tokenNetwork: address, channelId: `0x${'cd'.repeat(32)}`, nonce: 7, tower: address, amount: 8n } as const
    const domain = { name: 'Sluice TowerDeposit', version: '1', chainId: 5n, verifyingContract: address }
    expect(toHex(rewardDigest(5n, address, reward))).toBe(
      TypedDataEncoder.hash(domain, { TowerReward: [...towerRewardTypes.TowerReward] }, reward),
    )
    expect(fromHex(address)).toHaveLength(20)
  })
})
