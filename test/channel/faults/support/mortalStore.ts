/**
 * A store in memory that can die like the process that has it, or fail at a write.
 * @module
 */
import { SluiceError } from '../../../../src/core/errors.ts'
import { memoryStore } from '../../../../src/core/store/memoryStore.ts'
import type { Store, StoreChange } from '../../../../src/core/store/store.ts'

/** What becomes of a write: it is done; it fails; or it is the last that is done, or the first that is lost, before the end. */
export type Fate = (write: number, changes: readonly StoreChange[]) => 'done' | 'refused' | 'last' | 'lost'

/** See {@link mortalStore}. */
export interface MortalStore extends Store {
  readonly entries: Map<string, Uint8Array>
  readonly dead: boolean
  /** From now on nothing is stored. */
  kill(): void
  /** Sets what becomes of each write from now on, counted from 0. */
  fate(fate: Fate | undefined): void
}

/** Opens a store on entries that outlive it. */
export function mortalStore(entries: Map<string, Uint8Array>, decides?: Fate): MortalStore {
  const store = memoryStore(entries)
  let dead = false
  let fate = decides
  let writes = 0
  const failed = (): SluiceError => new SluiceError('STORE_FAILED', 'the medium is gone')
  return {
    entries,
    get dead() {
      return dead
    },
    kill: () => void (dead = true),
    fate: (next) => {
      fate = next
      writes = 0
    },
    get: async (key) => {
      if (dead) throw failed()
      return store.get(key)
    },
    list: (prefix) => store.list(prefix),
    close: () => store.close(),
    write: async (changes) => {
      if (dead) throw failed()
      const what = fate ? fate(writes++, changes) : 'done'
      if (what === 'done' || what === 'last') await store.write(changes)
      if (what === 'last' || what === 'lost') dead = true
      if (what !== 'done') throw failed()
    },
  }
}
