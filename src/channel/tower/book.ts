import { equalBytes, type Hex } from '../../core/bytes.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Store } from '../../core/store/store.ts'
import { address, decode, encode, flag, optional, raw, u128, u64, u8 } from '../wire/codec.ts'
import { SEALED_APPOINTMENT } from '../wire/messages.ts'
import { isPromisable, TIERS } from './places.ts'

/** What a tower keeps for one hint of one client. */
export interface Kept {
  readonly counter: number
  /** Unix seconds. */
  readonly validUntil: number
  readonly sealed: Uint8Array
  /** Whose money stands behind the place; undefined if none was shown. */
  readonly backing?: Backing | undefined
}

/** The money behind a place. */
export interface Backing {
  readonly account: Hex
  readonly tokenNetwork: Hex
  /** What the account had at stake in all when the place was ranked, in the token's smallest unit. */
  readonly amount: bigint
  /** See `tierOf`. */
  readonly tier: number
  /** Whether the place is kept for the client: else only while nobody with more at stake wants it. */
  readonly promised: boolean
}

/** Money that a client has shown. */
export interface Stake {
  readonly account: Hex
  readonly tokenNetwork: Hex
  /** In all, in the token's smallest unit; below 2^128. */
  readonly amount: bigint
  /** The tier of each place if there are so many. */
  tierFor(places: number): number
}

/** Bounds of {@link openBook}. */
export interface BookLimits {
  readonly maxAppointments: number
  readonly maxPerClient: number
  /** Token networks, each of which has its share of the promises. @default 1 */
  readonly networks?: number | undefined
  /** Until when a place lasts at most that is not promised, Unix seconds. @default as long as it is asked for */
  readonly unpromisedUntil?: (() => number) | undefined
}

/** The sealed appointments of a tower, by hint and client: nobody can touch another's, even with the same hint. */
export interface Book {
  /** How many there are. */
  readonly size: number
  has(hint: Hex): boolean
  get(hint: Hex, client: Hex): Promise<Kept | undefined>
  /** Of all clients, as a closing needs them. */
  of(hint: Hex): Promise<readonly (Kept & { readonly client: Hex })[]>
  /** Who has something for a hint: those with the most at stake first, then whoever came first. */
  clients(hint: Hex): readonly Hex[]
  /** The number of what a client has for a hint. */
  counterOf(hint: Hex, client: Hex): number | undefined
  /** Whether a client has a place. */
  knows(client: Hex): boolean
  /**
   * Keeps an appointment in place of number `replaces`, durably once it resolves. In a full book it takes the place of
   * one with less at stake, if there is such a one that was not promised.
   * @returns what is in its place instead, if that is another one.
   * @throws `OVERLOADED` beyond a limit.
   */
  put(hint: Hex, client: Hex, appointment: Kept, replaces: number, stake?: Stake): Promise<Kept | undefined>
  /** Ranks the places of a client anew: the money behind them is not what it was. */
  rank(client: Hex, stake: Stake | undefined): Promise<void>
  /** Drops what has ended before `time`, unless its hint is still needed. */
  expire(time: number, isNeeded: (hint: Hex) => boolean): Promise<void>
}

const backingLayout = { account: address, tokenNetwork: address, amount: u128, tier: u8, promised: flag } as const
const layout = { counter: u64, validUntil: u64, sealed: raw(SEALED_APPOINTMENT), backing: optional(backingLayout) } as const
const keyOf = (hint: Hex, client: Hex): string => `appointment/${hint}/${client}`

/** What is in memory of an appointment. */
interface Place {
  readonly hint: Hex
  readonly client: Hex
  readonly counter: number
  readonly validUntil: number
  readonly backing: Backing | undefined
}

/**
 * Opens the book of a store. The sealed bytes stay there; in memory are ends and ranks only.
 * @param onDropped - told of a place that was given to somebody with more at stake.
 */
export async function openBook(
  store: Store,
  { maxAppointments, maxPerClient, networks = 1, unpromisedUntil = () => Infinity }: BookLimits,
  onDropped: (place: { readonly hint: Hex; readonly client: Hex; readonly counter: number }) => void = () => {},
): Promise<Book> {
  const share = Math.floor(maxAppointments / networks)
  const places = new Map<Hex, Map<Hex, Place>>()
  const hints = new Map<Hex, Set<Hex>>()
  const perAccount = new Map<Hex, number>()
  const promised = new Map<Hex, number[]>()
  let size = 0

  const find = (hint: Hex, client: Hex): Place | undefined => places.get(hint)?.get(client)
  /** Counts the money behind a place, or counts it no more. */
  const count = ({ backing }: Place, by: 1 | -1): void => {
    if (!backing) return
    const { account, tokenNetwork, tier } = backing
    const left = (perAccount.get(account) ?? 0) + by
    if (left > 0) perAccount.set(account, left)
    else perAccount.delete(account)
    if (!backing.promised) return
    const tiers = promised.get(tokenNetwork) ?? Array<number>(TIERS).fill(0)
    tiers[tier]! += by
    promised.set(tokenNetwork, tiers)
  }
  const remove = (hint: Hex, client: Hex): void => {
    const place = find(hint, client)
    if (!place) return
    count(place, -1)
    const clients = places.get(hint)!
    clients.delete(client)
    if (clients.size === 0) places.delete(hint)
    const mine = hints.get(client)!
    mine.delete(hint)
    if (mine.size === 0) hints.delete(client)
    size--
  }
  const set = (place: Place): void => {
    const { hint, client } = place
    const before = find(hint, client)
    if (before) count(before, -1)
    else {
      size++
      hints.set(client, (hints.get(client) ?? new Set()).add(hint))
    }
    places.set(hint, (places.get(hint) ?? new Map<Hex, Place>()).set(client, place))
    count(place, 1)
  }
  for await (const [key, value] of store.list('appointment/')) {
    const [, hint, client] = key.split('/') as [string, Hex, Hex]
    const { sealed: _, ...rest } = decode(layout, value)
    set({ hint, client, ...rest })
  }

  const get = async (hint: Hex, client: Hex): Promise<Kept | undefined> => {
    const value = find(hint, client) ? await store.get(keyOf(hint, client)) : undefined
    return value && decode(layout, value)
  }
  const bytesOf = (kept: Kept): Uint8Array => encode(layout, { ...kept, backing: kept.backing })

  /** The rank of a place. What was promised stands while as much stands behind it. */
  const backingOf = (stake: Stake | undefined, before: Place | undefined): Backing | undefined => {
    if (!stake) return undefined
    const { account, tokenNetwork, amount } = stake
    const ranked = before?.backing
    if (ranked?.promised && ranked.account === account && ranked.tokenNetwork === tokenNetwork && amount >= ranked.amount)
      return ranked
    if (before) count(before, -1)
    try {
      const tier = stake.tierFor((perAccount.get(account) ?? 0) + 1)
      if (tier < 0) return undefined
      return { account, tokenNetwork, amount, tier, promised: isPromisable(tier, promised.get(tokenNetwork) ?? [], share) }
    } finally {
      if (before) count(before, 1)
    }
  }

  /** Of the places that were not promised and have less behind them, the last of whoever has the most of them. */
  const leastBelow = (backing: Backing): Place | undefined => {
    const most = backing.promised ? TIERS : backing.tier
    let least: Place | undefined
    for (const clients of places.values()) {
      for (const place of clients.values()) {
        const tier = place.backing?.tier ?? -1
        if (place.backing?.promised || place.backing?.account === backing.account || tier >= most) continue
        const leastTier = least?.backing?.tier ?? -1
        const more = !least || hints.get(place.client)!.size >= hints.get(least.client)!.size
        if (!least || tier < leastTier || (tier === leastTier && more)) least = place
      }
    }
    return least
  }

  /** Finds room for a new place. @returns the one that gives way. @throws `OVERLOADED` */
  const makeRoom = (client: Hex, backing: Backing | undefined): Place | undefined => {
    const mine = hints.get(client)?.size ?? 0
    if (size < maxAppointments && mine < maxPerClient) return undefined
    const least = mine < maxPerClient && backing ? leastBelow(backing) : undefined
    if (least) return least
    const limit = mine >= maxPerClient ? maxPerClient : maxAppointments
    throw new SluiceError('OVERLOADED', `no more than ${limit} appointments are kept`, { details: { limit } })
  }

  return {
    get size() {
      return size
    },
    has: (hint) => places.has(hint),
    counterOf: (hint, client) => find(hint, client)?.counter,
    knows: (client) => hints.has(client),
    get,
    async of(hint) {
      const found = []
      for (const client of [...(places.get(hint)?.keys() ?? [])]) {
        const kept = await get(hint, client)
        if (kept) found.push({ ...kept, client })
      }
      return found
    },
    clients: (hint) => {
      const rank = ({ backing }: Place): number => (backing ? backing.tier + (backing.promised ? TIERS : 0) : -1)
      return [...(places.get(hint)?.values() ?? [])].sort((a, b) => rank(b) - rank(a)).map(({ client }) => client)
    },
    async put(hint, client, { backing: _, ...appointment }, replaces, stake) {
      const held = await get(hint, client)
      const before = find(hint, client)
      if (held) {
        const same = held.counter === appointment.counter && equalBytes(held.sealed, appointment.sealed)
        if (!same && (held.counter !== replaces || appointment.counter <= held.counter)) return held
      }
      const backing = backingOf(stake, before)
      const asked = backing?.promised ? appointment.validUntil : Math.min(appointment.validUntil, unpromisedUntil())
      // Nobody can shorten what was promised.
      appointment = { ...appointment, validUntil: Math.max(asked, held?.validUntil ?? 0) }
      const dropped = held ? undefined : makeRoom(client, backing)
      if (dropped) remove(dropped.hint, dropped.client)
      const { counter, validUntil } = appointment
      set({ hint, client, counter, validUntil, backing })
      try {
        await store.write([
          ...(dropped ? [{ key: keyOf(dropped.hint, dropped.client), value: null }] : []),
          { key: keyOf(hint, client), value: bytesOf({ ...appointment, backing }) },
        ])
      } catch (error) {
        if (before) set(before)
        else remove(hint, client)
        if (dropped) set(dropped)
        throw error
      }
      if (dropped) onDropped(dropped)
      return undefined
    },
    async rank(client, stake) {
      for (const hint of [...(hints.get(client) ?? [])]) {
        const before = find(hint, client)
        const kept = await get(hint, client)
        if (find(hint, client) !== before) continue // replaced meanwhile, and ranked with that
        if (!kept || !before?.backing || (stake && stake.amount >= before.backing.amount)) continue
        const backing = backingOf(stake, before)
        set({ ...before, backing })
        await store.write([{ key: keyOf(hint, client), value: bytesOf({ ...kept, backing }) }])
      }
    },
    async expire(time, isNeeded) {
      const over: { hint: Hex; client: Hex }[] = []
      for (const [hint, clients] of places) {
        if (isNeeded(hint)) continue
        for (const [client, { validUntil }] of clients) if (validUntil < time) over.push({ hint, client })
      }
      if (over.length === 0) return
      for (const { hint, client } of over) remove(hint, client)
      await store.write(over.map(({ hint, client }) => ({ key: keyOf(hint, client), value: null })))
    },
  }
}
