import { createRequire } from 'node:module'
import { describe, expect, it, vi } from 'vitest'
import { nativeSecp256k1 } from './native.ts'

describe('nativeSecp256k1', () => {
  // First, since a binding that is once loaded stays.
  it('refuses the stand-in where there is no binary, and says what to do', () => {
    vi.stubEnv('SECP256K1_PREBUILD', '/nowhere')
    try {
      expect(() => nativeSecp256k1()).toThrow(
        expect.objectContaining({ code: 'BAD_ARGUMENT', message: expect.stringContaining('npm rebuild secp256k1') as unknown }),
      )
    } finally {
      vi.unstubAllEnvs()
    }
  })

  it('says what to install where the package is missing', () => {
    const { Module } = createRequire(import.meta.url)('node:module') as { Module: { _resolveFilename(...args: unknown[]): string } }
    const original = Module._resolveFilename
    vi.spyOn(Module, '_resolveFilename').mockImplementation((...args) => {
      if (args[0] === 'secp256k1/bindings.js') throw Object.assign(new Error('Cannot find module'), { code: 'MODULE_NOT_FOUND' })
      return original(...args)
    })
    expect(() => nativeSecp256k1()).toThrow(
      expect.objectContaining({ code: 'BAD_ARGUMENT', message: expect.stringContaining('npm install secp256k1') as unknown }),
    )
  })
})
