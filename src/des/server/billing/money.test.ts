import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decimalText, quotientText, toDecimal, writeBill } from './money.ts'

describe('decimalText', () => {
  it('writes amounts without what floats add', () => {
    expect([
      decimalText(1600n, 5),
      decimalText(0n, 5),
      decimalText(100_000n, 5),
      decimalText(7n, 0),
      decimalText(10_691_608n, 5),
    ]).toEqual(['0.016', '0', '1', '7', '106.91608'])
  })

  it('loses no digit, whatever the amount and the decimals', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 70n }), fc.integer({ min: 0, max: 18 }), (units, decimals) => {
        const [whole, rest = ''] = decimalText(units, decimals).split('.')
        expect(BigInt(whole! + rest.padEnd(decimals, '0'))).toBe(units)
        expect(rest).not.toMatch(/0$/)
      }),
    )
  })
})

describe('quotientText', () => {
  it('divides to five decimals, half up', () => {
    expect(quotientText(106_000n, 43, 5)).toBe('0.02465')
    expect([
      quotientText(1n, 2, 5),
      quotientText(1n, 3, 5),
      quotientText(5n, 1, 6),
      quotientText(4n, 1, 6),
      quotientText(15n, 1, 1),
    ]).toEqual(['0.00001', '0', '0.00001', '0', '1.5'])
  })

  it('is the nearest of five decimals', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: 2n ** 64n }),
        fc.integer({ min: 1, max: 10_000 }),
        fc.integer({ min: 0, max: 10 }),
        (units, by, decimals) => {
          const [whole, rest = ''] = quotientText(units, by, decimals).split('.')
          const rounded = BigInt(whole! + rest.padEnd(5, '0'))
          // In units of 10^-5 / (by * 10^decimals).
          const off = rounded * BigInt(by) * 10n ** BigInt(decimals) - units * 100_000n
          const half = BigInt(by) * 10n ** BigInt(decimals)
          expect(2n * off <= half && 2n * off > -half).toBe(true)
        },
      ),
    )
  })
})

describe('writeBill', () => {
  it('writes decimals bare, to the last digit, and nothing else', () => {
    const name = 'n0123:0.5'
    expect(writeBill({ a: toDecimal('90071992547.40993'), b: [toDecimal('0')], c: '0.016', name, d: 5n })).toBe(
      '{"a":90071992547.40993,"b":[0],"c":"0.016","name":"n0123:0.5","d":5}',
    )
  })
})
