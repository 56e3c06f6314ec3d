import type { Registry, RegistryEntry } from '../protocol/registry/registry.ts'
import { assertSuite, codeOf, type TestRunner } from './suite.ts'

/** A registry, and what it holds. */
export interface RegistryUnderTest {
  readonly registry: Registry
  /** At least two entries, all that there are, in any order. */
  readonly entries: readonly RegistryEntry[]
  /** Cleans up behind a test. */
  close?(): Promise<void>
}

/**
 * Tests that a registry keeps the promises of {@link Registry}.
 * @param open opens a registry with at least two entries.
 * @example
 * ```ts
 * import { describe, expect, it } from 'vitest'
 * import { staticRegistry } from 'sluice-sdk/registry'
 * import { registrySuite } from 'sluice-sdk/testing'
 *
 * registrySuite('static', async () => ({ registry: staticRegistry(entries), entries }), { describe, it, expect })
 * ```
 */
export function registrySuite(name: string, open: () => Promise<RegistryUnderTest>, runner: TestRunner): void {
  assertSuite(name, open, runner)
  const { describe, it, expect } = runner
  const test = (what: string, body: (registry: Registry, entries: readonly RegistryEntry[]) => Promise<void>): unknown =>
    it(what, async () => {
      const { registry, entries, close } = await open()
      try {
        await body(registry, entries)
      } finally {
        await close?.()
      }
    })
  const collect = async (list: AsyncIterable<RegistryEntry>): Promise<RegistryEntry[]> => {
    const out: RegistryEntry[] = []
    for await (const entry of list) out.push(entry)
    return out
  }
  /** Entries in one order and one spelling: an account's letters may be of either case. */
  const plain = (entries: readonly RegistryEntry[]): unknown =>
    entries
      .map(({ account, endpoint, publicKey, menuHash }) => [account.toLowerCase(), endpoint, publicKey, menuHash].join(' '))
      .sort()

  describe(`${name} as a registry`, () => {
    test('finds every entry by its account, in letters of either case', async (registry, entries) => {
      for (const entry of [entries[0]!, entries.at(-1)!]) {
        const spellings = [entry.account, entry.account.toLowerCase(), `0x${entry.account.slice(2).toUpperCase()}`]
        for (const account of spellings) expect(plain([await registry.find(account)])).toEqual(plain([entry]))
      }
    })

    test('says which account is not there', async (registry) => {
      expect(await codeOf(() => registry.find(`0x${'00'.repeat(19)}01`))).toEqual('NO_SUCH_SELLER')
    })

    test('knows no account that is none', async (registry) => {
      for (const account of ['', '0x12', 'alice', '../sellers', `0x${'g'.repeat(40)}`]) {
        expect([account, await codeOf(() => registry.find(account))]).toEqual([account, 'NO_SUCH_SELLER'])
      }
    })

    test('lists every entry once', async (registry, entries) => {
      expect(plain(await collect(registry.list()))).toEqual(plain(entries))
    })

    test('lists what the filter lets through', async (registry, entries) => {
      const wanted = entries.slice(0, 1)
      const isWanted = ({ endpoint }: RegistryEntry): boolean => endpoint === wanted[0]!.endpoint
      expect(plain(await collect(registry.list({ filter: isWanted })))).toEqual(plain(wanted))
      expect(await collect(registry.list({ filter: () => false }))).toEqual([])
    })

    test('can be left in the middle of a list, and listed again', async (registry, entries) => {
      let met = 0
      for await (const _ of registry.list()) {
        met++
        break
      }
      expect(met).toEqual(1)
      expect((await collect(registry.list())).length).toEqual(entries.length)
    })

    test('stops when it is told to', async (registry) => {
      const signal = AbortSignal.abort()
      expect(await codeOf(() => registry.find(`0x${'00'.repeat(19)}01`, { signal }))).toEqual('ABORTED')
      expect(await codeOf(() => collect(registry.list({ signal })))).toEqual('ABORTED')
    })
  })
}
