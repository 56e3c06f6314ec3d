/**
 * Keys of GXChain accounts that this process holds.
 * @module
 */
import { sha512 } from '@noble/hashes/sha2.js'
import { base58btc } from 'multiformats/bases/base58'
import { assertArguments, byteString, integer, text } from '../../argument.ts'
import { concatBytes, equalBytes, utf8 } from '../../bytes.ts'
import { assertArgument, SluiceError } from '../../errors.ts'
import { engine } from '../engine.ts'
import { decodeBase58, publicKeyText, readPublicKey, type PublicKeyText } from './publicKey.ts'
import { signCanonical } from './signature.ts'

/** A secret key that signs, agrees and never shows itself: printed or serialised, it is `[GrapheneKey GXC…]`. */
export interface GrapheneKey {
  readonly publicKey: PublicKeyText
  /** Signs a 32-byte digest canonically: 65 bytes, recovery id + 31, r, s. */
  sign(digest: Uint8Array): Uint8Array
  /**
   * The secret that this key shares with another: 32 bytes, the x-coordinate of their Diffie-Hellman point. Hash it
   * before use. The last 256 are remembered. @throws `BAD_KEY` as `readPublicKey` does.
   */
  agree(publicKey: string): Uint8Array
  /** `[GrapheneKey GXC…]`. */
  toString(): string
}

/** The first byte of a secret key in text. */
const WIF_VERSION = 0x80
/** Secrets that a key remembers: agreeing on one costs as much as a signature. */
const REMEMBERED = 256

/** Makes a key of 32 secret bytes, which are copied. @throws `BAD_KEY` unless they are a secret key of secp256k1. */
export function grapheneKey(secret: Uint8Array): GrapheneKey {
  assertArguments({ secret }, { secret: byteString() })
  const own = Uint8Array.from(secret)
  const publicKey = publicKeyText(engine().secp256k1.publicKey(own, true))
  const agreed = new Map<string, Uint8Array>()
  const text = (): string => `[GrapheneKey ${publicKey}]`
  const key: GrapheneKey = {
    publicKey,
    sign: (digest) => signCanonical(digest, own),
    agree(other) {
      const known = agreed.get(other)
      const x = known ?? engine().secp256k1.sharedPoint(own, readPublicKey(other)).slice(1)
      // The one asked for last goes to the end: the first is the one to forget.
      agreed.delete(other)
      agreed.set(other, x)
      if (agreed.size > REMEMBERED) agreed.delete(agreed.keys().next().value!)
      return x.slice()
    },
  }
  const hidden = { value: text, enumerable: false }
  return Object.freeze(
    Object.defineProperties(key, { toString: hidden, toJSON: hidden, [Symbol.for('nodejs.util.inspect.custom')]: hidden }),
  )
}

/**
 * Makes a key of its text ("wallet import format").
 *
 * Source: base58(0x80 || 32 bytes || sha256(sha256(…))[0..4]); GXChain has the form for uncompressed keys only, which
 * begins with a 5.
 * @throws `BAD_KEY` naming what is wrong with it, never showing it.
 */
export function keyFromWif(wif: string): GrapheneKey {
  assertArguments({ wif }, { wif: text() })
  const bytes = wif.length <= 64 ? decodeBase58(wif) : undefined
  if (bytes?.length !== 37 || bytes[0] !== WIF_VERSION) throw new SluiceError('BAD_KEY', 'a secret key in text is base58 of 0x80 and 36 bytes')
  const body = bytes.subarray(0, 33)
  if (!equalBytes(checksum(body), bytes.subarray(33))) throw new SluiceError('BAD_KEY', 'the secret key has a wrong checksum')
  return grapheneKey(body.subarray(1))
}

/** Writes 32 secret bytes as text; {@link keyFromWif} reads it. It is as secret as the bytes. @throws `BAD_ARGUMENT` */
export function toWif(secret: Uint8Array): string {
  assertArguments({ secret }, { secret: byteString(32) })
  const body = concatBytes(Uint8Array.of(WIF_VERSION), secret)
  return base58btc.baseEncode(concatBytes(body, checksum(body)))
}

/**
 * The secret of a brain key: sha256(sha512(words + " " + sequence)), 32 bytes.
 *
 * The words are taken with one space between them. Whoever guesses them has the key.
 * @throws `BAD_ARGUMENT` for no words, or a sequence that is not a whole number from 0.
 */
export function brainSecret(words: string, sequence = 0): Uint8Array {
  assertArguments({ words, sequence }, { words: text(1), sequence: integer(0) })
  // As gxbjs does it: any space goes at the ends, the six of ASCII are one space within.
  const normal = words.trim().split(/[\t\n\v\f\r ]+/).join(' ')
  assertArgument(normal.length > 0, 'words', 'at least one word')
  return engine().sha256(sha512(utf8(`${normal} ${sequence}`)))
}

/** The secret of a seed: sha256 of its UTF-8, 32 bytes. For tests: whoever guesses the seed has the key. */
export function seedSecret(seed: string): Uint8Array {
  assertArguments({ seed }, { seed: text(1) })
  return engine().sha256(utf8(seed))
}

function checksum(body: Uint8Array): Uint8Array {
  const { sha256 } = engine()
  return sha256(sha256(body)).subarray(0, 4)
}
