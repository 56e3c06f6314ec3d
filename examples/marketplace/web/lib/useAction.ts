import { useState } from 'react'

/** Something that a button does: one at a time, and what went wrong is kept to be shown. */
export interface Action {
  readonly busy: boolean
  readonly error: unknown
  run(work: () => Promise<void>): void
}

/** Creates an {@link Action}. */
export function useAction(): Action {
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>()
  return {
    busy,
    error,
    run(work) {
      if (busy) return
      setBusy(true)
      setError(undefined)
      work()
        .catch(setError)
        .finally(() => setBusy(false))
    },
  }
}
