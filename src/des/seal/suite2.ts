/**
 * Sealed data, suite 2: between the same keys as GXChain's, for clients of this library.
 *
 * Unlike suite 1 it notices any change, never reuses a key stream, and opens only where it was meant to be opened.
 * @module
 */
import { expand, extract } from '@noble/hashes/hkdf.js'
import { sha256 } from '@noble/hashes/sha2.js'
import nacl from 'tweetnacl'
import { concatBytes, fromHex, randomBytes, toHex, utf8 } from '../../core/bytes.ts'
import { isAccountId, type AccountId, type GrapheneKey } from '../../core/crypto/graphene/index.ts'
import { assertArgument, SluiceError } from '../../core/errors.ts'

/** What sealed data belongs to; it opens with the same context only. */
export interface SealContext {
  /**
   * The request's name; of a question, which is sealed before there is one, the digest of its authorisation in hex.
   * Letters, digits, up to 128.
   */
  readonly requestId: string
  readonly productId: number
  /** Whose key sealed it. */
  readonly from: AccountId
  /** Whose key opens it. */
  readonly to: AccountId
}

/** What the text of suite 2 begins with: suite 1 is bare hex. */
const PREFIX = 'v2:'
const SALT = /* @__PURE__ */ utf8('sluice des seal 2')
const NONCE = nacl.secretbox.nonceLength

/**
 * Seals bytes for another account: `v2:` and hex of a nonce and the box.
 *
 * Source: HKDF-SHA256 (RFC 5869) over the x-coordinate of the Diffie-Hellman point of the two secp256k1 keys, with
 * `requestId|productId|from|to|key of from|key of to` as info; NaCl `crypto_secretbox` (XSalsa20-Poly1305) under the
 * key that gives, with a random nonce of 24 bytes.
 * @throws `BAD_KEY` for a bad public key, `BAD_ARGUMENT` naming the field of a bad context.
 */
export function seal(key: GrapheneKey, publicKey: string, context: SealContext, plain: Uint8Array): string {
  const nonce = randomBytes(NONCE)
  const box = nacl.secretbox(plain, nonce, deriveKey(key.agree(publicKey), context, key.publicKey, publicKey))
  return PREFIX + toHex(concatBytes(nonce, box)).slice(2)
}

/**
 * Opens what {@link seal} made.
 * @throws `BAD_KEY` for a bad public key, `BAD_ARGUMENT` naming the field of a bad context, `BAD_MESSAGE` for text that
 * is not of this suite, was changed, or belongs to other keys or another context.
 */
export function open(key: GrapheneKey, publicKey: string, context: SealContext, sealed: string): Uint8Array {
  const secret = deriveKey(key.agree(publicKey), context, publicKey, key.publicKey)
  const bytes = isSuite2(sealed) ? bytesOf(sealed.slice(PREFIX.length)) : undefined
  const plain =
    bytes && bytes.length >= NONCE ? nacl.secretbox.open(bytes.subarray(NONCE), bytes.subarray(0, NONCE), secret) : null
  if (plain) return plain
  throw new SluiceError('BAD_MESSAGE', 'the data does not open: it was changed, or belongs to other keys or another request')
}

/** Whether sealed data is of this suite, and not of suite 1. */
export function isSuite2(sealed: string): boolean {
  return sealed.startsWith(PREFIX)
}

function deriveKey(x: Uint8Array, context: SealContext, fromKey: string, toKey: string): Uint8Array {
  const { requestId, productId, from, to } = context
  // None of them holds a bar, so no two contexts are the same text.
  assertArgument(/^[0-9A-Za-z]{1,128}$/.test(requestId), 'requestId', '1 to 128 letters and digits')
  assertArgument(Number.isSafeInteger(productId) && productId >= 0, 'productId', 'a whole number from 0')
  assertArgument(isAccountId(from), 'from', 'an account 1.2.N, N below 2^32')
  assertArgument(isAccountId(to), 'to', 'an account 1.2.N, N below 2^32')
  const info = utf8([requestId, productId, from, to, fromKey, toKey].join('|'))
  return expand(sha256, extract(sha256, x, SALT), info, 32)
}

function bytesOf(hex: string): Uint8Array | undefined {
  try {
    return fromHex(`0x${hex}`)
  } catch {
    return undefined
  }
}
