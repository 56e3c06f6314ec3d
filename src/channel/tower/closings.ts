import type { Hex } from '../../core/bytes.ts'
import type { Store } from '../../core/store/store.ts'
import type { ChainEvent } from '../chain/chainEvents.ts'
import type { Presented } from '../node/channel.ts'
import { address, decode, encode, flag, hex32, list, u128, u64 } from '../wire/codec.ts'
import { NO_HASH } from '../wire/messages.ts'
import { hintOf } from './appointment.ts'

/** A channel that somebody has closed, as the confirmed chain has it. */
export interface Closing {
  readonly tokenNetwork: Hex
  readonly channelId: Hex
  readonly closer: Hex
  readonly fromPartner: Presented
  readonly watch: Hex
  /** Unix seconds. */
  readonly settleAt: number
  /** Block of the closing. */
  readonly block: number
  /** What was shown since, by block. */
  readonly updates: readonly (Presented & { readonly block: number })[]
  /** Locks of the side that did not close whose release was shown, by block. */
  readonly released: readonly { readonly lock: Hex; readonly block: number }[]
  /** Whether a reward may be set aside for this tower. */
  readonly rewarded: boolean
  /** Clients of this tower whose proof the contract has taken: theirs is more than made up. */
  readonly proven: readonly Hex[]
  /** Releases that this tower has sent for it. */
  readonly releasesSent: number
  readonly hint: Hex
}

/** See {@link openClosings}. */
export interface Closings {
  /** Channels that can still be answered, or whose reward is open. */
  all(): Iterable<Closing>
  get(tokenNetwork: Hex, channelId: Hex): Closing | undefined
  /** Whether an appointment's channel is closed. */
  isOpen(hint: Hex): boolean
  closed(event: ChainEvent & { type: 'closed' }, tokenNetwork: Hex, block: number): Promise<void>
  updated(event: ChainEvent & { type: 'updated' }, tokenNetwork: Hex, block: number): Promise<void>
  released(channelId: Hex, sender: Hex, locks: readonly Hex[], tokenNetwork: Hex, block: number): Promise<void>
  /** Notes, before it is sent, that an answer will earn a reward. */
  noteReward(closing: Closing): Promise<void>
  /** Notes that the contract takes a client's proof. */
  noteProven(closing: Closing, client: Hex): Promise<void>
  /** Notes, before they are sent, that so many releases are shown. */
  noteReleases(closing: Closing, count: number): Promise<void>
  /** Forgets what happened after a block. */
  rollBack(block: number): Promise<void>
  forget(closing: Closing): Promise<void>
}

/** The most updates of one closing that are kept: each needs a proof of its own, and gas. */
const MAX_UPDATES = 32
/** The most released locks of one closing that are kept: as many as one side can have pending. */
const MAX_RELEASED = 256
/** Seconds after the settlement is possible in which a reorganisation may still change what happened. */
const PAUSE = 3600

const presentedLayout = { nonce: u64, transferred: u128, locked: u128, locksroot: hex32 } as const
const layout = {
  tokenNetwork: address,
  channelId: hex32,
  closer: address,
  ...presentedLayout,
  watch: hex32,
  settleAt: u64,
  block: u64,
  updates: list({ ...presentedLayout, block: u64 }, MAX_UPDATES),
  released: list({ lock: hex32, block: u64 }, MAX_RELEASED),
  rewarded: flag,
  proven: list({ client: address }, MAX_UPDATES),
  releasesSent: u64,
} as const

const idOf = (tokenNetwork: Hex, channelId: Hex): string => `${tokenNetwork}/${channelId}`
const keyOf = ({ tokenNetwork, channelId }: Closing): string => `closing/${idOf(tokenNetwork, channelId)}`
const NOTHING: Presented = { nonce: 0, transferred: 0n, locked: 0n, locksroot: NO_HASH }

/** What was shown of the closer last. */
export const shownOf = ({ updates }: Closing): Presented => updates.at(-1) ?? NOTHING
/** Whether nothing that happens to a closing matters any more. */
export const isOver = ({ settleAt, rewarded }: Closing, time: number): boolean => !rewarded && time >= settleAt + PAUSE

/**
 * Opens the closings of a store. All of them are kept, for an appointment may come a moment after its closing, up to
 * `maxClosings`; beyond that only those that an appointment is known for.
 */
export async function openClosings(store: Store, maxClosings: number, isKnown: (hint: Hex) => boolean): Promise<Closings> {
  const closings = new Map<string, Closing>()
  const hints = new Map<Hex, number>()
  const set = (closing: Closing): void => {
    const id = idOf(closing.tokenNetwork, closing.channelId)
    remove(id)
    closings.set(id, closing)
    hints.set(closing.hint, (hints.get(closing.hint) ?? 0) + 1)
  }
  const remove = (id: string): void => {
    const before = closings.get(id)
    if (!before) return
    closings.delete(id)
    const left = hints.get(before.hint)! - 1
    if (left > 0) hints.set(before.hint, left)
    else hints.delete(before.hint)
  }
  for await (const [, value] of store.list('closing/')) {
    const { nonce, transferred, locked, locksroot, proven, ...rest } = decode(layout, value)
    const fromPartner = { nonce, transferred, locked, locksroot }
    set({ ...rest, fromPartner, proven: proven.map(({ client }) => client), hint: hintOf(rest) })
  }
  const bytesOf = ({ fromPartner, proven, ...rest }: Closing): Uint8Array =>
    encode(layout, { ...fromPartner, ...rest, proven: proven.map((client) => ({ client })) })
  // Memory first: what reads it meanwhile must not save an older state afterwards. A write that failed is repeated.
  const save = async (closing: Closing): Promise<void> => {
    set(closing)
    await store.write([{ key: keyOf(closing), value: bytesOf(closing) }])
  }
  const drop = async (closing: Closing): Promise<void> => {
    remove(idOf(closing.tokenNetwork, closing.channelId))
    await store.write([{ key: keyOf(closing), value: null }])
  }

  return {
    all: () => [...closings.values()],
    get: (tokenNetwork, channelId) => closings.get(idOf(tokenNetwork, channelId)),
    isOpen: (hint) => hints.has(hint),
    async closed({ channelId, closer, fromPartner, watch, settleAt }, tokenNetwork, block) {
      const hint = hintOf({ channelId, watch })
      if (closings.size >= maxClosings && !isKnown(hint)) return
      // After a crash the log comes again, and the updates behind it.
      const { rewarded = false, proven = [], releasesSent = 0 } = closings.get(idOf(tokenNetwork, channelId)) ?? {}
      const shown = { updates: [], released: [], rewarded, proven, releasesSent }
      await save({ tokenNetwork, channelId, closer, fromPartner, watch, settleAt, block, ...shown, hint })
    },
    async updated({ channelId, fromCloser }, tokenNetwork, block) {
      const closing = closings.get(idOf(tokenNetwork, channelId))
      if (!closing) return
      // The same again after a crash, or after a write that failed.
      const before = closing.updates.filter(({ nonce }) => nonce < fromCloser.nonce)
      await save({ ...closing, updates: [...before, { ...fromCloser, block }].slice(-MAX_UPDATES) })
    },
    async released(channelId, sender, locks, tokenNetwork, block) {
      const closing = closings.get(idOf(tokenNetwork, channelId))
      if (!closing || sender === closing.closer) return
      const before = closing.released.filter(({ lock }) => !locks.includes(lock))
      await save({ ...closing, released: [...before, ...locks.map((lock) => ({ lock, block }))].slice(-MAX_RELEASED) })
    },
    async noteReward({ tokenNetwork, channelId }) {
      const closing = closings.get(idOf(tokenNetwork, channelId))
      if (closing && !closing.rewarded) await save({ ...closing, rewarded: true })
    },
    async noteProven({ tokenNetwork, channelId }, client) {
      const closing = closings.get(idOf(tokenNetwork, channelId))
      if (!closing || closing.proven.includes(client)) return
      await save({ ...closing, proven: [...closing.proven, client].slice(-MAX_UPDATES) })
    },
    async noteReleases({ tokenNetwork, channelId }, count) {
      const closing = closings.get(idOf(tokenNetwork, channelId))
      if (closing) await save({ ...closing, releasesSent: closing.releasesSent + count })
    },
    async rollBack(block) {
      for (const closing of closings.values()) {
        if (closing.block > block) await drop(closing)
        else if ([...closing.updates, ...closing.released].some((change) => change.block > block)) {
          const updates = closing.updates.filter((update) => update.block <= block)
          await save({ ...closing, updates, released: closing.released.filter((release) => release.block <= block) })
        }
      }
    },
    forget: drop,
  }
}
