/**
 * Keys that this process holds, and the addresses of public keys.
 * @module
 */
import { randomBytes, toHex, utf8 } from '../bytes.ts'
import { assertArgument } from '../errors.ts'
import { engine } from './engine.ts'
import { isSecretKey } from './secp256k1.ts'

/** A secret key that signs and never shows itself: printed or serialised, it is `[Key 0x…]` with its address. */
export interface Key {
  /** The EIP-55 address. */
  readonly address: string
  /** 65 bytes, uncompressed. */
  readonly publicKey: Uint8Array
  /** Signs a 32-byte digest: 65 bytes r, s, v with v 27 or 28. */
  sign(digest: Uint8Array): Uint8Array
  /** The Diffie-Hellman point with another public key, compressed: 33 bytes. Hash it before use. @throws `BAD_KEY` */
  agree(publicKey: Uint8Array): Uint8Array
  /** `[Key 0x…]`. */
  toString(): string
}

/** Makes a key of 32 secret bytes, which are copied. @throws `BAD_KEY` unless they are a secret key of secp256k1. */
export function keyFromSecret(secret: Uint8Array): Key {
  assertArgument(secret instanceof Uint8Array, 'secret', 'a Uint8Array of 32 bytes')
  const own = Uint8Array.from(secret)
  const publicKey = engine().secp256k1.publicKey(own)
  const address = addressOf(publicKey)
  const text = (): string => `[Key ${address}]`
  const key: Key = {
    address,
    publicKey,
    sign: (digest) => engine().secp256k1.sign(digest, own),
    agree: (other) => engine().secp256k1.sharedPoint(own, other),
  }
  const hidden = { value: text, enumerable: false }
  return Object.freeze(
    Object.defineProperties(key, { toString: hidden, toJSON: hidden, [Symbol.for('nodejs.util.inspect.custom')]: hidden }),
  )
}

/** Makes a new key that only this process will know. */
export function generateKey(): Key {
  return keyFromSecret(generateSecret())
}

/** 32 secret bytes from the platform's random source, fit to be a key. */
export function generateSecret(): Uint8Array {
  for (;;) {
    const secret = randomBytes(32)
    if (isSecretKey(secret)) return secret
  }
}

/**
 * The EIP-55 address of a 65-byte public key.
 * @throws `BAD_ARGUMENT` for anything but an uncompressed public key.
 */
export function addressOf(publicKey: Uint8Array): string {
  assertArgument(publicKey.length === 65 && publicKey[0] === 4, 'publicKey', 'an uncompressed public key of 65 bytes')
  return checksumAddress(engine().keccak256(publicKey.subarray(1)).subarray(12))
}

/** Writes 20 bytes as an address with the upper and lower case of EIP-55. @throws `BAD_ARGUMENT` for another length. */
export function checksumAddress(bytes: Uint8Array): string {
  assertArgument(bytes.length === 20, 'address', '20 bytes')
  const digits = toHex(bytes).slice(2)
  const hash = engine().keccak256(utf8(digits))
  let out = '0x'
  for (let i = 0; i < 40; i++) {
    const nibble = i % 2 === 0 ? hash[i >> 1]! >> 4 : hash[i >> 1]! & 15
    out += nibble > 7 ? digits[i]!.toUpperCase() : digits[i]!
  }
  return out
}
