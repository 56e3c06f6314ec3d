import type { Provider } from 'ethers'
import type { Clock } from '../clock.ts'
import { isSluiceError } from '../errors.ts'
import type { Rpc } from './rpc.ts'

/** A transaction of ours that a node has shown in a block. */
export interface OwnWrite {
  readonly address: string
  readonly nonce: number
  readonly blockNumber: number
  readonly blockHash: string
}

/** What a question came to. */
export type Answer<T> = { readonly value: T } | { readonly error: unknown }

/** Options of {@link Rpc.follow}. */
export interface FollowOptions<T> {
  /** Whether an answer may be that of a node which has not seen the write. @default every error but a failure of the node */
  readonly doubts?: ((answer: Answer<T>, write: OwnWrite) => boolean) | undefined
  readonly signal?: AbortSignal | undefined
}

/** The last write of each account, by provider: all who ask through one provider know of it. */
const writes = new WeakMap<Provider, Map<string, OwnWrite & { readonly at: number }>>()

/** Milliseconds after a write in which its contradiction is doubted. */
const RECENT = 60_000
/** Milliseconds after a write in which no contradiction is believed: what shows the write may not be what answers. */
const UNSETTLED = 2_500
/** Milliseconds for which one question is asked again at most. */
const PATIENCE = 15_000
/** Answers in a row that must contradict, each beside a node that has seen the write: two coins, tossed often enough. */
const AGREEING = 6
/** Milliseconds between two questions while a node lags. */
const PAUSE = 100

/**
 * Holds what nodes say against our own writes.
 *
 * One address may stand for several nodes, some of them blocks behind the others, and each request may meet another one.
 */
export function createOwnWrites(
  provider: Provider,
  rpc: Pick<Rpc, 'nonce' | 'header'>,
  clock: Clock,
): Pick<Rpc, 'wrote' | 'hasWritten' | 'follow'> {
  const known = writes.get(provider) ?? new Map<string, OwnWrite & { readonly at: number }>()
  writes.set(provider, known)

  /** Whether the node that answers now has seen a write; `undone` if its block is none of the chain's any more. */
  async function look({ address, nonce, blockNumber, blockHash }: OwnWrite): Promise<'seen' | 'unseen' | 'undone'> {
    try {
      const [used, header] = await Promise.all([rpc.nonce(address, 'latest'), rpc.header(blockNumber)])
      if (header && header.hash !== blockHash) return 'undone'
      return header && used > nonce ? 'seen' : 'unseen'
    } catch {
      return 'unseen'
    }
  }

  return {
    wrote(write) {
      const id = write.address.toLowerCase()
      const last = known.get(id)
      if (last && last.nonce > write.nonce && last.blockNumber > write.blockNumber) return
      known.set(id, { ...write, at: clock.now() })
    },
    hasWritten(address) {
      const write = known.get(address.toLowerCase())
      return write !== undefined && clock.now() - write.at <= RECENT
    },
    async follow(address, run, { doubts = isContradiction, signal }) {
      const began = clock.now()
      for (let agreeing = 0; ; ) {
        const answer = await run().then(
          (value) => ({ value }),
          (error: unknown) => ({ error }),
        )
        const write = known.get(address.toLowerCase())
        if (!write || began - write.at > RECENT || !doubts(answer, write)) return resultOf(answer)
        const sight = await look(write)
        if (sight === 'undone') {
          known.delete(address.toLowerCase())
          return resultOf(answer)
        }
        agreeing = sight === 'seen' ? agreeing + 1 : 0
        const now = clock.now()
        const isSettled = agreeing >= AGREEING && now - write.at >= UNSETTLED
        if (isSettled || now - began >= PATIENCE) return resultOf(answer)
        if (agreeing === 0 || agreeing >= AGREEING) await clock.sleep(PAUSE, signal)
      }
    },
  }
}

function isContradiction(answer: Answer<unknown>): boolean {
  return 'error' in answer && !(['RPC_FAILED', 'ABORTED', 'TIMEOUT'] as const).some((code) => isSluiceError(answer.error, code))
}

function resultOf<T>(answer: Answer<T>): T {
  if ('error' in answer) throw answer.error
  return answer.value
}
