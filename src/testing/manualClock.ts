import { abortSignal, assertArguments, optional, rule } from '../core/argument.ts'
import { aborted, type Clock } from '../core/clock.ts'

/** A clock that stands still until it is told to go on. */
export interface ManualClock extends Clock {
  /**
   * Moves the time on by `ms`, ends every sleep that is due, in order of time, and lets what waited for it run. A sleep
   * that begins meanwhile and is due within `ms` ends too.
   */
  advance(ms: number): Promise<void>
  /** How many sleeps are under way: a test that finds some left over has found a leak. */
  readonly sleeping: number
}

const span = /* @__PURE__ */ rule('a number of milliseconds', (value) => typeof value === 'number')

/**
 * Creates a clock for tests.
 * @param start milliseconds since 1970-01-01T00:00:00Z.
 */
export function createManualClock(start = 0): ManualClock {
  let now = start
  const sleeps = new Set<{ readonly at: number; readonly wake: () => void }>()

  return {
    now: () => now,
    sleep: async (ms, signal) => {
      assertArguments({ ms, signal }, { ms: span, signal: optional(abortSignal) })
      await new Promise<void>((resolve, reject) => {
        if (signal?.aborted) return reject(aborted(signal))
        const abort = () => {
          sleeps.delete(sleep)
          reject(aborted(signal))
        }
        const sleep = {
          at: now + Math.max(ms, 0),
          wake() {
            sleeps.delete(sleep)
            signal?.removeEventListener('abort', abort)
            resolve()
          },
        }
        sleeps.add(sleep)
        signal?.addEventListener('abort', abort, { once: true })
      })
    },
    async advance(ms) {
      assertArguments({ ms }, { ms: span })
      const end = now + ms
      await settle()
      for (;;) {
        const due = [...sleeps].filter((sleep) => sleep.at <= end).sort((a, b) => a.at - b.at)[0]
        if (!due) break
        now = Math.max(now, due.at)
        due.wake()
        await settle()
      }
      now = end
    },
    get sleeping() {
      return sleeps.size
    },
  }
}

/** Lets everything run that waits for nothing but promises. */
function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0))
}
