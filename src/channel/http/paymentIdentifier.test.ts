import fc from 'fast-check'
import { expect, test } from 'vitest'
import { keyedPaymentId, toIdentifier, toPaymentId } from './paymentIdentifier.ts'

test('an identifier is the big-endian number of the id, and back', () => {
  expect(toPaymentId(258n)).toBe(`0x${'0'.repeat(61)}102`)
  fc.assert(fc.property(fc.bigInt({ min: 0n, max: 2n ** 256n - 1n }), (identifier) => {
    const id = toPaymentId(identifier)
    expect(id).toMatch(/^0x[0-9a-f]{64}$/)
    expect(toIdentifier(id)).toBe(identifier.toString())
  }))
})

test('a key stands for the same id wherever and whenever', () => {
  // printf 'sluice payment order-1' | sha256sum
  expect(keyedPaymentId('order-1')).toBe('0x4619097aa397826b367d9b6e91261d581c0a9c9be55b1f7fd6ba4a9631dfe82e')
  expect(keyedPaymentId('order-2')).not.toBe(keyedPaymentId('order-1'))
})
