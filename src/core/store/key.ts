/**
 * Keys of stores as bytes: engines order bytes, and UTF-8 keeps the order of code points.
 * @module
 */
import { SluiceError } from '../errors.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/**
 * Encodes a key.
 * @throws `BAD_ARGUMENT` if it is empty or has half of a surrogate pair, which UTF-8 can't hold.
 */
export function encodeKey(key: string): Uint8Array<ArrayBuffer> {
  assertKey(key)
  return encoder.encode(key)
}

/** Asserts that a text can be a key. @throws `BAD_ARGUMENT` */
export function assertKey(key: string): void {
  if (typeof key !== 'string' || key === '' || /\p{Surrogate}/u.test(key)) {
    throw new SluiceError('BAD_ARGUMENT', 'a store key must be a non-empty, well-formed text', {
      details: { key: typeof key === 'string' ? key : undefined },
    })
  }
}

/** Decodes a key. */
export function decodeKey(key: Uint8Array): string {
  return decoder.decode(key)
}

/** The first byte string after all those that start with a prefix; undefined if there is none. */
export function prefixEnd(prefix: string): Uint8Array<ArrayBuffer> | undefined {
  if (prefix === '') return undefined
  const end = encodeKey(prefix)
  end[end.length - 1]!++ // UTF-8 has no byte 0xff
  return end
}
