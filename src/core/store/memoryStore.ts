import { type AsyncCloseable, closes } from '../dispose.ts'
import { assertArgument, SluiceError } from '../errors.ts'
import { assertChanges, assertKey } from './key.ts'
import type { Store } from './store.ts'

/** The maps that an open store owns. */
const owned = new WeakSet<Map<string, Uint8Array>>()

/**
 * A store that lasts as long as the process, for tests and for what may be forgotten.
 * @param entries where the entries live; pass the map of a closed store to open it again.
 * @throws `STORE_LOCKED` while another store has the map open.
 */
export function memoryStore(entries: Map<string, Uint8Array> = new Map()): Store & AsyncCloseable {
  assertArgument(entries instanceof Map, 'entries', 'a Map from text to bytes')
  if (owned.has(entries)) throw new SluiceError('STORE_LOCKED', 'another memory store has this map open: close it first')
  owned.add(entries)
  let open = true
  const assertOpen = (): void => {
    if (!open) throw new SluiceError('STORE_FAILED', 'the memory store is closed')
  }

  return {
    ...closes,
    async get(key) {
      assertOpen()
      assertKey(key)
      return entries.get(key)?.slice()
    },
    async write(changes) {
      assertOpen()
      assertChanges(changes)
      for (const { key, value } of changes) {
        if (value) entries.set(key, value.slice())
        else entries.delete(key)
      }
    },
    async *list(prefix) {
      assertOpen()
      if (prefix !== '') assertKey(prefix)
      for (const key of [...entries.keys()].filter((key) => key.startsWith(prefix)).sort(byCodePoint)) {
        assertOpen()
        const value = entries.get(key)
        if (value) yield [key, value.slice()]
      }
    },
    async close() {
      if (open) owned.delete(entries)
      open = false
    },
  }
}

/** Orders as UTF-8 does; a plain comparison would put the code points past U+FFFF before U+E000. */
function byCodePoint(a: string, b: string): number {
  for (let i = 0; i < a.length && i < b.length; ) {
    const x = a.codePointAt(i)!
    const y = b.codePointAt(i)!
    if (x !== y) return x - y
    i += x > 0xffff ? 2 : 1
  }
  return a.length - b.length
}
