import { aborted, type Clock } from '../../../src/core/clock.ts'

/** A clock that goes on in steps: whoever's sleep ends within one wakes at its end, as on a machine that is busy. */
export interface SteppedClock extends Clock {
  /** Moves the time on by one step, and waits until whatever that has woken is done. */
  step(ms: number): Promise<void>
  readonly sleeping: number
}

/**
 * Creates a clock that stands at `start` (milliseconds since 1970).
 * @param idle waits until nothing goes on by itself any more.
 */
export function createSteppedClock(start: number, idle: () => Promise<void>): SteppedClock {
  let now = start
  let order = 0
  const sleeps = new Set<{ readonly at: number; readonly order: number; readonly wake: () => void }>()
  return {
    now: () => now,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(aborted(signal))
        const abort = (): void => {
          sleeps.delete(sleep)
          reject(aborted(signal))
        }
        const sleep = {
          at: now + Math.max(ms, 0),
          order: order++,
          wake() {
            sleeps.delete(sleep)
            signal?.removeEventListener('abort', abort)
            resolve()
          },
        }
        sleeps.add(sleep)
        signal?.addEventListener('abort', abort, { once: true })
      }),
    async step(ms) {
      now += ms
      for (;;) {
        await idle()
        const due = [...sleeps].filter(({ at }) => at <= now).sort((a, b) => a.at - b.at || a.order - b.order)
        if (due.length === 0) return
        for (const sleep of due) sleep.wake()
      }
    },
    get sleeping() {
      return sleeps.size
    },
  }
}
