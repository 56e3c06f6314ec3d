import { keccak256, sha256 } from 'ethers'
import fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { concatBytes, toHex } from '../bytes.ts'
import { defaultEngine as browserEngine } from '../platform/browser.ts'
import { defaultEngine as nodeEngine } from '../platform/node.ts'
import { engine, resetEngine, setEngine } from './engine.ts'
import { nobleSecp256k1 } from './noble.ts'

afterEach(resetEngine)

describe('engine', () => {
  it("is the platform's own until slots are filled, and again after a reset", () => {
    expect(engine()).toBe(nodeEngine)
    setEngine({ secp256k1: nobleSecp256k1 })
    expect(engine()).toEqual({ ...nodeEngine, secp256k1: nobleSecp256k1 })
    const digest = (): Uint8Array => new Uint8Array(32)
    setEngine({ digest })
    expect(engine()).toEqual({ ...nodeEngine, secp256k1: nobleSecp256k1, digest })
    resetEngine()
    expect(engine()).toBe(nodeEngine)
  })
})

describe.each([
  ['node', nodeEngine, 'tiny'],
  ['browser', browserEngine, 'ethers'],
] as const)('default engine: %s', (_, platform, curve) => {
  it('signs with its own curve', () => expect(platform.secp256k1.name).toBe(curve))

  it('hashes as ethers does, in any number of parts', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 4 }), async (parts) => {
        const whole = concatBytes(...parts)
        expect(toHex(platform.keccak256(whole))).toBe(keccak256(whole))
        expect(toHex(platform.sha256(...parts))).toBe(sha256(whole))
        expect(toHex(await platform.digest(...parts))).toBe(sha256(whole))
      }),
      { numRuns: 30 },
    )
  })

  it('gives plain arrays, whose slices are copies', async () => {
    const input = Uint8Array.of(1)
    const { sha256, digest, keccak256 } = platform
    const hashes = [sha256(input), sha256(input, input), await digest(input), keccak256(input)]
    for (const hash of hashes) expect(Object.getPrototypeOf(hash)).toBe(Uint8Array.prototype)
  })
})

it('Node before 20.12, which has no one-call hash, gets the same', async () => {
  const { default: nodeCrypto } = await import('node:crypto')
  const before = toHex(nodeEngine.sha256(Uint8Array.of(1, 2)))
  const { hash } = nodeCrypto
  try {
    Object.assign(nodeCrypto, { hash: undefined })
    expect(toHex(nodeEngine.sha256(Uint8Array.of(1, 2)))).toBe(before)
  } finally {
    Object.assign(nodeCrypto, { hash })
  }
})

it('a page that is no secure context hashes long inputs in JavaScript', async () => {
  vi.stubGlobal('crypto', { getRandomValues: crypto.getRandomValues.bind(crypto) })
  try {
    const hash = browserEngine.digest(Uint8Array.of(1), Uint8Array.of(2))
    expect(hash).toBeInstanceOf(Uint8Array)
    expect(toHex(await hash)).toBe(sha256(Uint8Array.of(1, 2)))
  } finally {
    vi.unstubAllGlobals()
  }
})
