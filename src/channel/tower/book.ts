import { equalBytes, type Hex } from '../../core/bytes.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Store } from '../../core/store/store.ts'
import { decode, encode, raw, u64 } from '../wire/codec.ts'
import { SEALED_APPOINTMENT } from '../wire/messages.ts'

/** What a tower keeps for one hint of one client. */
export interface Kept {
  readonly counter: number
  /** Unix seconds. */
  readonly validUntil: number
  readonly sealed: Uint8Array
}

/** Bounds of {@link createBook}. */
export interface BookLimits {
  readonly maxAppointments: number
  readonly maxPerClient: number
}

/** The sealed appointments of a tower, by hint and client: nobody can touch another's, even with the same hint. */
export interface Book {
  /** How many there are. */
  readonly size: number
  has(hint: Hex): boolean
  get(hint: Hex, client: Hex): Promise<Kept | undefined>
  /** Of all clients, as a closing needs them. */
  of(hint: Hex): Promise<readonly (Kept & { readonly client: Hex })[]>
  /**
   * Keeps an appointment in place of number `replaces`, durably once it resolves.
   * @returns what is in its place instead, if that is another one.
   * @throws `OVERLOADED` beyond a limit.
   */
  put(hint: Hex, client: Hex, appointment: Kept, replaces: number): Promise<Kept | undefined>
  /** Drops what has ended before `time`, unless its hint is still needed. */
  expire(time: number, isNeeded: (hint: Hex) => boolean): Promise<void>
}

const layout = { counter: u64, validUntil: u64, sealed: raw(SEALED_APPOINTMENT) } as const
const keyOf = (hint: Hex, client: Hex): string => `appointment/${hint}/${client}`

/** Opens the book of a store. The sealed bytes stay there; in memory are counters and ends only. */
export async function openBook(store: Store, { maxAppointments, maxPerClient }: BookLimits): Promise<Book> {
  const ends = new Map<Hex, Map<Hex, number>>()
  const perClient = new Map<Hex, number>()
  let size = 0
  const note = (hint: Hex, client: Hex, validUntil: number): void => {
    const clients = ends.get(hint) ?? new Map<Hex, number>()
    if (!clients.has(client)) {
      size++
      perClient.set(client, (perClient.get(client) ?? 0) + 1)
    }
    ends.set(hint, clients.set(client, validUntil))
  }
  const forget = (hint: Hex, client: Hex): void => {
    const clients = ends.get(hint)!
    clients.delete(client)
    if (clients.size === 0) ends.delete(hint)
    size--
    const left = perClient.get(client)! - 1
    if (left > 0) perClient.set(client, left)
    else perClient.delete(client)
  }
  for await (const [key, value] of store.list('appointment/')) {
    const [, hint, client] = key.split('/') as [string, Hex, Hex]
    note(hint, client, decode(layout, value).validUntil)
  }

  const get = async (hint: Hex, client: Hex): Promise<Kept | undefined> => {
    const value = ends.get(hint)?.has(client) ? await store.get(keyOf(hint, client)) : undefined
    return value && decode(layout, value)
  }

  return {
    get size() {
      return size
    },
    has: (hint) => ends.has(hint),
    get,
    async of(hint) {
      const found = []
      for (const client of [...(ends.get(hint)?.keys() ?? [])]) {
        const kept = await get(hint, client)
        if (kept) found.push({ ...kept, client })
      }
      return found
    },
    async put(hint, client, appointment, replaces) {
      const held = await get(hint, client)
      if (held) {
        const same = held.counter === appointment.counter && equalBytes(held.sealed, appointment.sealed)
        if (!same && (held.counter !== replaces || appointment.counter <= held.counter)) return held
        // Nobody can shorten what was promised.
        if (held.validUntil > appointment.validUntil) appointment = { ...appointment, validUntil: held.validUntil }
      } else {
        const mine = perClient.get(client) ?? 0
        if (size >= maxAppointments || mine >= maxPerClient) {
          const limit = mine >= maxPerClient ? maxPerClient : maxAppointments
          throw new SluiceError('OVERLOADED', `no more than ${limit} appointments are kept`, { details: { limit } })
        }
      }
      note(hint, client, appointment.validUntil)
      try {
        await store.write([{ key: keyOf(hint, client), value: encode(layout, appointment) }])
      } catch (error) {
        if (held) note(hint, client, held.validUntil)
        else forget(hint, client)
        throw error
      }
      return undefined
    },
    async expire(time, isNeeded) {
      const over: { hint: Hex; client: Hex }[] = []
      for (const [hint, clients] of ends) {
        if (isNeeded(hint)) continue
        for (const [client, end] of clients) if (end < time) over.push({ hint, client })
      }
      if (over.length === 0) return
      for (const { hint, client } of over) forget(hint, client)
      await store.write(over.map(({ hint, client }) => ({ key: keyOf(hint, client), value: null })))
    },
  }
}
