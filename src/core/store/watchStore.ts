import type { Clock } from '../clock.ts'
import { isSluiceError, type SluiceError } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { Store } from './store.ts'

/** Options of {@link watchStore}. */
export interface WatchStoreOptions {
  readonly store: Store
  /** Opens the medium anew: a store that has failed may refuse until then. @default none, the same store is tried again */
  readonly reopen?: (() => Promise<Store>) | undefined
  readonly clock: Clock
  readonly log: Logger
}

/** A store that knows whether it works. */
export interface WatchedStore extends Store {
  /** Why it can't be written at present. It comes back by itself. */
  readonly failure: SluiceError | undefined
  /** Is told when it fails, and when it works again: without a failure. */
  onChange: ((failure: SluiceError | undefined) => void) | undefined
  /** Stops looking after a store that somebody else closes. */
  rest(): Promise<void>
}

/** Milliseconds between two tries of a store that has failed. */
const RETRY = 500

/** Watches a store: after a write that failed it is reopened if it can be, and tried by writing until it works again. */
export function watchStore({ store, reopen, clock, log }: WatchStoreOptions): WatchedStore {
  let current = store
  let failure: SluiceError | undefined
  let mending: Promise<void> | undefined
  const closing = new AbortController()

  const mend = async (): Promise<void> => {
    while (failure && !closing.signal.aborted) {
      await clock.sleep(RETRY, closing.signal).catch(() => {})
      if (closing.signal.aborted) return
      try {
        if (reopen) {
          await current.close().catch(() => {})
          current = await reopen()
        }
        await current.write([{ key: 'probe', value: new Uint8Array(1) }])
        await current.write([{ key: 'probe', value: null }])
        failure = undefined
        log.info('the store works again')
        watched.onChange?.(undefined)
      } catch (error) {
        log.debug('the store still fails', { reason: error instanceof Error ? error.message : String(error) })
      }
    }
  }

  const watched: WatchedStore = {
    onChange: undefined,
    get failure() {
      return failure
    },
    get: (key) => current.get(key),
    list: (prefix) => current.list(prefix),
    write: async (changes) => {
      try {
        await current.write(changes)
      } catch (error) {
        if (isSluiceError(error, 'STORE_FAILED') && !closing.signal.aborted) {
          const fresh = failure === undefined
          failure = error
          if (fresh) watched.onChange?.(error)
          mending ??= mend().finally(() => (mending = undefined))
        }
        throw error
      }
    },
    rest: async () => {
      closing.abort()
      await mending
    },
    close: async () => {
      await watched.rest()
      await current.close()
    },
  }
  return watched
}
