import { expect, it } from 'vitest'
import { createBatcher } from './batcher.ts'

/** A run that ends when it is told to. */
function gate() {
  const batches: {
    readonly work: readonly number[]
    readonly end: (results: readonly (string | Error)[]) => void
    readonly fail: (error: Error) => void
  }[] = []
  const run = (work: readonly number[]): Promise<readonly (string | Error)[]> =>
    new Promise((resolve, reject) => batches.push({ work, end: resolve, fail: reject }))
  return { batches, run }
}
const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve))

it('does at once what comes in one turn, and what comes meanwhile together', async () => {
  const { batches, run } = gate()
  const batcher = createBatcher({ run, parallel: 1 })
  const first = [batcher.add(1), batcher.add(2)]
  await turn()
  const later = [batcher.add(3), batcher.add(4), batcher.add(5)]
  await turn()
  expect(batches.map(({ work }) => work)).toEqual([[1, 2]])
  batches[0]!.end(['a', 'b'])
  expect(await Promise.all(first)).toEqual(['a', 'b'])
  await turn()
  expect(batches.map(({ work }) => work)).toEqual([
    [1, 2],
    [3, 4, 5],
  ])
  batches[1]!.end(['c', 'd', 'e'])
  expect(await Promise.all(later)).toEqual(['c', 'd', 'e'])
})

it('refuses one piece without the others, and all of a batch that fails', async () => {
  const { batches, run } = gate()
  const batcher = createBatcher({ run, parallel: 1 })
  const some = Promise.allSettled([batcher.add(1), batcher.add(2)])
  await turn()
  batches[0]!.end(['a', new Error('no')])
  expect(await some).toMatchObject([{ value: 'a' }, { reason: { message: 'no' } }])
  const lost = Promise.allSettled([batcher.add(3), batcher.add(4)])
  await turn()
  batches[1]!.fail(new Error('gone'))
  expect(await lost).toMatchObject([{ reason: { message: 'gone' } }, { reason: { message: 'gone' } }])
  const next = batcher.add(5)
  await turn()
  batches[2]!.end(['e'])
  expect(await next).toBe('e')
})

it('keeps to its bounds, and is settled when nothing is left', async () => {
  const { batches, run } = gate()
  const batcher = createBatcher({ run, parallel: 2, size: 2 })
  await batcher.settled()
  const all = [1, 2, 3, 4, 5].map((work) => batcher.add(work))
  let settled = false
  const over = batcher.settled().then(() => (settled = true))
  await turn()
  expect(batches.map(({ work }) => work)).toEqual([
    [1, 2],
    [3, 4],
  ])
  batches[0]!.end(['a', 'b'])
  batches[1]!.end(['c', 'd'])
  await turn()
  expect(settled).toBe(false)
  expect(batches[2]!.work).toEqual([5])
  batches[2]!.end(['e'])
  expect(await Promise.all(all)).toEqual(['a', 'b', 'c', 'd', 'e'])
  await over
})
