import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { unpaidWindow } from './window.ts'

describe('unpaidWindow', () => {
  it('is one chunk at first, and one more with each paid one up to the cap', () => {
    expect([0, 1, 2, 3, 4, 100].map((paid) => unpaidWindow(paid, 4))).toEqual([1, 2, 3, 4, 4, 4])
  })

  it('never lets more than one chunk of credit be earned by one paid chunk, nor the cap be passed', () => {
    fc.assert(
      fc.property(fc.nat(100_000), fc.integer({ min: 1, max: 65_536 }), (paid, cap) => {
        const now = unpaidWindow(paid, cap)
        expect(now).toBeGreaterThanOrEqual(1)
        expect(now).toBeLessThanOrEqual(Math.min(cap, 1 + paid))
        expect(unpaidWindow(paid + 1, cap) - now).toBeLessThanOrEqual(1)
      }),
    )
  })
})
