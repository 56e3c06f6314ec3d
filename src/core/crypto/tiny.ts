import { pointFromScalar, pointMultiply, recover, signRecoverable, verify } from 'tiny-secp256k1'
import type { Secp256k1 } from './engine.ts'
import { createSecp256k1 } from './secp256k1.ts'

/** secp256k1 by libsecp256k1 in WebAssembly (`tiny-secp256k1`): fast on every machine without a build. Node's default. */
export const tinySecp256k1: Secp256k1 = /* @__PURE__ */ createSecp256k1('tiny', {
  publicKey: (secretKey, compressed) => pointFromScalar(secretKey, compressed)!, // none only for keys out of range
  sign(digest, secretKey) {
    const { signature, recoveryId } = signRecoverable(digest, secretKey)
    return { rs: signature, recovery: recoveryId }
  },
  signWithEntropy(digest, secretKey, entropy) {
    const { signature, recoveryId } = signRecoverable(digest, secretKey, entropy)
    return { rs: signature, recovery: recoveryId }
  },
  recover: (digest, rs, recovery) => recover(digest, rs, recovery, false),
  verify: (digest, rs, publicKey) => verify(digest, publicKey, rs, true),
  multiply: (publicKey, secretKey) => pointMultiply(publicKey, secretKey, true),
})
