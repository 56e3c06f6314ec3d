import { useCallback, useEffect, useState, type DependencyList } from 'react'

/** Something that is being asked for. */
export type Load<T> =
  | { readonly is: 'loading' }
  | { readonly is: 'failed'; readonly error: unknown; readonly retry: () => void }
  | { readonly is: 'done'; readonly value: T; readonly reload: () => void }

/**
 * Asks for something, and again when `inputs` change. `reload` keeps what is shown until the new is there, so that nothing
 * jumps; with other inputs the old is not shown any more.
 */
export function useLoad<T>(load: () => Promise<T>, inputs: DependencyList): Load<T> {
  const [asked, setAsked] = useState(0)
  const [state, setState] = useState<{ inputs: DependencyList; load: Load<T> }>({ inputs, load: { is: 'loading' } })
  const again = useCallback(() => setAsked((count) => count + 1), [])
  useEffect(() => {
    let current = true
    const end = (next: Load<T>): void => {
      if (current) setState({ inputs, load: next })
    }
    load().then(
      (value) => end({ is: 'done', value, reload: again }),
      (error: unknown) =>
        end({
          is: 'failed',
          error,
          retry() {
            setState({ inputs, load: { is: 'loading' } })
            again()
          },
        }),
    )
    return () => {
      current = false
    }
  }, [...inputs, asked])
  return inputs.every((input, index) => Object.is(input, state.inputs[index])) ? state.load : { is: 'loading' }
}
