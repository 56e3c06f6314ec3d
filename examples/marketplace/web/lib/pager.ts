/** Rows of a page, and whether there is another behind it. */
export interface Page<T> {
  readonly rows: readonly T[]
  readonly more: boolean
}

/** Turns a list that comes bit by bit into pages: what was read once is kept, so that turning back asks for nothing. */
export function createPager<T>(open: () => AsyncIterable<T>, size: number): (page: number) => Promise<Page<T>> {
  let source: AsyncIterator<T> | undefined
  let rows: T[] = []
  return async (page) => {
    // One more than is shown tells whether there is another page.
    const wanted = (page + 1) * size + 1
    try {
      source ??= open()[Symbol.asyncIterator]()
      while (rows.length < wanted) {
        const next = await source.next()
        if (next.done) break
        rows.push(next.value)
      }
    } catch (error) {
      // An iterator that has failed gives nothing any more: the next try begins anew.
      source = undefined
      rows = []
      throw error
    }
    return { rows: rows.slice(page * size, (page + 1) * size), more: rows.length >= wanted }
  }
}

/** The first rows of a list, up to a limit. */
export async function collect<T>(list: AsyncIterable<T>, limit: number): Promise<T[]> {
  const rows: T[] = []
  for await (const row of list) if (rows.push(row) >= limit) break
  return rows
}
