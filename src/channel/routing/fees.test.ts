import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isSluiceError } from '../../core/errors.ts'
import { assertFeeSchedule, MAX_POINTS, mediationFee, NO_FEES, penalty, type FeeSchedule } from './fees.ts'
import { schedules } from './testNetwork.testing.ts'

describe('a mediation fee', () => {
  it('is the flat part, the proportional part rounded up, and the change of the penalty', () => {
    expect(mediationFee({ ...NO_FEES, flat: 7n }, 100n, 1000n)).toBe(7n)
    expect(mediationFee({ ...NO_FEES, proportional: 4000 }, 1000n, 1000n)).toBe(4n)
    expect(mediationFee({ ...NO_FEES, proportional: 4000 }, 1001n, 2000n)).toBe(5n)
    const imbalance = [[0n, 100n], [500n, 0n], [1000n, 100n]] as const
    expect(mediationFee({ ...NO_FEES, imbalance }, 500n, 500n)).toBe(100n)
    expect(mediationFee({ flat: 3n, proportional: 1, imbalance }, 500n, 500n)).toBe(104n)
  })

  it('is never negative, although a payment may bring a channel back into balance', () => {
    const imbalance = [[0n, 100n], [500n, 0n], [1000n, 100n]] as const
    expect(mediationFee({ ...NO_FEES, imbalance }, 500n, 1000n)).toBe(0n)
    expect(mediationFee({ ...NO_FEES, flat: 150n, imbalance }, 500n, 1000n)).toBe(50n)
  })

  it('rounds every part up for the mediator', () => {
    const imbalance = [[0n, 0n], [3n, 1n], [6n, 0n]] as const
    // From 1/3 to 2/3: one is rounded down, the other up.
    expect(penalty({ ...NO_FEES, imbalance }, 1n, false)).toBe(0n)
    expect(penalty({ ...NO_FEES, imbalance }, 1n, true)).toBe(1n)
    expect(mediationFee({ ...NO_FEES, imbalance }, 1n, 2n)).toBe(1n)
    expect(mediationFee({ ...NO_FEES, imbalance }, 1n, 5n)).toBe(1n)
  })

  it('lies above the exact value by less than one for each of its three parts', () => {
    const cases = fc.tuple(schedules(), fc.bigInt(0n, 2000n), fc.bigInt(0n, 2000n))
    fc.assert(fc.property(cases, ([schedule, amount, rest]) => {
      const capacity = amount + rest
      // All as fractions of one denominator, which holds every run of the curve.
      const whole = schedule.imbalance.slice(1).reduce((product, [x], i) => product * (x - schedule.imbalance[i]![0]), 1_000_000n)
      const at = (x: bigint): bigint => {
        const curve = schedule.imbalance
        const i = curve.findIndex(([balance]) => balance >= x)
        if (curve.length === 0) return 0n
        if (i === 0) return curve[0]![1] * whole
        if (i < 0) return curve.at(-1)![1] * whole
        const [[x0, y0], [x1, y1]] = [curve[i - 1]!, curve[i]!]
        return y0 * whole + ((y1 - y0) * (x - x0) * whole) / (x1 - x0)
      }
      const plain = schedule.flat * 1_000_000n + amount * BigInt(schedule.proportional)
      const exact = plain * (whole / 1_000_000n) + at(capacity - amount) - at(capacity)
      const fee = mediationFee(schedule, amount, capacity) * whole
      expect(fee >= exact).toBe(true)
      expect(fee < (exact > 0n ? exact : 0n) + 3n * whole).toBe(true)
    }), { numRuns: 500 })
  })

  it('makes nothing cheaper by sending more: amount and fee together never fall', () => {
    fc.assert(fc.property(schedules(), fc.bigInt(1n, 3000n), fc.bigInt(0n, 2999n), (schedule, capacity, amount) => {
      fc.pre(amount < capacity)
      const sum = (sent: bigint): bigint => sent + mediationFee(schedule, sent, capacity)
      expect(sum(amount + 1n) >= sum(amount)).toBe(true)
    }), { numRuns: 2000 })
  })
})

describe('a fee schedule', () => {
  const points = (count: number): [bigint, bigint][] => Array.from({ length: count }, (_, i) => [BigInt(i), 0n])
  const good: FeeSchedule = { flat: 1n, proportional: 2, imbalance: points(MAX_POINTS) }

  it('is taken within its ranges', () => {
    assertFeeSchedule(good)
    assertFeeSchedule({ flat: 2n ** 128n - 1n, proportional: 1_000_000, imbalance: [[0n, 5n], [5n, 0n], [2n ** 128n - 1n, 0n]] })
    fc.assert(fc.property(schedules(), (schedule) => assertFeeSchedule(schedule)))
  })

  it.each<[string, Partial<FeeSchedule>]>([
    ['flat', { flat: -1n }],
    ['flat', { flat: 2n ** 128n }],
    ['proportional', { proportional: -1 }],
    ['proportional', { proportional: 1.5 }],
    ['proportional', { proportional: 1_000_001 }],
    ['proportional', { proportional: NaN }],
    ['imbalance', { imbalance: points(1) }],
    ['imbalance', { imbalance: points(MAX_POINTS + 1) }],
    ['imbalance[0]', { imbalance: [[-1n, 0n], [1n, 0n]] }],
    ['imbalance[1]', { imbalance: [[0n, 0n], [0n, 0n]] }],
    ['imbalance[1]', { imbalance: [[0n, 0n], [10n, 11n]] }],
    ['imbalance[2]', { imbalance: [[0n, 20n], [10n, 20n], [20n, 9n]] }],
    ['imbalance[1]', { imbalance: [[0n, 0n], [2n ** 128n, 0n]] }],
    ['imbalance[0]', { imbalance: [[0n, -1n], [1n, 0n]] }],
  ])('is refused for its %s', (field, change) => {
    for (const code of ['BAD_ARGUMENT', 'BAD_MESSAGE'] as const) {
      try {
        assertFeeSchedule({ ...good, ...change }, code)
        expect.unreachable()
      } catch (error) {
        if (!isSluiceError(error, code)) throw error
        expect(error.details).toEqual({ field: `fees.${field}` })
      }
    }
  })
})
