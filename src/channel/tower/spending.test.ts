import { expect, it } from 'vitest'
import { toHex, type Hex } from '../../core/bytes.ts'
import { memoryStore } from '../../core/store/memoryStore.ts'
import { BEYOND, openSpending } from './spending.ts'

const client = (value: number): Hex => toHex(new Uint8Array(20).fill(value))
const DAY = 86_400

it('what a client has used in a day makes its next answers dearer, also after a restart, and another day it is forgotten', async () => {
  const entries = new Map<string, Uint8Array>()
  const store = memoryStore(entries)
  const spending = await openSpending(store, 1_000n)
  expect(spending.factor(client(1), 1_000n, DAY)).toBe(1n)
  await spending.note(client(1), 600n, DAY)
  expect(spending.factor(client(1), 400n, DAY)).toBe(1n)
  expect(spending.factor(client(1), 401n, 2 * DAY - 1)).toBe(BEYOND)
  expect(spending.factor(client(2), 1_000n, DAY)).toBe(1n)
  await store.close()
  const again = await openSpending(memoryStore(entries), 1_000n)
  expect(again.factor(client(1), 401n, DAY)).toBe(BEYOND)
  expect(again.factor(client(1), 1_000n, 2 * DAY)).toBe(1n)
  await again.note(client(2), 1n, 4 * DAY)
  expect([...entries.keys()]).toEqual([`spent/${client(2)}`])
})
