/**
 * How a buyer's orders lie in its store.
 * @module
 */
import { concatBytes, u64Bytes, utf8, type Hex } from '../core/bytes.ts'
import { assertArgument, SluiceError } from '../core/errors.ts'
import type { Store } from '../core/store/store.ts'
import type { WrongChunk } from './intake.ts'
import type { PurchaseRecord, Standing } from './course.ts'

/** Where an order stands as far as its buyer knows. */
export type PurchaseState =
  /** Its terms are fixed; the deposit may be on its way. */
  | 'opening'
  /** The deposit is made. */
  | 'open'
  /** Delivered, or left by the buyer; the seller settles it. */
  | 'done'
  /** The seller broke the terms. */
  | 'failed'
  /** Settled on chain. */
  | 'settled'

/** An order in the store. */
export interface StoredPurchase {
  readonly record: PurchaseRecord
  readonly state: PurchaseState
  readonly evidence: WrongChunk | undefined
}

/** The records of one buyer. */
export interface PurchaseBook {
  get(id: Hex): Promise<StoredPurchase>
  put(purchase: StoredPurchase): Promise<void>
  /** Forgets an order that never came to be. */
  remove(id: Hex): Promise<void>
  list(): AsyncIterable<StoredPurchase>
  standing(id: Hex): Promise<Standing | undefined>
  saveStanding(id: Hex, standing: Standing): Promise<void>
  /** Keeps a seller's signed menu, the evidence of its offer, once however many orders refer to it. */
  saveMenu(hash: Hex, text: string): Promise<void>
  /** A kept menu message. */
  menu(hash: Hex): Promise<string | undefined>
}

/** Opens the book. */
export function purchaseBook(store: Store): PurchaseBook {
  const recordKey = (id: Hex): string => `order/${id}`
  const standingKey = (id: Hex): string => `ack/${id}`
  const menuKey = (hash: Hex): string => `menu/${hash}`
  const read = (bytes: Uint8Array): StoredPurchase => {
    try {
      return JSON.parse(new TextDecoder().decode(bytes), revive) as StoredPurchase
    } catch (cause) {
      throw new SluiceError('STORE_CORRUPT', 'an order in the store cannot be read', { cause })
    }
  }
  return {
    get: async (id) => {
      const bytes = await store.get(recordKey(id))
      if (!bytes) throw new SluiceError('NO_SUCH_ORDER', `order ${id} is not in this store`, { details: { order: id } })
      return read(bytes)
    },
    put: (purchase) => store.write([{ key: recordKey(purchase.record.id), value: utf8(JSON.stringify(purchase, replace)) }]),
    remove: (id) => store.write([{ key: recordKey(id), value: null }]),
    async *list() {
      for await (const [, value] of store.list('order/')) yield read(value)
    },
    standing: async (id) => {
      const bytes = await store.get(standingKey(id))
      if (!bytes) return undefined
      return {
        acked: Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0)),
        signature: bytes.slice(8, 73),
        frontier: bytes.slice(73),
      }
    },
    saveMenu: async (hash, text) => {
      if (!(await store.get(menuKey(hash)))) await store.write([{ key: menuKey(hash), value: utf8(text) }])
    },
    menu: async (hash) => {
      const bytes = await store.get(menuKey(hash))
      return bytes && new TextDecoder().decode(bytes)
    },
    saveStanding: (id, { acked, signature, frontier }) => {
      assertArgument(signature.length === 65, 'signature', '65 bytes')
      return store.write([{ key: standingKey(id), value: concatBytes(u64Bytes(acked, 'acked'), signature, frontier) }])
    },
  }
}

/** Bigints travel through JSON as `{ "$bigint": "…" }`. */
function replace(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? { $bigint: value.toString() } : value
}

function revive(_key: string, value: unknown): unknown {
  return typeof value === 'object' && value !== null && '$bigint' in value ? BigInt(value.$bigint as string) : value
}
