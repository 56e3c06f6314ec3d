import { describe, expect, it } from 'vitest'
import { isPromisable, roomFor, tierOf, TIERS } from './places.ts'

describe('the tier of a place', () => {
  it.each([
    [0n, 1n, -1], [0n, 0n, -1], [9n, 10n, -1], [10n, 10n, 0], [39n, 10n, 0], [40n, 10n, 1], [160n, 10n, 2],
    [10n ** 40n, 1n, TIERS - 1],
  ] as const)('with %s behind it and %s at least is %s', (stake, least, tier) => {
    expect(tierOf(stake, least)).toBe(tier)
  })
})

describe('promises', () => {
  const PLACES = 320
  /** Takes all places that are to be had with these stakes. */
  const fill = (stakes: readonly bigint[]): { readonly promised: number[]; readonly spent: bigint } => {
    const promised = Array<number>(TIERS).fill(0)
    let spent = 0n
    for (const stake of stakes) {
      const tier = tierOf(stake, 1n)
      while (isPromisable(tier, promised, PLACES)) {
        promised[tier]!++
        spent += stake
      }
    }
    return { promised, spent }
  }

  it('reach the number of places, and no further, only with every tier', () => {
    const { promised } = fill(Array.from({ length: TIERS }, (_, tier) => 4n ** BigInt(tier)))
    expect(promised.reduce((sum, each) => sum + each, 0)).toBe(PLACES)
    expect(roomFor(TIERS - 1, PLACES)).toBe(PLACES)
  })

  it('are left for those with more at stake, however many have less', () => {
    const { promised } = fill([1n])
    expect(promised[0]).toBe(roomFor(0, PLACES))
    expect([0, 1, 5].map((tier) => isPromisable(tier, promised, PLACES))).toEqual([false, true, true])
  })

  it('can be kept from somebody only with more money than it has at stake', () => {
    for (let tier = 0; tier < TIERS; tier++) {
      const most = 4n ** BigInt(tier + 1) - 1n // the most that somebody of this tier has
      const { promised, spent } = fill(Array.from({ length: tier + 1 }, (_, each) => 4n ** BigInt(each)))
      expect(isPromisable(tier, promised, PLACES)).toBe(false)
      expect(spent > most).toBe(true)
    }
  })

  it('are none without money', () => {
    expect(isPromisable(-1, [], PLACES)).toBe(false)
  })
})
