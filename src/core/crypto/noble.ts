import { secp256k1 as curve } from '@noble/curves/secp256k1.js'
import type { Secp256k1 } from './engine.ts'
import { createSecp256k1 } from './secp256k1.ts'

/** secp256k1 in audited JavaScript, by `@noble/curves`: runs anywhere and weighs little. */
export const nobleSecp256k1: Secp256k1 = /* @__PURE__ */ createSecp256k1('noble', {
  publicKey: (secretKey, compressed) => curve.getPublicKey(secretKey, compressed),
  sign(digest, secretKey) {
    const signature = curve.sign(digest, secretKey, { prehash: false, format: 'recovered' })
    return { rs: signature.subarray(1), recovery: signature[0]! }
  },
  signWithEntropy(digest, secretKey, entropy) {
    const signature = curve.sign(digest, secretKey, { prehash: false, format: 'recovered', extraEntropy: entropy })
    return { rs: signature.subarray(1), recovery: signature[0]! }
  },
  recover: (digest, rs, recovery) =>
    curve.Signature.fromBytes(rs, 'compact').addRecoveryBit(recovery).recoverPublicKey(digest).toBytes(false),
  verify: (digest, rs, publicKey) => curve.verify(rs, digest, publicKey, { prehash: false }),
  multiply: (publicKey, secretKey) => curve.getSharedSecret(secretKey, publicKey, true),
})
