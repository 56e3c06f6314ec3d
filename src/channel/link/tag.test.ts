import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createTagger, sameTag, TAG_SIZE } from './tag.ts'

const bytes = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value)

describe('createTagger', () => {
  it('agrees with the HMAC of Node, whatever the length and the number', () => {
    const key = fc.uint8Array({ minLength: 32, maxLength: 32 })
    const message = fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 3900, max: 4200 }).map((n) => bytes(n, n)))
    const counter = fc.oneof(fc.nat(), fc.maxSafeNat())
    fc.assert(
      fc.property(key, message, counter, (key, message, counter) => {
        const number = Buffer.alloc(8)
        number.writeBigUInt64BE(BigInt(counter))
        const whole = createHmac('sha256', key).update(number).update(message).digest()
        expect([...createTagger(key)(counter, message)]).toEqual([...whole.subarray(0, TAG_SIZE)])
      }),
    )
  })

  it('numbers no packet by what is no number of 53 bits', () => {
    for (const counter of [-1, 0.5, NaN, 2 ** 53, 2 ** 64])
      expect(() => createTagger(bytes(32, 1))(counter, bytes(10, 0))).toThrow(expect.objectContaining({ code: 'BAD_ARGUMENT' }) as Error)
  })

  it('keeps the keys of several directions apart, and gives tags of their own', () => {
    const [one, two] = [createTagger(bytes(32, 1)), createTagger(bytes(32, 2))]
    const first = one(0, bytes(10, 0))
    const copy = Uint8Array.from(first)
    two(0, bytes(10, 0))
    one(1, bytes(10, 0))
    expect(first).toEqual(copy)
    expect(one(0, bytes(10, 0))).toEqual(copy)
    expect(two(0, bytes(10, 0))).not.toEqual(copy)
  })
})

describe('sameTag', () => {
  it('sees every changed bit and every other length', () => {
    const tag = Uint8Array.from({ length: TAG_SIZE }, (_, i) => i * 17)
    expect(sameTag(tag, Uint8Array.from(tag))).toBe(true)
    for (let bit = 0; bit < 8 * TAG_SIZE; bit++) {
      const other = Uint8Array.from(tag)
      other[bit >> 3]! ^= 1 << (bit & 7)
      expect(sameTag(tag, other)).toBe(false)
    }
    expect(sameTag(tag, tag.subarray(1))).toBe(false)
    expect(sameTag(bytes(15, 0), bytes(16, 0))).toBe(false)
    expect(sameTag(bytes(17, 0), bytes(16, 0))).toBe(false)
  })
})
