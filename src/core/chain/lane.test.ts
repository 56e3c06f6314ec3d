import { expect, it } from 'vitest'
import { type Lane, openLane } from './lane.ts'
import type { Rpc } from './rpc.ts'

const nodeAt = (nonce: number) =>
  ({ nonce: async () => nonce, follow: (_: string, run: () => unknown) => run() }) as unknown as Rpc

function open(chain = 'chain', address = '0x1'): Lane {
  return openLane(chain, address)
}

it('runs turns one after the other, also past one that fails, for all who share the account', async () => {
  const [a, b] = [open(), open()]
  const order: string[] = []
  const slow = a.turn(async () => {
    await new Promise((resolve) => setTimeout(resolve, 20))
    order.push('slow')
    throw new Error('no')
  })
  const fast = b.turn(async () => {
    order.push('fast')
    return 7
  })
  await expect(slow).rejects.toThrow('no')
  expect(await fast).toBe(7)
  expect(order).toEqual(['slow', 'fast'])
  a.release()
  b.release()
})

it('counts on from what is under way, and asks the chain when nothing is', async () => {
  const lane = open()
  expect(await lane.next(nodeAt(5), false)).toBe(5)
  lane.taken.add(5).add(6)
  expect(await lane.next(nodeAt(0), false)).toBe(7)
  expect(await lane.next(nodeAt(9), false)).toBe(7)
  expect(await lane.next(nodeAt(9), true)).toBe(9)
  expect(await lane.next(nodeAt(5), true)).toBe(7)
  lane.taken.clear()
  expect(await lane.next(nodeAt(2), false)).toBe(2) // rolled back
  lane.release()
})

it('is one per account and chain, until nobody uses it', () => {
  const [a, b] = [open(), open()]
  a.taken.add(1)
  expect(b.taken.has(1)).toBe(true)
  for (const other of [open('other'), open('chain', '0x2')]) {
    expect(other.taken.size).toBe(0)
    other.release()
  }
  a.release()
  const c = open()
  expect(c.taken.has(1)).toBe(true)
  b.release()
  c.release()
  const d = open()
  expect(d.taken.size).toBe(0)
  d.release()
})
