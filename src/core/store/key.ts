/**
 * Keys of stores as bytes: engines order bytes, and UTF-8 keeps the order of code points.
 * @module
 */
import { assertArgument, SluiceError } from '../errors.ts'
import type { StoreChange } from './store.ts'

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

/** Asserts that something can be written: a list of keys, each with bytes or without. @throws `BAD_ARGUMENT` */
export function assertChanges(changes: readonly StoreChange[]): void {
  const fits =
    Array.isArray(changes) &&
    Array.from(changes as unknown[]).every((change) => {
      if (typeof change !== 'object' || change === null) return false
      const { value } = change as StoreChange
      return value === null || value instanceof Uint8Array
    })
  assertArgument(fits, 'changes', 'a list such as [{ key: "a", value: new Uint8Array(1) }], with null to delete')
  for (const { key } of changes as readonly StoreChange[]) assertKey(key)
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
