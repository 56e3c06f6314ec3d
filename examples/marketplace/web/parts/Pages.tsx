import { useEffect, useMemo, useState, type DependencyList, type ReactNode } from 'react'
import { createPager } from '../lib/pager.ts'
import { usePortal } from '../lib/portal.ts'
import { useLoad } from '../lib/useLoad.ts'
import { Loaded } from './Loaded.tsx'

/** Rows of a page. */
export const PAGE = 20

/** A long list, page by page. `inputs` are what `open` depends on: when they change, it begins at the first page. */
export function Pages<T>({
  open,
  inputs,
  label,
  empty,
  skeleton,
  children,
}: {
  open: () => AsyncIterable<T>
  inputs: DependencyList
  label: string
  empty: string
  skeleton: ReactNode
  children: (rows: readonly T[]) => ReactNode
}) {
  const { texts } = usePortal()
  const pager = useMemo(() => createPager(open, PAGE), inputs)
  const [page, setPage] = useState(0)
  useEffect(() => setPage(0), [pager])
  const load = useLoad(() => pager(page), [pager, page])
  return (
    <>
      <Loaded of={load} skeleton={skeleton}>
        {({ rows }) => (rows.length === 0 ? <p className="empty">{empty}</p> : children(rows))}
      </Loaded>
      {(page > 0 || (load.is === 'done' && load.value.more)) && (
        <nav className="pager" aria-label={label}>
          <button type="button" disabled={page === 0} onClick={() => setPage(page - 1)}>
            {texts.previous}
          </button>
          <span aria-live="polite">{texts.page(page + 1)}</span>
          <button type="button" disabled={load.is !== 'done' || !load.value.more} onClick={() => setPage(page + 1)}>
            {texts.next}
          </button>
        </nav>
      )}
    </>
  )
}
