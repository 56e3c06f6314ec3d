import { SluiceError } from './errors.ts'

/**
 * The time that everything in Sluice reads and waits by.
 *
 * Pass a clock of your own to test deadlines without waiting for them (`createManualClock` in `sluice-sdk/testing`).
 */
export interface Clock {
  /** Milliseconds since 1970-01-01T00:00:00Z. */
  now(): number
  /**
   * Resolves after `ms` milliseconds, at the next turn of the event loop if `ms` is not positive.
   * @throws `ABORTED` as soon as `signal` fires.
   */
  sleep(ms: number, signal?: AbortSignal | undefined): Promise<void>
}

/** The longest time that a platform timer holds; a longer one would fire at once. */
const LONGEST_TIMER = 2 ** 31 - 1

/**
 * The clock of the machine.
 *
 * A sleep of any length works. Its timer keeps a Node process alive: a library that waits for a payment must not be
 * ended silently. Abort the signal to let go.
 */
export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(aborted(signal))
      const end = performance.now() + ms
      let timer: ReturnType<typeof setTimeout>
      const abort = () => {
        clearTimeout(timer)
        reject(aborted(signal))
      }
      const arm = () => {
        const left = end - performance.now()
        timer = setTimeout(left > LONGEST_TIMER ? arm : done, Math.min(left, LONGEST_TIMER))
      }
      const done = () => {
        signal?.removeEventListener('abort', abort)
        resolve()
      }
      signal?.addEventListener('abort', abort, { once: true })
      arm()
    }),
}

/** The error of a wait that its caller called off. */
export function aborted(signal: AbortSignal | undefined, what = 'the wait'): SluiceError {
  return new SluiceError('ABORTED', `${what} was aborted by the caller`, { cause: signal?.reason })
}
