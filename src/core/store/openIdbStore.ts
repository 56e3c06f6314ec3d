import { type DBSchema, type IDBPDatabase, openDB } from 'idb'
import { type AsyncCloseable, closes } from '../dispose.ts'
import { SluiceError } from '../errors.ts'
import { assertChanges, decodeKey, encodeKey, prefixEnd } from './key.ts'
import type { Store } from './store.ts'

interface Schema extends DBSchema {
  entries: { key: Uint8Array<ArrayBuffer>; value: Uint8Array }
}

/** Entries read at once while listing: an IndexedDB transaction can't stay open while the caller is busy. */
const PAGE = 128

/**
 * Opens a store in the browser's IndexedDB.
 *
 * A write is flushed to the disk when it resolves (`durability: 'strict'`). One tab or worker at a time: the next is
 * refused by a Web Lock, which the browser frees when the owner goes.
 * @throws `STORE_LOCKED` if another tab has it open, `STORE_FAILED` if the browser has no Web Locks (a page that isn't
 * served over https or localhost) or refuses the database.
 */
export async function openIdbStore(name: string): Promise<Store & AsyncCloseable> {
  const details = { store: name }
  const unlock = await lock(name)
  let db: IDBPDatabase<Schema>
  let open = true
  const giveUp = (): void => {
    open = false
    unlock()
  }
  try {
    db = await openDB<Schema>(`sluice-store:${name}`, 1, {
      upgrade: (fresh) => void fresh.createObjectStore('entries'),
      // The user deletes the site's data: let it happen.
      blocking: () => {
        db.close()
        giveUp()
      },
      terminated: giveUp,
    })
  } catch (cause) {
    unlock()
    throw new SluiceError('STORE_FAILED', `the browser could not open the store ${name}`, { cause, details })
  }

  const assertOpen = (): void => {
    if (!open) throw new SluiceError('STORE_FAILED', `the store ${name} is closed`, { details })
  }
  const failed = (what: string, cause: unknown): SluiceError =>
    new SluiceError('STORE_FAILED', `the store ${name} could not be ${what}`, { cause, details })

  return {
    ...closes,
    async get(key) {
      assertOpen()
      const encoded = encodeKey(key)
      try {
        return await db.get('entries', encoded)
      } catch (cause) {
        throw failed('read', cause)
      }
    },
    async write(changes) {
      assertOpen()
      assertChanges(changes)
      if (changes.length === 0) return
      const encoded = changes.map(({ key, value }) => ({ key: encodeKey(key), value }))
      try {
        // Read-write transactions of one object store run in the order of their making.
        const tx = db.transaction('entries', 'readwrite', { durability: 'strict' })
        await Promise.all([
          ...encoded.map(({ key, value }) =>
            // Copied: cloning a view into a large buffer would store the whole buffer.
            value ? tx.store.put(Uint8Array.from(value), key) : tx.store.delete(key),
          ),
          tx.done,
        ])
      } catch (cause) {
        throw failed('written', cause)
      }
    },
    async *list(prefix) {
      assertOpen()
      const end = prefixEnd(prefix)
      let from: Uint8Array<ArrayBuffer> = prefix === '' ? new Uint8Array(0) : encodeKey(prefix)
      let after = false
      for (;;) {
        assertOpen()
        const range = end ? IDBKeyRange.bound(from, end, after, true) : IDBKeyRange.lowerBound(from, after)
        let keys: BufferSource[]
        let values: Uint8Array[]
        try {
          const { store } = db.transaction('entries')
          ;[keys, values] = await Promise.all([store.getAllKeys(range, PAGE), store.getAll(range, PAGE)])
        } catch (cause) {
          throw failed('read', cause)
        }
        for (const [i, key] of keys.entries()) {
          from = new Uint8Array(key as unknown as ArrayBuffer)
          yield [decodeKey(from), values[i]!]
          assertOpen()
        }
        after = true
        if (keys.length < PAGE) return
      }
    },
    async close() {
      if (!open) return
      open = false
      // Waits for the transactions under way.
      db.close()
      unlock()
    },
  }
}

/** Takes the store's Web Lock; the result frees it. */
async function lock(name: string): Promise<() => void> {
  const locks = (navigator as { locks?: LockManager }).locks
  if (!locks) {
    throw new SluiceError('STORE_FAILED', 'a store needs Web Locks: serve the page over https or localhost')
  }
  return new Promise((resolve, reject) => {
    locks
      .request(`sluice-store:${name}`, { ifAvailable: true }, (granted) => {
        if (!granted) {
          throw new SluiceError('STORE_LOCKED', `the store ${name} is open in another tab: go on there, or close it`, {
            details: { store: name },
          })
        }
        return new Promise<void>((free) => resolve(free))
      })
      .catch(reject)
  })
}
