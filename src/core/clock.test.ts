import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { systemClock } from './clock.ts'

describe('systemClock', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  const done = async (sleep: Promise<void>) => {
    let ended = false
    void sleep.then(() => (ended = true))
    await vi.advanceTimersByTimeAsync(0)
    return () => ended
  }

  it('reads the time of the machine', () => {
    vi.setSystemTime(1234)
    expect(systemClock.now()).toBe(1234)
  })

  it('sleeps as long as it was told, and not at all for nothing', async () => {
    const ended = await done(systemClock.sleep(100))
    await vi.advanceTimersByTimeAsync(99)
    expect(ended()).toBe(false)
    await vi.advanceTimersByTimeAsync(1)
    expect(ended()).toBe(true)
    expect((await done(systemClock.sleep(-5)))()).toBe(true)
  })

  it('sleeps longer than a platform timer can', async () => {
    const ms = 2 ** 32 + 5
    const ended = await done(systemClock.sleep(ms))
    await vi.advanceTimersByTimeAsync(ms - 1)
    expect(ended()).toBe(false)
    await vi.advanceTimersByTimeAsync(1)
    expect(ended()).toBe(true)
  })

  it('wakes up when it is aborted, and leaves no timer', async () => {
    const stop = new AbortController()
    const sleep = expect(systemClock.sleep(1000, stop.signal)).rejects.toMatchObject({ code: 'ABORTED' })
    stop.abort()
    await sleep
    expect(vi.getTimerCount()).toBe(0)
    await expect(systemClock.sleep(1000, stop.signal)).rejects.toMatchObject({ code: 'ABORTED' })
    expect(vi.getTimerCount()).toBe(0)
  })
})
