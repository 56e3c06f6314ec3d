import { expect, test } from 'vitest'
import { assertAddress } from './address.ts'

const valid = ['0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48', '0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48', `0x${'0'.repeat(40)}`]
test.each(valid)('%s is an address', (address) => {
  expect(() => assertAddress(address, 'token')).not.toThrow()
})

const invalid: readonly [given: unknown, problem: string][] = [
  ['0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB49', 'checksum'],
  ['0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb4', 'has 39 digits'],
  ['0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb480', 'has 41 digits'],
  ['0x', 'has 0 digits'],
  ['a0b86991c6218b36c1d19d4a2e9eb0ce3606eb48', 'is none'],
  ['USDC', '"USDC" is none'],
  ['vitalik.eth', 'is none'],
  ['', 'is none'],
  ['XE7338O073KYGTWWZN0F2WZ0R8PX5ZPPZS', 'is none'],
  [undefined, 'it is undefined'],
  [null, 'it is null'],
  [5n, 'it is bigint'],
  [{ toString: () => valid[0] }, 'it is object'],
]
test.each(invalid)('%s is refused by name', (given, problem) => {
  const refused = expect(() => assertAddress(given, 'items["a"].token'))
  refused.toThrow(expect.objectContaining({ code: 'BAD_ARGUMENT', details: { name: 'items["a"].token' } }))
  refused.toThrow(problem)
})
