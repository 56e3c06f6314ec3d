import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decide, neededOf, readThreshold, writeThreshold } from './tally.ts'

const threshold = fc.integer({ min: 1, max: 100 }).map((hundredths) => hundredths * 100)
const voters = fc.integer({ min: 1, max: 20 })

describe('neededOf', () => {
  it('rounds up, without what floats add', () => {
    expect([
      neededOf(7000, 3),
      neededOf(7000, 10),
      neededOf(5000, 4),
      neededOf(5001, 4),
      neededOf(10_000, 20),
      neededOf(1, 20),
    ]).toEqual([3, 7, 2, 3, 20, 1])
  })

  it('is the least number whose share reaches the threshold, for 1 to 20 members and 0.01 to 1.00', () => {
    fc.assert(
      fc.property(voters, threshold, (count, limit) => {
        const needed = BigInt(neededOf(limit, count))
        const reaches = (agree: bigint): boolean => agree * 10_000n >= BigInt(limit) * BigInt(count)
        expect(needed >= 1n && needed <= BigInt(count)).toBe(true)
        expect([reaches(needed), reaches(needed - 1n)]).toEqual([true, false])
      }),
      { numRuns: 2000 },
    )
  })
})

describe('decide', () => {
  it('is decided exactly when no further vote can change it, whatever the order', () => {
    fc.assert(
      fc.property(voters, threshold, fc.infiniteStream(fc.boolean()), (count, limit, votes) => {
        const needed = neededOf(limit, count)
        let [agree, disagree] = [0, 0]
        for (let voted = 0; voted <= count; voted++) {
          const left = count - voted
          const can = { pass: agree + left >= needed, reject: agree < needed }
          const status = decide({ voters: count, needed, agree, disagree })
          expect(status).toBe(!can.reject ? 'PASS' : !can.pass ? 'REJECT' : 'INPROGRESS')
          if (votes.next().value) agree++
          else disagree++
        }
        expect(decide({ voters: count, needed, agree: needed, disagree: count - needed })).toBe('PASS')
      }),
      { numRuns: 2000 },
    )
  })
})

describe('readThreshold', () => {
  it('reads what its writer wrote, exactly', () => {
    for (let hundredths = 1; hundredths <= 100; hundredths++) {
      expect(readThreshold(hundredths / 100)).toBe(hundredths * 100)
      expect(writeThreshold(hundredths * 100)).toBe(hundredths / 100)
    }
    expect([readThreshold('0.7'), readThreshold('0.70000'), readThreshold('1'), readThreshold(0.0001)]).toEqual([
      7000, 7000, 10_000, 1,
    ])
  })

  it('refuses what is no threshold', () => {
    for (const value of [0, -0.5, 1.0001, 2, 0.00001, NaN, Infinity, '', '0', '1e-1', '.5', '0,7', '0.70001', ' 0.7']) {
      expect(readThreshold(value)).toBeUndefined()
    }
  })
})
