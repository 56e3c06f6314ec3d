import { describe, expect, it } from 'vitest'
import type { Presented } from '../node/channel.ts'
import { NO_HASH } from '../wire/messages.ts'
import { gainOf, releasable, type ClosedMoney } from './worth.ts'

const shown = (transferred: bigint, locked = 0n): Presented => ({ nonce: 1, transferred, locked, locksroot: NO_HASH })
const money = (closer: bigint, client = 0n, fromClient = shown(0n)): ClosedMoney => ({
  client: { deposit: client, withdrawn: 0n },
  closer: { deposit: closer, withdrawn: 0n },
  fromClient,
})

describe('what an answer gains a client', () => {
  it.each<[string, ClosedMoney, Presented, Presented, bigint]>([
    ['is what the closer has paid it', money(1_000n), shown(0n), shown(350n), 350n],
    ['is what is new, where an older proof stands', money(1_000n), shown(300n), shown(350n), 50n],
    ['is no more than the channel holds', money(1_000n), shown(0n), shown(10n ** 30n), 1_000n],
    ['is nothing in a channel without money', money(0n), shown(0n), shown(10n ** 30n), 0n],
    ['is nothing where all is the client\'s already', money(0n, 500n), shown(0n), shown(10n ** 30n), 0n],
    ['counts what the closer has locked', money(1_000n), shown(0n), shown(100n, 200n), 300n],
    ['is nothing for what was withdrawn', { ...money(1_000n), closer: { deposit: 1_000n, withdrawn: 1_000n } }, shown(0n), shown(5n), 0n],
  ])('%s', (_, held, before, after, gain) => {
    expect(gainOf(held, before, after)).toBe(gain)
  })
})

describe('what releases save a client', () => {
  it.each<[string, ClosedMoney, bigint]>([
    ['is what the closer presented as locked', money(0n, 1_000n, shown(0n, 100n)), 100n],
    ['is nothing where it presented no lock', money(0n, 1_000n, shown(400n)), 0n],
    ['is nothing in a channel without money', money(0n, 0n, shown(0n, 100n)), 0n],
    ['is no more than the client has', money(0n, 60n, shown(0n, 100n)), 60n],
  ])('%s', (_, held, saved) => {
    expect(releasable(held, shown(0n))).toBe(saved)
  })
})
