import type { Rpc } from './rpc.ts'

/** The sequence of nonces of one account on one chain. */
export interface Lane {
  /** Nonces that are taken and not yet used up on chain. */
  readonly taken: Set<number>
  /** Runs `task` alone, in the order of the calls: nonces leave the process in sequence or not at all. */
  turn<T>(task: () => Promise<T>): Promise<T>
  /**
   * The nonce to use next; call it in a turn.
   * @param ask whether to look for foreign transactions of the account in spite of our own ones under way.
   */
  next(rpc: Rpc, ask: boolean): Promise<number>
  /** Lets go of the lane. */
  release(): void
}

interface Shared {
  readonly taken: Set<number>
  tail: Promise<unknown>
  users: number
}

/** One lane per account, however many senders it has in this process. */
const lanes = new Map<string, Shared>()

/**
 * Opens the lane of an account.
 * @param chain tells chains apart even if they share an id, as development chains do.
 */
export function openLane(chain: string, address: string): Lane {
  const id = `${chain}/${address}`
  const shared = lanes.get(id) ?? { taken: new Set<number>(), tail: Promise.resolve(), users: 0 }
  lanes.set(id, shared)
  shared.users++
  const { taken } = shared

  return {
    taken,
    turn(task) {
      const result = shared.tail.then(task)
      shared.tail = result.catch(() => {})
      return result
    },
    async next(rpc, ask) {
      const own = taken.size === 0 ? 0 : Math.max(...taken) + 1
      // With nothing under way the chain knows best: it may have been rolled back below what we sent.
      if (taken.size > 0 && !ask) return own
      const count = await rpc.follow(address, () => rpc.nonce(address, 'pending', { attempts: 5 }), {
        doubts: (answer, last) => 'value' in answer && answer.value <= last.nonce,
      })
      return Math.max(own, count)
    },
    release() {
      if (--shared.users === 0) lanes.delete(id)
    },
  }
}
