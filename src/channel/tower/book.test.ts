import { describe, expect, it } from 'vitest'
import { toHex, type Hex } from '../../core/bytes.ts'
import { SluiceError } from '../../core/errors.ts'
import { memoryStore } from '../../core/store/memoryStore.ts'
import type { Store } from '../../core/store/store.ts'
import { SEALED_APPOINTMENT } from '../wire/messages.ts'
import { openBook } from './book.ts'
import { roomFor, tierOf } from './places.ts'

const LIMITS = { maxAppointments: 3, maxPerClient: 2 }
const hint = (value: number): Hex => toHex(new Uint8Array(16).fill(value))
const client = (value: number): Hex => toHex(new Uint8Array(20).fill(value))
const sealed = (value: number): Uint8Array => new Uint8Array(SEALED_APPOINTMENT).fill(value)
const kept = (counter: number, validUntil = 100) => ({ counter, validUntil, sealed: sealed(counter) })

describe('the book of a tower', () => {
  it('keeps the newest appointment of a hint, across restarts', async () => {
    const entries = new Map<string, Uint8Array>()
    const store = memoryStore(entries)
    const book = await openBook(store, LIMITS)
    expect(await book.put(hint(1), client(1), kept(1), 0)).toBeUndefined()
    expect(await book.put(hint(1), client(1), kept(2), 1)).toBeUndefined()
    expect([book.size, book.has(hint(1)), book.has(hint(2))]).toEqual([1, true, false])
    await store.close()
    const again = await openBook(memoryStore(entries), LIMITS)
    expect(again.size).toBe(1)
    expect(await again.get(hint(1), client(1))).toEqual(kept(2))
    expect(await again.of(hint(1))).toEqual([{ ...kept(2), client: client(1) }])
  })

  it('takes nothing in the place of another than the one that is named, and nothing older', async () => {
    const book = await openBook(memoryStore(), LIMITS)
    await book.put(hint(1), client(1), kept(5), 0)
    for (const [counter, replaces] of [
      [6, 0], [6, 4], [6, 6], [5, 5], [4, 5],
    ] as const) {
      const other = { ...kept(counter), sealed: sealed(99) }
      expect(await book.put(hint(1), client(1), other, replaces)).toEqual(kept(5))
    }
    expect(await book.get(hint(1), client(1))).toEqual(kept(5))
  })

  it('gives the same appointment more time, and never less', async () => {
    const book = await openBook(memoryStore(), LIMITS)
    await book.put(hint(1), client(1), kept(1, 100), 0)
    expect(await book.put(hint(1), client(1), kept(1, 200), 1)).toBeUndefined()
    expect(await book.put(hint(1), client(1), kept(1, 150), 1)).toBeUndefined()
    expect((await book.get(hint(1), client(1)))!.validUntil).toBe(200)
    await book.put(hint(1), client(1), kept(2, 150), 1)
    expect((await book.get(hint(1), client(1)))!.validUntil).toBe(200)
  })

  it('keeps clients apart, also those with the same hint', async () => {
    const book = await openBook(memoryStore(), LIMITS)
    await book.put(hint(1), client(1), kept(9), 0)
    expect(await book.put(hint(1), client(2), kept(1), 0)).toBeUndefined()
    expect((await book.of(hint(1))).map(({ client: who, counter }) => [who, counter])).toEqual([[client(1), 9], [client(2), 1]])
    expect(await book.get(hint(1), client(3))).toBeUndefined()
  })

  it('has room for so many of a client, and so many in all', async () => {
    const book = await openBook(memoryStore(), LIMITS)
    const full = { code: 'OVERLOADED' }
    await book.put(hint(1), client(1), kept(1), 0)
    await book.put(hint(2), client(1), kept(1), 0)
    await expect(book.put(hint(3), client(1), kept(1), 0)).rejects.toMatchObject({ ...full, details: { limit: 2 } })
    expect(await book.put(hint(2), client(1), kept(2), 1)).toBeUndefined()
    await book.put(hint(3), client(2), kept(1), 0)
    await expect(book.put(hint(4), client(2), kept(1), 0)).rejects.toMatchObject({ ...full, details: { limit: 3 } })
    await book.expire(101, (each) => each !== hint(1))
    expect(book.size).toBe(2)
    await book.put(hint(4), client(2), kept(1), 0)
  })

  it('drops what is over, and nothing that is needed', async () => {
    const entries = new Map<string, Uint8Array>()
    const book = await openBook(memoryStore(entries), LIMITS)
    await book.put(hint(1), client(1), kept(1, 100), 0)
    await book.put(hint(2), client(1), kept(1, 100), 0)
    await book.put(hint(2), client(2), kept(1, 200), 0)
    await book.expire(100, () => false)
    expect(book.size).toBe(3)
    await book.expire(101, (each) => each === hint(1))
    expect(book.size).toBe(2)
    expect(await book.of(hint(2))).toHaveLength(1)
    await book.expire(500, () => false)
    expect([book.size, entries.size]).toEqual([0, 0])
  })

  it('has kept nothing when the store failed', async () => {
    const inner = memoryStore()
    let broken = true
    const store: Store = {
      ...inner,
      write: (changes) => (broken ? Promise.reject(new SluiceError('STORE_FAILED', 'full')) : inner.write(changes)),
    }
    const book = await openBook(store, LIMITS)
    await expect(book.put(hint(1), client(1), kept(1), 0)).rejects.toMatchObject({ code: 'STORE_FAILED' })
    expect([book.size, book.has(hint(1))]).toEqual([0, false])
    broken = false
    await book.put(hint(1), client(1), kept(1, 100), 0)
    broken = true
    await expect(book.put(hint(1), client(1), kept(1, 900), 1)).rejects.toMatchObject({ code: 'STORE_FAILED' })
    broken = false
    await book.expire(101, () => false)
    expect(book.size).toBe(0)
  })

  it('promises places by the money behind them, and breaks no promise', async () => {
    const entries = new Map<string, Uint8Array>()
    const store = memoryStore(entries)
    const book = await openBook(store, { maxAppointments: 32, maxPerClient: 40, unpromisedUntil: () => 50 })
    const stake = (account: number, amount: bigint) => ({
      account: client(account),
      tokenNetwork: client(99),
      amount,
      tierFor: (places: number) => tierOf(amount / BigInt(places), 1n),
    })
    const promisedOf = async (value: number, who: number) => (await book.get(hint(value), client(who)))?.backing?.promised
    for (let i = 1; i <= 32; i++) await book.put(hint(i), client(1), kept(1), 0)
    // A crowd with little: some get a promise, the rest is left for those with more.
    let promised = 0
    for (let i = 0; i < 32; i++) {
      await book.put(hint(100 + i), client(100 + i), kept(1), 0, stake(100 + i, 1n)).catch(() => {})
      if (await promisedOf(100 + i, 100 + i)) promised++
    }
    expect(promised).toBe(roomFor(0, 32))
    expect(book.size).toBe(32)
    await book.put(hint(200), client(200), kept(1), 0, stake(200, 4n))
    expect(await promisedOf(200, 200)).toBe(true)
    // Replacing one's own works in a full book, and what was not promised ends sooner.
    expect(await book.put(hint(200), client(200), kept(2), 1, stake(200, 4n))).toBeUndefined()
    expect((await book.get(hint(200), client(200)))!.validUntil).toBe(100)
    const unpromised = [...Array(32).keys()].find((i) => i >= promised && book.has(hint(100 + i)))
    expect((await book.get(hint(100 + unpromised!), client(100 + unpromised!)))!.validUntil).toBe(50)
    // The money has left: the promise with it.
    await book.rank(client(200), undefined)
    expect(await promisedOf(200, 200)).toBeUndefined()
    await store.close()
    const again = await openBook(memoryStore(entries), { maxAppointments: 32, maxPerClient: 40 })
    expect((await again.get(hint(100), client(100)))!.backing).toMatchObject({ promised: true, tier: 0, account: client(100) })
  })

  it('divides one account\'s money among its places', async () => {
    const book = await openBook(memoryStore(), { maxAppointments: 32, maxPerClient: 40 })
    const tierFor = (places: number): number => tierOf(4n / BigInt(places), 1n)
    const stake = { account: client(1), tokenNetwork: client(99), amount: 4n, tierFor }
    for (let i = 1; i <= 6; i++) await book.put(hint(i), client(i % 2), kept(1), 0, stake)
    const tierAt = async (i: number) => (await book.get(hint(i), client(i % 2)))!.backing?.tier
    const backings = await Promise.all([1, 2, 3, 4, 5, 6].map(tierAt))
    expect(backings).toEqual([1, 0, 0, 0, undefined, undefined])
    expect(book.clients(hint(1))).toEqual([client(1)])
  })
})
