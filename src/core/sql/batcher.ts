/** Work that many callers ask for one by one and that is done for many of them at once. */
export interface Batcher<T, R> {
  /** Hands in a piece of work. @throws what became of it, or what ended its whole batch. */
  add(work: T): Promise<R>
  /** Resolves when all that was handed in is over. */
  settled(): Promise<void>
}

/** Options of {@link createBatcher}. */
export interface BatcherOptions<T, R> {
  /** Does many pieces: answers with the result of each, in their order; an `Error` rejects that one. */
  readonly run: (work: readonly T[]) => Promise<readonly (R | Error)[]>
  /** Batches under way at once. @default 2, so that one is made ready while the other waits for the disk */
  readonly parallel?: number | undefined
  /** Pieces in a batch at most. @default 256 */
  readonly size?: number | undefined
}

/**
 * Gathers what comes while earlier work is under way, and does it together: one transaction and one sync of the disk for many
 * callers where there is much to do, and no delay where there is little.
 */
export function createBatcher<T, R>({ run, parallel = 2, size = 256 }: BatcherOptions<T, R>): Batcher<T, R> {
  interface Piece {
    readonly work: T
    readonly resolve: (result: R) => void
    readonly reject: (error: unknown) => void
  }
  const waiting: Piece[] = []
  const underWay = new Set<Promise<void>>()
  let planned = false

  const next = (): void => {
    planned = false
    while (waiting.length > 0 && underWay.size < parallel) {
      const pieces = waiting.splice(0, size)
      const batch = run(pieces.map(({ work }) => work))
        .then(
          (results) => {
            pieces.forEach(({ resolve, reject }, i) => {
              const result = results[i] as R | Error
              if (result instanceof Error) reject(result)
              else resolve(result)
            })
          },
          (error: unknown) => {
            for (const { reject } of pieces) reject(error)
          },
        )
        .finally(() => {
          underWay.delete(batch)
          next()
        })
      underWay.add(batch)
    }
  }

  return {
    add: (work) =>
      new Promise((resolve, reject) => {
        waiting.push({ work, resolve, reject })
        if (planned || underWay.size >= parallel) return
        planned = true
        void Promise.resolve().then(next) // what comes in the same turn goes along
      }),
    async settled() {
      while (waiting.length > 0 || underWay.size > 0 || planned) {
        await Promise.all(underWay)
      }
    },
  }
}
