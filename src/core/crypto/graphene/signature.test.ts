import fc from 'fast-check'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { loadGxbjs, type Gxbjs } from '../../../../test/fixtures/des/gxbjs.ts'
import vectors from '../../../../test/fixtures/des/vectors.json' with { type: 'json' }
import { fromHex, toHex } from '../../bytes.ts'
import { engine, resetEngine, setEngine } from '../engine.ts'
import { ethersSecp256k1 } from '../ethers.ts'
import { nativeSecp256k1 } from '../native.ts'
import { nobleSecp256k1 } from '../noble.ts'
import { tinySecp256k1 } from '../tiny.ts'
import { grapheneKey, keyFromWif, seedSecret } from './key.ts'
import { isCanonical, isSignedBy, recoverKey, signCanonical, textDigest } from './signature.ts'

let gxbjs: Gxbjs
beforeAll(async () => {
  gxbjs = await loadGxbjs()
})
afterEach(resetEngine)

const badSignature: unknown = expect.objectContaining({ name: 'SluiceError', code: 'BAD_SIGNATURE' })
const hex = (bytes: Uint8Array): string => toHex(bytes).slice(2)
const native = ((): ReturnType<typeof nativeSecp256k1> | undefined => {
  try {
    return nativeSecp256k1()
  } catch {
    return undefined
  }
})()
const engines = [tinySecp256k1, nobleSecp256k1, ethersSecp256k1, ...(native ? [native] : [])]

describe.each(engines.map((each) => [each.name, each] as const))('signCanonical by %s', (_, secp256k1) => {
  it('gives the vectors, which gxbjs verifies', { timeout: 60_000 }, () => {
    setEngine({ secp256k1 })
    for (const [at, { text, wif, signature }] of vectors.signatures.entries()) {
      const key = keyFromWif(wif)
      expect(hex(key.sign(textDigest(text)))).toBe(signature)
      expect(recoverKey(textDigest(text), fromHex(`0x${signature}`))).toBe(key.publicKey)
      const theirs = gxbjs.Signature.fromHex(signature)
      expect(theirs.isCanonical()).toBe(true)
      expect(theirs.verifyBuffer(Buffer.from(text), gxbjs.PrivateKey.fromWif(wif).toPublicKey())).toBe(true)
      // A quarter of a second each.
      if (at < 2) expect(theirs.recoverPublicKeyFromBuffer(Buffer.from(text)).toString()).toBe(key.publicKey)
    }
  })
})

describe('signCanonical', () => {
  it('signs any digest with any key canonically, at the second attempt or later if need be', () => {
    let repeated = 0
    const digestArb = fc.uint8Array({ minLength: 32, maxLength: 32 })
    fc.assert(
      fc.property(digestArb, digestArb.filter((b) => b.some((x) => x > 0) && b[0]! < 255), (digest, secret) => {
        const signature = signCanonical(digest, secret)
        expect(isCanonical(signature)).toBe(true)
        expect(recoverKey(digest, signature)).toBe(grapheneKey(secret).publicKey)
        expect(toHex(signCanonical(digest, secret))).toBe(toHex(signature))
        if (hex(signature.subarray(1)) !== hex(engine().secp256k1.sign(digest, secret).subarray(0, 64))) repeated++
      }),
      { numRuns: 200 },
    )
    expect(repeated).toBeGreaterThan(40)
  })

  it('does not try for ever', () => {
    const high = new Uint8Array(65).fill(0xff)
    high[64] = 27
    let attempts = 0
    const broken = (): Uint8Array => (attempts++, high)
    setEngine({ secp256k1: { ...tinySecp256k1, sign: broken, signWithEntropy: broken } })
    expect(() => signCanonical(new Uint8Array(32), seedSecret('a'))).toThrow('256 attempts')
    expect(attempts).toBe(256)
  })

  it('takes 32 bytes', () => {
    expect(() => signCanonical(new Uint8Array(31), seedSecret('a'))).toThrow(expect.objectContaining({ code: 'BAD_ARGUMENT' }))
    expect(() => signCanonical(new Uint8Array(32), new Uint8Array(32))).toThrow(expect.objectContaining({ code: 'BAD_KEY' }))
  })
})

describe('recoverKey', () => {
  it('finds the signer of what gxbjs signed', { timeout: 60_000 }, () => {
    const theirs = gxbjs.PrivateKey.fromSeed('theirs')
    for (let i = 0; i < 8; i++) {
      const signature = fromHex(`0x${gxbjs.Signature.signBuffer(Buffer.from(`text ${i}`), theirs).toHex()}`)
      expect(recoverKey(textDigest(`text ${i}`), signature)).toBe(theirs.toPublicKey().toString())
      expect(isSignedBy(textDigest(`text ${i}`), signature, theirs.toPublicKey().toString())).toBe(true)
      expect(isSignedBy(textDigest(`text ${i + 1}`), signature, theirs.toPublicKey().toString())).toBe(false)
    }
  })

  it('refuses other lengths, headers and forms', () => {
    const digest = textDigest('message 0')
    const good = fromHex(`0x${vectors.signatures[0]!.signature}`)
    const with0 = (header: number): Uint8Array => good.map((byte, at) => (at === 0 ? header : byte))
    const lengths = [new Uint8Array(0), good.subarray(1), new Uint8Array(66)]
    const headers = [0, 27, 28, 29, 30, 33, 34, 35, 255].map(with0)
    for (const bad of headers) expect(() => recoverKey(digest, bad)).toThrow(`begins with ${bad[0]} instead of 31 or 32`)
    for (const bad of [...lengths, ...headers]) {
      expect(() => recoverKey(digest, bad), String(bad[0])).toThrow(badSignature)
      expect(isSignedBy(digest, bad, 'GXC')).toBe(false)
    }
    expect(() => recoverKey(digest.subarray(1), good)).toThrow(expect.objectContaining({ code: 'BAD_ARGUMENT' }))
    expect(() => isSignedBy(digest.subarray(1), good, 'GXC')).toThrow(expect.objectContaining({ code: 'BAD_ARGUMENT' }))
  })

  it('refuses what is right but not canonical', () => {
    const secret = seedSecret('a')
    let seen = 0
    for (let i = 0; seen < 5; i++) {
      const digest = textDigest(`plain ${i}`)
      const plain = engine().secp256k1.sign(digest, secret)
      const moved = Uint8Array.of(plain[64]! + 4, ...plain.subarray(0, 64))
      if (isCanonical(moved)) continue
      seen++
      expect(() => recoverKey(digest, moved)).toThrow('not canonical')
    }
  })

  it('gets garbage refused, never more', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 64, maxLength: 64 }), fc.constantFrom(31, 32), (rs, header) => {
        try {
          recoverKey(new Uint8Array(32).fill(7), Uint8Array.of(header, ...rs))
        } catch (error) {
          expect(error).toEqual(badSignature)
        }
      }),
    )
  })
})

describe('isCanonical', () => {
  it('looks at the first two bytes of r and of s', () => {
    const of = (r: [number, number], s: [number, number]): Uint8Array => {
      const out = new Uint8Array(65).fill(1)
      out.set(r, 1)
      out.set(s, 33)
      return out
    }
    const good: [number, number][] = [[0x7f, 0], [0x01, 0xff], [0x00, 0x80]]
    const bad: [number, number][] = [[0x80, 0], [0xff, 0xff], [0x00, 0x7f], [0x00, 0x00]]
    for (const a of good) {
      for (const b of good) expect(isCanonical(of(a, b))).toBe(true)
      for (const b of bad) expect([isCanonical(of(a, b)), isCanonical(of(b, a))]).toEqual([false, false])
    }
    expect(isCanonical(new Uint8Array(64).fill(1))).toBe(false)
  })
})
