import { createRequire } from 'node:module'
import { SluiceError } from '../errors.ts'
import type { Secp256k1 } from './engine.ts'
import { createSecp256k1 } from './secp256k1.ts'

/**
 * secp256k1 by the optional native package `secp256k1`: the fastest, for Node servers that check many signatures.
 *
 * The package's slow JavaScript stand-in is never taken.
 * @throws `BAD_ARGUMENT` telling what to do when the package, or its binary for this machine, is missing.
 * @example
 * ```ts
 * import { setEngine } from 'sluice-sdk'
 * import { nativeSecp256k1 } from 'sluice-sdk/engines/native'
 * setEngine({ secp256k1: nativeSecp256k1() })
 * ```
 */
export function nativeSecp256k1(): Secp256k1 {
  const curve = loadBinding()
  return createSecp256k1('native', {
    publicKey: (secretKey, compressed) => curve.publicKeyCreate(secretKey, compressed),
    sign(digest, secretKey) {
      const { signature, recid } = curve.ecdsaSign(digest, secretKey)
      return { rs: signature, recovery: recid }
    },
    signWithEntropy(digest, secretKey, entropy) {
      const { signature, recid } = curve.ecdsaSign(digest, secretKey, { data: entropy })
      return { rs: signature, recovery: recid }
    },
    recover: (digest, rs, recovery) => curve.ecdsaRecover(rs, recovery, digest, false),
    verify: (digest, rs, publicKey) => curve.ecdsaVerify(rs, digest, publicKey),
    // Takes and gives a copy: the key is an in-out argument over there.
    multiply: (publicKey, secretKey) => curve.publicKeyTweakMul(publicKey, secretKey, true),
  })
}

function loadBinding(): typeof import('secp256k1') {
  const require = createRequire(import.meta.url)
  try {
    // The package's main file falls back to JavaScript in silence; this one has the binary or throws.
    return require('secp256k1/bindings.js') as typeof import('secp256k1')
  } catch (cause) {
    const missing = cause instanceof Error && 'code' in cause && cause.code === 'MODULE_NOT_FOUND'
    throw new SluiceError(
      'BAD_ARGUMENT',
      missing
        ? 'the native engine needs the package secp256k1: npm install secp256k1'
        : 'the package secp256k1 has no binary for this machine: npm rebuild secp256k1 --foreground-scripts',
      { cause },
    )
  }
}
