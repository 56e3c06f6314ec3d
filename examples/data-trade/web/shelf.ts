import { openDB, type DBSchema } from 'idb'
import type { Hex } from 'sluice-sdk'

interface Schema extends DBSchema {
  chunks: { key: [order: Hex, offset: number]; value: Uint8Array<ArrayBuffer> }
}

/** Where what was bought lies, so that a reload loses nothing. */
export interface Shelf {
  put(order: Hex, offset: number, chunk: Uint8Array): Promise<void>
  /** Goes through what is there of an order, from its start. */
  read(order: Hex): AsyncGenerator<Uint8Array<ArrayBuffer>>
  /** Joins what is there of an order into a file. */
  file(order: Hex): Promise<Blob>
}

/** Opens the shelf in this browser's IndexedDB. */
export async function openShelf(): Promise<Shelf> {
  const db = await openDB<Schema>('sluice-example-shelf', 1, { upgrade: (fresh) => void fresh.createObjectStore('chunks') })
  const rangeOf = (order: Hex): IDBKeyRange => IDBKeyRange.bound([order, 0], [order, Infinity])

  async function* read(order: Hex): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    for (const key of await db.getAllKeys('chunks', rangeOf(order))) yield (await db.get('chunks', key))!
  }

  return {
    // On the disk before the next chunk is asked for, and this one paid.
    put: async (order, offset, chunk) => {
      const tx = db.transaction('chunks', 'readwrite', { durability: 'strict' })
      await Promise.all([tx.store.put(Uint8Array.from(chunk), [order, offset]), tx.done])
    },
    read,
    file: async (order) => {
      const parts: Uint8Array<ArrayBuffer>[] = []
      for await (const part of read(order)) parts.push(part)
      return new Blob(parts)
    },
  }
}
