/**
 * Locks that were given back before they expired. Their receiver signs that it won't claim them: who holds that word shows it
 * on chain as soon as the channel is closed, since an older proof may still have the lock; who gave it takes no such lock again.
 * @module
 */
import { toHex, type Hex } from '../../core/bytes.ts'
import type { Store } from '../../core/store/store.ts'
import type { BlockchainService } from '../chain/blockchainService.ts'
import { leafHash, type Lock } from '../state/lockTree.ts'
import { decode, encode, hex32, raw, u64 } from '../wire/codec.ts'
import type { Channel } from './channel.ts'
import type { NodeContext } from './context.ts'

/** See {@link openReleases}. */
export interface Releases {
  /** Keeps the partner's word. @param signature - of the `Release`, by a key that may sign in the channel. */
  keep(channel: Channel, lock: Lock, signature: Uint8Array): void
  /** Notes that this node has given its word. */
  give(channel: Channel, lock: Lock): void
  /** Whether this node has given its word for such a lock: its partner could take it back at any time. */
  isGiven(channel: Channel, lock: Lock): boolean
  /** Shows the partner's words for a closed channel that the chain lacks. */
  show(channel: Channel, chain: BlockchainService): Promise<void>
  /** Whether {@link Releases.show} has something to do. */
  isToShow(channel: Channel): boolean
  /** Forgets what has lost its meaning: no secret of an expired lock was registered in time, or the channel is no more. */
  prune(chain: BlockchainService): Promise<void>
}

/** What is kept of a partner's word. */
export const releaseLayout = {
  lock: raw(32),
  expiry: u64,
  secrethash: hex32,
  signature: raw(65),
  /** Whether the secret was registered in time: without the release the lock could be claimed for ever. */
  claimable: u64,
} as const
type Release = ReturnType<typeof decode<typeof releaseLayout>>

/** Milliseconds between two searches for the secrets of expired locks. */
const SEARCH_EVERY = 60_000
/** Secrets that are searched for at once. */
const SEARCH_AT_ONCE = 500
/** Releases that are shown in one transaction. */
const SHOW_AT_ONCE = 100
/** Seconds for which the releases of a settled channel are kept: the settlement may be undone. */
const KEEP_SETTLED = 86_400

const prefix = 'release/'
const givenPrefix = 'given/'

/** Opens what a store holds of them. */
export async function openReleases(
  store: Pick<Store, 'list'>,
  { journal, time, clock, channels }: Pick<NodeContext, 'journal' | 'time' | 'clock' | 'channels'>,
): Promise<Releases> {
  /** Of the partners, by channel and lock. */
  const kept = new Map<Hex, Map<Hex, Release>>()
  /** Of this node: when the lock expires, by channel and lock. */
  const given = new Map<string, number>()
  let searchedAt = -Infinity

  const put = (channelId: Hex, release: Release): void => {
    const lock = toHex(release.lock)
    const releases = kept.get(channelId)
    if (releases) releases.set(lock, release)
    else kept.set(channelId, new Map([[lock, release]]))
  }
  const save = (channelId: Hex, release: Release): void => {
    put(channelId, release)
    journal.put(`${prefix}${channelId}/${toHex(release.lock)}`, () => encode(releaseLayout, release))
  }
  const drop = (channelId: Hex, lock: Hex): void => {
    const releases = kept.get(channelId)
    releases?.delete(lock)
    if (releases?.size === 0) kept.delete(channelId)
    journal.delete(`${prefix}${channelId}/${lock}`)
  }
  const givenKey = (channel: Channel, lock: Lock): string => `${channel.id}/${toHex(leafHash(lock))}`

  for await (const [key, value] of store.list(prefix))
    put(key.slice(prefix.length).split('/')[0] as Hex, decode(releaseLayout, value))
  for await (const [key, value] of store.list(givenPrefix))
    given.set(key.slice(givenPrefix.length), decode({ expiry: u64 }, value).expiry)

  const toShow = (channel: Channel): readonly Release[] =>
    channel.phase === 'closed'
      ? [...(kept.get(channel.id) ?? [])].filter(([lock]) => !channel.released.includes(lock)).map(([, release]) => release)
      : []

  /** Tells of each of these whether its secret was registered in time; drops it if not. */
  async function search(found: readonly (readonly [Hex, Release])[], chain: BlockchainService): Promise<void> {
    for (let i = 0; i < found.length; i += SEARCH_AT_ONCE) {
      const some = found.slice(i, i + SEARCH_AT_ONCE)
      const network = chain.networks.values().next().value!
      const hashes = [...new Set(some.map(([, { secrethash }]) => secrethash))]
      const registrations = await chain.registrations(network.secretRegistry, hashes)
      for (const [channelId, release] of some) {
        const registered = registrations.find(({ secrethash }) => secrethash === release.secrethash)
        if (registered && registered.at < release.expiry) save(channelId, { ...release, claimable: registered.at })
        else drop(channelId, toHex(release.lock))
      }
    }
  }

  /** Locks that are over and whose secrets were not searched for yet. */
  const expired = (channelId?: Hex): (readonly [Hex, Release])[] =>
    [...kept]
      .filter(([id]) => channelId === undefined || id === channelId)
      .flatMap(([id, releases]) => [...releases.values()].map((release) => [id, release] as const))
      .filter(([, { expiry, claimable }]) => claimable === 0 && expiry < time.confirmed)

  return {
    keep(channel, lock, signature) {
      const { expiry, secrethash } = lock
      save(channel.id, { lock: leafHash(lock), expiry, secrethash, signature, claimable: 0 })
    },

    give(channel, lock) {
      const key = givenKey(channel, lock)
      given.set(key, lock.expiry)
      journal.put(givenPrefix + key, () => encode({ expiry: u64 }, { expiry: lock.expiry }))
    },

    isGiven: (channel, lock) => given.has(givenKey(channel, lock)),

    isToShow: (channel) => toShow(channel).length > 0,

    async show(channel, chain) {
      await search(expired(channel.id), chain)
      const shown = toShow(channel).slice(0, SHOW_AT_ONCE)
      if (shown.length === 0) return
      await (
        await chain.transactions()
      ).registerReleases(
        channel.tokenNetwork,
        channel.partner,
        shown.map(({ lock, signature }) => ({ lock: toHex(lock), signature })),
      )
    },

    async prune(chain) {
      for (const [key, expiry] of given) {
        if (expiry >= time.confirmed) continue // such a lock would be refused anyway
        given.delete(key)
        journal.delete(givenPrefix + key)
      }
      for (const [id, releases] of kept) {
        const { phase, settledAt } = channels.get(id) ?? {}
        if (phase !== 'settled' || settledAt! + KEEP_SETTLED > time.confirmed) continue
        for (const lock of releases.keys()) drop(id, lock)
      }
      const now = clock.now()
      if (now - searchedAt < SEARCH_EVERY) return
      const found = expired().filter(([id]) => channels.get(id)?.phase === 'open')
      if (found.length === 0) return
      searchedAt = now
      await search(found.slice(0, SEARCH_AT_ONCE), chain)
    },
  }
}
