/**
 * What a seller keeps of its orders until they can't come back: what each was opened for, and whether it is over.
 * @module
 */
import { utf8, type Hex } from '../core/bytes.ts'
import { SluiceError } from '../core/errors.ts'
import type { Store } from '../core/store/store.ts'
import type { Payload } from '../protocol/wire.ts'

/** One order, as it was opened. */
export interface OrderRecord {
  readonly payload: Payload<'order'>
  /** The key that opened it. */
  readonly key: string
  /** Whether live data of it has been sent. */
  readonly begun: boolean
  /** Bytes sent again although they were paid. */
  readonly redelivered: number
  /** Bytes that were paid when the order was over, once it is. */
  readonly over: number | undefined
}

/** See {@link orderRecords}. */
export interface OrderRecords {
  get(id: Hex): Promise<OrderRecord | undefined>
  put(id: Hex, record: OrderRecord): Promise<void>
  /** Changes what is there of an order; nothing if it was forgotten meanwhile. */
  update(id: Hex, changes: Partial<Pick<OrderRecord, 'begun' | 'redelivered' | 'over'>>): Promise<void>
  /** Something was paid for an order: it is kept until it can't come back. */
  paid(id: Hex): void
  /** Deletes the records of orders whose deadline passed before `now`, in Unix seconds. */
  tidy(now: number): Promise<void>
}

/** Seconds that a record is kept beyond its order's deadline: clocks differ, and blocks come late. */
const MARGIN = 86_400

/**
 * Keeps orders in a store.
 *
 * An order costs its buyer nothing to make, so of those that nothing was paid for only the newest `limit` are kept. One
 * that is forgotten can be opened anew for what its id commits to: it brings the first chunk again, and nothing more.
 * @param inUse - whether an order is open in memory: such a one is not forgotten.
 */
export function orderRecords(store: Store, limit: number, inUse: (id: Hex) => boolean): OrderRecords {
  const recordKey = (id: Hex): string => `sale/${id}`
  /** Oldest first. */
  const unpaid = new Set<Hex>()
  /** One change of an order after the other. */
  const turns = new Map<Hex, Promise<unknown>>()

  const get = async (id: Hex): Promise<OrderRecord | undefined> => {
    const bytes = await store.get(recordKey(id))
    return bytes && decodeRecord(bytes)
  }
  const write = (id: Hex, record: OrderRecord): Promise<void> =>
    store.write([{ key: recordKey(id), value: utf8(JSON.stringify(record)) }])
  const inTurn = (id: Hex, run: () => Promise<void>): Promise<void> => {
    const result = (turns.get(id) ?? Promise.resolve()).then(run)
    const turn = result.catch(() => {}).finally(() => turns.get(id) === turn && turns.delete(id))
    turns.set(id, turn)
    return result
  }
  const noteUnpaid = async (id: Hex): Promise<void> => {
    unpaid.delete(id)
    unpaid.add(id)
    for (const oldest of unpaid) {
      if (unpaid.size <= limit) return
      if (inUse(oldest)) continue
      unpaid.delete(oldest)
      await store.write([{ key: recordKey(oldest), value: null }])
    }
  }

  return {
    get,
    put: (id, record) =>
      inTurn(id, async () => {
        await write(id, record)
        await noteUnpaid(id)
      }),
    update: (id, changes) =>
      inTurn(id, async () => {
        const record = await get(id)
        if (record) await write(id, { ...record, ...changes })
      }),
    paid: (id) => void unpaid.delete(id),
    tidy: async (now) => {
      for await (const [key, value] of store.list('sale/')) {
        const { payload, over } = decodeRecord(value)
        if (payload.terms.deadline + MARGIN < now) await store.write([{ key, value: null }])
        else if (over === 0) await noteUnpaid(payload.order_hash as Hex)
      }
    },
  }
}

function decodeRecord(bytes: Uint8Array): OrderRecord {
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as OrderRecord
  } catch (cause) {
    throw new SluiceError('STORE_CORRUPT', 'an order in the store cannot be read', { cause })
  }
}
