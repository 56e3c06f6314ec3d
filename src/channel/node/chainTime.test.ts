import { describe, expect, it, vi } from 'vitest'
import { createManualClock } from '../../testing/manualClock.ts'
import { createChainTime } from './chainTime.ts'

const T = 1_800_000_000

function timeAt(seconds = T, options = {}) {
  const clock = createManualClock(1000 * seconds)
  const onClock = vi.fn()
  return { clock, onClock, time: createChainTime({ clock, stallTimeout: 300, clockTolerance: 300, onClock, ...options }) }
}

describe('a chain', () => {
  it('stands still until all of it has been told, and when no block has come for too long', async () => {
    const { clock, time } = timeAt()
    expect(time.stalled()).toBe(true)
    expect(() => time.assertMoving()).toThrow(expect.objectContaining({ code: 'CHAIN_STALLED' }))
    time.block(T - 900, 60)
    expect(time.stalled()).toBe(true) // one of many that were missed
    time.block(T - 60, 0)
    expect(time.stalled()).toBe(false)
    await clock.advance(301_000)
    expect(time.stalled()).toBe(true)
    expect(() => time.assertMoving()).toThrow(/for 301 s, and stallTimeout is 300 s.*stallTimeout to Infinity/)
    time.block(T - 48, 20)
    expect(time.stalled()).toBe(true)
    time.block(T + 240, 0)
    expect(time.stalled()).toBe(false)
  })

  it('stands still for longer than a restart', () => {
    const { time } = timeAt()
    time.begin(T - 299)
    expect(time.stalled()).toBe(false)
    const restarted = timeAt().time
    restarted.begin(T - 301)
    expect(restarted.stalled()).toBe(true)
    expect(restarted.confirmed).toBe(T - 301)
  })

  it('never stands still where nothing says so', () => {
    expect(timeAt(T, { stallTimeout: Infinity }).time.stalled()).toBe(false)
  })
})

describe('a clock', () => {
  it('is believed within the tolerance, and named when it is wrong', async () => {
    const { clock, onClock, time } = timeAt(T + 86_400) // a day ahead
    time.block(T, 0) // may have been made long ago
    expect(onClock).not.toHaveBeenCalled()
    expect(time.now()).toBe(T + 86_400)
    await clock.advance(12_000)
    time.block(T + 12, 0)
    expect(onClock).toHaveBeenCalledExactlyOnceWith(86_400, true)
    expect(time.now()).toBe(T + 12 + 300)
    await clock.advance(12_000)
    expect(time.now()).toBe(T + 24 + 300)
    time.block(T + 24, 0)
    expect(onClock).toHaveBeenCalledTimes(1)
    await clock.advance(12_000)
    time.block(T + 86_400 + 30, 0)
    expect(onClock).toHaveBeenLastCalledWith(6, false)
    expect(time.now()).toBe(T + 86_400 + 36)
  })

  it('that is behind counts for nothing: time goes on from the last block', async () => {
    const { clock, onClock, time } = timeAt(T - 86_400)
    time.block(T, 0)
    expect(time.now()).toBe(T)
    await clock.advance(12_000)
    time.block(T + 12, 0)
    expect(onClock).toHaveBeenCalledExactlyOnceWith(-86_400, true)
    expect(time.now()).toBe(T + 12)
  })

  it('is not blamed for a block that ends a silence', async () => {
    const { clock, onClock, time } = timeAt()
    time.block(T - 60, 0)
    await clock.advance(7_200_000)
    time.block(T - 48, 0) // a node that lags by hours
    expect(onClock).not.toHaveBeenCalled()
    expect(time.now()).toBe(T + 7_200)
  })
})
