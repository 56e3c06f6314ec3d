import { describe, expect, it } from 'vitest'
import type { Hex } from '../../core/bytes.ts'
import { createOffers, type Offers } from './offers.ts'

function setUp() {
  const state = { now: 1_000, confirmed: 100, standings: new Map<Hex, number>([['0xrich', 0], ['0xpoor', 1]]) }
  const offers: Offers<string> = createOffers({
    now: () => state.now, confirmed: () => state.confirmed, standings: () => state.standings,
    most: 4, mostOfOne: 3, patience: 60_000,
  })
  const keep = (secrethash: string, from: string): boolean => offers.keep(secrethash as Hex, `0x${from}`, 'an offer') !== undefined
  const has = (secrethash: string): boolean => offers.get(secrethash as Hex) !== undefined
  return { state, offers, keep, has }
}

describe('places for offers', () => {
  it('lapse when nothing is locked in time', () => {
    const { state, keep, has } = setUp()
    expect([keep('a', 'x'), keep('a', 'y'), has('a')]).toEqual([true, false, true])
    state.now += 59_999
    expect(has('a')).toBe(true)
    state.now++
    expect([has('a'), keep('a', 'y')]).toEqual([false, true])
  })

  it('last while something is locked, and no longer', () => {
    const { state, offers, keep, has } = setUp()
    keep('a', 'x')
    offers.get('a' as Hex)!.expiry = 500
    state.now += 3_600_000
    state.confirmed = 500
    expect(has('a')).toBe(true)
    state.confirmed = 501
    expect(has('a')).toBe(false)
  })

  it('lapse for others, too, once they are wanted', () => {
    const { state, keep } = setUp()
    expect(['a', 'b', 'c', 'd', 'e'].map((name, i) => keep(name, `x${i}`))).toEqual([true, true, true, true, false])
    state.now += 60_000
    expect(keep('e', 'x4')).toBe(true)
  })

  it('are bounded for one account', () => {
    const { offers, keep } = setUp()
    expect(['a', 'b', 'c', 'd'].map((name) => keep(name, 'rich'))).toEqual([true, true, true, false])
    offers.drop('b' as Hex)
    expect(keep('d', 'rich')).toBe(true)
  })

  it('are given up for an account with more at stake, those of accounts with nothing first, and never where money is locked', () => {
    const { offers, keep, has } = setUp()
    for (const [name, from] of [['a', 'poor'], ['b', 'free'], ['c', 'free'], ['d', 'free']] as const) keep(name, from)
    for (const name of ['b', 'c']) offers.get(name as Hex)!.expiry = 500
    expect(keep('e', 'stranger')).toBe(false)
    expect(keep('e', 'rich')).toBe(true)
    expect(['a', 'b', 'c', 'd', 'e'].map(has)).toEqual([true, true, true, false, true])
    expect(keep('f', 'poor')).toBe(false)
    expect(keep('f', 'rich')).toBe(true)
    expect(['a', 'b', 'c', 'e', 'f'].map(has)).toEqual([false, true, true, true, true])
  })
})
