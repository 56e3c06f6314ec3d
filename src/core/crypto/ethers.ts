import { Signature, SigningKey } from 'ethers'
import { concatBytes, fromHex, toHex } from '../bytes.ts'
import type { Secp256k1 } from './engine.ts'
import { createSecp256k1 } from './secp256k1.ts'

/** secp256k1 by ethers' `SigningKey`: adds nothing to a bundle that has ethers. The default in browsers. */
export const ethersSecp256k1: Secp256k1 = /* @__PURE__ */ createSecp256k1('ethers', {
  publicKey: (secretKey, compressed) => fromHex(SigningKey.computePublicKey(secretKey, compressed)),
  sign(digest, secretKey) {
    const { r, s, yParity } = new SigningKey(toHex(secretKey)).sign(digest)
    return { rs: concatBytes(fromHex(r, 32), fromHex(s, 32)), recovery: yParity }
  },
  recover(digest, rs, recovery) {
    const signature = Signature.from({ r: toHex(rs.subarray(0, 32)), s: toHex(rs.subarray(32)), yParity: recovery })
    return fromHex(SigningKey.recoverPublicKey(digest, signature))
  },
  multiply(publicKey, secretKey) {
    const point = new SigningKey(toHex(secretKey)).computeSharedSecret(toHex(publicKey))
    return fromHex(SigningKey.computePublicKey(point, true))
  },
})
