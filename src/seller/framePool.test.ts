import { describe, expect, it } from 'vitest'
import { createFramePool } from './framePool.ts'

const MiB = 1024 * 1024

describe('createFramePool', () => {
  it('gives the same memory again, to a frame of about that size', () => {
    const pool = createFramePool()
    const frame = pool.take(65_600).subarray(0, 65_600)
    expect(pool.take(65_600).buffer).not.toBe(frame.buffer)
    pool.give(frame)
    const again = pool.take(65_700)
    expect(again.buffer).toBe(frame.buffer)
    expect(again.length).toBeGreaterThanOrEqual(65_700)
    expect(pool.take(65_600).buffer).not.toBe(frame.buffer)
  })

  it('does not stretch memory to a larger frame', () => {
    const pool = createFramePool()
    pool.give(pool.take(65_600))
    expect(pool.take(200_000).length).toBeGreaterThanOrEqual(200_000)
  })

  it('keeps 16 MiB and no more', () => {
    const pool = createFramePool()
    const frames = Array.from({ length: 20 }, () => pool.take(MiB))
    for (const frame of frames) pool.give(frame)
    const again = Array.from({ length: 20 }, () => pool.take(MiB).buffer)
    expect(frames.filter((frame) => again.includes(frame.buffer)).length).toBe(16)
  })

  it('does not keep small frames', () => {
    const pool = createFramePool()
    const frame = pool.take(100)
    expect(frame.length).toBe(100)
    pool.give(frame)
    expect(pool.take(100).buffer).not.toBe(frame.buffer)
  })
})
