/**
 * Signatures as GXChain takes them: compact, recoverable and canonical.
 * @module
 */
import { utf8 } from '../../bytes.ts'
import { assertArgument, SluiceError } from '../../errors.ts'
import { engine } from '../engine.ts'
import { nobleSecp256k1 } from '../noble.ts'
import { publicKeyText, type PublicKeyText } from './publicKey.ts'

/** What the first byte of a signature adds to the recovery id: 27, and 4 since the key is compressed. */
const HEADER = 31
/** Attempts before a source of signatures is broken: half of them are canonical. */
const MOST_ATTEMPTS = 256

/** The digest of what is signed as text: SHA-256 of its UTF-8. Nothing is put in front of it. */
export function textDigest(text: string): Uint8Array {
  return engine().sha256(utf8(text))
}

/**
 * Whether a signature is canonical: r and s are below 2^255 and not too short.
 *
 * The chain refuses every other one. Source: GXChain's docs, advanced/signature.
 * @param signature 65 bytes: header, r, s.
 */
export function isCanonical(signature: Uint8Array): boolean {
  const plain = (at: number): boolean =>
    signature[at]! < 0x80 && !(signature[at] === 0 && signature[at + 1]! < 0x80)
  return signature.length === 65 && plain(1) && plain(33)
}

/**
 * Signs a 32-byte digest canonically: 65 bytes, recovery id + 31, r, s.
 *
 * About half of all signatures are canonical, so it signs until one is: first as RFC 6979 says, then with a counter in
 * the nonce's derivation. The same digest always gets the same signature.
 * @throws `BAD_KEY`, `BAD_ARGUMENT` unless the digest has 32 bytes.
 */
export function signCanonical(digest: Uint8Array, secretKey: Uint8Array): Uint8Array {
  const { secp256k1 } = engine()
  const again = secp256k1.signWithEntropy ?? nobleSecp256k1.signWithEntropy!
  const entropy = new Uint8Array(32)
  const signature = new Uint8Array(65)
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    entropy[0] = attempt
    const signed = attempt === 0 ? secp256k1.sign(digest, secretKey) : again(digest, secretKey, entropy)
    signature[0] = signed[64]! - 27 + HEADER
    signature.set(signed.subarray(0, 64), 1)
    if (isCanonical(signature)) return signature
  }
  throw new SluiceError('BAD_KEY', `no canonical signature in ${MOST_ATTEMPTS} attempts: the engine is broken`)
}

/**
 * Finds the key that signed.
 *
 * Recovery ids 2 and 3 (headers 33 and 34) are refused: they need an r below 2^129, which is not canonical.
 * @param signature 65 bytes: header, r, s.
 * @throws `BAD_SIGNATURE` unless it is canonical, with header 31 or 32, and leads to a key; `BAD_ARGUMENT` unless the
 * digest has 32 bytes.
 */
export function recoverKey(digest: Uint8Array, signature: Uint8Array): PublicKeyText {
  assertArgument(digest.length === 32, 'digest', '32 bytes')
  if (signature.length !== 65) throw badSignature(`has ${signature.length} bytes instead of 65`)
  if (signature[0] !== HEADER && signature[0] !== HEADER + 1) throw badSignature(`begins with ${signature[0]} instead of 31 or 32`)
  if (!isCanonical(signature)) throw badSignature('is not canonical')
  const moved = new Uint8Array(65)
  moved.set(signature.subarray(1))
  moved[64] = signature[0] - HEADER + 27
  const key = engine().secp256k1.recover(digest, moved)
  const compressed = key.slice(0, 33)
  compressed[0] = 2 + (key[64]! & 1)
  return publicKeyText(compressed)
}

/** Whether `publicKey` signed a digest, as {@link recoverKey} finds out. */
export function isSignedBy(digest: Uint8Array, signature: Uint8Array, publicKey: string): boolean {
  try {
    return recoverKey(digest, signature) === publicKey
  } catch (error) {
    if (error instanceof SluiceError && error.code === 'BAD_SIGNATURE') return false
    throw error
  }
}

function badSignature(flaw: string): SluiceError {
  return new SluiceError('BAD_SIGNATURE', `the signature ${flaw}`)
}
