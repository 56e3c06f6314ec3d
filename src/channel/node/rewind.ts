/**
 * What the chain said of each channel before a block changed it: when blocks leave the chain, what they said is taken back.
 * @module
 */
import { decode, encode } from '../wire/codec.ts'
import type { Hex } from '../../core/bytes.ts'
import type { Store } from '../../core/store/store.ts'
import {
  toChainView,
  chainViewLayout,
  fromChainView,
  newChainView,
  type ChainView,
  type Channel,
  type Pending,
} from './channel.ts'
import type { Journal } from './journal.ts'

/** See {@link createRewind}. */
export interface Rewind {
  /** Notes a channel as it is before an event of `block` changes it. */
  note(channel: Channel, block: number): void
  /** Takes back what the blocks above `block` have said. @returns the channels that are others now. */
  to(block: number): readonly Channel[]
  /** Forgets what lies too deep to be undone below `block`. */
  forgetBelow(block: number): void
}

/** Blocks that a reorganisation may reach back: far more than any that was ever seen where money was. */
const DEPTH = 10_000

const prefix = 'before/'
const keyOf = (block: number, id: Hex): string => `${prefix}${String(block).padStart(16, '0')}/${id}`

/** Opens what a store holds of it. @param fromBlock - the first block that a node looks at: before, there was nothing. */
export async function openRewind(
  store: Pick<Store, 'list'>,
  journal: Journal,
  channels: ReadonlyMap<Hex, Channel>,
  fromBlock: number,
): Promise<Rewind> {
  /** By block, ascending. */
  const before = new Map<number, Map<Hex, ChainView>>()
  for await (const [key, value] of store.list(prefix)) {
    const [block, id] = key.slice(prefix.length).split('/') as [string, Hex]
    put(Number(block), id, toChainView(decode(chainViewLayout, value)))
  }

  function put(block: number, id: Hex, view: ChainView): void {
    const views = before.get(block)
    if (views) views.set(id, view)
    else before.set(block, new Map([[id, view]]))
  }
  function drop(block: number): void {
    for (const id of before.get(block)!.keys()) journal.delete(keyOf(block, id))
    before.delete(block)
  }

  return {
    note(channel, block) {
      if (before.get(block)?.has(channel.id)) return
      const bytes = encode(chainViewLayout, fromChainView(channel))
      put(block, channel.id, toChainView(decode(chainViewLayout, bytes)))
      journal.put(keyOf(block, channel.id), () => bytes)
    },

    to(block) {
      const views = new Map<Channel, ChainView>()
      if (block < fromBlock) for (const channel of channels.values()) views.set(channel, newChainView())
      for (const above of [...before.keys()].filter((each) => each > block).sort((a, b) => b - a)) {
        for (const [id, view] of before.get(above)!) {
          const channel = channels.get(id)
          if (channel) views.set(channel, view)
        }
        drop(above)
      }
      for (const [channel, view] of views) {
        // What was signed since can still be shown.
        const ownWithdraw = larger(channel.ownWithdraw, view.ownWithdraw)
        const theirWithdraw = larger(channel.theirWithdraw, view.theirWithdraw)
        Object.assign(channel, view, { ownWithdraw, theirWithdraw })
      }
      return [...views.keys()]
    },

    forgetBelow(block) {
      for (const each of before.keys()) {
        if (each >= block - DEPTH) break
        drop(each)
      }
    },
  }
}

function larger(a: Pending | undefined, b: Pending | undefined): Pending | undefined {
  return !a || (b && b.amount > a.amount) ? b : a
}
