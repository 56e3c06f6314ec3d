import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { messageFixtures } from '../../test/fixtures/messages/fixtures.ts'
import { keccak256, toUtf8Bytes } from 'ethers'
import { chunkCount, ETH, findItem, menuFromWire, menuHash, menuToWire, priceOf, rangeOf, ZERO32, type Item, type Selection } from './menu.ts'
import { canonicalText, decodeMessage, MAX_TEXT_TO_BUYER } from './message.ts'
import { payFor } from './order.ts'
import type { Payload } from './wire.ts'

const item: Item = {
  id: 'weather',
  size: 1000,
  info: '',
  price: 10_000n,
  token: ETH,
  granularity: 300,
  root: `0x${'ab'.repeat(32)}`,
  live: false,
  sample: undefined,
  alipayPrice: undefined,
}
const live: Item = { ...item, id: 'ticker', root: ZERO32, live: true }

describe('rangeOf', () => {
  const range = (selection?: Selection) => rangeOf(item, selection)

  it('is the whole item when nothing is selected', () => {
    expect(range()).toEqual({ first: 0, count: 4, bytes: 1000 })
    expect(rangeOf({ ...item, size: 900 })).toEqual({ first: 0, count: 3, bytes: 900 })
    expect(rangeOf({ ...item, size: 1 })).toEqual({ first: 0, count: 1, bytes: 1 })
  })

  it.each<[Selection, number, number, number]>([
    [{ bytes: [0, 1000] }, 0, 4, 1000],
    [{ bytes: [0, 1] }, 0, 1, 300],
    [{ bytes: [299, 301] }, 0, 2, 600],
    [{ bytes: [300, 600] }, 1, 1, 300],
    [{ bytes: [999, 1000] }, 3, 1, 100],
    [{ bytes: [899, 901] }, 2, 2, 400],
    [{ chunks: { first: 0, count: 4 } }, 0, 4, 1000],
    [{ chunks: { first: 3, count: 1 } }, 3, 1, 100],
    [{ chunks: { first: 1, count: 2 } }, 1, 2, 600],
  ])('covers %j with whole chunks', (selection, first, count, bytes) => {
    expect(range(selection)).toEqual({ first, count, bytes })
  })

  it.each<[Selection]>([
    [{ bytes: [0, 0] }],
    [{ bytes: [5, 5] }],
    [{ bytes: [5, 4] }],
    [{ bytes: [-1, 5] }],
    [{ bytes: [0, 1001] }],
    [{ bytes: [1000, 1001] }],
    [{ bytes: [0.5, 5] }],
    [{ bytes: [0, NaN] }],
    [{ bytes: [0, Infinity] }],
    [{ chunks: { first: 4, count: 1 } }],
    [{ chunks: { first: 0, count: 5 } }],
    [{ chunks: { first: 0, count: 0 } }],
    [{ chunks: { first: 1, count: -1 } }],
    [{ chunks: { first: -1, count: 2 } }],
    [{ chunks: { first: 0, count: 1.5 } }],
    [{ chunks: { first: 2 ** 53, count: 1 } }],
  ])('refuses %j', (selection) => {
    expect(() => range(selection)).toThrow(expect.objectContaining({ code: 'RANGE_INVALID' }))
  })

  it('of live data starts at its start and ends at the most that may come', () => {
    expect(rangeOf(live)).toEqual({ first: 0, count: 4, bytes: 1000 })
    expect(rangeOf(live, { bytes: [0, 301] })).toEqual({ first: 0, count: 2, bytes: 301 })
    const wrong: Selection[] = [{ bytes: [1, 10] }, { bytes: [0, 1001] }, { bytes: [0, 0] }, { chunks: { first: 0, count: 1 } }]
    for (const selection of wrong) {
      expect(() => rangeOf(live, selection)).toThrow(expect.objectContaining({ code: 'RANGE_INVALID' }))
    }
  })

  it('holds what was asked for and no chunk more', () => {
    const positive = (max: number) => fc.integer({ min: 1, max })
    const sizes = fc.record({ size: positive(10_000), granularity: positive(700), a: fc.nat(), b: fc.nat() })
    fc.assert(
      fc.property(sizes, ({ size, granularity, a, b }) => {
        const start = a % size
        const end = start + 1 + (b % (size - start))
        const { first, count, bytes } = rangeOf({ ...item, size, granularity }, { bytes: [start, end] })
        expect(first * granularity).toBeLessThanOrEqual(start)
        expect(start).toBeLessThan((first + 1) * granularity)
        expect(first * granularity + bytes).toBeGreaterThanOrEqual(end)
        expect((first + count - 1) * granularity).toBeLessThan(end)
        expect(bytes).toBe(Math.min(size, (first + count) * granularity) - first * granularity)
      }),
    )
  })
})

describe('priceOf', () => {
  it('is in proportion, rounded up', () => {
    expect(priceOf(item, 10_000n, 1000)).toBe(10_000n)
    expect(priceOf(item, 10_000n, 300)).toBe(3000n)
    expect(priceOf(item, 999n, 1)).toBe(1n)
    expect(priceOf(item, 1001n, 1)).toBe(2n)
    expect(priceOf(item, 0n, 300)).toBe(0n)
  })

  it('is never below what the bytes are worth, and never a unit above', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: (1n << 104n) - 1n }), fc.integer({ min: 1 }), fc.nat(), (price, size, x) => {
        const bytes = x % (size + 1)
        const worth = price * BigInt(bytes)
        const cost = priceOf({ size }, price, bytes) * BigInt(size)
        expect(cost).toBeGreaterThanOrEqual(worth)
        expect(cost - worth).toBeLessThan(BigInt(size))
        expect(priceOf({ size }, price, bytes)).toBeGreaterThanOrEqual(payFor({ price, totalData: size }, bytes))
      }),
    )
  })
})

describe('chunkCount', () => {
  it('counts the short last chunk, and none of live data', () => {
    expect([1, 299, 300, 301, 600, 1000].map((size) => chunkCount({ ...item, size }))).toEqual([1, 1, 1, 2, 2, 4])
    expect(chunkCount(live)).toBe(0)
  })
})

describe('a menu', () => {
  const payload = decodeMessage(messageFixtures.menu.valid[0]!.text, MAX_TEXT_TO_BUYER).payload as Payload<'menu'>

  it('is the same on the wire and back', () => {
    expect(menuToWire(menuFromWire(payload))).toEqual(payload)
    const empty = decodeMessage(messageFixtures.menu.valid[1]!.text, MAX_TEXT_TO_BUYER).payload as Payload<'menu'>
    expect(menuToWire(menuFromWire(empty))).toEqual(empty)
  })

  it('is read under the names used here', () => {
    const menu = menuFromWire(payload)
    expect(menu).toMatchObject({ granularity: 65536, payments: ['token', 'alipay'], modes: ['voucher', 'onchain'], window: 64, chainId: 31337n })
    expect(menu.validUntil).toBeUndefined()
    expect(menu.items[0]).toMatchObject({ id: 'weather', size: 1_000_000, price: 10n ** 18n, sample: { first: 0, count: 1 }, alipayPrice: 650n, live: false })
    expect(menu.items[1]).toMatchObject({ id: 'ticker', live: true, root: ZERO32, sample: undefined, alipayPrice: undefined })
  })

  it('has the hash of its canonical text, another for another menu', () => {
    const menu = menuFromWire(payload)
    expect(menuHash(menu)).toBe(keccak256(toUtf8Bytes(canonicalText(payload))))
    expect(menuHash({ ...menu, window: 65 })).not.toBe(menuHash(menu))
  })

  it('finds an item, or says which there are', () => {
    const menu = menuFromWire(payload)
    expect(findItem(menu, 'ticker').id).toBe('ticker')
    expect(() => findItem(menu, 'wether')).toThrow(
      expect.objectContaining({ code: 'NO_SUCH_ITEM', shortMessage: 'the seller has no item "wether"; it has "weather", "ticker"' }),
    )
    expect(() => findItem({ ...menu, items: [] }, 'x')).toThrow(expect.objectContaining({ shortMessage: 'the seller has no item "x"; it has none' }))
  })
})
