/**
 * What a settlement has left locked: claims what has become this node's, and takes back what nobody earned. Loaded when
 * there is such a channel.
 * @module
 */
import { engine } from '../../core/crypto/engine.ts'
import { concatBytes, fromHex, toHex, type Hex } from '../../core/bytes.ts'
import { encodeLocks } from '../../contracts/unlock.ts'
import type { Store } from '../../core/store/store.ts'
import type { BlockchainService } from '../chain/blockchainService.ts'
import { leafHash, type Lock } from '../state/lockTree.ts'
import { locksAt, type Channel } from './channel.ts'
import type { NodeContext } from './context.ts'

/** Options of {@link unlockChannel}. */
export interface UnlockOptions {
  readonly context: NodeContext
  readonly chain: BlockchainService
  readonly store: Store
  /** Which secrets were registered together, by the key of the registration. */
  readonly registrations: ReadonlyMap<Hex, readonly Hex[]>
}

/**
 * Unlocks of a settled channel what can be unlocked now, in at most two transactions: claims of this node need a secret that
 * was registered in time; what it has locked itself comes back at once if it was released, else one challenge period after
 * expiry and settlement.
 */
export async function unlockChannel(channel: Channel, options: UnlockOptions): Promise<void> {
  const { context, chain, store } = options
  const { leftLocked, presented, closedByUs, first, settledAt } = channel
  if (!leftLocked || !presented) return
  const { challengePeriod, secretRegistry } = chain.networks.get(channel.tokenNetwork)!
  for (const own of [false, true]) {
    const left = leftLocked[own === first ? 'locked1' : 'locked2']
    if (left === 0n) continue
    const shown = own === closedByUs ? presented.fromCloser : presented.fromPartner
    const locks = await locksAt(store, channel.id, own, shown.nonce)
    const { wanted, lists } = await claimable(locks, (list) =>
      list.length === 1
        ? chain.revealedAt(secretRegistry, list[0]!)
        : chain.listRevealedAt(secretRegistry, registrationKey(list)),
    )
    const done = own ? channel.unlockedOwn : channel.unlockedTheirs
    const dueAt = (now: number): number[] =>
      [...locks.values()]
        .filter(({ index }) => ((done >> BigInt(index)) & 1n) === 0n)
        .filter((lock) => {
          const { index, expiry } = lock
          if (!own) return wanted.has(index)
          if (channel.released.length > 0 && channel.released.includes(toHex(leafHash(lock)))) return true
          return !wanted.has(index) && Math.max(expiry, settledAt) < now - challengePeriod
        })
        .map(({ index }) => index)
    // What is due for sure first; then what this machine's clock says: where blocks come only with transactions, the chain's
    // stands still. The estimate decides.
    const sure = dueAt(context.time.confirmed)
    const numbers = sure.length > 0 ? sure : dueAt(context.time.now())
    if (numbers.length === 0) continue
    const sides = own ? ([context.account, channel.partner] as const) : ([channel.partner, context.account] as const)
    const other = own === closedByUs ? presented.fromPartner : presented.fromCloser
    const otherLeft = leftLocked[own === first ? 'locked2' : 'locked1']
    const data = encodeLocks({ locks, numbers, lists })
    await (
      await chain.transactions()
    ).unlock(
      channel.tokenNetwork,
      sides,
      channel.epoch,
      left,
      { locked: otherLeft, locksroot: otherLeft > 0n ? other.locksroot : NO_ROOT },
      data,
    )
    return // what is left has changed: the rest waits for the event
  }

  /** The numbers of locks whose secret was registered in time, and the registrations that show it. */
  async function claimable(
    locks: ReadonlyMap<number, Lock>,
    timeOf: (list: readonly Hex[]) => Promise<number>,
  ): Promise<{ wanted: ReadonlySet<number>; lists: readonly (readonly Hex[])[] }> {
    const wanted = new Set<number>()
    const lists = new Set<readonly Hex[]>()
    const times = new Map<string, number>()
    const ask = async (list: readonly Hex[]): Promise<number> => {
      const key = list.join()
      const known = times.get(key) ?? (await timeOf(list))
      times.set(key, known)
      return known
    }
    for (const { index, expiry, secrethash } of locks.values()) {
      for (const list of [[secrethash], ...[...options.registrations.values()].filter((hashes) => hashes.includes(secrethash))]) {
        const at = await ask(list)
        if (at === 0 || at >= expiry) continue
        wanted.add(index)
        if (list.length > 1) lists.add(list)
        break
      }
    }
    return { wanted, lists: [...lists] }
  }
}

const NO_ROOT: Hex = `0x${'00'.repeat(32)}`

/** Under which key the secret registry keeps the time of secrets that were registered together. */
function registrationKey(secrethashes: readonly Hex[]): Hex {
  return toHex(engine().keccak256(concatBytes(...secrethashes.map((hash) => fromHex(hash, 32)))))
}
