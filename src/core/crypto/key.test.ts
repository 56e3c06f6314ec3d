import { computeAddress, getAddress, SigningKey } from 'ethers'
import fc from 'fast-check'
import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { fromHex, toHex } from '../bytes.ts'
import { addressOf, checksumAddress, generateKey, generateSecret, keyFromSecret } from './key.ts'

const secretHex = '0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80'
const secret = fromHex(secretHex)
const address = '0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266'

describe('keyFromSecret', () => {
  it('has the address and the public key of its secret, and signs with it', () => {
    const key = keyFromSecret(secret)
    expect(key.address).toBe(address)
    expect(toHex(key.publicKey)).toBe(new SigningKey(secretHex).publicKey)
    const digest = new Uint8Array(32).fill(7)
    expect(toHex(key.sign(digest))).toBe(new SigningKey(secretHex).sign(digest).serialized)
  })

  it('shows its address and never its secret', () => {
    const key = keyFromSecret(secret)
    const name = `[Key ${address}]`
    expect([String(key), key.toString(), inspect(key), JSON.stringify({ key })]).toEqual([name, name, name, `{"key":"${name}"}`])
    const everything = inspect([key, { ...key }], { showHidden: true, customInspect: false, depth: 9, maxArrayLength: null })
    expect(everything).not.toContain(secretHex.slice(2, 12))
    expect(everything.replaceAll(/\s/g, '')).not.toContain(secret.slice(0, 6).join(','))
    expect(Object.isFrozen(key)).toBe(true)
  })

  it('keeps a copy of the secret', () => {
    const mine = secret.slice()
    const key = keyFromSecret(mine)
    mine.fill(1)
    expect(toHex(key.sign(secret))).toBe(toHex(keyFromSecret(secret).sign(secret)))
  })

  it('refuses bytes that are no secret key', () => {
    for (const bad of [new Uint8Array(32), new Uint8Array(32).fill(255), secret.slice(1)]) {
      expect(() => keyFromSecret(bad)).toThrow(expect.objectContaining({ code: 'BAD_KEY' }))
    }
  })
})

describe('generateKey', () => {
  it('makes another key at every call', () => {
    expect(new Set(Array.from({ length: 5 }, () => generateKey().address)).size).toBe(5)
    expect(new Set(Array.from({ length: 5 }, () => toHex(generateSecret()))).size).toBe(5)
    expect(generateSecret().length).toBe(32)
  })
})

describe('addressOf', () => {
  it('is what ethers computes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }).filter((b) => b[0]! > 0 && b[0]! < 255), (bytes) => {
        const { publicKey } = new SigningKey(toHex(bytes))
        expect(addressOf(fromHex(publicKey))).toBe(computeAddress(publicKey))
      }),
      { numRuns: 30 },
    )
  })

  it('refuses anything but an uncompressed key', () => {
    const { publicKey } = keyFromSecret(secret)
    const hybrid = publicKey.slice()
    hybrid[0] = 6
    for (const bad of [publicKey.subarray(1), publicKey.subarray(0, 33), secret, hybrid]) {
      expect(() => addressOf(bad)).toThrow(expect.objectContaining({ code: 'BAD_ARGUMENT' }))
    }
  })
})

describe('checksumAddress', () => {
  it('writes the case of EIP-55', () => {
    // The addresses of the standard.
    for (const each of [
      '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed',
      '0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359',
      '0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB',
      '0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb',
    ]) {
      expect(checksumAddress(fromHex(each))).toBe(each)
    }
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 20, maxLength: 20 }), (b) => {
        expect(checksumAddress(b)).toBe(getAddress(toHex(b)))
      }),
    )
  })

  it('refuses another length', () => {
    expect(() => checksumAddress(new Uint8Array(21))).toThrow(expect.objectContaining({ code: 'BAD_ARGUMENT' }))
  })
})
