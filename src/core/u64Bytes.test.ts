import { expect, it } from 'vitest'
import { channelIdOf } from '../channel/node/channel.ts'
import { encodeDelegation } from '../contracts/channelTypes.ts'
import { u64Bytes } from './bytes.ts'

it('writes a number in 8 bytes, the highest first', () => {
  expect([...u64Bytes(258, 'size')]).toEqual([0, 0, 0, 0, 0, 0, 1, 2])
  expect([...u64Bytes(Number.MAX_SAFE_INTEGER, 'size')]).toEqual([0, 31, 255, 255, 255, 255, 255, 255])
})

it('refuses what would become another number, and names it, also where it is called from', () => {
  const account = `0x${'12'.repeat(20)}` as const
  for (const value of [-1, 0.5, NaN, Infinity, 2 ** 53, 2 ** 64]) {
    const refused = (name: string): Error => expect.objectContaining({ code: 'BAD_ARGUMENT', details: { name } }) as Error
    expect(() => u64Bytes(value, 'size')).toThrow(refused('size'))
    expect(() => encodeDelegation(value, new Uint8Array(65))).toThrow(refused('validUntil'))
    expect(() => channelIdOf(account, account, account, value)).toThrow(refused('epoch'))
  }
})
