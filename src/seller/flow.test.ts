import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { horizon, sendable, waitingFor, type Flow } from './flow.ts'

const start: Flow = { total: 1000, granularity: 100, cap: 4, position: 0, paid: 0, covered: 1000 }

describe('sendable', () => {
  it('is one chunk before the first payment, whatever the cap', () => {
    expect(sendable({ ...start, cap: 65_536 }, 99)).toBe(1)
    expect(sendable({ ...start, position: 100 }, 99)).toBe(0)
  })

  it('grows with each paid chunk, up to the cap', () => {
    const ahead = (paid: number): number => sendable({ ...start, paid, position: paid }, 99)
    expect([0, 100, 200, 300, 400].map(ahead)).toEqual([1, 2, 3, 4, 4])
  })

  it('is never more than is asked for', () => {
    expect(sendable({ ...start, paid: 300, position: 300 }, 2)).toBe(2)
  })

  it('stops at the last chunk that the deposit covers in full', () => {
    expect(sendable({ ...start, paid: 300, position: 300, covered: 500 }, 99)).toBe(2)
    expect(sendable({ ...start, paid: 300, position: 300, covered: 499 }, 99)).toBe(1)
    expect(sendable({ ...start, covered: 99 }, 99)).toBe(0)
  })

  it('counts the short last chunk, and nothing behind it', () => {
    expect(sendable({ ...start, total: 950, paid: 900, position: 900, covered: 950 }, 99)).toBe(1)
    expect(sendable({ ...start, total: 950, paid: 900, position: 900, covered: 949 }, 99)).toBe(0)
    expect(sendable({ ...start, total: 950, paid: 900, position: 950, covered: 950 }, 99)).toBe(0)
  })

  it('never exposes more than the window, the deposit or the order', () => {
    const flows = fc.record({
      total: fc.integer({ min: 1, max: 5000 }),
      granularity: fc.integer({ min: 1, max: 300 }),
      cap: fc.integer({ min: 1, max: 20 }),
      paidPart: fc.double({ min: 0, max: 1, noNaN: true }),
      coveredPart: fc.double({ min: 0, max: 1, noNaN: true }),
    })
    fc.assert(
      fc.property(flows, ({ total, granularity, cap, paidPart, coveredPart }) => {
        const paid = Math.floor((paidPart * total) / granularity) * granularity
        const covered = Math.max(paid, Math.floor(coveredPart * total))
        const flow = { total, granularity, cap, position: paid, paid, covered }
        const end = Math.min(total, paid + sendable(flow, Infinity) * granularity)
        expect(end).toBeLessThanOrEqual(horizon(flow))
        expect(end - paid).toBeLessThanOrEqual(Math.min(cap, 1 + paid / granularity) * granularity)
        expect(end).toBeLessThanOrEqual(covered)
        // And nothing that may go is held back.
        const next = Math.min(total, end + granularity)
        if (end < total) expect(next).toBeGreaterThan(horizon(flow))
      }),
    )
  })
})

describe('waitingFor', () => {
  it('tells payment, deposit and end apart', () => {
    expect(waitingFor({ ...start, position: 100 })).toBe('payment')
    expect(waitingFor({ ...start, position: 300, paid: 300, covered: 350 })).toBe('deposit')
    expect(waitingFor({ ...start, position: 1000, paid: 900 })).toBe('payment')
    expect(waitingFor({ ...start, position: 1000, paid: 1000 })).toBe('end')
  })
})
