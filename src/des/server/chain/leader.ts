import { setMaxListeners } from 'node:events'
import type { Clock } from '../../../core/clock.ts'
import { isSluiceError } from '../../../core/errors.ts'
import type { Logger } from '../../../core/log.ts'
import type { Sql } from '../../../core/sql/index.ts'
import { sqlStore } from '../../../core/store/sqlStore.ts'
import type { Store } from '../../../core/store/store.ts'
import type { Database } from '../database.ts'

/** Options of {@link createLeader}. */
export interface LeaderOptions {
  readonly sql: Sql<Database>
  /** Name of the store that the one who has it open leads by. */
  readonly name: string
  /** Milliseconds after the death of who leads until another one does. */
  readonly lease: number
  /** What is done while this process leads. It ends when the signal fires; if it ends before, it begins anew. */
  readonly lead: (store: Store, signal: AbortSignal) => Promise<void>
  readonly clock: Clock
  readonly log: Logger
}

/** One of the processes on a database at a time. */
export interface Leader {
  start(): void
  stop(): Promise<void>
}

/** Milliseconds to wait after a failure. */
const PAUSE = 1000

/**
 * Creates a {@link Leader}. Who leads is whoever has the store open; what it writes into the store is refused once somebody
 * else has it, so a process that stood still for too long sends nothing new.
 */
export function createLeader({ sql, name, lease, lead, clock, log }: LeaderOptions): Leader {
  const stopping = new AbortController()
  let leading: Promise<void> | undefined
  return {
    start() {
      leading ??= (async () => {
        while (!stopping.signal.aborted) {
          const pause = (await term()) ? PAUSE : Math.min(Math.ceil(lease / 3), 5000)
          await clock.sleep(pause, stopping.signal).catch(() => {})
        }
      })()
    },
    async stop() {
      stopping.abort()
      await leading
    },
  }

  /** @returns whether this process led. */
  async function term(): Promise<boolean> {
    const over = new AbortController()
    const signal = AbortSignal.any([stopping.signal, over.signal])
    setMaxListeners(0, signal) // every call under way listens to it
    let store: Store | undefined
    try {
      store = await sqlStore(sql, name, { lease, clock, log, onBroken: (error) => over.abort(error) })
      log.info('this process looks after the chain', { name })
      await lead(store, signal)
      return true
    } catch (error) {
      if (isSluiceError(error, 'STORE_LOCKED') && !store) return false
      if (!stopping.signal.aborted) {
        log.error('looking after the chain failed, trying again', {
          name,
          reason: error instanceof Error ? error.message : String(error),
        })
      }
      return true
    } finally {
      await store?.close().catch((error: unknown) => log.warn('a store could not be closed', { name, reason: String(error) }))
    }
  }
}
