/**
 * A store on a medium that fails: at a write, or for good from then on, as when the power goes.
 * @module
 */
import { SluiceError } from '../../../src/core/errors.ts'
import { memoryStore } from '../../../src/core/store/memoryStore.ts'
import type { Store, StoreChange } from '../../../src/core/store/store.ts'

/** What happens to a write: it is done, it is refused, or it is the last thing done, or not done, before the lights go out. */
export type WriteFate = 'done' | 'refused' | 'last' | 'lost'

/** See {@link faultyStore}. */
export interface FaultyStore extends Store {
  /** What is on the medium. */
  readonly entries: Map<string, Uint8Array>
  /** Writes so far. */
  readonly writes: number
  /** Whether the lights are out. */
  readonly dead: boolean
}

/** A store in memory that asks about each write. */
export function faultyStore(fate: (write: number, changes: readonly StoreChange[]) => WriteFate): FaultyStore {
  const entries = new Map<string, Uint8Array>()
  const store = memoryStore(entries)
  let writes = 0
  let dead = false
  const failed = (): SluiceError => new SluiceError('STORE_FAILED', 'the medium is gone')
  return {
    entries,
    get writes() {
      return writes
    },
    get dead() {
      return dead
    },
    get: async (key) => {
      if (dead) throw failed()
      return store.get(key)
    },
    list: (prefix) => store.list(prefix),
    close: () => store.close(),
    write: async (changes) => {
      if (dead) throw failed()
      const what = fate(writes++, changes)
      if (what === 'done' || what === 'last') await store.write(changes)
      if (what === 'last' || what === 'lost') dead = true
      if (what !== 'done') throw failed()
    },
  }
}
