import type { Store } from '../core/store/store.ts'
import { assertSuite, codeOf, type TestRunner } from './suite.ts'

/** A fresh store, and the way to open it again. */
export interface StoreUnderTest {
  readonly store: Store
  /** Opens the same place once more, be it closed or not. */
  reopen(): Promise<Store>
}

/**
 * Tests that a store keeps the promises of {@link Store}; it runs in browsers too.
 * @param open opens a store on a fresh, empty place at every call.
 * @example
 * ```ts
 * import { describe, expect, it } from 'vitest'
 * import { memoryStore } from 'sluice-sdk/store'
 * import { storeSuite } from 'sluice-sdk/testing'
 *
 * storeSuite('memory', async () => {
 *   const entries = new Map<string, Uint8Array>()
 *   return { store: memoryStore(entries), reopen: async () => memoryStore(entries) }
 * }, { describe, it, expect })
 * ```
 */
export function storeSuite(name: string, open: () => Promise<StoreUnderTest>, runner: TestRunner): void {
  assertSuite(name, open, runner)
  const { describe, it, expect } = runner
  const bytes = (...values: number[]): Uint8Array => Uint8Array.of(...values)
  /** A plain list, since runners compare typed arrays of several kinds in several ways. */
  const plain = (value: Uint8Array | undefined): number[] | undefined => value && [...value]

  const put = (store: Store, key: string, ...values: number[]): Promise<void> =>
    store.write([{ key, value: bytes(...values) }])

  const listed = async (store: Store, prefix: string): Promise<[string, number[]][]> => {
    const out: [string, number[]][] = []
    for await (const [key, value] of store.list(prefix)) out.push([key, [...value]])
    return out
  }

  /** A test on a fresh store, which is closed whatever comes. */
  const test = (what: string, body: (store: Store, reopen: () => Promise<Store>) => Promise<void>): unknown =>
    it(what, async () => {
      const { store, reopen } = await open()
      const opened = [store]
      try {
        await body(store, async () => {
          const again = await reopen()
          opened.push(again)
          return again
        })
      } finally {
        for (const each of opened) await each.close()
      }
    })

  describe(`store: ${name}`, () => {
    test('reads what was written, and nothing else', async (store) => {
      expect(await store.get('a')).toEqual(undefined)
      await put(store, 'a', 1, 2)
      await put(store, 'ab', 3)
      expect(plain(await store.get('a'))).toEqual([1, 2])
      expect(plain(await store.get('ab'))).toEqual([3])
      expect(await store.get('A')).toEqual(undefined)
      expect(await store.get('abc')).toEqual(undefined)
    })

    test('overwrites and deletes', async (store) => {
      await put(store, 'a', 1)
      await put(store, 'a', 2, 2)
      expect(plain(await store.get('a'))).toEqual([2, 2])
      await store.write([{ key: 'a', value: null }])
      expect(await store.get('a')).toEqual(undefined)
      await store.write([{ key: 'never there', value: null }])
      await store.write([])
      expect(await listed(store, '')).toEqual([])
    })

    test('tells an empty value from none', async (store) => {
      await put(store, 'empty')
      expect(plain(await store.get('empty'))).toEqual([])
      expect(await listed(store, '')).toEqual([['empty', []]])
    })

    test('keeps every byte of a large value', async (store) => {
      const large = Uint8Array.from({ length: 1 << 20 }, (_, i) => (i * 2_654_435_761) >>> 24)
      await store.write([{ key: 'large', value: large }])
      const read = await store.get('large')
      expect(read?.length).toEqual(large.length)
      expect(read?.findIndex((byte, i) => byte !== large[i])).toEqual(-1)
    })

    test('makes all changes of a write', async (store) => {
      await put(store, 'b', 1)
      await store.write([
        { key: 'a', value: bytes(2) },
        { key: 'b', value: null },
        { key: 'c', value: bytes(3) },
      ])
      expect(await listed(store, '')).toEqual([
        ['a', [2]],
        ['c', [3]],
      ])
    })

    test('makes no change of a write that is refused', async (store) => {
      const write = store.write([
        { key: 'good', value: bytes(1) },
        { key: '', value: bytes(2) },
      ])
      expect(await codeOf(() => write)).toEqual('BAD_ARGUMENT')
      expect(await store.get('good')).toEqual(undefined)
    })

    test('takes the last of several changes of one key', async (store) => {
      await store.write([
        { key: 'a', value: bytes(1) },
        { key: 'a', value: null },
        { key: 'a', value: bytes(3) },
        { key: 'b', value: bytes(4) },
        { key: 'b', value: null },
      ])
      expect(await listed(store, '')).toEqual([['a', [3]]])
    })

    test('keeps the order of writes that nobody waited for', async (store) => {
      const writes = Array.from({ length: 100 }, (_, i) => put(store, i % 2 ? 'odd' : 'even', i))
      await writes[50]
      writes.push(put(store, 'even', 100), put(store, 'odd', 101))
      await Promise.all(writes)
      expect(plain(await store.get('even'))).toEqual([100])
      expect(plain(await store.get('odd'))).toEqual([101])
    })

    test('takes the bytes at the call and gives bytes away', async (store) => {
      const value = bytes(1, 2, 3)
      const first = store.write([{ key: 'a', value }])
      const second = store.write([{ key: 'b', value: value.subarray(1, 2) }])
      value.fill(9)
      await first
      await second
      expect(plain(await store.get('a'))).toEqual([1, 2, 3])
      expect(plain(await store.get('b'))).toEqual([2])
      const read = (await store.get('a'))!
      const cut = read.slice(0, 1)
      read.fill(7)
      expect(plain(cut)).toEqual([1])
      for await (const [, each] of store.list('')) each.fill(8)
      expect(plain(await store.get('a'))).toEqual([1, 2, 3])
    })

    test('lists a prefix by ascending code point', async (store) => {
      const inOrder = ['a', 'a/', 'a/1', 'a/10', 'a/2', 'a/~', 'a/é', 'a/\uffff', 'a/\u{10000}', 'a/\u{10ffff}', 'a/\u{10ffff}z', 'a0', 'b', '\u{10ffff}']
      await store.write(inOrder.toReversed().map((key) => ({ key, value: bytes(key.length) })))
      const keys = async (prefix: string) => (await listed(store, prefix)).map(([key]) => key)
      expect(await keys('')).toEqual(inOrder)
      expect(await keys('a/')).toEqual(inOrder.slice(1, 11))
      expect(await keys('a/1')).toEqual(['a/1', 'a/10'])
      expect(await keys('a/\u{10ffff}')).toEqual(['a/\u{10ffff}', 'a/\u{10ffff}z'])
      expect(await keys('a/1/')).toEqual([])
      expect(await keys('c')).toEqual([])
    })

    test('lists through changes, and waits for the one who reads', async (store) => {
      const key = (i: number): string => `n/${String(i).padStart(4, '0')}`
      await store.write(Array.from({ length: 300 }, (_, i) => ({ key: key(i), value: bytes(i & 255) })))
      const met: string[] = []
      for await (const [each] of store.list('n/')) {
        met.push(each)
        if (met.length % 60 === 0) {
          await new Promise((resolve) => setTimeout(resolve, 1))
          // Behind, where the reader is, and a good way ahead.
          await store.write([
            { key: key(0), value: null },
            { key: each, value: null },
            { key: `n/${String(met.length + 30).padStart(4, '0')}+`, value: bytes(1) },
          ])
        }
      }
      const standing = met.filter((each) => !each.endsWith('+'))
      expect(standing).toEqual(Array.from({ length: 300 }, (_, i) => key(i)))
      expect(met).toEqual(met.toSorted())
    })

    test('goes on after a listing was left early', async (store) => {
      await store.write([1, 2, 3].map((i) => ({ key: `k${i}`, value: bytes(i) })))
      for await (const [key] of store.list('k')) {
        expect(key).toEqual('k1')
        break
      }
      await put(store, 'k4', 4)
      expect((await listed(store, 'k')).length).toEqual(4)
    })

    test('refuses keys that are no text', async (store) => {
      for (const key of ['', '\ud800', 'a\udc00']) {
        expect(await codeOf(() => store.get(key))).toEqual('BAD_ARGUMENT')
        expect(await codeOf(() => store.write([{ key, value: bytes(1) }]))).toEqual('BAD_ARGUMENT')
      }
      expect(await codeOf(() => listed(store, '\ud800'))).toEqual('BAD_ARGUMENT')
    })

    test('refuses everything once it is closed, but closing again', async (store) => {
      await put(store, 'a', 1)
      await put(store, 'b', 2)
      const listing = store.list('')[Symbol.asyncIterator]()
      await listing.next()
      await store.close()
      await store.close()
      expect(await codeOf(() => listing.next())).toEqual('STORE_FAILED')
      expect(await codeOf(() => store.get('a'))).toEqual('STORE_FAILED')
      expect(await codeOf(() => put(store, 'a', 1))).toEqual('STORE_FAILED')
      expect(await codeOf(() => store.write([]))).toEqual('STORE_FAILED')
      expect(await codeOf(() => listed(store, ''))).toEqual('STORE_FAILED')
    })

    test('finishes the writes under way before it closes, and has them when opened again', async (store, reopen) => {
      const writes = Array.from({ length: 20 }, (_, i) => put(store, `k${i}`, i))
      await store.close()
      await Promise.all(writes)
      const again = await reopen()
      for (let i = 0; i < 20; i++) expect(plain(await again.get(`k${i}`))).toEqual([i])
      await again.write([{ key: 'k0', value: null }])
      await again.close()
      expect((await listed(await reopen(), 'k')).length).toEqual(19)
    })

    test('has one owner at a time', async (store, reopen) => {
      await put(store, 'a', 1)
      expect(await codeOf(reopen)).toEqual('STORE_LOCKED')
      expect(plain(await store.get('a'))).toEqual([1])
      await store.close()
      const next = await reopen()
      await store.close()
      expect(await codeOf(reopen)).toEqual('STORE_LOCKED')
      expect(plain(await next.get('a'))).toEqual([1])
    })
  })
}
