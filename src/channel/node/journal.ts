import type { Store } from '../../core/store/store.ts'

/**
 * Persist, then act: gathers what changes in memory, writes it in groups, and only then lets the consequences out.
 *
 * Whatever one turn of the event loop puts goes out in one write, so it is all there after a crash or not at all; what
 * comes while a write is under way shares the next one, and so its fsync.
 */
export interface Journal {
  /** Notes that `key` has changed; `encode` is called when it is written, so many changes of one key cost one. */
  put(key: string, encode: () => Uint8Array): void
  delete(key: string): void
  /** Calls `effect` once everything put so far is durable, in the order of the calls. */
  then(effect: () => void): void
  /** Like `then`, but of several for one `subject` in one write only the last is called. */
  thenLast(subject: object, effect: () => void): void
  /** Resolves when everything put so far is durable and its effects have run. @throws what the store failed with. */
  settled(): Promise<void>
  /** Runs `task` between two writes: meanwhile the store stays as it is, and effects wait. @throws what `task` throws. */
  alone<T>(task: () => Promise<T>): Promise<T>
}

/**
 * Creates a journal.
 * @param onFailure - is told when the store fails. From then on memory is ahead of the store: nothing more is written, and
 * no effect is let out.
 * @param onEffectError - is told what an effect threw.
 */
export function createJournal(
  store: Store,
  onFailure: (error: unknown) => void,
  onEffectError: (error: unknown) => void,
): Journal {
  let puts = new Map<string, (() => Uint8Array) | null>()
  /** In order; undefined where a later one stands for it. */
  let effects: ((() => void) | undefined)[] = []
  /** Where in `effects` the last one of a subject is. */
  let lasts = new Map<object, number>()
  let flushing: Promise<void> | undefined
  /** What is to run between two writes. */
  const tasks: (() => Promise<void>)[] = []
  /** Whoever waits for what was put before. */
  const waiters = new Set<{ readonly reject: (error: Error) => void }>()
  let failure: { readonly error: unknown } | undefined

  const flush = async (): Promise<void> => {
    await Promise.resolve() // the turn goes on: what it still puts belongs to this write
    while (puts.size > 0 || effects.length > 0 || tasks.length > 0) {
      for (const task of tasks.splice(0)) await task()
      const changes = []
      for (const [key, encode] of puts) changes.push({ key, value: encode ? encode() : null })
      const consequences = effects
      puts = new Map()
      effects = []
      lasts = new Map()
      if (changes.length > 0) await store.write(changes)
      for (const effect of consequences) {
        try {
          effect?.()
        } catch (error) {
          onEffectError(error)
        }
      }
    }
  }
  const wake = (): void => {
    if (failure || flushing) return
    flushing = flush().then(
      () => {
        flushing = undefined
        if (puts.size > 0 || effects.length > 0 || tasks.length > 0) wake()
      },
      (error: unknown) => {
        failure = { error }
        for (const { reject } of waiters) reject(asError(error))
        waiters.clear()
        flushing = undefined
        onFailure(error)
      },
    )
  }

  return {
    put(key, encode) {
      puts.set(key, encode)
      wake()
    },
    delete(key) {
      puts.set(key, null)
      wake()
    },
    then(effect) {
      effects.push(effect)
      wake()
    },
    thenLast(subject, effect) {
      const before = lasts.get(subject)
      if (before !== undefined) effects[before] = undefined
      lasts.set(subject, effects.push(effect) - 1)
      wake()
    },
    settled: () =>
      new Promise((resolve, reject) => {
        if (failure) return reject(asError(failure.error))
        if (!flushing && puts.size === 0 && effects.length === 0) return resolve()
        const waiter = { resolve, reject }
        waiters.add(waiter)
        effects.push(() => {
          waiters.delete(waiter)
          resolve()
        })
        wake()
      }),
    alone: (task) =>
      new Promise((resolve, reject) => {
        if (failure) return reject(asError(failure.error))
        tasks.push(() => task().then(resolve, reject))
        wake()
      }),
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
