import { describe, expect, it } from 'vitest'
import { fromHex, type Hex } from '../../core/bytes.ts'
import { byWorth, sizeFor } from './registrar.ts'

const secretOf = (fill: number): Uint8Array => new Uint8Array(32).fill(fill)
const [eth, token] = [`0x${'11'.repeat(20)}`, `0x${'22'.repeat(20)}`] as const satisfies readonly Hex[]

describe('a registration', () => {
  it.each([
    [30_000_000n, 512],
    [2n ** 24n, 512],
    [1_000_000n, 85],
    [200_000n, 5],
    [21_000n, 1],
  ])('of %d gas takes %d secrets', (gas, size) => expect(sizeFor(gas)).toBe(size))

  it('begins with the most valuable ones of each network', () => {
    const some = [
      { secret: secretOf(1), tokenNetwork: eth, amount: 5n },
      { secret: secretOf(2), tokenNetwork: eth, amount: 7n },
      { secret: secretOf(3), tokenNetwork: token, amount: 10n ** 20n },
      { secret: secretOf(4), tokenNetwork: token, amount: 10n ** 21n },
      { secret: fromHex(`0x${'05'.repeat(32)}`), tokenNetwork: eth, amount: 6n },
    ]
    expect(byWorth(some).map(({ secret }) => secret[0])).toEqual([2, 4, 5, 3, 1])
  })
})
