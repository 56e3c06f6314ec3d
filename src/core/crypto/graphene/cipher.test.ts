import fc from 'fast-check'
import { createHash } from 'node:crypto'
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { loadGxbjs, type Gxbjs } from '../../../../test/fixtures/des/gxbjs.ts'
import vectors from '../../../../test/fixtures/des/vectors.json' with { type: 'json' }
import { fromHex, toHex, utf8 } from '../../bytes.ts'
import * as browser from '../../platform/browser.ts'
import * as node from '../../platform/node.ts'
import { decryptFrom, encryptFor, freshNonce } from './cipher.ts'
import { engine } from '../engine.ts'
import { grapheneKey, keyFromWif, seedSecret, toWif } from './key.ts'

let gxbjs: Gxbjs
beforeAll(async () => {
  gxbjs = await loadGxbjs()
})
afterEach(() => void vi.unstubAllGlobals())

const badMessage: unknown = expect.objectContaining({ name: 'SluiceError', code: 'BAD_MESSAGE' })
const badArgument: unknown = expect.objectContaining({ name: 'SluiceError', code: 'BAD_ARGUMENT' })
const hex = (bytes: Uint8Array): string => toHex(bytes).slice(2)
const [alice, bob] = [grapheneKey(seedSecret('alice')), grapheneKey(seedSecret('bob'))]

describe('sealed data, suite 1', () => {
  it.each(vectors.ciphers)('$what', async (vector) => {
    const [from, to] = [keyFromWif(vector.from), keyFromWif(vector.to)]
    const nonce = BigInt(vector.nonce)
    const sealed = fromHex(`0x${vector.sealed}`)
    expect(hex(await decryptFrom(to, from.publicKey, nonce, sealed))).toBe(hex(utf8(vector.plain)))
    expect(hex(await decryptFrom(from, to.publicKey, nonce, sealed))).toBe(hex(utf8(vector.plain)))
    if (!vector.unpadded && !vector.received) {
      expect(hex(await encryptFor(from, to.publicKey, nonce, utf8(vector.plain)))).toBe(vector.sealed)
    }
  })

  it('is what gxbjs seals and opens, for any bytes and any nonce', { timeout: 60_000 }, async () => {
    const theirs = { alice: gxbjs.PrivateKey.fromSeed('alice'), bob: gxbjs.PrivateKey.fromSeed('bob') }
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 100 }), fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }), async (plain, nonce) => {
        const text = nonce.toString()
        const ours = await encryptFor(alice, bob.publicKey, nonce, plain)
        const sealed = gxbjs.Aes.encrypt_with_checksum(theirs.alice, theirs.bob.toPublicKey(), text, Buffer.from(plain))
        expect(hex(ours)).toBe(sealed.toString('hex'))
        const opened = gxbjs.Aes.decrypt_with_checksum(theirs.bob, theirs.alice.toPublicKey(), text, Buffer.from(ours))
        expect(hex(opened)).toBe(hex(plain))
        expect(hex(await decryptFrom(bob, alice.publicKey, nonce, sealed))).toBe(hex(plain))
      }),
      { numRuns: 40 },
    )
  })

  it('opens what ends in bytes that look like padding and are none', async () => {
    const sha512 = (bytes: Uint8Array): Buffer => createHash('sha512').update(bytes).digest()
    const seed = sha512(Buffer.from(`9${sha512(alice.agree(bob.publicKey)).toString('hex')}`))
    const plain = Uint8Array.of(...utf8('eleven byte'), 1)
    const blocks = Uint8Array.of(...createHash('sha256').update(plain).digest().subarray(0, 4), ...plain)
    const sealed = await node.encryptCbc(seed.subarray(0, 32), seed.subarray(32, 48), blocks)
    expect(hex(await decryptFrom(bob, alice.publicKey, 9n, sealed))).toBe(hex(plain))
  })

  it('pads the x-coordinate as gxbjs does', async () => {
    const { secp256k1 } = engine()
    let other = ''
    for (let i = 0; !other; i++) {
      if (secp256k1.sharedPoint(seedSecret('alice'), secp256k1.publicKey(seedSecret(`z${i}`), true))[1] === 0) other = `z${i}`
    }
    const key = grapheneKey(seedSecret(other))
    const sealed = await encryptFor(alice, key.publicKey, 9n, utf8('zero'))
    const theirs = gxbjs.Aes.encrypt_with_checksum(
      gxbjs.PrivateKey.fromWif(toWif(seedSecret('alice'))), gxbjs.PublicKey.fromStringOrThrow(key.publicKey), '9', Buffer.from('zero'))
    expect(hex(sealed)).toBe(theirs.toString('hex'))

    // And opens what a client makes that doesn't pad it.
    const sha512 = (bytes: Uint8Array): Buffer => createHash('sha512').update(bytes).digest()
    const seed = sha512(Buffer.from(`9${sha512(alice.agree(key.publicKey).subarray(1)).toString('hex')}`))
    const blocks = Uint8Array.of(...createHash('sha256').update('zero').digest().subarray(0, 4), ...utf8('zero'), ...Array<number>(8).fill(8))
    const unpadded = await node.encryptCbc(seed.subarray(0, 32), seed.subarray(32, 48), blocks)
    expect(hex(unpadded)).not.toBe(hex(sealed))
    expect(hex(await decryptFrom(key, alice.publicKey, 9n, unpadded))).toBe(hex(utf8('zero')))
  })

  it('does not open changed, cut, with another key or nonce', async () => {
    const sealed = await encryptFor(alice, bob.publicKey, 5n, utf8('twenty bytes of text'))
    for (let at = 0; at < sealed.length; at += 3) {
      const changed = sealed.slice()
      changed[at]! ^= 1
      await expect(decryptFrom(bob, alice.publicKey, 5n, changed), `byte ${at}`).rejects.toEqual(badMessage)
    }
    const eve = grapheneKey(seedSecret('eve'))
    for (const cut of [0, 1, 15, 16, 31]) {
      await expect(decryptFrom(bob, alice.publicKey, 5n, sealed.subarray(0, cut))).rejects.toEqual(badMessage)
    }
    await expect(decryptFrom(eve, alice.publicKey, 5n, sealed)).rejects.toEqual(badMessage)
    await expect(decryptFrom(bob, eve.publicKey, 5n, sealed)).rejects.toEqual(badMessage)
    await expect(decryptFrom(bob, alice.publicKey, 6n, sealed)).rejects.toEqual(badMessage)
    await expect(decryptFrom(bob, 'GXCnobody', 5n, sealed)).rejects.toEqual(expect.objectContaining({ code: 'BAD_KEY' }))
  })

  it('refuses nonces out of range, and 0 to seal with', async () => {
    for (const nonce of [0n, -1n, 2n ** 64n]) {
      await expect(encryptFor(alice, bob.publicKey, nonce, utf8('a'))).rejects.toEqual(badArgument)
    }
    for (const nonce of [-1n, 2n ** 64n]) {
      await expect(decryptFrom(alice, bob.publicKey, nonce, new Uint8Array(16))).rejects.toEqual(badArgument)
    }
  })

  it('gets garbage refused', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 80 }), async (sealed) => {
        await expect(decryptFrom(bob, alice.publicKey, 5n, sealed)).rejects.toEqual(badMessage)
      }),
    )
  })
})

describe('freshNonce', () => {
  it('is another one each time, never 0, exact as a number', () => {
    const nonces = Array.from({ length: 1000 }, freshNonce)
    expect(new Set(nonces).size).toBe(1000)
    for (const nonce of nonces) expect(nonce > 0n && nonce < 2n ** 53n && BigInt(Number(nonce)) === nonce).toBe(true)
    expect(nonces.some((nonce) => nonce > 2n ** 52n)).toBe(true)
  })
})

describe('AES-256-CBC', () => {
  it('is the same in browsers as in Node', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.uint8Array({ minLength: 16, maxLength: 16 }),
        fc.nat(5).chain((blocks) => fc.uint8Array({ minLength: 16 * blocks, maxLength: 16 * blocks })),
        async (key, iv, plain) => {
          const sealed = await node.encryptCbc(key, iv, plain)
          expect(hex(await browser.encryptCbc(key, iv, plain))).toBe(hex(sealed))
          expect(hex(await browser.decryptCbc(key, iv, sealed))).toBe(hex(plain))
          expect(hex(await node.decryptCbc(key, iv, sealed))).toBe(hex(plain))
          // Also of bytes that nobody sealed.
          expect(hex(await browser.decryptCbc(key, iv, plain))).toBe(hex(await node.decryptCbc(key, iv, plain)))
        },
      ),
    )
  })

  it('takes whole blocks only', async () => {
    const [key, iv] = [new Uint8Array(32), new Uint8Array(16)]
    for (const size of [1, 15, 17]) {
      const part = new Uint8Array(size)
      expect(() => node.encryptCbc(key, iv, part)).toThrow(badArgument)
      expect(() => node.decryptCbc(key, iv, part)).toThrow(badArgument)
      await expect(browser.encryptCbc(key, iv, part)).rejects.toEqual(badArgument)
      await expect(browser.decryptCbc(key, iv, part)).rejects.toEqual(badArgument)
    }
  })

  it('says so on a page without WebCrypto', async () => {
    vi.stubGlobal('crypto', {})
    await expect(browser.encryptCbc(new Uint8Array(32), new Uint8Array(16), new Uint8Array(0))).rejects.toEqual(badArgument)
  })
})
