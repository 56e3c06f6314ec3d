/**
 * Public keys as GXChain writes them: `GXC` and base58 of the compressed point with a checksum.
 * @module
 */
import { ripemd160 } from '@noble/hashes/legacy.js'
import { base58btc } from 'multiformats/bases/base58'
import { concatBytes, equalBytes } from '../../bytes.ts'
import { assertArgument, SluiceError } from '../../errors.ts'
import { engine } from '../engine.ts'

/** A public key in text: `GXC` and 50 or so characters of base58. */
export type PublicKeyText = `GXC${string}`

const PREFIX = 'GXC'
/** Longer than any key: base58 takes quadratic time. */
const LONGEST = 80
/** Multiplied by it a point stays what it is, and one that is not on the curve is refused. */
const ONE = /* @__PURE__ */ Uint8Array.from({ length: 32 }, (_, at) => (at === 31 ? 1 : 0))

/**
 * Writes a public key as text.
 *
 * Source: Graphene's `public_key_type`: base58(33 bytes || ripemd160(33 bytes)[0..4]).
 * @param publicKey 33 bytes, compressed.
 * @throws `BAD_ARGUMENT` for another length.
 */
export function publicKeyText(publicKey: Uint8Array): PublicKeyText {
  assertArgument(publicKey.length === 33, 'publicKey', 'a compressed public key of 33 bytes')
  return `${PREFIX}${base58btc.baseEncode(concatBytes(publicKey, ripemd160(publicKey).subarray(0, 4)))}`
}

/**
 * Reads a public key: 33 bytes.
 * @param name what the key is, for the error's sentence.
 * @throws `BAD_KEY` unless the prefix, the checksum and the length are right and the point is on the curve. The null
 * key, which GXChain writes for "nobody", is no point.
 */
export function readPublicKey(text: string, name = 'publicKey'): Uint8Array {
  const bad = (flaw: string, cause?: unknown): SluiceError =>
    new SluiceError('BAD_KEY', `${name} ${flaw}`, { cause, details: { name } })
  if (!text.startsWith(PREFIX)) throw bad(`must begin with ${PREFIX}`)
  const bytes = text.length <= LONGEST ? decodeBase58(text.slice(PREFIX.length)) : undefined
  if (bytes?.length !== 37) throw bad('must be base58 of 37 bytes')
  const key = bytes.subarray(0, 33)
  if (!equalBytes(ripemd160(key).subarray(0, 4), bytes.subarray(33))) throw bad('has a wrong checksum')
  if (key.every((byte) => byte === 0)) throw bad('is the null key, which is nobody\'s')
  try {
    return engine().secp256k1.sharedPoint(ONE, key)
  } catch (cause) {
    throw bad('is not a point of secp256k1', cause)
  }
}

/** The bytes behind base58, `undefined` if the text is none. */
export function decodeBase58(text: string): Uint8Array | undefined {
  try {
    return base58btc.baseDecode(text)
  } catch {
    return undefined
  }
}
