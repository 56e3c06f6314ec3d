/**
 * GXChain's encryption between two accounts, which all of its clients speak (sealed data, suite 1).
 *
 * Its only check is a checksum of 32 bits, and its key and initial vector depend on the two keys and the nonce alone:
 * never use a nonce twice. Where both sides are new, suite 2 is better.
 * @module
 */
import { decryptCbc, encryptCbc } from '#platform'
import { sha512 } from '@noble/hashes/sha2.js'
import { concatBytes, equalBytes, randomBytes, toHex, utf8 } from '../../bytes.ts'
import { assertArgument, SluiceError } from '../../errors.ts'
import { engine } from '../engine.ts'
import type { GrapheneKey } from './key.ts'

/** The largest nonce: 64 bits. */
export const MAX_NONCE = 2n ** 64n - 1n
const BLOCK = 16
const CHECKSUM = 4

/**
 * A nonce that nobody used before: 53 random bits, not 0.
 *
 * No more bits, since clients that read numbers as JavaScript does would round them; not 0, since some clients take it
 * for none.
 */
export function freshNonce(): bigint {
  for (;;) {
    const nonce = new DataView(randomBytes(8).buffer).getBigUint64(0) >> 11n
    if (nonce > 0n) return nonce
  }
}

/**
 * Encrypts bytes for another account.
 *
 * Source: gxbjs `Aes.encrypt_with_checksum`: with ss = hex(sha512(x of the shared point)) and h = sha512(nonce in
 * decimal || ss), AES-256-CBC under h[0..32] with h[32..48] as initial vector, PKCS 7, over sha256(plain)[0..4] || plain.
 * @param nonce 1 to 2^64 - 1, another one each time: {@link freshNonce}.
 * @throws `BAD_KEY` for a bad public key, `BAD_ARGUMENT` for a nonce out of range.
 */
export async function encryptFor(key: GrapheneKey, publicKey: string, nonce: bigint, plain: Uint8Array): Promise<Uint8Array> {
  assertArgument(nonce > 0n && nonce <= MAX_NONCE, 'nonce', 'from 1 to 2^64 - 1')
  const { secret, iv } = derive(key.agree(publicKey), nonce.toString())
  const padding = BLOCK - ((CHECKSUM + plain.length) % BLOCK)
  return encryptCbc(secret, iv, concatBytes(await checksumOf(plain), plain, new Uint8Array(padding).fill(padding)))
}

/**
 * Decrypts what {@link encryptFor} or a client of GXChain made.
 *
 * Also takes what the Python client makes, which leaves the padding out if it can; what clients make that drop the leading
 * zeros of x, as happens to one pair of keys in 256; and nonce 0, which is "0" for some clients and none for others.
 * @throws `BAD_KEY` for a bad public key, `BAD_ARGUMENT` for a nonce out of range, `BAD_MESSAGE` for bytes that these
 * keys and this nonce don't open.
 */
export async function decryptFrom(key: GrapheneKey, publicKey: string, nonce: bigint, sealed: Uint8Array): Promise<Uint8Array> {
  assertArgument(nonce >= 0n && nonce <= MAX_NONCE, 'nonce', 'from 0 to 2^64 - 1')
  const x = key.agree(publicKey)
  if (sealed.length > 0 && sealed.length % BLOCK === 0) {
    const forms = (nonce === 0n ? ['0', ''] : [nonce.toString()]).flatMap((text) => formsOf(x).map((form) => derive(form, text)))
    for (const { secret, iv } of forms) {
      const blocks = await decryptCbc(secret, iv, sealed)
      for (const end of [blocks.length - paddingOf(blocks), blocks.length]) {
        const plain = blocks.slice(CHECKSUM, end)
        if (end >= CHECKSUM && equalBytes(await checksumOf(plain), blocks.subarray(0, CHECKSUM))) return plain
      }
    }
  }
  throw new SluiceError('BAD_MESSAGE', 'the data does not open: it was changed, or sealed with another key or nonce')
}

/** The x-coordinate, and without its leading zeros if it has any. */
function formsOf(x: Uint8Array): Uint8Array[] {
  const first = x.findIndex((byte) => byte !== 0)
  return first > 0 ? [x, x.subarray(first)] : [x]
}

function derive(x: Uint8Array, nonce: string): { secret: Uint8Array; iv: Uint8Array } {
  const hash = sha512(utf8(nonce + toHex(sha512(x)).slice(2)))
  return { secret: hash.subarray(0, 32), iv: hash.subarray(32, 48) }
}

async function checksumOf(plain: Uint8Array): Promise<Uint8Array> {
  return (await engine().digest(plain)).subarray(0, CHECKSUM)
}

/** How many bytes of PKCS 7 padding the blocks end in; 0 if it is none. */
function paddingOf(blocks: Uint8Array): number {
  const count = blocks.at(-1)!
  const padded = count >= 1 && count <= BLOCK && blocks.subarray(-count).every((byte) => byte === count)
  return padded ? count : 0
}
