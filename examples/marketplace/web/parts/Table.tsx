import type { ReactNode } from 'react'

/** A column of a {@link Table}. */
export interface Column<T> {
  readonly head: string
  readonly cell: (row: T) => ReactNode
  readonly isNumber?: boolean
}

/**
 * A table; on a phone each row becomes a block of labelled values. The roles are written out, since a table that CSS turns into
 * blocks is none any more for screen readers.
 */
export function Table<T>({
  caption,
  columns,
  rows,
  keyOf,
  sum,
}: {
  caption: string
  columns: readonly Column<T>[]
  rows: readonly T[]
  keyOf: (row: T) => string | number
  /** Cells of a last row; the first is its heading. */
  sum?: readonly ReactNode[]
}) {
  const look = (isNumber: boolean | undefined): string | undefined => (isNumber ? 'number' : undefined)
  return (
    <table role="table">
      <caption className="unseen">{caption}</caption>
      <thead role="rowgroup">
        <tr role="row">
          {columns.map(({ head, isNumber }) => (
            <th key={head} role="columnheader" scope="col" className={look(isNumber)}>
              {head}
            </th>
          ))}
        </tr>
      </thead>
      <tbody role="rowgroup">
        {rows.map((row) => (
          <tr key={keyOf(row)} role="row">
            {columns.map(({ head, cell, isNumber }) => (
              <td key={head} role="cell" data-label={head} className={look(isNumber)}>
                <div>{cell(row)}</div>
              </td>
            ))}
          </tr>
        ))}
      </tbody>
      {sum && (
        <tfoot role="rowgroup">
          <tr role="row">
            {columns.map(({ head, isNumber }, index) =>
              index === 0 ? (
                <th key={head} role="rowheader" scope="row">
                  {sum[0]}
                </th>
              ) : (
                <td key={head} role="cell" data-label={head} className={look(isNumber)}>
                  <div>{sum[index]}</div>
                </td>
              ),
            )}
          </tr>
        </tfoot>
      )}
    </table>
  )
}
