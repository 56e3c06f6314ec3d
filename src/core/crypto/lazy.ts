import type { Secp256k1 } from './engine.ts'

/** A curve that is chosen when it is first used: importing it loads nothing and can't fail. */
export function lazySecp256k1(choose: () => Secp256k1): Secp256k1 {
  let chosen: Secp256k1 | undefined
  const curve = (): Secp256k1 => (chosen ??= choose())
  return {
    get name() {
      return curve().name
    },
    publicKey: (secretKey, compressed) => curve().publicKey(secretKey, compressed),
    sign: (digest, secretKey) => curve().sign(digest, secretKey),
    get signWithEntropy() {
      return curve().signWithEntropy
    },
    recover: (digest, signature) => curve().recover(digest, signature),
    verify: (digest, signature, publicKey) => curve().verify(digest, signature, publicKey),
    sharedPoint: (secretKey, publicKey) => curve().sharedPoint(secretKey, publicKey),
  }
}
