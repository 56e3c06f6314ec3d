import type { ReactNode } from 'react'
import { plainWords } from '../lib/plainWords.ts'
import { usePortal } from '../lib/portal.ts'
import type { Load } from '../lib/useLoad.ts'

/** Shows what was asked for; a skeleton of the same size until it is there, and what went wrong in plain words. */
export function Loaded<T>({
  of,
  skeleton,
  children,
}: {
  of: Load<T>
  skeleton: ReactNode
  children: (value: T, reload: () => void) => ReactNode
}) {
  const { texts } = usePortal()
  if (of.is === 'done') return children(of.value, of.reload)
  if (of.is === 'failed') return <Problem error={of.error} retry={of.retry} />
  return (
    <div aria-busy="true">
      <span className="unseen" role="status">
        {texts.loading}
      </span>
      {skeleton}
    </div>
  )
}

/** What went wrong, in plain words; nothing where nothing did. */
export function Problem({ error, retry }: { error: unknown; retry?: () => void }) {
  const { texts } = usePortal()
  if (error === undefined) return null
  return (
    <div className="problem" role="alert">
      <p>{plainWords(error, texts)}</p>
      {retry && (
        <button type="button" onClick={retry}>
          {texts.retry}
        </button>
      )}
    </div>
  )
}

/** Grey lines where text will be. */
export function Skeleton({ lines = 3, height = 1.25 }: { lines?: number; height?: number }) {
  return (
    <div className="skeleton" aria-hidden="true">
      {Array.from({ length: lines }, (_, line) => (
        <span key={line} style={{ height: `${height}rem` }} />
      ))}
    </div>
  )
}
