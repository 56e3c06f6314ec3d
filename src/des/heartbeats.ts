/**
 * Keeps a data source online: a heartbeat every 30 seconds, and sooner again after one that failed.
 * @module
 */
import { systemClock, type Clock } from '../core/clock.ts'
import { isSluiceError, SluiceError } from '../core/errors.ts'
import { advise, backoff } from '../core/retry.ts'

/** Milliseconds between two heartbeats, and after how many without one a data source is offline (seed 001, 2.1). */
const [HEARTBEAT_EVERY, OFFLINE_AFTER] = [30_000, 50_000]
/** Milliseconds before the first repetition of one that failed, and before the later ones at most. */
const [FIRST_PAUSE, LONGEST_PAUSE] = [1_000, 10_000]

/** Options of {@link createHeartbeats}. */
export interface HeartbeatsOptions {
  /** Sends one. */
  beat(signal: AbortSignal): Promise<void>
  /** The first was accepted, or the first again. */
  online(): void
  /** None was accepted for so long that the exchange asks no more; or they were stopped. */
  offline(): void
  /** One was not accepted. */
  failed(error: SluiceError): void
  /** @default systemClock */
  readonly clock?: Clock | undefined
}

/** Heartbeats that can be started and stopped, again and again. */
export interface Heartbeats {
  /** Whether one was accepted within the last 50 seconds. */
  readonly online: boolean
  /**
   * Starts them, if they aren't. Resolves once the first is accepted.
   * @throws what the exchange refused the first with; then they are stopped. `ABORTED` when they are stopped before.
   */
  start(): Promise<void>
  /** Ends them, and says that it is offline. */
  stop(): void
}

/** Creates heartbeats. */
export function createHeartbeats({ beat, online, offline, failed, clock = systemClock }: HeartbeatsOptions): Heartbeats {
  let running: { readonly stop: AbortController; readonly first: Promise<void> } | undefined
  /** When the last one was accepted; undefined while offline. */
  let accepted: number | undefined

  const goOffline = (): void => {
    if (accepted === undefined) return
    accepted = undefined
    offline()
  }

  async function run(signal: AbortSignal, first: { resolve(): void; reject(error: unknown): void }): Promise<void> {
    let begun = false
    // Counted from the start, so that what a heartbeat takes doesn't add up.
    let due = clock.now()
    for (let failures = 0; !signal.aborted; ) {
      const sent = clock.now()
      try {
        await beat(signal)
        if (signal.aborted) return
        const wasOffline = accepted === undefined
        accepted = sent
        failures = 0
        begun = true
        first.resolve()
        if (wasOffline) online()
        while (due <= clock.now()) due += HEARTBEAT_EVERY
        await clock.sleep(due - clock.now(), signal)
      } catch (error) {
        if (signal.aborted) return
        failures++
        failed(
          isSluiceError(error) ? error : new SluiceError('CONNECTION_FAILED', 'a heartbeat could not be sent', { cause: error }),
        )
        // What was wrong before anything was right will not mend itself.
        if (!begun && advise(error) === 'abort') return first.reject(error)
        await pause(backoff(failures, { delay: FIRST_PAUSE, maxDelay: LONGEST_PAUSE, random: () => 0 }), signal)
      }
    }
  }

  /** Waits for the next try, and says meanwhile when it is too late. */
  async function pause(ms: number, signal: AbortSignal): Promise<void> {
    const left = accepted === undefined ? Infinity : accepted + OFFLINE_AFTER - clock.now()
    if (left <= ms) {
      await clock.sleep(left, signal)
      goOffline()
    }
    await clock.sleep(left <= ms ? ms - Math.max(left, 0) : ms, signal)
  }

  return {
    get online() {
      return accepted !== undefined && clock.now() < accepted + OFFLINE_AFTER
    },
    start() {
      if (running) return running.first
      const stop = new AbortController()
      const first = new Promise<void>((resolve, reject) => {
        stop.signal.addEventListener('abort', () => reject(new SluiceError('ABORTED', 'the data source was stopped')))
        run(stop.signal, { resolve, reject })
          .catch((error: unknown) => reject(error as Error))
          .finally(() => {
            if (running?.stop === stop) running = undefined
          })
      })
      // Who doesn't wait for the first need not hear of it here: it is an event as well.
      first.catch(() => {})
      running = { stop, first }
      return first
    },
    stop() {
      running?.stop.abort()
      running = undefined
      goOffline()
    },
  }
}
