import { createRequire } from 'node:module'
import { Signature, SigningKey } from 'ethers'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import vectors from '../../../test/fixtures/crypto/secp256k1.json' with { type: 'json' }
import { concatBytes, fromHex, toHex } from '../bytes.ts'
import type { Secp256k1 } from './engine.ts'
import { ethersSecp256k1 } from './ethers.ts'
import { nativeSecp256k1 } from './native.ts'
import { nobleSecp256k1 } from './noble.ts'
import { tinySecp256k1 } from './tiny.ts'

const bytes = (hex: string): Uint8Array => fromHex(`0x${hex}`)

/** `undefined` where the binary is missing. */
const native = ((): Secp256k1 | undefined => {
  try {
    return nativeSecp256k1()
  } catch {
    return undefined
  }
})()
const implementations = [nobleSecp256k1, tinySecp256k1, ethersSecp256k1, ...(native ? [native] : [])]

if (!native) it.skip('secp256k1: native has no binary for this machine (npm rebuild secp256k1 --foreground-scripts)')

const scalarArb = fc.uint8Array({ minLength: 32, maxLength: 32 }).filter((b) => b.some((x) => x > 0) && b[0]! < 255)
const digestArb = fc.uint8Array({ minLength: 32, maxLength: 32 })

describe.each(implementations.map((each) => [each.name, each] as const))('secp256k1: %s', (name, curve) => {
  it('has its name', () => expect(curve.name).toBe(name))

  describe('valid', () => {
    it.each(vectors.valid)('$what', (vector) => {
      const digest = bytes(vector.digest)
      const signature = bytes(vector.signature)
      const publicKey = bytes(vector.publicKey)
      const compressed = concatBytes(Uint8Array.of(2 + (publicKey[64]! & 1)), publicKey.subarray(1, 33))
      if (vector.secretKey) {
        const secretKey = bytes(vector.secretKey)
        expect(toHex(curve.publicKey(secretKey))).toBe(toHex(publicKey))
        expect(toHex(curve.publicKey(secretKey, true))).toBe(toHex(compressed))
        expect(toHex(curve.sign(digest, secretKey))).toBe(toHex(signature))
      }
      expect(toHex(curve.recover(digest, signature))).toBe(toHex(publicKey))
      for (const key of [publicKey, compressed]) {
        expect(curve.verify(digest, signature, key)).toBe(true)
        expect(curve.verify(digest, signature.subarray(0, 64), key)).toBe(true)
      }
      compressed[0]! ^= 1
      expect(curve.verify(digest, signature, compressed)).toBe(false)
      // Of a digest that counts as zero, a signature without v stands for a key and its negative: that is ECDSA.
      const zero = /^digest (zero|n,)/.test(vector.what)
      expect(curve.verify(digest, signature.subarray(0, 64), compressed)).toBe(zero)
    })
  })

  describe('invalid', () => {
    it.each(vectors.invalid)('$what', (vector) => {
      const digest = bytes(vector.digest)
      const signature = bytes(vector.signature)
      expect(() => curve.recover(digest, signature)).toThrow(
        expect.objectContaining({ name: 'SluiceError', code: 'BAD_SIGNATURE', message: vector.says }),
      )
      expect(curve.verify(digest, signature, bytes(vector.publicKey))).toBe(false)
      if (vector.alsoWithoutV) expect(curve.verify(digest, signature.subarray(0, 64), bytes(vector.publicKey))).toBe(false)
    })

    it('public keys verify nothing and share nothing', () => {
      const { digest, signature, secretKey } = vectors.valid[0]!
      for (const { what, publicKey } of vectors.invalidPublicKeys) {
        const key = bytes(publicKey)
        expect(curve.verify(bytes(digest), bytes(signature), key), what).toBe(false)
        expect(curve.verify(bytes(digest), bytes(signature).subarray(0, 64), key), what).toBe(false)
        expect(() => curve.sharedPoint(bytes(secretKey!), key), what).toThrow(expect.objectContaining({ code: 'BAD_KEY' }))
      }
    })

    it('secret keys are refused everywhere', () => {
      for (const { what, secretKey } of vectors.invalidSecretKeys) {
        const key = bytes(secretKey)
        const message = 'a secret key is 32 bytes, not zero and below the order of secp256k1'
        const bad: unknown = expect.objectContaining({ name: 'SluiceError', code: 'BAD_KEY', message })
        expect(() => curve.publicKey(key), what).toThrow(bad)
        expect(() => curve.sign(new Uint8Array(32), key), what).toThrow(bad)
        expect(() => curve.sharedPoint(key, bytes(vectors.valid[0]!.publicKey)), what).toThrow(bad)
      }
    })

    it('digests of another length', () => {
      const { signature, secretKey, publicKey, digest: right } = vectors.valid[0]!
      for (const length of [0, 31, 33, 64]) {
        // Its first 32 bytes are the right ones: some arithmetic would look no further.
        const digest = concatBytes(bytes(right), new Uint8Array(32)).subarray(0, length)
        const bad: unknown = expect.objectContaining({ name: 'SluiceError', code: 'BAD_ARGUMENT' })
        expect(() => curve.sign(digest, bytes(secretKey!))).toThrow(bad)
        expect(() => curve.recover(digest, bytes(signature))).toThrow(bad)
        expect(curve.verify(digest, bytes(signature), bytes(publicKey))).toBe(false)
        expect(curve.verify(digest, bytes(signature).subarray(0, 64), bytes(publicKey))).toBe(false)
      }
    })
  })

  it('signs with more entropy as the others do, if it can', () => {
    const { digest, secretKey } = vectors.valid[0]!
    const entropy = new Uint8Array(32).fill(7)
    expect(curve.signWithEntropy === undefined).toBe(name === 'ethers')
    if (!curve.signWithEntropy) return
    const signature = curve.signWithEntropy(bytes(digest), bytes(secretKey!), entropy)
    expect(toHex(signature)).toBe(toHex(nobleSecp256k1.signWithEntropy!(bytes(digest), bytes(secretKey!), entropy)))
    expect(toHex(signature)).not.toBe(toHex(curve.sign(bytes(digest), bytes(secretKey!))))
    expect(toHex(curve.recover(bytes(digest), signature))).toBe(toHex(curve.publicKey(bytes(secretKey!))))
    const bad: unknown = expect.objectContaining({ name: 'SluiceError', code: 'BAD_ARGUMENT' })
    expect(() => curve.signWithEntropy!(bytes(digest), bytes(secretKey!), entropy.subarray(1))).toThrow(bad)
    expect(() => curve.signWithEntropy!(bytes(digest).subarray(1), bytes(secretKey!), entropy)).toThrow(bad)
  })

  it('notices a flip in any byte', () => {
    const vector = vectors.valid[0]!
    const publicKey = bytes(vector.publicKey)
    const recovered = (digest: Uint8Array, signature: Uint8Array): string => {
      try {
        return toHex(curve.recover(digest, signature))
      } catch (error) {
        return (error as { code: string }).code
      }
    }
    const flips: [Uint8Array, Uint8Array, Uint8Array][] = []
    for (let at = 0; at < 162; at++) {
      const all = concatBytes(bytes(vector.digest), bytes(vector.signature), publicKey)
      all[at]! ^= 1 << (at % 8)
      flips.push([all.subarray(0, 32), all.subarray(32, 97), all.subarray(97)])
    }
    for (const [i, [digest, signature, key]] of flips.entries()) {
      expect(recovered(digest, signature) === toHex(key), `flip ${i}`).toBe(false)
      expect(curve.verify(digest, signature, key), `flip ${i}`).toBe(false)
      const v = i === 96 // without v there is nothing to notice
      expect(curve.verify(digest, signature.subarray(0, 64), key), `flip ${i} without v`).toBe(v)
    }
  })

  it('leaves its arguments as they were', () => {
    const { digest, secretKey, publicKey } = vectors.valid[0]!
    const args = [bytes(digest), bytes(secretKey!), bytes(publicKey)] as const
    const signature = curve.sign(args[0], args[1])
    const kept = toHex(signature)
    curve.recover(args[0], signature)
    curve.verify(args[0], signature, args[2])
    curve.sharedPoint(args[1], args[2])
    curve.publicKey(args[1])
    expect(args.map(toHex)).toEqual([digest, secretKey, publicKey].map((hex) => `0x${hex}`))
    expect(toHex(signature)).toBe(kept)
  })

  it('takes bytes from the middle of a buffer', () => {
    const { digest, secretKey, signature } = vectors.valid[0]!
    const buffer = concatBytes(Uint8Array.of(1, 2, 3), bytes(digest), bytes(secretKey!), bytes(signature))
    expect(toHex(curve.sign(buffer.subarray(3, 35), buffer.subarray(35, 67)))).toBe(`0x${signature}`)
    expect(toHex(curve.recover(buffer.subarray(3, 35), buffer.subarray(67)))).toBe(`0x${vectors.valid[0]!.publicKey}`)
  })

  it('finds the same shared point from both sides', () => {
    fc.assert(
      fc.property(scalarArb, scalarArb, fc.boolean(), (a, b, compressed) => {
        const point = toHex(curve.sharedPoint(a, curve.publicKey(b, compressed)))
        expect(toHex(curve.sharedPoint(b, curve.publicKey(a)))).toBe(point)
        const reference = new SigningKey(toHex(a)).computeSharedSecret(SigningKey.computePublicKey(b))
        expect(SigningKey.computePublicKey(reference, true)).toBe(point)
      }),
      { numRuns: 15 },
    )
  })

  it('signs as ethers does, and agrees with every other implementation', () => {
    fc.assert(
      fc.property(digestArb, scalarArb, (digest, secretKey) => {
        const signature = curve.sign(digest, secretKey)
        expect(toHex(signature)).toBe(new SigningKey(toHex(secretKey)).sign(digest).serialized)
        for (const other of implementations) {
          expect(toHex(other.sign(digest, secretKey))).toBe(toHex(signature))
          expect(toHex(other.recover(digest, signature))).toBe(toHex(curve.publicKey(secretKey)))
          expect(other.verify(digest, signature.subarray(0, 64), curve.publicKey(secretKey, true))).toBe(true)
        }
      }),
      { numRuns: 25 },
    )
  })
})

it('all implementations answer alike to hostile signatures', () => {
  // Mostly near the borders: small and large r and s, real x-coordinates, all v.
  const edge = fc.oneof(
    fc.uint8Array({ minLength: 32, maxLength: 32 }),
    fc.constantFrom(...vectors.edges).map(bytes),
    fc.nat(300).map((n) => concatBytes(new Uint8Array(30), Uint8Array.of(n >> 8, n & 255))),
  )
  const answer = <T>(run: () => T): T | string => {
    try {
      return run()
    } catch (error) {
      return (error as { code: string }).code
    }
  }
  const publicKey = bytes(vectors.valid[0]!.publicKey)
  fc.assert(
    fc.property(edge, edge, edge, fc.constantFrom(0, 1, 26, 27, 28, 29), (digest, r, s, v) => {
      const signature = concatBytes(r, s, Uint8Array.of(v))
      const answers = implementations.map((curve) => {
        const key = answer(() => toHex(curve.recover(digest, signature)))
        const keys = key.startsWith('0x') ? [fromHex(key), publicKey] : [publicKey]
        const bare = signature.subarray(0, 64)
        return [key, ...keys.flatMap((each) => [curve.verify(digest, signature, each), curve.verify(digest, bare, each)])]
      })
      for (const each of answers) expect(each).toEqual(answers[0])
      const [key, whole, bare] = answers[0]!
      if (String(key).startsWith('0x')) expect([whole, bare]).toEqual([true, true])
    }),
    { numRuns: 300 },
  )
})

it('the fixtures agree with ethers', () => {
  for (const { digest, signature, publicKey } of vectors.valid) {
    expect(SigningKey.recoverPublicKey(bytes(digest), Signature.from(`0x${signature}`))).toBe(`0x${publicKey}`)
  }
})

it.runIf(native)('the native implementation is the compiled one', () => {
  const load = createRequire(import.meta.url)
  expect(load('secp256k1/bindings.js')).not.toBe(load('secp256k1/elliptic.js'))
  const { sharedObjects } = process.report.getReport() as unknown as { sharedObjects: string[] }
  expect(sharedObjects.some((file) => /secp256k1[^/]*\.node$/.test(file))).toBe(true)
})
