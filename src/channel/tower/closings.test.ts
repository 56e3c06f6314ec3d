import { describe, expect, it } from 'vitest'
import { toHex, type Hex } from '../../core/bytes.ts'
import { memoryStore } from '../../core/store/memoryStore.ts'
import { hintOf } from './appointment.ts'
import { isOver, openClosings, shownOf } from './closings.ts'

const hex = (size: number, value: number): Hex => toHex(new Uint8Array(size).fill(value))
const NETWORK = hex(20, 1)
const balance = (nonce: number) => ({ nonce, transferred: BigInt(nonce), locked: 0n, locksroot: hex(32, 0) })
const closed = (id: number) => ({
  type: 'closed' as const,
  channelId: hex(32, id),
  closer: hex(20, 2),
  fromPartner: balance(4),
  watch: hex(32, 200 + id),
  settleAt: 1000,
})
const updated = (id: number, nonce: number) => ({ type: 'updated' as const, channelId: hex(32, id), fromCloser: balance(nonce) })

describe('the closings of a tower', () => {
  it('are kept with what was shown, across restarts', async () => {
    const entries = new Map<string, Uint8Array>()
    const store = memoryStore(entries)
    const closings = await openClosings(store, 10, () => false)
    await closings.closed(closed(1), NETWORK, 5)
    await closings.updated(updated(1, 7), NETWORK, 6)
    await closings.updated(updated(1, 9), NETWORK, 7)
    await closings.noteReward(closings.get(NETWORK, hex(32, 1))!)
    const before = closings.get(NETWORK, hex(32, 1))!
    expect(before).toMatchObject({ settleAt: 1000, block: 5, rewarded: true, fromPartner: balance(4), hint: hintOf(closed(1)) })
    expect(shownOf(before)).toMatchObject(balance(9))
    await store.close()
    const again = await openClosings(memoryStore(entries), 10, () => false)
    expect([...again.all()]).toEqual([before])
    expect([again.isOpen(before.hint), again.isOpen(hex(16, 9))]).toEqual([true, false])
  })

  it('stay the same when logs come again', async () => {
    const closings = await openClosings(memoryStore(), 10, () => false)
    const deliver = async (): Promise<void> => {
      await closings.closed(closed(1), NETWORK, 5)
      await closings.updated(updated(1, 7), NETWORK, 6)
    }
    await deliver()
    await closings.noteReward(closings.get(NETWORK, hex(32, 1))!)
    const before = closings.get(NETWORK, hex(32, 1))
    await deliver()
    expect(closings.get(NETWORK, hex(32, 1))).toEqual(before)
    await closings.forget(before!)
    expect(closings.isOpen(before!.hint)).toBe(false)
  })

  it('forget what has left the chain', async () => {
    const closings = await openClosings(memoryStore(), 10, () => false)
    await closings.closed(closed(1), NETWORK, 5)
    await closings.updated(updated(1, 7), NETWORK, 6)
    await closings.updated(updated(1, 9), NETWORK, 8)
    await closings.released(hex(32, 1), hex(20, 3), [hex(32, 11)], NETWORK, 7)
    await closings.released(hex(32, 1), hex(20, 3), [hex(32, 12)], NETWORK, 8)
    await closings.released(hex(32, 1), closed(1).closer, [hex(32, 13)], NETWORK, 7)
    await closings.closed(closed(2), NETWORK, 8)
    await closings.rollBack(7)
    expect([...closings.all()].map(({ channelId }) => channelId)).toEqual([hex(32, 1)])
    expect(shownOf(closings.get(NETWORK, hex(32, 1))!)).toMatchObject(balance(7))
    expect(closings.get(NETWORK, hex(32, 1))!.released).toEqual([{ lock: hex(32, 11), block: 7 }])
    await closings.rollBack(5)
    expect(shownOf(closings.get(NETWORK, hex(32, 1))!).nonce).toBe(0)
    await closings.rollBack(4)
    expect([...closings.all()]).toEqual([])
  })

  it('are bounded, but for those that an appointment is known for', async () => {
    const known = hintOf(closed(4))
    const closings = await openClosings(memoryStore(), 2, (hint) => hint === known)
    for (const id of [1, 2, 3, 4]) await closings.closed(closed(id), NETWORK, 5)
    expect([...closings.all()].map(({ channelId }) => channelId)).toEqual([1, 2, 4].map((id) => hex(32, id)))
    // An update of one that is not kept is no matter.
    await closings.updated(updated(3, 1), NETWORK, 6)
    expect(closings.get(NETWORK, hex(32, 3))).toBeUndefined()
  })

  it('are over some time after the settlement is possible, and once no reward is open', async () => {
    const closings = await openClosings(memoryStore(), 2, () => false)
    await closings.closed(closed(1), NETWORK, 5)
    const closing = closings.get(NETWORK, hex(32, 1))!
    expect([isOver(closing, 1000), isOver(closing, 4600)]).toEqual([false, true])
    expect(isOver({ ...closing, rewarded: true }, 4600)).toBe(false)
  })
})
