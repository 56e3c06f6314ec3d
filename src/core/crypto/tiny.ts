import { loadPackage, notice } from '../platform/loadPackage.ts'
import type { Secp256k1 } from './engine.ts'
import { ethersSecp256k1 } from './ethers.ts'
import { lazySecp256k1 } from './lazy.ts'
import { createSecp256k1 } from './secp256k1.ts'

/**
 * secp256k1 by libsecp256k1 in WebAssembly (`tiny-secp256k1`): fast on every machine without a build. Node's default.
 *
 * It is loaded when it is first used. Where it can't be, as in a bundle that was moved away from its packages, JavaScript
 * does the work (`name` is then `ethers`), and a warning of the process says so.
 */
export const tinySecp256k1: Secp256k1 = /* @__PURE__ */ lazySecp256k1(() => {
  try {
    return loadTiny()
  } catch (cause) {
    notice(
      `tiny-secp256k1 could not be loaded (${reasonOf(cause)}): signatures are made and checked in JavaScript, which is slower. ` +
        'Install the package beside the program, or choose another engine with setEngine',
    )
    return ethersSecp256k1
  }
})

function loadTiny(): Secp256k1 {
  const curve = loadPackage<typeof import('tiny-secp256k1')>('tiny-secp256k1')
  return createSecp256k1('tiny', {
    publicKey: (secretKey, compressed) => curve.pointFromScalar(secretKey, compressed)!, // none only for keys out of range
    sign(digest, secretKey) {
      const { signature, recoveryId } = curve.signRecoverable(digest, secretKey)
      return { rs: signature, recovery: recoveryId }
    },
    signWithEntropy(digest, secretKey, entropy) {
      const { signature, recoveryId } = curve.signRecoverable(digest, secretKey, entropy)
      return { rs: signature, recovery: recoveryId }
    },
    recover: (digest, rs, recovery) => curve.recover(digest, rs, recovery, false),
    verify: (digest, rs, publicKey) => curve.verify(digest, publicKey, rs, true),
    multiply: (publicKey, secretKey) => curve.pointMultiply(publicKey, secretKey, true),
  })
}

/** The first line: behind it Node lists every folder that it looked in. */
export const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message : typeof cause === 'string' ? cause : 'what was thrown is no error').split('\n', 1)[0]!
