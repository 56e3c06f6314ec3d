import { aborted, type Clock, systemClock } from './clock.ts'
import { SluiceError } from './errors.ts'

/** Options of {@link withDeadline}. */
export interface DeadlineOptions {
  /** What is waited for, a noun phrase for the error message: `receipt of 0x12..`. */
  readonly what: string
  /** Milliseconds to wait at most. @default no limit */
  readonly ms?: number | undefined
  /** The caller's own way out. @default none */
  readonly signal?: AbortSignal | undefined
  /** @default systemClock */
  readonly clock?: Clock | undefined
}

/**
 * Runs something that may last, and stops waiting for it at a time limit or when the caller aborts, whichever is first.
 *
 * `run` gets a signal that fires in both cases. The result is rejected at once, also when `run` does not heed its
 * signal; what `run` does afterwards goes unnoticed. Neither timer nor listener is left behind.
 * @throws `TIMEOUT` naming what was waited for, `ABORTED` when the caller's signal fired, or what `run` throws.
 */
export async function withDeadline<T>(options: DeadlineOptions, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { what, ms, signal, clock = systemClock } = options
  throwIfAborted(signal, what)
  const stop = new AbortController()
  const timer = new AbortController()
  let onAbort: (() => void) | undefined
  try {
    return await new Promise<T>((resolve, reject) => {
      const fail = (error: SluiceError) => {
        reject(error)
        stop.abort(error)
      }
      onAbort = () => fail(aborted(signal, what))
      signal?.addEventListener('abort', onAbort, { once: true })
      if (ms !== undefined) {
        clock.sleep(ms, timer.signal).then(
          () => fail(new SluiceError('TIMEOUT', `${what} did not come within ${ms} ms`, { details: { what, ms } })),
          () => {}, // called off below
        )
      }
      run(stop.signal).then(resolve, reject)
    })
  } finally {
    timer.abort('over') // a reason, or an error is made with its stack
    if (onAbort) signal?.removeEventListener('abort', onAbort)
  }
}

/** Throws `ABORTED`, naming what was aborted, if `signal` has fired. */
export function throwIfAborted(signal: AbortSignal | undefined, what?: string): void {
  if (signal?.aborted) throw aborted(signal, what)
}
