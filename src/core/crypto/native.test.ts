import { createRequire } from 'node:module'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { engine } from './engine.ts'
import { nativeSecp256k1 } from './native.ts'

const { Module } = createRequire(import.meta.url)('node:module') as { Module: { _load(...args: unknown[]): unknown } }
const original = Module._load.bind(Module)

/** Takes packages away, as a bundle that was moved has none. */
const without = (...names: string[]): void =>
  void vi.spyOn(Module, '_load').mockImplementation((...args) => {
    if (names.includes(args[0] as string)) throw Object.assign(new Error(`Cannot find module '${String(args[0])}'`), { code: 'MODULE_NOT_FOUND' })
    return original(...args)
  })

const warnings: string[] = []
beforeEach(() => {
  warnings.length = 0
  vi.spyOn(process, 'emitWarning').mockImplementation((warning) => void warnings.push(String(warning)))
})
afterEach(() => {
  vi.restoreAllMocks()
  vi.unstubAllEnvs()
})

describe('nativeSecp256k1', () => {
  // First, since a binding that is once loaded stays.
  it('takes WebAssembly where there is no binary, and says what to do', () => {
    vi.stubEnv('SECP256K1_PREBUILD', '/nowhere')
    expect(nativeSecp256k1().name).toBe('tiny')
    expect(warnings).toEqual([expect.stringContaining('npm rebuild secp256k1')])
  })

  it('takes WebAssembly where the package is missing, and says once what to install', () => {
    without('secp256k1/bindings.js')
    expect(nativeSecp256k1().name).toBe('tiny')
    expect(nativeSecp256k1().name).toBe('tiny')
    expect(warnings).toEqual([expect.stringContaining('npm install secp256k1')])
  })
})

describe('the engine of Node', () => {
  it('signs and recovers in JavaScript where tiny-secp256k1 is missing, and says so', async () => {
    vi.resetModules()
    const { defaultEngine } = await import('../platform/node.ts')
    without('tiny-secp256k1')
    const [digest, key] = [new Uint8Array(32).fill(7), new Uint8Array(32).fill(9)]
    const signature = defaultEngine.secp256k1.sign(digest, key)
    expect(warnings).toEqual([expect.stringContaining('in JavaScript')])
    expect(defaultEngine.secp256k1.name).toBe('ethers')
    expect(defaultEngine.secp256k1.signWithEntropy).toBeUndefined()
    expect(signature).toEqual(engine().secp256k1.sign(digest, key))
    expect(engine().secp256k1.recover(digest, signature)).toEqual(engine().secp256k1.publicKey(key))
    expect(warnings).toHaveLength(1)
  })
})
