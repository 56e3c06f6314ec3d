import { hashMessage } from 'ethers'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toHex, utf8 } from '../bytes.ts'
import { keyFromSecret } from './key.ts'
import { assertSignedBy, personalDigest, recoverAddress } from './signature.ts'

const alice = keyFromSecret(new Uint8Array(32).fill(1))
const bob = keyFromSecret(new Uint8Array(32).fill(2))
const digest = personalDigest(utf8('one loaf'))

describe('personalDigest', () => {
  it('is what ethers signs for a message', () => {
    expect(toHex(personalDigest(utf8('Hello World')))).toBe('0xa1de988600a42c4b4ab089b619297c17d53cffae5d5120d82d8a92d0bb3b78f2')
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(toHex(personalDigest(bytes))).toBe(hashMessage(bytes))
      }),
    )
  })
})

describe('recoverAddress', () => {
  it('names who signed', () => {
    expect(recoverAddress(digest, alice.sign(digest))).toBe(alice.address)
    expect(() => recoverAddress(digest, new Uint8Array(65))).toThrow(expect.objectContaining({ code: 'BAD_SIGNATURE' }))
  })
})

describe('assertSignedBy', () => {
  const what = { field: 'ack.signature', owner: 'the buyer' }

  it('takes the right signature, with the address in any case', () => {
    assertSignedBy(digest, alice.sign(digest), alice.address, what)
    assertSignedBy(digest, alice.sign(digest), alice.address.toLowerCase(), what)
  })

  it('says which field, whose key was expected and which key signed', () => {
    expect(() => assertSignedBy(digest, bob.sign(digest), alice.address, what)).toThrow(
      expect.objectContaining({
        code: 'BAD_SIGNATURE',
        message: `ack.signature must be signed by the buyer (${alice.address}), but ${bob.address} signed it`,
        details: { ...what, expected: alice.address, signer: bob.address },
      }),
    )
  })

  it('says what is wrong with bytes that are no signature', () => {
    expect(() => assertSignedBy(digest, new Uint8Array(64), alice.address, what)).toThrow(
      expect.objectContaining({
        code: 'BAD_SIGNATURE',
        message: `ack.signature is not a signature of the buyer (${alice.address}): the signature has 64 bytes instead of 65`,
        details: { ...what, expected: alice.address, signer: null },
      }),
    )
  })

  it("leaves the caller's own mistakes as they are", () => {
    expect(() => assertSignedBy(new Uint8Array(31), alice.sign(digest), alice.address, what)).toThrow(
      expect.objectContaining({ code: 'BAD_ARGUMENT' }),
    )
  })
})
