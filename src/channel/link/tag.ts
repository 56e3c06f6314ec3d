import { concatBytes } from '../../core/bytes.ts'
import { assertArgument } from '../../core/errors.ts'
import { engine } from '../../core/crypto/engine.ts'

/** Bytes of a tag. */
export const TAG_SIZE = 16

/** The block of SHA-256. */
const BLOCK = 64
/** Where the message begins, behind the padded key and the counter. */
const MESSAGE = BLOCK + 8
/** For the hash of a short message, of any key: nothing waits between filling and hashing it. */
const scratch = /* @__PURE__ */ new Uint8Array(4096)

/** Makes the tag of the packet with this number. */
export type Tagger = (counter: number, message: Uint8Array) => Uint8Array

/**
 * Creates what makes the tags of one direction: HMAC-SHA256 over the packet's number (8 bytes) and its message, cut to
 * {@link TAG_SIZE} bytes.
 *
 * The key is padded once; a tag is two calls of the engine's SHA-256, which in Node is faster than `createHmac`.
 * Source: RFC 2104.
 */
export function createTagger(key: Uint8Array): Tagger {
  const padded = (value: number): Uint8Array => Uint8Array.from({ length: BLOCK }, (_, i) => (key[i] ?? 0) ^ value)
  const head = new Uint8Array(MESSAGE)
  head.set(padded(0x36))
  const numbers = new DataView(head.buffer)
  const outer = new Uint8Array(BLOCK + 32)
  outer.set(padded(0x5c))
  return (counter, message) => {
    // A number that is used twice would let a packet be repeated.
    assertArgument(Number.isSafeInteger(counter) && counter >= 0, 'counter', 'a whole number from 0 and below 2^53')
    numbers.setUint32(BLOCK, Math.floor(counter / 2 ** 32))
    numbers.setUint32(BLOCK + 4, counter >>> 0)
    const size = MESSAGE + message.length
    let inner: Uint8Array
    if (size <= scratch.length) {
      scratch.set(head)
      scratch.set(message, MESSAGE)
      inner = scratch.subarray(0, size)
    } else {
      inner = concatBytes(head, message)
    }
    const { sha256 } = engine()
    outer.set(sha256(inner), BLOCK)
    return sha256(outer).subarray(0, TAG_SIZE)
  }
}

/** Whether two tags are equal, in a time that tells nothing about where they differ. */
export function sameTag(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length
  for (let i = 0; i < TAG_SIZE; i++) difference |= a[i]! ^ b[i]!
  return difference === 0
}
