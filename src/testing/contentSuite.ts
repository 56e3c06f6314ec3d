import type { ContentStore } from '../des/server/context.ts'
import type { ManualClock } from './manualClock.ts'
import { codeOf, type TestRunner } from './suite.ts'

/** An empty content store. */
export interface ContentsUnderTest {
  readonly store: ContentStore
  /** The clock that the store keeps time by. */
  readonly clock: ManualClock
  /** Changes a byte of what is kept under a CID, behind the store's back. */
  damage(cid: string): Promise<void>
  /** Cleans up behind a test. */
  close?(): Promise<void>
}

/** CIDs that others have published, or that `ipfs add` gives. */
const KNOWN: readonly (readonly [cid: string, bytes: Uint8Array])[] = [
  ['QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH', new Uint8Array(0)],
  ['QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o', new TextEncoder().encode('hello world\n')],
]
/** Chunks of which a tree has two levels. */
const LARGE = 262_144 * 3 + 17

/**
 * Tests that a content store keeps the promises of {@link ContentStore}.
 * @param open opens an empty store at every call.
 */
export function contentSuite(name: string, open: () => Promise<ContentsUnderTest>, { describe, it, expect }: TestRunner): void {
  const test = (what: string, body: (contents: ContentsUnderTest) => Promise<void>): unknown =>
    it(what, async () => {
      const contents = await open()
      try {
        await body(contents)
      } finally {
        await contents.close?.()
      }
    })
  /** Runners compare typed arrays of several kinds in several ways. */
  const plain = (bytes: Uint8Array | undefined): string | undefined => bytes && Array.from(bytes).join()
  const text = (words: string): Uint8Array => new TextEncoder().encode(words)

  describe(`${name} as a content store`, () => {
    test('calls contents as IPFS does, and gives them back', async ({ store }) => {
      for (const [cid, bytes] of KNOWN) {
        expect(await store.put(bytes)).toEqual(cid)
        expect(plain(await store.get(cid))).toEqual(plain(bytes))
      }
    })

    test('takes what is longer than one block', async ({ store }) => {
      const bytes = Uint8Array.from({ length: LARGE }, (_, at) => (at * 31) & 255)
      const cid = await store.put(bytes)
      expect(cid).toEqual('QmUbEVs4P9YLXakqMcfmyfgtuSnuYeTH7zAzVVFKQ6M3f1')
      expect(plain(await store.get(cid))).toEqual(plain(bytes))
    })

    test('keeps its own copy', async ({ store }) => {
      const bytes = text('first')
      const cid = await store.put(bytes)
      bytes[0] = 0
      expect(plain(await store.get(cid))).toEqual(plain(text('first')))
    })

    test('takes the same content twice, at once too', async ({ store }) => {
      const cids = await Promise.all([text('twice'), text('twice'), text('twice')].map((bytes) => store.put(bytes)))
      expect(new Set(cids).size).toEqual(1)
      expect(plain(await store.get(cids[0]!))).toEqual(plain(text('twice')))
    })

    test('has nothing under other names, and refuses what is no name', async ({ store }) => {
      expect(await store.get(KNOWN[0]![0])).toEqual(undefined)
      for (const bad of ['', 'Qm', '../etc', `${KNOWN[0]![0]}x`])
        expect([bad, await codeOf(() => store.get(bad))]).toEqual([bad, 'BAD_ARGUMENT'])
    })

    test('forgets what is older than it is told, counts it, and keeps the rest', async ({ store, clock }) => {
      const old = [await store.put(text('old one')), await store.put(text('old two'))]
      await clock.advance(1000)
      const edge = clock.now()
      const young = await store.put(text('young'))
      expect(await store.dropBefore(edge)).toEqual(2)
      expect([await store.get(old[0]!), await store.get(old[1]!)]).toEqual([undefined, undefined])
      expect(plain(await store.get(young))).toEqual(plain(text('young')))
      expect(await store.dropBefore(edge)).toEqual(0)
      expect(await store.dropBefore(edge + 1)).toEqual(1)
    })

    test('counts the age of what is put again from then on', async ({ store, clock }) => {
      const cid = await store.put(text('again'))
      await clock.advance(1000)
      const edge = clock.now()
      await store.put(text('again'))
      expect(await store.dropBefore(edge)).toEqual(0)
      expect(plain(await store.get(cid))).toEqual(plain(text('again')))
    })

    test('never gives out what is not what was put', async ({ store, damage }) => {
      const cid = await store.put(text('genuine'))
      await damage(cid)
      expect(await codeOf(() => store.get(cid))).toEqual('STORE_CORRUPT')
    })
  })
}
