import fc from 'fast-check'
import { expect, it } from 'vitest'
import { readRequestName, requestCid } from './requestName.ts'

it("reads the seed's CID, and gives it back", () => {
  const hex = readRequestName('Qma2L9V1rVHBAMMSNLrqCRS1wicv7mhFWtou8JJDL5khCh')
  expect(hex).toMatch(/^[0-9a-f]{64}$/)
  expect(requestCid(hex!)).toBe('Qma2L9V1rVHBAMMSNLrqCRS1wicv7mhFWtou8JJDL5khCh')
})

it('reads both forms of every digest', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (digest) => {
      const hex = Buffer.from(digest).toString('hex')
      expect([readRequestName(hex), readRequestName(hex.toUpperCase()), readRequestName(requestCid(hex))]).toEqual([
        hex,
        hex,
        hex,
      ])
    }),
  )
})

it('refuses anything else', () => {
  // The last is 34 bytes of base58 in the right form, that begin with no SHA-256 multihash.
  for (const text of ['', 'Qm', 'g'.repeat(64), '0'.repeat(63), `Qm${'0'.repeat(44)}`, `Qm${'z'.repeat(44)}`]) {
    expect(readRequestName(text)).toBeUndefined()
  }
})
