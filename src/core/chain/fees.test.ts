import fc from 'fast-check'
import { FeeData } from 'ethers'
import { expect, it } from 'vitest'
import { feeFields, raisedFees, suggestedFees } from './fees.ts'

it('takes what the node suggests, up to the ceiling', () => {
  expect(suggestedFees(new FeeData(9n, 30n, 2n), undefined)).toEqual({ max: 30n, tip: 2n })
  expect(suggestedFees(new FeeData(9n, 30n, 2n), 20n)).toEqual({ max: 20n, tip: 2n })
  expect(suggestedFees(new FeeData(9n, 30n, 2n), 1n)).toEqual({ max: 1n, tip: 1n })
  expect(suggestedFees(new FeeData(9n), undefined)).toEqual({ max: 9n, tip: null })
  expect(() => suggestedFees(new FeeData(), undefined)).toThrow('no gas price')
})

it('raises by what every node takes, to what is suggested, never above the ceiling', () => {
  const wei = fc.bigInt({ min: 0n, max: 10n ** 12n })
  const fees = fc
    .record({ max: wei, tip: fc.option(wei) })
    .map(({ max, tip }) => ({ max, tip: tip !== null && tip > max ? max : tip }))
  fc.assert(
    fc.property(fees, fees, fc.option(wei, { nil: undefined }), (old, suggested, ceiling) => {
      const raised = raisedFees(old, suggested, ceiling)
      const enough = (a: bigint, b: bigint) => a * 1000n > b * 1125n
      if (!raised) {
        const least = (wei: bigint) => wei + wei / 8n + 1n
        expect(ceiling! < least(old.max) || ceiling! < least(old.tip ?? 0n)).toBe(true)
        return
      }
      expect(enough(raised.max, old.max)).toBe(true)
      expect(raised.max >= suggested.max || raised.max === ceiling).toBe(true)
      expect(raised.tip === null).toBe(old.tip === null)
      if (raised.tip !== null && old.tip !== null) {
        expect(enough(raised.tip, old.tip)).toBe(true)
        expect(raised.tip).toBeLessThanOrEqual(raised.max)
      }
      if (ceiling !== undefined) expect(raised.max).toBeLessThanOrEqual(ceiling)
    }),
  )
})

it('writes the fields of the kind of transaction', () => {
  expect(feeFields({ max: 3n, tip: 1n })).toEqual({ type: 2, maxFeePerGas: 3n, maxPriorityFeePerGas: 1n })
  expect(feeFields({ max: 3n, tip: null })).toEqual({ type: 0, gasPrice: 3n })
})
