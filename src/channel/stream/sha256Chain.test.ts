import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromHex, toHex } from '../../core/bytes.ts'
import { engine } from '../../core/crypto/engine.ts'
import { codeOf } from '../../testing/suite.ts'
import { hashTimes, hashWords } from './sha256Chain.ts'

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 })

describe('hashTimes', () => {
  it('gives known hashes', () => {
    const zero = new Uint8Array(32)
    expect(toHex(hashTimes(zero, 1))).toBe('0x66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925')
    // Bitcoin's double SHA-256 of 32 zero bytes.
    expect(toHex(hashTimes(zero, 2))).toBe('0x2b32db6c2c0a6235fb1397e8225ea85e0f0e6e8c7b126d0016ccbde0e667151e')
  })

  it('is what the engine hashes, over and over', () => {
    fc.assert(
      fc.property(bytes32, fc.nat(40), (value, times) => {
        let expected: Uint8Array = value
        for (let i = 0; i < times; i++) expected = engine().sha256(expected)
        expect(toHex(hashTimes(value, times))).toBe(toHex(expected))
      }),
      { numRuns: 500 },
    )
  })

  it('leaves its input alone, and returns bytes of their own', () => {
    const value = fromHex(`0x${'07'.repeat(32)}`)
    const same = hashTimes(value, 0)
    expect(same).toEqual(value)
    same[0] = 1
    hashTimes(value, 3)
    expect(toHex(value)).toBe(`0x${'07'.repeat(32)}`)
  })

  it.each([
    [31, 1],
    [33, 1],
    [32, -1],
    [32, 0.5],
    [32, NaN],
  ])('refuses %i bytes, %f times', async (size, times) => {
    expect(await codeOf(() => hashTimes(new Uint8Array(size), times))).toBe('BAD_ARGUMENT')
  })
})

describe('hashWords', () => {
  it('writes where it is told and nowhere else', () => {
    const words = Int32Array.from({ length: 24 }, (_, i) => i)
    hashWords(words, 8, 16, 2)
    expect([...words.subarray(0, 16)]).toEqual(Array.from({ length: 16 }, (_, i) => i))
    const once = words.slice()
    hashWords(once, 8, 8, 2)
    expect(once.subarray(8, 16)).toEqual(words.subarray(16))
  })
})
