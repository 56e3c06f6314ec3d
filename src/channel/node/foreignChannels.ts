/**
 * The channels of others, as the chain has them: what the graphs of a node are built from. Kept, since a restarted node hears
 * of them no more.
 * @module
 */
import type { Hex } from '../../core/bytes.ts'
import type { Store } from '../../core/store/store.ts'
import type { ChainEvent } from '../chain/chainEvents.ts'
import { address, decode, encode, u128, type ValuesOf } from '../wire/codec.ts'
import type { Journal } from './journal.ts'

const layout = {
  participant1: address,
  participant2: address,
  deposit1: u128,
  deposit2: u128,
  withdrawn1: u128,
  withdrawn2: u128,
} as const
/** A channel of others. Amounts are totals, in the token's smallest unit. */
export type ForeignChannel = ValuesOf<typeof layout>

/** See {@link openForeignChannels}. */
export interface ForeignChannels {
  /** Takes an event of a channel of others. @returns what is known of it now; undefined if it is no more. */
  event(event: ChainEvent, tokenNetwork: Hex): ForeignChannel | undefined
  of(tokenNetwork: Hex): ReadonlyMap<Hex, ForeignChannel>
}

/** Channels of a network that are kept. */
const MAX_CHANNELS = 2 ** 17

const prefix = 'graph/'
const keyOf = (tokenNetwork: Hex, channelId: Hex): string => `${prefix}${tokenNetwork}/${channelId}`

/** Opens what a store holds of them. */
export async function openForeignChannels(store: Pick<Store, 'list'>, journal: Journal): Promise<ForeignChannels> {
  const networks = new Map<Hex, Map<Hex, ForeignChannel>>()
  const of = (tokenNetwork: Hex): Map<Hex, ForeignChannel> => {
    const known = networks.get(tokenNetwork) ?? new Map<Hex, ForeignChannel>()
    networks.set(tokenNetwork, known)
    return known
  }
  for await (const [key, value] of store.list(prefix)) {
    const [tokenNetwork, channelId] = key.slice(prefix.length).split('/') as [Hex, Hex]
    of(tokenNetwork).set(channelId, decode(layout, value))
  }

  function note(tokenNetwork: Hex, channelId: Hex, channel: ForeignChannel): ForeignChannel | undefined {
    const seen = of(tokenNetwork)
    if (!seen.has(channelId) && seen.size >= MAX_CHANNELS) return undefined
    seen.set(channelId, channel)
    journal.put(keyOf(tokenNetwork, channelId), () => encode(layout, channel))
    return channel
  }

  return {
    of,
    event(event, tokenNetwork) {
      if (!('channelId' in event)) return undefined
      const { channelId } = event
      const seen = of(tokenNetwork)
      const known = seen.get(channelId)
      switch (event.type) {
        case 'opened': {
          const { participant1, participant2 } = event
          const nothing = { deposit1: 0n, deposit2: 0n, withdrawn1: 0n, withdrawn2: 0n }
          return note(tokenNetwork, channelId, { participant1, participant2, ...nothing })
        }
        case 'deposited':
        case 'withdrawn': {
          if (!known) return undefined
          const side = event.participant === known.participant1 ? 1 : 2
          const changed =
            event.type === 'deposited'
              ? { [`deposit${side}`]: event.totalDeposit }
              : { [`withdrawn${side}`]: event.totalWithdraw }
          return note(tokenNetwork, channelId, { ...known, ...changed })
        }
        case 'closed':
        case 'settled':
          if (seen.delete(channelId)) journal.delete(keyOf(tokenNetwork, channelId))
          return undefined
        default:
          return known
      }
    },
  }
}
