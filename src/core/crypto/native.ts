import { isMissing, loadPackage, notice } from '../platform/loadPackage.ts'
import type { Secp256k1 } from './engine.ts'
import { createSecp256k1 } from './secp256k1.ts'
import { reasonOf, tinySecp256k1 } from './tiny.ts'

/**
 * secp256k1 by the optional native package `secp256k1`: the fastest, for Node servers that check many signatures.
 *
 * The package's slow JavaScript stand-in is never taken. Where the package, or its binary for this machine, is missing, the
 * answer is {@link tinySecp256k1}, and a warning of the process says what to do; `name` tells which one it is.
 * @example
 * ```ts
 * import { setEngine } from 'sluice-sdk'
 * import { nativeSecp256k1 } from 'sluice-sdk/engines/native'
 * setEngine({ secp256k1: nativeSecp256k1() })
 * ```
 */
export function nativeSecp256k1(): Secp256k1 {
  try {
    return loadNative()
  } catch (cause) {
    const remedy = isMissing(cause)
      ? 'the native engine needs the package secp256k1: npm install secp256k1'
      : 'the package secp256k1 has no binary for this machine: npm rebuild secp256k1 --foreground-scripts'
    notice(`${remedy} (${reasonOf(cause)}). WebAssembly takes its place`)
    return tinySecp256k1
  }
}

function loadNative(): Secp256k1 {
  // The package's main file falls back to JavaScript in silence; this one has the binary or throws.
  const curve = loadPackage<typeof import('secp256k1')>('secp256k1/bindings.js')
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
