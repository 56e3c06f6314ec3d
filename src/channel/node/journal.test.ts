import { describe, expect, it } from 'vitest'
import type { Store, StoreChange } from '../../core/store/store.ts'
import { createJournal, type Journal } from './journal.ts'

const one = Uint8Array.of(1)

/** A journal over a store whose writes end when the test says so. */
function setUp(): {
  journal: Journal
  writes: { keys: string[]; changes: readonly StoreChange[]; done(): Promise<void>; fail(): Promise<void> }[]
  failures: unknown[]
  effectErrors: unknown[]
} {
  const writes: ReturnType<typeof setUp>['writes'] = []
  const failures: unknown[] = []
  const effectErrors: unknown[] = []
  const store = {
    write: (changes: readonly StoreChange[]) =>
      new Promise<void>((resolve, reject) =>
        writes.push({
          keys: changes.map(({ key }) => key),
          changes,
          done: () => (resolve(), turn()),
          fail: () => (reject(new Error('the medium is gone')), turn()),
        }),
      ),
  } as unknown as Store
  return {
    journal: createJournal(
      store,
      (error) => failures.push(error),
      (error) => effectErrors.push(error),
    ),
    writes,
    failures,
    effectErrors,
  }
}
const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0))

describe('a journal', () => {
  it('writes what one turn puts at once, and lets the effects out after it, in their order', async () => {
    const { journal, writes } = setUp()
    const seen: number[] = []
    journal.put('a', () => one)
    journal.then(() => seen.push(1))
    journal.put('b', () => one)
    journal.delete('c')
    journal.then(() => seen.push(2))
    await turn()
    expect(writes.map(({ keys }) => keys)).toEqual([['a', 'b', 'c']])
    expect(writes[0]!.changes[2]).toEqual({ key: 'c', value: null })
    expect(seen).toEqual([])
    await writes[0]!.done()
    expect(seen).toEqual([1, 2])
  })

  it('gathers what comes meanwhile, with the value that it has then', async () => {
    const { journal, writes } = setUp()
    const seen: string[] = []
    let value = 1
    journal.put('a', () => one)
    await turn()
    journal.put('b', () => Uint8Array.of(value))
    journal.then(() => seen.push('b'))
    value = 2
    journal.put('b', () => Uint8Array.of(value))
    value = 3
    await turn()
    expect(writes.length).toBe(1)
    await writes[0]!.done()
    expect(seen).toEqual([])
    expect(writes[1]!.changes).toEqual([{ key: 'b', value: Uint8Array.of(3) }])
    await writes[1]!.done()
    expect(seen).toEqual(['b'])
  })

  it('lets an effect out that has nothing to wait for, but not before what is under way', async () => {
    const { journal, writes } = setUp()
    const seen: string[] = []
    journal.then(() => seen.push('alone'))
    expect(seen).toEqual([])
    await turn()
    expect(seen).toEqual(['alone'])
    journal.put('a', () => one)
    await turn()
    journal.then(() => seen.push('behind'))
    await turn()
    expect(seen).toEqual(['alone'])
    await writes[0]!.done()
    expect(seen).toEqual(['alone', 'behind'])
  })

  it('calls only the last of several effects of one subject, at the place of the last', async () => {
    const { journal, writes } = setUp()
    const seen: string[] = []
    const [x, y] = [{}, {}]
    journal.put('a', () => one)
    journal.thenLast(x, () => seen.push('x1'))
    journal.thenLast(y, () => seen.push('y1'))
    journal.then(() => seen.push('between'))
    journal.thenLast(x, () => seen.push('x2'))
    await turn()
    await writes[0]!.done()
    expect(seen).toEqual(['y1', 'between', 'x2'])
    journal.put('b', () => one)
    journal.thenLast(x, () => seen.push('x3'))
    await turn()
    await writes[1]!.done()
    expect(seen.at(-1)).toBe('x3')
  })

  it('stops everything when the store fails: no effect leaves, nothing more is written', async () => {
    const { journal, writes, failures } = setUp()
    const seen: string[] = []
    journal.put('a', () => one)
    journal.then(() => seen.push('a'))
    const settled = journal.settled().then(
      () => 'settled',
      () => 'failed',
    )
    await turn()
    journal.put('b', () => one)
    journal.then(() => seen.push('b'))
    await writes[0]!.fail()
    expect(failures).toHaveLength(1)
    journal.put('c', () => one)
    journal.then(() => seen.push('c'))
    journal.thenLast({}, () => seen.push('d'))
    await turn()
    expect(writes).toHaveLength(1)
    expect(seen).toEqual([])
    expect(await settled).toBe('failed')
    await expect(journal.settled()).rejects.toThrow('the medium is gone')
  })

  it('stops as well when a value can not be encoded: what belongs to it must not be lost alone', async () => {
    const { journal, writes, failures } = setUp()
    const seen: string[] = []
    journal.put('a', () => one)
    journal.put('b', () => {
      throw new Error('too large')
    })
    journal.then(() => seen.push('out'))
    await turn()
    expect(failures).toHaveLength(1)
    expect(writes).toEqual([])
    expect(seen).toEqual([])
  })

  it('goes on after an effect that throws, and tells of it', async () => {
    const { journal, writes, effectErrors } = setUp()
    const seen: string[] = []
    journal.put('a', () => one)
    journal.then(() => {
      throw new Error('an effect')
    })
    journal.then(() => seen.push('next'))
    await turn()
    await writes[0]!.done()
    expect(seen).toEqual(['next'])
    expect(effectErrors).toHaveLength(1)
  })

  it('writes what an effect puts, and is settled after that', async () => {
    const { journal, writes } = setUp()
    journal.put('a', () => one)
    journal.then(() => journal.put('b', () => one))
    await turn()
    await writes[0]!.done()
    expect(writes[1]!.keys).toEqual(['b'])
    let settled = false
    void journal.settled().then(() => (settled = true))
    await turn()
    expect(settled).toBe(false)
    await writes[1]!.done()
    expect(settled).toBe(true)
    await journal.settled()
  })
})
